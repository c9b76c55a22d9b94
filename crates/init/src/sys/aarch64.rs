//! System calls of aarch64: how one is made, and their numbers.

use core::arch::asm;
#[cfg(crabcan_program)]
use core::arch::global_asm;

/// Makes system call `number`; the kernel answers with a value or a negated errno.
///
/// # Safety
/// Every argument that the call reads as an address is valid for what the kernel does with it.
#[inline(always)]
pub(super) unsafe fn call(number: usize, args: [usize; 6]) -> isize {
    let answer: isize;
    // SAFETY: `svc 0` clobbers only x0, and the caller vouches for the addresses among the
    // arguments.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") args[0] as isize => answer,
            in("x1") args[1], in("x2") args[2], in("x3") args[3],
            in("x4") args[4], in("x5") args[5], options(nostack));
    }
    answer
}

/// Ends the process by a signal (SIGTRAP), without a system call.
pub(super) fn trap() -> ! {
    // SAFETY: the instruction only raises an exception, and nothing comes after it.
    unsafe { asm!("brk #1", options(noreturn, nomem, nostack)) }
}

/// `clone(2)` takes its arguments in another order on every architecture: here flags, stack,
/// parent_tid, tls, child_tid.
pub(super) const fn clone_arguments(flags: usize) -> [usize; 6] {
    [flags, 0, 0, 0, 0, 0]
}

#[cfg(crabcan_program)]
global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, #0",
    "mov x30, #0",
    "bl {entry}",
    "brk #1",
    entry = sym crate::walk::entry,
);

// The compiler calls these by name. They are written in assembly because a loop in Rust may be
// compiled into a call of the very function it is to be.
#[cfg(crabcan_program)]
global_asm!(
    ".globl memcpy",
    "memcpy:",
    "mov x3, x0",
    "2: cbz x2, 3f",
    "ldrb w4, [x1], #1",
    "strb w4, [x3], #1",
    "sub x2, x2, #1",
    "b 2b",
    "3: ret",
    ".globl memmove",
    "memmove:",
    "sub x3, x0, x1",
    "cmp x3, x2",
    "b.hs memcpy",
    "4: cbz x2, 5f",
    "sub x2, x2, #1",
    "ldrb w4, [x1, x2]",
    "strb w4, [x0, x2]",
    "b 4b",
    "5: ret",
    ".globl memset",
    "memset:",
    "mov x3, x0",
    "6: cbz x2, 7f",
    "strb w1, [x3], #1",
    "sub x2, x2, #1",
    "b 6b",
    "7: ret",
    ".globl memcmp",
    ".globl bcmp",
    "memcmp:",
    "bcmp:",
    "8: cbz x2, 9f",
    "ldrb w3, [x0], #1",
    "ldrb w4, [x1], #1",
    "sub x2, x2, #1",
    "cmp w3, w4",
    "b.eq 8b",
    "sub w0, w3, w4",
    "ret",
    "9: mov w0, #0",
    "ret",
    ".globl strlen",
    "strlen:",
    "mov x1, x0",
    "10: ldrb w2, [x1], #1",
    "cbnz w2, 10b",
    "sub x0, x1, x0",
    "sub x0, x0, #1",
    "ret",
);

pub(crate) mod nr {
    pub(crate) const READ: usize = 63;
    pub(crate) const WRITE: usize = 64;
    pub(crate) const CLOSE: usize = 57;
    pub(crate) const MMAP: usize = 222;
    pub(crate) const MUNMAP: usize = 215;
    pub(crate) const RT_SIGACTION: usize = 134;
    pub(crate) const RT_SIGPROCMASK: usize = 135;
    pub(crate) const RT_SIGTIMEDWAIT: usize = 137;
    pub(crate) const IOCTL: usize = 29;
    pub(crate) const SOCKET: usize = 198;
    pub(crate) const SENDMSG: usize = 211;
    pub(crate) const RECVMSG: usize = 212;
    pub(crate) const CLONE: usize = 220;
    pub(crate) const EXECVE: usize = 221;
    pub(crate) const WAIT4: usize = 260;
    pub(crate) const KILL: usize = 129;
    pub(crate) const FCNTL: usize = 25;
    pub(crate) const UMASK: usize = 166;
    pub(crate) const GETCWD: usize = 17;
    pub(crate) const CHDIR: usize = 49;
    pub(crate) const FCHDIR: usize = 50;
    pub(crate) const SETSID: usize = 157;
    pub(crate) const SETGROUPS: usize = 159;
    pub(crate) const SETRESUID: usize = 147;
    pub(crate) const SETRESGID: usize = 149;
    pub(crate) const CAPGET: usize = 90;
    pub(crate) const CAPSET: usize = 91;
    pub(crate) const FSTATFS: usize = 44;
    pub(crate) const PIVOT_ROOT: usize = 41;
    pub(crate) const CLOCK_GETTIME: usize = 113;
    pub(crate) const PRCTL: usize = 167;
    pub(crate) const MOUNT: usize = 40;
    pub(crate) const UMOUNT2: usize = 39;
    pub(crate) const SETHOSTNAME: usize = 161;
    pub(crate) const EXIT_GROUP: usize = 94;
    pub(crate) const KEYCTL: usize = 219;
    pub(crate) const OPENAT: usize = 56;
    pub(crate) const MKDIRAT: usize = 34;
    pub(crate) const MKNODAT: usize = 33;
    pub(crate) const SYMLINKAT: usize = 36;
    pub(crate) const FACCESSAT: usize = 48;
    pub(crate) const PPOLL: usize = 73;
    pub(crate) const SIGNALFD4: usize = 74;
    pub(crate) const DUP3: usize = 24;
    pub(crate) const PRLIMIT64: usize = 261;
    pub(crate) const SECCOMP: usize = 277;
    pub(crate) const STATX: usize = 291;
    pub(crate) const UNSHARE: usize = 97;
    pub(crate) const SETNS: usize = 268;
    pub(crate) const SETDOMAINNAME: usize = 162;
    pub(crate) const GETPID: usize = 172;
    pub(crate) const PIPE2: usize = 59;
    pub(crate) const MEMFD_CREATE: usize = 279;
    pub(crate) const LSEEK: usize = 62;
    pub(crate) const FCHOWNAT: usize = 54;
    pub(crate) const SCHED_SETATTR: usize = 274;
    pub(crate) const IOPRIO_SET: usize = 30;
    pub(crate) const SCHED_SETAFFINITY: usize = 122;
    pub(crate) const PERSONALITY: usize = 92;
    pub(crate) const SET_MEMPOLICY: usize = 237;
    pub(crate) const CHROOT: usize = 51;
    pub(crate) const READLINKAT: usize = 78;
    pub(crate) const FCHMOD: usize = 52;
    pub(crate) const GETDENTS64: usize = 61;
    pub(crate) const SENDFILE: usize = 71;
}
