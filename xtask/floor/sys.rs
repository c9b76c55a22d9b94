//! Raw system calls of the floor program: no libc, nothing but what the kernel does.
//!
//! Every argument is a number, or the address of a reference or literal that outlives the call;
//! the kernel checks numbers itself.
#![allow(unsafe_code)]

use core::arch::{asm, global_asm};
use core::ffi::CStr;

global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {entry}",
    "ud2",
    entry = sym crate::entry,
);

/// The numbers of x86_64.
pub(crate) mod nr {
    pub(crate) const READ: usize = 0;
    pub(crate) const WRITE: usize = 1;
    pub(crate) const OPEN: usize = 2;
    pub(crate) const CLOSE: usize = 3;
    pub(crate) const IOCTL: usize = 16;
    pub(crate) const PIPE2: usize = 293;
    pub(crate) const PAUSE: usize = 34;
    pub(crate) const SOCKET: usize = 41;
    pub(crate) const EXECVE: usize = 59;
    pub(crate) const WAIT4: usize = 61;
    pub(crate) const CHDIR: usize = 80;
    pub(crate) const MKDIR: usize = 83;
    pub(crate) const RMDIR: usize = 84;
    pub(crate) const UNLINK: usize = 87;
    pub(crate) const SYMLINK: usize = 88;
    pub(crate) const UMASK: usize = 95;
    pub(crate) const SETSID: usize = 112;
    pub(crate) const CAPSET: usize = 126;
    pub(crate) const MKNOD: usize = 133;
    pub(crate) const PIVOT_ROOT: usize = 155;
    pub(crate) const PRCTL: usize = 157;
    pub(crate) const SETRLIMIT: usize = 160;
    pub(crate) const MOUNT: usize = 165;
    pub(crate) const UMOUNT2: usize = 166;
    pub(crate) const SETHOSTNAME: usize = 170;
    pub(crate) const EXIT_GROUP: usize = 231;
    pub(crate) const SETNS: usize = 308;
    pub(crate) const SECCOMP: usize = 317;
    pub(crate) const BPF: usize = 321;
    pub(crate) const PIDFD_OPEN: usize = 434;
    pub(crate) const CLONE3: usize = 435;
    pub(crate) const MOUNT_SETATTR: usize = 442;
}

/// The answer of a system call: a value, or a negated errno.
pub(crate) fn call<const N: usize>(number: usize, arguments: [usize; N]) -> isize {
    let argument = |index| arguments.get(index).copied().unwrap_or(0);
    let answer: isize;
    // SAFETY: `syscall` clobbers rcx, r11 and the flags only; addresses among the arguments are
    // those of values that outlive the call (the rule of this file).
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => answer,
            in("rdi") argument(0), in("rsi") argument(1), in("rdx") argument(2),
            in("r10") argument(3), in("r8") argument(4), in("r9") argument(5),
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    answer
}

/// The address of a string.
pub(crate) fn text(string: &CStr) -> usize {
    string.as_ptr() as usize
}

/// The address of a value.
pub(crate) fn address<T: ?Sized>(value: &T) -> usize {
    core::ptr::from_ref(value).cast::<u8>() as usize
}

/// Argument `index` of the program, from the stack that the kernel made.
pub(crate) fn argument(stack: *const usize, index: usize) -> Option<&'static CStr> {
    // SAFETY: the kernel puts the count of the arguments at the top of the stack.
    let count = unsafe { stack.read() };
    if index >= count {
        return None;
    }
    // SAFETY: `count` pointers follow it.
    let string = unsafe { stack.add(index + 1).read() };
    // SAFETY: each points to a string with its NUL, which stays for as long as the program runs.
    Some(unsafe { CStr::from_ptr(string as *const i8) })
}

// Loops and copies are compiled into calls of these; a Rust loop in them might be as well.
global_asm!(
    ".globl memcpy",
    ".globl memmove",
    "memcpy:",
    "memmove:",
    "mov rax, rdi",
    "mov rcx, rdx",
    "rep movsb",
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
