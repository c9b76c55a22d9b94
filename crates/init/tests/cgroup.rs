//! How a container's first process comes into its cgroup, without one: the files are in memory.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    unsafe_code,
    unreachable_pub,
    reason = "a test fails by panicking; descriptors are placed between fork and exec"
)]

#[path = "program/launch.rs"]
mod launch;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use crabcan_init::Step;
use crabcan_init::message::PROCEED;
use launch::{Init, exec, failed, file, plan};
use nix::errno::Errno;

/// A file in memory, as the file `tasks` of a cgroup that is open for writing; the second one reads
/// what was written.
fn tasks() -> (OwnedFd, File) {
    let memory = nix::sys::memfd::memfd_create(c"tasks", nix::sys::memfd::MFdFlags::empty());
    let file = File::from(memory.unwrap());
    (file.try_clone().unwrap().into(), file)
}

const JOIN: [Step<'static>; 2] = [Step::JoinCgroup { count: 2 }, Step::Ready {}];

#[test]
fn a_cgroup_is_entered_in_each_of_its_trees() {
    let steps = [
        &JOIN[..],
        &[exec(b"/bin/sh\0", b"sh\0-c\0ls /proc/$$/fd\0")],
    ]
    .concat();
    let mut init = Init::start(&plan(&steps));
    let trees = [tasks(), tasks()];
    for (number, (theirs, ours)) in trees.iter().enumerate() {
        assert_eq!(ours.read_at(&mut [0; 8], 0).unwrap(), 0, "{number}");
        init.send_descriptor(theirs);
    }
    init.proceed();
    // `0` is whoever writes it.
    for (_, ours) in &trees {
        let mut written = [0; 8];
        let length = ours.read_at(&mut written, 0).unwrap();
        assert_eq!(&written[..length], b"0");
    }
    assert_eq!(init.output(), "0\n1\n2\n", "the files are closed");
    assert_eq!(init.code(), Some(0));
}

#[test]
fn a_cgroup_that_cannot_be_entered_is_a_failed_step() {
    let refuse = |first: &dyn Fn(&mut Init)| {
        let steps = [&JOIN[..], &[exec(b"/bin/true\0", b"x\0")]].concat();
        let mut init = Init::start(&plan(&steps));
        first(&mut init);
        let said = init.message();
        (said, init.code())
    };
    // Not open for writing: a removed cgroup is refused in the same way, by ENODEV.
    let read_only = refuse(&|init| init.send_descriptor(&file("x")));
    assert_eq!(read_only, (failed(0, Errno::EBADF, 0), Some(125)));
    let second = refuse(&|init| {
        init.send_descriptor(&tasks().0);
        init.send_descriptor(&file("x"));
    });
    assert_eq!(second, (failed(0, Errno::EBADF, 0), Some(125)));
    // Another word than a descriptor, and one too few.
    let word = refuse(&|init| init.send(&[PROCEED]));
    assert_eq!(word, (failed(0, Errno::EPROTO, 0), Some(125)));
    let too_few = refuse(&|init| {
        init.send_descriptor(&tasks().0);
        init.send(&[PROCEED]);
    });
    assert_eq!(too_few, (failed(0, Errno::EPROTO, 0), Some(125)));
    // Whoever would send it has gone.
    let steps = [&JOIN[..], &[exec(b"/bin/echo\0", b"echo\0done\0")]].concat();
    let mut init = Init::start(&plan(&steps));
    init.send_descriptor(&tasks().0);
    init.close_channel();
    assert_eq!((init.output().as_str(), init.code()), ("", Some(125)));
}

#[test]
fn whoever_is_to_be_moved_waits_for_it() {
    let steps = [Step::AwaitCgroup {}, exec(b"/bin/echo\0", b"echo\0done\0")];
    let mut init = Init::start(&plan(&steps));
    std::thread::sleep(Duration::from_millis(50));
    assert!(init.child.try_wait().unwrap().is_none(), "it waits");
    init.send(&[PROCEED]);
    assert_eq!((init.message(), init.output().as_str()), (None, "done\n"));
    assert_eq!(init.code(), Some(0));
    for wrong in [&[7][..], &[PROCEED, PROCEED]] {
        let mut init = Init::start(&plan(&steps));
        init.send(wrong);
        let said = init.message();
        assert_eq!(
            (said, init.code()),
            (failed(0, Errno::EPROTO, 0), Some(125)),
            "{wrong:?}"
        );
    }
    let init = Init::start(&plan(&steps));
    init.send_descriptor(&tasks().0);
    assert_eq!(init.message(), failed(0, Errno::EPROTO, 0));
    let mut init = Init::start(&plan(&steps));
    init.close_channel();
    assert_eq!((init.output().as_str(), init.code()), ("", Some(125)));
}
