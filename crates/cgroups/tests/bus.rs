//! Where there is no systemd, or not cgroup v2 alone: errors that say so.
#![cfg(feature = "systemd")]
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use std::process::Command;

use crabcan_cgroups::systemd::{Manager, Systemd};
use crabcan_cgroups::{Error, Hierarchy};

const MOUNTS: &[u8] = b"30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";

#[test]
fn hosts_with_trees_of_v1_are_refused() {
    let mounts = b"31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
    let memberships = b"5:memory:/\n0::/\n";
    for mounts in [mounts.to_vec(), [mounts, MOUNTS].concat()] {
        let hierarchy = Hierarchy::parse(&mounts, memberships).unwrap();
        let refused = Systemd::connect(&hierarchy, Manager::System).unwrap_err();
        assert!(matches!(refused, Error::NotUnified), "{refused}");
    }
}

#[test]
fn a_bus_that_is_not_there_is_named() {
    // The variable is read where it is set: in a process of its own.
    const ROLE: &str = "CRABCAN_TEST_ROLE";
    const ADDRESS: &str = "unix:path=/nonexistent/bus";
    if std::env::var_os(ROLE).is_none() {
        let mut own = Command::new(std::env::current_exe().unwrap());
        own.args(["--exact", "a_bus_that_is_not_there_is_named"]);
        own.env(ROLE, "refused")
            .env("DBUS_SYSTEM_BUS_ADDRESS", ADDRESS);
        let output = own.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{text}"
        );
        return;
    }
    let hierarchy = Hierarchy::parse(MOUNTS, b"0::/\n").unwrap();
    let refused = Systemd::connect(&hierarchy, Manager::System).unwrap_err();
    assert!(matches!(refused, Error::Bus { .. }), "{refused}");
    assert!(refused.to_string().contains(ADDRESS), "{refused}");
    assert!(refused.hint().unwrap().contains("D-Bus"), "{refused}");
}
