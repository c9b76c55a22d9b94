//! The system calls that no safe wrapper has.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;

use nix::sys::signal::SigSet;
use nix::unistd::Pid;
use rustix::io::{Errno, FdFlags};

use crate::plan::SchedulerNumbers;

/// Whether a signal's action is to be ignored.
pub(crate) fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null new action only asks, and `action` is a whole structure to be written.
    let answer = unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: zeroed at birth, so initialised whether or not the call filled it.
    let action = unsafe { action.assume_init() };
    answer == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// Gives SIGCHLD its default action if it is ignored: then the kernel keeps how a child ended.
pub(crate) fn keep_ends_of_children() {
    if !is_ignored(libc::SIGCHLD) {
        return;
    }
    let default = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: all zeroes are a whole structure: SIG_DFL, no flags, an empty mask.
    let default = unsafe { default.assume_init() };
    // SAFETY: no handler is taken away, since the signal is ignored, and none is set.
    unsafe { libc::sigaction(libc::SIGCHLD, &raw const default, ptr::null_mut()) };
}

/// Sends a signal of any number to a process, see pidfd_send_signal(2).
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    let (descriptor, none) = (pidfd.as_raw_fd(), ptr::null::<libc::siginfo_t>());
    // SAFETY: the descriptor is open, and a null information asks for the kernel's own.
    let answer = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, descriptor, signal, none, 0) };
    match answer {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
    }
}

/// How another process is scheduled, see sched_setattr(2).
pub(crate) fn sched_setattr(pid: Pid, numbers: &SchedulerNumbers) -> Result<(), Errno> {
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: numbers.policy,
        sched_flags: numbers.flags,
        sched_nice: numbers.nice,
        sched_priority: numbers.priority,
        sched_runtime: numbers.runtime,
        sched_deadline: numbers.deadline,
        sched_period: numbers.period,
    };
    let (pid, attributes) = (pid.as_raw(), &raw const attributes);
    // SAFETY: the kernel reads the structure, as much of it as its `size` says.
    let answer = unsafe { libc::syscall(libc::SYS_sched_setattr, pid, attributes, 0) };
    match answer {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
    }
}

/// A close-on-exec copy of a descriptor that this program was started with, with a number from
/// `above` on; EBADF without one.
pub(crate) fn copy_of_inherited(number: i32, above: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: the kernel looks at the number and refuses one that is not open.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, above) };
    if copy < 0 {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::BADF));
    }
    // SAFETY: the kernel has just made it, for nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Lets a program that is executed have these descriptors, under their numbers here.
pub(crate) fn hand_on(command: &mut Command, descriptors: impl Iterator<Item = OwnedFd>) {
    let descriptors: Vec<OwnedFd> = descriptors.collect();
    let keep_open = move || {
        for descriptor in &descriptors {
            rustix::io::fcntl_setfd(descriptor, FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec it makes nothing but one system call for each descriptor: no
    // memory is taken and no lock.
    unsafe { command.pre_exec(keep_open) };
}

/// The same signals, and those of real time that the C library has left.
pub(crate) fn with_real_time_signals(set: SigSet) -> SigSet {
    let mut raw = *set.as_ref();
    for signal in libc::SIGRTMIN()..=libc::SIGRTMAX() {
        // SAFETY: the set is this function's own, and was a valid one before.
        let added = unsafe { libc::sigaddset(&raw mut raw, signal) };
        debug_assert_eq!(added, 0, "the number is one of a signal");
    }
    // SAFETY: what it holds are signals that there are.
    unsafe { SigSet::from_sigset_t_unchecked(raw) }
}
