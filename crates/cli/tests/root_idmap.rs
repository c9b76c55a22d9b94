//! Mounts whose files have other owners than on the disk.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;

use serde_json::{Value, json};
use support::bundle::Bundle;
use support::{Leaks, run};

/// The owners of `/data/file` and `/data/sub/file`: on the disk, root and a user.
fn owners(name: &str, words: &[&str], maps: Option<(Value, Value)>, new_user: bool) -> Vec<String> {
    let script = "stat -c '%u:%g' /data/file /data/sub/file";
    let mut bundle = Bundle::new(name, script);
    let place = bundle.directory.directory("data");
    fs::create_dir(place.join("sub")).unwrap();
    bundle.directory.directory("rootfs/data");
    let mut mount =
        json!({"destination": "/data", "type": "none", "source": "data", "options": words});
    if let Some((uids, gids)) = maps {
        mount["uidMappings"] = uids;
        mount["gidMappings"] = gids;
    }
    bundle.mount(mount);
    if new_user {
        bundle.user_namespace([300_000; 2], 65536);
    }
    let prepare = "mount -t tmpfs t data; mkdir data/sub; mount -t tmpfs s data/sub; \
        touch data/file data/sub/file; chown 7:8 data/sub/file; c run --no-new-keyring one";
    let output = run(&mut bundle.among_own_mounts(prepare)).success();
    output.lines().map(str::to_owned).collect()
}

fn tmpfs_is_id_mapped() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map(|part| part.parse::<u32>().unwrap());
    (numbers.next(), numbers.next()) >= (Some(6), Some(3))
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn mounts_are_seen_with_other_ids() {
    let _leaks = Leaks::watch();
    let map = |first: u32| json!([{"containerID": 0, "hostID": first, "size": 100}]);
    let maps = || Some((map(1000), map(2000)));
    let seen = owners("map", &["rbind"], None, false);
    assert_eq!(seen, ["0:0", "7:8"]);
    // The mount alone, or all below it.
    if !tmpfs_is_id_mapped() {
        eprintln!("not seen further: before Linux 6.3 no tmpfs is id-mapped");
        return;
    }
    let seen = owners("idmap", &["rbind", "idmap"], maps(), false);
    assert_eq!(seen, ["1000:2000", "7:8"]);
    let seen = owners("maps-alone", &["rbind"], maps(), false);
    assert_eq!(seen, ["1000:2000", "7:8"]);
    let seen = owners("ridmap", &["rbind", "ridmap"], maps(), false);
    assert_eq!(seen, ["1000:2000", "1007:2008"]);
    // The container's own map, without one here.
    let seen = owners("user", &["rbind"], None, true);
    assert_eq!(seen, ["65534:65534", "65534:65534"]);
    let seen = owners("user-idmap", &["rbind", "ridmap"], None, true);
    assert_eq!(seen, ["0:0", "7:8"]);
    let seen = owners("user-idmap-top", &["rbind", "idmap"], None, true);
    assert_eq!(seen, ["0:0", "65534:65534"]);
}
