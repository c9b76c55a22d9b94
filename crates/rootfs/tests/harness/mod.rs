//! Walks a plan by the program of crabcan-init in namespaces of its own.
#![allow(dead_code, reason = "no test program uses all of it")]

use std::fs;
use std::io::{IoSlice, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crabcan_init::format::Strings;
use crabcan_init::message::{DESCRIPTOR, Message};
use crabcan_init::{PROGRAM, PlanWriter, Step};
use crabcan_rootfs::{Bind, MountAttributes, NewMount};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

/// A directory that is removed with everything in it.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("crabcan-assemble-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn join(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a script in the container printed, or why init failed.
pub(crate) fn run(plan: PlanWriter, script: &str) -> Result<String, (String, i32)> {
    run_sending(plan, script, &[])
}

/// The same, with mounts for the steps that wait for one.
pub(crate) fn run_sending(
    plan: PlanWriter,
    script: &str,
    mounts: &[OwnedFd],
) -> Result<String, (String, i32)> {
    run_in(&["--user", "--map-root-user"], plan, script, mounts)
}

/// The same outside a user namespace, for root.
pub(crate) fn run_privileged(plan: PlanWriter, script: &str) -> Result<String, (String, i32)> {
    run_in(&[], plan, script, &[])
}

fn run_in(
    users: &[&str],
    mut plan: PlanWriter,
    script: &str,
    mounts: &[OwnedFd],
) -> Result<String, (String, i32)> {
    let args = format!("sh\0-c\0{script}\0");
    plan.push(&Step::Exec {
        candidates: Strings::new(b"/bin/sh\0").unwrap(),
        args: Strings::new(args.as_bytes()).unwrap(),
        env: Strings::new(b"PATH=/usr/bin:/bin:/usr/sbin:/sbin\0").unwrap(),
    })
    .unwrap();
    let bytes = plan.finish(None);
    let scratch = Scratch::new();
    let (program, blob) = (scratch.join("init"), scratch.join("plan"));
    fs::write(&program, PROGRAM).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(&blob, &bytes).unwrap();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    for mount in mounts {
        // The socket keeps it until init asks.
        let fds = [mount.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&fds)];
        let word = [IoSlice::new(&[DESCRIPTOR])];
        let flags = MsgFlags::empty();
        sendmsg::<()>(ours.as_raw_fd(), &word, &rights, flags, None).unwrap();
    }
    // Standard input is the channel's end until the shell puts it where init looks for it.
    let launch = r#"exec "$0" 3<&0 0</dev/null 4<"$1""#;
    let output = Command::new("unshare")
        .args(users)
        .args(["--mount", "--ipc", "--net", "--cgroup"])
        .args(["--pid", "--fork", "--propagation", "unchanged"])
        .args(["--", "/bin/sh", "-c", launch])
        .args([&program, &blob])
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .output()
        .unwrap();
    let mut said = Vec::new();
    ours.read_to_end(&mut said).unwrap();
    let messages = said.as_chunks().0.iter().map(Message::from_bytes);
    // A terminal's master is not taken here, and the terminal is hung up at the end.
    let mut messages = messages.filter(|message| *message != Some(Message::Console));
    if let Some(message) = messages.next() {
        let Some(Message::Failed { step, errno, .. }) = message else {
            panic!("init said {said:?}");
        };
        let parsed = crabcan_init::format::FlatPlan::parse(&bytes).unwrap();
        let step = parsed.steps().nth(step as usize).unwrap();
        return Err((step.name().to_owned(), errno));
    }
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(errors, "", "the script complained");
    Ok(String::from_utf8(output.stdout).unwrap())
}

/// A small root: the host's programs and libraries in a directory of ours.
pub(crate) fn small_root(scratch: &Path) -> PathBuf {
    let root = scratch.join("root");
    for name in ["usr", "proc"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    for name in ["bin", "lib", "lib64"] {
        symlink(format!("usr/{name}"), root.join(name)).unwrap();
    }
    root
}

/// The host's programs, and `/proc`.
pub(crate) fn programs(plan: &mut PlanWriter) {
    let attributes = MountAttributes::RDONLY | MountAttributes::NOSUID;
    let bind = Bind::new("/usr", "/usr").attributes(attributes);
    bind.push(plan).unwrap();
    NewMount::proc("/proc").push(plan).unwrap();
}
