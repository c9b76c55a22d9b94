//! The second wall, where root has left away the first one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use support::{Leaks, TempDir, crabcan, run};

/// Whether this kernel has Landlock in a version that sandboxes use: that decides about the tests
/// below, not whether they are run.
fn landlock_is_there() -> bool {
    run(&mut crabcan(["--landlock", "required", "--", "true"])).code() == 0
}

/// A process of the host with the ids that a sandbox will have.
struct Bystander(Child);

impl Bystander {
    fn with_id(id: u32) -> Self {
        let mut sleep = Command::new("/bin/sleep");
        sleep.arg("60").uid(id).gid(id).stdin(Stdio::null());
        Self(sleep.spawn().unwrap())
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Who shares the host's processes and ids finds the host's root behind `/proc/PID/root`: no mount
/// is in the way there, only the wall.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn files_of_the_host_are_behind_the_wall() {
    let leaks = Leaks::watch();
    let temp = TempDir::new("wall");
    temp.file("secret", b"secret", 0o644);
    let bystander = Bystander::with_id(61234);
    let read = |wall: &str| {
        let path = format!("/proc/{}/root{}/secret", bystander.0.id(), temp.text());
        let ids = [
            "--share", "pid", "--userns", "host", "--uid", "61234", "--gid", "61234",
        ];
        let mut command = crabcan(["--landlock", wall]);
        run(command.args(ids).args(["--", "/bin/cat", &path]))
    };
    let open = read("off");
    assert_eq!(open.stdout, "secret", "{open:?}");
    if landlock_is_there() {
        let refused = read("best-effort");
        assert!(refused.stderr.contains("Permission denied"), "{refused:?}");
        assert_eq!(refused.stdout, "");
    }
    drop(bystander);
    leaks.check("the wall");
}
