//! Descriptors and memory.

use core::mem::size_of;
use core::sync::atomic::{AtomicU32, AtomicU64};

use super::{Fd, call, common_nr, fd, new_fd, nr};
use crate::errno::Errno;

// Not inlined: every scope that owns a descriptor has a call of it.
#[inline(never)]
pub(crate) fn close(number: i32) {
    // The descriptor is gone whatever close(2) answers, so there is nothing to do about an error.
    let _ = call(nr::CLOSE, [fd(number)]);
}

pub(crate) fn dup_onto(from: i32, to: i32) -> Result<(), Errno> {
    call(nr::DUP3, [fd(from), fd(to), 0]).map(drop)
}

/// Sets close-on-exec.
pub(crate) fn close_on_exec(number: i32) -> Result<(), Errno> {
    const F_SETFD: usize = 2;
    call(nr::FCNTL, [fd(number), F_SETFD, 1]).map(drop)
}

/// Maps a whole file read-only, for the rest of the process' life or until [`unmap`].
pub(crate) fn map_file(number: i32, length: usize) -> Result<&'static [u8], Errno> {
    const MAP_PRIVATE_POPULATE: usize = 0x8002;
    const PROT_READ: usize = 1;
    let start = call(
        nr::MMAP,
        [0, length, PROT_READ, MAP_PRIVATE_POPULATE, fd(number), 0],
    )?;
    // SAFETY: the kernel has just mapped `length` readable bytes at `start`, the file behind
    // them is sealed against writing and shrinking, and nothing else knows the mapping.
    Ok(unsafe { core::slice::from_raw_parts(start as *const u8, length) })
}

/// Zeroed memory for `length` words, never given back: it holds the vectors of execve(2).
pub(crate) fn map_words(length: usize) -> Result<&'static mut [usize], Errno> {
    const MAP_PRIVATE_ANONYMOUS: usize = 0x22;
    const PROT_READ_WRITE: usize = 3;
    let bytes = length * size_of::<usize>();
    let start = call(
        nr::MMAP,
        [
            0,
            bytes,
            PROT_READ_WRITE,
            MAP_PRIVATE_ANONYMOUS,
            usize::MAX,
            0,
        ],
    )?;
    // SAFETY: the kernel has just mapped that many zeroed, page-aligned bytes for us alone.
    Ok(unsafe { core::slice::from_raw_parts_mut(start as *mut usize, length) })
}

/// Four zeroed words that a copy of this process has in common with it.
pub(crate) fn map_shared_words() -> Result<&'static [AtomicU32; 4], Errno> {
    const MAP_SHARED_ANONYMOUS: usize = 0x21;
    const PROT_READ_WRITE: usize = 3;
    let length = size_of::<[AtomicU32; 4]>();
    let start = call(
        nr::MMAP,
        [
            0,
            length,
            PROT_READ_WRITE,
            MAP_SHARED_ANONYMOUS,
            usize::MAX,
            0,
        ],
    )?;
    // SAFETY: the kernel has just mapped a zeroed page, which is never taken away; whoever shares
    // it uses it by atomic operations alone.
    Ok(unsafe { &*(start as *const [AtomicU32; 4]) })
}

/// Maps a shared file of numbers, for the rest of the process' life.
pub(crate) fn map_numbers(number: i32, count: usize) -> Result<&'static [AtomicU64], Errno> {
    const MAP_SHARED: usize = 1;
    const PROT_READ_WRITE: usize = 3;
    let length = count * size_of::<AtomicU64>();
    let start = call(
        nr::MMAP,
        [0, length, PROT_READ_WRITE, MAP_SHARED, fd(number), 0],
    )?;
    // SAFETY: the kernel has just mapped that many bytes, of a file that is sealed against
    // shrinking; whoever shares it uses it by atomic operations alone.
    Ok(unsafe { core::slice::from_raw_parts(start as *const AtomicU64, count) })
}

/// Takes the plan's mapping away, so that the reaper remembers nothing of the host.
pub(crate) fn forget_plan(bytes: &'static [u8]) {
    // An error is not possible for a mapping of our own, and would only leave it there. The walker
    // calls this last: the reaper touches nothing of the plan, a stray access would end it.
    let _ = call(nr::MUNMAP, [bytes.as_ptr() as usize, bytes.len()]);
}

/// Closes a descriptor and all above it.
pub(crate) fn close_from(first: i32) -> Result<(), Errno> {
    call(common_nr::CLOSE_RANGE, [fd(first), i32::MAX as usize, 0]).map(drop)
}

/// A second descriptor that execve(2) closes, with a number not below `least`.
pub(crate) fn dup_above(from: i32, least: i32) -> Result<Fd, Errno> {
    const F_DUPFD_CLOEXEC: usize = 1030;
    call(nr::FCNTL, [fd(from), F_DUPFD_CLOEXEC, fd(least)]).map(new_fd)
}

/// A descriptor that is none of the standard ones, which the caller may have closed: those are for
/// the program, and what opens a file gets the lowest number that is free.
pub(crate) fn beyond_standard(opened: Fd) -> Result<Fd, Errno> {
    match opened.0 {
        0..=2 => dup_above(opened.0, 3),
        _ => Ok(opened),
    }
}
