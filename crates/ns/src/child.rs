//! A handle of a child process.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::unistd::Pid;
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::{Error, sys};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExitStatus {
    /// It ended itself with this code, 0 to 255.
    Exited(i32),
    /// It was ended by the signal of this number.
    Signaled(i32),
}

impl ExitStatus {
    /// Whether the process ended itself with code 0.
    #[must_use]
    pub const fn success(self) -> bool {
        matches!(self, Self::Exited(0))
    }

    /// The status as a shell shows it: the code, or 128 plus the number of the signal.
    #[must_use]
    pub const fn shell_code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => 128_i32.saturating_add(signal),
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(formatter, "exited with code {code}"),
            Self::Signaled(signal) => match nix::sys::signal::Signal::try_from(*signal) {
                Ok(name) => write!(formatter, "killed by signal {signal} ({name})"),
                Err(_) => write!(formatter, "killed by signal {signal}"),
            },
        }
    }
}

/// A child process, held by its pidfd: signals and waits can never hit another process that got the
/// same pid.
///
/// A child that is dropped is killed and reaped; a failure of that is logged at warn.
/// [`keep`](Self::keep) lets it go instead.
#[derive(Debug)]
#[must_use = "a child that is dropped is killed"]
pub struct Child {
    pid: Pid,
    pidfd: OwnedFd,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Running,
    Ended(ExitStatus),
    /// Nothing can be waited for any more, and nothing is done on drop.
    Gone,
}

impl Child {
    pub(crate) fn new(pid: Pid, pidfd: OwnedFd) -> Self {
        Self {
            pid,
            pidfd,
            state: State::Running,
        }
    }

    /// Takes over a child of this process that was made by another one (with CLONE_PARENT), which
    /// sent its pidfd.
    ///
    /// # Errors
    /// [`Error::NotAPidfd`] when the descriptor is no pidfd, or `/proc` does not show its process;
    /// [`Error::Reaped`] when the process is not a child of this process. The process is left alone
    /// then.
    pub fn from_pidfd(pidfd: OwnedFd) -> Result<Self, Error> {
        let information = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
        let text = std::fs::read_to_string(information).map_err(|_| Error::NotAPidfd)?;
        let pid = text
            .lines()
            .find_map(|line| line.strip_prefix("Pid:")?.trim().parse::<i32>().ok())
            .filter(|pid| *pid > 0)
            .ok_or(Error::NotAPidfd)?;
        let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::PidFd(pidfd.as_fd()), peek) {
            Ok(_) => Ok(Self::new(Pid::from_raw(pid), pidfd)),
            Err(Errno::CHILD) => Err(Error::Reaped { pid }),
            Err(errno) => Err(Error::Wait {
                pid,
                source: errno.into(),
            }),
        }
    }

    /// The pid, as seen from the caller's pid namespace. It is the child's until it is reaped.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The pidfd. It is readable (poll) as soon as the child has ended, and stays so.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Sends a signal; any `nix` or `libc` signal number, or 0 to only ask whether it would arrive.
    ///
    /// See [pidfd_send_signal(2)], Linux 5.1.
    ///
    /// # Errors
    /// [`Error::Signal`]: ESRCH when the child was reaped, EPERM when it runs as another user,
    /// EINVAL when there is no such signal.
    ///
    /// [pidfd_send_signal(2)]: https://man7.org/linux/man-pages/man2/pidfd_send_signal.2.html
    pub fn signal(&self, signal: i32) -> Result<(), Error> {
        sys::pidfd_send_signal(self.pidfd(), signal).map_err(|source| Error::Signal {
            pid: self.pid.as_raw(),
            signal,
            source,
        })
    }

    /// Ends the child with SIGKILL. It still has to be waited for. A child that is gone already is
    /// no error.
    ///
    /// # Errors
    /// [`Error::Signal`] with EPERM when it runs as another user.
    pub fn kill(&self) -> Result<(), Error> {
        match self.signal(libc::SIGKILL) {
            Err(error) if error.errno() == Some(libc::ESRCH) => Ok(()),
            result => result,
        }
    }

    /// Waits until the child has ended and reaps it. Further calls return the same status.
    ///
    /// See [waitid(2)](https://man7.org/linux/man-pages/man2/waitid.2.html); P_PIDFD needs
    /// Linux 5.4.
    ///
    /// # Errors
    /// [`Error::Reaped`] (ECHILD) when the status is lost since something else reaped the child or
    /// SIGCHLD is ignored: the child has ended then, too. Else [`Error::Wait`].
    pub fn wait(&mut self) -> Result<ExitStatus, Error> {
        loop {
            if let Some(status) = self.wait_with(WaitIdOptions::EXITED)? {
                return Ok(status);
            }
        }
    }

    /// Reaps the child if it has ended, and returns `None` if it has not.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.wait_with(WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
    }

    /// Lets the child go without killing it. Somebody else has to reap it.
    pub fn keep(mut self) {
        self.state = State::Gone;
    }

    fn wait_with(&mut self, options: WaitIdOptions) -> Result<Option<ExitStatus>, Error> {
        let pid = self.pid.as_raw();
        match self.state {
            State::Ended(status) => return Ok(Some(status)),
            State::Gone => return Err(Error::Reaped { pid }),
            State::Running => {}
        }
        let waited =
            rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(self.pidfd.as_fd()), options));
        match waited {
            Ok(None) => Ok(None),
            Ok(Some(status)) => {
                let ended = match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => ExitStatus::Exited(code),
                    (None, signal) => ExitStatus::Signaled(signal.unwrap_or_default()),
                };
                self.state = State::Ended(ended);
                Ok(Some(ended))
            }
            Err(Errno::CHILD) => {
                self.state = State::Gone;
                Err(Error::Reaped { pid })
            }
            Err(errno) => Err(Error::Wait {
                pid,
                source: errno.into(),
            }),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !matches!(self.state, State::Running) {
            return;
        }
        // A child that cannot be killed is not waited for: that could last for ever.
        let ended = self.kill().and_then(|()| self.wait().map(drop));
        match ended {
            Ok(()) | Err(Error::Reaped { .. }) => {}
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                log::warn!("left behind: {error}: {}", cause.unwrap_or_default());
            }
        }
    }
}
