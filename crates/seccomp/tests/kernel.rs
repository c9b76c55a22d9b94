//! Filters in force: every action, as the kernel performs it.
//!
//! Each check runs in a process of its own, this program again with the check's name, since a
//! filter never goes away. It needs no privilege: no_new_privs is enough.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test program that makes system calls by number"
)]

use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{env, io, thread};

use crabcan_seccomp::{
    Action, Architecture, Comparison, Error, Flags, Profile, Rule, no_new_privileges,
};

/// A check in the child, and what becomes of the child.
type Check = (&'static str, fn(), fn(ExitStatus) -> bool);

const CHECKS: &[Check] = &[
    ("errno", errno, |status| status.success()),
    ("argument", argument, |status| status.success()),
    ("allow", allow, |status| status.success()),
    ("log", log, |status| status.success()),
    ("trap", trap, |status| status.success()),
    ("trace_without_tracer", trace, |status| status.success()),
    ("trace_with_tracer", traced, |status| status.success()),
    ("kill_process", kill_process, killed),
    ("kill_thread", kill_thread, |status| status.success()),
    ("notify", notify, |status| status.success()),
    ("all_threads", all_threads, |status| status.success()),
    ("privilege", privilege, |status| status.success()),
    ("newer", newer, |status| status.success()),
    ("all_flags", all_flags, |status| status.success()),
    #[cfg(target_arch = "x86_64")]
    ("x86", x86, |status| status.success()),
    #[cfg(target_arch = "x86_64")]
    ("x86_missing", x86_missing, killed),
    #[cfg(target_arch = "x86_64")]
    ("x32_missing", x32_missing, killed),
];

fn main() {
    let mut words = env::args().skip(1);
    if words.next().as_deref() == Some("--check") {
        let name = words.next().unwrap();
        let check = CHECKS.iter().find(|(one, _, _)| *one == name).unwrap();
        check.1();
        return;
    }
    // What cargo and test runners pass to every test program: no check here is an ignored one.
    if env::args().any(|argument| argument == "--list" || argument == "--ignored") {
        return;
    }
    for (name, _, expected) in CHECKS {
        let program = env::current_exe().unwrap();
        let status = Command::new(program).args(["--check", name]).status();
        let status = status.unwrap();
        assert!(expected(status), "{name}: {status}");
        println!("test {name} ... ok");
    }
    println!(
        "\ntest result: ok. {} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
        CHECKS.len()
    );
}

fn killed(status: ExitStatus) -> bool {
    status.signal() == Some(libc::SIGSYS)
}

/// A filter that allows all but one call, whose fate it is to be looked at.
fn put(action: Action) {
    no_new_privileges().unwrap();
    let profile = Profile::new(Action::Allow).rule(Rule::new(action, ["getpgid"]));
    profile.compile().unwrap().install().unwrap();
}

/// getpgid(2) of oneself: harmless, and nobody else makes it.
fn getpgid() -> Result<i64, i32> {
    // SAFETY: the call has no pointers.
    let answer = unsafe { libc::syscall(libc::SYS_getpgid, 0) };
    if answer < 0 {
        return Err(io::Error::last_os_error().raw_os_error().unwrap());
    }
    Ok(answer)
}

fn errno() {
    put(Action::Errno(123));
    assert_eq!(getpgid(), Err(123));
}

fn argument() {
    no_new_privileges().unwrap();
    let request = Comparison::Eq(0x1_0000_5412);
    let profile = Profile::new(Action::Allow)
        .rule(Rule::new(Action::Errno(99), ["ioctl"]).argument(1, request))
        .rule(
            Rule::new(Action::Errno(98), ["ioctl"])
                .argument(1, Comparison::Gt(0xff_0000_0000))
                .argument(0, Comparison::Ne(77)),
        );
    profile.compile().unwrap().install().unwrap();
    let ioctl = |descriptor: i64, request: u64| {
        // SAFETY: the descriptor is none, so the kernel never looks at the pointer.
        let answer = unsafe { libc::syscall(libc::SYS_ioctl, descriptor, request, 0u64) };
        assert_eq!(answer, -1);
        io::Error::last_os_error().raw_os_error().unwrap()
    };
    assert_eq!(ioctl(-1, 0x1_0000_5412), 99);
    assert_eq!(ioctl(-1, 0x5412), libc::EBADF);
    assert_eq!(ioctl(-1, 0xff_0000_0001), 98);
    assert_eq!(ioctl(-1, 0xff_0000_0000), libc::EBADF);
    assert_eq!(ioctl(77, 0xff_0000_0001), libc::EBADF);
}

fn allow() {
    put(Action::Allow);
    assert!(getpgid().unwrap() > 0);
}

/// The call is made, and the kernel's log tells of it.
fn log() {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let kernel_log = options.read(true).custom_flags(libc::O_NONBLOCK);
    let kernel_log = kernel_log.open("/dev/kmsg").and_then(|mut log| {
        io::Seek::seek(&mut log, io::SeekFrom::End(0))?;
        Ok(log)
    });
    put(Action::Log);
    assert!(getpgid().unwrap() > 0);
    match kernel_log {
        Ok(log) => assert!(
            tells_of_it(log),
            "the kernel's log does not tell of the call"
        ),
        Err(error) => println!("the kernel's log can't be read ({error}): not looked at"),
    }
}

/// Looks through the kernel's log for this process and `SECCOMP_RET_LOG`.
fn tells_of_it(mut log: std::fs::File) -> bool {
    let process = format!(" pid={} ", std::process::id());
    let mut record = [0; 8192];
    for _ in 0..200 {
        match io::Read::read(&mut log, &mut record) {
            Ok(length) => {
                let text = String::from_utf8_lossy(&record[..length]);
                if text.contains(&process) && text.contains("code=0x7ffc0000") {
                    return true;
                }
            }
            // Nothing yet, or so much that some of it was overwritten.
            Err(_) => thread::sleep(std::time::Duration::from_millis(10)),
        }
    }
    false
}

static CAUGHT: AtomicBool = AtomicBool::new(false);

extern "C" fn caught(signal: i32) {
    CAUGHT.store(signal == libc::SIGSYS, Ordering::SeqCst);
}

fn trap() {
    let handler = caught as extern "C" fn(i32) as libc::sighandler_t;
    // SAFETY: the handler stores to an atomic, which is all that a handler may do.
    unsafe { libc::signal(libc::SIGSYS, handler) };
    put(Action::Trap);
    assert!(getpgid().is_err() || CAUGHT.load(Ordering::SeqCst));
    assert!(CAUGHT.load(Ordering::SeqCst));
}

fn trace() {
    put(Action::Trace(7));
    assert_eq!(getpgid(), Err(libc::ENOSYS));
}

/// The tracer is asked, gets the message, and lets the call happen.
fn traced() {
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

fn kill_process() {
    put(Action::KillProcess);
    let _ = thread::spawn(getpgid).join();
}

/// Only the thread dies, so the process can tell of it.
fn kill_thread() {
    put(Action::KillThread);
    let (end, other) = io::pipe().unwrap();
    thread::spawn(move || {
        let held = other;
        let _ = getpgid();
        // Never reached: the end of the pipe stays open in a dead thread's memory.
        io::Write::write_all(&mut &held, b"alive").unwrap();
    });
    let mut poll = libc::pollfd {
        fd: end.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one structure is passed, and it outlives the call.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 300) };
    assert_eq!(ready, 0, "the thread lives");
}

fn notify() {
    no_new_privileges().unwrap();
    let profile = Profile::new(Action::Allow)
        .flags(Flags::WAIT_KILLABLE_RECV)
        .rule(Rule::new(Action::Notify, ["getpgid"]));
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
    assert_eq!(i64::from(asked.data.nr), libc::SYS_getpgid);
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

fn all_threads() {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let other = thread::spawn(move || {
        receiver.recv().unwrap();
        getpgid()
    });
    no_new_privileges().unwrap();
    let profile = Profile::new(Action::Allow)
        .flags(Flags::TSYNC)
        .rule(Rule::new(Action::Errno(55), ["getpgid"]));
    profile.compile().unwrap().install().unwrap();
    sender.send(()).unwrap();
    assert_eq!(other.join().unwrap(), Err(55));

    // A thread with a filter of its own can't take another over.
    let (ready, wait) = std::sync::mpsc::channel::<()>();
    let (finish, end) = std::sync::mpsc::channel::<()>();
    let other = thread::spawn(move || {
        Profile::new(Action::Allow)
            .compile()
            .unwrap()
            .install()
            .unwrap();
        ready.send(()).unwrap();
        end.recv().unwrap();
    });
    wait.recv().unwrap();
    let refused = profile.compile().unwrap().install();
    assert!(matches!(refused, Err(Error::Synchronize { thread }) if thread > 0));
    finish.send(()).unwrap();
    other.join().unwrap();
}

/// Without no_new_privs it is up to the capabilities, and the error says so.
fn privilege() {
    let filter = Profile::new(Action::Allow).compile().unwrap();
    match filter.install() {
        Ok(()) => {}
        Err(Error::Install { cause, source }) => {
            assert_eq!(source.raw_os_error(), Some(libc::EACCES));
            assert!(cause.contains("no_new_privs"));
        }
        Err(other) => panic!("{other}"),
    }
}

/// An allow-list from before these calls existed: the newer ones are not there.
fn newer() {
    no_new_privileges().unwrap();
    let old = [
        "exit_group",
        "exit",
        "write",
        "munmap",
        "sigaltstack",
        "mmap",
        "futex",
        "clone3",
    ];
    let profile = Profile::new(Action::Errno(1)).rule(Rule::new(Action::Allow, old));
    profile.compile().unwrap().install().unwrap();
    assert_eq!(getpgid(), Err(1));
    // SAFETY: a call with numbers only, and the kernel does not even look at them.
    let answer = unsafe { libc::syscall(libc::SYS_faccessat2, -1, 0, 0, 0) };
    let errno = io::Error::last_os_error().raw_os_error();
    assert_eq!((answer, errno), (-1, Some(libc::ENOSYS)));
}

fn all_flags() {
    no_new_privileges().unwrap();
    let all = Flags::LOG | Flags::SPEC_ALLOW | Flags::WAIT_KILLABLE_RECV | Flags::TSYNC;
    let profile = Profile::new(Action::Allow).flags(all);
    profile.compile().unwrap().install().unwrap();
    let listener = profile.compile().unwrap().install_with_listener().unwrap();
    // SAFETY: the call has no pointers.
    let flags = unsafe { libc::fcntl(listener.as_raw_fd(), libc::F_GETFD) };
    assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
}

/// getpgid of x86 by `int 0x80`, as 32-bit programs enter the kernel.
#[cfg(target_arch = "x86_64")]
fn getpgid_x86() -> i32 {
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

#[cfg(target_arch = "x86_64")]
fn x86() {
    if getpgid_x86() <= 0 {
        println!("no 32-bit system calls here: not checked");
        return;
    }
    no_new_privileges().unwrap();

    let profile = Profile::new(Action::Allow)
        .architectures([Architecture::X86, Architecture::X86_64])
        .rule(Rule::new(Action::Errno(77), ["getpgid"]));
    profile.compile().unwrap().install().unwrap();
    assert_eq!(getpgid_x86(), -77);
    assert_eq!(getpgid(), Err(77));
}

#[cfg(target_arch = "x86_64")]
fn x86_missing() {
    put(Action::Errno(1));
    let _ = getpgid_x86();
}

#[cfg(target_arch = "x86_64")]
fn x32_missing() {
    put(Action::Errno(1));
    // SAFETY: the call has no pointers.
    unsafe { libc::syscall(libc::SYS_getpid | 0x4000_0000) };
}
