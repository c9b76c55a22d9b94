//! Directories to be the root of a sandbox.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::Uid;

use super::TempDir;

/// The directories with dynamic libraries that this machine has.
pub(crate) fn libraries() -> Vec<&'static str> {
    let directories = ["/lib64", "/lib"].into_iter();
    directories
        .filter(|path| Path::new(path).is_dir())
        .collect()
}

/// The options that show the host's programs and their libraries in a root that has none.
pub(crate) fn host_programs() -> Vec<String> {
    let mut options = Vec::new();
    for directory in ["/usr", "/bin"].into_iter().chain(libraries()) {
        let target = Path::new(directory).canonicalize().expect("it is there");
        let text = target.to_str().expect("a plain name");
        match target == Path::new(directory) {
            true => options.extend(["--ro-bind", directory, directory].map(String::from)),
            false => options.extend(["--symlink", text, directory].map(String::from)),
        }
    }
    options
}

/// Whether several lower layers can be named, one by one.
pub(crate) fn has_lower_layers() -> bool {
    let release =
        fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel says its release");
    let mut numbers = release
        .split('.')
        .map(|part| part.parse::<u32>().expect("the kernel says its release"));
    (
        numbers.next().expect("the kernel says its release"),
        numbers.next().expect("the kernel says its release"),
    ) >= (6, 5)
}

/// The tutorial's root: a directory with `bash` in it, and the options that make its libraries
/// reachable.
pub(crate) struct BashRoot {
    pub(crate) above: TempDir,
    /// What `--add` is given: the libraries' directories.
    pub(crate) added: Vec<String>,
    pub(crate) options: Vec<String>,
}

impl BashRoot {
    /// As in the tutorial: not one mount point is there.
    pub(crate) fn new() -> Self {
        let above = TempDir::new("root");
        above.directory("mountdir");
        fs::copy("/bin/bash", above.path().join("mountdir/bash")).expect("there is a bash");
        let mut added = Vec::new();
        let copies = root_is_an_overlay() && Uid::effective().is_root();
        for library in libraries() {
            let source = if copies {
                copy_libraries(&above, library)
            } else {
                library.to_owned()
            };
            added.push(format!("{source}:{library}"));
        }
        let mut options = vec!["--mount".to_owned(), "./mountdir/".to_owned()];
        options.extend(
            added
                .iter()
                .flat_map(|pair| ["--add", pair].map(str::to_owned)),
        );
        Self {
            above,
            added,
            options,
        }
    }

    /// With every mount point, so that it is written through.
    pub(crate) fn with_mount_points() -> Self {
        let root = Self::new();
        for name in ["/proc", "/dev"].into_iter().chain(libraries()) {
            root.above.directory(&format!("mountdir{name}"));
        }
        root
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.above.path().join("mountdir")
    }
}

/// What root adds is id-mapped, which an overlay does not support; it is the root in other
/// programs' containers, and in the virtual machine of the tests.
fn root_is_an_overlay() -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("proc is mounted");
    let mut types = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        (fields.next() == Some("/")).then(|| fields.next())?
    });
    // What was mounted last covers the others.
    types.next_back() == Some("overlay")
}

/// Copies what bash needs of a directory with libraries; returns where to.
fn copy_libraries(above: &TempDir, library: &str) -> String {
    let ldd = Command::new("ldd").arg("/bin/bash").output();
    let needed = String::from_utf8(ldd.expect("there is an ldd").stdout).expect("paths");
    let mut paths = needed.split_whitespace();
    while let Some(path) = paths.find(|word| word.starts_with(&format!("{library}/"))) {
        let copy = above.path().join(format!("copies{path}"));
        fs::create_dir_all(copy.parent().expect("a directory")).expect("a directory of our own");
        fs::copy(path, copy).expect("a library that bash has");
    }
    format!("{}/copies{library}", above.text())
}

/// Whether there is a busybox that runs in an empty root.
pub(crate) fn static_busybox() -> Option<PathBuf> {
    let places = ["/bin/busybox", "/usr/bin/busybox"].into_iter();
    places.map(PathBuf::from).find(|path| {
        let bytes = fs::read(path).unwrap_or_default();
        // A program with an interpreter names it near its beginning.
        let start = &bytes[..bytes.len().min(4096)];
        !bytes.is_empty() && !start.windows(4).any(|part| part == b"/ld-")
    })
}

/// Everything below a directory: kind, permissions, owner, size, and when it was last changed.
pub(crate) fn listing(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![directory.to_owned()];
    while let Some(path) = left.pop() {
        let data = path.symlink_metadata().expect("a directory of our own");
        if data.is_dir() {
            let entries = fs::read_dir(&path).expect("a directory of our own");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
        }
        let words = format!(
            "{:?} {:o} {}:{} {} inode {} changed {}.{}/{}.{}",
            data.file_type(),
            data.permissions().mode(),
            data.uid(),
            data.gid(),
            data.size(),
            data.ino(),
            data.mtime(),
            data.mtime_nsec(),
            data.ctime(),
            data.ctime_nsec()
        );
        found.insert(path, words);
    }
    found
}

/// An empty root with the host's programs in it.
pub(crate) fn small() -> Vec<String> {
    let root = ["--tmpfs", "/"].map(String::from);
    root.into_iter().chain(host_programs()).collect()
}
