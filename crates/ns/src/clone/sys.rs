//! The clone itself, and what runs in a child before it executes a program.
//!
//! The child of [`clone_into_program`] shares the caller's memory and its thread-local storage.
//! So `child_main` and all that it calls use raw system calls only: no libc wrapper, which would
//! write `errno` of a foreign thread, no allocation, no lock, no panic.

#![allow(unsafe_code)]

use std::arch::asm;
use std::convert::Infallible;
use std::ffi::{CStr, c_char, c_int};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::panic::AssertUnwindSafe;
use std::ptr;

use nix::sched::CloneFlags;
use nix::unistd::Pid;

use super::check_single_threaded;
use crate::sys::{BlockedSignals, exit, raw_fd, system_call};
use crate::{Child, CloneOptions, Error};

const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// `struct clone_args` of the kernel, in its second version (Linux 5.7).
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct CloneRequest {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

impl CloneRequest {
    pub(super) fn new(
        namespaces: CloneFlags,
        cgroup: Option<BorrowedFd<'_>>,
        (stack, stack_size): (usize, usize),
    ) -> Self {
        // The handlers of this program make no sense in the child, and could act for it.
        let mut flags = CLONE_CLEAR_SIGHAND | libc::CLONE_PIDFD as u64;
        flags |= namespaces.bits() as u32 as u64;
        if cgroup.is_some() {
            flags |= CLONE_INTO_CGROUP;
        }
        Self {
            flags,
            exit_signal: libc::SIGCHLD as u64,
            stack: stack as u64,
            stack_size: stack_size as u64,
            cgroup: cgroup.map_or(0, |directory| raw_fd(directory) as u64),
            ..Self::default()
        }
    }
}

/// What the child was doing when it failed.
#[derive(Debug, Clone, Copy)]
pub(super) enum ChildStep {
    RaiseCapabilities,
    PlaceDescriptors,
    CloseDescriptors,
    Execute,
}

/// A program in the form in which the kernel takes it. All of it is made before the clone.
#[derive(Debug)]
pub(super) struct Execution<'a> {
    executable: c_int,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    descriptors: Vec<c_int>,
    raise_capabilities: bool,
    borrowed: PhantomData<(BorrowedFd<'a>, &'a CStr)>,
}

impl<'a> Execution<'a> {
    /// No descriptor's number may be below 3 plus the number of `descriptors`.
    pub(super) fn new(
        executable: BorrowedFd<'a>,
        arguments: &[&'a CStr],
        environment: &[&'a CStr],
        descriptors: &[BorrowedFd<'a>],
        raise_capabilities: bool,
    ) -> Self {
        let pointers = |strings: &[&'a CStr]| {
            let end = std::iter::once(ptr::null());
            strings
                .iter()
                .map(|string| string.as_ptr())
                .chain(end)
                .collect()
        };
        Self {
            executable: executable.as_raw_fd(),
            arguments: pointers(arguments),
            environment: pointers(environment),
            descriptors: descriptors.iter().map(AsRawFd::as_raw_fd).collect(),
            raise_capabilities,
            borrowed: PhantomData,
        }
    }
}

/// A child that was made, and why it ended again if it could not execute its program.
#[derive(Debug)]
pub(super) struct Cloned {
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
    pub(super) failure: Option<(ChildStep, io::Error)>,
}

/// What the child reads and writes in the memory that it shares with the sleeping caller.
struct Shared<'a> {
    execution: &'a Execution<'a>,
    failure: Option<(ChildStep, c_int)>,
}

/// Makes a child that executes a program, and returns when it has done so or has ended.
pub(super) fn clone_into_program(
    request: &CloneRequest,
    execution: &Execution<'_>,
) -> io::Result<Cloned> {
    let mut shared = Shared {
        execution,
        failure: None,
    };
    let mut request = *request;
    request.flags |= (libc::CLONE_VM | libc::CLONE_VFORK) as u64;
    // A signal that arrived in the child would run a handler's default there: it waits instead.
    let blocked = BlockedSignals::new()?;
    // SAFETY: the stack of the request outlives the child's use of it, because CLONE_VFORK lets this
    // function go on only after the child's exec or end; `child_main` may run in shared memory, since
    // it only makes raw system calls, and `shared` is not touched here meanwhile.
    let cloned = unsafe { clone_onto(&mut request, child_main, &raw mut shared) };
    drop(blocked);
    let (pid, pidfd) = cloned?;
    let failure = shared
        .failure
        .map(|(step, errno)| (step, io::Error::from_raw_os_error(errno)));
    Ok(Cloned {
        pid,
        pidfd,
        failure,
    })
}

extern "C" fn child_main(shared: *mut Shared<'_>) -> ! {
    // SAFETY: the caller of the clone sleeps and gave a pointer to a live value to this child alone.
    let shared = unsafe { &mut *shared };
    let Err(failure) = execute(shared.execution);
    shared.failure = Some(failure);
    exit(127)
}

fn execute(execution: &Execution<'_>) -> Result<Infallible, (ChildStep, c_int)> {
    let at = |step| move |errno| (step, errno);
    if execution.raise_capabilities {
        raise_capabilities().map_err(at(ChildStep::RaiseCapabilities))?;
    }
    let mut target = 3;
    for descriptor in &execution.descriptors {
        let arguments = [*descriptor as usize, target, 0, 0, 0];
        // SAFETY: the call touches no memory, and the descriptors are this child's own copies.
        unsafe { system_call(libc::SYS_dup3, arguments) }
            .map_err(at(ChildStep::PlaceDescriptors))?;
        target = target.wrapping_add(1);
    }
    close_above(target, execution.executable as usize).map_err(at(ChildStep::CloseDescriptors))?;
    let arguments = [
        execution.executable as usize,
        c"".as_ptr().expose_provenance(),
        execution.arguments.as_ptr().expose_provenance(),
        execution.environment.as_ptr().expose_provenance(),
        libc::AT_EMPTY_PATH as usize,
    ];
    // SAFETY: the strings and the null-terminated lists of them live as long as `execution`.
    let Err(errno) = (unsafe { system_call(libc::SYS_execveat, arguments) }) else {
        return Err((ChildStep::Execute, 0));
    };
    Err((ChildStep::Execute, errno))
}

/// Lets `exec` close all descriptors from `first` on, of which `executable` is one.
fn close_above(first: usize, executable: usize) -> Result<(), c_int> {
    let all = c_int::MAX as usize;
    match close_range(first, all, libc::CLOSE_RANGE_CLOEXEC as usize) {
        // Linux 5.10 has the call but not this flag: there all but the executable is closed at once.
        Err(libc::EINVAL) => {
            if executable > first {
                close_range(first, executable.wrapping_sub(1), 0)?;
            }
            close_range(executable.wrapping_add(1), all, 0)?;
            let arguments = [
                executable,
                libc::F_SETFD as usize,
                libc::FD_CLOEXEC as usize,
                0,
                0,
            ];
            // SAFETY: the command takes a number and touches no memory.
            unsafe { system_call(libc::SYS_fcntl, arguments) }.map(drop)
        }
        result => result,
    }
}

fn close_range(first: usize, last: usize, flags: usize) -> Result<(), c_int> {
    // SAFETY: the call touches no memory, and the descriptors are this child's own copies.
    unsafe { system_call(libc::SYS_close_range, [first, last, flags, 0, 0]) }.map(drop)
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: c_int,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct CapabilityData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Makes every permitted capability survive an `exec` without a user id of the new user namespace.
fn raise_capabilities() -> Result<(), c_int> {
    let mut header = CapabilityHeader {
        version: CAPABILITY_VERSION_3,
        pid: 0,
    };
    let mut data = [CapabilityData {
        effective: 0,
        permitted: 0,
        inheritable: 0,
    }; 2];
    let arguments = [
        (&raw mut header).expose_provenance(),
        (&raw mut data).expose_provenance(),
        0,
        0,
        0,
    ];
    // SAFETY: version 3 writes the header and two data records, both of which are on this stack.
    unsafe { system_call(libc::SYS_capget, arguments) }?;
    for half in &mut data {
        half.inheritable = half.permitted;
    }
    // SAFETY: the call reads the same header and records.
    unsafe { system_call(libc::SYS_capset, arguments) }?;
    for (half, first) in [(data[0], 0_usize), (data[1], 32)] {
        for bit in 0..32_usize {
            if half.permitted & (1 << bit) == 0 {
                continue;
            }
            let raise = libc::PR_CAP_AMBIENT_RAISE as usize;
            let arguments = [libc::PR_CAP_AMBIENT as usize, raise, first | bit, 0, 0];
            // SAFETY: the operation takes numbers and touches no memory.
            unsafe { system_call(libc::SYS_prctl, arguments) }?;
        }
    }
    Ok(())
}

/// Makes a child that is a **copy of the calling process** and runs `closure` in it, on a stack of
/// its own, with the returned number (its lower eight bits) as its exit code. A panic ends the child
/// with code 101, or by SIGABRT where panics abort.
///
/// This is the tutorial's way to make a container. Prefer
/// [`clone_program`](crate::clone_program): it is safe and does not grow with the caller's memory.
///
/// The child ends without running the destructors of the caller's values and without flushing
/// buffers such as standard output's. What the closure owns is dropped on both sides: so a socket's
/// end that is moved into it is open in the child alone. Every descriptor is inherited; signal
/// handlers are not, they are set back to their default.
///
/// # Safety
/// The child has one thread, the copy of the calling one. If the process has **other threads**, their
/// locks, the allocator's included, stay locked for ever in the child: the closure then must
/// restrict itself to async-signal-safe operations, see [signal-safety(7)] (raw system calls on
/// values prepared before; no allocation, no formatting, no panic, no logging). In a process with a
/// single thread any closure is allowed; [`clone_closure_single_threaded`] checks that.
///
/// # Errors
/// [`Error::Stack`] and [`Error::Clone`].
///
/// [signal-safety(7)]: https://man7.org/linux/man-pages/man7/signal-safety.7.html
pub unsafe fn clone_closure<F>(closure: F, options: &CloneOptions<'_>) -> Result<Child, Error>
where
    F: FnOnce() -> i32,
{
    let stack = options.closure_stack()?;
    let mut request = options.request(&stack);
    let mut closure = Some(closure);
    // SAFETY: without CLONE_VM the child has its own copy of the stack and of the closure; that the
    // closure may run there is the caller's promise.
    let cloned = unsafe { clone_onto(&mut request, closure_main::<F>, &raw mut closure) };
    let (pid, pidfd) = cloned.map_err(|source| options.refused(source))?;
    Ok(Child::new(pid, pidfd))
}

/// Does what [`clone_closure`] does, after checking that the process has a **single thread**, which
/// makes it safe: no other thread can hold a lock, or appear between the check and the copy.
///
/// # Errors
/// [`Error::Threads`] when there are more threads, [`Error::CountThreads`] when `/proc` does not tell;
/// else as [`clone_closure`].
pub fn clone_closure_single_threaded<F>(
    closure: F,
    options: &CloneOptions<'_>,
) -> Result<Child, Error>
where
    F: FnOnce() -> i32,
{
    check_single_threaded()?;
    // SAFETY: the calling thread is the only one, so the copy is a complete process.
    unsafe { clone_closure(closure, options) }
}

extern "C" fn closure_main<F: FnOnce() -> i32>(closure: *mut Option<F>) -> ! {
    // SAFETY: the pointer is to a live value, of which this process has a copy of its own.
    let closure = unsafe { &mut *closure }.take();
    // Unwinding must not go on: there is no frame above this one.
    let code = closure.map(|closure| std::panic::catch_unwind(AssertUnwindSafe(closure)));
    exit(code.and_then(Result::ok).unwrap_or(101) as usize & 0xff)
}

/// Clones and calls `entry(argument)` on the request's stack in the child; returns in the parent.
///
/// # Safety
/// The request's stack is writable memory that nothing else uses while the child runs on it, and
/// `entry` may be called with `argument` in the child.
unsafe fn clone_onto<T>(
    request: &mut CloneRequest,
    entry: extern "C" fn(*mut T) -> !,
    argument: *mut T,
) -> io::Result<(Pid, OwnedFd)> {
    let mut pidfd: c_int = -1;
    request.pidfd = (&raw mut pidfd).expose_provenance() as u64;
    // SAFETY: the caller's promise; the kernel writes only the pidfd, which lives on this frame.
    let result = unsafe { clone3(request, entry as usize, argument.expose_provenance()) };
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-(result as c_int)));
    }
    // SAFETY: the kernel has just made this descriptor for this process, and nobody else knows it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok((Pid::from_raw(result as c_int), pidfd))
}

/// The system call, with the child's half of the way: it never returns from here.
///
/// # Safety
/// As [`clone_onto`]; `entry` is the address of an `extern "C" fn(usize) -> !`.
unsafe fn clone3(request: &CloneRequest, entry: usize, argument: usize) -> isize {
    let result: isize;
    // SAFETY: the kernel keeps all registers but those named here; in the parent nothing else
    // happens. The child starts on the top of its own stack, 16-byte aligned, and goes to `entry`,
    // which never comes back, so no frame of the parent is used. The return address 0 ends backtraces.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, {argument}",
            "push 0",
            "jmp {entry}",
            "2:",
            entry = in(reg) entry,
            argument = in(reg) argument,
            inlateout("rax") libc::SYS_clone3 as isize => result,
            in("rdi") ptr::from_ref(request),
            in("rsi") size_of::<CloneRequest>(),
            out("rcx") _,
            out("r11") _,
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "svc #0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x30, xzr",
            "mov x0, {argument}",
            "br {entry}",
            "2:",
            entry = in(reg) entry,
            argument = in(reg) argument,
            inlateout("x0") ptr::from_ref(request) as isize => result,
            in("x1") size_of::<CloneRequest>(),
            in("x8") libc::SYS_clone3,
        );
    }
    result
}
