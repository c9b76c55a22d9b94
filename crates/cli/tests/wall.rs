//! What will be done and why (`explain`), how long it took (`--timings`), and the second wall
//! (`--landlock`), each looked at from outside and from inside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::Command;

use support::{Leaks, TempDir, crabcan, program, run, shell};

#[test]
fn every_step_is_explained_with_its_reason() {
    let _leaks = Leaks::watch();
    let options = ["explain", "--time", "2", "--tmpfs", "/x", "--", "true"];
    let text = run(&mut crabcan(options)).success();
    let lines: Vec<&str> = text.lines().collect();
    let at = |what: &str| {
        let found = lines.iter().position(|line| line.contains(what));
        found.unwrap_or_else(|| panic!("{what} is not explained: {text}"))
    };
    let parts = [
        "clone into new namespaces: ",
        "map user ids: ",
        " mount tmpfs on /x ",
    ];
    let places = parts.map(at);
    assert!(places.is_sorted(), "{text}");
    assert!(
        at("execute ") < at("kill everything 2s after the start"),
        "{text}"
    );
    assert_eq!(
        lines[at(" mount tmpfs on /x ") + 1],
        "        # what is in a new file system is the container's alone"
    );
    assert!(lines.last().unwrap().starts_with("        # "), "{text}");
}

#[test]
fn a_bundle_is_explained_by_its_properties() {
    let _leaks = Leaks::watch();
    let bundle = TempDir::new("explained");
    bundle.directory("rootfs");
    let spec = ["spec", "--rootless", "--bundle", bundle.text()];
    assert_eq!(run(&mut crabcan(spec)).code(), 0);
    let text = run(&mut crabcan(["explain", "--bundle", bundle.text()])).success();
    assert!(text.contains("# mounts[0]: "), "{text}");
    assert!(text.contains("# linux.maskedPaths: "), "{text}");
    let missing = run(&mut crabcan(["explain", "--bundle", "/no/such"]));
    assert!(missing.failure(125).contains("/no/such"), "{missing:?}");
    let neither = run(&mut crabcan([
        "explain",
        "--bundle",
        bundle.text(),
        "--pids",
        "3",
    ]));
    assert!(neither.failure(125).contains("--pids"), "{neither:?}");
}

#[test]
fn the_time_of_a_start_is_told_as_a_table_and_as_a_trace() {
    let _leaks = Leaks::watch();
    let table = run(&mut crabcan(["--timings", "--", "sh", "-c", "echo said"]));
    assert_eq!(table.stdout, "said\n", "{table:?}");
    for what in [
        "crabcan  plan",
        "init     enter the root",
        "init     filter system calls",
    ] {
        assert!(table.stderr.contains(what), "{what}: {table:?}");
    }
    let temp = TempDir::new("timings");
    let file = temp.path().join("trace.json");
    let option = format!("--timings={}", file.display());
    assert_eq!(
        run(&mut crabcan([option.as_str(), "--as-pid-1", "--", "true"])).success(),
        ""
    );
    let trace: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let complete = |event: &&serde_json::Value| event["ph"] == "X";
    assert!(events.iter().filter(complete).count() > 30, "{trace}");
    for event in events.iter().filter(complete) {
        assert!(event["dur"].as_f64().unwrap() >= 0.0 && event["ts"].as_f64().unwrap() >= 0.0);
    }
    let nowhere = run(&mut crabcan(["--timings=/no/such/file", "--", "true"]));
    assert!(
        nowhere.failure(125).contains("--timings=/no/such/file"),
        "{nowhere:?}"
    );
}

/// Whether this kernel has Landlock in a version that sandboxes use: that decides about the tests
/// below, not whether they are run.
fn landlock_is_there() -> bool {
    run(&mut crabcan(["--landlock", "required", "--", "true"])).code() == 0
}

/// Without a network namespace, sockets of the host without a file can be reached: that is what the
/// second wall is for.
#[test]
fn abstract_sockets_of_the_host_are_behind_the_wall() {
    let _leaks = Leaks::watch();
    let name = format!("crabcan-wall-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    let script = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect('\\0'+sys.argv[1])";
    let connect = |wall: &str| {
        let mut command = crabcan(["--share", "net", "--landlock", wall]);
        run(command.args(["--", "/usr/bin/python3", "-c", script, &name]))
    };
    assert_eq!(connect("off").code(), 0);
    if kernel_is_at_least(6, 12) {
        let refused = connect("best-effort");
        assert!(
            refused.stderr.contains("Operation not permitted"),
            "{refused:?}"
        );
    } else {
        assert_eq!(connect("best-effort").code(), 0);
    }
}

fn kernel_is_at_least(major: u32, minor: u32) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    let mut next = || numbers.next().unwrap().parse::<u32>().unwrap();
    (next(), next()) >= (major, minor)
}

/// What must go on working: what was opened before can be opened again, files can be moved and
/// executed where they can be written.
#[test]
fn the_wall_is_not_in_the_way() {
    let _leaks = Leaks::watch();
    let temp = TempDir::new("way");
    let input = temp.file("input", b"from a hidden place\n", 0o644);
    let mut again = Command::new("/bin/sh");
    again.args(["-c", "exec \"$0\" -- cat /dev/stdin <\"$1\""]);
    let again = run(again.arg(program()).arg(&input));
    assert_eq!(again.success(), "from a hidden place\n");
    let script = "mkdir /tmp/a /tmp/b && cp /bin/true /tmp/a/x && mv /tmp/a/x /tmp/b && /tmp/b/x && \
                  echo moved; echo x >/dev/null; echo 1 >/proc/self/oom_score_adj; \
                  cat /etc/passwd >/dev/full 2>/dev/null || echo full";
    assert_eq!(run(&mut shell(&[], script)).success(), "moved\nfull\n");
}

#[test]
fn the_wall_stands_or_not_as_it_was_said() {
    let _leaks = Leaks::watch();
    let explained = |options: &[&str]| {
        let mut command = crabcan(["explain"]);
        run(command.args(options).args(["--", "true"])).success()
    };
    let stands =
        |options: &[&str]| explained(options).contains("refuse all other access (Landlock)");
    let there = landlock_is_there();
    assert_eq!(stands(&[]), there);
    assert!(!stands(&["--landlock", "off"]));
    // Who may mount must be able to.
    assert!(!stands(&["--seccomp", "none"]));
    assert_eq!(
        stands(&["--seccomp", "none", "--landlock", "best-effort"]),
        there
    );
    if !there {
        let refused = run(&mut crabcan(["--landlock", "required", "--", "true"]));
        assert!(
            refused.failure(125).contains("--landlock required"),
            "{refused:?}"
        );
        return;
    }
    let temp = TempDir::new("rules");
    let text = explained(&[
        "--ro-bind",
        temp.text(),
        "/mnt/r",
        "--bind",
        temp.text(),
        "/mnt/w",
    ]);
    let rule = |place: &str| {
        let mut lines = text.lines();
        let start = format!(" allow beneath {place} ");
        lines.find_map(|line| line.split_once(&start).map(|(_, rights)| rights.to_owned()))
    };
    let read = Some("execute,read_file,read_dir".to_owned());
    assert_eq!(rule("/"), Some("read_dir".into()));
    assert_eq!((rule("/usr"), rule("/mnt/r")), (read.clone(), read));
    let write = rule("/mnt/w").expect("a rule");
    assert_eq!(rule("/tmp").expect("a rule"), write);
    assert!(
        write == "everything" || write.contains("write_file"),
        "{write}"
    );
}
