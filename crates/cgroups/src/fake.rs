//! Cgroups of plain files, for what a kernel does only now and then, and what this machine's layout
//! of cgroups has not.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use crate::cgroup::Member;
use crate::directory::Directory;
use crate::home::Home;
use crate::{Cgroup, Controllers};

/// A directory that looks like a cgroup, and is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Fake {
    above: PathBuf,
    path: PathBuf,
}

impl Fake {
    pub(crate) fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let name = format!("crabcan-fake-{name}-{}", std::process::id());
        let above = std::env::temp_dir().join(name);
        let path = above.join("one");
        fs::create_dir_all(&path).unwrap();
        let fake = Self { above, path };
        for (file, text) in files {
            fake.write(file, text);
        }
        fake
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self.path.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path.join(file)).unwrap()
    }

    /// A cgroup in one tree, which has every controller.
    pub(crate) fn cgroup(&self, v2: bool) -> Cgroup {
        let open = |path: &Path| Directory::plain(path).unwrap();
        let member = Member {
            directory: open(&self.path),
            parent: open(&self.above),
            name: "one".into(),
            made_above: Vec::new(),
            home: Home::with(Controllers::ALL),
            v2,
        };
        Cgroup::of_members(vec![member])
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.above);
    }
}
