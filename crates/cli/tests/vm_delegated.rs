//! Containers on cgroup v2 alone: of an ordinary user to whom a cgroup is delegated, and such as
//! divide the one that is their own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use support::bundle::Bundle;
use support::{Leaks, Outcome, run};

/// The ordinary user.
const USER: u32 = 1000;

/// Goes into the cgroup `$B`, or to what was moved aside in it, and becomes the user.
const AS_THE_USER: &str = "set -e
    [ ! -d $B/crabcan-aside ] || B=$B/crabcan-aside
    echo 0 >$B/cgroup.procs
    exec setpriv --reuid=1000 --regid=1000 --clear-groups \"$@\"";

/// A bundle of an ordinary user's, who is in a cgroup with every controller.
struct User {
    bundle: Bundle,
    cgroup: PathBuf,
}

impl User {
    fn new(name: &str, script: &str) -> Self {
        let mut bundle = Bundle::new(name, script);
        let linux = bundle.config["linux"].as_object_mut().unwrap();
        let map = json!([{"containerID": 0, "hostID": USER, "size": 1}]);
        linux.insert("uidMappings".into(), map.clone());
        linux.insert("gidMappings".into(), map);
        let name = linux.insert("cgroupsPath".into(), json!("box")).unwrap();
        let namespaces = linux["namespaces"].as_array_mut().unwrap();
        namespaces.push(json!({"type": "user"}));
        namespaces.push(json!({"type": "cgroup"}));
        chown(bundle.directory.directory("state"), Some(USER), Some(USER)).unwrap();
        let root = Path::new("/sys/fs/cgroup");
        let all = fs::read_to_string(root.join("cgroup.controllers")).unwrap();
        for controller in all.split_whitespace() {
            let enable = format!("+{controller}");
            fs::write(root.join("cgroup.subtree_control"), enable).unwrap();
        }
        let cgroup = root.join(format!("of-{}", name.as_str().unwrap()));
        fs::create_dir(&cgroup).unwrap();
        Self { bundle, cgroup }
    }

    /// Gives the user its cgroup, as cgroups(7) says.
    fn delegate(&self) {
        chown(&self.cgroup, Some(USER), Some(USER)).unwrap();
        for file in ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
            chown(self.cgroup.join(file), Some(USER), Some(USER)).unwrap();
        }
    }

    /// What becomes the user and executes what follows.
    fn shell(&self) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", AS_THE_USER, "sh"]);
        command.env("B", &self.cgroup);
        command
    }

    /// A sandbox of the user's.
    fn sandbox(&self, words: &[&str]) -> Command {
        let mut command = self.shell();
        command
            .arg(support::program())
            .args(words)
            .current_dir(self.bundle.directory.path());
        command
    }

    /// A command of the state directory, by the user.
    #[track_caller]
    fn run(&self, words: &str) -> Outcome {
        self.bundle.leave_by(self.shell(), words)
    }

    /// What is in its cgroup, without the processes that were moved aside.
    fn inside(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.cgroup).unwrap().flatten();
        entries
            .filter(|entry| entry.file_type().unwrap().is_dir())
            .map(|entry| entry.path())
            .filter(|path| !path.ends_with("crabcan-aside"))
            .collect()
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = fs::remove_dir(self.cgroup.join("crabcan-aside"));
        let removed = fs::remove_dir(&self.cgroup);
        if !std::thread::panicking() {
            removed.unwrap();
        }
    }
}

#[track_caller]
fn file(directory: &Path, name: &str) -> String {
    let path = directory.join(name);
    let text = fs::read_to_string(&path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.trim_end().to_owned()
}

#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn a_users_container_is_limited_in_what_is_delegated() {
    let _leaks = Leaks::watch();
    let mut user = User::new("delegated", "exec tail /dev/zero");
    user.delegate();
    user.bundle.config["linux"]["resources"] = json!({
        "memory": {"limit": 24 << 20, "swap": 24 << 20},
        "cpu": {"quota": 50_000, "period": 100_000, "cpus": "1"},
        "pids": {"limit": 9},
    });
    let outcome = user.run("run one");
    assert_eq!(outcome.code(), 137, "{outcome:?}");
    assert_eq!(user.inside(), [""; 0].map(PathBuf::from));

    // The shell that can't fork ends; who comes in its place stays.
    let script = "(for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 600 & done) 2>/tmp/err
        exec sleep 600";
    user.bundle.script(script);
    let started = user.run("create one");
    assert_eq!(started.code(), 0, "{started:?}");
    user.run("start one").success();
    let cgroup = user.cgroup.join("box");
    for (name, value) in [
        ("memory.max", "25165824"),
        ("memory.swap.max", "0"),
        ("cpu.max", "50000 100000"),
        ("cpuset.cpus.effective", "1"),
        ("pids.max", "9"),
    ] {
        assert_eq!(file(&cgroup, name), value, "{name}");
    }
    let until = Instant::now() + Duration::from_secs(20);
    while file(&cgroup, "pids.events") == "max 0" {
        assert!(Instant::now() < until, "it is never held");
        std::thread::sleep(Duration::from_millis(20));
    }
    user.run("update --pids-limit 12 one").success();
    assert_eq!(file(&cgroup, "pids.max"), "12");
    user.run("pause one").success();
    assert!(file(&cgroup, "cgroup.events").contains("frozen 1"));
    user.run("resume one").success();
    user.run("delete --force one").success();
    assert_eq!(user.inside(), [""; 0].map(PathBuf::from));
}

#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn a_users_sandbox_is_limited_in_what_is_delegated() {
    let _leaks = Leaks::watch();
    let user = User::new("sandbox", "");
    user.delegate();
    let words = ["--memory", "24M", "--pids", "9", "--", "tail", "/dev/zero"];
    let outcome = run(&mut user.sandbox(&words));
    assert_eq!(outcome.code(), 137, "{outcome:?}");
    let told = "the memory limit of 25165824 bytes was reached: 1 process was killed";
    assert!(outcome.stderr.contains(told), "{outcome:?}");
    assert_eq!(user.inside(), [""; 0].map(PathBuf::from));
}

#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn limits_that_nobody_has_delegated_say_how_to_get_them() {
    let _leaks = Leaks::watch();
    let mut user = User::new("refused", "exit 0");
    user.bundle.config["linux"]["resources"] = json!({"memory": {"limit": 24 << 20}});
    let outcome = user.run("run one");
    assert_eq!(outcome.code(), 1, "{outcome:?}");
    for words in ["memory", "Delegate=yes"] {
        assert!(outcome.stderr.contains(words), "{outcome:?}");
    }
    assert_eq!(user.bundle.entries(), [""; 0]);
    let outcome = run(&mut user.sandbox(&["--memory", "24M", "--", "true"]));
    assert_eq!(outcome.code(), 125, "{outcome:?}");
    for words in ["memory", "hint: ", "Delegate=yes"] {
        assert!(outcome.stderr.contains(words), "{outcome:?}");
    }
    // The tutorial's form goes on without, and says so.
    let best = ["--memory", "24M", "--limits", "best-effort", "--", "true"];
    let outcome = run(&mut user.sandbox(&best));
    assert_eq!(outcome.code(), 0, "{outcome:?}");
    assert!(outcome.stderr.contains("WARN"), "{outcome:?}");
    assert!(outcome.stderr.contains("memory"), "{outcome:?}");
    assert_eq!(user.inside(), [""; 0].map(PathBuf::from));
}

/// The first id of the containers that have a user namespace.
const ROOT: u32 = 70_000;

/// A container of root's that has a cgroup file system of its own to write to.
fn divider(name: &str, script: &str, root: u32) -> Bundle {
    let mut bundle = Bundle::new(name, script);
    bundle.directory.directory("rootfs/sys/fs/cgroup");
    bundle.mount(
        json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
        "options": ["nosuid", "noexec", "nodev", "rw"]}),
    );
    let linux = bundle.config["linux"].as_object_mut().unwrap();
    if root != 0 {
        let map = json!([{"containerID": 0, "hostID": root, "size": 1000}]);
        linux.insert("uidMappings".into(), map.clone());
        linux.insert("gidMappings".into(), map);
        let namespaces = linux["namespaces"].as_array_mut().unwrap();
        namespaces.push(json!({"type": "user"}));
        chown(
            bundle.directory.path().join("rootfs"),
            Some(root),
            Some(root),
        )
        .unwrap();
    }
    let linux = &mut bundle.config["linux"];
    let namespaces = linux["namespaces"].as_array_mut().unwrap();
    namespaces.push(json!({"type": "cgroup"}));
    linux["resources"] = json!({"memory": {"limit": 256 << 20}, "pids": {"limit": 50}});
    let path = format!("/{}", linux["cgroupsPath"].as_str().unwrap());
    linux["cgroupsPath"] = json!(path);
    bundle
}

/// "Cgroup ownership" of the specification: what is safe is the container's root's, limits are not.
#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn a_container_divides_its_own_cgroup() {
    let _leaks = Leaks::watch();
    let divide = "cd /sys/fs/cgroup
        mkdir web db && echo 0 >web/cgroup.procs && echo '+memory +pids' >cgroup.subtree_control
        echo 7 >db/pids.max && echo 33554432 >db/memory.max
        cat /proc/self/cgroup db/pids.max db/cgroup.controllers
        echo max >pids.max || echo refused
        exec 2>/tmp/err
        (echo 0 >db/cgroup.procs; for i in 1 2 3 4 5 6 7 8 9; do sleep 600 & done)
        head -1 db/pids.events; echo done; exec sleep 600";
    let bundle = divider("divides", divide, ROOT);
    let outcome = bundle.leave("run -d one");
    assert_eq!(outcome.code(), 0, "{outcome:?}");
    let output = bundle.directory.path().join("stdout");
    let until = Instant::now() + Duration::from_secs(20);
    while !fs::read_to_string(&output).unwrap().ends_with("done\n") {
        let text = fs::read_to_string(&output).unwrap();
        assert!(Instant::now() < until, "{text}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let text = fs::read_to_string(&output).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[..4],
        ["0::/web", "7", "memory pids", "refused"],
        "{text}"
    );
    let held = lines[4].strip_prefix("max ").unwrap();
    assert!(held.parse::<u32>().unwrap() >= 1, "{text}");

    let path = bundle.config["linux"]["cgroupsPath"].as_str().unwrap();
    let cgroup = PathBuf::from(format!("/sys/fs/cgroup{path}"));
    let listed = fs::read_to_string("/sys/kernel/cgroup/delegate").unwrap();
    for entry in fs::read_dir(&cgroup).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let data = entry.metadata().unwrap();
        let given = data.is_dir() || listed.lines().any(|line| line == name);
        assert_eq!(data.uid() == ROOT, given, "{name}");
    }
    assert_eq!(file(&cgroup, "memory.max"), "268435456");
    assert_eq!(file(&cgroup.join("db"), "memory.max"), "33554432");

    // Its own cgroup has no processes any more: who is executed goes to its first one's.
    let seen = bundle.run("exec one cat /proc/self/cgroup").success();
    assert_eq!(seen, "0::/web\n");
    let seen = bundle.run("exec --cgroup db one cat /proc/self/cgroup");
    assert_ne!(seen.code(), 0, "{seen:?}");
    bundle.run("pause one").success();
    assert_eq!(bundle.status("one"), "paused");
    bundle.run("resume one").success();
    bundle.run("update --pids-limit 60 one").success();
    assert_eq!(file(&cgroup, "pids.max"), "60");
    bundle.run("delete --force one").success();
    assert!(!cgroup.exists());
}

/// Without a user namespace it is the host's root, to whom everything belongs anyway; read-only it
/// is nobody's to divide.
#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn a_cgroup_is_divided_only_where_it_can_be_written_to() {
    let _leaks = Leaks::watch();
    let divide = "cd /sys/fs/cgroup; mkdir web 2>/dev/null && echo 0 >web/cgroup.procs && \
        echo +pids >cgroup.subtree_control && cat /proc/self/cgroup || echo refused";
    let mut bundle = divider("roots", divide, 0);
    assert_eq!(bundle.lines(), ["0::/web"]);
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.last_mut().unwrap()["options"] = json!(["nosuid", "noexec", "nodev", "ro"]);
    assert_eq!(bundle.lines(), ["refused"]);
    let mut bundle = divider("readonly", divide, ROOT);
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.last_mut().unwrap()["options"] = json!(["nosuid", "noexec", "nodev", "ro"]);
    assert_eq!(bundle.lines(), ["refused"]);
}

/// Measured from within: a volume on the machine's disk.
#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn a_containers_writes_are_slowed_down() {
    let _leaks = Leaks::watch();
    let write =
        "exec dd if=/dev/zero of=/volume/file oflag=direct conv=notrunc bs=4k count=40 2>&1";
    let mut bundle = Bundle::new("disk", write);
    let volume = bundle.directory.directory("volume");
    bundle.directory.directory("rootfs/volume");
    bundle.mount(json!({"destination": "/volume", "source": volume, "options": ["bind"]}));
    // What dd says last: `…, 4.01 s, 40.8 kB/s`.
    let time = |bundle: &Bundle| {
        let said = bundle.run("run one").success();
        let mut words = said.rsplit(", ");
        let seconds = words.nth(1).and_then(|word| word.strip_suffix(" s"));
        let seconds = seconds.unwrap_or_else(|| panic!("{said}"));
        seconds.parse::<f64>().unwrap()
    };
    time(&bundle);
    let free = time(&bundle);
    let numbers = fs::read_to_string("/sys/block/vda/dev").unwrap();
    let numbers: Vec<u32> = numbers
        .trim()
        .split(':')
        .map(|it| it.parse().unwrap())
        .collect();
    let rate = json!([{"major": numbers[0], "minor": numbers[1], "rate": 10}]);
    bundle.config["linux"]["resources"] = json!({"blockIO": {"throttleWriteIOPSDevice": rate}});
    // 40 writes at 10 a second; the first part of a second comes at once.
    let slow = time(&bundle);
    assert!(slow > f64::max(3.0, 2.0 * free), "{slow}, {free}");
}
