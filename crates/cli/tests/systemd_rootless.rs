//! An ordinary user's containers under the systemd of the user's own: in scopes, and in a cgroup that
//! it has delegated. So podman runs them.
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

use serde_json::json;
use support::bundle::Bundle;
use support::{Leaks, Outcome, run};

/// A program in a scope of the user's.
const SCOPE: &str = "systemd-run --user --scope --quiet --collect --unit=crabless";

/// A user that only the virtual machine has, and only while this is there.
struct User;

impl User {
    const NAME: &'static str = "crabless";
    const ID: u32 = 4322;

    fn add() -> Self {
        let id = Self::ID.to_string();
        let added = Command::new("useradd")
            .args(["--create-home", "--uid", &id, Self::NAME])
            .status();
        assert!(added.unwrap().success());
        systemctl(&["start", &Self::manager()]);
        Self
    }

    fn manager() -> String {
        format!("user@{}.service", Self::ID)
    }

    /// A program that the user runs.
    fn command<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Command {
        let id = Self::ID.to_string();
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", &id, "--regid", &id, "--clear-groups"])
            .args(words)
            .env("XDG_RUNTIME_DIR", format!("/run/user/{id}"))
            .env_remove("DBUS_SESSION_BUS_ADDRESS");
        command
    }

    #[track_caller]
    fn systemctl(&self, words: &[&str]) -> String {
        let words = ["systemctl", "--user"]
            .into_iter()
            .chain(words.iter().copied());
        run(&mut self.command(words)).success().trim().to_owned()
    }

    /// The cgroup of its systemd.
    fn cgroup() -> PathBuf {
        let id = Self::ID;
        format!("/sys/fs/cgroup/user.slice/user-{id}.slice/user@{id}.service").into()
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let stop = Command::new("systemctl")
            .args(["stop", &Self::manager()])
            .status();
        let remove = Command::new("userdel")
            .args(["--remove", Self::NAME])
            .output();
        if !std::thread::panicking() {
            assert!(stop.unwrap().success() && remove.unwrap().status.success());
        }
    }
}

#[track_caller]
fn systemctl(args: &[&str]) {
    let status = Command::new("systemctl").args(args).status().unwrap();
    assert!(status.success(), "systemctl {args:?}");
}

#[track_caller]
fn files(directory: &Path, expected: &[(&str, &str)]) {
    for (file, value) in expected {
        let path = directory.join(file);
        let text = fs::read_to_string(&path);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(text.trim(), *value, "{file}");
    }
}

/// A bundle of the user's, with a cgroup file system of its own to write to.
fn bundle(name: &str, script: &str) -> Bundle {
    let mut bundle = Bundle::new(name, script);
    bundle.directory.directory("rootfs/sys/fs/cgroup");
    bundle.mount(
        json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
        "options": ["nosuid", "noexec", "nodev", "rw"]}),
    );
    let linux = bundle.config["linux"].as_object_mut().unwrap();
    let map = json!([{"containerID": 0, "hostID": User::ID, "size": 1}]);
    linux.insert("uidMappings".into(), map.clone());
    linux.insert("gidMappings".into(), map);
    let namespaces = linux["namespaces"].as_array_mut().unwrap();
    for kind in ["user", "cgroup"] {
        namespaces.push(json!({"type": kind}));
    }
    linux.insert(
        "resources".into(),
        json!({"memory": {"limit": 64 << 20, "swap": 64 << 20}, "pids": {"limit": 16}}),
    );
    chown(
        bundle.directory.directory("state"),
        Some(User::ID),
        Some(User::ID),
    )
    .unwrap();
    bundle
}

/// A command of a bundle, by the user, behind `before`.
#[track_caller]
fn crabcan(user: &User, before: &[&str], bundle: &Bundle, words: &str) -> Outcome {
    bundle.leave_by(user.command(before.iter().copied()), words)
}

const DIVIDE: &str = "cd /sys/fs/cgroup && mkdir web && echo 0 >web/cgroup.procs && \
    echo +pids >cgroup.subtree_control && echo 5 >web/pids.max && : >/tmp/divided; exec sleep 600";

#[test]
#[ignore = "needs systemd: cargo xtask test-vm"]
fn a_scope_of_the_users_own_systemd_is_delegated_to_the_container() {
    let _leaks = Leaks::watch();
    let user = User::add();
    let mut bundle = bundle("user-scope", DIVIDE);
    bundle.before.push("--systemd-cgroup".into());
    let wait = "while [ ! -e /tmp/divided ]; do sleep 0.1; done; cat /proc/self/cgroup";
    bundle
        .directory
        .file("rootfs/divided", wait.as_bytes(), 0o755);
    bundle.config["linux"]["cgroupsPath"] = json!("crabcan-less.slice:crabcan:less");
    let outcome = crabcan(&user, &[], &bundle, "run -d one");
    assert_eq!(outcome.code(), 0, "{outcome:?}");
    let directory = User::cgroup().join("crabcan.slice/crabcan-less.slice/crabcan-less.scope");
    let limits = [
        ("memory.max", "67108864"),
        ("memory.swap.max", "0"),
        ("pids.max", "16"),
    ];
    files(&directory, &limits);
    let show = ["show", "--value", "-p", "Delegate", "crabcan-less.scope"];
    assert_eq!(user.systemctl(&show), "yes");
    // The container's root is the user, to whom systemd has given it. Who executes something in it
    // must be below that systemd too: the kernel lets nobody bring a process from elsewhere.
    let elsewhere = crabcan(&user, &[], &bundle, "exec one /bin/sh /divided");
    assert_eq!(elsewhere.code(), 255, "{elsewhere:?}");
    for words in ["(EACCES)", "systemd-run --user --scope"] {
        assert!(elsewhere.stderr.contains(words), "{elsewhere:?}");
    }
    let scope: Vec<&str> = SCOPE.split(' ').collect();
    let outcome = crabcan(&user, &scope, &bundle, "exec one /bin/sh /divided");
    assert_eq!(
        (outcome.code(), &*outcome.stdout),
        (0, "0::/web\n"),
        "{outcome:?}"
    );
    files(&directory, &[("web/pids.max", "5"), ("cgroup.procs", "")]);
    assert_eq!(fs::metadata(directory.join("web")).unwrap().uid(), User::ID);

    crabcan(&user, &[], &bundle, "update --pids-limit 20 one").success();
    let kept = [
        ("memory.max", "67108864"),
        ("pids.max", "20"),
        ("web/pids.max", "5"),
    ];
    files(&directory, &kept);
    user.systemctl(&["daemon-reload"]);
    systemctl(&["daemon-reload"]);
    files(&directory, &kept);
    files(&directory, &[("cgroup.subtree_control", "pids")]);

    crabcan(&user, &[], &bundle, "delete --force one").success();
    assert!(!directory.exists());
    user.systemctl(&["stop", "crabcan-less.slice", "crabcan.slice"]);
}

/// Without the driver: in a scope that the user had made for it.
#[test]
#[ignore = "needs systemd: cargo xtask test-vm"]
fn a_cgroup_that_the_users_systemd_has_delegated_is_divided() {
    let _leaks = Leaks::watch();
    let user = User::add();
    let mut bundle = bundle("user-delegated", "exec tail /dev/zero");
    bundle.config["linux"]["cgroupsPath"] = json!("box");
    let scope: Vec<&str> = SCOPE.split(' ').collect();
    let delegated = [&scope[..], &["-p", "Delegate=yes"]].concat();
    let outcome = crabcan(&user, &delegated, &bundle, "run one");
    assert_eq!(outcome.code(), 137, "{outcome:?}");
    bundle.script("cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max");
    let outcome = crabcan(&user, &delegated, &bundle, "run one");
    assert_eq!(
        (outcome.code(), &*outcome.stdout),
        (0, "67108864\n16\n"),
        "{outcome:?}"
    );

    // What root has not given the user's systemd, this can't give on.
    bundle.config["linux"]["resources"] =
        json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]});
    let outcome = crabcan(&user, &delegated, &bundle, "run one");
    assert_eq!(outcome.code(), 1, "{outcome:?}");
    for words in ["hugetlb", "user@.service"] {
        assert!(outcome.stderr.contains(words), "{outcome:?}");
    }
}
