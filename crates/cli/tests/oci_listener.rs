//! A container whose filter of system calls asks an agent of the engine's: `listenerPath`.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking; a listener is asked by ioctl(2)"
)]

mod support;

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};
use support::bundle::Bundle;
use support::{Leaks, is_root};

/// What an agent is sent over one connection.
fn receive(agent: &UnixListener) -> (Value, OwnedFd) {
    let (connection, _) = agent.accept().unwrap();
    let mut text = [0; 8192];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut text)];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(&connection, &mut parts, &mut control, flags).unwrap();
    let listener = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    let document = serde_json::from_slice(&text[..received.bytes]).unwrap();
    (document, listener.unwrap())
}

/// Answers the next notification with an error number.
fn answer(listener: &OwnedFd, errno: i32) {
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
}

/// Has the kernel go on with the next call; whether there was one.
fn go_on(listener: &OwnedFd) -> bool {
    const SECCOMP_IOCTL_NOTIF_RECV: libc::c_ulong = 0xc050_2100;
    const SECCOMP_IOCTL_NOTIF_SEND: libc::c_ulong = 0xc018_2101;
    const SECCOMP_USER_NOTIF_FLAG_CONTINUE: u32 = 1;
    // SAFETY: all zeroes is what the kernel wants to be handed.
    let mut asked: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    let number = listener.as_raw_fd();
    // SAFETY: the kernel writes one structure of this type.
    if unsafe { libc::ioctl(number, SECCOMP_IOCTL_NOTIF_RECV, &mut asked) } != 0 {
        return false;
    }
    let mut response = libc::seccomp_notif_resp {
        id: asked.id,
        val: 0,
        error: 0,
        flags: SECCOMP_USER_NOTIF_FLAG_CONTINUE,
    };
    // SAFETY: the kernel reads one structure of this type. Who asked may have ended.
    unsafe { libc::ioctl(number, SECCOMP_IOCTL_NOTIF_SEND, &mut response) };
    true
}

fn bundle(name: &str) -> Bundle {
    let bundle = Bundle::new(name, "mkdir /tmp/never");
    let mut bundle = if is_root() { bundle } else { bundle.rootless() };
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": bundle.directory.path().join("agent"),
        "listenerMetadata": "pod 7",
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY" }],
    });
    bundle
}

#[test]
fn an_agent_answers_for_the_container() {
    let _leaks = Leaks::watch();
    let bundle = bundle("listener");
    let agent = UnixListener::bind(bundle.directory.path().join("agent")).unwrap();
    let answering = thread::spawn(move || {
        let (document, listener) = receive(&agent);
        answer(&listener, libc::EXDEV);
        document
    });
    let outcome = bundle.run("run c1");
    assert_eq!(outcome.code(), 1, "{outcome:?}");
    assert!(
        outcome.stderr.to_lowercase().contains("cross-device"),
        "{outcome:?}"
    );
    let told = answering.join().unwrap();
    assert_eq!(told["fds"], json!(["seccompFd"]));
    assert_eq!(told["metadata"], "pod 7");
    assert_eq!(told["state"]["id"], "c1");
    assert_eq!(told["state"]["status"], "creating");
    assert_eq!(told["pid"], told["state"]["pid"]);
    assert!(told["pid"].as_i64().is_some_and(|pid| pid > 1), "{told}");
}

/// As with crun, which had this before the specification had a property for it.
#[test]
fn an_agent_is_named_by_an_annotation_too() {
    let _leaks = Leaks::watch();
    let mut bundle = bundle("listener-annotation");
    let seccomp = bundle.config["linux"]["seccomp"].as_object_mut().unwrap();
    let path = seccomp.remove("listenerPath").unwrap();
    seccomp.remove("listenerMetadata");
    const NAME: &str = "run.oci.seccomp.receiver";
    bundle.config["annotations"][NAME] = json!("agent");
    let relative = bundle.run("run c1");
    for word in ["run.oci.seccomp.receiver", "not absolute"] {
        assert!(relative.failure(1).contains(word), "{relative:?}");
    }
    bundle.config["annotations"][NAME] = path;
    let agent = UnixListener::bind(bundle.directory.path().join("agent")).unwrap();
    let answering = thread::spawn(move || {
        let (document, listener) = receive(&agent);
        answer(&listener, libc::EXDEV);
        document
    });
    let outcome = bundle.run("run c1");
    assert!(
        outcome.stderr.to_lowercase().contains("cross-device"),
        "{outcome:?}"
    );
    let told = answering.join().unwrap();
    assert_eq!(told["state"]["id"], "c1");
    assert_eq!(told.get("metadata"), None);
}

/// Each process has a filter of its own, and a listener: nobody else could answer its calls.
#[test]
fn an_agent_answers_for_what_is_executed_too() {
    let _leaks = Leaks::watch();
    let mut bundle = bundle("listener-exec");
    bundle.script("exec sleep 600");
    for no_new_privileges in [true, false] {
        if !no_new_privileges && !is_root() {
            continue;
        }
        bundle.config["process"]["noNewPrivileges"] = json!(no_new_privileges);
        let path = bundle.directory.path().join("agent");
        let agent = UnixListener::bind(&path).unwrap();
        let answering = thread::spawn(move || {
            let (first, _kept) = receive(&agent);
            let (second, listener) = receive(&agent);
            answer(&listener, libc::EXDEV);
            (first, second)
        });
        assert_eq!(bundle.leave("run -d c1").code(), 0);
        let outcome = bundle.run("exec c1 mkdir /tmp/never");
        assert!(
            outcome.stderr.to_lowercase().contains("cross-device"),
            "{outcome:?}"
        );
        let (first, second) = answering.join().unwrap();
        assert_eq!(second["state"]["status"], "running");
        assert_eq!(second["state"]["pid"], first["pid"]);
        assert_ne!(second["pid"], first["pid"]);
        bundle.run("delete --force c1").success();
        std::fs::remove_file(path).unwrap();
    }
}

/// Init waits behind the filter, which has come before it was ready.
#[test]
fn a_created_container_ends_when_it_is_asked_to() {
    let _leaks = Leaks::watch();
    let bundle = bundle("listener-asked");
    let agent = UnixListener::bind(bundle.directory.path().join("agent")).unwrap();
    let answering = thread::spawn(move || receive(&agent));
    assert_eq!(bundle.leave("create c1").code(), 0);
    let (_, _listener) = answering.join().unwrap();
    assert_eq!(bundle.status("c1"), "created");
    bundle.run("kill c1 TERM").success();
    let until = Instant::now() + Duration::from_secs(10);
    while bundle.status("c1") != "stopped" {
        assert!(Instant::now() < until, "it does not end");
        thread::sleep(Duration::from_millis(2));
    }
    bundle.run("delete c1").success();
}

#[test]
fn without_an_agent_there_is_no_container() {
    let _leaks = Leaks::watch();
    let bundle = bundle("nolistener");
    let outcome = bundle.run("create c1");
    assert_ne!(outcome.code(), 0);
    assert!(outcome.stderr.contains("agent"), "{outcome:?}");
    assert_eq!(bundle.entries(), [""; 0]);
}

/// Init waits for the agent as well, once it is there.
#[test]
fn an_agent_answers_for_what_init_calls() {
    let _leaks = Leaks::watch();
    for new_privileges in [true, false] {
        let mut bundle = bundle("listener-init");
        bundle.script("exit 7");
        bundle.config["process"]["noNewPrivileges"] = json!(!new_privileges);
        let names = [
            "execve", "recvmsg", "read", "close", "ppoll", "openat", "fcntl",
        ];
        bundle.config["linux"]["seccomp"]["syscalls"][0]["names"] = json!(names);
        let agent = UnixListener::bind(bundle.directory.path().join("agent")).unwrap();
        thread::spawn(move || {
            let (_, listener) = receive(&agent);
            while go_on(&listener) {}
        });
        let outcome = bundle.run("run c1");
        assert_eq!(outcome.code(), 7, "{outcome:?}");
        if !is_root() {
            // Without the right to filter there is no other case.
            break;
        }
    }
}
