//! Roots whose owner wants the host's files: no path leads out of them, not even in a race.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crabcan_rootfs::{Error, Kind, RootFd};
use rustix::fs::{CWD, RenameFlags, renameat_with};

/// A root in a directory with a neighbour that nothing may touch.
struct Tree {
    top: PathBuf,
    root: RootFd,
}

impl Tree {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("crabcan-hostile-{}-{count}", std::process::id());
        let top = std::env::temp_dir().join(name);
        fs::create_dir_all(top.join("root/dir")).unwrap();
        fs::create_dir(top.join("outside")).unwrap();
        fs::write(top.join("outside/secret"), "").unwrap();
        fs::write(top.join("root/file"), "").unwrap();
        let root = RootFd::open(top.join("root")).unwrap();
        Self { top, root }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.top.join("root").join(path)
    }

    fn link(&self, text: impl AsRef<Path>, path: &str) {
        symlink(text, self.path(path)).unwrap();
    }

    /// Nothing outside the root but what was there.
    fn is_untouched(&self) -> bool {
        let names = |path: PathBuf| {
            let entries = fs::read_dir(path).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        names(self.top.clone()) == ["outside", "root"]
            && names(self.top.join("outside")) == ["secret"]
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.top);
    }
}

fn errno(error: &Error) -> Option<i32> {
    let source = std::error::Error::source(error)?;
    source.downcast_ref::<std::io::Error>()?.raw_os_error()
}

fn inode(place: OwnedFd) -> u64 {
    File::from(place).metadata().unwrap().ino()
}

#[test]
fn links_and_dots_lead_to_places_in_the_root() {
    let tree = Tree::new();
    let outside = tree.top.join("outside");
    fs::create_dir(tree.path("etc")).unwrap();
    tree.link("/", "slash");
    tree.link("../../../../../..", "up");
    tree.link("b", "a");
    tree.link("c", "b");
    tree.link("/", "c");
    tree.link(&outside, "outside");
    tree.link("/etc", "dir/etc");
    let root = fs::metadata(tree.path("")).unwrap().ino();
    for path in [
        "/",
        "",
        "..",
        "/../..",
        "slash",
        "up",
        "a",
        "a/a/up/slash/..",
        "dir/../../..",
    ] {
        let path = if path.is_empty() { "." } else { path };
        assert_eq!(inode(tree.root.resolve(path).unwrap()), root, "{path}");
    }
    let etc = fs::metadata(tree.path("etc")).unwrap().ino();
    for path in ["/etc", "dir/etc", "a/dir/etc", "up/etc/"] {
        assert_eq!(inode(tree.root.resolve(path).unwrap()), etc, "{path}");
    }
    for path in [
        "outside",
        "outside/secret",
        "up/outside/secret",
        "../outside/secret",
    ] {
        assert_eq!(tree.root.kind(path).unwrap(), None, "{path}");
    }
}

#[test]
fn magic_links_are_refused() {
    let proc = RootFd::open("/proc").unwrap();
    for path in [
        "self/root",
        "self/root/etc",
        "self/cwd",
        "self/fd/0",
        "thread-self/exe",
    ] {
        let error = proc.resolve(path).unwrap_err();
        assert_eq!(errno(&error), Some(40), "{error}: {path}");
        let text = format!("resolve {path} beneath /proc");
        assert_eq!(error.to_string(), text);
    }
    assert_eq!(proc.kind("self").unwrap(), Some(Kind::Directory));
    // A link that merely says so leads to the root's own, empty, /proc.
    let tree = Tree::new();
    tree.link("/proc/self/root", "way-out");
    assert_eq!(tree.root.kind("way-out/etc").unwrap(), None);
}

#[test]
fn kinds_are_told() {
    let tree = Tree::new();
    tree.link("file", "link");
    tree.link("nowhere", "dangling");
    tree.link("loop", "loop");
    tree.link("dir", "way");
    fs::create_dir(tree.path("dir/deep")).unwrap();
    let kind = |path: &str| tree.root.kind(path).unwrap();
    assert_eq!(kind("/"), Some(Kind::Directory));
    assert_eq!(kind("/file"), Some(Kind::File));
    assert_eq!(kind("link"), Some(Kind::File));
    assert_eq!(kind("dangling"), None);
    assert_eq!(kind("way/deep"), Some(Kind::Directory));
    assert_eq!(errno(&tree.root.kind("loop").unwrap_err()), Some(40));
    assert_eq!(errno(&tree.root.kind("file/below").unwrap_err()), Some(20));
    let strict = |path: &str| tree.root.kind_no_symlinks(path);
    assert_eq!(strict("dir/deep").unwrap(), Some(Kind::Directory));
    assert_eq!(strict("link").unwrap(), Some(Kind::Symlink));
    assert_eq!(strict("dangling").unwrap(), Some(Kind::Symlink));
    assert_eq!(strict("missing").unwrap(), None);
    assert_eq!(errno(&strict("way/deep").unwrap_err()), Some(40));
    let null = RootFd::open("/dev").unwrap().kind("null").unwrap();
    assert_eq!(null, Some(Kind::CharacterDevice));
}

#[test]
fn what_is_made_is_made_in_the_root() {
    let tree = Tree::new();
    fs::create_dir(tree.path("real")).unwrap();
    tree.link(tree.top.join("outside"), "absolute");
    tree.link("../outside", "relative");
    tree.link("/real", "inside");
    tree.root.make_directory("/new/deep/er/", 0o700).unwrap();
    assert_eq!(
        fs::metadata(tree.path("new/deep/er")).unwrap().mode() & 0o777,
        0o700
    );
    tree.root.make_directory("/", 0o755).unwrap();
    tree.root
        .make_directory("new//deep/../x/./y", 0o755)
        .unwrap();
    assert!(tree.path("new/x/y").is_dir());
    tree.root.make_file("inside/a/file").unwrap();
    assert!(tree.path("real/a/file").is_file());
    tree.root.make_file("inside/a/file").unwrap();
    tree.root.make_symlink("/text", "../../real/link").unwrap();
    assert_eq!(
        fs::read_link(tree.path("real/link")).unwrap(),
        Path::new("/text")
    );
    for path in ["absolute/x", "relative/x", "absolute", "relative"] {
        let error = tree.root.make_directory(path, 0o755).unwrap_err();
        assert_eq!(errno(&error), Some(2), "{path}: {error}");
    }
    let error = tree.root.make_directory("file/x", 0o755).unwrap_err();
    assert_eq!(errno(&error), Some(20));
    assert!(
        error
            .to_string()
            .starts_with("make the directory file/x beneath ")
    );
    assert_eq!(
        errno(&tree.root.make_directory("file", 0o755).unwrap_err()),
        Some(20)
    );
    assert_eq!(
        errno(&tree.root.make_symlink("x", "file").unwrap_err()),
        Some(17)
    );
    let error = tree.root.make_file("a\0b").unwrap_err();
    assert!(matches!(error, Error::Nul { .. }));
    assert!(tree.is_untouched());
}

#[test]
fn a_root_must_be_a_directory() {
    let tree = Tree::new();
    let path = tree.path("file");
    let error = RootFd::open(&path).unwrap_err();
    assert!(matches!(error, Error::NotDirectory { .. }));
    assert_eq!(
        error.to_string(),
        format!("the root {} is not a directory", path.display())
    );
    let error = RootFd::open(tree.path("missing")).unwrap_err();
    assert!(matches!(error, Error::OpenRoot { .. }));
    assert_eq!(errno(&error), Some(2));
    assert!(RootFd::open(tree.path("file/below")).is_err());
}

#[test]
fn the_root_is_the_descriptors_not_the_paths() {
    let tree = Tree::new();
    fs::rename(tree.path(""), tree.top.join("moved")).unwrap();
    symlink("outside", tree.top.join("root")).unwrap();
    assert_eq!(tree.root.kind("secret").unwrap(), None);
    tree.root.make_directory("made", 0o755).unwrap();
    assert!(tree.top.join("moved/made").is_dir());
    let flags = rustix::io::fcntl_getfd(tree.root.as_fd()).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
}

/// One thread swaps a directory and a link that leads out, another makes things beneath: nothing
/// ever appears outside, and not every try fails.
#[test]
fn a_racer_gets_nothing_outside() {
    let tree = Tree::new();
    tree.link("../../outside", "dir/link");
    fs::create_dir(tree.path("dir/swap")).unwrap();
    let (swap, link) = (tree.path("dir/swap"), tree.path("dir/link"));
    let done = AtomicBool::new(false);
    let (mut made, mut refused, mut opened) = (0, 0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                renameat_with(CWD, &swap, CWD, &link, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let end = Instant::now() + Duration::from_millis(800);
        for number in (0u32..).take_while(|_| Instant::now() < end) {
            let answer = match number % 3 {
                0 => tree
                    .root
                    .make_directory(format!("dir/swap/{number}/x"), 0o755),
                1 => tree.root.make_file(format!("dir/swap/../swap/{number}")),
                _ => tree.root.make_symlink("text", format!("dir/swap/{number}")),
            };
            match answer {
                Ok(()) => made += 1,
                Err(_) => refused += 1,
            }
            opened += u32::from(tree.root.resolve("dir/swap/secret").is_ok());
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(opened, 0, "the secret was opened");
    assert!(tree.is_untouched());
    assert!(
        made > 0 && refused > 0,
        "no race: {made} made, {refused} refused"
    );
}
