//! Directories to be the root of a sandbox.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::TempDir;

/// The directories with dynamic libraries that this machine has.
pub(crate) fn libraries() -> Vec<&'static str> {
    let directories = ["/lib64", "/lib"].into_iter();
    directories
        .filter(|path| Path::new(path).is_dir())
        .collect()
}

/// The tutorial's root: a directory with `bash` in it, and the options that make its libraries
/// reachable.
pub(crate) struct BashRoot {
    pub(crate) above: TempDir,
    pub(crate) options: Vec<String>,
}

impl BashRoot {
    /// As in the tutorial: not one mount point is there.
    pub(crate) fn new() -> Self {
        let above = TempDir::new("root");
        above.directory("mountdir");
        fs::copy("/bin/bash", above.path().join("mountdir/bash")).expect("there is a bash");
        let mut options = vec!["--mount".to_owned(), "./mountdir/".to_owned()];
        for library in libraries() {
            options.extend(["--add".to_owned(), format!("{library}:{library}")]);
        }
        Self { above, options }
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
