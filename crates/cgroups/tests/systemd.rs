//! Scopes, where systemd is the first process.
#![cfg(feature = "systemd")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may end by a panic"
)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crabcan_cgroups::systemd::{Manager, Property, ScopeName, Systemd};
use crabcan_cgroups::{
    Cgroup, DeviceAccess, DeviceKind, DeviceRule, Error, Hierarchy, Limit, Resources, Throttle,
};

/// A user that only the virtual machine has.
const USER: &str = "crabtest";
const USER_ID: u32 = 4321;

/// A shell that does what it is told; it is what the scopes are made around.
struct Shell {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Shell {
    fn start() -> Self {
        let mut child = Command::new("/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            input,
            output,
        }
    }

    /// The one line that a script prints.
    fn ask(&mut self, script: &str) -> String {
        writeln!(self.input, "{script}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Whether a byte can be read from a device.
    fn reads(&mut self, device: &str) -> bool {
        let script = format!("(head -c 1 {device} >/dev/null) 2>/dev/null && echo yes || echo no");
        self.ask(&script) == "yes"
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn name(test: &str) -> ScopeName {
    ScopeName::parse(&format!("crabcan-test.slice:crabcan:{test}")).unwrap()
}

fn systemctl(args: &[&str]) {
    let status = Command::new("systemctl").args(args).status().unwrap();
    assert!(status.success(), "systemctl {args:?}");
}

fn directory(hierarchy: &Hierarchy, cgroup: &Cgroup) -> PathBuf {
    hierarchy.directories(cgroup.place()).unwrap().remove(0)
}

fn files(directory: &Path, expected: &[(&str, &str)]) {
    for (file, value) in expected {
        let text = fs::read_to_string(directory.join(file)).unwrap();
        assert_eq!(text.trim(), *value, "{file}");
    }
}

fn wait_until_gone(directory: &Path) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while directory.exists() {
        assert!(Instant::now() < deadline, "{} is left", directory.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn disk() -> (u32, u32) {
    let numbers = fs::read_to_string("/sys/block/vda/dev").unwrap();
    let (major, minor) = numbers.trim().split_once(':').unwrap();
    (major.parse().unwrap(), minor.parse().unwrap())
}

fn limits() -> Resources {
    let (major, minor) = disk();
    let mut resources = Resources::default();
    resources.memory.max_bytes = Some(Limit::Of(64 << 20));
    resources.memory.max_with_swap_bytes = Some(Limit::Of(64 << 20));
    resources.cpu.weight = Some(250);
    resources.cpu.quota_us = Some(Limit::Of(25_000));
    resources.cpu.period_us = Some(50_000);
    resources.cpu.cpus = Some("1".into());
    resources.pids_max = Some(Limit::Of(16));
    resources.io.read_bps = vec![Throttle {
        major,
        minor,
        rate: 1 << 20,
    }];
    let allow = |minor| DeviceRule {
        allow: true,
        kind: DeviceKind::Char,
        major: Some(1),
        minor: Some(minor),
        access: DeviceAccess::from_letters("rw").unwrap(),
    };
    // null and zero.
    resources.devices = Some(vec![DeviceRule::all(false), allow(3), allow(5)]);
    resources
}

#[test]
#[ignore = "needs systemd: cargo xtask test-vm"]
fn a_reload_loses_neither_limits_nor_devices() {
    let hierarchy = Hierarchy::of_this_process().unwrap();
    let mut systemd = Systemd::connect(&hierarchy, Manager::System).unwrap();
    let mut shell = Shell::start();
    assert!(
        shell.reads("/dev/full"),
        "or the refusal below says nothing"
    );
    let (name, resources) = (name("reload"), limits());
    let annotation = "org.systemd.property.TimeoutStopSec";
    let more = Property::from_annotation(annotation, "7").unwrap().unwrap();
    let place = systemd
        .start_scope(&name, shell.child.id(), &resources, &[more])
        .unwrap();
    let path = Path::new("/crabcan.slice/crabcan-test.slice/crabcan-reload.scope");
    assert_eq!(place.unified_path(), Some(path));
    let cgroup = Cgroup::open(&hierarchy, &place).unwrap().unwrap();
    let directory = directory(&hierarchy, &cgroup);
    let (major, minor) = disk();
    let io = format!("{major}:{minor} rbps=1048576 wbps=max riops=max wiops=max");
    let expected = [
        ("memory.max", "67108864"),
        ("memory.swap.max", "0"),
        ("cpu.weight", "250"),
        ("cpu.max", "25000 50000"),
        ("cpuset.cpus", "1"),
        ("pids.max", "16"),
        ("io.max", io.as_str()),
    ];
    // systemd has set them all, before anything is written here.
    files(&directory, &expected);
    let property = |property: &str| {
        let show = ["show", "--value", "-p", property, name.unit()];
        let output = Command::new("systemctl").args(show).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(property("TimeoutStopUSec"), "7s");
    assert_eq!(property("Delegate"), "yes");

    cgroup.apply(&resources).unwrap();
    let devices = |shell: &mut Shell| {
        ["/dev/zero", "/dev/full", "/dev/urandom"].map(|device| shell.reads(device))
    };
    assert_eq!(devices(&mut shell), [true, false, false]);
    systemctl(&["daemon-reload"]);
    files(&directory, &expected);
    assert_eq!(devices(&mut shell), [true, false, false]);

    // A change is kept as well, and what it does not name stays.
    let mut change = Resources::default();
    change.memory.max_bytes = Some(Limit::Of(80 << 20));
    change.memory.max_with_swap_bytes = Some(Limit::Of(96 << 20));
    change.cpu.quota_us = Some(Limit::Of(10_000));
    change.pids_max = Some(Limit::Max);
    systemd.update(&name, &cgroup, &change).unwrap();
    let changed = [
        ("memory.max", "83886080"),
        ("memory.swap.max", "16777216"),
        ("cpu.weight", "250"),
        ("cpu.max", "10000 50000"),
        ("cpuset.cpus", "1"),
        ("pids.max", "max"),
        ("io.max", io.as_str()),
    ];
    files(&directory, &changed);
    systemctl(&["daemon-reload"]);
    files(&directory, &changed);
    assert_eq!(devices(&mut shell), [true, false, false]);

    drop(shell);
    systemd.stop_scope(&name).unwrap();
    wait_until_gone(&directory);
    systemd.stop_scope(&name).unwrap();
    systemctl(&["stop", "crabcan-test.slice", "crabcan.slice"]);
}

#[test]
#[ignore = "needs systemd: cargo xtask test-vm"]
fn what_systemd_refuses_is_told_in_its_words() {
    let hierarchy = Hierarchy::of_this_process().unwrap();
    let mut systemd = Systemd::connect(&hierarchy, Manager::System).unwrap();
    let (shell, other) = (Shell::start(), Shell::start());
    let (name, none) = (name("refused"), Resources::default());
    let mut start = |pid: u32, more: &[Property]| systemd.start_scope(&name, pid, &none, more);

    let unknown = Property::from_annotation("org.systemd.property.NoSuch", "true");
    let refused = start(shell.child.id(), &[unknown.unwrap().unwrap()]).unwrap_err();
    assert!(refused.to_string().contains("NoSuch"), "{refused}");
    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let refused = start(ended.id(), &[]).unwrap_err();
    assert!(
        matches!(refused, Error::BusRefusal { .. } | Error::Job { .. }),
        "{refused}"
    );

    // After the refusals the name is free.
    let place = start(shell.child.id(), &[]).unwrap();
    let refused = start(other.child.id(), &[]).unwrap_err();
    assert!(matches!(refused, Error::ScopeExists { .. }), "{refused}");
    let cgroup = Cgroup::open(&hierarchy, &place).unwrap().unwrap();
    let directory = directory(&hierarchy, &cgroup);
    // When the last process has ended, the scope goes by itself.
    drop(shell);
    wait_until_gone(&directory);
    systemd.stop_scope(&name).unwrap();
    systemctl(&["stop", "crabcan-test.slice", "crabcan.slice"]);
}

/// As the user, in a process of the user's own.
fn of_the_user() {
    let hierarchy = Hierarchy::of_this_process().unwrap();
    let mut system = Systemd::connect(&hierarchy, Manager::System).unwrap();
    let shell = Shell::start();
    let (name, mut resources) = (name("user"), Resources::default());
    let refused = system.start_scope(&name, shell.child.id(), &resources, &[]);
    let refused = refused.unwrap_err();
    assert!(refused.hint().is_some(), "{refused}");

    let mut systemd = Systemd::connect(&hierarchy, Manager::User).unwrap();
    resources.memory.max_bytes = Some(Limit::Of(32 << 20));
    resources.pids_max = Some(Limit::Of(8));
    let place = systemd
        .start_scope(&name, shell.child.id(), &resources, &[])
        .unwrap();
    let inside = format!("/user.slice/user-{USER_ID}.slice/user@{USER_ID}.service/crabcan.slice");
    assert!(
        place.unified_path().unwrap().starts_with(&inside),
        "{place}"
    );
    let cgroup = Cgroup::open(&hierarchy, &place).unwrap().unwrap();
    let directory = directory(&hierarchy, &cgroup);
    files(&directory, &[("memory.max", "33554432"), ("pids.max", "8")]);
    // It is the user's own: limits can be written, as they could not be without delegation.
    cgroup.apply(&resources).unwrap();
    drop(shell);
    systemd.stop_scope(&name).unwrap();
    wait_until_gone(&directory);
}

#[test]
#[ignore = "needs systemd: cargo xtask test-vm"]
fn an_ordinary_user_has_scopes_of_its_own() {
    const ROLE: &str = "CRABCAN_TEST_ROLE";
    if std::env::var_os(ROLE).is_some() {
        return of_the_user();
    }
    let id = USER_ID.to_string();
    let added = Command::new("useradd")
        .args(["--create-home", "--uid", &id, USER])
        .status();
    assert!(added.unwrap().success());
    let manager = format!("user@{USER_ID}.service");
    systemctl(&["start", &manager]);
    let own = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "an_ordinary_user_has_scopes_of_its_own",
            "--nocapture",
        ])
        .env(ROLE, "user")
        .env("XDG_RUNTIME_DIR", format!("/run/user/{USER_ID}"))
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .uid(USER_ID)
        .gid(USER_ID)
        .output();
    let own = own.unwrap();
    systemctl(&["stop", &manager]);
    let removed = Command::new("userdel").args(["--remove", USER]).output();
    assert!(
        own.status.success(),
        "{}",
        String::from_utf8_lossy(&own.stdout)
    );
    removed.unwrap();
}
