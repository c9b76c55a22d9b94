//! A test body in a process of its own: it can count descriptors and children, and a hang is ended.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test program uses a part; a test fails by panicking"
)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const NAME: &str = "CRABCAN_TEST_ALONE";

/// What a body may take, unless it says otherwise.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Runs `body` in a copy of this program that runs the test `name` only, with a limit of time.
pub(crate) fn alone(name: &str, body: impl FnOnce()) {
    with(name, LIMIT, &[], body);
}

/// As [`alone`], by way of another program with these arguments before this one's, and a limit.
pub(crate) fn with(name: &str, limit: Duration, wrapper: &[&str], body: impl FnOnce()) {
    if std::env::var_os(NAME).is_some_and(|chosen| chosen == *name) {
        return body();
    }
    let this = std::env::current_exe().unwrap();
    let mut command = match wrapper.split_first() {
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments).arg(this);
            command
        }
        None => Command::new(this),
    };
    command
        .args([name, "--exact", "--include-ignored", "--nocapture"])
        .env(NAME, name)
        .stdin(Stdio::null())
        // Its closing line must not be counted as one more.
        .stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let end = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > end {
            // With it ends every container that it has made.
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{name}: not finished within {limit:?}");
        }
        thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "{name}: {status}");
}

/// What the descriptors of this process are, in words.
pub(crate) fn descriptors() -> Vec<String> {
    let read = fs::read_dir("/proc/self/fd").unwrap();
    let mut all: Vec<_> = read
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| {
            let target = fs::read_link(&path).ok()?;
            Some(format!("{} -> {}", path.display(), target.display()))
        })
        .collect();
    all.sort();
    // The directory that is being read.
    all.retain(|line| !line.ends_with("/fd"));
    all
}

/// The children of this process, zombies counted.
pub(crate) fn children() -> Vec<i32> {
    let own = std::process::id().to_string();
    processes()
        .into_iter()
        .filter(|(_, parent)| *parent == own)
        .map(|(pid, _)| pid)
        .collect()
}

/// All processes that there are, each with its parent's pid.
fn processes() -> Vec<(i32, String)> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?;
            Some((pid, parent.to_owned()))
        })
        .collect()
}

/// Whether a process that was started with this word is there.
pub(crate) fn is_running(word: &str) -> bool {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let mut lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| {
        line.split(|byte| *byte == 0)
            .any(|part| part == word.as_bytes())
    })
}

/// Waits until a condition holds.
pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "waited for: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A number of seconds for sleep(1) that nobody else uses: it names the process.
pub(crate) fn long_time(salt: u32) -> String {
    format!("{}.{}{salt}", 40_000, std::process::id())
}

/// A file for a test, in a directory that can be written.
pub(crate) fn temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("crabcan-{}-{name}", std::process::id()))
}
