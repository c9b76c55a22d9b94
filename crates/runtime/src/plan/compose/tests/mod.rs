//! The mapping of specifications to steps: what is done in which order, and what is refused under
//! which name. Nothing here is ever carried out.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use crabcan_caps::{Capability, CapabilitySet};
use std::ffi::OsString;

mod attached;
mod devices;
mod environment;
mod joining;
mod mounts;
mod oci;
mod process;
mod refused;

use self::refused::{refused, refused_of};
use super::*;
use crate::spec::{
    Capabilities, IdMapping, Linux, Mount, MountPoint, NamespaceRequest, Process, ResourceLimit,
    Root as SpecRoot,
};

const ALL: [Namespace; 7] = [
    Namespace::Mount,
    Namespace::Cgroup,
    Namespace::Pid,
    Namespace::Ipc,
    Namespace::Network,
    Namespace::Uts,
    Namespace::User,
];

fn host(privileged: bool) -> Host {
    Host {
        uid: 1000,
        gid: 1000,
        privileged,
        capabilities: match privileged {
            true => CapabilitySet::of(Capability::ALL),
            false => CapabilitySet::EMPTY,
        },
        setgroups: true.into(),
        cgroup_trees: Vec::new().into(),
        release: "6.1".into(),
    }
}

fn namespaces_of(kinds: &[Namespace]) -> Vec<NamespaceRequest> {
    kinds.iter().copied().map(NamespaceRequest::new).collect()
}

fn single(container_id: u32, host_id: u32) -> Vec<IdMapping> {
    let size = 1;
    vec![IdMapping {
        container_id,
        host_id,
        size,
    }]
}

/// What an ordinary user may ask for.
fn rootless() -> Spec {
    Spec {
        process: Process {
            args: vec!["/bin/true".into()],
            cwd: "/".into(),
            ..Process::default()
        },
        root: SpecRoot {
            path: "/r".into(),
            readonly: false,
        },
        linux: Linux {
            namespaces: namespaces_of(&ALL),
            uid_mappings: single(0, 1000),
            gid_mappings: single(0, 1000),
            ..Linux::default()
        },
        ..Spec::default()
    }
}

/// The same for root, on its own ids.
fn rootful() -> Spec {
    let mut spec = rootless();
    spec.linux.namespaces = namespaces_of(&ALL[..6]);
    spec.linux.uid_mappings.clear();
    spec.linux.gid_mappings.clear();
    spec
}

fn bind(source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: "/m".into(),
        fstype: "none".into(),
        source: source.into(),
        options: options.iter().map(|option| (*option).into()).collect(),
        create: Some(MountPoint::Directory),
        ..Mount::default()
    }
}

fn plan(spec: &Spec, privileged: bool) -> Plan {
    compose(spec, &host(privileged)).unwrap()
}

fn steps(spec: &Spec, privileged: bool) -> Vec<String> {
    plan(spec, privileged).steps()
}

fn mounts_to_send(plan: &Plan) -> Vec<&MountToSend> {
    let mounts = plan.provisions().iter().filter_map(|one| match one {
        Provision::Mount(mount) => Some(mount),
        _ => None,
    });
    mounts.collect()
}

/// Where the step that begins like this stands.
fn position(steps: &[String], start: &str) -> usize {
    let found = steps.iter().position(|step| step.starts_with(start));
    found.unwrap_or_else(|| panic!("no step {start:?} in {steps:#?}"))
}

#[test]
fn the_smallest_container_of_an_ordinary_user() {
    assert_eq!(
        steps(&rootless(), false),
        [
            "wait for the id maps",
            "take the ids 0:0",
            "make all mounts private",
            "set up the loopback interface",
            "take /r as the root",
            "enter the root (pivot_root)",
            "take the ids 0:0",
            "keep no capability in the bounding set",
            "set capabilities (effective,permitted,inheritable,ambient no capability)",
            "go to the directory /",
            "tell the parent that everything is ready",
            "start a new session",
            "execute /bin/true",
        ]
    );
}

#[test]
fn the_smallest_container_of_root_has_no_maps() {
    let steps = steps(&rootful(), true);
    assert_eq!(steps[0], "make init untraceable (not dumpable)");
    assert_eq!(steps[1], "make all mounts private");
    assert!(!steps.iter().any(|step| step.contains("id maps")));
    assert!(steps.contains(&"take the ids 0:0 (no groups)".into()));
}

/// A container with everything that can be asked for.
fn rich() -> Spec {
    let mut spec = rootless();
    spec.hostname = Some("shore".into());
    spec.linux.rootfs_propagation = Some("slave".into());
    spec.linux.masked_paths = vec!["/proc/kcore".into(), "/proc/kcore".into()];
    spec.linux.readonly_paths = vec!["/proc/sys".into()];
    spec.root.readonly = true;
    spec.mounts = vec![
        Mount {
            destination: "/proc".into(),
            fstype: "proc".into(),
            source: "proc".into(),
            options: vec!["nosuid".into()],
            ..Mount::default()
        },
        bind("/host/data", &["rbind", "ro", "nodev"]),
    ];
    spec.process.rlimits = vec![ResourceLimit::of(7, 64, 128)];
    spec.process.no_new_privileges = true;
    spec.process.terminal = true;
    spec.extension.reaper = true;
    spec.extension.default_dev = true;
    spec.extension.parent_death_signal = Some(9);
    spec.extension.session_keyring = true;
    spec
}

#[test]
fn everything_that_can_be_asked_for_is_done() {
    let steps = steps(&rich(), false);
    // Mounts, the pivot, the privileges, the program: never in another order.
    let expected = [
        "wait for the id maps",
        "take the ids 0:0",
        "make all mounts slave",
        "set host name shore",
        "set up the loopback interface",
        "take /r as the root",
        "mount tmpfs on /dev",
        "mount devpts on /dev/pts",
        "mount proc on /proc (nosuid",
        "bind /host/data on /m (recursive; ro,nodev",
        "mask /proc/kcore",
        "make /proc/sys read-only",
        "make the root read-only",
        "enter the root (pivot_root)",
        "limit",
        "take an empty session keyring",
        "keep no capability in the bounding set",
        "set capabilities",
        "refuse new privileges",
        "ask for signal 9",
        "go to the directory /",
        "open a terminal",
        "tell the parent",
        "go on in a child",
        "start a new session",
        "execute /bin/true",
    ];
    let positions: Vec<_> = expected.map(|start| position(&steps, start)).into();
    assert!(positions.is_sorted(), "{steps:#?}");
}

#[test]
fn privileges_go_after_the_pivot_and_before_the_wait() {
    for (spec, privileged) in [(rootless(), false), (rootful(), true)] {
        let steps = steps(&spec, privileged);
        let order = ["enter the root", "set capabilities", "tell the parent"];
        assert!(order.map(|start| position(&steps, start)).is_sorted());
    }
}

/// An ordinary user's init must stay dumpable until its maps are written, root's needs not.
#[test]
fn roots_init_is_untraceable_before_it_waits() {
    assert_eq!(
        steps(&rootless(), true)[..2],
        [
            "make init untraceable (not dumpable)",
            "wait for the id maps"
        ]
    );
    assert_eq!(steps(&rootless(), false)[0], "wait for the id maps");
}

#[test]
fn with_privilege_and_maps_the_parent_makes_the_mounts() {
    let mut spec = rootless();
    spec.extension.idmap_root = true;
    spec.mounts = vec![
        bind("/host/a", &["rbind", "ridmap", "rnosuid"]),
        bind("/host/b", &["bind"]),
    ];
    let made = plan(&spec, true);
    let sent = mounts_to_send(&made);
    let words: Vec<_> = sent
        .iter()
        .map(|mount| {
            (
                mount.source.to_str().unwrap(),
                mount.recursive,
                mount.idmap.is_some(),
                mount.change.set,
            )
        })
        .collect();
    assert_eq!(
        words,
        [
            ("/r", false, true, 0),
            ("/host/a", true, true, 2),
            ("/host/b", false, false, 0),
        ]
    );
    let received = made.steps();
    let received = received.iter().filter(|step| step.contains("received"));
    assert_eq!(received.count(), 3);
    spec.mounts[0].options.remove(1);
    assert!(mounts_to_send(&plan(&spec, false)).is_empty());
    assert!(made.hides_init() && !plan(&spec, false).hides_init());
}

/// Otherwise root's files there would be the container's.
#[test]
fn the_hosts_own_root_is_never_sent_with_the_containers_ids() {
    let mut spec = rootless();
    spec.root.path = "/".into();
    spec.extension.idmap_root = true;
    assert!(mounts_to_send(&plan(&spec, true)).is_empty());
}

#[test]
fn an_overlay_takes_the_place_of_the_directory() {
    let mut spec = rootless();
    spec.extension.overlay_root = true;
    let steps = steps(&spec, false);
    position(&steps, "take an overlay of /r as the root");
    assert!(!steps.iter().any(|step| step.starts_with("take /r")));
}

#[test]
fn a_read_only_root_with_its_mounts_is_so_from_the_start() {
    let mut spec = rootless();
    spec.root.readonly = true;
    spec.extension.recursive_root = true;
    let steps = steps(&spec, false);
    assert!(steps[position(&steps, "take /r as the root")].contains("ro"));
    assert!(!steps.iter().any(|step| step == "make the root read-only"));
}

#[test]
fn the_terminals_group_is_named_only_where_it_is_mapped() {
    let pts = |maps: Vec<IdMapping>| {
        let mut spec = rootless();
        spec.extension.default_dev = true;
        spec.linux.gid_mappings = maps;
        let steps = steps(&spec, false);
        steps[position(&steps, "mount devpts")].clone()
    };
    assert!(!pts(single(0, 1000)).contains("gid=5"));
    let mut range = single(0, 100_000);
    range[0].size = 6;
    assert!(pts(range).contains("gid=5"));
}

#[test]
fn capabilities_are_those_of_the_process() {
    let mut spec = rootless();
    let some: Vec<String> = vec!["CAP_CHOWN".into(), "CAP_KILL".into()];
    spec.process.capabilities = Some(Capabilities {
        bounding: some.clone(),
        permitted: some,
        ..Capabilities::default()
    });
    let steps = steps(&spec, false);
    position(&steps, "keep CAP_CHOWN,CAP_KILL in the bounding set");
    let set = &steps[position(&steps, "set capabilities")];
    assert!(set.contains("permitted CAP_CHOWN,CAP_KILL"), "{set}");
}

/// How execvp(3) looks for a program: every directory of the command's own PATH.
#[test]
fn a_name_is_looked_for_in_path() {
    let exec = |program: &str, env: &[&str]| {
        let mut spec = rootless();
        spec.process.args = vec![program.into()];
        spec.process.env = env.iter().map(OsString::from).collect();
        steps(&spec, false).pop().unwrap()
    };
    let path = ["HOME=/", "PATH=/c", "PATH=/a::/b/"];
    assert_eq!(exec("tool", &path), "execute the first of /a/tool, /b/tool");
    assert_eq!(exec("./tool", &path), "execute ./tool");
    for none in [&[][..], &["PATH="], &["PATHS=/x"]] {
        let step = exec("tool", none);
        assert!(step.starts_with("execute the first of /usr/local/sbin/tool"));
        assert!(step.ends_with("/bin/tool"), "{step}");
    }
}
