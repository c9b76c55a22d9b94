//! What attackers need: racers, programs of their own inside, and places to look for their success.
#![allow(
    clippy::print_stdout,
    reason = "figures are for xtask, which adds them up"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;

use super::bundle::Bundle;

/// Set by `--full`.
pub(crate) fn full() -> bool {
    std::env::var_os("CRABCAN_TEST_FULL").is_some()
}

/// How often something is tried: in CI, and when there is time.
pub(crate) fn rounds(quick: u32, thorough: u32) -> u32 {
    if full() { thorough } else { quick }
}

/// Prints a number that xtask adds up.
pub(crate) fn figure(number: impl std::fmt::Display, what: &str) {
    // At the beginning of a line, whatever libtest has printed before.
    println!("\nfigure: {number} {what}");
}

/// Exchanges two names, as fast as it can, until it is stopped.
#[derive(Debug)]
pub(crate) struct Racer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Racer {
    pub(crate) fn exchange(one: PathBuf, other: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut count = 0;
            while !stopped.load(Ordering::Relaxed) {
                // One of them may be gone for a moment, when the runtime replaces it.
                let exchanged = renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE);
                count += u64::from(exchanged.is_ok());
            }
            count
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }

    /// How many exchanges there were. They end in an even number of them: as it began.
    pub(crate) fn stop(mut self) -> u64 {
        self.end()
    }

    fn end(&mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take();
        thread.map_or(0, |thread| thread.join().expect("the racer does not panic"))
    }
}

impl Drop for Racer {
    fn drop(&mut self) {
        self.end();
    }
}

const ATTACKER: &str = "CRABCAN_ATTACKER";

/// Whether this process is the attacker of a test, inside a container, and not the test itself.
pub(crate) fn is_attacker() -> bool {
    std::env::var_os(ATTACKER).is_some()
}

/// Makes this very test the container's program, as the attacker that it is there.
pub(crate) fn attack_with(bundle: &mut Bundle, test: &str) {
    let program = std::env::current_exe().expect("this program");
    let process = &mut bundle.config["process"];
    process["args"] = json!([
        "/attacker",
        test,
        "--exact",
        "--ignored",
        "--nocapture",
        "--test-threads=1"
    ]);
    let environment = process["env"].as_array_mut().expect("a list");
    environment.push(json!(format!("{ATTACKER}=1")));
    let mounts = bundle.config["mounts"].as_array_mut().expect("a list");
    mounts.push(
        json!({"destination": "/attacker", "type": "bind", "source": program,
        "options": ["bind", "ro"]}),
    );
}

/// The names of all cgroups with this in them, in every tree.
pub(crate) fn cgroups(word: &str) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut left = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = left.pop() {
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            if entry.file_name().to_string_lossy().contains(word) {
                found.insert(entry.path());
            }
            left.push(entry.path());
        }
    }
    found
}

/// A directory of the host's with something in it that nobody inside may see, change or add to.
pub(crate) fn outside(bundle: &Bundle) -> PathBuf {
    let outside = bundle.directory.directory("outside");
    fs::write(outside.join("host-marker"), "untouched").expect("write the marker");
    fs::write(outside.join("ptmx"), "untouched").expect("write the decoy");
    outside
}

/// Asserts that it is as it was made.
#[track_caller]
pub(crate) fn assert_untouched(outside: &Path, after: &str) {
    let entries = fs::read_dir(outside)
        .expect("the directory outside")
        .flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    names.sort();
    assert_eq!(names, ["host-marker", "ptmx"], "{after}");
    for name in names {
        let text = fs::read_to_string(outside.join(&name)).expect("read it");
        assert_eq!(text, "untouched", "{after}: {name:?}");
    }
}
