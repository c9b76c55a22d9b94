//! Callers in odd states, ends of all kinds, and partners that are not there or do not do their part.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking, and prints its figures; nothing wraps add_key(2)"
)]

mod support;

use std::fs;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use support::attack::figure;
use support::bundle::Bundle;
use support::running::Running;
use support::{Leaks, TempDir, crabcan, run};

/// Fault 22: signals to a container in the foreground.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn signals_reach_a_container_in_the_foreground() {
    let _leaks = Leaks::watch();
    let script = "for s in INT TERM HUP QUIT USR1 USR2 WINCH TSTP 40; do trap \"echo got $s\" $s; done; \
        trap 'echo got RT; exit 6' 42; echo ready; while :; do sleep 0.02; done";
    let mut bundle = Bundle::new("signals", "");
    bundle.config["process"]["args"] = json!(["/bin/bash", "-c", script]);
    let mut command = bundle.command(["run", "one"]);
    // What is started in the background may be told to ignore two of them.
    let defaults = || {
        for signal in [libc::SIGINT, libc::SIGQUIT] {
            // SAFETY: no handler is set.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        Ok(())
    };
    // SAFETY: signal(2) may be called between fork and exec.
    unsafe { command.pre_exec(defaults) };
    let running = Running::start(&mut command);
    assert_eq!(running.line(), "ready");
    let send = |number: i32| {
        // SAFETY: a signal to a child of this test.
        assert_eq!(unsafe { libc::kill(running.pid(), number) }, 0);
    };
    let named = [
        (libc::SIGINT, "INT"),
        // Twice: the second does not leave the container alone.
        (libc::SIGINT, "INT"),
        (libc::SIGTERM, "TERM"),
        (libc::SIGHUP, "HUP"),
        (libc::SIGQUIT, "QUIT"),
        (libc::SIGUSR1, "USR1"),
        (libc::SIGUSR2, "USR2"),
        (40, "40"),
    ];
    for (number, name) in named {
        send(number);
        assert_eq!(running.line(), format!("got {name}"));
    }
    send(42);
    assert_eq!(running.line(), "got RT");
    assert_eq!(running.finish().code(), Some(6));
    assert_eq!(bundle.entries(), [""; 0]);
}

/// Fault 22: the front end is killed; what it leaves is found and removed.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn a_front_end_that_is_killed_leaves_a_container_that_can_be_deleted() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("front", "echo ready; exec sleep 600");
    let running = Running::start(&mut bundle.command(["run", "one"]));
    assert_eq!(running.line(), "ready");
    kill(Pid::from_raw(running.pid()), Signal::SIGKILL).unwrap();
    drop(running);
    assert_eq!(bundle.run("gc").success(), "");
    bundle.run("delete --force one").success();
}

/// Fault 23: how a container's program ends, `run` and `exec` end.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn every_end_is_told_by_its_number() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("ends", "exec sleep 600");
    assert_eq!(bundle.leave("run -d one").code(), 0);
    for (script, code) in [
        ("exit 0", 0),
        ("exit 1", 1),
        ("exit 125", 125),
        ("exit 255", 255),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
        ("kill -ABRT $$", 134),
    ] {
        let mut exec = bundle.command(["exec", "one", "/bin/sh", "-c", script]);
        assert_eq!(run(&mut exec).code(), code, "exec: {script}");
        // The first process of a pid namespace is not killed by its own signals.
        let script = format!("sh -c '{script}'; exit $?");
        let mut other = Bundle::new("ends-run", &script);
        other.config["process"]["env"] = bundle.config["process"]["env"].clone();
        let outcome = other.run("run two");
        assert_eq!(outcome.code(), code, "run: {script}: {outcome:?}");
    }
    let missing = bundle.run("exec one /no/such/program");
    assert_eq!(missing.code(), 255, "{missing:?}");
    bundle.config["process"]["args"] = json!(["/no/such/program"]);
    assert_eq!(bundle.leave("run three").code(), 1);
    assert_eq!(bundle.entries(), ["one"]);
}

/// Fault 24: nobody reads what is said, or nothing can be written.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn output_that_nobody_takes_is_an_error_and_no_panic() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("output", "exec sleep 600");
    assert_eq!(bundle.leave("run -d one").code(), 0);
    let full = || {
        fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    let broken = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    for words in [
        "state one",
        "list",
        "ps one",
        "events --stats one",
        "features",
        "exec one id",
    ] {
        for to_full in [true, false] {
            let mut command = bundle.command(words.split(' '));
            command.stdin(Stdio::null());
            match to_full {
                true => command.stdout(full()),
                false => command.stdout(broken()),
            };
            let output = command.stderr(Stdio::piped()).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success(), "{words}: {said}");
            assert!(!said.contains("panicked"), "{words}: {said}");
        }
    }
    // Errors that nobody hears have their code.
    for stderr in [Stdio::from(full()), Stdio::from(broken())] {
        let mut command = bundle.command(["state", "nobody"]);
        let status = command.stderr(stderr).status().unwrap();
        assert_eq!(status.code(), Some(1));
    }
    // Descriptors that are closed are no room for others.
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        let command = bundle.command(["exec", "one", "/bin/sh", "-c", "exit 4"]);
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &format!("exec \"$@\" {closed}"), "sh"]);
        shell.arg(command.get_program()).args(command.get_args());
        assert_eq!(run(shell.current_dir("/")).code(), 4, "{closed}");
    }
    // A slow reader gets everything.
    let mut command = bundle.command(["exec", "one", "/bin/sh", "-c", "seq 200000"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut text).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(text.ends_with("\n200000\n"));
}

/// Fault 25: what a caller has done to itself is not done to the program.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn a_program_begins_with_the_defaults_whatever_its_caller_does() {
    let _leaks = Leaks::watch();
    // No shell: it would unblock signals by itself.
    let show = ["/bin/grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"];
    let mut bundle = Bundle::new("odd", "");
    bundle.config["process"]["args"] = json!(show);
    let mut sandbox = crabcan(["--"]);
    sandbox.args(show);
    let words = [bundle.command(["run", "one"]), sandbox];
    for command in words {
        for state in [
            "trap '' CHLD",
            "trap '' HUP INT QUIT TERM PIPE USR1 TSTP",
            "ulimit -n 64",
            "umask 777",
            "nice -n 19 true",
        ] {
            let mut shell = Command::new("/bin/bash");
            shell.args(["-c", &format!("{state}; exec \"$@\""), "bash"]);
            shell.arg(command.get_program()).args(command.get_args());
            shell.current_dir(bundle.directory.path());
            // SAFETY: blocks signals in the child, by a call that may be made there.
            unsafe {
                shell.pre_exec(|| {
                    let all = nix::sys::signal::SigSet::all();
                    all.thread_block().map_err(Into::into)
                });
            }
            let outcome = run(&mut shell);
            assert_eq!(outcome.code(), 0, "{state}: {outcome:?}");
            for line in outcome.stdout.lines() {
                let set = line.split_whitespace().nth(1).unwrap();
                let set = u64::from_str_radix(set, 16).unwrap();
                assert_eq!(set, 0, "{state}: {outcome:?}");
            }
        }
    }
    // A directory that is gone, and too few descriptors for anything at all.
    let gone = bundle.directory.directory("gone");
    let bundle_path = bundle.directory.text();
    let command = bundle.command(["run", "-b", bundle_path, "one"]);
    let mut limits = 0;
    for state in (3..40)
        .map(|limit| format!("ulimit -n {limit}"))
        .chain([format!("cd {} && rmdir ../gone", gone.display())])
    {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &format!("{state}; exec \"$@\""), "sh"]);
        shell.arg(command.get_program()).args(command.get_args());
        let outcome = run(&mut shell);
        match outcome.code() {
            0 => {}
            // The loader of shared libraries needs a descriptor too.
            1 | 127 => {
                limits += 1;
                let told = ["EMFILE", "Error 24", "Too many open files"];
                let is_told = told.iter().any(|word| outcome.stderr.contains(word));
                assert!(is_told, "{state}: {outcome:?}");
            }
            _ => panic!("{state}: {outcome:?}"),
        }
        assert_eq!(bundle.entries(), [""; 0], "{state}");
    }
    figure(limits, "runs that had too few descriptors");
}

/// Faults 29 and 30: who is to be sent something is not there, goes away, or takes its time.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn partners_that_do_not_do_their_part_hold_nobody_up() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("partners", "mkdir /tmp/x");
    let socket = bundle.directory.path().join("socket");
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": socket,
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY" }],
    });
    let refused = |bundle: &Bundle, words: &str| {
        let start = Instant::now();
        let outcome = bundle.leave(words);
        assert_eq!(outcome.code(), 1, "{words}: {outcome:?}");
        assert!(outcome.stderr.contains("socket"), "{words}: {outcome:?}");
        assert!(start.elapsed() < Duration::from_secs(3), "{words}");
        assert_eq!(bundle.entries(), [""; 0], "{words}");
    };
    refused(&bundle, "create one");
    // The name is there, and nobody behind it.
    drop(UnixListener::bind(&socket).unwrap());
    refused(&bundle, "create one");
    bundle.config["linux"]["seccomp"] = json!(null);
    bundle.config["process"]["terminal"] = json!(true);
    refused(&bundle, "create --console-socket socket one");
    // Who is there and closes at once: it is noticed, or the container goes without a terminal.
    fs::remove_file(&socket).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let closing = std::thread::spawn(move || drop(listener.accept().unwrap()));
    let start = Instant::now();
    let outcome = bundle.leave("create --console-socket socket one");
    assert!([0, 1].contains(&outcome.code()), "{outcome:?}");
    assert!(start.elapsed() < Duration::from_secs(3));
    closing.join().unwrap();
    bundle.run("delete --force one").success();
    // Who takes nothing for a while: what is sent waits in the socket, and nobody waits for it.
    fs::remove_file(&socket).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let outcome = bundle.leave("create --console-socket socket one");
    assert_eq!(outcome.code(), 0, "{outcome:?}");
    bundle.run("delete --force one").success();
    drop(listener);
}

const FILLER: &str = "CRABCAN_TEST_FILLER";

/// Uses up the quota of keys of this user in a session keyring, and becomes crabcan.
fn fill_and_become(program: &str) -> ! {
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    const SESSION: libc::c_long = -3;
    // SAFETY: a null name asks for a keyring without one.
    let joined = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            JOIN_SESSION_KEYRING,
            std::ptr::null::<u8>(),
        )
    };
    assert!(joined > 0, "{}", std::io::Error::last_os_error());
    for number in 0.. {
        let name = format!("filler-{number}\0");
        // SAFETY: strings that live longer than the call, and the length of the last one.
        let added = unsafe {
            libc::syscall(
                libc::SYS_add_key,
                c"user".as_ptr(),
                name.as_ptr(),
                c"x".as_ptr(),
                1,
                SESSION,
            )
        };
        if added < 0 {
            let error = std::io::Error::last_os_error();
            assert_eq!(error.raw_os_error(), Some(libc::EDQUOT), "{error}");
            break;
        }
    }
    panic!("{}", Command::new(program).args(["--", "/bin/true"]).exec());
}

/// A quota of keys that is used up: the caller's keyring is not handed on instead.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn a_quota_of_keys_that_is_used_up_is_told() {
    if let Ok(program) = std::env::var(FILLER) {
        fill_and_become(&program);
    }
    let _leaks = Leaks::watch();
    let directory = TempDir::new("keys");
    let copies = [support::program(), std::env::current_exe().unwrap()].map(|path| {
        let copy = directory.path().join(path.file_name().unwrap());
        fs::copy(&path, &copy).unwrap();
        fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        copy
    });
    let mut command = Command::new(&copies[1]);
    command
        .args([
            "--exact",
            "a_quota_of_keys_that_is_used_up_is_told",
            "--ignored",
            "--nocapture",
        ])
        .env(FILLER, &copies[0])
        .uid(61_236)
        .gid(61_236)
        .current_dir("/");
    let outcome = run(&mut command);
    assert_eq!(outcome.code(), 125, "{outcome:?}");
    let expected = "take an empty session keyring: Quota exceeded (EDQUOT)";
    assert!(outcome.stderr.contains(expected), "{outcome:?}");
    assert!(
        outcome.stderr.contains("kernel.keys.maxkeys"),
        "{outcome:?}"
    );
}

/// EAGAIN: no more processes.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn a_user_without_processes_left_is_told() {
    let _leaks = Leaks::watch();
    let directory = TempDir::new("nproc");
    let copy = directory.path().join("crabcan");
    fs::copy(support::program(), &copy).unwrap();
    fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = Command::new("/bin/bash");
    command.args(["-c", "ulimit -u 1; exec \"$0\" -- /bin/true"]);
    command.arg(copy).uid(61_237).gid(61_237);
    let outcome = run(command.current_dir("/"));
    let message = outcome.failure(125);
    assert!(message.contains("(EAGAIN)"), "{message}");
    assert!(outcome.stderr.contains("RLIMIT_NPROC"), "{outcome:?}");
}
