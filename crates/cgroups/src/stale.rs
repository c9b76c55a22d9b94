//! Cgroups whose maker was killed before it could remove them.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::directory::Directory;
use crate::path::UNIQUE;
use crate::{Cgroup, Error, Hierarchy, Place};

/// How many are looked at: a start must not take longer because a thousand containers run.
const AT_MOST: usize = 32;

impl Cgroup {
    /// Marks it as in use for as long as this value lives, however this process ends: what
    /// [`remove_stale`] does not touch.
    ///
    /// # Errors
    /// [`Error::InUse`] when another process has marked it, or has removed it as stale just before.
    pub fn mark_in_use(&self) -> Result<(), Error> {
        for member in &self.members {
            if !member.directory.lock() || !member.directory.is_linked() {
                return Err(Error::InUse {
                    cgroup: member.path(),
                    state: "is marked by another process",
                });
            }
        }
        Ok(())
    }
}

/// Removes empty cgroups with names of [`CgroupPath::unique`](crate::CgroupPath::unique), beside the
/// place of a new one, whose makers are gone. What is in use or can't be removed stays.
pub fn remove_stale(hierarchy: &Hierarchy, place: &Place) {
    for part in &place.parts {
        let Ok(tree) = hierarchy.tree_of(part) else {
            continue;
        };
        let Some(above) = part.path.parent() else {
            continue;
        };
        let opened = tree
            .open()
            .ok()
            .zip(tree.below(above).ok())
            .and_then(|(root, below)| root.open(&below).ok());
        if let Some(parent) = opened {
            remove_stale_in(&parent);
        }
    }
}

fn remove_stale_in(parent: &Directory) {
    let unique = |name: &&std::path::PathBuf| {
        let bytes = name.as_os_str().as_bytes();
        let digits = bytes.strip_prefix(UNIQUE.as_bytes());
        digits.is_some_and(|digits| digits.len() == 16 && digits.iter().all(u8::is_ascii_hexdigit))
    };
    let names = parent.children().unwrap_or_default();
    for name in names.iter().filter(unique).take(AT_MOST) {
        let Ok(directory) = parent.open(name) else {
            continue;
        };
        // Its maker holds the lock for as long as it lives, and no longer.
        if directory.lock() && remove_with_children(parent, name, &directory).is_ok() {
            log::debug!("removed {}, left behind", directory.path().display());
        }
    }
}

/// The kernel refuses to remove one with processes in it.
fn remove_with_children(
    parent: &Directory,
    name: &Path,
    directory: &Directory,
) -> std::io::Result<()> {
    for child in directory.children()? {
        let inner = directory.open(&child)?;
        remove_with_children(directory, &child, &inner)?;
    }
    parent.remove(name).map(drop)
}
