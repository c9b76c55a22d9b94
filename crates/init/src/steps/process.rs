//! The process itself: ids, privileges, limits, and the program in the end.

use core::ffi::CStr;

use super::decimal::{DIGITS, decimal};
use super::{Failure, home};
use crate::errno::Errno;
use crate::format::{Groups, Strings};
use crate::message::Message;
use crate::sys;

/// In an environment: stands for the variable with the program's own pid; see sd_listen_fds(3).
const LISTEN_PID: &CStr = c"LISTEN_PID=";
const PR_SET_PDEATHSIG: i32 = 1;
const PR_SET_DUMPABLE: i32 = 4;
const PR_SET_KEEPCAPS: i32 = 8;
const PR_SET_NO_NEW_PRIVS: i32 = 38;

pub(super) fn not_dumpable() -> Result<(), Errno> {
    sys::prctl(PR_SET_DUMPABLE, [0; 4]).map(drop)
}

pub(super) fn leave_groups() -> Result<(), Errno> {
    match sys::setgroups(&[]) {
        // What was joined keeps them: see setgroups in user_namespaces(7).
        Err(Errno::EPERM) => Ok(()),
        result => result,
    }
}

pub(super) fn set_ids(uid: u32, gid: u32, groups: Option<Groups<'_>>) -> Result<(), Errno> {
    const UNCHANGED: u32 = u32::MAX;
    if uid == UNCHANGED || gid == UNCHANGED {
        // To the kernel this is no id but "leave it as it is", which would be the caller's.
        return Err(Errno::EINVAL);
    }
    sys::prctl(PR_SET_KEEPCAPS, [1, 0, 0, 0])?;
    if let Some(groups) = groups {
        sys::setgroups(groups.as_bytes())?;
    }
    sys::setresgid(gid)?;
    sys::setresuid(uid)?;
    // The change has cleared the effective set: what is still permitted is needed until the step
    // that sets the capabilities.
    let [_, permitted, inheritable] = sys::capget()?;
    sys::capset([permitted, permitted, inheritable])?;
    // With fs.suid_dumpable=1 a change of ids makes the process dumpable again.
    not_dumpable()
}

pub(super) fn loopback_up() -> Result<(), Errno> {
    const SIOCSIFFLAGS: usize = 0x8914;
    const IFF_UP: u16 = 1;
    /// `struct ifreq`.
    #[repr(C)]
    struct Request {
        name: [u8; 16],
        flags: u16,
        rest: [u8; 22],
    }
    let mut request = Request {
        name: [0; 16],
        flags: IFF_UP,
        rest: [0; 22],
    };
    request.name[..2].copy_from_slice(b"lo");
    let socket = sys::datagram_socket()?;
    sys::ioctl_with(socket.0, SIOCSIFFLAGS, &mut request).map(drop)
}

/// Goes to a directory, and makes sure that it is inside the root: for one that is not, getcwd(2)
/// answers with a path that does not begin with a slash.
#[inline(never)]
pub(super) fn working_directory(path: &CStr) -> Result<(), Errno> {
    sys::chdir(path)?;
    let mut buffer = [0; 4096];
    let length = sys::getcwd(&mut buffer)?;
    if length > 1 && buffer[0] == b'/' {
        Ok(())
    } else {
        Err(Errno::ENOENT)
    }
}

/// Leaves the caller's session keyring, with every key in it, for an empty one.
pub(super) fn session_keyring() -> Result<(), Errno> {
    match sys::join_session_keyring() {
        Err(Errno::ENOSYS) => Ok(()),
        other => other,
    }
}

pub(super) fn no_new_privileges() -> Result<(), Errno> {
    sys::prctl(PR_SET_NO_NEW_PRIVS, [1, 0, 0, 0]).map(drop)
}

/// Asks for a signal at the parent's end, then looks whether it has ended already.
pub(super) fn parent_death_signal(signal: u32, channel: i32) -> Result<(), Errno> {
    sys::prctl(PR_SET_PDEATHSIG, [signal as usize, 0, 0, 0])?;
    if sys::peer_is_gone(channel)? {
        Err(Errno::EPIPE)
    } else {
        Ok(())
    }
}

/// What execve(2) is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program {
    argv: &'static [usize],
    envp: &'static [usize],
    /// Bit N is set when there is a file at candidate N; unknown where that can still be asked when
    /// the execution has failed.
    there: Option<u64>,
}

impl Program {
    /// Lays the vectors out and gives signals back their defaults; looks which candidates are there
    /// if that can't be asked later: nothing may be left to do when a filter of system calls is on.
    pub(super) fn prepare(
        candidates: Strings<'_>,
        args: Strings<'_>,
        env: Strings<'_>,
        home: Option<usize>,
        filtered: bool,
    ) -> Result<Self, Errno> {
        let (argv, envp) = vectors(args, env, home)?;
        for (word, variable) in envp.iter_mut().zip(&env) {
            if variable == LISTEN_PID {
                *word = own_listen_pid()?;
            }
        }
        let there = filtered.then(|| {
            let bit = |(index, path)| u64::from(sys::exists(path)) << index;
            (0..64)
                .zip(&candidates)
                .map(bit)
                .fold(0, |all, bit| all | bit)
        });
        sys::default_signal_actions();
        sys::set_blocked_signals(0)?;
        Ok(Self { argv, envp, there })
    }

    /// Executes the program; comes back only with the reason why that failed.
    pub(super) fn execute(&self, candidates: Strings<'_>) -> Failure {
        let mut failure = Failure::from(Errno::ENOENT);
        for (index, path) in (0..).zip(&candidates) {
            match sys::execve(path, self.argv, self.envp) {
                // The file is there: what is missing is the interpreter that it names.
                Errno::ENOENT if self.is_there(index, path) => {
                    return Failure {
                        errno: Errno::ENOENT,
                        detail: index | Message::NO_INTERPRETER,
                    };
                }
                Errno::ENOENT | Errno::ENOTDIR => {}
                // As execvp(3): go on, but a refusal is worth more than an absence.
                Errno::EACCES => {
                    failure = Failure {
                        errno: Errno::EACCES,
                        detail: index,
                    }
                }
                errno => {
                    return Failure {
                        errno,
                        detail: index,
                    };
                }
            }
        }
        failure
    }

    fn is_there(&self, index: u32, path: &CStr) -> bool {
        match self.there {
            Some(there) => there.checked_shr(index).unwrap_or(0) & 1 == 1,
            None => sys::exists(path),
        }
    }
}

/// Where `LISTEN_PID=` is with this process' pid behind it: nobody knew that before.
fn own_listen_pid() -> Result<usize, Errno> {
    let mut digits = [0; DIGITS];
    let pid = decimal(sys::getpid(), &mut digits)?.to_bytes();
    let name = LISTEN_PID.to_bytes();
    let mut text = [0; 32];
    text[..name.len()].copy_from_slice(name);
    text[name.len()..name.len() + pid.len()].copy_from_slice(pid);
    keep(&text)
}

/// The address of a copy of a text that stays until execve(2). Its length is a multiple of a word's.
pub(super) fn keep(text: &[u8]) -> Result<usize, Errno> {
    let words = sys::map_words(text.len() / size_of::<usize>())?;
    for (word, bytes) in words.iter_mut().zip(text.as_chunks().0) {
        *word = usize::from_ne_bytes(*bytes);
    }
    Ok(words.as_ptr() as usize)
}

/// The arguments and the environment as execve(2) wants them, in one mapping: the addresses of
/// strings, with a zero behind the last one. The user's home takes its place where it is not said.
pub(super) fn vectors(
    args: Strings<'_>,
    env: Strings<'_>,
    home: Option<usize>,
) -> Result<(&'static mut [usize], &'static mut [usize]), Errno> {
    let length = args.iter().count() + 1;
    let words = sys::map_words(length + env.iter().count() + 1)?;
    let (argv, envp) = words.split_at_mut_checked(length).ok_or(Errno::EINVAL)?;
    for (word, string) in argv.iter_mut().zip(&args) {
        *word = string.as_ptr() as usize;
    }
    for (word, variable) in envp.iter_mut().zip(&env) {
        *word = match home {
            Some(home) if variable == home::UNSAID => home,
            _ => variable.as_ptr() as usize,
        };
    }
    Ok((argv, envp))
}
