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

mod actions;

use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::{env, io, thread};

use actions::{getpgid, put};
use crabcan_seccomp::{Action, Comparison, Error, Flags, Profile, Rule, no_new_privileges};

/// A check in the child, and what becomes of the child.
type Check = (&'static str, fn(), fn(ExitStatus) -> bool);

/// Each is done by the native entry of the kernel, and by the one of 32-bit programs.
const ACTIONS: &[Check] = &[
    ("errno", actions::errno, succeeded),
    ("allow", actions::allow, succeeded),
    ("log", actions::log, succeeded),
    ("trap", actions::trap, succeeded),
    ("trap_uncaught", actions::trap_uncaught, killed),
    ("trace_without_tracer", actions::trace, succeeded),
    ("trace_with_tracer", actions::traced, succeeded),
    ("kill_process", actions::kill_process, killed),
    ("kill_thread", actions::kill_thread, succeeded),
    ("notify", actions::notify, succeeded),
    ("listen", actions::listen, succeeded),
];

const CHECKS: &[Check] = &[
    ("argument", argument, succeeded),
    ("all_threads", all_threads, succeeded),
    ("privilege", privilege, succeeded),
    ("newer", newer, succeeded),
    ("all_flags", all_flags, succeeded),
    #[cfg(target_arch = "x86_64")]
    ("x32_missing", x32_missing, killed),
];

/// Those that need both entries.
const BOTH: &[Check] = &[
    #[cfg(target_arch = "x86_64")]
    ("both_entries", both_entries, succeeded),
    #[cfg(target_arch = "x86_64")]
    ("x86_missing", x86_missing, killed),
];

/// How the native entry and the other one are called among the words of a child.
const ENTRIES: [&str; 2] = ["native", "int_0x80"];

/// Only makes the call by that entry.
const NO_FILTER: &str = "no_filter";

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    if let [word, entry, name] = &words[..]
        && word == "--check"
    {
        return check(entry, name);
    }
    // What cargo and test runners pass to every test program: no check here is an ignored one.
    if words
        .iter()
        .any(|word| word == "--list" || word == "--ignored")
    {
        return;
    }
    let mut runs = vec![(ENTRIES[0], ACTIONS), (ENTRIES[0], CHECKS)];
    if takes_int_0x80() {
        runs.extend([(ENTRIES[1], ACTIONS), (ENTRIES[0], BOTH)]);
    }
    let mut passed = 0;
    for (entry, checks) in runs {
        for (name, _, expected) in checks {
            let status = child(entry, name);
            assert!(expected(status), "{name} ({entry}): {status}");
            println!("test {name} ({entry}) ... ok");
            passed += 1;
        }
    }
    println!("\ntest result: ok. {passed} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
}

/// In the child: what is to be looked at.
fn check(entry: &str, name: &str) {
    if entry == ENTRIES[1] {
        assert!(actions::by_int_0x80());
    }
    if name == NO_FILTER {
        return;
    }
    let mut all = ACTIONS.iter().chain(CHECKS).chain(BOTH);
    let (_, check, _) = all.find(|(one, _, _)| *one == name).unwrap();
    check();
}

/// How a check in a process of its own ended.
fn child(entry: &str, name: &str) -> ExitStatus {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--check", entry, name]).status().unwrap()
}

/// Whether the kernel takes calls of 32-bit programs: without them `int 0x80` is a fault.
fn takes_int_0x80() -> bool {
    let takes = cfg!(target_arch = "x86_64") && child(ENTRIES[1], NO_FILTER).success();
    if !takes {
        let required = env::var_os("CRABCAN_TEST_REQUIRE").is_some_and(|value| value == "1");
        assert!(
            !required || !cfg!(target_arch = "x86_64"),
            "CRABCAN_TEST_REQUIRE is set, and this kernel takes no system calls by int 0x80"
        );
        println!("no system calls by int 0x80 here: not checked");
    }
    takes
}

fn succeeded(status: ExitStatus) -> bool {
    status.success()
}

fn killed(status: ExitStatus) -> bool {
    status.signal() == Some(libc::SIGSYS)
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

/// One filter, a call of each architecture with the same name and another number.
#[cfg(target_arch = "x86_64")]
fn both_entries() {
    use crabcan_seccomp::Architecture;
    no_new_privileges().unwrap();
    let profile = Profile::new(Action::Allow)
        .architectures([Architecture::X86, Architecture::X86_64])
        .rule(Rule::new(Action::Errno(77), ["getpgid"]));
    profile.compile().unwrap().install().unwrap();
    assert_eq!(actions::getpgid_x86(), -77);
    assert_eq!(getpgid(), Err(77));
}

#[cfg(target_arch = "x86_64")]
fn x86_missing() {
    put(Action::Errno(1));
    let _ = actions::getpgid_x86();
}

#[cfg(target_arch = "x86_64")]
fn x32_missing() {
    put(Action::Errno(1));
    // SAFETY: the call has no pointers.
    unsafe { libc::syscall(libc::SYS_getpid | 0x4000_0000) };
}
