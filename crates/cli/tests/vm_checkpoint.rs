//! Containers that criu dumps and restores: on Debian's kernel, where it works.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use support::Leaks;
use support::bundle::Bundle;

/// A container that counts in a volume, in memory alone: it goes on where it was, or from one again.
struct Counter {
    bundle: Bundle,
    directory: PathBuf,
}

impl Counter {
    fn new(name: &str) -> Self {
        // In a child: while the shell itself had another output, that would be what is kept.
        let script = "i=0; while :; do i=$((i+1)); (echo $i > /volume/new); \
                      mv /volume/new /volume/count; sleep 0.1; done";
        let mut bundle = Bundle::new(name, script);
        let name = format!("crabcan-checkpoint-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(directory.join("volume")).unwrap();
        let mounts = bundle.config["mounts"].as_array_mut().unwrap();
        mounts.push(json!({
            "destination": "/volume",
            "source": directory.join("volume"),
            "options": ["bind"],
        }));
        bundle.config["linux"]["maskedPaths"] = json!(["/proc/kcore", "/proc/acpi"]);
        bundle.config["linux"]["resources"] = json!({"memory": {"limit": 64 << 20}});
        Self { bundle, directory }
    }

    fn count(&self) -> u32 {
        let text = fs::read_to_string(self.directory.join("volume/count"));
        text.ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0)
    }

    /// Waits until it has counted on from there.
    #[track_caller]
    fn until_more_than(&self, before: u32) {
        let until = Instant::now() + Duration::from_secs(60);
        while self.count() <= before + 2 {
            assert!(
                Instant::now() < until,
                "{before}, and then {}",
                self.count()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn images(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn a_container_goes_on_from_its_images() {
    let _leaks = Leaks::watch();
    let counter = Counter::new("goes-on");
    let (bundle, images) = (&counter.bundle, counter.images("images"));
    assert_eq!(bundle.leave("run -d one").code(), 0);
    counter.until_more_than(0);

    // As a copy of what runs on, also where it is paused, as containerd has it.
    let copy = counter.images("copy");
    bundle
        .run(&format!(
            "checkpoint --leave-running --image-path {copy} one"
        ))
        .success();
    assert_eq!(bundle.status("one"), "running");
    bundle.run("pause one").success();
    bundle
        .run(&format!(
            "checkpoint --leave-running --image-path {copy} one"
        ))
        .success();
    assert_eq!(bundle.status("one"), "paused");
    bundle.run("resume one").success();

    for round in 0..2 {
        bundle
            .run(&format!("checkpoint --image-path {images} one"))
            .success();
        assert!(bundle.entries().is_empty(), "{:?}", bundle.entries());
        let before = counter.count();
        assert!(before > 0);
        let pid_file = counter.images("pid");
        let restore = format!("restore -d --image-path {images} --pid-file {pid_file} one");
        let restored = bundle.leave(&restore);
        assert_eq!(restored.code(), 0, "round {round}: {restored:?}");
        assert_eq!(bundle.status("one"), "running");
        let pid = fs::read_to_string(&pid_file).unwrap();
        assert_eq!(bundle.state("one")["pid"].to_string(), pid);
        counter.until_more_than(before);
        // It did not begin again.
        let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        let limit = format!(
            "/sys/fs/cgroup{}/memory.max",
            cgroup.trim().trim_start_matches("0::")
        );
        assert_eq!(fs::read_to_string(limit).unwrap().trim(), "67108864");
        let seen = bundle.run("exec one cat /proc/1/comm").success();
        assert!(!seen.trim().is_empty());
        bundle.run("pause one").success();
        bundle.run("resume one").success();
    }
    bundle.run("delete --force one").success();
    assert!(bundle.entries().is_empty());
}

#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn what_cannot_be_restored_leaves_nothing() {
    let _leaks = Leaks::watch();
    let counter = Counter::new("fails");
    let (bundle, images) = (&counter.bundle, counter.images("images"));
    let nothing = bundle.run(&format!("restore -d --image-path {images} one"));
    assert_eq!(nothing.code(), 1);
    assert!(nothing.stderr.contains(&images), "{nothing:?}");
    assert!(bundle.entries().is_empty());

    assert_eq!(bundle.leave("run -d one").code(), 0);
    counter.until_more_than(0);
    bundle
        .run(&format!("checkpoint --image-path {images} one"))
        .success();
    fs::remove_file(format!("{images}/inventory.img")).unwrap();
    let broken = bundle.run(&format!("restore -d --image-path {images} one"));
    assert_eq!(broken.code(), 1);
    assert!(
        broken.stderr.contains("criu could not restore"),
        "{broken:?}"
    );
    assert!(broken.stderr.contains("restore.log"), "{broken:?}");
    assert!(bundle.entries().is_empty());
}
