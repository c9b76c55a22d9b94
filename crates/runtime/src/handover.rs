//! What is handed to whoever asked for a container: a descriptor through a socket of theirs, and a
//! pid in a file.

use std::fs::{self, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, sendmsg, socket_with,
};

use crate::Error;

/// How long a peer may be too busy to take a connection.
const CONNECT_LIMIT: Duration = Duration::from_millis(800);

/// A connected socket of the caller's peer, which takes one descriptor.
#[derive(Debug)]
pub(crate) struct Receiver {
    socket: OwnedFd,
    path: PathBuf,
}

impl Receiver {
    /// Connects to a listening stream socket.
    ///
    /// # Errors
    /// [`Error::Socket`]: ENOENT, ECONNREFUSED when nobody listens, EAGAIN when nobody accepts.
    pub(crate) fn connect(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Socket {
            doing: "connect to",
            path: path.to_owned(),
            source,
        };
        let socket = try_connect(path).map_err(failed)?;
        Ok(Self {
            socket,
            path: path.to_owned(),
        })
    }

    /// Sends a copy of the descriptor, with a name for the reader.
    ///
    /// # Errors
    /// [`Error::Socket`]: EPIPE when the peer is gone.
    pub(crate) fn send(&self, descriptor: BorrowedFd<'_>, name: &str) -> Result<(), Error> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        // The space was made for exactly this message, so it always fits.
        control.push(SendAncillaryMessage::ScmRights(std::slice::from_ref(
            &descriptor,
        )));
        let bytes = [IoSlice::new(name.as_bytes())];
        let sent = rustix::io::retry_on_intr(|| {
            sendmsg(&self.socket, &bytes, &mut control, SendFlags::NOSIGNAL)
        });
        sent.map(drop).map_err(|errno| Error::Socket {
            doing: "send a descriptor to",
            path: self.path.clone(),
            source: errno.into(),
        })
    }
}

fn try_connect(path: &Path) -> io::Result<OwnedFd> {
    // A socket's address holds 108 bytes: a longer path is shortened by its directory's descriptor.
    let directory;
    let short;
    let address = match SocketAddrUnix::new(path) {
        Ok(address) => address,
        Err(_) => {
            let (parent, name) = (path.parent(), path.file_name());
            let (Some(parent), Some(name)) = (parent, name) else {
                return Err(Errno::INVAL.into());
            };
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            directory = rustix::fs::open(parent, flags, Mode::empty())?;
            short = format!("/proc/self/fd/{}", directory.as_raw_fd());
            SocketAddrUnix::new(Path::new(&short).join(name))?
        }
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let until = Instant::now() + CONNECT_LIMIT;
    loop {
        match connect(&socket, &address) {
            Ok(()) => break,
            Err(Errno::INTR) => {}
            // Its queue is full.
            Err(Errno::AGAIN) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    rustix::io::ioctl_fionbio(socket.as_fd(), false)?;
    Ok(socket)
}

/// Writes a pid into a file, which is there whole or not at all.
///
/// # Errors
/// [`Error::PidFile`].
pub(crate) fn write_pid_file(path: &Path, pid: i32) -> Result<(), Error> {
    let failed = |source| Error::PidFile {
        path: path.to_owned(),
        source,
    };
    let name = path
        .file_name()
        .ok_or_else(|| failed(io::Error::from_raw_os_error(libc::EISDIR)))?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(temporary);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o644);
    let written = options
        .custom_flags(libc::O_NOFOLLOW)
        .open(&temporary)
        .and_then(|mut file| file.write_all(pid.to_string().as_bytes()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // It may be there or not: what counts is that it is not left behind.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(failed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs::File;
    use std::io::{IoSliceMut, Read};
    use std::os::unix::net::UnixListener;

    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let name = format!("crabcan-handover-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// What a peer gets: the name, and what can be read from the descriptor.
    fn take(listener: &UnixListener) -> (String, String) {
        let (socket, _) = listener.accept().unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut name = [0; 64];
        let mut bytes = [IoSliceMut::new(&mut name)];
        let received = recvmsg(&socket, &mut bytes, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
        let descriptor = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        let mut text = String::new();
        File::from(descriptor.unwrap())
            .read_to_string(&mut text)
            .unwrap();
        (
            String::from_utf8_lossy(&name[..received.bytes]).into(),
            text,
        )
    }

    #[test]
    fn a_descriptor_arrives_also_by_a_long_path() {
        let directory = scratch("long");
        let deep = directory.join("d".repeat(120));
        fs::create_dir(&deep).unwrap();
        let file = directory.join("file");
        fs::write(&file, "contents").unwrap();
        for path in [directory.join("s"), deep.join("socket")] {
            // Bound by a short name and moved to where it belongs.
            let listener = UnixListener::bind(directory.join("t")).unwrap();
            fs::rename(directory.join("t"), &path).unwrap();
            let receiver = Receiver::connect(&path).unwrap();
            let opened = File::open(&file).unwrap();
            receiver.send(opened.as_fd(), "pty").unwrap();
            assert_eq!(take(&listener), ("pty".into(), "contents".into()));
        }
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn nobody_there_is_an_error_at_once() {
        let directory = scratch("absent");
        let start = Instant::now();
        let absent = Receiver::connect(&directory.join("absent")).unwrap_err();
        assert!(absent.to_string().contains("absent"), "{absent}");
        let closed = directory.join("closed");
        drop(UnixListener::bind(&closed).unwrap());
        // A child of another test's has the listener as well, until it executes its program.
        while Receiver::connect(&closed).is_ok() {
            assert!(start.elapsed() < Duration::from_secs(1));
        }
        assert!(start.elapsed() < Duration::from_secs(1));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_pid_file_is_replaced_whole() {
        let directory = scratch("pid");
        let path = directory.join("pid");
        write_pid_file(&path, 41).unwrap();
        write_pid_file(&path, 7).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "7");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        assert!(write_pid_file(&directory.join("no/pid"), 7).is_err());
        assert!(write_pid_file(Path::new("/"), 7).is_err());
        fs::create_dir(directory.join("busy")).unwrap();
        assert!(write_pid_file(&directory.join("busy"), 7).is_err());
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 2);
        fs::remove_dir_all(directory).unwrap();
    }
}
