//! Detached mounts, which take `CAP_SYS_ADMIN` on the host: the parent's part for a root.
//!
//! Each test makes itself a private mount namespace, so that nothing appears on the host.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may end by a panic"
)]

mod harness;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crabcan_init::PlanWriter;
use crabcan_rootfs::{
    Bind, Error, MountAttributes, Propagation, Root, Target, detached_tree, pivot,
};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, MoveMountFlags};

/// A user namespace with a map, held by a process that waits for us.
struct UserNamespace {
    holder: Child,
    fd: OwnedFd,
}

impl UserNamespace {
    fn new(map: &str) -> Self {
        let mut holder = Command::new("unshare")
            .args(["--user", "sh", "-c", "echo made; read _"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut made = [0; 5];
        holder
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut made)
            .unwrap();
        let process = PathBuf::from(format!("/proc/{}", holder.id()));
        for file in ["uid_map", "gid_map"] {
            fs::write(process.join(file), map).unwrap();
        }
        let fd = File::open(process.join("ns/user")).unwrap().into();
        Self { holder, fd }
    }
}

impl Drop for UserNamespace {
    fn drop(&mut self) {
        let _ = self.holder.stdin.take().unwrap().write_all(b"\n");
        let _ = self.holder.wait();
    }
}

/// A directory with a file of root's, in a mount namespace of this thread's own.
struct Private(PathBuf);

impl Private {
    fn new(parent: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private).unwrap();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("crabcan-detached-{}-{count}", std::process::id());
        let path = Path::new(parent).join(name);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("file"), "text").unwrap();
        Self(path)
    }

    fn mount(&self, fstype: &str, name: &str) -> PathBuf {
        let place = self.0.join(name);
        fs::create_dir(&place).unwrap();
        let flags = MountFlags::empty();
        rustix::mount::mount("none", &place, fstype, flags, None).unwrap();
        place
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // What is mounted in it goes with the namespace, but would be in the way here.
        for name in ["tmpfs", "proc", "inner"] {
            let flags = rustix::mount::UnmountFlags::DETACH;
            let _ = rustix::mount::unmount(self.0.join(name), flags);
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open(tree: &OwnedFd, path: &str, flags: OFlags) -> std::io::Result<File> {
    let mode = Mode::from(0o644);
    let file = rustix::fs::openat(tree, path, flags | OFlags::CLOEXEC, mode)?;
    Ok(file.into())
}

fn owner(tree: &OwnedFd, path: &str) -> u32 {
    let file = open(tree, path, OFlags::PATH).unwrap();
    file.metadata().unwrap().uid()
}

/// The version of the running kernel.
fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map(|part| part.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// The attributes that statx(2) and statvfs(3) know, as mountinfo shows them.
fn shown_options(place: &Path) -> String {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let place = place.to_str().unwrap();
    let line = mounts
        .lines()
        .find(|line| line.split(' ').nth(4) == Some(place))
        .unwrap();
    let fields: Vec<_> = line.split(' ').collect();
    // The optional field that follows would say `shared:N`.
    format!("{} {}", fields[5], fields[6])
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn owners_are_mapped_on_the_disk_and_in_memory() {
    let scratch = Private::new("/var/tmp");
    let tmpfs = scratch.mount("tmpfs", "tmpfs");
    fs::write(tmpfs.join("file"), "").unwrap();
    let namespace = UserNamespace::new("0 100000 1000");
    let map = Some(namespace.fd.as_fd());
    let tree = detached_tree(&scratch.0, false, MountAttributes::NONE, map).unwrap();
    assert_eq!(owner(&tree, "file"), 100_000);
    assert_eq!(fs::metadata(scratch.0.join("file")).unwrap().uid(), 0);

    let alone = detached_tree(&tmpfs, false, MountAttributes::NONE, map);
    let below = detached_tree(&scratch.0, true, MountAttributes::RDONLY, map);
    if kernel() < (6, 3) {
        for refusal in [alone.unwrap_err(), below.unwrap_err()] {
            let named = matches!(&refusal, Error::IdMapUnsupported { path, fstype, .. }
                if *path == tmpfs && fstype == "tmpfs");
            assert!(named, "{refusal:?}");
        }
        return;
    }
    assert_eq!(owner(&alone.unwrap(), "file"), 100_000);
    assert_eq!(fs::metadata(tmpfs.join("file")).unwrap().uid(), 0);
    let tree = below.unwrap();
    assert_eq!(owner(&tree, "tmpfs/file"), 100_000);
    let error = open(&tree, "tmpfs/new", OFlags::CREATE | OFlags::WRONLY).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(30), "EROFS");
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_file_system_that_can_not_map_is_named() {
    let scratch = Private::new("/var/tmp");
    let proc = scratch.mount("proc", "proc");
    let namespace = UserNamespace::new("0 100000 1000");
    let map = |source: &Path, recursive| {
        let fd = namespace.fd.as_fd();
        detached_tree(source, recursive, MountAttributes::NONE, Some(fd))
    };
    // The source itself, a directory in its file system, and a mount below the source.
    for (source, recursive, culprit) in [
        (&proc, false, &proc),
        (
            &proc.join("self"),
            true,
            &fs::canonicalize(proc.join("self")).unwrap(),
        ),
        (&scratch.0, true, &proc),
    ] {
        let error = map(source, recursive).unwrap_err();
        assert!(matches!(error, Error::IdMapUnsupported { .. }), "{error:?}");
        let culprit = culprit.display();
        let text = format!("the file system proc of {culprit} does not support id-mapped mounts");
        assert_eq!(error.to_string(), text);
    }
    // Without the mount below it, the disk maps.
    map(&scratch.0, false).unwrap();
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_copy_is_private_and_has_its_attributes() {
    let scratch = Private::new("/var/tmp");
    let tmpfs = scratch.mount("tmpfs", "tmpfs");
    rustix::mount::mount_change(&tmpfs, MountPropagationFlags::SHARED).unwrap();
    let attributes = MountAttributes::RDONLY | MountAttributes::NOEXEC | MountAttributes::NOATIME;
    let tree = detached_tree(&tmpfs, false, attributes, None).unwrap();
    let stat = rustix::fs::statx(&tree, c"", AtFlags::EMPTY_PATH, StatxFlags::TYPE).unwrap();
    assert_eq!(u32::from(stat.stx_mode) & 0o170_000, 0o040_000);
    let inner = scratch.0.join("inner");
    fs::create_dir(&inner).unwrap();
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(&tree, "", CWD, &inner, flags).unwrap();
    assert_eq!(shown_options(&inner), "ro,noexec,noatime -");
    assert!(shown_options(&tmpfs).contains(" shared:"));
    let flags = rustix::io::fcntl_getfd(&tree).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn errors_name_the_path() {
    let copy = |path: &str| detached_tree(Path::new(path), true, MountAttributes::NONE, None);
    let error = copy("/not/there").unwrap_err();
    assert_eq!(error.to_string(), "copy the mount of /not/there");
    assert!(matches!(error, Error::OpenTree { .. }));
    // A namespace that is not a user namespace.
    let scratch = Private::new("/var/tmp");
    let net = File::open("/proc/self/ns/net").unwrap();
    let none = MountAttributes::NONE;
    let error = detached_tree(&scratch.0, false, none, Some(net.as_fd())).unwrap_err();
    assert!(matches!(error, Error::IdMap { .. }), "{error:?}");
}

/// What a root's sandbox does: the parent, which may, maps the ids; init, which may not, mounts.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn init_takes_mapped_mounts_that_the_parent_sends() {
    let scratch = Private::new("/var/tmp");
    let source = scratch.0.join("source");
    fs::create_dir(&source).unwrap();
    chown(&source, Some(5000), Some(5000)).unwrap();
    // The user that owns the files is the container's root.
    let namespace = UserNamespace::new("5000 0 1");
    let attributes = MountAttributes::NOSUID;
    let mount = detached_tree(&source, false, attributes, Some(namespace.fd.as_fd())).unwrap();
    let mut plan = PlanWriter::new();
    Propagation::Private.push(&mut plan).unwrap();
    let root = Root::Directory {
        source: "/".into(),
        received: false,
        recursive: true,
        in_place: false,
        attributes: MountAttributes::RDONLY,
    };
    root.push(&mut plan).unwrap();
    let bind = Bind::new(&source, Target::new("/srv")).received();
    bind.push(&mut plan).unwrap();
    pivot::push_pivot(&mut plan).unwrap();
    let script = "stat -c %u:%g /srv; echo > /srv/made; stat -c %u:%g /srv/made";
    let printed = harness::run_sending(plan, script, &[mount]).unwrap();
    assert_eq!(printed, "0:0\n0:0\n");
    let made = fs::metadata(source.join("made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (5000, 5000));
}

/// A directory that belongs to somebody else, under an overlay (id-mapped layers: Linux 5.19).
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn an_overlay_takes_a_mapped_directory_below() {
    let scratch = Private::new("/var/tmp");
    let lower = harness::small_root(&scratch.0);
    fs::write(lower.join("file"), "below").unwrap();
    for path in ["", "file"] {
        chown(lower.join(path), Some(5000), Some(5000)).unwrap();
    }
    let namespace = UserNamespace::new("5000 0 1");
    let none = MountAttributes::NONE;
    let mount = detached_tree(&lower, true, none, Some(namespace.fd.as_fd())).unwrap();
    let mut plan = PlanWriter::new();
    Propagation::Private.push(&mut plan).unwrap();
    let root = Root::Overlay {
        lower: lower.clone(),
        received: true,
        attributes: none,
    };
    root.push(&mut plan).unwrap();
    harness::programs(&mut plan);
    pivot::push_pivot(&mut plan).unwrap();
    let script = "stat -c %u:%g /file; echo above > /file; cat /file";
    let printed = harness::run_sending(plan, script, &[mount]).unwrap();
    assert_eq!(printed, "0:0\nabove\n");
    assert_eq!(fs::read_to_string(lower.join("file")).unwrap(), "below");
}
