//! The readiness of a service in a container, told to the service manager outside (sd_notify(3)).
//!
//! The manager's own socket is not shown inside: the container gets one of its entry in the state
//! directory, and of what is said there only `READY=1` goes on, with the pid as the host sees it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::Error;
use crate::spec::{Mount, Spec};
use crate::state::Entry;

/// The directory of the entry that is shown in the container, and where.
pub(crate) const DIRECTORY: &str = "notify";
const INSIDE: &str = "/run/notify";
const SOCKET: &str = "notify.sock";

/// Shows the entry's socket to the program.
pub(crate) fn add_to(spec: &mut Spec, entry: &Path) {
    spec.mounts.push(Mount {
        destination: INSIDE.into(),
        fstype: "bind".into(),
        source: entry.join(DIRECTORY),
        options: ["bind", "ro", "nosuid", "noexec", "nodev"]
            .map(str::to_owned)
            .to_vec(),
        ..Mount::default()
    });
    let variable = format!("NOTIFY_SOCKET={INSIDE}/{SOCKET}");
    spec.process.env.push(variable.into());
}

/// Listens in an entry, if there is a manager who wants to know.
///
/// # Errors
/// [`Error::Socket`].
pub(crate) fn listen(entry: &Entry, manager: Option<&Path>) -> Result<Option<Proxy>, Error> {
    let Some(manager) = manager else {
        return Ok(None);
    };
    let directory = entry.open_directory(DIRECTORY);
    let directory = directory.map_err(|errno| Error::Socket {
        doing: "make",
        path: entry.path().join(DIRECTORY).join(SOCKET),
        source: errno.into(),
    })?;
    Proxy::listen(directory.as_fd(), manager).map(Some)
}

/// The two ends of what is said.
#[derive(Debug)]
pub(crate) struct Proxy {
    inside: UnixDatagram,
    manager: PathBuf,
}

impl Proxy {
    /// Listens in the entry's directory for `manager`, which is what `NOTIFY_SOCKET` says.
    ///
    /// # Errors
    /// [`Error::Socket`].
    fn listen(directory: BorrowedFd<'_>, manager: &Path) -> Result<Self, Error> {
        // The path may be longer than an address can be.
        let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()));
        let failed = |source| Error::Socket {
            doing: "make",
            path: PathBuf::from(DIRECTORY).join(SOCKET),
            source,
        };
        let inside = UnixDatagram::bind(&path).map_err(failed)?;
        // Whoever the program runs as may say that it is ready.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).map_err(failed)?;
        Ok(Self {
            inside,
            manager: manager.to_owned(),
        })
    }

    /// Waits until the program says that it is ready, or has ended, and tells the manager.
    ///
    /// # Errors
    /// [`Error::Socket`] when the manager can't be told.
    pub(crate) fn wait(&self, program: BorrowedFd<'_>, pid: i32) -> Result<(), Error> {
        let mut buffer = [0; 4096];
        loop {
            let mut fds = [
                PollFd::from_borrowed_fd(self.inside.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(program, PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(crate::console::poll_failed(errno)),
            }
            let [said, ended] = fds.map(|fd| !fd.revents().is_empty());
            if said {
                let count = self
                    .inside
                    .recv(&mut buffer)
                    .map_err(|error| self.failed(error))?;
                if is_ready(buffer.get(..count).unwrap_or_default()) {
                    return self.tell(pid);
                }
            } else if ended {
                return Ok(());
            }
        }
    }

    fn tell(&self, pid: i32) -> Result<(), Error> {
        let text = format!("MAINPID={pid}\nREADY=1\n");
        let address = address(&self.manager);
        let sent = address
            .and_then(|address| UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address));
        sent.map(drop).map_err(|error| self.failed(error))
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Socket {
            doing: "tell of readiness",
            path: self.manager.clone(),
            source,
        }
    }
}

/// A path, or behind `@` a name of the abstract kind.
fn address(manager: &Path) -> io::Result<SocketAddr> {
    match manager.as_os_str().as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(manager),
    }
}

fn is_ready(datagram: &[u8]) -> bool {
    datagram
        .split(|byte| *byte == b'\n')
        .any(|line| line == b"READY=1")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::process::{Command, Stdio};

    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::*;

    #[test]
    fn readiness_is_told_with_the_pid_outside_and_nothing_else_is() {
        let name = format!("crabcan-notify-{}", std::process::id());
        let scratch = std::env::temp_dir().join(name);
        std::fs::create_dir(&scratch).unwrap();
        let manager = UnixDatagram::bind(scratch.join("manager")).unwrap();
        let directory = std::fs::File::open(&scratch).unwrap();
        let proxy = Proxy::listen(directory.as_fd(), &scratch.join("manager")).unwrap();
        let mut program = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&program);
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let said = UnixDatagram::unbound().unwrap();
        for text in ["STATUS=half\nREADY=10", "MAINPID=1\nREADY=1\n"] {
            said.send_to(text.as_bytes(), scratch.join(SOCKET)).unwrap();
        }
        proxy.wait(pidfd.as_fd(), 4711).unwrap();
        let mut buffer = [0; 64];
        let count = manager.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"MAINPID=4711\nREADY=1\n");
        // One that ends without a word is not waited for.
        drop(program.stdin.take());
        proxy.wait(pidfd.as_fd(), 4711).unwrap();
        program.wait().unwrap();
        manager.set_nonblocking(true).unwrap();
        assert!(manager.recv(&mut buffer).is_err());
        std::fs::remove_dir_all(scratch).unwrap();
    }

    #[test]
    fn an_abstract_name_is_no_path() {
        let abstract_name = address(Path::new("@manager")).unwrap();
        assert_eq!(abstract_name.as_abstract_name(), Some(&b"manager"[..]));
        assert!(
            address(Path::new("/run/manager"))
                .unwrap()
                .as_pathname()
                .is_some()
        );
    }
}
