//! Sets that are really applied, read back from the kernel.
//!
//! One process of one thread: it makes itself a user namespace where it is not root, so that
//! there is something to drop. Each check runs in a thread of its own, since nothing comes back.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "a test program"
)]

use std::thread;

use crabcan_caps::{Capabilities, Capability, CapabilitySet, DROPPED, Error};
use nix::sched::{CloneFlags, unshare};

/// Defect 1 of the tutorial: its sets were changed in memory only.
fn the_sandbox_sets_are_in_force() {
    let sets = Capabilities::sandbox(0);
    sets.apply().unwrap();
    let mine = Capabilities::of_current_thread().unwrap();
    assert_eq!(mine, sets);
    for one in DROPPED.iter() {
        assert!(
            !mine.bounding.contains(one) && !mine.permitted.contains(one),
            "{one}"
        );
    }
}

fn none_is_none() {
    Capabilities::none().apply().unwrap();
    let mine = Capabilities::of_current_thread().unwrap();
    assert_eq!(mine, Capabilities::none());
}

fn all_five_sets_are_set() {
    use Capability::{Chown, Kill, NetRaw, Setuid};
    let sets = Capabilities {
        bounding: CapabilitySet::of(&[Chown, Kill, NetRaw]),
        effective: CapabilitySet::of(&[Chown]),
        permitted: CapabilitySet::of(&[Chown, Kill, Setuid]),
        inheritable: CapabilitySet::of(&[Kill]),
        ambient: CapabilitySet::of(&[Kill]),
    };
    sets.apply().unwrap();
    assert_eq!(Capabilities::of_current_thread().unwrap(), sets);
}

fn what_was_dropped_does_not_come_back() {
    Capabilities::sandbox(1000).apply().unwrap();
    let kill = CapabilitySet::of(&[Capability::Kill]);
    let sets = Capabilities {
        permitted: kill,
        ..Capabilities::none()
    };
    match sets.apply() {
        Err(Error::Set { source, .. }) => assert_eq!(source.raw_os_error(), Some(1)),
        other => panic!("{other:?}"),
    }
}

/// Nothing is left to drop, so no privilege is needed for it.
fn an_empty_bounding_set_stays_empty_without_privilege() {
    Capabilities::none().apply().unwrap();
    Capabilities::none().apply().unwrap();
}

fn without_setpcap_the_bounding_set_is_an_error() {
    let full = Capabilities::of_current_thread().unwrap().bounding;
    let keep = Capabilities {
        bounding: full,
        ..Capabilities::none()
    };
    keep.apply().unwrap();
    match Capabilities::none().apply() {
        Err(Error::Bound { source, .. }) => assert_eq!(source.raw_os_error(), Some(1)),
        other => panic!("{other:?}"),
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--list" || arg == "--ignored") {
        return;
    }
    let before = Capabilities::of_process(std::process::id()).unwrap();
    if !before.effective.contains(Capability::Setpcap) {
        unshare(CloneFlags::CLONE_NEWUSER).unwrap();
    }
    let checks: [(&str, fn()); 6] = [
        (
            "the_sandbox_sets_are_in_force",
            the_sandbox_sets_are_in_force,
        ),
        ("none_is_none", none_is_none),
        ("all_five_sets_are_set", all_five_sets_are_set),
        (
            "what_was_dropped_does_not_come_back",
            what_was_dropped_does_not_come_back,
        ),
        (
            "an_empty_bounding_set_stays_empty_without_privilege",
            an_empty_bounding_set_stays_empty_without_privilege,
        ),
        (
            "without_setpcap_the_bounding_set_is_an_error",
            without_setpcap_the_bounding_set_is_an_error,
        ),
    ];
    let mut failed = 0;
    for (name, check) in checks {
        let passed = thread::spawn(check).join().is_ok();
        failed += usize::from(!passed);
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
    }
    // The checks' threads have not changed this one.
    let after = Capabilities::of_current_thread().unwrap();
    assert!(after.effective.contains(Capability::Setpcap));
    let passed = checks.len() - failed;
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored");
    assert_eq!(failed, 0, "some checks failed");
}
