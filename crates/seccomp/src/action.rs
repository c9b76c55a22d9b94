//! What happens to a system call.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// What the kernel does with a system call, see seccomp(2).
///
/// The word of the OCI specification is read and written by [`FromStr`] and [`fmt::Display`];
/// `SCMP_ACT_KILL` is the older word for `SCMP_ACT_KILL_THREAD`. A word has no errno: `Errno` and
/// `Trace` are read with EPERM, and [`Action::with_errno`] sets another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// The whole process dies, as by an uncaught SIGSYS. Linux 4.14.
    KillProcess,
    /// The calling thread dies.
    KillThread,
    /// The thread gets SIGSYS, which may be caught.
    Trap,
    /// The call is not made and fails with this errno, 0 to 4095.
    Errno(u16),
    /// A tracer is asked and gets this message; ENOSYS without one.
    Trace(u16),
    /// The call is made.
    Allow,
    /// The call is made and logged. Linux 4.14.
    Log,
    /// The listener decides, see [`Filter::install_with_listener`](crate::Filter::install_with_listener). Linux 5.0.
    Notify,
}

/// The largest errno that the kernel hands on.
const MAX_ERRNO: u16 = 4095;
const EPERM: u16 = 1;

impl Action {
    /// The same action with another errno (`errnoRet` of the OCI specification), or message for a
    /// tracer.
    ///
    /// # Errors
    /// `None` where the action has no errno, or it is too large.
    #[must_use]
    pub fn with_errno(self, errno: u32) -> Option<Self> {
        let errno = u16::try_from(errno).ok()?;
        match self {
            Self::Errno(_) if errno <= MAX_ERRNO => Some(Self::Errno(errno)),
            Self::Trace(_) => Some(Self::Trace(errno)),
            _ => None,
        }
    }

    /// Its errno, or the message for a tracer.
    #[must_use]
    pub fn errno(self) -> Option<u32> {
        match self {
            Self::Errno(errno) | Self::Trace(errno) => Some(errno.into()),
            _ => None,
        }
    }

    /// Whether the call is made without anybody being asked.
    pub(crate) fn lets_through(self) -> bool {
        matches!(self, Self::Allow | Self::Log)
    }

    /// What a filter returns to the kernel for it.
    #[must_use]
    pub fn to_return(self) -> u32 {
        match self {
            Self::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
            Self::KillThread => libc::SECCOMP_RET_KILL_THREAD,
            Self::Trap => libc::SECCOMP_RET_TRAP,
            Self::Errno(errno) => libc::SECCOMP_RET_ERRNO | u32::from(errno),
            Self::Trace(message) => libc::SECCOMP_RET_TRACE | u32::from(message),
            Self::Allow => libc::SECCOMP_RET_ALLOW,
            Self::Log => libc::SECCOMP_RET_LOG,
            Self::Notify => libc::SECCOMP_RET_USER_NOTIF,
        }
    }

    /// The action of what a filter returns, if it is one that this crate writes.
    pub(crate) fn from_return(value: u32) -> Option<Self> {
        let data = value as u16;
        let one = match value & libc::SECCOMP_RET_ACTION_FULL {
            libc::SECCOMP_RET_KILL_PROCESS => Self::KillProcess,
            libc::SECCOMP_RET_KILL_THREAD => Self::KillThread,
            libc::SECCOMP_RET_TRAP => Self::Trap,
            libc::SECCOMP_RET_ERRNO => Self::Errno(data),
            libc::SECCOMP_RET_TRACE => Self::Trace(data),
            libc::SECCOMP_RET_ALLOW => Self::Allow,
            libc::SECCOMP_RET_LOG => Self::Log,
            libc::SECCOMP_RET_USER_NOTIF => Self::Notify,
            _ => return None,
        };
        (one.to_return() == value).then_some(one)
    }

    /// How little is left of a call: of several filters' answers the kernel takes the strictest.
    pub(crate) fn strictness(self) -> u8 {
        match self {
            Self::KillProcess => 7,
            Self::KillThread => 6,
            Self::Trap => 5,
            Self::Errno(_) => 4,
            Self::Notify => 3,
            Self::Trace(_) => 2,
            Self::Log => 1,
            Self::Allow => 0,
        }
    }

    /// For people: `allow`, `errno 38`.
    pub(crate) fn in_words(self) -> String {
        match self {
            Self::KillProcess => "kill the process".to_owned(),
            Self::KillThread => "kill the thread".to_owned(),
            Self::Trap => "trap".to_owned(),
            Self::Errno(errno) => format!("errno {errno}"),
            Self::Trace(message) => format!("trace {message}"),
            Self::Allow => "allow".to_owned(),
            Self::Log => "log".to_owned(),
            Self::Notify => "notify".to_owned(),
        }
    }

    /// Why the kernel would not do what this says, if so.
    pub(crate) fn problem(self) -> Option<&'static str> {
        match self {
            Self::Errno(errno) if errno > MAX_ERRNO => Some("the errno is above 4095"),
            _ => None,
        }
    }
}

impl FromStr for Action {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        Ok(match word {
            "SCMP_ACT_KILL_PROCESS" => Self::KillProcess,
            "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Self::KillThread,
            "SCMP_ACT_TRAP" => Self::Trap,
            "SCMP_ACT_ERRNO" => Self::Errno(EPERM),
            "SCMP_ACT_TRACE" => Self::Trace(EPERM),
            "SCMP_ACT_ALLOW" => Self::Allow,
            "SCMP_ACT_LOG" => Self::Log,
            "SCMP_ACT_NOTIFY" => Self::Notify,
            _ => {
                return Err(Error::Word {
                    what: "action",
                    name: word.to_owned(),
                });
            }
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KillProcess => "SCMP_ACT_KILL_PROCESS",
            Self::KillThread => "SCMP_ACT_KILL_THREAD",
            Self::Trap => "SCMP_ACT_TRAP",
            Self::Errno(_) => "SCMP_ACT_ERRNO",
            Self::Trace(_) => "SCMP_ACT_TRACE",
            Self::Allow => "SCMP_ACT_ALLOW",
            Self::Log => "SCMP_ACT_LOG",
            Self::Notify => "SCMP_ACT_NOTIFY",
        })
    }
}
