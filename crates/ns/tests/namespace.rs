//! Kinds of namespaces, handles of them, stacks. Needs no privilege.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::os::fd::AsFd;

use crabcan_ns::{
    CloneOptions, Error, Namespace, NamespaceFd, Namespaces, Program, Stack, clone_program,
};
use nix::sched::CloneFlags;

fn own(kind: Namespace) -> NamespaceFd {
    NamespaceFd::open_path(format!("/proc/self/ns/{kind}"), kind).unwrap()
}

#[test]
fn every_kind_has_its_name_and_flag() {
    for kind in Namespace::ALL {
        assert!(
            fs::symlink_metadata(format!("/proc/self/ns/{}", kind.name())).is_ok(),
            "{kind}"
        );
        assert_eq!(kind.clone_flag().bits().count_ones(), 1);
        assert_eq!(own(kind).kinds(), [kind]);
    }
}

#[test]
fn a_namespace_of_another_kind_is_refused() {
    for kind in Namespace::ALL {
        let path = format!("/proc/self/ns/{kind}");
        for expected in Namespace::ALL.into_iter().filter(|other| *other != kind) {
            let error = NamespaceFd::open_path(&path, expected).unwrap_err();
            let text = format!("{path} is a namespace of kind {kind}, not {expected}");
            assert_eq!(error.to_string(), text);
        }
    }
}

#[test]
fn what_is_no_namespace_is_refused() {
    for path in ["/dev/null", "/proc/self/status", "/"] {
        let error = NamespaceFd::open_path(path, Namespace::Network).unwrap_err();
        assert!(matches!(error, Error::NotANamespace { .. }), "{error:?}");
        assert_eq!(error.to_string(), format!("{path} is not a namespace"));
    }
    let error = NamespaceFd::open_path("/nonexistent/net", Namespace::Network).unwrap_err();
    assert_eq!(error.to_string(), "open the namespace /nonexistent/net");
    assert_eq!(error.errno(), Some(libc::ENOENT));
}

#[test]
fn a_fifo_does_not_make_the_caller_wait() {
    let path = std::env::temp_dir().join(format!("crabcan-ns-fifo-{}", std::process::id()));
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let error = NamespaceFd::open_path(&path, Namespace::Network);
    fs::remove_file(&path).unwrap();
    assert!(matches!(error, Err(Error::NotANamespace { .. })));
}

#[test]
fn the_last_call_for_a_kind_decides() {
    let namespaces = Namespaces::new()
        .make(Namespace::Pid)
        .make(Namespace::Pid)
        .make(Namespace::Uts)
        .join(Namespace::Uts, own(Namespace::Uts))
        .join(Namespace::Network, own(Namespace::Network))
        .make(Namespace::Network)
        .join(Namespace::Ipc, own(Namespace::Ipc));
    assert_eq!(
        namespaces.made().collect::<Vec<_>>(),
        [Namespace::Pid, Namespace::Network]
    );
    assert!(namespaces.makes(Namespace::Pid) && !namespaces.makes(Namespace::Uts));
    let joined: Vec<_> = namespaces.joins().map(|(kind, _)| kind).collect();
    assert_eq!(joined, [Namespace::Uts, Namespace::Ipc]);
    assert_eq!(namespaces.to_string(), "pid, net");
    assert_eq!(Namespaces::new().to_string(), "no");
}

#[test]
fn a_handle_of_another_kind_cannot_be_joined() {
    let namespaces = Namespaces::new().join(Namespace::Uts, own(Namespace::Network));
    for (kind, namespace) in namespaces.joins() {
        assert_eq!(kind, Namespace::Uts);
        let error = namespace.join().unwrap_err();
        assert_eq!(error.to_string(), "join uts namespaces");
        // An ordinary user is refused before the kind is compared.
        assert!(matches!(error.errno(), Some(libc::EINVAL | libc::EPERM)));
    }
}

#[test]
fn time_is_never_a_clone_flag() {
    let all = Namespace::ALL
        .into_iter()
        .fold(Namespaces::new(), Namespaces::make);
    assert!(all.makes(Namespace::Time));
    let flags = all.clone_flags();
    assert_eq!(flags.bits() & libc::CLONE_NEWTIME, 0);
    assert_eq!(flags.bits().count_ones(), 7);
    assert!(flags.contains(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET));
}

#[test]
fn joining_the_own_user_namespace_is_refused_by_the_kernel() {
    let error = own(Namespace::User).join().unwrap_err();
    assert_eq!(error.to_string(), "join user namespaces");
    assert_eq!(error.errno(), Some(libc::EINVAL));
}

#[test]
fn a_pidfd_serves_for_several_kinds_and_a_dead_one_for_none() {
    let executable = File::open("/bin/sleep").unwrap();
    let program = Program {
        executable: executable.as_fd(),
        args: &[c"sleep", c"1000"],
        env: &[],
        descriptors: &[],
    };
    let namespaces = Namespaces::new().make(Namespace::User).make(Namespace::Uts);
    let mut child = clone_program(&program, &CloneOptions::new(&namespaces)).unwrap();
    let kinds = [Namespace::User, Namespace::Uts];
    let target = NamespaceFd::from_pidfd(child.pidfd().try_clone_to_owned().unwrap(), &kinds);
    assert_eq!(target.kinds(), kinds);
    // This program has threads, so it cannot join a user namespace.
    let error = target.join().unwrap_err();
    assert_eq!(error.to_string(), "join user, uts namespaces");
    assert_eq!(error.errno(), Some(libc::EINVAL));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(target.join().unwrap_err().errno(), Some(libc::ESRCH));
}

#[test]
fn a_stack_has_the_asked_size_in_whole_pages() {
    let page = rustix::param::page_size();
    assert_eq!(Stack::new(1).unwrap().size_bytes(), page);
    assert_eq!(Stack::new(page).unwrap().size_bytes(), page);
    assert_eq!(Stack::new(page + 1).unwrap().size_bytes(), 2 * page);
}

#[test]
fn an_impossible_stack_is_refused() {
    for (size, errno) in [
        (0, libc::EINVAL),
        (usize::MAX, libc::EINVAL),
        (1 << 62, libc::ENOMEM),
    ] {
        let error = Stack::new(size).unwrap_err();
        assert_eq!(error.errno(), Some(errno), "{size}");
        assert_eq!(
            error.to_string(),
            format!("map a stack of {size} bytes for the child")
        );
    }
}

#[test]
fn a_stack_is_given_back() {
    let mapped = || fs::read_to_string("/proc/self/statm").unwrap();
    let pages = |text: String| -> usize { text.split(' ').next().unwrap().parse().unwrap() };
    let before = pages(mapped());
    for _ in 0..100 {
        drop(Stack::new(64 << 20).unwrap());
    }
    assert!(pages(mapped()) < before + 100 * (64 << 20) / rustix::param::page_size() / 2);
}
