//! Raw system calls: the only unsafe code of the program, without libc, errno or locks.
//!
//! Each wrapper takes references and descriptor numbers, so that it is safe to call: the kernel
//! checks numbers, and a reference is valid for as long as the call lasts. This file makes the
//! call; the wrappers stand below it, by what they act on.
//!
//! Addresses are references cast to numbers, which exposes their provenance, and the assembly is
//! neither `pure` nor `nomem`: so the compiler must assume that the kernel reads and writes all
//! that was ever cast. What the kernel writes to is always cast from `&mut`.
#![allow(unsafe_code)]

use core::ffi::CStr;
use core::ptr;

use crate::errno::Errno;

#[cfg(test)]
mod tests;

#[cfg_attr(target_arch = "x86_64", path = "sys/x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "sys/aarch64.rs")]
mod arch;
mod files;
mod landlock;
mod memory;
mod mounts;
mod process;
mod schedule;
mod signals;
mod sockets;

pub(crate) use arch::nr;
pub(crate) use files::*;
pub(crate) use landlock::*;
pub(crate) use memory::*;
pub(crate) use mounts::*;
pub(crate) use process::*;
pub(crate) use schedule::*;
pub(crate) use signals::*;
pub(crate) use sockets::*;

/// The numbers that every architecture shares, from `asm-generic/unistd.h`.
mod common_nr {
    pub(crate) const OPEN_TREE: usize = 428;
    pub(crate) const MOVE_MOUNT: usize = 429;
    pub(crate) const FSOPEN: usize = 430;
    pub(crate) const FSCONFIG: usize = 431;
    pub(crate) const FSMOUNT: usize = 432;
    pub(crate) const FSPICK: usize = 433;
    pub(crate) const CLONE3: usize = 435;
    pub(crate) const CLOSE_RANGE: usize = 436;
    pub(crate) const OPENAT2: usize = 437;
    pub(crate) const MOUNT_SETATTR: usize = 442;
    pub(crate) const LANDLOCK_ADD_RULE: usize = 445;
    pub(crate) const LANDLOCK_RESTRICT_SELF: usize = 446;
}

/// `AT_FDCWD` of open(2).
pub(crate) const AT_FDCWD: i32 = -100;
pub(crate) const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
pub(crate) const AT_EMPTY_PATH: u32 = 0x1000;
pub(crate) const AT_RECURSIVE: u32 = 0x8000;
pub(crate) const O_WRONLY: u64 = 0o1;
pub(crate) const O_RDWR: u64 = 0o2;
pub(crate) const O_CREAT: u64 = 0o100;
pub(crate) const O_EXCL: u64 = 0o200;
pub(crate) const O_NOCTTY: u64 = 0o400;
pub(crate) const O_TRUNC: u64 = 0o1000;
pub(crate) const O_NONBLOCK: u64 = 0o4000;
pub(crate) const O_CLOEXEC: u64 = 0o2_000_000;
pub(crate) const O_PATH: u64 = 0o10_000_000;
#[cfg(target_arch = "x86_64")]
pub(crate) const O_DIRECTORY: u64 = 0o200_000;
#[cfg(target_arch = "x86_64")]
pub(crate) const O_NOFOLLOW: u64 = 0o400_000;
#[cfg(target_arch = "aarch64")]
pub(crate) const O_DIRECTORY: u64 = 0o40_000;
#[cfg(target_arch = "aarch64")]
pub(crate) const O_NOFOLLOW: u64 = 0o100_000;

/// A descriptor that is closed when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Fd(pub(crate) i32);

impl Drop for Fd {
    fn drop(&mut self) {
        close(self.0);
    }
}

/// Makes a system call whose arguments are numbers, or addresses of live references.
///
/// Always inlined: the arguments go straight into registers, which is smaller than a call.
#[inline(always)]
fn call<const N: usize>(number: usize, args: [usize; N]) -> Result<usize, Errno> {
    let arg = |index| args.get(index).copied().unwrap_or(0);
    // SAFETY: every caller in this module and those below it passes as addresses only references that outlive the
    // call, with the lengths of what they refer to.
    let answer = unsafe { arch::call(number, [arg(0), arg(1), arg(2), arg(3), arg(4), arg(5)]) };
    if answer < 0 {
        Err(Errno(-answer as i32))
    } else {
        Ok(answer as usize)
    }
}

fn address<T: ?Sized>(value: &T) -> usize {
    ptr::from_ref(value).cast::<u8>() as usize
}

fn address_mut<T: ?Sized>(value: &mut T) -> usize {
    ptr::from_mut(value).cast::<u8>() as usize
}

fn text(value: &CStr) -> usize {
    value.as_ptr() as usize
}

fn fd(number: i32) -> usize {
    number as isize as usize
}

fn new_fd(answer: usize) -> Fd {
    Fd(answer as i32)
}
