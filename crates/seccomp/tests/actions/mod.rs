//! Every action, as the kernel performs it on a real call: by the native entry of the kernel, and on
//! x86_64 by that of 32-bit programs, `int 0x80`.
#![allow(
    unsafe_code,
    reason = "a test program that makes system calls by number"
)]

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::{fs, io, thread, time};

use crabcan_seccomp::{
    Action, Architecture, Error, Flags, Listener, Profile, Rule, no_new_privileges, syscalls,
};

/// Whether the looked-at call is made as 32-bit programs make it.
static BY_INT_0X80: AtomicBool = AtomicBool::new(false);

/// From now on [`getpgid`] is a call of x86. Says whether this kernel takes such calls at all.
pub(crate) fn by_int_0x80() -> bool {
    BY_INT_0X80.store(true, Ordering::SeqCst);
    getpgid().is_ok()
}

/// Which architecture's call [`getpgid`] is.
fn architecture() -> Architecture {
    match BY_INT_0X80.load(Ordering::SeqCst) {
        true => Architecture::X86,
        false => Architecture::native().unwrap(),
    }
}

/// The number of [`getpgid`] there.
fn number() -> u32 {
    syscalls::number(architecture(), "getpgid").unwrap()
}

/// Allows everything but one call, whose fate it is to be looked at.
fn profile(action: Action) -> Profile {
    Profile::new(Action::Allow)
        .architecture(Architecture::native().unwrap())
        .architectures((architecture() == Architecture::X86).then_some(Architecture::X86))
        .rule(Rule::new(action, ["getpgid"]))
}

/// Puts such a filter in force.
pub(crate) fn put(action: Action) {
    no_new_privileges().unwrap();
    profile(action).compile().unwrap().install().unwrap();
}

/// getpgid(2) of oneself: harmless, and nobody else makes it.
pub(crate) fn getpgid() -> Result<i64, i32> {
    #[cfg(target_arch = "x86_64")]
    if BY_INT_0X80.load(Ordering::SeqCst) {
        let answer = getpgid_x86();
        return if answer < 0 {
            Err(-answer)
        } else {
            Ok(answer.into())
        };
    }
    // SAFETY: the call has no pointers.
    let answer = unsafe { libc::syscall(libc::SYS_getpgid, 0) };
    if answer < 0 {
        return Err(io::Error::last_os_error().raw_os_error().unwrap());
    }
    Ok(answer)
}

/// getpgid of x86 by `int 0x80`, as 32-bit programs enter the kernel.
#[cfg(target_arch = "x86_64")]
pub(crate) fn getpgid_x86() -> i32 {
    let answer: i32;
    // SAFETY: the entry of 32-bit programs; the call has no pointers, rbx is put back.
    unsafe {
        std::arch::asm!(
            "push rbx", "xor ebx, ebx", "int 0x80", "pop rbx",
            inlateout("eax") 132 => answer,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    answer
}

pub(crate) fn errno() {
    put(Action::Errno(123));
    assert_eq!(getpgid(), Err(123));
}

pub(crate) fn allow() {
    put(Action::Allow);
    assert!(getpgid().unwrap() > 0);
}

/// The call is made, and the kernel's log tells of it.
pub(crate) fn log() {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::OpenOptions::new();
    let kernel_log = options.read(true).custom_flags(libc::O_NONBLOCK);
    let kernel_log = kernel_log.open("/dev/kmsg").and_then(|mut log| {
        io::Seek::seek(&mut log, io::SeekFrom::End(0))?;
        Ok(log)
    });
    put(Action::Log);
    assert!(getpgid().unwrap() > 0);
    let mut kernel_log = match kernel_log {
        Ok(log) => log,
        Err(error) => {
            println!("the kernel's log can't be read ({error}): not looked at");
            return;
        }
    };
    // Without an auditd the kernel prints at most ten lines in five seconds, of everybody's,
    // and drops the others: so the call is made until one of its lines had room.
    let deadline = time::Instant::now() + time::Duration::from_secs(60);
    while !tells_of_it(&mut kernel_log) {
        assert!(
            time::Instant::now() < deadline,
            "the kernel's log does not tell of the call"
        );
        thread::sleep(time::Duration::from_millis(100));
        assert!(getpgid().unwrap() > 0);
    }
}

/// Whether what the kernel's log has for now tells of this process, the call and
/// `SECCOMP_RET_LOG`.
fn tells_of_it(log: &mut fs::File) -> bool {
    let wanted = [
        format!(" pid={} ", std::process::id()),
        format!(" arch={:x} ", architecture().audit()),
        format!(" syscall={} ", number()),
        "code=0x7ffc0000".to_owned(),
    ];
    let mut record = [0; 8192];
    loop {
        match io::Read::read(log, &mut record) {
            Ok(length) => {
                let text = String::from_utf8_lossy(&record[..length]);
                if wanted.iter().all(|word| text.contains(word)) {
                    return true;
                }
            }
            // Some of it was overwritten before it was read: the next read goes on after it.
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
            Err(_) => return false,
        }
    }
}

/// What the handler of SIGSYS was told: code, number, architecture and errno.
static TOLD: (AtomicI32, AtomicI32, AtomicU32, AtomicI32) = (
    AtomicI32::new(0),
    AtomicI32::new(0),
    AtomicU32::new(0),
    AtomicI32::new(0),
);

/// `siginfo_t` of SIGSYS, sigaction(2); libc has no names for its fields.
#[repr(C)]
struct SystemCall {
    signal: i32,
    errno: i32,
    code: i32,
    #[cfg(target_pointer_width = "64")]
    padding: i32,
    address: usize,
    number: i32,
    architecture: u32,
}

extern "C" fn caught(_: i32, info: *const SystemCall, _: *const libc::c_void) {
    // SAFETY: of a handler with SA_SIGINFO the kernel's second argument is this structure.
    let info = unsafe { info.as_ref() };
    if let Some(info) = info.filter(|info| info.signal == libc::SIGSYS && info.address != 0) {
        TOLD.1.store(info.number, Ordering::SeqCst);
        TOLD.2.store(info.architecture, Ordering::SeqCst);
        TOLD.3.store(info.errno, Ordering::SeqCst);
        TOLD.0.store(info.code, Ordering::SeqCst);
    }
}

/// The signal comes with what it is for: `SYS_SECCOMP`, the call, and the filter's message.
pub(crate) fn trap() {
    const SYS_SECCOMP: i32 = 1;
    // SAFETY: zero is a value of this structure of numbers.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction =
        caught as extern "C" fn(i32, *const SystemCall, *const libc::c_void) as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: the handler stores to atomics, which is all that a handler may do.
    let set = unsafe { libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()) };
    assert_eq!(set, 0);
    put(Action::Trap);
    let _ = getpgid();
    assert_eq!(TOLD.0.load(Ordering::SeqCst), SYS_SECCOMP);
    assert_eq!(TOLD.1.load(Ordering::SeqCst), number().cast_signed());
    assert_eq!(TOLD.2.load(Ordering::SeqCst), architecture().audit());
    assert_eq!(TOLD.3.load(Ordering::SeqCst), 0);
}

/// Nobody catches it.
pub(crate) fn trap_uncaught() {
    put(Action::Trap);
    let _ = getpgid();
}

pub(crate) fn trace() {
    put(Action::Trace(7));
    assert_eq!(getpgid(), Err(libc::ENOSYS));
}

/// The tracer is asked, gets the message, and lets the call happen.
pub(crate) fn traced() {
    // SAFETY: this process has one thread, so the copy of it may do what it likes.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: the request has no pointers.
        unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
        // SAFETY: the signal stops this process until its tracer lets it go on.
        unsafe { libc::raise(libc::SIGSTOP) };
        put(Action::Trace(4242));
        let made = getpgid().is_ok_and(|group| group > 0);
        std::process::exit(i32::from(!made));
    }
    assert!(child > 0);
    assert_eq!(wait(child) >> 8, libc::SIGSTOP);
    // SAFETY: the request has no pointers.
    let set = unsafe {
        libc::ptrace(
            libc::PTRACE_SETOPTIONS,
            child,
            0,
            libc::PTRACE_O_TRACESECCOMP,
        )
    };
    assert_eq!(set, 0);
    go_on(child);
    assert_eq!(
        wait(child) >> 8,
        libc::SIGTRAP | libc::PTRACE_EVENT_SECCOMP << 8
    );
    let mut message: libc::c_ulong = 0;
    // SAFETY: the kernel writes one long, and it outlives the call.
    let got = unsafe { libc::ptrace(libc::PTRACE_GETEVENTMSG, child, 0, &raw mut message) };
    assert_eq!((got, message), (0, 4242));
    go_on(child);
    assert_eq!(wait(child), 0, "the call was not made");
}

fn go_on(child: i32) {
    // SAFETY: the request has no pointers.
    assert_eq!(unsafe { libc::ptrace(libc::PTRACE_CONT, child, 0, 0) }, 0);
}

/// The status of a child that has stopped or ended.
fn wait(child: i32) -> i32 {
    let mut status = 0;
    // SAFETY: the kernel writes one integer, and it outlives the call.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    status
}

pub(crate) fn kill_process() {
    put(Action::KillProcess);
    let _ = thread::spawn(getpgid).join();
}

/// Only the thread dies, so the process can tell of it.
pub(crate) fn kill_thread() {
    put(Action::KillThread);
    let (end, other) = io::pipe().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let held = other;
        // SAFETY: the call has no pointers.
        sender.send(unsafe { libc::gettid() }).unwrap();
        let _ = getpgid();
        // Never reached: the end of the pipe stays open in a dead thread's memory.
        io::Write::write_all(&mut &held, b"alive").unwrap();
    });
    let thread = receiver.recv().unwrap();
    let gone = (0..500).any(|_| {
        thread::sleep(std::time::Duration::from_millis(10));
        !fs::exists(format!("/proc/self/task/{thread}")).unwrap()
    });
    assert!(gone, "the thread lives");
    let mut poll = libc::pollfd {
        fd: end.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one structure is passed, and it outlives the call.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
    assert_eq!(ready, 0, "the thread went on");
}

pub(crate) fn notify() {
    no_new_privileges().unwrap();
    let profile = profile(Action::Notify).flags(Flags::WAIT_KILLABLE_RECV);
    let filter = profile.compile().unwrap();
    assert!(filter.needs_listener());
    assert!(matches!(filter.install(), Err(Error::ListenerNeeded)));
    let (sender, receiver) = std::sync::mpsc::channel();
    let asks = thread::spawn(move || {
        sender
            .send(filter.install_with_listener().unwrap())
            .unwrap();
        getpgid()
    });
    let listener = receiver.recv().unwrap();
    // SAFETY: zero is a value of these structures of plain numbers.
    let mut asked: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one structure of this type, as the request says.
    let answer = unsafe { libc::ioctl(listener.as_raw_fd(), 0xc050_2100, &raw mut asked) };
    assert_eq!(answer, 0, "{}", io::Error::last_os_error());
    assert_eq!(asked.data.nr, number().cast_signed());
    assert_eq!(asked.data.arch, architecture().audit());
    let mut reply = libc::seccomp_notif_resp {
        id: asked.id,
        val: 4711,
        error: 0,
        flags: 0,
    };
    // SAFETY: the kernel reads one structure of this type, as the request says.
    let answer = unsafe { libc::ioctl(listener.as_raw_fd(), 0xc018_2101, &raw mut reply) };
    assert_eq!(answer, 0, "{}", io::Error::last_os_error());
    assert_eq!(asks.join().unwrap(), Ok(4711));
}

/// A listener that lets each call through, and is told of the end.
pub(crate) fn listen() {
    no_new_privileges().unwrap();
    let filter = profile(Action::Notify).compile().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let asks = thread::spawn(move || {
        // SAFETY: the call has no pointers.
        let thread = unsafe { libc::gettid() };
        let listener = filter.install_with_listener().unwrap();
        sender.send((thread, listener)).unwrap();
        getpgid()
    });
    let (thread, listener) = receiver.recv().unwrap();
    let listener = Listener::from(listener);
    let call = listener.receive().unwrap().unwrap();
    assert_eq!(call.thread, thread.cast_unsigned());
    assert_eq!(call.number, number());
    assert_eq!(call.architecture(), Some(architecture()));
    assert!(listener.is_waiting(&call));
    listener.proceed(&call).unwrap();
    assert!(asks.join().unwrap().is_ok_and(|group| group > 0));
    // Answered already, by nobody who waits.
    assert!(!listener.is_waiting(&call));
    listener.proceed(&call).unwrap();
    assert_eq!(listener.receive().unwrap(), None);
    let other = std::fs::File::open("/dev/null").unwrap();
    let error = Listener::from(OwnedFd::from(other)).receive().unwrap_err();
    assert!(matches!(error, Error::Listener { .. }), "{error:?}");
}
