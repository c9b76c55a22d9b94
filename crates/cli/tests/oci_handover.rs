//! What `create` and `run` hand to whoever asked for a container: a pidfd, and word of readiness.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::Stdio;
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use support::bundle::Bundle;
use support::{Leaks, run};

/// The pid of the process that a descriptor from this socket stands for.
fn received_pid(listener: &UnixListener) -> String {
    let (socket, _) = listener.accept().unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut name = [0; 64];
    let mut bytes = [IoSliceMut::new(&mut name)];
    recvmsg(&socket, &mut bytes, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let pidfd: OwnedFd = control
        .drain()
        .find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        })
        .unwrap();
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).unwrap();
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:"));
    pid.unwrap().trim().to_owned()
}

#[test]
fn a_pidfd_goes_through_a_socket() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("pidfd", "exec sleep 600").rootless();
    // Nobody there: nothing is left.
    let create = bundle.leave("create --pidfd-socket socket one");
    assert_eq!(create.code(), 1, "{create:?}");
    assert_eq!(bundle.entries(), [""; 0]);
    let listener = UnixListener::bind(bundle.directory.path().join("socket")).unwrap();
    let create = bundle.leave("create --pidfd-socket socket one");
    assert_eq!((create.code(), create.stderr.as_str()), (0, ""));
    let pid = bundle.state("one")["pid"].to_string();
    assert_eq!(received_pid(&listener), pid);
    bundle.run("start one").success();
    bundle.run("exec --pidfd-socket socket one true").success();
    assert_ne!(received_pid(&listener), pid);
}

#[test]
fn readiness_is_told_with_the_pid_of_the_host() {
    let _leaks = Leaks::watch();
    let script = "echo $NOTIFY_SOCKET; exec python3 -c 'import os, socket, time\n\
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
        s.sendto(b\"STATUS=no\\nREADY=1\\n\", os.environ[\"NOTIFY_SOCKET\"])\n\
        time.sleep(600)'";
    let bundle = Bundle::new("notify", script).rootless();
    let path = bundle.directory.path().join("manager");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut command = bundle.command(["run", "--detach", "one"]);
    command.env("NOTIFY_SOCKET", &path).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().unwrap().success());
    let mut said = String::new();
    let mut buffer = [0; 256];
    while !said.contains("READY=1") {
        let count = manager.recv(&mut buffer).unwrap();
        said += &String::from_utf8_lossy(&buffer[..count]);
    }
    let pid = bundle.state("one")["pid"].to_string();
    assert!(said.contains(&format!("MAINPID={pid}")), "{said}");
    assert!(!said.contains("STATUS"), "{said}");
}

#[test]
fn without_cgroups_there_is_none() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("disabled", "cat /proc/self/cgroup").rootless();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    bundle
        .before
        .extend(["--cgroup-manager".to_owned(), "disabled".to_owned()]);
    let outcome = run(&mut bundle.command(["run", "one"]));
    assert_eq!((outcome.code(), outcome.stdout), (0, own));
    // A limit that nothing keeps is no limit.
    bundle.config["linux"]["resources"] = serde_json::json!({"pids": {"limit": 5}});
    let outcome = run(&mut bundle.command(["run", "one"]));
    assert_eq!(outcome.code(), 1);
    assert!(outcome.stderr.contains("linux.resources"), "{outcome:?}");
    assert_eq!(bundle.entries(), [""; 0]);
}
