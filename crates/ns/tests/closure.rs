//! A closure in a copy of the caller. It needs a process with one thread, so there is no harness:
//! `main` calls one test after the other. Needs no privilege.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it did"
)]

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crabcan_ns::{
    Child, CloneOptions, Error, ExitStatus, IdMap, IdMapWriter, Namespace, NamespaceFd, Namespaces,
    Program, clone_closure_single_threaded, clone_program, write_id_maps,
};

fn main() {
    // What cargo and test runners pass to every test program: no test here is an ignored one.
    if std::env::args().any(|argument| argument == "--list" || argument == "--ignored") {
        return;
    }
    if std::env::args().nth(1).as_deref() == Some("children-ignored") {
        return children_are_ignored();
    }
    let tests: [(&str, fn()); 11] = [
        ("a refused program leaves nothing", refused),
        ("the exit code arrives", exit_code),
        ("the closure works on a copy", copy),
        ("what the closure owns is dropped on both sides", ownership),
        ("a panic ends the child alone", panic_in_child),
        (
            "a panic with a backtrace ends the child alone",
            panic_with_backtrace,
        ),
        ("an overflow of the stack ends the child alone", overflow),
        ("new namespaces, id maps and a boolean", tutorial),
        ("a child joins namespaces by path and by pidfd", join),
        ("a second thread is refused", threads),
        (
            "the status is lost where SIGCHLD is ignored",
            children_ignored,
        ),
    ];
    for (name, test) in tests {
        test();
        println!("test {name} ... ok");
    }
    println!(
        "\ntest result: ok. {} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
        tests.len()
    );
}

fn run(closure: impl FnOnce() -> i32, namespaces: &Namespaces) -> Child {
    clone_closure_single_threaded(closure, &CloneOptions::new(namespaces)).unwrap()
}

fn status(closure: impl FnOnce() -> i32) -> ExitStatus {
    run(closure, &Namespaces::new()).wait().unwrap()
}

fn exit_code() {
    assert_eq!(status(|| 0), ExitStatus::Exited(0));
    assert_eq!(status(|| 42), ExitStatus::Exited(42));
    assert_eq!(status(|| 256 + 3), ExitStatus::Exited(3));
    assert_eq!(status(|| -1), ExitStatus::Exited(255));
}

fn copy() {
    let mut values = vec![1, 2, 3];
    let pid = std::process::id();
    let ended = status(|| {
        values.push(4);
        i32::from(values.len() == 4 && std::process::id() != pid)
    });
    assert_eq!(ended, ExitStatus::Exited(1));
    assert_eq!(values, [1, 2, 3]);
}

fn ownership() {
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let mut child = run(
        move || i32::from(writer.write_all(b"from the child").is_err()),
        &Namespaces::new(),
    );
    let mut text = String::new();
    // Ends only because this process holds no writing end any more.
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "from the child");
    assert_eq!(child.wait().unwrap(), ExitStatus::Exited(0));
}

fn panic_in_child() {
    let ended = status(|| {
        std::panic::set_hook(Box::new(|_| {}));
        panic!("in the child");
    });
    assert_eq!(ended, ExitStatus::Exited(101));
}

fn panic_with_backtrace() {
    let ended = status(|| {
        std::panic::set_hook(Box::new(|_| {
            // Walking the frames beyond the first one of the stack would be a crash.
            black_box(std::backtrace::Backtrace::force_capture().to_string());
        }));
        panic!("in the child");
    });
    assert_eq!(ended, ExitStatus::Exited(101));
}

#[allow(unconditional_recursion, reason = "the overflow is the test")]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    recurse(depth.wrapping_add(frame[1])).wrapping_add(black_box(frame)[0])
}

fn overflow() {
    for size in [16 << 10, 256 << 10] {
        let namespaces = Namespaces::new();
        let options = CloneOptions::new(&namespaces).stack_bytes(size);
        let closure = || i32::from(recurse(1) == 0);
        let mut child = clone_closure_single_threaded(closure, &options).unwrap();
        assert_eq!(child.wait().unwrap(), ExitStatus::Signaled(libc::SIGSEGV));
    }
}

/// The tutorial's steps 7, 8 and 11 with pipes: the child asks, the parent writes the maps.
fn tutorial() {
    let (mut asked, mut ask) = std::io::pipe().unwrap();
    let (mut wait, mut go_on) = std::io::pipe().unwrap();
    let namespaces = [
        Namespace::User,
        Namespace::Pid,
        Namespace::Uts,
        Namespace::Mount,
        Namespace::Network,
        Namespace::Ipc,
        Namespace::Cgroup,
    ]
    .into_iter()
    .fold(Namespaces::new(), Namespaces::make);
    let closure = move || {
        let ok = ask.write_all(b"?").is_ok() && wait.read_exact(&mut [0]).is_ok();
        let ids = (
            rustix::process::getuid().as_raw(),
            rustix::process::getgid().as_raw(),
        );
        let is_first = std::process::id() == 1;
        i32::from(!(ok && is_first && ids == (0, 0)))
    };
    let mut child = run(closure, &namespaces);
    asked.read_exact(&mut [0]).unwrap();
    let uids = IdMap::single(0, rustix::process::getuid().as_raw()).unwrap();
    let gids = IdMap::single(0, rustix::process::getgid().as_raw()).unwrap();
    write_id_maps(child.pid(), &uids, &gids, IdMapWriter::Direct).unwrap();
    go_on.write_all(b"!").unwrap();
    assert_eq!(child.wait().unwrap(), ExitStatus::Exited(0));
}

fn namespace_link(of: &str, kind: Namespace) -> String {
    let link = fs::read_link(format!("/proc/{of}/ns/{kind}")).unwrap();
    link.to_string_lossy().into_owned()
}

fn join() {
    let executable = File::open("/bin/sleep").unwrap();
    let program = Program {
        executable: executable.as_fd(),
        args: &[c"sleep", c"1000"],
        env: &[],
        descriptors: &[],
    };
    let made = Namespaces::new()
        .make(Namespace::User)
        .make(Namespace::Uts)
        .make(Namespace::Ipc);
    let target = clone_program(&program, &CloneOptions::new(&made)).unwrap();
    let pid = target.pid().to_string();
    let kinds = [Namespace::User, Namespace::Uts, Namespace::Ipc];
    let expected = kinds.map(|kind| namespace_link(&pid, kind));
    let open = |kind| NamespaceFd::open_path(format!("/proc/{pid}/ns/{kind}"), kind).unwrap();
    let by_path = kinds
        .into_iter()
        .fold(Namespaces::new(), |all, kind| all.join(kind, open(kind)));
    let pidfd = target.pidfd().try_clone_to_owned().unwrap();
    let by_pidfd = NamespaceFd::from_pidfd(pidfd, &kinds);
    let is_there = || kinds.map(|kind| namespace_link("self", kind)) == expected;
    let joined = status(|| {
        let ok = by_path
            .joins()
            .all(|(_, namespace)| namespace.join().is_ok());
        i32::from(!(ok && is_there()))
    });
    assert_eq!(joined, ExitStatus::Exited(0));
    let joined = status(|| i32::from(!(by_pidfd.join().is_ok() && is_there())));
    assert_eq!(joined, ExitStatus::Exited(0));
    assert!(!is_there());
}

fn threads() {
    let (stop, wait) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || wait.recv());
    let namespaces = Namespaces::new();
    let error = clone_closure_single_threaded(|| 0, &CloneOptions::new(&namespaces)).unwrap_err();
    assert!(matches!(error, Error::Threads { threads: 2 }), "{error}");
    drop(stop);
    let _ = thread.join().unwrap();
    // The kernel tells that a thread has ended a moment before it is no task any more.
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while fs::read_dir("/proc/self/task").unwrap().count() > 1 {
        assert!(
            std::time::Instant::now() < limit,
            "the thread is still there"
        );
        std::thread::yield_now();
    }
}

fn refused() {
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let null = File::open("/dev/null").unwrap();
    let given = [null.as_fd(), null.as_fd()];
    let program = Program {
        executable: null.as_fd(),
        args: &[c"null"],
        env: &[],
        descriptors: &given,
    };
    let namespaces = Namespaces::new().make(Namespace::User);
    let before = descriptors();
    for _ in 0..50 {
        let error = clone_program(&program, &CloneOptions::new(&namespaces)).unwrap_err();
        assert_eq!(error.to_string(), "execute null");
    }
    assert_eq!(descriptors(), before);
    let any = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOHANG;
    let waited = rustix::process::waitid(rustix::process::WaitId::All, any);
    assert_eq!(waited.unwrap_err(), rustix::io::Errno::CHILD);
}

/// Ignored signals survive exec: so this program gets SIGCHLD ignored without unsafe code.
fn children_ignored() {
    let mut again = Command::new("env");
    again
        .arg("--ignore-signal=CHLD")
        .arg(std::env::current_exe().unwrap());
    again.arg("children-ignored");
    let mut child = run(
        move || i32::from(again.exec().raw_os_error() != Some(0)),
        &Namespaces::new(),
    );
    assert_eq!(child.wait().unwrap(), ExitStatus::Exited(0));
}

fn children_are_ignored() {
    let executable = File::open("/bin/sh").unwrap();
    let namespaces = Namespaces::new();
    let options = CloneOptions::new(&namespaces);
    let start = |file: &File, script| {
        let program = Program {
            executable: file.as_fd(),
            args: &[c"sh", c"-c", script],
            env: &[],
            descriptors: &[],
        };
        clone_program(&program, &options)
    };
    let mut child = start(&executable, c"exit 3").unwrap();
    let lost = child.wait();
    assert!(matches!(lost, Err(Error::Reaped { .. })), "{lost:?}");
    // A refused program is still reported as such, and a dropped child still ends.
    let null = File::open("/dev/null").unwrap();
    assert_eq!(start(&null, c"").unwrap_err().errno(), Some(libc::EACCES));
    let child = start(&executable, c"while :; do read x; done").unwrap();
    let pid = child.pid();
    drop(child);
    // The kernel says that there is no such child a moment before its entry in /proc goes.
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while fs::exists(format!("/proc/{pid}/status")).unwrap() {
        assert!(std::time::Instant::now() < limit, "{pid} is still there");
        std::thread::yield_now();
    }
}
