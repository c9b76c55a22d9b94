//! Programs that are started in new namespaces. Needs no privilege.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod shell;

use std::ffi::CStr;
use std::fs::{self, File};
use std::os::fd::AsFd;

use crabcan_ns::{CloneOptions, Namespace, Namespaces, Program, clone_program};
use shell::output_of;

/// The user namespace, and what an ordinary user can make within it.
fn all_but_time() -> Namespaces {
    Namespace::ALL
        .into_iter()
        .filter(|kind| *kind != Namespace::Time)
        .fold(Namespaces::new(), Namespaces::make)
}

#[test]
fn new_namespaces_differ_from_the_callers() {
    let script = "for kind in mnt cgroup uts ipc user pid net time; do \
                  readlink /proc/self/ns/$kind; done >&3";
    let text = output_of(script, &all_but_time());
    let found: Vec<_> = text.lines().collect();
    assert_eq!(found.len(), 8);
    for (kind, found) in Namespace::ALL.into_iter().zip(found) {
        let own = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        assert!(found.starts_with(kind.name()), "{found}");
        assert_eq!(
            own.to_str() == Some(found),
            kind == Namespace::Time,
            "{found}"
        );
    }
}

#[test]
fn capabilities_survive_the_exec_into_a_user_namespace() {
    let text = output_of("cat /proc/self/status >&3", &all_but_time());
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let line = text.lines().find(|line| line.starts_with(set)).unwrap();
        let value = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
        assert!(value.count_ones() >= 40, "{line}");
    }
}

#[test]
fn without_a_user_namespace_no_capability_is_raised() {
    let text = output_of("cat /proc/self/status >&3", &Namespaces::new());
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let ambient = |text: &str| {
        text.lines()
            .find(|l| l.starts_with("CapAmb"))
            .unwrap()
            .to_owned()
    };
    assert_eq!(ambient(&text), ambient(&own));
}

#[test]
fn a_refused_clone_names_the_namespaces_and_the_cgroup() {
    let file = File::open("/dev/null").unwrap();
    let executable = File::open("/bin/sh").unwrap();
    let args: &[&CStr] = &[c"sh"];
    let program = Program {
        executable: executable.as_fd(),
        args,
        env: &[],
        descriptors: &[],
    };
    let namespaces = Namespaces::new().make(Namespace::User).make(Namespace::Uts);
    let options = CloneOptions::new(&namespaces).cgroup(file.as_fd());
    let error = clone_program(&program, &options).unwrap_err();
    assert_eq!(
        error.to_string(),
        "clone a process with uts, user new namespaces into a cgroup"
    );
    assert_eq!(error.errno(), Some(libc::EBADF));
}
