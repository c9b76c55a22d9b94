//! `exec`: one more process in a container, and what it is given.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use support::bundle::Bundle;
use support::{Leaks, run};

/// The children of this program, which is who gets orphans.
fn children() -> String {
    let path = format!("/proc/self/task/{}/children", std::process::id());
    fs::read_to_string(path).unwrap()
}

/// What goes on in the container's pid namespace may fail before init has told of it. Only `exec` can
/// wait for it then, and unless it does, whoever deletes the container may wait for that in vain.
#[test]
fn a_process_that_fails_at_once_is_waited_for() {
    let _leaks = Leaks::watch();
    let bundle = running("first-word");
    let before = children();
    let fault = |step: u32| {
        let outcome = run(exec(&bundle, &[], "true").env("CRABCAN_FAULT", format!("{step}:1")));
        assert_eq!(outcome.code(), 255, "{outcome:?}");
        outcome.stderr
    };
    let first = |step: &u32| fault(*step).contains("tell the parent that everything is ready");
    let first = (0..40).find(first).expect("the first step of the child");
    for round in 0..400 {
        fault(first);
        assert_eq!(children(), before, "round {round}");
    }
}

/// A container that runs.
fn running(name: &str) -> Bundle {
    let bundle = Bundle::new(name, "exec sleep 600").rootless();
    let outcome = bundle.leave("run -d one");
    assert_eq!((outcome.code(), outcome.stderr.as_str()), (0, ""));
    bundle
}

fn exec(bundle: &Bundle, options: &[&str], script: &str) -> Command {
    let mut command = bundle.command(["exec"]);
    command.args(options).args(["one", "/bin/sh", "-c", script]);
    command
}

#[test]
fn a_process_is_executed_in_every_namespace_of_the_container() {
    let _leaks = Leaks::watch();
    let bundle = running("exec");
    let script = "for kind in pid net mnt ipc uts user; do \
        [ $(readlink /proc/self/ns/$kind) = $(readlink /proc/1/ns/$kind) ] || echo $kind; done; \
        hostname; id -u; echo $PATH; tr '\\0' ' ' < /proc/1/cmdline; exit 9";
    let outcome = run(&mut exec(&bundle, &[], script));
    assert_eq!(outcome.code(), 9, "{outcome:?}");
    assert_eq!(outcome.stdout, "bundle\n0\n/usr/bin:/bin\nsleep 600 ");
    assert_eq!(outcome.stderr, "");
    let outcome = run(&mut exec(&bundle, &[], "kill -15 $$"));
    assert_eq!(outcome.code(), 143, "{outcome:?}");
    // What is executed is gone with its own end, the container is not.
    assert_eq!(bundle.status("one"), "running");
}

#[test]
fn every_option_changes_what_it_names() {
    let _leaks = Leaks::watch();
    let bundle = running("options");
    let answer =
        |options: &[&str], script: &str| run(&mut exec(&bundle, options, script)).success();
    assert_eq!(answer(&["--cwd", "/usr"], "pwd"), "/usr\n");
    assert_eq!(
        answer(&["-e", "A=b c", "--env", "D=e"], "echo $A $D"),
        "b c e\n"
    );
    let status = |options: &[&str], name: &str| {
        let script = format!("grep ^{name}: /proc/self/status | cut -f2");
        answer(options, &script)
    };
    assert_eq!(status(&[], "NoNewPrivs"), "1\n", "the container's own");
    // CVE-2022-29162: what is added is not inheritable.
    let options = ["--cap", "CAP_NET_RAW"];
    assert_eq!(status(&options, "CapEff"), "0000000000002000\n");
    assert_eq!(status(&options, "CapBnd"), "0000000000002000\n");
    assert_eq!(status(&options, "CapInh"), "0000000000000000\n");
    assert_eq!(status(&[], "CapEff"), "0000000000000000\n");
    for user in ["1", "x", "0:7", "0x0", "", "0:"] {
        // One id is mapped; what is no number is nobody.
        let outcome = run(&mut exec(&bundle, &["--user", user], "id"));
        assert_eq!(outcome.code(), 255, "{user}: {outcome:?}");
    }
    assert_eq!(answer(&["--user", "0:0"], "id -u"), "0\n");
}

/// What was said last is meant, wherever that was: programs do not agree on which of two variables
/// with one name they take.
#[test]
fn a_variable_that_is_said_again_is_replaced() {
    let _leaks = Leaks::watch();
    let bundle = running("environment");
    let process = json!({"args": ["env"], "cwd": "/", "env": ["A=file", "PATH=/bin:/usr/bin"]});
    bundle
        .directory
        .file("process.json", process.to_string().as_bytes(), 0o644);
    let all = |options: &[&str], words: &[&str]| {
        let mut command = bundle.command(["exec"]);
        command.args(options).arg("one").args(words);
        let text = run(&mut command).success();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let options = [
        "-e",
        "PATH=/usr/bin",
        "-e",
        "A=1",
        "--env",
        "A=2",
        "-e",
        "HOME=/h",
    ];
    let expected = ["A=2", "HOME=/h", "LC_ALL=C", "PATH=/usr/bin"];
    assert_eq!(all(&options, &["env"]), expected);
    let options = [
        "--process",
        "process.json",
        "-e",
        "A=option",
        "--cwd",
        "/usr",
    ];
    let expected = ["A=option", "HOME=/root", "PATH=/bin:/usr/bin"];
    assert_eq!(all(&options, &[]), expected);
    assert_eq!(all(&options, &["pwd"]), ["/usr"]);
}

/// As runc and crun do it: from the container's own users, by the user that it is executed as.
#[test]
fn a_home_that_is_not_said_is_the_users() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("home", "echo $HOME; exec sleep 600 >&-").rootless();
    let users = "other:x:1:1::/other:/bin/sh\nroot:x:0:0:root:/den:/bin/sh\n";
    bundle.directory.file("users", users.as_bytes(), 0o644);
    bundle.mount(
        json!({"destination": "/etc/passwd", "type": "bind", "source": "users",
        "options": ["bind"]}),
    );
    assert_eq!(bundle.leave("create one").code(), 0);
    bundle.run("start one").success();
    let answer = |options: &[&str]| run(&mut exec(&bundle, options, "echo $HOME")).success();
    assert_eq!(answer(&[]), "/den\n");
    assert_eq!(answer(&["-e", "HOME=/said"]), "/said\n");
    let stdout = bundle.directory.path().join("stdout");
    assert_eq!(fs::read_to_string(stdout).unwrap(), "/den\n");
    for (users, home) in [("nobody:x:7:7::/n:/bin/sh\n", "/\n"), ("", "/\n")] {
        bundle.directory.file("users", users.as_bytes(), 0o644);
        assert_eq!(answer(&[]), home);
    }
}

/// A container makes of the file what it likes.
#[test]
fn what_is_no_list_of_users_is_neither_waited_for_nor_believed() {
    let _leaks = Leaks::watch();
    let line = "root:x:0:0:root:/den:/bin/sh\n";
    let home = |make: &dyn Fn(&Path) -> Option<fs::File>| {
        let mut bundle = Bundle::new("no-users", "echo $HOME").rootless();
        let _held = make(&bundle.directory.path().join("users"));
        bundle.mount(
            json!({"destination": "/etc/passwd", "type": "bind", "source": "users",
            "options": ["bind"]}),
        );
        bundle.run("run one").success()
    };
    let fifo = |path: &Path| {
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o666);
        nix::unistd::mkfifo(path, mode).unwrap();
    };
    assert_eq!(home(&|path| fs::write(path, line).ok().and(None)), "/den\n");
    let silent = home(&|path| {
        fifo(path);
        None
    });
    assert_eq!(silent, "/\n");
    let told = home(&|path| {
        fifo(path);
        let mut held = fs::File::options()
            .read(true)
            .write(true)
            .open(path)
            .unwrap();
        held.write_all(line.as_bytes()).unwrap();
        Some(held)
    });
    assert_eq!(told, "/\n");
    let endless = home(&|path| {
        let mut file = fs::File::create(path).unwrap();
        file.seek(SeekFrom::Start(2 << 20)).unwrap();
        file.write_all(format!("\n{line}").as_bytes()).unwrap();
        None
    });
    assert_eq!(endless, "/\n");
}

#[test]
fn a_process_comes_from_a_file() {
    let _leaks = Leaks::watch();
    let bundle = running("file");
    let process = json!({
        "args": ["/bin/sh", "-c", "echo $A; pwd; exec sleep 600 <&- >&- 2>&-"],
        "env": ["A=from a file", "PATH=/bin"],
        "cwd": "/tmp",
        "user": {"uid": 0, "gid": 0},
    });
    let file = bundle
        .directory
        .file("process.json", process.to_string().as_bytes(), 0o644);
    let words = format!(
        "exec --process {} --pid-file pid --detach one",
        file.display()
    );
    let outcome = bundle.run(&words);
    assert_eq!(outcome.success(), "from a file\n/tmp\n");
    let pid = fs::read_to_string(bundle.directory.path().join("pid")).unwrap();
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    assert_eq!(name, "sleep\n");
    // It is an orphan of this program's: the container can't end before somebody reaps it.
    let pid = nix::unistd::Pid::from_raw(pid.parse().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    nix::sys::wait::waitpid(pid, None).unwrap();
}

#[test]
fn what_cannot_be_executed_has_no_effect() {
    let _leaks = Leaks::watch();
    let bundle = running("refused");
    // It is found, and only execve(2) sees that its interpreter is not there.
    let script = b"#!/no/such/interpreter\n";
    bundle.directory.file("rootfs/tool", script, 0o755);
    for (program, words) in [
        ("/tool", "no such file or directory"),
        ("nosuch", "executable file not found in $PATH"),
        ("/no/such", "no such file or directory"),
        ("/etc/passwd", "permission denied"),
    ] {
        let mut command = bundle.command(["exec", "--pid-file", "pid", "one", program]);
        let outcome = run(&mut command);
        assert_eq!(outcome.code(), 255, "{program}: {outcome:?}");
        let message = outcome.stderr.to_lowercase();
        assert!(message.contains(&words.to_lowercase()), "{outcome:?}");
        assert!(message.contains(program), "{outcome:?}");
        assert!(!bundle.directory.path().join("pid").exists());
    }
    assert_eq!(bundle.run("exec one").code(), 255);
    assert_eq!(bundle.run("exec nobody true").code(), 255);
    // CVE-2024-21626: no descriptor of the host is a way out.
    for number in 3..20 {
        let cwd = format!("/proc/self/fd/{number}");
        let outcome = run(&mut exec(&bundle, &["--cwd", &cwd], "pwd"));
        assert_eq!(outcome.code(), 255, "{cwd}: {outcome:?}");
    }
    bundle.run("kill one 9").success();
    while bundle.status("one") != "stopped" {}
    let outcome = run(&mut exec(&bundle, &[], "true"));
    assert_eq!(outcome.code(), 255);
    assert!(outcome.stderr.contains("stopped container"), "{outcome:?}");
}

/// Wish 21, fault 34: a short-lived process is not waited for for ever. On an emulated processor a
/// thousand take many minutes: as many as there are in one.
#[test]
fn a_thousand_short_processes() {
    let _leaks = Leaks::watch();
    let bundle = running("thousand");
    let mut command = bundle.command(["exec", "one", "/bin/true"]);
    command.stdin(std::process::Stdio::null());
    let minute = Instant::now() + Duration::from_secs(60);
    let in_time = |round: &u32| *round < 50 || Instant::now() < minute;
    for round in (0..1000).take_while(in_time) {
        assert!(command.status().unwrap().success(), "round {round}");
    }
}

/// Fault 36: of the caller's descriptors only those that are asked for arrive.
#[test]
fn descriptors_arrive_when_they_are_asked_for() {
    let _leaks = Leaks::watch();
    let bundle = running("descriptors");
    // By a shell, which opens them without close-on-exec.
    let with_open = |open: &str, environment: &str, words: &str| {
        let program = support::program();
        let script = format!(
            "{open} exec {environment} {} {} {words}",
            program.display(),
            bundle.before.join(" ")
        );
        let mut command = Command::new("/bin/bash");
        command
            .args(["-c", &script])
            .current_dir(bundle.directory.path());
        run(&mut command)
    };
    bundle.directory.file("three", b"3", 0o644);
    bundle.directory.file("four", b"4", 0o644);
    let open = "exec 3<three 4<four 9</ 50</etc;";
    // By the shell itself, which has opened nothing.
    let look = "for n in $(seq 0 60); do [ -e /proc/$$/fd/$n ] && echo $n; done; true";
    let list = format!("sh -c '{look}'");
    let shown = |outcome: support::Outcome| {
        let text = outcome.success();
        let numbers = text.split_whitespace().map(|n| n.parse().unwrap());
        numbers.collect::<Vec<u32>>()
    };
    assert_eq!(
        shown(with_open(open, "", &format!("exec one {list}"))),
        [0, 1, 2]
    );
    let words = format!("exec --preserve-fds 2 one {list}");
    assert_eq!(shown(with_open(open, "", &words)), [0, 1, 2, 3, 4]);
    let words = "exec --preserve-fds 2 one sh -c 'cat <&3; cat <&4'";
    assert_eq!(with_open(open, "", words).success(), "34");
    let words = "exec one sh -c 'echo $LISTEN_FDS; cat <&3'";
    assert_eq!(with_open(open, "env LISTEN_FDS=1", words).success(), "1\n3");
    let outcome = with_open("exec 3<three 4<&-;", "", "exec --preserve-fds 2 one true");
    assert_eq!(outcome.code(), 255);
    assert!(outcome.stderr.contains("descriptor 4"), "{outcome:?}");
    // The same for the container's own program.
    let mut other = Bundle::new("descriptors", &format!("{look}; cat <&3")).rootless();
    other.config["process"]["env"] = json!(["PATH=/bin:/usr/bin"]);
    drop(other.command(["state"]));
    let program = support::program();
    let script = format!(
        "exec 3<three 4<four 9</; exec {} {} run --preserve-fds 1 -b {} two",
        program.display(),
        other.before.join(" "),
        other.directory.text()
    );
    let mut command = Command::new("/bin/bash");
    command
        .args(["-c", &script])
        .current_dir(bundle.directory.path());
    assert_eq!(run(&mut command).success(), "0\n1\n2\n3\n3");
}
