//! System calls of x86_64: how one is made, and their numbers.

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
    // SAFETY: `syscall` clobbers only rcx, r11 and the flags, and the caller vouches for the
    // addresses among the arguments.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => answer,
            in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
            in("r10") args[3], in("r8") args[4], in("r9") args[5],
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    answer
}

/// Ends the process by a signal (SIGILL), without a system call.
pub(super) fn trap() -> ! {
    // SAFETY: the instruction only raises an exception, and nothing comes after it.
    unsafe { asm!("ud2", options(noreturn, nomem, nostack)) }
}

/// `clone(2)` takes its arguments in another order on every architecture: here flags, stack,
/// parent_tid, child_tid, tls.
pub(super) const fn clone_arguments(flags: usize) -> [usize; 6] {
    [flags, 0, 0, 0, 0, 0]
}

#[cfg(crabcan_program)]
global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "and rsp, -16",
    "call {entry}",
    "ud2",
    entry = sym crate::walk::entry,
);

// The compiler calls these by name. They are written in assembly because a loop in Rust may be
// compiled into a call of the very function it is to be.
#[cfg(crabcan_program)]
global_asm!(
    ".globl memcpy",
    "memcpy:",
    "mov rax, rdi",
    "mov rcx, rdx",
    "rep movsb",
    "ret",
    ".globl memmove",
    "memmove:",
    "mov rax, rdi",
    "mov rcx, rdx",
    "mov r8, rdi",
    "sub r8, rsi",
    "cmp r8, rdx",
    "jb 2f",
    "rep movsb",
    "ret",
    "2:",
    "lea rdi, [rdi + rcx - 1]",
    "lea rsi, [rsi + rcx - 1]",
    "std",
    "rep movsb",
    "cld",
    "ret",
    ".globl memset",
    "memset:",
    "mov r8, rdi",
    "mov eax, esi",
    "mov rcx, rdx",
    "rep stosb",
    "mov rax, r8",
    "ret",
    ".globl memcmp",
    ".globl bcmp",
    "memcmp:",
    "bcmp:",
    "mov rcx, rdx",
    "xor eax, eax",
    "cmp rcx, rcx",
    "repe cmpsb",
    "je 3f",
    "movzx eax, byte ptr [rdi - 1]",
    "movzx ecx, byte ptr [rsi - 1]",
    "sub eax, ecx",
    "3:",
    "ret",
    ".globl strlen",
    "strlen:",
    "mov rdx, rdi",
    "xor eax, eax",
    "mov rcx, -1",
    "repne scasb",
    "lea rax, [rdi - 1]",
    "sub rax, rdx",
    "ret",
);

pub(crate) mod nr {
    pub(crate) const READ: usize = 0;
    pub(crate) const WRITE: usize = 1;
    pub(crate) const CLOSE: usize = 3;
    pub(crate) const MMAP: usize = 9;
    pub(crate) const MUNMAP: usize = 11;
    pub(crate) const RT_SIGACTION: usize = 13;
    pub(crate) const RT_SIGPROCMASK: usize = 14;
    pub(crate) const RT_SIGTIMEDWAIT: usize = 128;
    pub(crate) const IOCTL: usize = 16;
    pub(crate) const SOCKET: usize = 41;
    pub(crate) const SENDMSG: usize = 46;
    pub(crate) const RECVMSG: usize = 47;
    pub(crate) const CLONE: usize = 56;
    pub(crate) const EXECVE: usize = 59;
    pub(crate) const WAIT4: usize = 61;
    pub(crate) const KILL: usize = 62;
    pub(crate) const FCNTL: usize = 72;
    pub(crate) const UMASK: usize = 95;
    pub(crate) const GETCWD: usize = 79;
    pub(crate) const CHDIR: usize = 80;
    pub(crate) const FCHDIR: usize = 81;
    pub(crate) const SETSID: usize = 112;
    pub(crate) const SETGROUPS: usize = 116;
    pub(crate) const SETRESUID: usize = 117;
    pub(crate) const SETRESGID: usize = 119;
    pub(crate) const CAPGET: usize = 125;
    pub(crate) const CAPSET: usize = 126;
    pub(crate) const FSTATFS: usize = 138;
    pub(crate) const PIVOT_ROOT: usize = 155;
    pub(crate) const CLOCK_GETTIME: usize = 228;
    pub(crate) const PRCTL: usize = 157;
    pub(crate) const MOUNT: usize = 165;
    pub(crate) const UMOUNT2: usize = 166;
    pub(crate) const SETHOSTNAME: usize = 170;
    pub(crate) const EXIT_GROUP: usize = 231;
    pub(crate) const KEYCTL: usize = 250;
    pub(crate) const OPENAT: usize = 257;
    pub(crate) const MKDIRAT: usize = 258;
    pub(crate) const MKNODAT: usize = 259;
    pub(crate) const SYMLINKAT: usize = 266;
    pub(crate) const FACCESSAT: usize = 269;
    pub(crate) const PPOLL: usize = 271;
    pub(crate) const SIGNALFD4: usize = 289;
    pub(crate) const DUP3: usize = 292;
    pub(crate) const PRLIMIT64: usize = 302;
    pub(crate) const SECCOMP: usize = 317;
    pub(crate) const STATX: usize = 332;
    pub(crate) const UNSHARE: usize = 272;
    pub(crate) const SETNS: usize = 308;
    pub(crate) const SETDOMAINNAME: usize = 171;
    pub(crate) const GETPID: usize = 39;
    pub(crate) const PIPE2: usize = 293;
    pub(crate) const MEMFD_CREATE: usize = 319;
    pub(crate) const LSEEK: usize = 8;
    pub(crate) const FCHOWNAT: usize = 260;
    pub(crate) const SCHED_SETATTR: usize = 314;
    pub(crate) const IOPRIO_SET: usize = 251;
    pub(crate) const SCHED_SETAFFINITY: usize = 203;
    pub(crate) const PERSONALITY: usize = 135;
    pub(crate) const SET_MEMPOLICY: usize = 238;
    pub(crate) const CHROOT: usize = 161;
    pub(crate) const READLINKAT: usize = 267;
    pub(crate) const FCHMOD: usize = 91;
    pub(crate) const GETDENTS64: usize = 217;
    pub(crate) const SENDFILE: usize = 40;
}
