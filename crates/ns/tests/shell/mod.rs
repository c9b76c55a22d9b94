//! Children that are shells.
#![allow(dead_code, reason = "each test program uses its own part of this")]

use std::ffi::CString;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd};

use crabcan_ns::{Child, CloneOptions, Error, ExitStatus, Namespaces, Program, clone_program};

/// Runs `/bin/sh -c script` with these descriptors as 3, 4, and so on.
pub(crate) fn shell(
    script: &str,
    descriptors: &[BorrowedFd<'_>],
    namespaces: &Namespaces,
) -> Result<Child, Error> {
    let executable = File::open("/bin/sh").unwrap();
    let script = CString::new(script).unwrap();
    let program = Program {
        executable: executable.as_fd(),
        args: &[c"sh", c"-c", &script],
        env: &[c"PATH=/usr/bin:/bin", c"MARK=set"],
        descriptors,
    };
    clone_program(&program, &CloneOptions::new(namespaces))
}

pub(crate) fn status_of(script: &str) -> ExitStatus {
    shell(script, &[], &Namespaces::new())
        .unwrap()
        .wait()
        .unwrap()
}

/// What the script writes to its descriptor 3.
pub(crate) fn output_of(script: &str, namespaces: &Namespaces) -> String {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut child = shell(script, &[writer.as_fd()], namespaces).unwrap();
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap(), ExitStatus::Exited(0), "{text}");
    text
}
