//! What a scenario must not leave: processes, mounts, cgroups, files of the runtime's state, a
//! changed `/dev/null`.
//!
//! Everything in the enclosure is the harness's, so a leak is simply what was not there before.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// How long clients may take to end what they started in the background, at least.
const GRACE: Duration = Duration::from_secs(5);

/// podman mounts its storage over itself and leaves that for later or not, as it happens.
const STORAGE: &str = "/var/lib/containers/storage/overlay";

/// Everything that could be left, one line for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot(BTreeSet<String>);

impl Snapshot {
    /// Looks around now.
    pub(crate) fn take() -> Result<Snapshot> {
        let mut lines = BTreeSet::new();
        processes(&mut lines)?;
        for mount in read("/proc/self/mountinfo")?.lines() {
            if let Some(point) = mount.split(' ').nth(4)
                && point != STORAGE
            {
                lines.insert(format!("mount {point}"));
            }
        }
        directories(Path::new("/sys/fs/cgroup"), "cgroup", &mut lines);
        state(&mut lines);
        let null = fs::metadata("/dev/null").context("look at /dev/null")?;
        let (uid, gid, mode) = (null.uid(), null.gid(), null.mode());
        lines.insert(format!("/dev/null of {uid}:{gid}, mode {mode:o}"));
        Ok(Snapshot(lines))
    }

    /// What is here now, was not then and is not allowed, after waiting for it to go. Where a
    /// scenario took long, the machine is slow or there is much to end.
    pub(crate) fn left_since(
        &self,
        took: Duration,
        allowed: impl Fn(&String) -> bool,
    ) -> Result<Vec<String>> {
        let grace = GRACE.max(took / 5);
        let start = Instant::now();
        loop {
            let now = Snapshot::take()?;
            let new = now.0.difference(&self.0);
            let left: Vec<_> = new.filter(|line| !allowed(line)).cloned().collect();
            if left.is_empty() || start.elapsed() > grace {
                return Ok(left);
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The number of the process that such a line tells of.
pub(crate) fn process_of(line: &str) -> Option<i32> {
    line.strip_prefix("process ")?
        .split(':')
        .next()?
        .parse()
        .ok()
}

fn processes(lines: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir("/proc").context("read /proc")? {
        let name = entry.context("read /proc")?.file_name();
        let Some(pid) = name.to_str().filter(|name| name.parse::<u32>().is_ok()) else {
            continue;
        };
        if is_kernel_thread(pid) {
            continue;
        }
        // It may have ended since; a zombie has no command line but still a name.
        let Ok(command) = fs::read(format!("/proc/{pid}/cmdline")) else {
            continue;
        };
        let Ok(comm) = fs::read_to_string(format!("/proc/{pid}/comm")) else {
            continue;
        };
        let words = String::from_utf8_lossy(&command).replace('\0', " ");
        lines.insert(format!("process {pid}: {} ({})", words.trim(), comm.trim()));
    }
    Ok(())
}

/// A child of kthreadd, whose pid is 2 where kernel threads are seen at all (proc(5)).
fn is_kernel_thread(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let behind_the_name = stat.rsplit(") ").next().unwrap_or_default();
    let kthreadd = fs::read("/proc/2/comm").is_ok_and(|name| name == b"kthreadd\n");
    kthreadd && (pid == "2" || behind_the_name.split(' ').nth(1) == Some("2"))
}

/// The state directories of the runtime, wherever its clients tell it to have them.
fn state(lines: &mut BTreeSet<String>) {
    for root in [
        "/run/crabcan",
        "/run/runc",
        "/run/crun",
        "/run/user/61234/crabcan",
        "/run/user/61234/runc",
        "/run/user/61234/crun",
        "/run/containerd/runc",
        "/run/containerd/io.containerd.runtime.v2.task",
        "/run/docker",
    ] {
        directories(Path::new(root), "state", lines);
    }
}

fn directories(dir: &Path, what: &str, lines: &mut BTreeSet<String>) {
    // Absent, or gone since its parent was read.
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let path = entry.path();
            lines.insert(format!("{what} {}", path.display()));
            directories(&path, what, lines);
        }
    }
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {path}"))
}
