//! A network in user space: connections to a port of the host reach the sandbox, nothing of the
//! host's own is reached from there, and no helper is left.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::{Leaks, TempDir, crabcan, is_root, lacks, program, run};

/// A port of the loopback that nobody has at the moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

const SERVER: &str = "import socket
s = socket.socket(); s.bind(('0.0.0.0', 8080)); s.listen()
while True:
    c, _ = s.accept(); c.sendall(b'from inside'); c.close()";

/// Whether the helper for this user is there.
fn helper_is_there() -> bool {
    let name = if is_root() { "slirp4netns" } else { "pasta" };
    let there = ["/usr/bin", "/bin"]
        .iter()
        .any(|directory| fs::metadata(format!("{directory}/{name}")).is_ok());
    if !there {
        lacks(name);
    }
    there
}

struct Server(Child);

impl Server {
    fn published_at(port: u16) -> Self {
        let publish = format!("{port}:8080");
        let mut command = crabcan(["--net", "user", "--publish", &publish, "--time", "30"]);
        command.args(["--", "/usr/bin/python3", "-c", SERVER]);
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }

    fn end(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// What is said at a port, once somebody listens.
fn said_at(port: u16) -> String {
    let until = Instant::now() + Duration::from_secs(15);
    loop {
        let mut text = String::new();
        if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            stream
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            if stream.read_to_string(&mut text).is_ok() && !text.is_empty() {
                return text;
            }
        }
        assert!(Instant::now() < until, "nobody answers at port {port}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// crabcan is killed, and has no chance to end its helper.
#[test]
#[ignore = "needs packages: cargo xtask ci --all"]
fn a_published_port_is_the_sandbox_and_the_helper_ends_with_crabcan() {
    if !helper_is_there() {
        return;
    }
    let leaks = Leaks::watch();
    let port = free_port();
    let server = Server::published_at(port);
    assert_eq!(said_at(port), "from inside");
    server.end();
    let until = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
        assert!(Instant::now() < until, "the helper is still there");
        thread::sleep(Duration::from_millis(20));
    }
    leaks.check("a published port");
}

#[test]
#[ignore = "needs packages: cargo xtask ci --all"]
fn the_hosts_loopback_is_not_reached_and_names_are_asked_elsewhere() {
    if !helper_is_there() {
        return;
    }
    let _leaks = Leaks::watch();
    let host = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = host.local_addr().unwrap().port();
    let script = format!(
        "cat /etc/resolv.conf; ls /sys/class/net 2>/dev/null | wc -l; python3 - <<E
import socket
for address in ['127.0.0.1', '10.0.2.2']:
    try:
        socket.create_connection((address, {port}), 2); print('reached', address)
    except OSError:
        print('refused')
E"
    );
    let mut command = crabcan([
        "--net",
        "user",
        "--clearenv",
        "--setenv",
        "PATH",
        "/usr/bin:/bin",
    ]);
    let outcome = run(command.args(["--", "/bin/sh", "-c", &script]));
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines.first(), Some(&"nameserver 10.0.2.3"), "{outcome:?}");
    assert_eq!(
        lines.iter().filter(|line| **line == "refused").count(),
        2,
        "{outcome:?}"
    );
}

/// Answers questions for names as the host's server would: each has the address 192.0.2.7, which is
/// nobody's (RFC 1035, sections 4.1 and 3.2).
fn name_server() -> Ipv4Addr {
    let address = Ipv4Addr::new(127, 0, 53, 7);
    let socket = UdpSocket::bind((address, 53)).unwrap();
    thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            let name = question[12..length].iter().position(|byte| *byte == 0);
            let end = 12 + name.unwrap() + 5;
            let is_a = question[end - 4..end] == [0, 1, 0, 1];
            let mut answer = question[..end].to_vec();
            answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
            if is_a {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
            }
            socket.send_to(&answer, from).unwrap();
        }
    });
    address
}

/// Both helpers hand the questions on to the server in the host's resolv.conf(5), which is another
/// in a mount namespace of the test's own.
#[test]
#[ignore = "needs packages: cargo xtask ci --all"]
fn a_name_is_looked_up_at_the_hosts_server() {
    if !is_root() || !helper_is_there() {
        return;
    }
    let _leaks = Leaks::watch();
    let directory = TempDir::new("names");
    let conf = directory.path().join("resolv.conf");
    fs::write(&conf, format!("nameserver {}\n", name_server())).unwrap();
    for user in ["0", "1000"] {
        let script = "mount --bind \"$1\" /etc/resolv.conf && shift && exec setpriv \"$@\"";
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", script, "sh"])
            .arg(&conf);
        command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
        command
            .arg(program())
            .args(["--net", "user", "--time", "15"]);
        command.args(["--", "getent", "ahostsv4", "a.crabcan.test"]);
        let addresses = run(command.current_dir("/")).success();
        assert!(addresses.starts_with("192.0.2.7 "), "{user}: {addresses}");
    }
}

#[test]
fn a_helper_that_is_missing_and_words_that_are_wrong_are_named() {
    let _leaks = Leaks::watch();
    let mut command = Command::new(program());
    command
        .args(["--net", "user", "--", "true"])
        .env("PATH", "/no/such");
    let missing = run(&mut command);
    assert_eq!(
        missing.failure(125),
        "--net user: neither pasta (package passt) nor slirp4netns is installed"
    );
    for (words, message) in [
        (&["--publish", "80:80"][..], "--publish needs --net user"),
        (
            &["--net", "user", "--publish", "80"],
            "--publish 80: must be HOSTPORT:PORT or ADDRESS:HOSTPORT:PORT",
        ),
    ] {
        let outcome = run(crabcan(words).args(["--", "true"]));
        assert_eq!(outcome.failure(125), message);
    }
    let none = run(&mut crabcan([
        "--net",
        "none",
        "--",
        "cat",
        "/proc/net/dev",
    ]));
    assert_eq!(none.stdout.matches(':').count(), 1, "{none:?}");
}
