//! System calls that have no safe wrapper elsewhere, and the memory of a stack.

#![allow(unsafe_code)]

use std::arch::asm;
use std::ffi::{c_int, c_long};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("crabcan-ns knows the system call conventions of x86_64 and aarch64 only");

const NS_GET_NSTYPE: libc::c_ulong = 0xb703;

/// The type of the namespace behind a descriptor **on nsfs**, as a clone flag.
pub(crate) fn namespace_kind(descriptor: BorrowedFd<'_>) -> io::Result<c_int> {
    // SAFETY: the request takes no argument and touches no memory.
    let kind = unsafe { libc::ioctl(descriptor.as_raw_fd(), NS_GET_NSTYPE as _) };
    if kind < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(kind)
    }
}

pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: c_int) -> io::Result<()> {
    let arguments = [raw_fd(pidfd), signal as usize, 0, 0, 0];
    // SAFETY: without a siginfo (null) the call reads no memory.
    let result = unsafe { system_call(libc::SYS_pidfd_send_signal, arguments) };
    result.map(drop).map_err(io::Error::from_raw_os_error)
}

/// Private memory with an inaccessible part at its lower end.
#[derive(Debug)]
pub(crate) struct Mapping {
    address: usize,
    total: usize,
    guard: usize,
}

impl Mapping {
    /// Both sizes are multiples of the page size, and `guard < total`.
    pub(crate) fn with_guard(total: usize, guard: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        // SAFETY: a new mapping at an address of the kernel's choice overlaps no other memory.
        let address = unsafe { libc::mmap(ptr::null_mut(), total, libc::PROT_NONE, flags, -1, 0) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mapping = Self {
            address: address.expose_provenance(),
            total,
            guard,
        };
        let usable = address.wrapping_byte_add(guard);
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the range lies in the mapping just made, which nobody uses yet.
        let result = unsafe { libc::mprotect(usable, total - guard, protection) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(mapping)
    }

    /// The lowest address above the guard, and the size from there.
    pub(crate) fn usable(&self) -> (usize, usize) {
        (self.address + self.guard, self.total - self.guard)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let address = ptr::with_exposed_provenance_mut(self.address);
        // SAFETY: the mapping is this value's own, and no child runs on it any more: one that
        // shares the memory has executed its program or ended before its clone returned.
        unsafe { libc::munmap(address, self.total) };
    }
}

/// All signals of the calling thread are blocked, also those that libc hides, until this is dropped.
pub(crate) struct BlockedSignals {
    before: u64,
}

impl BlockedSignals {
    pub(crate) fn new() -> io::Result<Self> {
        let mut before = 0_u64;
        let all = u64::MAX;
        set_mask(&all, &raw mut before).map_err(io::Error::from_raw_os_error)?;
        Ok(Self { before })
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // With valid arguments the call cannot fail.
        let _ = set_mask(&self.before, ptr::null_mut());
    }
}

fn set_mask(mask: &u64, before: *mut u64) -> Result<(), c_int> {
    let how = libc::SIG_SETMASK as usize;
    let arguments = [
        how,
        ptr::from_ref(mask).expose_provenance(),
        before.expose_provenance(),
        size_of::<u64>(),
        0,
    ];
    // SAFETY: the call reads one mask and writes one, each of the size that is given, or none to null.
    unsafe { system_call(libc::SYS_rt_sigprocmask, arguments) }.map(drop)
}

pub(crate) fn raw_fd(descriptor: BorrowedFd<'_>) -> usize {
    descriptor.as_raw_fd() as usize
}

/// Ends this process, which is a cloned child, without running anything more.
pub(crate) fn exit(code: usize) -> ! {
    loop {
        // SAFETY: the call ends this process, which is a child made above.
        let _ = unsafe { system_call(libc::SYS_exit_group, [code, 0, 0, 0, 0]) };
    }
}

/// One system call, without libc.
///
/// # Safety
/// What the kernel does with these arguments is sound.
pub(crate) unsafe fn system_call(number: c_long, arguments: [usize; 5]) -> Result<usize, c_int> {
    let [first, second, third, fourth, fifth] = arguments;
    let result: isize;
    // SAFETY: the registers are those of the kernel's convention; memory is taken as clobbered.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            in("r10") fourth,
            in("r8") fifth,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "svc #0",
            inlateout("x0") first as isize => result,
            in("x1") second,
            in("x2") third,
            in("x3") fourth,
            in("x4") fifth,
            in("x8") number,
            options(nostack),
        );
    }
    if result < 0 {
        Err(-(result as c_int))
    } else {
        Ok(result as usize)
    }
}
