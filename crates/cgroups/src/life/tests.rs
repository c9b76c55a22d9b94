#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::Instant;

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};

use super::*;
use crate::fake::Fake;

const SHORT: Duration = Duration::from_millis(50);

/// A process that would not end by itself, and ends with this.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> Self {
        Self(Command::new("sleep").arg("600").spawn().unwrap())
    }

    /// Whether it is killed, now or within some seconds.
    fn is_killed(&mut self) -> bool {
        let mut patience = Patience::new(Duration::from_secs(5));
        loop {
            match self.0.try_wait().unwrap() {
                Some(status) => return status.signal() == Some(libc::SIGKILL),
                None if patience.pause() => {}
                None => return false,
            }
        }
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The kernel is half way as long as one of the processes is in a system call that can't be left.
#[test]
fn half_way_is_not_frozen_and_is_taken_back() {
    // What is behind the word that is written stays, so the state is never the wanted one.
    let fake = Fake::new("half", &[("freezer.state", "FREEZING, still")]);
    let cgroup = fake.cgroup(false);
    assert!(!cgroup.is_frozen().unwrap());
    let begin = Instant::now();
    let late = cgroup.freeze(SHORT).unwrap_err();
    assert!(
        matches!(
            late,
            Error::Deadline {
                state: "frozen",
                ..
            }
        ),
        "{late}"
    );
    assert!(begin.elapsed() >= SHORT);
    assert!(fake.read("freezer.state").starts_with("THAWED"));
}

#[test]
fn cgroups_of_v2_are_frozen_when_their_events_say_so() {
    let files = [
        ("cgroup.freeze", "0"),
        ("cgroup.events", "populated 1\nfrozen 0\n"),
    ];
    let fake = Fake::new("events", &files);
    let cgroup = fake.cgroup(true);
    let late = cgroup.freeze(SHORT).unwrap_err();
    assert!(
        matches!(
            late,
            Error::Deadline {
                state: "frozen",
                ..
            }
        ),
        "{late}"
    );
    assert_eq!(fake.read("cgroup.freeze"), "1");
    assert!(!cgroup.is_frozen().unwrap());
    fake.write("cgroup.events", "populated 1\nfrozen 1\n");
    cgroup.freeze(SHORT).unwrap();
    assert!(cgroup.is_frozen().unwrap() && cgroup.is_populated().unwrap());
    cgroup.thaw().unwrap();
    assert_eq!(fake.read("cgroup.freeze"), "0");
    let late = cgroup.wait_until_empty(SHORT).unwrap_err();
    assert!(
        matches!(late, Error::Deadline { state: "empty", .. }),
        "{late}"
    );
    fake.write("cgroup.events", "populated 0\nfrozen 0\n");
    cgroup.wait_until_empty(SHORT).unwrap();
}

/// v1 tells nothing by itself: it is looked at again, until the time is over.
#[test]
fn cgroups_of_v1_are_empty_when_nobody_is_listed() {
    let fake = Fake::new("wait", &[("cgroup.procs", "1\n")]);
    let cgroup = fake.cgroup(false);
    let begin = Instant::now();
    let late = cgroup.wait_until_empty(SHORT).unwrap_err();
    assert!(
        matches!(late, Error::Deadline { state: "empty", .. }),
        "{late}"
    );
    assert!(begin.elapsed() >= SHORT);
    fake.write("cgroup.procs", "");
    cgroup.wait_until_empty(SHORT).unwrap();
}

/// Where the kernel can kill them all, nobody is killed one by one.
#[test]
fn the_kernel_kills_a_cgroup_of_v2() {
    let mut bystander = Sleeper::start();
    let listed = format!("{}\n", bystander.0.id());
    let files = [
        ("cgroup.kill", ""),
        ("cgroup.events", "populated 0\nfrozen 0\n"),
        ("cgroup.procs", listed.as_str()),
    ];
    let fake = Fake::new("kill", &files);
    let cgroup = fake.cgroup(true);
    cgroup.kill(SHORT).unwrap();
    assert_eq!(fake.read("cgroup.kill"), "1");
    assert!(bystander.lives());
    // As long as anybody is in it, it has not been done.
    fake.write("cgroup.events", "populated 1\nfrozen 0\n");
    let late = cgroup.kill(SHORT).unwrap_err();
    assert!(
        matches!(late, Error::Deadline { state: "empty", .. }),
        "{late}"
    );
    // A cgroup that stays is not marked by it.
    fake.write("cgroup.kill", "");
    fake.write("cgroup.events", "populated 0\nfrozen 0\n");
    cgroup.kill_each(SHORT).unwrap();
    assert_eq!(fake.read("cgroup.kill"), "");
    assert!(bystander.is_killed());
}

/// Before Linux 5.14: each process is killed, those of cgroups below it too, and nobody else.
#[test]
fn without_that_each_process_is_killed() {
    let [mut own, mut below, mut other] = [(); 3].map(|()| Sleeper::start());
    let files = [
        ("cgroup.events", "populated 0\nfrozen 0\n".to_owned()),
        ("cgroup.procs", format!("{}\n", own.0.id())),
        ("a/b/cgroup.procs", format!("{}\n", below.0.id())),
        ("a/cgroup.procs", String::new()),
    ];
    let files: Vec<_> = files
        .iter()
        .map(|(file, text)| (*file, text.as_str()))
        .collect();
    let fake = Fake::new("each", &files);
    let cgroup = fake.cgroup(true);
    let mut expected = [own.0.id(), below.0.id()].map(|pid| pid as i32);
    expected.sort_unstable();
    assert_eq!(cgroup.processes().unwrap(), expected);
    cgroup.kill(SHORT).unwrap();
    assert!(own.is_killed() && below.is_killed() && other.lives());
}
