//! Logs of daemons: what arrives at their sockets, which stand in for the machine's in a mount
//! namespace of the test's own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::io::{IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use rustix::fs::{SealFlags, fcntl_get_seals};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};
use support::bundle::Bundle;
use support::{Leaks, TempDir, run};

const JOURNAL: &str = "/run/systemd/journal/socket";
const SYSLOG: &str = "/dev/log";

/// A socket to be seen in the place of a daemon's.
struct Daemon {
    socket: UnixDatagram,
    directory: TempDir,
    path: &'static str,
}

impl Daemon {
    fn at(path: &'static str) -> Self {
        let directory = TempDir::new("daemon");
        let socket = UnixDatagram::bind(directory.path().join("socket")).unwrap();
        let limit = Some(Duration::from_secs(5));
        socket.set_read_timeout(limit).unwrap();
        Self {
            socket,
            directory,
            path,
        }
    }

    fn seen_by(&self, command: &Command) -> Command {
        among(&self.directory, self.path, command)
    }

    fn packet(&self) -> Vec<u8> {
        let mut packet = vec![0; 1 << 16];
        let length = self.socket.recv(&mut packet).expect("a packet");
        packet.truncate(length);
        packet
    }
}

/// The command where `path` is the socket of a directory, or is not there if that has none.
fn among(directory: &TempDir, path: &str, command: &Command) -> Command {
    let socket = directory.path().join("socket");
    let top = path.split('/').nth(1).unwrap();
    let mut script = format!("set -e; mount -t tmpfs none /{top}; mkdir -p $(dirname {path})");
    if socket.exists() {
        script += &format!("; : > {path}; mount --bind {} {path}", socket.display());
    }
    script += "; exec \"$@\"";
    let mut inner = Command::new("unshare");
    inner
        .args(["--user", "--map-root-user", "--mount"])
        .args(["--propagation", "private"])
        .args(["/bin/sh", "-c", &script, "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .env_remove("RUST_LOG");
    if let Some(directory) = command.get_current_dir() {
        inner.current_dir(directory);
    }
    inner
}

/// The fields of an entry of the journal, as its daemon reads them.
fn fields(mut entry: &[u8]) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_owned()).unwrap();
    while !entry.is_empty() {
        let end = entry.iter().position(|byte| *byte == b'\n').unwrap();
        let (line, rest) = (&entry[..end], &entry[end + 1..]);
        match line.iter().position(|byte| *byte == b'=') {
            Some(equals) => {
                fields.push((text(&line[..equals]), text(&line[equals + 1..])));
                entry = rest;
            }
            None => {
                let (length, rest) = rest.split_at(8);
                let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
                fields.push((text(line), text(&rest[..length])));
                assert_eq!(rest[length], b'\n');
                entry = &rest[length + 1..];
            }
        }
    }
    fields
}

fn state(bundle: &mut Bundle, log: &str, format: &str) -> Command {
    let before = bundle.before.clone();
    bundle
        .before
        .extend([format!("--log={log}"), format!("--log-format={format}")]);
    let command = bundle.command(["state", "nobody"]);
    bundle.before = before;
    command
}

#[test]
fn the_journal_is_told_in_its_own_way() {
    let _leaks = Leaks::watch();
    let journal = Daemon::at(JOURNAL);
    let mut bundle = Bundle::new("journal", "true");
    for (log, name) in [("journald:web", "web"), ("journald:", "crabcan")] {
        for format in ["text", "json"] {
            let outcome = run(&mut journal.seen_by(&state(&mut bundle, log, format)));
            let told = outcome.failure(1);
            let fields = fields(&journal.packet());
            let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["PRIORITY", "SYSLOG_IDENTIFIER", "ID", "MESSAGE"]);
            let values: Vec<&str> = fields.iter().map(|(_, value)| value.as_str()).collect();
            assert_eq!(values[..3], ["3", name, name]);
            match format {
                "json" => {
                    let object: Value = serde_json::from_str(values[3]).unwrap();
                    assert_eq!(object["msg"], told);
                }
                _ => assert_eq!(values[3], told),
            }
        }
    }
}

/// What is longer than a packet can be arrives too.
#[test]
fn the_journal_reads_a_long_entry_from_a_file() {
    let _leaks = Leaks::watch();
    let journal = Daemon::at(JOURNAL);
    let mut bundle = Bundle::new("journal-long", "true");
    let long = "L".repeat(1 << 20);
    bundle.config["process"]["rlimits"] = json!([{"type": long, "soft": 1, "hard": 1}]);
    bundle.before.push("--log=journald:web".into());
    let command = bundle.command(["run", "one"]);
    let outcome = run(&mut journal.seen_by(&command));
    assert_eq!(outcome.code(), 1);
    assert!(outcome.stderr.contains(&long));

    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 1];
    let mut packet = [IoSliceMut::new(&mut bytes)];
    let received = recvmsg(
        &journal.socket,
        &mut packet,
        &mut ancillary,
        RecvFlags::empty(),
    );
    assert_eq!(received.unwrap().bytes, 0);
    let Some(RecvAncillaryMessage::ScmRights(mut files)) = ancillary.drain().next() else {
        panic!("no file");
    };
    let file = files.next().unwrap();
    let all = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    assert_eq!(fcntl_get_seals(&file).unwrap(), all);
    let mut entry = Vec::new();
    let mut file = std::fs::File::from(file);
    std::io::Seek::rewind(&mut file).unwrap();
    file.read_to_end(&mut entry).unwrap();
    let (name, message) = fields(&entry).pop().unwrap();
    assert_eq!(name, "MESSAGE");
    assert!(message.contains(&long));
}

#[test]
fn syslog_is_told_in_its_own_way() {
    let _leaks = Leaks::watch();
    let syslog = Daemon::at(SYSLOG);
    let mut bundle = Bundle::new("syslog", "true");
    for (log, name) in [("syslog:web", "web"), ("syslog:", "crabcan")] {
        let outcome = run(&mut syslog.seen_by(&state(&mut bundle, log, "text")));
        let told = outcome.failure(1);
        let packet = String::from_utf8(syslog.packet()).unwrap();
        assert_eq!(packet, format!("<11>{name}: {told}"));
    }
}

/// Where nobody listens nothing is done: what is to be logged would be lost.
#[test]
fn without_a_daemon_there_is_an_error() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("no-daemon", "true");
    let written = bundle.directory.path().join("other.json");
    for (log, path) in [("journald:web", JOURNAL), ("syslog:web", SYSLOG)] {
        bundle.before.push(format!("--log={log}"));
        let command = bundle.command(["spec", "--file", "other.json"]);
        bundle.before.pop();
        let nobodys = TempDir::new("nobodys");
        let absent = run(&mut among(&nobodys, path, &command));
        drop(UnixDatagram::bind(nobodys.path().join("socket")).unwrap());
        let silent = run(&mut among(&nobodys, path, &command));
        for (outcome, errno) in [(absent, "ENOENT"), (silent, "ECONNREFUSED")] {
            let told = outcome.failure(1);
            let named = told.contains(&format!("--log: connect to {path}: "));
            assert!(named && told.contains(errno), "{told}");
            assert!(!written.exists());
        }
        run(&mut Daemon::at(path).seen_by(&command)).success();
        std::fs::remove_file(&written).unwrap();
    }
}
