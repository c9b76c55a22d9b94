//! Id maps: their rules, the kernel's opinion of them, and the helpers. Needs no privilege.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs::{self, File};
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use crabcan_ns::{
    Child, CloneOptions, Error, ExitStatus, IdMap, IdMapWriter, IdRange, Namespace, Namespaces,
    Program, Setgroups, SubordinateIds, clone_program, write_id_maps,
};

fn range(inside: u32, outside: u32, count: u32) -> IdRange {
    IdRange {
        inside,
        outside,
        count,
    }
}

fn reason(ranges: &[IdRange]) -> String {
    match IdMap::new(ranges.iter().copied()) {
        Err(Error::InvalidIdMap { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn ranges_that_touch_are_valid_and_overlapping_ones_are_not() {
    IdMap::new([range(0, 100, 10), range(10, 110, 10)]).unwrap();
    IdMap::new([range(10, 0, 5), range(0, 5, 10)]).unwrap();
    let inside = reason(&[range(5, 100, 10), range(0, 200, 6)]);
    assert_eq!(
        inside,
        r#"the ranges "0 200 6" and "5 100 10" overlap inside"#
    );
    let outside = reason(&[range(0, 100, 10), range(50, 109, 10)]);
    assert_eq!(
        outside,
        r#"the ranges "0 100 10" and "50 109 10" overlap outside"#
    );
    assert!(reason(&[range(3, 9, 1), range(3, 10, 1)]).contains("overlap inside"));
}

#[test]
fn empty_and_overflowing_ranges_are_refused() {
    assert_eq!(reason(&[]), "it has no range");
    assert!(reason(&[range(0, 0, 0)]).contains("is zero"));
    IdMap::new([range(0, 0, u32::MAX)]).unwrap();
    IdMap::single(u32::MAX - 1, u32::MAX - 1).unwrap();
    for invalid in [
        range(1, 0, u32::MAX),
        range(0, 1, u32::MAX),
        range(u32::MAX, 0, 1),
    ] {
        assert!(
            reason(&[invalid]).contains("beyond the last valid id"),
            "{invalid}"
        );
    }
}

#[test]
fn the_number_of_ranges_and_the_text_are_bounded_as_in_the_kernel() {
    let ranges = |count: u32| (0..count).map(|id| range(id, id, 1)).collect::<Vec<_>>();
    IdMap::new(ranges(340)).unwrap();
    assert_eq!(reason(&ranges(341)), "it has 341 ranges, more than 340");
    let long: Vec<_> = (0..340)
        .map(|id| range(id + 4_000_000_000, id + 4_000_000_000, 1))
        .collect();
    let page = rustix::param::page_size();
    assert_eq!(IdMap::new(long).is_err(), 340 * 24 >= page);
}

#[test]
fn the_text_is_the_kernels() {
    let map = IdMap::new([range(0, 1000, 1), range(1, 100_000, 65_536)]).unwrap();
    assert_eq!(map.to_string(), "0 1000 1\n1 100000 65536\n");
    assert_eq!(map.outside(0), Some(1000));
    assert_eq!(map.outside(2), Some(100_001));
    assert_eq!(map.outside(65_536), Some(165_535));
    assert_eq!(map.outside(65_537), None);
}

#[test]
fn subordinate_ids_go_by_name_and_by_number() {
    let file = b"alice:1:2\n\n# note\nb\xffb:x:y\n1000:10:20\nbob:5:6\n alice:4294967294:1 \n";
    let parse = |user, uid| {
        SubordinateIds::parse(&file[..], user, uid)
            .unwrap()
            .ranges()
            .to_vec()
    };
    assert_eq!(
        parse(Some("alice"), 1000),
        [(1, 2), (10, 20), (4_294_967_294, 1)]
    );
    assert_eq!(parse(Some("alice"), 7), [(1, 2), (4_294_967_294, 1)]);
    assert_eq!(parse(None, 1000), [(10, 20)]);
    assert_eq!(parse(Some("nobody"), 65_534), []);
}

#[test]
fn a_broken_line_of_the_user_is_named() {
    for broken in [
        "a:1",
        "a:1:x",
        "a:-1:1",
        "a:4294967295:1",
        "a:1:4294967295",
        "a::",
        "a:1:2:3",
    ] {
        let file = format!("b:1:1\n{broken}\n");
        let error = SubordinateIds::parse(file.as_bytes(), Some("a"), 1).unwrap_err();
        let text = r#"read subordinate ids, line 2: it is not "user:start:count""#;
        assert_eq!(error.to_string(), text);
        SubordinateIds::parse(file.as_bytes(), Some("b"), 1).unwrap();
    }
}

#[test]
fn subordinate_ids_become_ranges() {
    let ids = SubordinateIds::parse(&b"a:100:10\na:500:5\n"[..], Some("a"), 1).unwrap();
    assert_eq!(ids.mapped_from(1), [range(1, 100, 10), range(11, 500, 5)]);
    assert_eq!(ids.mapped_from(u32::MAX - 3), [range(u32::MAX - 3, 100, 3)]);
    assert_eq!(ids.mapped_from(u32::MAX), []);
}

#[test]
fn the_files_of_this_machine_can_be_read() {
    let uid = rustix::process::getuid().as_raw();
    SubordinateIds::uids(None, uid).unwrap();
    SubordinateIds::gids(Some("nobody"), uid).unwrap();
}

/// A shell in a new user namespace that waits for a line, then says who it is.
struct Inside {
    child: Child,
    go_on: PipeWriter,
    answer: PipeReader,
}

impl Inside {
    fn new() -> Self {
        let (answer, answer_writer) = std::io::pipe().unwrap();
        let (wait, go_on) = std::io::pipe().unwrap();
        let executable = File::open("/bin/sh").unwrap();
        let program = Program {
            executable: executable.as_fd(),
            args: &[c"sh", c"-c", c"read x <&3; cat /proc/self/status >&4"],
            env: &[c"PATH=/usr/bin:/bin"],
            descriptors: &[wait.as_fd(), answer_writer.as_fd()],
        };
        let namespaces = Namespaces::new().make(Namespace::User);
        let child = clone_program(&program, &CloneOptions::new(&namespaces)).unwrap();
        Self {
            child,
            go_on,
            answer,
        }
    }

    fn map_file(&self, name: &str) -> Vec<u32> {
        let text = fs::read_to_string(format!("/proc/{}/{name}", self.child.pid())).unwrap();
        text.split_whitespace()
            .map(|number| number.parse().unwrap())
            .collect()
    }

    /// The real uid and gid that the process sees.
    fn ids(mut self) -> (u32, u32) {
        self.go_on.write_all(b"\n").unwrap();
        let mut text = String::new();
        self.answer.read_to_string(&mut text).unwrap();
        assert_eq!(self.child.wait().unwrap(), ExitStatus::Exited(0));
        let id = |name: &str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        (id("Uid:"), id("Gid:"))
    }
}

fn own_ids() -> (u32, u32) {
    (
        rustix::process::getuid().as_raw(),
        rustix::process::getgid().as_raw(),
    )
}

#[test]
fn an_ordinary_user_maps_itself() {
    let (uid, gid) = own_ids();
    let inside = Inside::new();
    let (uids, gids) = (
        IdMap::single(5, uid).unwrap(),
        IdMap::single(6, gid).unwrap(),
    );
    let setgroups = write_id_maps(inside.child.pid(), &uids, &gids, IdMapWriter::Direct).unwrap();
    let privileged = rustix::thread::capabilities(None)
        .unwrap()
        .effective
        .contains(rustix::thread::CapabilitySet::SETGID);
    assert_eq!(setgroups == Setgroups::Allowed, privileged);
    let file = fs::read_to_string(format!("/proc/{}/setgroups", inside.child.pid())).unwrap();
    assert_eq!(file, if privileged { "allow\n" } else { "deny\n" });
    assert_eq!(inside.map_file("uid_map"), [5, uid, 1]);
    assert_eq!(inside.map_file("gid_map"), [6, gid, 1]);
    assert_eq!(inside.ids(), (5, 6));
}

#[test]
fn a_map_is_written_once() {
    let (uid, gid) = own_ids();
    let inside = Inside::new();
    let pid = inside.child.pid();
    let (uids, gids) = (
        IdMap::single(0, uid).unwrap(),
        IdMap::single(0, gid).unwrap(),
    );
    write_id_maps(pid, &uids, &gids, IdMapWriter::Direct).unwrap();
    let error = write_id_maps(pid, &uids, &gids, IdMapWriter::Direct).unwrap_err();
    assert_eq!(error.to_string(), format!("write /proc/{pid}/uid_map"));
    assert_eq!(error.errno(), Some(libc::EPERM));
}

#[test]
fn a_process_that_is_gone_is_named() {
    let mut inside = Inside::new();
    let pid = inside.child.pid();
    inside.child.kill().unwrap();
    inside.child.wait().unwrap();
    let map = IdMap::single(0, 0).unwrap();
    let error = write_id_maps(pid, &map, &map, IdMapWriter::Direct).unwrap_err();
    assert_eq!(error.errno(), Some(libc::ENOENT));
}

/// Set in the processes that [`again`] starts: the tests that need it do nothing without.
const AGAIN: &str = "CRABCAN_TEST_IDMAP_AGAIN";

/// Runs the named test below in another process, with `PATH` as given.
fn again(test: &str, path: &str, ignore_children: bool) {
    let mut command = if ignore_children {
        let mut command = Command::new("/usr/bin/env");
        command.arg("--ignore-signal=CHLD");
        command.arg(std::env::current_exe().unwrap());
        command
    } else {
        Command::new(std::env::current_exe().unwrap())
    };
    command
        .args([test, "--exact"])
        .env("PATH", path)
        .env(AGAIN, "1");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

fn is_again() -> bool {
    std::env::var_os(AGAIN).is_some()
}

/// A directory with stand-ins for the helpers.
struct Helpers(PathBuf);

impl Helpers {
    fn new(name: &str, uid_script: &str, gid_script: &str) -> Self {
        let name = format!("crabcan-idmap-{}-{name}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        for (program, script) in [("newuidmap", uid_script), ("newgidmap", gid_script)] {
            let path = directory.join(program);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self(directory)
    }

    fn path(&self) -> String {
        format!("{}:/usr/bin:/bin", self.0.display())
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn working_helpers(name: &str) -> Helpers {
    Helpers::new(
        name,
        "echo $2 $3 $4 > /proc/$1/uid_map",
        "echo deny > /proc/$1/setgroups; echo $2 $3 $4 > /proc/$1/gid_map",
    )
}

#[test]
fn helpers_write_the_maps() {
    again(
        "with_working_helpers",
        &working_helpers("works").path(),
        false,
    );
}

#[test]
fn helpers_write_the_maps_where_children_are_reaped_by_the_kernel() {
    again(
        "with_working_helpers",
        &working_helpers("ignored").path(),
        true,
    );
}

#[test]
fn a_refusing_helper_is_quoted() {
    let helpers = Helpers::new("refuses", "echo not allowed >&2; exit 1", "exit 0");
    again("with_refusing_helper", &helpers.path(), false);
    again("with_refusing_helper", &helpers.path(), true);
}

#[test]
fn a_missing_helper_is_named() {
    again("with_missing_helper", "/nonexistent", false);
}

#[test]
fn with_working_helpers() {
    if !is_again() {
        return;
    }
    let (uid, gid) = own_ids();
    let inside = Inside::new();
    let (uids, gids) = (
        IdMap::single(7, uid).unwrap(),
        IdMap::single(8, gid).unwrap(),
    );
    let setgroups = write_id_maps(inside.child.pid(), &uids, &gids, IdMapWriter::Helpers);
    assert_eq!(setgroups.unwrap(), Setgroups::Denied);
    assert_eq!(inside.map_file("uid_map"), [7, uid, 1]);
    assert_eq!(inside.map_file("gid_map"), [8, gid, 1]);
}

fn refused() -> Error {
    let (uid, gid) = own_ids();
    let inside = Inside::new();
    let uids = IdMap::new([range(0, uid, 1), range(1, 100_000, 65_536)]).unwrap();
    let gids = IdMap::single(0, gid).unwrap();
    write_id_maps(inside.child.pid(), &uids, &gids, IdMapWriter::Helpers).unwrap_err()
}

#[test]
fn with_refusing_helper() {
    if !is_again() {
        return;
    }
    let (uid, _) = own_ids();
    let expected = format!(
        "write an id map with newuidmap: it says \"not allowed\" \
         (needed in /etc/subuid: {uid}:100000:65536)"
    );
    assert_eq!(refused().to_string(), expected);
}

#[test]
fn with_missing_helper() {
    if !is_again() {
        return;
    }
    let error = refused();
    let Error::IdMapHelper {
        program: "newuidmap",
        source: Some(_),
        ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(error.errno(), Some(libc::ENOENT));
}
