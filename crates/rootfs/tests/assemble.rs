//! Plans of this crate's steps, walked by the program of crabcan-init in namespaces of its own,
//! and looked at from inside. Any user can run them: `unshare` (util-linux) makes the namespaces.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may end by a panic"
)]

mod harness;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use crabcan_init::{PlanWriter, Step};
use crabcan_rootfs::device::{DevOptions, push_dev};
use crabcan_rootfs::mask::{push_masked, push_read_only};
use crabcan_rootfs::pivot::{push_pivot, push_root_attributes};
use crabcan_rootfs::{Bind, MountAttributes, NewMount, Propagation, Root, Target, mask};

use harness::{Scratch, programs, run, small_root};

fn host_root(attributes: MountAttributes) -> Root {
    Root::Directory {
        source: "/".into(),
        received: false,
        recursive: true,
        in_place: false,
        attributes,
    }
}

fn plan(root: &Root) -> PlanWriter {
    let mut plan = PlanWriter::new();
    Propagation::Private.push(&mut plan).unwrap();
    root.push(&mut plan).unwrap();
    plan
}

#[test]
fn a_container_of_the_hosts_root() {
    let mut plan = plan(&host_root(MountAttributes::RDONLY));
    push_dev(&mut plan, &DevOptions::default()).unwrap();
    NewMount::proc("/proc").push(&mut plan).unwrap();
    push_masked(&mut plan, mask::DEFAULT_MASKED).unwrap();
    push_read_only(&mut plan, mask::DEFAULT_READ_ONLY).unwrap();
    push_pivot(&mut plan).unwrap();
    // The modes are those that the nodes have: a test that fails must not harm the host.
    let script = r#"
        echo devices: $(cd /dev && echo *)
        echo x > /dev/null && head -c 2 /dev/zero | od -An -c
        chmod 666 /dev/null 2>/dev/null || echo "the node is safe"
        readlink /dev/fd /dev/stdin /dev/ptmx
        chmod 666 /proc/interrupts 2>/dev/null || echo "the mask is safe"
        echo interrupts $(wc -c < /proc/interrupts)
        echo 1 2>/dev/null > /proc/sys/kernel/domainname || echo "settings are safe"
        touch /x 2>/dev/null || echo "the root is safe"
        touch /dev/shm/x && echo "shared memory"
        ls -d /dev/mqueue /dev/pts/ptmx
    "#;
    let printed = run(plan, script).unwrap();
    let expected = "devices: fd full mqueue null ptmx pts random shm stderr stdin stdout tty \
                    urandom zero\n  \\0  \\0\nthe node is safe\n/proc/self/fd\n/proc/self/fd/0\n\
                    pts/ptmx\nthe mask is safe\ninterrupts 0\nsettings are safe\nthe root is safe\nshared memory\n\
                    /dev/mqueue\n/dev/pts/ptmx\n";
    assert_eq!(printed, expected);
}

/// What was bound by the path of a descriptor must be what that descriptor is.
#[test]
fn another_file_than_the_one_that_was_opened_is_refused() {
    let scratch = Scratch::new();
    let root = small_root(&scratch.0);
    let metadata = fs::metadata("/usr").unwrap();
    for (more, expected) in [
        (0, Ok("the same\n".to_owned())),
        (1, Err(("SameFile".to_owned(), 116))),
    ] {
        let mut plan = plan(&Root::Directory {
            source: root.clone(),
            received: false,
            recursive: true,
            in_place: false,
            attributes: MountAttributes::NONE,
        });
        programs(&mut plan);
        let (device, inode) = (metadata.dev(), metadata.ino() + more);
        let target = c"/usr";
        plan.push(&Step::SameFile {
            target,
            device,
            inode,
        })
        .unwrap();
        push_pivot(&mut plan).unwrap();
        assert_eq!(run(plan, "echo the same"), expected);
    }
}

/// The kernel's own file systems are those of the container's namespaces, and can't be written to.
#[test]
fn sysfs_and_cgroups_are_the_containers_own() {
    let mut plan = plan(&host_root(MountAttributes::RDONLY));
    NewMount::sysfs("/sys").push(&mut plan).unwrap();
    NewMount::cgroup2("/sys/fs/cgroup").push(&mut plan).unwrap();
    NewMount::proc("/proc").push(&mut plan).unwrap();
    push_pivot(&mut plan).unwrap();
    let script = r#"
        ls /sys/class/net
        grep -c . /sys/fs/cgroup/cgroup.controllers | grep -c .
        stat -f -c %T /sys /sys/fs/cgroup
        grep -E ' /sys(/fs/cgroup)? ' /proc/self/mountinfo | cut -d' ' -f4,5,6 | tail -n 2
    "#;
    let flags = "ro,nosuid,nodev,noexec,relatime";
    let expected = format!("lo\n1\nsysfs\ncgroup2fs\n/ /sys {flags}\n/ /sys/fs/cgroup {flags}\n");
    assert_eq!(run(plan, script).unwrap(), expected);
}

/// What can be seen above the root, and which mounts there are.
const LOOK_OUT: &str = "cut -d' ' -f5 /proc/self/mountinfo | sort; ls /.. /../..";

#[test]
fn nothing_of_the_host_is_left_behind_a_directory() {
    let scratch = Scratch::new();
    let source = small_root(&scratch.0);
    let mut plan = plan(&Root::Directory {
        source,
        received: false,
        recursive: true,
        in_place: false,
        attributes: MountAttributes::NONE,
    });
    programs(&mut plan);
    push_pivot(&mut plan).unwrap();
    let printed = run(plan, LOOK_OUT).unwrap();
    let list = "bin\nlib\nlib64\nproc\nusr\n";
    assert_eq!(
        printed,
        format!("/\n/proc\n/usr\n/..:\n{list}\n/../..:\n{list}")
    );
}

#[test]
fn nothing_of_the_host_is_left_behind_an_overlay() {
    let scratch = Scratch::new();
    let lower = small_root(&scratch.0);
    let mut plan = plan(&Root::Overlay {
        lower: lower.clone(),
        received: false,
        attributes: MountAttributes::NONE,
    });
    programs(&mut plan);
    push_pivot(&mut plan).unwrap();
    let script = format!("{LOOK_OUT}; mkdir /new && ls -d /new; stat -c %a /");
    let printed = run(plan, &script).unwrap();
    let list = "bin\nlib\nlib64\nproc\nusr\n";
    let expected = format!("/\n/proc\n/usr\n/..:\n{list}\n/../..:\n{list}/new\n755\n");
    assert_eq!(printed, expected);
    assert!(!lower.join("new").exists(), "the directory was written to");
}

fn overlay(scratch: &Scratch) -> PlanWriter {
    let mut plan = plan(&Root::Overlay {
        lower: small_root(&scratch.0),
        received: false,
        attributes: MountAttributes::NONE,
    });
    programs(&mut plan);
    plan
}

#[test]
fn the_roots_own_attributes_come_last() {
    let scratch = Scratch::new();
    let mut plan = overlay(&scratch);
    let attributes = MountAttributes::RDONLY | MountAttributes::NOATIME;
    push_root_attributes(&mut plan, attributes).unwrap();
    push_pivot(&mut plan).unwrap();
    let printed = run(plan, "head -1 /proc/self/mountinfo | cut -d' ' -f6").unwrap();
    assert_eq!(printed, "ro,noatime\n");
}

/// Defect 16 of the tutorial: a link of the root's led its mounts to the host.
#[test]
fn a_hostile_link_leads_nowhere_but_into_the_root() {
    let scratch = Scratch::new();
    let outside = scratch.join("outside");
    fs::create_dir(&outside).unwrap();
    let source = small_root(&scratch.0);
    symlink(&outside, source.join("absolute")).unwrap();
    symlink("../../../..", source.join("up")).unwrap();
    fs::create_dir_all(source.join(outside.strip_prefix("/").unwrap())).unwrap();
    let mut plan = plan(&Root::Directory {
        source,
        received: false,
        recursive: true,
        in_place: false,
        attributes: MountAttributes::NONE,
    });
    programs(&mut plan);
    for path in ["/absolute/made", "/up/made", "/../../made-too"] {
        let options = ["mode=700"];
        let mount = NewMount::tmpfs(Target::new(path).create(), options);
        mount.push(&mut plan).unwrap();
    }
    push_pivot(&mut plan).unwrap();
    let script = format!("ls -d {}/made /made /made-too", outside.display());
    let printed = run(plan, &script).unwrap();
    assert_eq!(
        printed,
        format!("/made\n/made-too\n{}/made\n", outside.display())
    );
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn proc_is_not_mounted_through_a_link() {
    let scratch = Scratch::new();
    let source = small_root(&scratch.0);
    fs::remove_dir(source.join("proc")).unwrap();
    symlink("usr", source.join("proc")).unwrap();
    let mut plan = plan(&Root::Directory {
        source,
        received: false,
        recursive: true,
        in_place: false,
        attributes: MountAttributes::NONE,
    });
    programs(&mut plan);
    let eloop = 40;
    assert_eq!(run(plan, "true"), Err(("Mount".to_owned(), eloop)));
}

#[test]
fn a_device_that_is_another_is_refused() {
    let scratch = Scratch::new();
    let mut plan = overlay(&scratch);
    let mut bind = Bind::new("/dev/zero", Target::new("/null").create());
    bind.device = crabcan_rootfs::device::DEFAULT[0].number();
    bind.push(&mut plan).unwrap();
    let enodev = 19;
    assert_eq!(run(plan, "true"), Err(("Bind".to_owned(), enodev)));
}

#[test]
fn a_missing_target_is_made_or_passed_over_or_an_error() {
    let scratch = Scratch::new();
    let mut plan = overlay(&scratch);
    let bind = |target| Bind::new("/usr", target);
    bind(Target::new("/made").create()).push(&mut plan).unwrap();
    bind(Target::new("/passed").optional())
        .push(&mut plan)
        .unwrap();
    let mut strict = plan.clone();
    bind(Target::new("/missing")).push(&mut strict).unwrap();
    push_pivot(&mut plan).unwrap();
    let script = "test -d /made/bin && test ! -e /passed && echo yes";
    assert_eq!(run(plan, script), Ok("yes\n".to_owned()));
    let enoent = 2;
    assert_eq!(run(strict, "true"), Err(("Bind".to_owned(), enoent)));
}
