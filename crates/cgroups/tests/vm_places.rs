//! Where cgroups can be made on a host with cgroup v2 alone, by whom, and what the error says where
//! they can't: each in mounts, namespaces and cgroups of its own, in the virtual machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, reason = "each test program uses its own part of this")]
mod below;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use below::{Below, Shell, elsewhere, file, is_elsewhere, resources};
use crabcan_cgroups::{
    Cgroup, CgroupPath, Controller, DeviceRule, Error, Hierarchy, Limit, Resources,
};

const SHORT: Duration = Duration::from_secs(10);

/// Makes a cgroup `$B` with every controller, and at the end removes it with what may be in it:
/// processes that were moved aside, and `$B/inner`. Anything else in it is a failure.
const IN_A_CGROUP: &str = "B=/sys/fs/cgroup/crabcan-test-place-$$
    mkdir $B
    for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
        echo +$controller >/sys/fs/cgroup/cgroup.subtree_control
    done
    at_the_end() {
        status=$?
        for inner in crabcan-aside inner/crabcan-aside inner; do
            [ ! -d $B/$inner ] || rmdir $B/$inner
        done
        rmdir $B && exit $status
    }
    trap at_the_end EXIT
    give() {
        chown 1000:1000 $1
        for file in $(cat /sys/kernel/cgroup/delegate); do
            [ ! -e $1/$file ] || chown 1000 $1/$file
        done
    }
    export AGAIN='umount --lazy /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup'
    user() { setpriv --reuid=1000 --regid=1000 --clear-groups \"$@\"; }
";

/// Runs a test once more in what [`IN_A_CGROUP`] makes.
#[track_caller]
fn in_a_cgroup(test: &str, script: &str) {
    elsewhere(test, &format!("{IN_A_CGROUP} {script}"));
}

fn limits() -> Resources {
    resources(|all| {
        all.memory.max_bytes = Some(Limit::Of(16 << 20));
        all.memory.max_with_swap_bytes = Some(Limit::Of(16 << 20));
        all.pids_max = Some(Limit::Of(8));
        all.cpu.weight = Some(50);
    })
}

/// Limits can be had here, and act: memory that is used up kills.
#[track_caller]
fn limits_act() -> PathBuf {
    let below = Below::new("act");
    let cgroup = below.limited(&limits());
    let directory = below.directory(&cgroup);
    assert_eq!(file(&directory, "memory.max"), "16777216");
    assert_eq!(file(&directory, "pids.max"), "8");
    let status = Shell::joined(&cgroup, "head -c 100000000 /dev/zero | tail").wait();
    assert!(!status.success(), "{status:?}");
    assert!(cgroup.events().unwrap().oom_kill >= 1);
    cgroup.freeze(SHORT).unwrap();
    cgroup.thaw().unwrap();
    cgroup.remove(SHORT).unwrap();
    directory
}

fn own_cgroup() -> String {
    let text = file(Path::new("/proc/self"), "cgroup");
    text.strip_prefix("0::").unwrap().to_owned()
}

/// Why limits can't be had; nothing is left where they can't.
#[track_caller]
fn refusal(limits: &Resources) -> Error {
    let hierarchy = match Hierarchy::of_this_process() {
        Ok(hierarchy) => hierarchy,
        Err(error) => return error,
    };
    let made = hierarchy.place(&CgroupPath::unique()).and_then(|place| {
        let foreseen = hierarchy.lacking(&place, limits.controllers());
        assert!(!foreseen.is_empty(), "it is known before anything is made");
        Cgroup::create(&hierarchy, &place, limits.controllers())
    });
    made.expect_err("there is no way to have these limits")
}

#[track_caller]
fn errno(error: &Error) -> i32 {
    let source = std::error::Error::source(error).and_then(|it| it.downcast_ref::<io::Error>());
    source.and_then(io::Error::raw_os_error).unwrap()
}

#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn an_ordinary_user_limits_in_what_is_delegated() {
    if !is_elsewhere() {
        let script = "give $B; (echo 0 >$B/cgroup.procs; user \"$@\")";
        return in_a_cgroup("an_ordinary_user_limits_in_what_is_delegated", script);
    }
    let own = own_cgroup();
    let directory = limits_act();
    // Below it, and this process was moved aside, for nothing else divides a cgroup of v2.
    assert!(
        directory.starts_with(format!("/sys/fs/cgroup{own}")),
        "{}",
        directory.display()
    );
    assert_eq!(own_cgroup(), format!("{own}/crabcan-aside"));
    limits_act();
    // Devices are decided by a program of root's.
    let devices = resources(|all| all.devices = Some(vec![DeviceRule::all(false)]));
    let below = Below::new("devices");
    let cgroup = below.cgroup_in(below.hierarchy(), &devices).unwrap();
    let error = cgroup.apply(&devices).unwrap_err();
    assert!(matches!(error, Error::DeviceProgram { .. }), "{error:?}");
    assert_eq!(errno(&error), libc::EPERM, "{error}");
    cgroup.remove(SHORT).unwrap();
}

#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn what_is_not_delegated_says_how_it_can_be() {
    if !is_elsewhere() {
        let script = "(echo 0 >$B/cgroup.procs; user \"$@\")";
        return in_a_cgroup("what_is_not_delegated_says_how_it_can_be", script);
    }
    let error = refusal(&limits());
    assert_eq!(errno(&error), libc::EACCES, "{error}");
    let hint = error.hint().unwrap();
    assert!(hint.contains("Delegate=yes"), "{hint}");
    assert!(
        error.to_string().contains("/crabcan-test-place-"),
        "{error}"
    );
}

/// A cgroup is the user's own, but what is above it hands on the number of processes alone.
#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn a_controller_that_is_not_handed_on_is_named() {
    if !is_elsewhere() {
        let script = "mkdir $B/inner; echo +pids >$B/cgroup.subtree_control; give $B/inner
            (echo 0 >$B/inner/cgroup.procs; user \"$@\")";
        return in_a_cgroup("a_controller_that_is_not_handed_on_is_named", script);
    }
    let memory = resources(|all| all.memory.max_bytes = Some(Limit::Of(16 << 20)));
    let error = refusal(&memory);
    assert_eq!(error.controller(), Some(Controller::Memory), "{error}");
    let Error::NotDelegated { cgroup, .. } = &error else {
        panic!("{error:?}");
    };
    // The one that would have to hand it on.
    let above = format!("/sys/fs/cgroup{}", own_cgroup());
    assert_eq!(
        cgroup.as_path(),
        Path::new(&above).parent().unwrap(),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("Delegate=yes"), "{error}");
    // What is handed on can be had.
    let below = Below::new("pids");
    let pids = resources(|all| all.pids_max = Some(Limit::Of(8)));
    let cgroup = below.limited(&pids);
    cgroup.remove(SHORT).unwrap();
}

/// In a container that shows its own cgroup as the root, what is above can't even be seen.
#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn a_controller_that_a_namespace_lacks_is_named() {
    if !is_elsewhere() {
        let script = "mkdir $B/inner; echo +pids >$B/cgroup.subtree_control
            (echo 0 >$B/inner/cgroup.procs
             unshare --cgroup --mount sh -c 'eval \"$AGAIN\"; exec \"$@\"' sh \"$@\")";
        return in_a_cgroup("a_controller_that_a_namespace_lacks_is_named", script);
    }
    assert_eq!(own_cgroup(), "/");
    let error = refusal(&limits());
    assert!(
        matches!(error, Error::ControllerMissing { .. }),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(text.contains("cpu") || text.contains("memory"), "{text}");
    let memory = resources(|all| all.memory.max_bytes = Some(Limit::Of(16 << 20)));
    assert_eq!(refusal(&memory).controller(), Some(Controller::Memory));
}

#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn a_process_in_a_sub_cgroup_has_its_cgroups_beside_it() {
    if !is_elsewhere() {
        let script = "mkdir $B/inner; (echo 0 >$B/inner/cgroup.procs; \"$@\")";
        return in_a_cgroup(
            "a_process_in_a_sub_cgroup_has_its_cgroups_beside_it",
            script,
        );
    }
    let own = own_cgroup();
    let above = own.strip_suffix("/inner").unwrap();
    let directory = limits_act();
    // Nobody has said that the processes of its own cgroup may be moved.
    assert!(
        directory.starts_with(format!("/sys/fs/cgroup{above}")),
        "{}",
        directory.display()
    );
    assert!(
        !directory.starts_with(format!("/sys/fs/cgroup{own}")),
        "{}",
        directory.display()
    );
    assert_eq!(own_cgroup(), own);
}

#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn a_process_in_a_cgroup_marked_as_delegated_divides_it() {
    if !is_elsewhere() {
        let script = "mkdir $B/inner; (echo 0 >$B/inner/cgroup.procs; \"$@\")";
        return in_a_cgroup(
            "a_process_in_a_cgroup_marked_as_delegated_divides_it",
            script,
        );
    }
    let own = own_cgroup();
    // As systemd marks it.
    let directory = format!("/sys/fs/cgroup{own}");
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(&directory, "trusted.delegate", b"1", flags).unwrap();
    assert!(limits_act().starts_with(&directory));
    assert_eq!(own_cgroup(), format!("{own}/crabcan-aside"));
}

#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn a_tree_that_is_mounted_elsewhere_is_found() {
    if !is_elsewhere() {
        let script = "D=$(mktemp -d); mount -t cgroup2 none $D; umount --lazy /sys/fs/cgroup
            status=0; \"$@\" || status=$?; umount $D; rmdir $D; exit $status";
        return elsewhere("a_tree_that_is_mounted_elsewhere_is_found", script);
    }
    assert!(!Path::new("/sys/fs/cgroup/cgroup.procs").exists());
    let hierarchy = Hierarchy::of_this_process().unwrap();
    let point = hierarchy.unified().unwrap().mount_point().to_owned();
    assert!(
        point.starts_with(std::env::temp_dir()),
        "{}",
        point.display()
    );
    assert!(limits_act().starts_with(point));
}

/// What is mounted shows this process's cgroup and nothing above it.
#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn a_part_of_the_tree_that_is_mounted_is_enough() {
    if !is_elsewhere() {
        let script = "D=$(mktemp -d); mount --bind $B $D
            (echo 0 >$B/cgroup.procs; umount --lazy /sys/fs/cgroup; \"$@\")
            umount $D; rmdir $D; mount -t cgroup2 none /sys/fs/cgroup";
        return in_a_cgroup("a_part_of_the_tree_that_is_mounted_is_enough", script);
    }
    let own = own_cgroup();
    let hierarchy = Hierarchy::of_this_process().unwrap();
    assert_eq!(hierarchy.unified().unwrap().own(), Path::new(&own));
    let point = hierarchy.unified().unwrap().mount_point().to_owned();
    assert!(limits_act().starts_with(point));
    assert_eq!(own_cgroup(), format!("{own}/crabcan-aside"));
}

#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn limits_in_a_cgroup_namespace() {
    if !is_elsewhere() {
        let script = "(echo 0 >$B/cgroup.procs
             unshare --cgroup --mount sh -c 'eval \"$AGAIN\"; exec \"$@\"' sh \"$@\")";
        return in_a_cgroup("limits_in_a_cgroup_namespace", script);
    }
    assert_eq!(own_cgroup(), "/");
    assert!(limits_act().starts_with("/sys/fs/cgroup"));
    assert_eq!(own_cgroup(), "/crabcan-aside");
}

/// A namespace of its own, but still the mount of the one outside: paths that mean nothing here.
#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn a_mount_of_another_namespace_is_refused() {
    if !is_elsewhere() {
        let script = "(echo 0 >$B/cgroup.procs; unshare --cgroup \"$@\")";
        return in_a_cgroup("a_mount_of_another_namespace_is_refused", script);
    }
    let error = refusal(&limits());
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("/sys/fs/cgroup"), "{error}");
}

#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn a_tree_that_is_read_only_says_so() {
    if !is_elsewhere() {
        let script = "mount -o remount,bind,ro /sys/fs/cgroup; \"$@\"";
        return elsewhere("a_tree_that_is_read_only_says_so", script);
    }
    let error = refusal(&limits());
    assert_eq!(errno(&error), libc::EROFS, "{error}");
    let hint = error.hint().unwrap();
    assert!(hint.contains("read-only"), "{hint}");
}

/// A directory that covers the tree is never taken for it.
#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn a_directory_that_is_no_cgroup_is_refused() {
    if !is_elsewhere() {
        let script = "mount -t tmpfs none /sys/fs/cgroup; : >/sys/fs/cgroup/cgroup.procs; \"$@\"";
        return elsewhere("a_directory_that_is_no_cgroup_is_refused", script);
    }
    let error = Hierarchy::of_this_process().and_then(|hierarchy| {
        let place = hierarchy.place(&CgroupPath::unique())?;
        Cgroup::create(&hierarchy, &place, limits().controllers())
    });
    let error = error.unwrap_err();
    assert!(matches!(error, Error::NotACgroup { .. }), "{error:?}");
    assert!(error.to_string().contains("/sys/fs/cgroup"), "{error}");
    let left = std::fs::read_dir("/sys/fs/cgroup").unwrap();
    assert_eq!(left.count(), 1, "nothing was made in it");
}

/// Nothing is mounted at all.
#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn no_tree_at_all_is_an_error() {
    if !is_elsewhere() {
        let script = "umount --lazy /sys/fs/cgroup; \"$@\"";
        return elsewhere("no_tree_at_all_is_an_error", script);
    }
    let error = Hierarchy::of_this_process().unwrap_err();
    assert!(matches!(error, Error::NotMounted { .. }), "{error:?}");
}
