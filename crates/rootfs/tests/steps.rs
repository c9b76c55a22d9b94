//! The steps that this crate writes, read back from the plan.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use std::path::Path;

use crabcan_init::format::{Change, Changes, FlatPlan, Strings};
use crabcan_init::step::{TARGET_CREATE, TARGET_NO_SYMLINKS, TARGET_OPTIONAL};
use crabcan_init::{PlanWriter, Step};
use crabcan_rootfs::device::{self, DevOptions, push_dev};
use crabcan_rootfs::mask::{push_masked, push_read_only};
use crabcan_rootfs::pivot::{push_pivot, push_root_attributes};
use crabcan_rootfs::{
    Bind, Error, MountAttributes, MountOptions, NewMount, Propagation, Root, Target,
};

/// Checks the steps of a plan; they borrow from its bytes, hence the closure.
fn steps_of(plan: &PlanWriter, check: impl FnOnce(&[Step<'_>])) {
    let bytes = plan.finish(None);
    let parsed = FlatPlan::parse(&bytes).unwrap();
    check(&parsed.steps().collect::<Vec<_>>());
}

fn strings(bytes: &[u8]) -> Strings<'_> {
    Strings::new(bytes).unwrap()
}

#[test]
fn a_mount_is_written_whole() {
    let mut plan = PlanWriter::new();
    NewMount::proc("/proc").push(&mut plan).unwrap();
    let target = Target::new("/dev/pts").create().optional();
    NewMount::devpts(target, Some(5)).push(&mut plan).unwrap();
    let options = MountOptions::parse(["ro", "rnoexec", "sync", "size=64k", "rprivate"]);
    let mount = NewMount::new("tmpfs", "/tmp")
        .source("mine")
        .parsed(&options);
    mount.push(&mut plan).unwrap();
    steps_of(&plan, |steps| {
        let proc = Step::Mount {
            fstype: c"proc",
            source: c"proc",
            options: strings(b""),
            attributes: 0xe,
            propagation: 0,
            target: c"/proc",
            flags: TARGET_NO_SYMLINKS,
        };
        let devpts = Step::Mount {
            fstype: c"devpts",
            source: c"devpts",
            options: strings(b"newinstance\0ptmxmode=0666\0mode=0620\0gid=5\0"),
            attributes: 0xa,
            propagation: 0,
            target: c"/dev/pts",
            flags: TARGET_CREATE | TARGET_OPTIONAL,
        };
        let tmpfs = Step::Mount {
            fstype: c"tmpfs",
            source: c"mine",
            options: strings(b"sync\0size=64k\0"),
            attributes: 0x9,
            propagation: 1 << 18,
            target: c"/tmp",
            flags: 0,
        };
        assert_eq!(steps, [proc, devpts, tmpfs]);
    });
}

#[test]
fn binds_and_roots_are_written_whole() {
    let mut plan = PlanWriter::new();
    let bind = Bind::new("/usr", "/x").without_submounts().received();
    bind.attributes(MountAttributes::NODEV)
        .push(&mut plan)
        .unwrap();
    let root = Root::Directory {
        source: "/root fs".into(),
        received: false,
        recursive: true,
        in_place: false,
        attributes: MountAttributes::RDONLY,
    };
    root.push(&mut plan).unwrap();
    let overlay = Root::Overlay {
        lower: "/lower".into(),
        received: true,
        attributes: MountAttributes::NONE,
    };
    overlay.push(&mut plan).unwrap();
    steps_of(&plan, |steps| {
        let nodev = Change::set(0x4, false).to_bytes();
        let read_only = Change::set(0x1, true).to_bytes();
        let bind = Step::Bind {
            source: c"/usr",
            received: true,
            recursive: false,
            changes: Changes::new(&nodev).unwrap(),
            target: c"/x",
            flags: 0,
            device: 0,
        };
        let root = Step::Root {
            source: c"/root fs",
            received: false,
            recursive: true,
            in_place: false,
            changes: Changes::new(&read_only).unwrap(),
        };
        let overlay = Step::OverlayRoot {
            lower: c"/lower",
            received: true,
            attributes: 0,
        };
        assert_eq!(steps, [bind, root, overlay]);
    });
}

#[test]
fn the_frame_is_written_whole() {
    let mut plan = PlanWriter::new();
    Propagation::Private.push(&mut plan).unwrap();
    Propagation::Slave.push(&mut plan).unwrap();
    push_masked(&mut plan, ["/proc/keys"]).unwrap();
    push_read_only(&mut plan, [Path::new("/proc/sys")]).unwrap();
    push_root_attributes(&mut plan, MountAttributes::RDONLY).unwrap();
    push_pivot(&mut plan).unwrap();
    steps_of(&plan, |steps| {
        let target = c"/proc/sys";
        let expected = [
            Step::Propagation { flags: 0x4_4000 },
            Step::Propagation { flags: 0x8_4000 },
            Step::Mask {
                target: c"/proc/keys",
            },
            Step::ReadOnly { target },
            Step::RootAttributes { attributes: 1 },
            Step::Pivot {},
        ];
        assert_eq!(steps, expected);
    });
}

#[test]
fn the_devices_are_checked_binds() {
    let mut plan = PlanWriter::new();
    let mut options = DevOptions::default();
    options.mqueue = false;
    options.shm_size_bytes = Some(4096);
    push_dev(&mut plan, &options).unwrap();
    steps_of(&plan, |steps| {
        let devices: Vec<_> = steps
            .iter()
            .filter_map(|step| match *step {
                Step::Bind {
                    source,
                    target,
                    device,
                    changes,
                    ..
                } => Some((source, target, device, changes.iter().next()?.set)),
                _ => None,
            })
            .collect();
        assert_eq!(devices.len(), device::DEFAULT.len());
        assert_eq!(devices[0], (c"/dev/null", c"/dev/null", 0x103, 0xb));
        assert_eq!(devices[5], (c"/dev/tty", c"/dev/tty", 0x500, 0xb));
        let links = steps.iter().filter(|step| step.name() == "Symlink");
        assert_eq!(links.count(), device::LINKS.len());
        let Some(Step::Mount {
            options, target, ..
        }) = steps.last()
        else {
            unreachable!("no mount at the end");
        };
        assert_eq!(
            (*options, *target),
            (strings(b"mode=1777\0size=4096\0"), c"/dev/shm")
        );
    });
}

#[test]
fn what_can_not_be_written_is_named() {
    let mut plan = PlanWriter::new();
    let error = Bind::new("/a\0b", "/x").push(&mut plan).unwrap_err();
    assert_eq!(error.to_string(), r#"a NUL byte in "/a\\0b""#);
    let mount = NewMount::tmpfs("/x", ["size=1\0"]);
    assert!(matches!(mount.push(&mut plan), Err(Error::Nul { .. })));
    for push in [push_masked, push_read_only] {
        let error = push(&mut plan, [Path::new("proc/keys")]).unwrap_err();
        assert_eq!(error.to_string(), "proc/keys is not an absolute path");
    }
    let long = "x".repeat(crabcan_init::format::MAX_LENGTH);
    let mount = NewMount::tmpfs("/x", [long]);
    assert!(matches!(mount.push(&mut plan), Err(Error::TooLong)));
    steps_of(&plan, |steps| assert_eq!(steps, []));
}
