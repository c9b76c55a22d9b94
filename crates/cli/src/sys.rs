//! What the standard library does before `main`, memory for a program that lives for some
//! milliseconds, and a helper that ends with it.
//!
//! musl asks the kernel for nearly every page of its heap by a call of its own and gives it back by
//! another, and the kernel brings each page in at a fault of its own. Here the first requests are
//! cut from one piece, which comes as a whole. What is given back is used again only if it was the
//! last: a program that goes on, and needs more, has the system's allocator for the rest.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::io;
use std::os::fd::IntoRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::{SIGPIPE, SigHandler, signal};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, fcntl_getfd};
use rustix::mm::{Advice, madvise};
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::stdio::{stderr, stdin, stdout};

/// More than all that an ordinary command takes.
const SIZE: usize = 256 << 10;

/// So much is brought in by one call in place of as many page faults, whenever it is begun. A page
/// that is never used costs as much as one that is: so it is little.
const AT_ONCE: usize = 8 << 10;

/// What a start takes of the stack, of which the kernel has reserved 128 KiB at exec.
const STACK_AT_ONCE: usize = 40 << 10;

/// What a program relies on from its first line on: that no file it opens becomes its output, since
/// 0, 1 and 2 are open, and that a pipe without a reader is an error and no end.
///
/// # Errors
/// What `/dev/null` can't be opened for.
pub(crate) fn prepare() -> io::Result<()> {
    for standard in [stdin(), stdout(), stderr()] {
        if fcntl_getfd(standard) == Err(Errno::BADF) {
            let null = open("/dev/null", OFlags::RDWR, Mode::empty())?;
            // The lowest number that is free: this one.
            let _ = null.into_raw_fd();
        }
    }
    // SAFETY: no function is installed.
    unsafe { signal(SIGPIPE, SigHandler::SigIgn) }?;
    Ok(())
}

/// Has a program that is to be started killed when the calling thread ends, however that does.
pub(crate) fn end_with_this_thread(command: &mut Command) {
    let ask = || Ok(set_parent_process_death_signal(Some(Signal::KILL))?);
    // SAFETY: between fork and exec it makes nothing but one system call.
    unsafe { command.pre_exec(ask) };
}

#[repr(align(4096))]
#[derive(Debug)]
struct Piece(UnsafeCell<[u8; SIZE]>);

// SAFETY: only addresses of it are handed out, and none twice: see `Memory::cut`.
unsafe impl Sync for Piece {}

/// It takes part of the program's memory when it is touched; build.rs has it lie behind all else, so
/// that the small variables share pages.
static PIECE: Piece = Piece(UnsafeCell::new([0; SIZE]));

static USED: AtomicUsize = AtomicUsize::new(0);

/// How much of it has been brought in.
static READY: AtomicUsize = AtomicUsize::new(0);

/// The piece, from the front, and the system's allocator behind it.
#[derive(Debug)]
pub struct Memory;

impl Memory {
    fn base(&self) -> *mut u8 {
        PIECE.0.get().cast()
    }

    fn is_in_piece(&self, part: *mut u8) -> bool {
        part.addr().wrapping_sub(self.base().addr()) < SIZE
    }

    /// The next part of the piece; `None` when it is used up.
    fn cut(&self, layout: Layout) -> Option<*mut u8> {
        let mut used = USED.load(Ordering::Relaxed);
        loop {
            let start = used.checked_next_multiple_of(layout.align())?;
            let end = start
                .checked_add(layout.size())
                .filter(|end| *end <= SIZE)?;
            if layout.align() > align_of::<Piece>() {
                return None;
            }
            match self.exchange(used, end) {
                Ok(()) => {
                    self.bring_in(end);
                    return Some(self.base().wrapping_add(start));
                }
                Err(now) => used = now,
            }
        }
    }

    /// Whether a part of the piece was the last one, and is as long as `size` now.
    fn resize_last(&self, part: *mut u8, old: usize, size: usize) -> bool {
        let start = part.addr() - self.base().addr();
        let end = start.checked_add(size).filter(|end| *end <= SIZE);
        end.is_some_and(|end| self.exchange(start + old, end).is_ok())
    }

    /// Brings in what is about to be used up to here, and some more. An older kernel (before Linux
    /// 5.14) refuses, and brings in each page when it is touched.
    fn bring_in(&self, end: usize) {
        let order = Ordering::Relaxed;
        let ready = READY.load(order);
        let until = end.next_multiple_of(AT_ONCE).min(SIZE);
        if end <= ready || READY.compare_exchange(ready, until, order, order).is_err() {
            return;
        }
        let start = self.base().wrapping_add(ready);
        // SAFETY: the range lies in the piece, and bringing it in changes none of its contents.
        let _ = unsafe { madvise(start.cast(), until - ready, Advice::LinuxPopulateWrite) };
    }

    fn exchange(&self, from: usize, to: usize) -> Result<(), usize> {
        let order = Ordering::Relaxed;
        USED.compare_exchange(from, to, order, order).map(drop)
    }
}

/// Brings in the part of the stack that a start is going to use, by one call.
pub(crate) fn bring_in_stack() {
    let here = 0u8;
    let page = ptr::from_ref(&here).map_addr(|here| here & !(align_of::<Piece>() - 1));
    let start = page.wrapping_sub(STACK_AT_ONCE).cast_mut();
    // SAFETY: nothing uses the stack below this frame, and bringing it in changes none of its
    // contents; what is not reserved is refused.
    let _ = unsafe { madvise(start.cast(), STACK_AT_ONCE, Advice::LinuxPopulateWrite) };
}

// SAFETY: parts of the piece do not overlap, since `used` only grows over a part that is handed out
// and is set back only by the owner of the last one; they have the alignment that was asked for,
// since the piece has that of a page. All else is the system's allocator.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.cut(layout) {
            Some(part) => part,
            // SAFETY: the caller's promise about the layout is the one that is asked for here.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, part: *mut u8, layout: Layout) {
        if self.is_in_piece(part) {
            self.resize_last(part, layout.size(), 0);
        } else {
            // SAFETY: what does not lie in the piece came from the system, with this layout.
            unsafe { System.dealloc(part, layout) };
        }
    }

    unsafe fn realloc(&self, part: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !self.is_in_piece(part) {
            // SAFETY: what does not lie in the piece came from the system, with this layout.
            return unsafe { System.realloc(part, layout, size) };
        }
        if size <= layout.size() || self.resize_last(part, layout.size(), size) {
            return part;
        }
        let Ok(wanted) = Layout::from_size_align(size, layout.align()) else {
            return ptr::null_mut();
        };
        // SAFETY: the size is not zero, as the caller promises for `realloc`.
        let new = unsafe { self.alloc(wanted) };
        if !new.is_null() {
            // SAFETY: the new part is longer than the old one, and both are the caller's alone.
            unsafe { ptr::copy_nonoverlapping(part, new, layout.size()) };
        }
        new
    }
}

/// What the standard library would ask of an unwinder. Where a panic ends the program, and no table
/// says how its frames lie, there is nothing to ask: the unwinder, and all that would find names for
/// what it finds, are left out of the program.
#[cfg(all(target_env = "musl", panic = "abort"))]
mod unwinder {
    use std::ffi::{c_int, c_void};
    use std::process::abort;

    /// `_URC_END_OF_STACK`.
    const END_OF_STACK: c_int = 5;

    // SAFETY: it has the parameters of the unwinder's function, and takes nothing from them.
    #[unsafe(no_mangle)]
    extern "C" fn _Unwind_Backtrace(_: *const c_void, _: *mut c_void) -> c_int {
        END_OF_STACK
    }

    macro_rules! never_called {
        ($($name:ident)*) => {$(
            // SAFETY: it is called by what unwinds, or by what a backtrace calls, alone.
            #[unsafe(no_mangle)]
            extern "C" fn $name() {
                abort()
            }
        )*};
    }

    never_called! {
        _Unwind_FindEnclosingFunction _Unwind_GetCFA _Unwind_GetDataRelBase _Unwind_GetIP
        _Unwind_GetIPInfo _Unwind_GetLanguageSpecificData _Unwind_GetRegionStart
        _Unwind_GetTextRelBase _Unwind_Resume _Unwind_SetGR _Unwind_SetIP
    }
}
