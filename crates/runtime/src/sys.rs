//! The system calls that no safe wrapper has.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ptr;

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
