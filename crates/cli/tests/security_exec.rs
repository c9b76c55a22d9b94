//! An attacker in a container, while process after process is executed beside it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking, and prints its figures"
)]

mod support;

use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::ptrace;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use rustix::fs::{CWD, Mode, OFlags, openat};
use serde_json::json;
use support::Leaks;
use support::attack::{attack_with, figure, is_attacker, rounds};
use support::bundle::Bundle;

/// Whether a process still is the runtime, before it has become what was to be executed.
fn is_runtime(pid: &str) -> bool {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    ["crabcan", "runc", "crun", "exe"]
        .iter()
        .any(|known| name.starts_with(known))
}

/// What of a process can be had that is the runtime before and after it was had.
fn hunt(pid: &str) -> Option<String> {
    let mut got = Vec::new();
    let mut try_open = |path: String, flags: OFlags| {
        if openat(CWD, &path, flags, Mode::empty()).is_ok() {
            got.push(path);
        }
    };
    try_open(format!("/proc/{pid}/exe"), OFlags::RDONLY);
    try_open(format!("/proc/{pid}/exe"), OFlags::WRONLY);
    try_open(format!("/proc/{pid}/cwd"), OFlags::PATH);
    try_open(format!("/proc/{pid}/root"), OFlags::PATH);
    try_open(format!("/proc/{pid}/mem"), OFlags::RDWR);
    for number in 0..16 {
        try_open(format!("/proc/{pid}/fd/{number}"), OFlags::PATH);
    }
    let number = Pid::from_raw(pid.parse().ok()?);
    if ptrace::seize(number, ptrace::Options::empty()).is_ok() {
        got.push("ptrace".into());
        // Let go of again: who is traced is not reaped, and `exec` would wait for that.
        let _ = ptrace::interrupt(number);
        let _ = waitpid(number, None);
        let _ = ptrace::detach(number, None);
    }
    let found = !got.is_empty() && is_runtime(pid);
    found.then(|| format!("{pid}: {}", got.join(" ")))
}

/// Hunts until the test says that it is over.
fn attack() {
    let mut glimpses = 0;
    let own = std::process::id().to_string();
    fs::write("/out/ready", "").unwrap();
    while !Path::new("/out/stop").exists() {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with(|c: char| c.is_ascii_digit()) || name == own || name == "1" {
                continue;
            }
            if is_runtime(&name) {
                glimpses += 1;
                if let Some(found) = hunt(&name) {
                    fs::write("/out/found", found).unwrap();
                }
            }
        }
    }
    fs::write("/out/glimpses", glimpses.to_string()).unwrap();
}

/// CVE-2016-9962, CVE-2016-8649, CVE-2016-8659, CVE-2019-5736, CVE-2024-21626.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn nothing_of_the_runtime_can_be_had_while_it_executes() {
    if is_attacker() {
        return attack();
    }
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("hunters", "");
    let name = "nothing_of_the_runtime_can_be_had_while_it_executes";
    attack_with(&mut bundle, name);
    let out = bundle.directory.directory("out");
    bundle.config["mounts"]
        .as_array_mut()
        .unwrap()
        .push(json!({"destination": "/out", "type": "bind", "source": out, "options": ["bind"]}));
    // What engines give by default.
    let sets = json!([
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETPCAP",
        "CAP_NET_RAW",
        "CAP_SYS_CHROOT",
        "CAP_MKNOD"
    ]);
    bundle.config["process"]["capabilities"] =
        json!({"bounding": sets, "effective": sets, "permitted": sets});
    assert_eq!(bundle.leave("run -d one").code(), 0);
    while !out.join("ready").exists() {
        assert_eq!(bundle.status("one"), "running", "the attacker has ended");
    }
    let count = rounds(500, 5000);
    let mut command = bundle.command(["exec", "one", "/bin/true"]);
    command.stdin(Stdio::null());
    for round in 0..count {
        assert!(command.status().unwrap().success(), "round {round}");
    }
    fs::write(out.join("stop"), "").unwrap();
    // It writes that last, and ends.
    while bundle.status("one") != "stopped" {
        std::thread::sleep(Duration::from_millis(5));
    }
    let glimpses: u32 = fs::read_to_string(out.join("glimpses"))
        .unwrap()
        .parse()
        .unwrap();
    figure(count, "processes executed beside a hunter");
    figure(glimpses, "looks at one of them before it was executed");
    let found = fs::read_to_string(out.join("found"));
    assert!(found.is_err(), "{found:?}");
    assert!(glimpses > 10, "the hunter was too slow: {glimpses}");
}

/// Takes hold of whatever is executed from the runtime's program, and writes to it when it has ended.
fn overwrite() {
    let (mut held, mut written) = (0, 0);
    fs::write("/out/ready", "").unwrap();
    while !Path::new("/out/stop").exists() {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let exe = entry.path().join("exe");
            let is_runtime = |link: PathBuf| link.to_string_lossy().contains("crabcan");
            if !fs::read_link(&exe).is_ok_and(is_runtime) {
                continue;
            }
            let Ok(file) = fs::File::open(&exe) else {
                continue;
            };
            held += 1;
            fs::write("/out/held", held.to_string()).unwrap();
            while entry.path().exists() {}
            let again = format!("/proc/self/fd/{}", file.as_raw_fd());
            let again = fs::OpenOptions::new().write(true).open(again);
            written += u32::from(again.is_ok_and(|mut file| file.write(b"x").is_ok()));
        }
    }
    fs::write("/out/written", written.to_string()).unwrap();
}

/// CVE-2019-5736: the image's program is a script whose interpreter is the runtime itself. What comes
/// up is the container's own and can be had: but not changed, nor is it a file of the host's.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn an_interpreter_that_is_the_runtime_overwrites_nothing() {
    if is_attacker() {
        return overwrite();
    }
    let _leaks = Leaks::watch();
    let program = support::program();
    let before = fs::read(&program).unwrap();
    let mut bundle = Bundle::new("self-exe", "");
    attack_with(
        &mut bundle,
        "an_interpreter_that_is_the_runtime_overwrites_nothing",
    );
    let out = bundle.directory.directory("out");
    bundle
        .mount(json!({"destination": "/out", "type": "bind", "source": out, "options": ["bind"]}));
    bundle
        .directory
        .file("rootfs/evil", b"#!/proc/self/exe\n", 0o755);
    assert_eq!(bundle.leave("run -d one").code(), 0);
    while !out.join("ready").exists() {
        assert_eq!(bundle.status("one"), "running", "the attacker has ended");
    }
    let mut rounds = 0;
    while rounds < 20 || !out.join("held").exists() {
        assert!(rounds < 1000, "the attacker was too slow");
        assert_ne!(bundle.run("exec one /evil").code(), 0);
        rounds += 1;
    }
    fs::write(out.join("stop"), "").unwrap();
    while bundle.status("one") != "stopped" {
        std::thread::sleep(Duration::from_millis(5));
    }
    let count = |name: &str| fs::read_to_string(out.join(name)).unwrap();
    figure(count("held"), "programs of the runtime's had from within");
    assert_eq!(count("written"), "0");
    bundle.run("delete --force one").success();
    bundle.config["process"]["args"] = json!(["/evil"]);
    assert_ne!(bundle.leave("run one").code(), 0);
    assert!(fs::read(&program).unwrap() == before, "it has changed");
}
