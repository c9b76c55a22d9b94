//! The program `criu`, asked by its RPC to dump and to restore processes: `criu swrk` serves one
//! connection. See criu(8) and <https://criu.org/RPC>.

mod options;
mod wire;

use std::fs;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketFlags,
    SocketType, recvmsg, send, socketpair,
};

use self::wire::{Message, Value};
use crate::{Error, sys};

pub use self::options::ManageCgroups;
pub(crate) use self::options::{Flag, Options, Text};
#[cfg(fuzzing)]
pub(crate) use self::wire::tests::target;

const PROGRAM: &str = "criu";

/// What criu can be asked to do, by its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Dump = 1,
    Restore = 2,
    PreDump = 4,
}

/// A message that criu is told about what it just does.
const NOTIFY: u64 = 6;

/// What criu says while it works, and waits for an answer to.
#[derive(Debug)]
pub(crate) struct Notice<'a> {
    pub(crate) name: &'a str,
    /// The first process of what is dumped or restored.
    pub(crate) pid: i32,
    pub(crate) descriptor: Option<OwnedFd>,
}

/// Longer than any answer of criu's.
const ANSWER_BYTES: usize = 64 << 10;

/// A running criu. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Criu {
    program: Child,
    socket: OwnedFd,
}

/// Whether there is such a program.
pub(crate) fn is_installed() -> bool {
    crate::is_installed(PROGRAM)
}

impl Criu {
    /// Starts it, with these descriptors open under their numbers in this process. It has this
    /// process's standard input, output and error if `standard`.
    ///
    /// # Errors
    /// [`Error::CriuMissing`], [`Error::CriuLost`].
    pub(crate) fn start(descriptors: Vec<OwnedFd>, standard: bool) -> Result<Self, Error> {
        let flags = SocketFlags::CLOEXEC;
        let (socket, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .map_err(|errno| lost("make the socket of", errno))?;
        let mut command = Command::new(PROGRAM);
        command.arg("swrk").arg(theirs.as_raw_fd().to_string());
        if !standard {
            command.stdin(Stdio::null());
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        sys::hand_on(&mut command, [theirs].into_iter().chain(descriptors));
        let program = command.spawn();
        let program = program.map_err(|source| Error::CriuMissing { source })?;
        Ok(Self { program, socket })
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.program.id()).unwrap_or(i32::MAX)
    }

    /// Has it do one thing, and answers what it says meanwhile.
    ///
    /// # Errors
    /// [`Error::CriuFailed`] with what its log says; [`Error::CriuLost`] when it has ended without
    /// an answer; what `notice` returns.
    pub(crate) fn ask(
        mut self,
        request: Request,
        options: &Options,
        log: &Path,
        notice: &mut dyn FnMut(Notice<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut message = Message::default();
        message.number(1, request as u64);
        message.message(2, options.message());
        self.say(&message)?;
        loop {
            let mut buffer = vec![0; ANSWER_BYTES];
            let (length, descriptor) = self.hear(&mut buffer)?;
            let bytes = buffer.get(..length).unwrap_or_default();
            let answer = Answer::parse(bytes).ok_or_else(|| lost("understand", Errno::BADMSG))?;
            if !answer.success {
                return Err(failed(request, log, answer.errno));
            }
            if answer.kind != NOTIFY {
                return self.end(request, log);
            }
            notice(Notice {
                name: answer.name,
                pid: answer.pid,
                descriptor,
            })?;
            let mut reply = Message::default();
            reply.number(1, NOTIFY);
            reply.flag(3, true);
            self.say(&reply)?;
        }
    }

    /// Waits until it has ended.
    fn end(mut self, request: Request, log: &Path) -> Result<(), Error> {
        // After a dump in advance it waits for the next one: only the end of the connection ends it.
        drop(std::mem::replace(&mut self.socket, closed()?));
        let status = self.program.wait();
        let status = status.map_err(|source| Error::CriuLost {
            doing: "wait for",
            source,
        })?;
        match status.success() || request == Request::PreDump {
            true => Ok(()),
            false => Err(failed(request, log, 0)),
        }
    }

    fn say(&mut self, message: &Message) -> Result<(), Error> {
        retry_on_intr(|| send(&self.socket, message.as_bytes(), SendFlags::NOSIGNAL))
            .map(drop)
            .map_err(|errno| lost("talk to", errno))
    }

    fn hear(&mut self, buffer: &mut [u8]) -> Result<(usize, Option<OwnedFd>), Error> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(buffer)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = retry_on_intr(|| recvmsg(&self.socket, &mut slices, &mut control, flags))
            .map_err(|errno| lost("hear", errno))?;
        if received.bytes == 0 {
            return Err(lost("hear", Errno::CONNRESET));
        }
        let descriptor = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        Ok((received.bytes, descriptor))
    }
}

impl Drop for Criu {
    fn drop(&mut self) {
        // Both fail when it has ended and was reaped: that is what they are for.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// `criu_resp`.
#[derive(Debug, Default)]
struct Answer<'a> {
    kind: u64,
    success: bool,
    name: &'a str,
    pid: i32,
    errno: i32,
}

impl<'a> Answer<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut answer = Self::default();
        for field in wire::fields(bytes)? {
            match field {
                (1, Value::Number(kind)) => answer.kind = kind,
                (2, Value::Number(success)) => answer.success = success != 0,
                (5, Value::Bytes(notify)) => answer.notify(notify)?,
                (7, Value::Number(errno)) => answer.errno = i32::try_from(errno).unwrap_or(0),
                _ => {}
            }
        }
        Some(answer)
    }

    /// `criu_notify`.
    fn notify(&mut self, bytes: &'a [u8]) -> Option<()> {
        for field in wire::fields(bytes)? {
            match field {
                (1, Value::Bytes(name)) => self.name = std::str::from_utf8(name).ok()?,
                (2, Value::Number(pid)) => self.pid = i32::try_from(pid).ok()?,
                _ => {}
            }
        }
        Some(())
    }
}

fn lost(doing: &'static str, errno: Errno) -> Error {
    Error::CriuLost {
        doing,
        source: errno.into(),
    }
}

/// A descriptor to put in the place of one that is to be closed.
fn closed() -> Result<OwnedFd, Error> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    rustix::fs::open("/", flags, rustix::fs::Mode::empty()).map_err(|errno| lost("leave", errno))
}

fn failed(request: Request, log: &Path, errno: i32) -> Error {
    let reason = fs::read(log).ok().and_then(|bytes| first_error(&bytes));
    let errno = (errno > 0).then(|| io::Error::from_raw_os_error(errno).to_string());
    Error::CriuFailed {
        doing: match request {
            Request::Dump | Request::PreDump => "checkpoint",
            Request::Restore => "restore",
        },
        reason: reason.or(errno).unwrap_or_else(|| "it says not why".into()),
        log: PathBuf::from(log),
    }
}

/// What went wrong first, as criu's log has it: `(00.012345) Error (criu/mount.c:1088): mnt: …`.
fn first_error(log: &[u8]) -> Option<String> {
    const MOST: usize = 500;
    let log = String::from_utf8_lossy(log);
    let mut errors = log.lines().filter_map(|line| {
        let (_, behind) = line.split_once("Error (")?;
        Some(behind.split_once("): ")?.1.trim())
    });
    // It looks first what the kernel has, and takes it for an error that there is no tun.
    let text = errors.find(|text| !text.starts_with("tun: "))?;
    Some(text.chars().take(MOST).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn an_answer_is_understood() {
        let mut notify = Message::default();
        notify.bytes(1, b"post-restore");
        notify.number(2, 4711);
        let mut message = Message::default();
        message.number(1, NOTIFY);
        message.flag(2, true);
        message.message(5, &notify);
        message.number(99, 1);
        let answer = Answer::parse(message.as_bytes()).unwrap();
        assert_eq!((answer.kind, answer.success), (NOTIFY, true));
        assert_eq!((answer.name, answer.pid), ("post-restore", 4711));
        assert!(Answer::parse(b"\x2a\x02\x0a\x05").is_none());
    }

    #[test]
    fn the_first_error_of_a_log_is_the_cause() {
        let log = b"(00.000001) Version: 3.17\n\
            (00.000002) Error (criu/tun.c:85): tun: Unable to create tun\n\
            (00.000002) Error (criu/mount.c:1088): mnt: 12:./x has no source\n\
            (00.000003) Error (criu/cr-dump.c:2098): Dumping FAILED.\n";
        assert_eq!(first_error(log).unwrap(), "mnt: 12:./x has no source");
        assert_eq!(first_error(b"(00.1) all is well"), None);
    }
}
