#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use super::*;
use crate::Controller;

const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpuacct,cpu
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

fn parse(mountinfo: &str, memberships: &str) -> Result<Hierarchy, Error> {
    Hierarchy::parse(mountinfo.as_bytes(), memberships.as_bytes())
}

#[test]
fn a_hybrid_host() {
    let memberships = "9:name=systemd:/\n4:memory:/own/one\n1:cpu,cpuacct:/\n0::/\n";
    let hierarchy = parse(HYBRID, memberships).unwrap();
    let Hierarchy::Hybrid { legacy, unified } = &hierarchy else {
        panic!("{hierarchy:?}");
    };
    assert_eq!(legacy.len(), 3);
    assert_eq!(unified.mount_point(), Path::new("/sys/fs/cgroup/unified"));
    let memory = legacy
        .iter()
        .find(|tree| tree.controllers().contains(Controller::Memory))
        .unwrap();
    assert_eq!(memory.own(), Path::new("/own/one"));
    assert_eq!(
        memory.below(Path::new("/own/x")).unwrap(),
        Path::new("own/x")
    );
}

#[test]
fn a_unified_host_mounted_elsewhere() {
    let mountinfo = "41 31 0:38 / /mnt/my\\040groups rw shared:5 - cgroup2 none rw\n";
    let hierarchy = parse(mountinfo, "0::/user.slice/me.scope\n").unwrap();
    let Hierarchy::Unified(tree) = hierarchy else {
        panic!("{hierarchy:?}");
    };
    assert_eq!(tree.mount_point(), Path::new("/mnt/my groups"));
    assert_eq!(tree.own(), Path::new("/user.slice/me.scope"));
}

/// systemd's own tree of v1 has no controllers: such a host is a unified one.
#[test]
fn a_named_tree_alone_controls_nothing() {
    let mountinfo =
        "40 31 0:37 / /s rw - cgroup cgroup rw,name=systemd\n41 31 0:38 / /u rw - cgroup2 c rw\n";
    let hierarchy = parse(mountinfo, "1:name=systemd:/\n0::/\n").unwrap();
    assert!(matches!(hierarchy, Hierarchy::Unified(_)), "{hierarchy:?}");
    let alone = parse(mountinfo, "1:name=systemd:/\n");
    assert!(matches!(alone, Err(Error::NotMounted { .. })), "{alone:?}");
}

#[test]
fn v1_alone() {
    let mountinfo = "35 31 0:32 / /m rw - cgroup cgroup rw,memory\n";
    let hierarchy = parse(mountinfo, "4:memory:/\n1:cpu:/\n").unwrap();
    assert!(matches!(&hierarchy, Hierarchy::Legacy(trees) if trees.len() == 1));
    assert_eq!(hierarchy.controllers().unwrap().to_string(), "memory");
}

/// A container that sees a part of the host's tree, without a namespace of its own.
#[test]
fn a_part_of_a_tree_is_mounted() {
    let mountinfo = "41 31 0:38 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup ro\n";
    let hierarchy = parse(mountinfo, "0::/docker/abc/inner\n").unwrap();
    let tree = hierarchy.unified().unwrap();
    assert_eq!(tree.below(tree.own()).unwrap(), Path::new("inner"));
    let outside = parse(mountinfo, "0::/docker/other\n");
    assert!(
        matches!(outside, Err(Error::Unreachable { .. })),
        "{outside:?}"
    );
}

/// In a cgroup namespace what is outside has no names.
#[test]
fn outside_of_the_cgroup_namespace() {
    let mountinfo = "41 31 0:38 /../.. /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
    for own in ["0::/\n", "0::/../x\n"] {
        let found = parse(mountinfo, own);
        assert!(matches!(found, Err(Error::Unreachable { .. })), "{found:?}");
    }
}

#[test]
fn of_several_mounts_the_one_that_shows_most_counts() {
    let mountinfo = "1 2 0:3 / /old rw - cgroup2 c rw\n4 2 0:3 /a /part rw - cgroup2 c rw\n\
        5 2 0:3 / /new rw - cgroup2 c rw\n";
    let hierarchy = parse(mountinfo, "0::/a/b\n").unwrap();
    assert_eq!(
        hierarchy.unified().unwrap().mount_point(),
        Path::new("/new")
    );
}

#[test]
fn a_place_is_read_as_it_was_written() {
    let text = "1:cpu,cpuacct:/x/y\n2:memory:/own/x/y\n0::/x/y\n";
    let place = Place::parse(text.as_bytes()).unwrap();
    assert_eq!(Place::parse(place.to_string().as_bytes()).unwrap(), place);
    let memory = place
        .clone()
        .only_for([Controller::Memory].into_iter().collect());
    assert_eq!(memory.to_string(), "1:memory:/own/x/y\n0::/x/y\n");
    assert_eq!(place.unified_path(), Some(Path::new("/x/y")));
    for wrong in ["0::/a/../b\n", "x\n", "0::a\n"] {
        assert!(Place::parse(wrong.as_bytes()).is_err(), "{wrong}");
    }
}

/// Defect 11 of the tutorial: a directory that only looks like a cgroup's takes every limit, and
/// limits nothing.
#[test]
fn a_plain_directory_is_no_cgroup() {
    let directory = std::env::temp_dir().join(format!("crabcan-cgroups-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("cgroup.controllers"), "memory").unwrap();
    let point = directory.display();
    for (mountinfo, own) in [
        (
            format!("41 31 0:38 / {point} rw - cgroup2 none rw\n"),
            "0::/\n",
        ),
        (
            format!("41 31 0:38 / {point} rw - cgroup none rw,memory\n"),
            "1:memory:/\n",
        ),
    ] {
        let hierarchy = parse(&mountinfo, own).unwrap();
        let place = hierarchy.place(&CgroupPath::new("/x").unwrap()).unwrap();
        let memory = [Controller::Memory].into_iter().collect();
        let made = crate::Cgroup::create(&hierarchy, &place, memory);
        assert!(matches!(made, Err(Error::NotACgroup { .. })), "{made:?}");
        assert!(!directory.join("x").exists());
    }
    std::fs::remove_dir_all(&directory).unwrap();
}
