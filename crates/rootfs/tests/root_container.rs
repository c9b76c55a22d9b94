//! What only root's containers have: devices of their own, and a root that stays shared.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may end by a panic, and tells what it lacks"
)]

mod harness;

use std::fs;
use std::os::unix::fs::symlink;

use crabcan_init::format::Change;
use crabcan_init::{PlanWriter, Step};
use crabcan_rootfs::cgroup::{Hierarchy, push_v1};
use crabcan_rootfs::device::{DEFAULT, DevOptions, Node, push_dev};
use crabcan_rootfs::pivot::{push_host_root_private, push_pivot, push_root_propagation};
use crabcan_rootfs::{Bind, MountAttributes, MountOptions, NewMount, Propagation, Root, Target};

use harness::{Scratch, programs, run_privileged, small_root};

fn root(source: std::path::PathBuf) -> Root {
    Root::Directory {
        source,
        received: false,
        recursive: false,
        in_place: false,
        attributes: MountAttributes::NONE,
    }
}

fn begin(scratch: &Scratch) -> PlanWriter {
    let mut plan = PlanWriter::new();
    Propagation::Slave.push(&mut plan).unwrap();
    root(small_root(&scratch.0)).push(&mut plan).unwrap();
    programs(&mut plan);
    plan
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn devices_are_nodes_of_the_containers_own() {
    let scratch = Scratch::new();
    let mut plan = begin(&scratch);
    let mut options = DevOptions::default();
    options.nodes = true;
    push_dev(&mut plan, &options).unwrap();
    let disk = Node {
        path: "/dev/disk".into(),
        kind: crabcan_rootfs::device::NodeKind::Block,
        major: 259,
        minor: 70_000,
        permissions: 0o640,
        uid: 7,
        gid: 8,
    };
    // What is there already stays as it is, whoever asks for another owner.
    let again = Node {
        uid: 5,
        permissions: 0o600,
        ..disk.clone()
    };
    disk.push(&mut plan).unwrap();
    again.push(&mut plan).unwrap();
    push_pivot(&mut plan).unwrap();
    let script = "cd /dev; stat -c '%n %F %a %u:%g %t:%T' null disk; echo > null; \
                  grep -c ' /dev/null ' /proc/self/mountinfo; true";
    let printed = run_privileged(plan, script).unwrap();
    assert_eq!(
        printed,
        "null character special file 666 0:0 1:3\n\
         disk block special file 640 7:8 103:11170\n0\n"
    );
    let other = Scratch::new();
    let mut plan = begin(&other);
    let wrong = Node {
        minor: 5,
        ..Node::from(DEFAULT[0])
    };
    Node::from(DEFAULT[0]).push(&mut plan).unwrap();
    wrong.push(&mut plan).unwrap();
    let failed = run_privileged(plan, "true");
    assert_eq!(failed, Err(("MakeNode".into(), libc::EEXIST)));
}

/// CVE-2026-41579 and its kin: `/dev` is a link out of the root, or a link within it.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_node_is_never_made_outside() {
    let scratch = Scratch::new();
    let mut plan = begin(&scratch);
    let decoy = scratch.join("decoy");
    fs::create_dir(&decoy).unwrap();
    symlink(&decoy, scratch.join("root/dev")).unwrap();
    Node::from(DEFAULT[0]).push(&mut plan).unwrap();
    push_pivot(&mut plan).unwrap();
    // In the root the link leads nowhere.
    let failed = run_privileged(plan, "true");
    assert!(failed.is_err(), "{failed:?}");
    assert_eq!(fs::read_dir(&decoy).unwrap().count(), 0);
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_terminal_is_the_console() {
    let scratch = Scratch::new();
    let mut plan = begin(&scratch);
    push_dev(&mut plan, &DevOptions::default()).unwrap();
    push_pivot(&mut plan).unwrap();
    let steps = [
        Step::Console {
            descriptors: 0,
            rows: 0,
            columns: 0,
        },
        Step::ConsoleDevice { uid: 42 },
        Step::Session {},
    ];
    for step in &steps {
        plan.push(step).unwrap();
    }
    let script = "stat -c '%t %u %a' /dev/console; test /dev/console -ef /dev/pts/0 && echo same; \
                  grep -c ' /dev/console ' /proc/self/mountinfo";
    let printed = run_privileged(plan, script).unwrap();
    assert_eq!(printed, "88 42 620\nsame\n1\n");
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_mount_of_the_host_reaches_a_shared_container() {
    let scratch = Scratch::new();
    let mut plan = PlanWriter::new();
    push_host_root_private(&mut plan).unwrap();
    let private = Change {
        propagation: Propagation::Private.flag(),
        ..Change::default()
    };
    let root = root(small_root(&scratch.0));
    root.push_changed(&mut plan, &[private]).unwrap();
    programs(&mut plan);
    let volume = scratch.join("volume");
    fs::create_dir_all(volume.join("inner")).unwrap();
    let words = MountOptions::parse(["rbind", "rshared"]);
    let bind = Bind::new(&volume, Target::new("/volume").create()).parsed(&words);
    bind.push(&mut plan).unwrap();
    push_pivot(&mut plan).unwrap();
    push_root_propagation(&mut plan, Propagation::Shared, false).unwrap();
    let script = "grep -cE ' /(volume)? .* shared:' /proc/self/mountinfo";
    assert_eq!(run_privileged(plan, script).unwrap(), "2\n");
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn hierarchies_of_the_first_version() {
    let scratch = Scratch::new();
    let mut plan = begin(&scratch);
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let names = own.lines().filter_map(|line| line.split(':').nth(1));
    let joined = names.clone().find(|name| name.contains(','));
    let Some(name) = joined.or_else(|| names.clone().find(|name| *name == "pids")) else {
        // Not a lack of the machine: the one that CI runs on has them, the virtual one has not.
        println!("no hierarchy of the first version here");
        return;
    };
    let target = Target::new("/sys/fs/cgroup").create().no_symlinks();
    push_v1(&mut plan, &target, &[Hierarchy::new(name)], true).unwrap();
    NewMount::proc("/proc").push(&mut plan).unwrap();
    push_pivot(&mut plan).unwrap();
    let script = format!(
        "cd /sys/fs/cgroup; ls {name} | grep -c '^tasks$'; test -w . || echo read-only; \
         test -w {name} || echo read-only; ls -l | grep -c -- '-> {name}'; true"
    );
    let links = if name.contains(',') {
        name.split(',').count()
    } else {
        0
    };
    let printed = run_privileged(plan, &script).unwrap();
    assert_eq!(printed, format!("1\nread-only\nread-only\n{links}\n"));
}
