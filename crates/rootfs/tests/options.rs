//! Mount options in a container: what each is seen to do from inside. Any user can run them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may end by a panic"
)]

mod harness;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crabcan_init::PlanWriter;
use crabcan_rootfs::device::{Node, NodeKind};
use crabcan_rootfs::mask::push_masked;
use crabcan_rootfs::pivot::{push_chroot, push_pivot, push_root_propagation};
use crabcan_rootfs::{
    Bind, MountAttributes, MountOptions, NewMount, Propagation, Remount, Root, Target,
};

use harness::{Scratch, programs, run, small_root};

/// A small root with the host's programs, the first steps of a container of it.
struct Container {
    scratch: Scratch,
    plan: PlanWriter,
}

impl Container {
    fn new() -> Self {
        let scratch = Scratch::new();
        let source = small_root(&scratch.0);
        for name in ["a", "b", "a/sub", "src", "src/sub"] {
            fs::create_dir_all(source.join(name)).unwrap();
        }
        let mut plan = PlanWriter::new();
        Propagation::Slave.push(&mut plan).unwrap();
        let root = Root::Directory {
            source,
            received: false,
            recursive: false,
            in_place: false,
            attributes: MountAttributes::NONE,
        };
        root.push(&mut plan).unwrap();
        programs(&mut plan);
        Self { scratch, plan }
    }

    fn tmpfs(&mut self, target: &str, words: &str) {
        let words = MountOptions::parse(words.split(' '));
        let mount = NewMount::new("tmpfs", Target::new(target).create());
        mount.parsed(&words).push(&mut self.plan).unwrap();
    }

    fn bind(&mut self, source: &str, target: &str, words: &str) {
        let words = MountOptions::parse(words.split(' '));
        let source = self.scratch.join(source);
        let bind = Bind::new(source, Target::new(target).create());
        bind.parsed(&words).push(&mut self.plan).unwrap();
    }

    fn run(mut self, script: &str) -> Result<String, (String, i32)> {
        push_pivot(&mut self.plan).unwrap();
        run(self.plan, script)
    }
}

/// `mountinfo` of a mount point: its options, and how mounts on it spread.
const SHOW: &str = r#"show() { grep -E "^([^ ]+ ){4}$1 " /proc/self/mountinfo | tail -n 1 |
    cut -d' ' -f6,7 | sed 's/:[0-9]*$//'; }; "#;

#[test]
fn attributes_are_set_and_cleared_of_the_top_or_of_all() {
    let mut container = Container::new();
    container.tmpfs("/a", "nosuid nosymfollow strictatime");
    let change = |words: &str| MountOptions::parse(words.split(' '));
    let remount = |words: &str| Remount::parsed("/a", &change(words));
    container.tmpfs("/a/sub", "rw");
    remount("bind remount rro suid symfollow relatime")
        .push(&mut container.plan)
        .unwrap();
    container.tmpfs("/b", "nodev noexec");
    let script = format!("{SHOW} show /a; show /a/sub; show /b");
    let printed = container.run(&script).unwrap();
    assert_eq!(
        printed,
        "ro,relatime -\nro,relatime -\nrw,nodev,noexec,relatime -\n"
    );
}

#[test]
fn the_top_of_a_bound_tree_alone() {
    let mut container = Container::new();
    container.bind("root/src", "/b", "rbind ro nodev");
    let script = format!("{SHOW} show /b; test -w /b || echo refused");
    let printed = container.run(&script).unwrap();
    assert!(printed.starts_with("ro,"), "{printed}");
    assert!(printed.contains(",nodev,"), "{printed}");
    assert!(printed.ends_with("refused\n"), "{printed}");
}

/// What the owner of a mount has decided, a user namespace can't take back: how access times are
/// kept is always among that.
#[test]
fn locked_attributes_are_kept_or_an_error() {
    let mut container = Container::new();
    container.bind("root/src", "/b", "bind noatime");
    assert_eq!(container.run("true"), Err(("Bind".into(), libc::EPERM)));
}

#[test]
fn how_mounts_spread() {
    let mut container = Container::new();
    container.tmpfs("/a", "shared");
    container.tmpfs("/b", "unbindable");
    push_pivot(&mut container.plan).unwrap();
    push_root_propagation(&mut container.plan, Propagation::Shared, false).unwrap();
    let script = format!("{SHOW} show /a; show /b; show /");
    let printed = run(container.plan, &script).unwrap();
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines[0], "rw,relatime shared");
    assert_eq!(lines[1], "rw,relatime unbindable");
    assert!(lines[2].ends_with(" shared"), "{printed}");
}

#[test]
fn a_file_system_is_configured_anew() {
    let mut container = Container::new();
    container.tmpfs("/a", "size=64k");
    let words = MountOptions::parse(["remount", "size=128k", "nosuid"]);
    let remount = Remount::parsed("/a", &words);
    remount.push(&mut container.plan).unwrap();
    let printed = container.run("stat -f -c '%b %S' /a").unwrap();
    assert_eq!(printed, "32 4096\n");
    // Not the top of a mount: what is below it would be changed too.
    let mut container = Container::new();
    let remount = Remount::read_only("/a");
    remount.push(&mut container.plan).unwrap();
    assert_eq!(container.run("true"), Err(("Remount".into(), libc::EINVAL)));
}

#[test]
fn a_tmpfs_begins_with_what_it_covers() {
    let mut container = Container::new();
    let source = container.scratch.join("root/a");
    fs::write(source.join("sub/file"), "text".repeat(50_000)).unwrap();
    fs::set_permissions(source.join("sub/file"), PermissionsExt::from_mode(0o4750)).unwrap();
    fs::set_permissions(source.join("sub"), PermissionsExt::from_mode(0o1700)).unwrap();
    symlink("/usr/../etc/passwd", source.join("link")).unwrap();
    for number in 0..300 {
        fs::write(source.join(format!("many-{number}")), "").unwrap();
    }
    container.tmpfs("/a", "tmpcopyup mode=755");
    let script = "stat -c '%a %s' /a/sub/file; stat -c %a /a/sub; readlink /a/link; \
                  ls /a | grep -c many; stat -f -c %T /a; echo > /a/new";
    let printed = container.run(script).unwrap();
    assert_eq!(
        printed,
        "4750 200000\n1700\n/usr/../etc/passwd\n300\ntmpfs\n"
    );
}

#[test]
fn links_are_copied_bound_or_covered_themselves() {
    let mut container = Container::new();
    let source = container.scratch.join("src");
    fs::create_dir_all(&source).unwrap();
    symlink("/a/target", source.join("link")).unwrap();
    fs::write(source.join("file"), "").unwrap();
    symlink("/a", container.scratch.join("root/covered")).unwrap();
    container.bind("src/link", "/b/copy", "bind copy-symlink");
    container.bind("src/file", "/b/file", "bind copy-symlink");
    container.bind("src/link", "/covered", "bind src-nofollow dest-nofollow");
    let script = "readlink /b/copy /covered; stat -c %F /b/file; ls -A /a";
    let printed = container.run(script).unwrap();
    assert_eq!(printed, "/a/target\n/a/target\nregular empty file\nsub\n");
}

#[test]
fn a_named_pipe_is_made_once() {
    let node = |path: &str| Node {
        path: path.into(),
        kind: NodeKind::Fifo,
        major: 0,
        minor: 0,
        permissions: 0o640,
        uid: 0,
        gid: 0,
    };
    let mut container = Container::new();
    for _ in 0..2 {
        node("/a/new/fifo").push(&mut container.plan).unwrap();
    }
    let printed = container.run("stat -c '%F %a' /a/new/fifo").unwrap();
    assert_eq!(printed, "fifo 640\n");
    // Neither a directory nor a link to the right thing is the right thing.
    let mut container = Container::new();
    symlink("new", container.scratch.join("root/a/link")).unwrap();
    node("/a/new").push(&mut container.plan).unwrap();
    node("/a/link").push(&mut container.plan).unwrap();
    assert_eq!(
        container.run("true"),
        Err(("MakeNode".into(), libc::EEXIST))
    );
}

#[test]
fn a_root_without_a_pivot() {
    let mut container = Container::new();
    push_chroot(&mut container.plan).unwrap();
    let printed = run(
        container.plan,
        "pwd; for x in /src /home /root; do test -e $x && echo $x; done; true",
    )
    .unwrap();
    assert_eq!(printed, "/\n/src\n");
}

#[test]
fn masks_are_copies_of_one_mount() {
    let mut container = Container::new();
    let places = ["/a", "/b", "/proc/kallsyms", "/proc/version", "/src"];
    push_masked(&mut container.plan, places).unwrap();
    let script = "grep -E '^([^ ]+ ){4}/(a|b|src) ' /proc/self/mountinfo | cut -d' ' -f3 | \
                  sort -u | grep -c .; cat /proc/version /proc/kallsyms; \
                  test -w /src || echo read-only";
    let printed = container.run(script).unwrap();
    assert_eq!(printed, "1\nread-only\n");
}
