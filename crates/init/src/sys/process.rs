//! The process: its ids, its capabilities, its end, its children.

use core::ffi::CStr;

use core::mem::size_of;

use super::{Fd, address, address_mut, arch, call, common_nr, fd, nr, text};
use crate::errno::Errno;
use crate::format::Instructions;

pub(crate) fn exit(status: i32) -> ! {
    // It returns only where a filter of system calls forbids it.
    let _ = call(nr::EXIT_GROUP, [status as usize]);
    arch::trap()
}

/// `struct sock_fprog`.
#[repr(C)]
pub(super) struct FilterProgram {
    length: u16,
    instructions: usize,
}

/// Installs a filter on this thread, the only one there is; gives the listener's number when the
/// flags ask for a listener.
pub(crate) fn set_filter(program: Instructions<'_>, flags: u32) -> Result<usize, Errno> {
    const SECCOMP_SET_MODE_FILTER: usize = 1;
    let program = FilterProgram {
        length: program.count() as u16,
        instructions: program.as_bytes().as_ptr() as usize,
    };
    let args = [SECCOMP_SET_MODE_FILTER, flags as usize, address(&program)];
    call(nr::SECCOMP, args)
}

/// Sets the mask of file modes and gives the one before.
pub(crate) fn umask(mask: u32) -> u32 {
    // umask(2) has no errors.
    call(nr::UMASK, [mask as usize]).unwrap_or(0) as u32
}

pub(crate) fn prctl(option: i32, args: [usize; 4]) -> Result<usize, Errno> {
    call(
        nr::PRCTL,
        [option as usize, args[0], args[1], args[2], args[3]],
    )
}

/// Names the calling thread, as `ps -o comm` shows it.
pub(crate) fn set_name(name: &CStr) -> Result<(), Errno> {
    const PR_SET_NAME: i32 = 15;
    prctl(PR_SET_NAME, [text(name), 0, 0, 0]).map(drop)
}

pub(crate) fn setresuid(uid: u32) -> Result<(), Errno> {
    let uid = uid as usize;
    call(nr::SETRESUID, [uid, uid, uid]).map(drop)
}

pub(crate) fn setresgid(gid: u32) -> Result<(), Errno> {
    let gid = gid as usize;
    call(nr::SETRESGID, [gid, gid, gid]).map(drop)
}

/// `groups` holds one gid in four bytes of native order each.
pub(crate) fn setgroups(groups: &[u8]) -> Result<(), Errno> {
    call(nr::SETGROUPS, [groups.len() / 4, groups.as_ptr() as usize]).map(drop)
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

impl CapabilityHeader {
    /// Version 3, the calling thread. The kernel writes to it when it knows no such version.
    const OWN: Self = Self {
        version: 0x2008_0522,
        pid: 0,
    };
}

/// Effective, permitted and inheritable sets of the calling thread.
pub(crate) fn capget() -> Result<[u64; 3], Errno> {
    let mut header = CapabilityHeader::OWN;
    let mut data = [[0u32; 3]; 2];
    call(
        nr::CAPGET,
        [address_mut(&mut header), address_mut(&mut data)],
    )?;
    let [low, high] = data;
    let join = |index: usize| u64::from(low[index]) | u64::from(high[index]) << 32;
    Ok([join(0), join(1), join(2)])
}

/// Sets effective, permitted and inheritable capabilities of the calling thread.
pub(crate) fn capset(sets: [u64; 3]) -> Result<(), Errno> {
    let mut header = CapabilityHeader::OWN;
    let data = [
        sets.map(|set| set as u32),
        sets.map(|set| (set >> 32) as u32),
    ];
    call(nr::CAPSET, [address_mut(&mut header), address(&data)]).map(drop)
}

pub(crate) fn setrlimit(resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = [soft, hard];
    call(nr::PRLIMIT64, [0, resource as usize, address(&limit), 0]).map(drop)
}

/// A new session keyring without a name, in place of the inherited one.
pub(crate) fn join_session_keyring() -> Result<(), Errno> {
    const KEYCTL_JOIN_SESSION_KEYRING: usize = 1;
    call(nr::KEYCTL, [KEYCTL_JOIN_SESSION_KEYRING, 0]).map(drop)
}

pub(crate) fn setsid() -> Result<(), Errno> {
    call(nr::SETSID, []).map(drop)
}

pub(crate) fn sethostname(name: &CStr) -> Result<(), Errno> {
    call(nr::SETHOSTNAME, [text(name), name.to_bytes().len()]).map(drop)
}

/// A copy of this process; the caller sleeps until the copy has executed a program or is gone.
/// `Ok(0)` in the copy.
pub(crate) fn fork_and_wait_for_exec() -> Result<i32, Errno> {
    const CLONE_VFORK: usize = 0x4000;
    const SIGCHLD: usize = 17;
    // Without CLONE_VM the memory is copied, so the copy may do whatever it likes in its frames.
    call(nr::CLONE, arch::clone_arguments(CLONE_VFORK | SIGCHLD)).map(|pid| pid as i32)
}

/// Executes a program; returns only when that failed.
///
/// `argv` and `envp` hold addresses of NUL-terminated strings and end with a zero.
pub(crate) fn execve(path: &CStr, argv: &[usize], envp: &[usize]) -> Errno {
    let args = [text(path), argv.as_ptr() as usize, envp.as_ptr() as usize];
    match call(nr::EXECVE, args) {
        Err(errno) => errno,
        // execve(2) returns only with an error.
        Ok(_) => Errno::EINVAL,
    }
}

/// Reaps one child that has ended: its pid and wait status, or `None` when none has.
pub(crate) fn reap_one() -> Result<Option<(i32, i32)>, Errno> {
    const WNOHANG: usize = 1;
    let mut status = 0i32;
    let pid = call(
        nr::WAIT4,
        [usize::MAX, address_mut(&mut status), WNOHANG, 0],
    )?;
    Ok((pid != 0).then_some((pid as i32, status)))
}

pub(crate) fn kill(pid: i32, signal: i32) -> Result<(), Errno> {
    call(nr::KILL, [fd(pid), signal as usize]).map(drop)
}

pub(crate) fn setdomainname(name: &CStr) -> Result<(), Errno> {
    call(nr::SETDOMAINNAME, [text(name), name.to_bytes().len()]).map(drop)
}

pub(crate) fn unshare(flags: u32) -> Result<(), Errno> {
    call(nr::UNSHARE, [flags as usize]).map(drop)
}

/// Joins by the descriptor of a namespace or of a process.
pub(crate) fn setns(number: i32, flags: u32) -> Result<(), Errno> {
    call(nr::SETNS, [fd(number), flags as usize]).map(drop)
}

/// The pid in the process' own namespace.
pub(crate) fn getpid() -> i32 {
    // getpid(2) has no errors.
    call(nr::GETPID, []).unwrap_or(0) as i32
}

/// `struct clone_args` of clone3(2), in its first version.
#[repr(C)]
#[derive(Default)]
pub(super) struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

/// A copy of this process with a descriptor of it: its child, or its sibling. `None` in the copy.
fn clone3(flags: u64, exit_signal: u64) -> Result<Option<(i32, Fd)>, Errno> {
    const CLONE_PIDFD: u64 = 0x1000;
    let mut pidfd = 0i32;
    let args = CloneArgs {
        flags: flags | CLONE_PIDFD,
        pidfd: address_mut(&mut pidfd) as u64,
        exit_signal,
        ..CloneArgs::default()
    };
    // Without CLONE_VM the memory is copied, so the copy may do whatever it likes in its frames.
    let pid = call(common_nr::CLONE3, [address(&args), size_of::<CloneArgs>()])?;
    // Only where there is one: in the copy the number is still 0, which is its standard input.
    Ok((pid != 0).then(|| (pid as i32, Fd(pidfd))))
}

/// A copy of this process whose parent is this one's. `None` in the copy.
pub(crate) fn fork_sibling() -> Result<Option<(i32, Fd)>, Errno> {
    const CLONE_PARENT: u64 = 0x8000;
    // What is sent at its end is what is sent at this one's.
    clone3(CLONE_PARENT, 0)
}

/// A child that is a copy of this process. `None` in the copy.
pub(crate) fn fork_child() -> Result<Option<(i32, Fd)>, Errno> {
    const SIGCHLD: u64 = 17;
    clone3(0, SIGCHLD)
}

/// Waits for the end of a child; its wait status.
pub(crate) fn wait_for(pid: i32) -> Result<i32, Errno> {
    let mut status = 0i32;
    loop {
        match call(nr::WAIT4, [fd(pid), address_mut(&mut status), 0, 0]) {
            Err(Errno::EINTR) => {}
            other => return other.map(|_| status),
        }
    }
}
