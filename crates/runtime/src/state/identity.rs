//! Which process it is: more than a pid, since a pid is given to another process one day.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, read, retry_on_intr};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use crate::Error;

/// The magic number of the file system of pidfds (Linux 6.9): there an inode is one process, and no
/// other one until the machine is started again.
const PIDFS_MAGIC: i128 = 0x5049_4446;

/// A process, for as long as the machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    /// When it was made, in ticks since the machine was started.
    start_time: u64,
    /// The inode of its pidfd, where that means anything.
    pidfd_inode: Option<u64>,
}

impl Identity {
    /// The identity of a process that can't be reaped meanwhile: a child of the caller's.
    pub(crate) fn of(pid: i32, pidfd: BorrowedFd<'_>) -> Result<Self, Error> {
        let failed = |source| Error::Identity { pid, source };
        let start_time = start_time(pid).map_err(failed)?;
        let gone = || failed(io::Error::from_raw_os_error(libc::ESRCH));
        Ok(Self {
            pid,
            start_time: start_time.ok_or_else(gone)?,
            pidfd_inode: pidfd_inode(pidfd).map_err(failed)?,
        })
    }

    /// A pidfd of the very process; `None` when it has ended, whoever has its pid now.
    ///
    /// # Errors
    /// [`Error::Identity`] when the kernel does not tell (EMFILE).
    pub(crate) fn open(&self) -> Result<Option<OwnedFd>, Error> {
        let pid = self.pid;
        let failed = |source| Error::Identity { pid, source };
        let Some(pidfd) = hold(pid)? else {
            return Ok(None);
        };
        // After it is held: what is read by pid now belongs to the process that is held, or to a
        // later one, which then differs.
        let same_start = start_time(pid).map_err(failed)? == Some(self.start_time);
        let same_inode = match (
            self.pidfd_inode,
            pidfd_inode(pidfd.as_fd()).map_err(failed)?,
        ) {
            (Some(before), Some(now)) => before == now,
            _ => true,
        };
        let alive = same_start && same_inode && !has_ended(pidfd.as_fd())?;
        Ok(alive.then_some(pidfd))
    }
}

/// A pidfd of whatever process has this pid now; `None` when there is none.
pub(crate) fn hold(pid: i32) -> Result<Option<OwnedFd>, Error> {
    let failed = |source| Error::Identity { pid, source };
    let known = Pid::from_raw(pid)
        .filter(|_| pid > 0)
        .ok_or_else(|| failed(io::Error::from_raw_os_error(libc::EINVAL)))?;
    match pidfd_open(known, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Some(pidfd)),
        // EINVAL: the pid is that of a thread now.
        Err(Errno::SRCH | Errno::INVAL) => Ok(None),
        Err(errno) => Err(failed(errno.into())),
    }
}

/// Whether a process has ended, reaped or not.
pub(crate) fn has_ended(pidfd: BorrowedFd<'_>) -> Result<bool, Error> {
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut fds = [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
    let ready = retry_on_intr(|| poll(&mut fds, Some(&at_once)));
    Ok(ready.map_err(crate::console::poll_failed)? > 0)
}

/// The 22nd field of `/proc/PID/stat`; `None` when there is no such process.
fn start_time(pid: i32) -> io::Result<Option<u64>> {
    // The kernel gives the whole line at once.
    let mut line = [0; 1024];
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let read = open(format!("/proc/{pid}/stat"), flags, Mode::empty())
        .and_then(|file| retry_on_intr(|| read(&file, &mut line)));
    let length = match read {
        Ok(length) => length,
        Err(Errno::NOENT | Errno::SRCH) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let line = line.get(..length).unwrap_or_default();
    let parsed = parse_start_time(&String::from_utf8_lossy(line));
    parsed.map(Some).ok_or_else(|| {
        let what = format!("/proc/{pid}/stat has no start time");
        io::Error::new(io::ErrorKind::InvalidData, what)
    })
}

/// The name, in parentheses, may hold anything, also parentheses.
fn parse_start_time(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    // The first word behind the name is the third field.
    after_name.split_whitespace().nth(22 - 3)?.parse().ok()
}

fn pidfd_inode(pidfd: BorrowedFd<'_>) -> io::Result<Option<u64>> {
    let system = rustix::fs::fstatfs(pidfd)?;
    if i128::from(system.f_type) != PIDFS_MAGIC {
        return Ok(None);
    }
    Ok(Some(rustix::fs::fstat(pidfd)?.st_ino))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::process::Command;

    use super::*;

    fn of_child(child: &std::process::Child) -> Identity {
        let pid = i32::try_from(child.id()).unwrap();
        let pidfd = pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap();
        Identity::of(pid, pidfd.as_fd()).unwrap()
    }

    #[test]
    fn the_name_of_a_process_confuses_nobody() {
        let rest = "S 1 1 1 0 -1 4194560 100 0 0 0 0 1 0 0 20 0 1 0 77 8192000 200";
        for name in ["sleep", "a) S 1 (b", "\n) R 2"] {
            assert_eq!(parse_start_time(&format!("5 ({name}) {rest}")), Some(77));
        }
        assert_eq!(parse_start_time("5 (sleep) S 1"), None);
        assert_eq!(parse_start_time(""), None);
    }

    #[test]
    fn a_process_is_known_until_its_end() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let identity = of_child(&child);
        assert!(identity.open().unwrap().is_some());
        child.kill().unwrap();
        // Ended and not yet reaped: the pid is still there.
        let pidfd = pidfd_open(Pid::from_raw(identity.pid).unwrap(), PidfdFlags::empty()).unwrap();
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        poll(&mut fds, None).unwrap();
        assert!(identity.open().unwrap().is_none());
        child.wait().unwrap();
        assert!(identity.open().unwrap().is_none());
    }

    /// The pid is in use, by another process than the one that is meant.
    #[test]
    fn another_process_with_the_pid_is_not_taken_for_it() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let identity = of_child(&child);
        let earlier = Identity {
            start_time: identity.start_time - 1,
            ..identity
        };
        assert!(earlier.open().unwrap().is_none());
        if let Some(inode) = identity.pidfd_inode {
            let other = Identity {
                pidfd_inode: Some(inode - 1),
                ..identity
            };
            assert!(other.open().unwrap().is_none(), "{other:?}");
        }
        let unknown = Identity {
            pidfd_inode: None,
            ..identity
        };
        assert!(
            unknown.open().unwrap().is_some(),
            "an older kernel's record"
        );
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
