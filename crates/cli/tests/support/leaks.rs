//! What a test has left: processes, mounts, cgroups and directories.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use super::{PREFIX, attack};

/// How long after its parent's end a process may still be on its way out.
pub(super) const GRACE: Duration = Duration::from_secs(3);

/// Finds, as it is dropped at the end of a test, what the test has left: processes, mounts, and
/// directories among the temporary ones. It is the first variable of a test, so it is dropped last.
///
/// One test of a program has it at a time.
#[must_use]
pub(crate) struct Leaks {
    before: Traces,
    _alone: MutexGuard<'static, ()>,
}

#[derive(Debug, Default)]
struct Traces {
    processes: BTreeSet<String>,
    mounts: BTreeSet<String>,
    /// Of this test program's bundles.
    cgroups: BTreeSet<PathBuf>,
    directories: BTreeSet<PathBuf>,
    /// The owner, mode and numbers of the device that runtimes bind and change by mistake.
    null: BTreeSet<String>,
}

impl Leaks {
    pub(crate) fn watch() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        // Orphans of whatever is started here become children of this process and can't get lost.
        nix::sys::prctl::set_child_subreaper(true).expect("become a subreaper");
        Self {
            before: Traces::now(),
            _alone: alone,
        }
    }
}

impl Leaks {
    /// What is there now is to stay: a container that must survive what a test does to others.
    pub(crate) fn allow_what_is_there(&mut self) {
        self.before = Traces::now();
    }

    /// Looks at once, for a test of many runs.
    #[track_caller]
    pub(crate) fn check(&self, after: &str) {
        // Others on this machine may be at work, and an orphan on its way out: what stays counts.
        let until = Instant::now() + GRACE;
        loop {
            let new = Traces::now().without(&self.before);
            if new.is_empty() {
                return;
            }
            assert!(Instant::now() < until, "left behind {after}: {new:#?}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Leaks {
    /// The same for processes alone, which is quick.
    #[track_caller]
    pub(crate) fn check_processes(&self, after: &str) {
        let until = Instant::now() + GRACE;
        loop {
            let mut new = descendants();
            new.retain(|it| !self.before.processes.contains(it));
            if new.is_empty() {
                return;
            }
            assert!(Instant::now() < until, "left behind {after}: {new:#?}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Leaks {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.check("");
        }
    }
}

impl Traces {
    fn now() -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        Self {
            processes: descendants(),
            mounts: mounts.lines().map(str::to_owned).collect(),
            cgroups: attack::cgroups(&format!("{PREFIX}{}-", std::process::id())),
            directories: temporary_entries(),
            null: BTreeSet::from([null_device()]),
        }
    }

    fn without(mut self, before: &Self) -> Self {
        self.processes.retain(|it| !before.processes.contains(it));
        self.mounts.retain(|it| !before.mounts.contains(it));
        self.cgroups.retain(|it| !before.cgroups.contains(it));
        self.directories
            .retain(|it| !before.directories.contains(it));
        self.null.retain(|it| !before.null.contains(it));
        self
    }

    fn is_empty(&self) -> bool {
        self.processes.is_empty()
            && self.mounts.is_empty()
            && self.cgroups.is_empty()
            && self.directories.is_empty()
            && self.null.is_empty()
    }
}

fn null_device() -> String {
    let data = fs::symlink_metadata("/dev/null").expect("/dev/null");
    let (uid, gid, mode) = (data.uid(), data.gid(), data.mode());
    format!("/dev/null {uid}:{gid} {mode:o} {:x}", data.rdev())
}

/// Everything below this process, each with its name; orphans that have ended are reaped.
fn descendants() -> BTreeSet<String> {
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let Some(pid) = pid else { continue };
        // It may have ended meanwhile.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        processes.extend(parse_stat(pid, &stat));
    }
    let own = Pid::this().as_raw();
    let mut family = vec![own];
    let mut found = BTreeSet::new();
    while let Some(parent) = family.pop() {
        for process in processes.iter().filter(|it| it.parent == parent) {
            let is_zombie = process.state == 'Z';
            if is_zombie && parent == own {
                let _ = waitpid(Pid::from_raw(process.pid), Some(WaitPidFlag::WNOHANG));
            } else {
                found.insert(format!(
                    "{} {} {}",
                    process.pid, process.name, process.state
                ));
            }
            family.push(process.pid);
        }
    }
    found
}

/// Reaps what a killed command has left to this process, as init does on every machine, until it
/// is dropped: a pid namespace ends only when all that was in it is reaped.
#[must_use]
pub(crate) struct Reaper {
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Reaper {
    pub(crate) fn start() -> Self {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = std::sync::Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                reap_orphans();
                thread::sleep(Duration::from_millis(2));
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take();
        drop(thread.map(thread::JoinHandle::join));
    }
}

/// Reaps the children that no test waits for: those are commands, which have other names.
fn reap_orphans() {
    let own = std::process::id();
    let children = format!("/proc/self/task/{own}/children");
    let listed = fs::read_to_string(children).unwrap_or_default();
    for pid in listed.split_whitespace().filter_map(|pid| pid.parse().ok()) {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let orphan = parse_stat(pid, &stat)
            .is_some_and(|it| it.state == 'Z' && !["crabcan", "strace"].contains(&&*it.name));
        if orphan {
            let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
        }
    }
}

struct Process {
    pid: i32,
    name: String,
    state: char,
    parent: i32,
}

fn parse_stat(pid: i32, stat: &str) -> Option<Process> {
    let (start, rest) = stat.rsplit_once(')')?;
    let mut words = rest.split_whitespace();
    Some(Process {
        pid,
        name: start.split_once('(')?.1.to_owned(),
        state: words.next()?.chars().next()?,
        parent: words.next()?.parse().ok()?,
    })
}

/// What crabcan may have made in the temporary directories; those of tests see to themselves.
fn temporary_entries() -> BTreeSet<PathBuf> {
    let places = [Path::new("/tmp"), Path::new("/var/tmp")];
    let temporary = std::env::temp_dir();
    let places = places.into_iter().chain([temporary.as_path()]);
    let entries = places.filter_map(|place| fs::read_dir(place).ok());
    let paths = entries.flatten().flatten().map(|entry| entry.path());
    paths
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let ours = name.trim_start_matches('.').starts_with("crabcan");
            ours && !name.starts_with(PREFIX) && !is_of_xtask(&name)
        })
        .collect()
}

/// The directories of other runs of xtask and of unit tests.
fn is_of_xtask(name: &str) -> bool {
    [
        "crabcan-test-",
        "crabcan-bench-",
        "crabcan-vm-",
        "crabcan-busy-bus-",
        "crabcan-cgroups-",
        "crabcan-rdt-",
        "crabcan-handover-",
        "crabcan-hidden-",
        "crabcan-image-",
        "crabcan-lifecycle-",
        "crabcan-state-",
        "crabcan-notify-",
        "crabcan-ids-",
        "crabcan-fifo-",
        "crabcan-unit-",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
}
