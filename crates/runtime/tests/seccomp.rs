//! Filters of containers that are made from a specification: without no_new_privs, and with a
//! listener that answers from outside.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking; a listener is asked by ioctl(2)"
)]

mod alone;

use std::fs;
use std::io::{IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread;

use alone::alone;
use crabcan_ns::{IdRange, Namespace};
use crabcan_runtime::spec::{Extension, IdMapping, Linux, NamespaceRequest, Process, Root, Spec};
use crabcan_runtime::{ExitStatus, Host, Plan, listener};
use crabcan_seccomp::json::Seccomp;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// A directory of the test's own, removed with all that is in it.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("crabcan-filter-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A shell that sees what its caller sees, as the root of a user namespace.
fn spec(script: &str, filter: &str) -> Spec {
    let host = Host::current().unwrap();
    let kinds = [Namespace::Mount, Namespace::User];
    let own = |outside| {
        let (inside, count) = (0, 1);
        IdMapping::from(IdRange {
            inside,
            outside,
            count,
        })
    };
    Spec {
        process: Process {
            args: ["/bin/sh", "-c", script].map(Into::into).into(),
            env: vec!["PATH=/usr/bin:/bin".into()],
            cwd: "/".into(),
            ..Process::default()
        },
        root: Root {
            path: "/".into(),
            readonly: false,
        },
        linux: Linux {
            namespaces: kinds.map(NamespaceRequest::new).into(),
            uid_mappings: vec![own(host.uid)],
            gid_mappings: vec![own(host.gid)],
            seccomp: Some(Seccomp::from_json(filter.as_bytes()).unwrap()),
            ..Linux::default()
        },
        extension: Extension {
            recursive_root: true,
            ..Extension::default()
        },
        ..Spec::default()
    }
}

#[test]
fn without_no_new_privs_a_filter_is_on_and_the_right_to_it_is_gone() {
    alone(
        "without_no_new_privs_a_filter_is_on_and_the_right_to_it_is_gone",
        || {
            let directory = Directory::new();
            let file = directory.0.join("status");
            let names = "Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp";
            let script = format!(
                "grep -E '^({names}):' /proc/self/status > {}",
                file.display()
            );
            let filter = r#"{ "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{ "names": ["capset", "sendmsg"], "action": "SCMP_ACT_KILL" }] }"#;
            let plan = Plan::new(&spec(&script, filter), &Host::current().unwrap()).unwrap();
            let mut container = crabcan_runtime::Process::create(&plan).unwrap();
            container.start().unwrap();
            assert_eq!(container.wait().unwrap(), ExitStatus::Exited(0));
            let status = fs::read_to_string(file).unwrap();
            let values: Vec<&str> = status.split_whitespace().skip(1).step_by(2).collect();
            let none = "0000000000000000";
            assert_eq!(values, [none, none, none, none, none, "0", "2"], "{status}");
        },
    );
}

/// What an agent gets over one connection.
fn receive(connection: &mut UnixStream) -> (serde_json::Value, OwnedFd) {
    let mut text = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut text)];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let length = recvmsg(&*connection, &mut parts, &mut control, flags)
        .unwrap()
        .bytes;
    let mut descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let listener = descriptors.next().unwrap().next().unwrap();
    let mut rest = Vec::new();
    assert_eq!(connection.read_to_end(&mut rest).unwrap(), 0, "one message");
    (serde_json::from_slice(&text[..length]).unwrap(), listener)
}

/// Answers the next notification with an error number, and says who asked.
fn answer(listener: &OwnedFd, errno: i32) -> u32 {
    const SECCOMP_IOCTL_NOTIF_RECV: libc::c_ulong = 0xc050_2100;
    const SECCOMP_IOCTL_NOTIF_SEND: libc::c_ulong = 0xc018_2101;
    // SAFETY: all zeroes is what the kernel wants to be handed.
    let mut asked: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    let number = listener.as_raw_fd();
    // SAFETY: the kernel writes one structure of this type.
    let received = unsafe { libc::ioctl(number, SECCOMP_IOCTL_NOTIF_RECV, &mut asked) };
    assert_eq!(received, 0, "{}", std::io::Error::last_os_error());
    let mut response = libc::seccomp_notif_resp {
        id: asked.id,
        val: 0,
        error: -errno,
        flags: 0,
    };
    // SAFETY: the kernel reads one structure of this type.
    let sent = unsafe { libc::ioctl(number, SECCOMP_IOCTL_NOTIF_SEND, &mut response) };
    assert_eq!(sent, 0, "{}", std::io::Error::last_os_error());
    asked.pid
}

#[test]
fn a_listener_outside_answers() {
    alone("a_listener_outside_answers", || {
        for reaper in [false, true] {
            let directory = Directory::new();
            let (socket, file) = (directory.0.join("agent"), directory.0.join("said"));
            let agent = UnixListener::bind(&socket).unwrap();
            let script = format!("mkdir /never 2> {}", file.display());
            let filter = format!(
                r#"{{ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "{}",
                    "listenerMetadata": "pod 7", "syscalls": [
                    {{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY" }}] }}"#,
                socket.display()
            );
            let mut spec = spec(&script, &filter);
            spec.extension.reaper = reaper;
            let plan = Plan::new(&spec, &Host::current().unwrap()).unwrap();
            let mut container = crabcan_runtime::Process::create(&plan).unwrap();
            let mut early = container.take_listener();
            assert_eq!(early.is_some(), !reaper);
            container.start().unwrap();
            let fd = early.take().or_else(|| container.take_listener()).unwrap();
            let pid = container.pid().as_raw();
            let state = serde_json::json!({ "id": "c1", "status": "creating" });
            let to = plan.listener().unwrap();
            let answering = thread::spawn(move || {
                let (mut connection, _) = agent.accept().unwrap();
                let (document, listener) = receive(&mut connection);
                answer(&listener, libc::EXDEV);
                document
            });
            listener::send(to, fd.as_fd(), "1.2.0", pid, &state).unwrap();
            drop(fd);
            assert_eq!(container.wait().unwrap(), ExitStatus::Exited(1));
            let expected = serde_json::json!({
                "ociVersion": "1.2.0", "fds": ["seccompFd"], "pid": pid,
                "metadata": "pod 7", "state": { "id": "c1", "status": "creating" }
            });
            assert_eq!(answering.join().unwrap(), expected);
            let said = fs::read_to_string(file).unwrap();
            assert!(said.contains("cross-device"), "{said}");
        }
    });
}

#[test]
fn nobody_listens() {
    let to = crabcan_seccomp::json::Listener {
        path: "/no/such/agent".into(),
        metadata: None,
    };
    let file = fs::File::open("/dev/null").unwrap();
    let error = listener::send(&to, file.as_fd(), "1.2.0", 1, &()).unwrap_err();
    assert!(error.to_string().contains("/no/such/agent"), "{error}");
}
