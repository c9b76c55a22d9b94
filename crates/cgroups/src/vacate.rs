//! The rule of cgroup v2 that a cgroup has processes or hands on controllers, never both.

use std::io;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::directory::Directory;
use crate::hierarchy::Tree;

/// The cgroup into which the processes of a delegated cgroup are moved, so that it can be divided.
const ASIDE: &str = "crabcan-aside";

/// The nearest cgroup from that of this process upwards that can have children with limits: one
/// that is marked as delegated, or one without processes of its own. Where there is none that this
/// user may divide, the cgroup of this process, for the kernel to say no.
pub(crate) fn usable_ancestor(tree: &Tree) -> Result<PathBuf, Error> {
    let root = tree.open()?;
    let mut cgroup = tree.own.clone();
    if cgroup.file_name().is_some_and(|name| name == ASIDE) {
        // Where an earlier call has moved this process.
        cgroup.pop();
        return Ok(cgroup);
    }
    let mut with_processes = None;
    loop {
        let below = tree.below(&cgroup)?;
        let directory = root.open(&below).map_err(|source| Error::Open {
            cgroup: tree.point.join(&below),
            source,
        })?;
        if !may_divide(&directory) {
            break;
        }
        if is_free(&directory)? || directory.is_marked_delegated() {
            return Ok(cgroup);
        }
        if with_processes.is_none() {
            with_processes = Some(cgroup.clone());
        }
        if cgroup == tree.root || !cgroup.pop() {
            break;
        }
    }
    Ok(with_processes.unwrap_or_else(|| tree.own.clone()))
}

/// Whether it can hand on controllers as it is: the root of all, a cgroup that does already, or one
/// without processes.
fn is_free(directory: &Directory) -> Result<bool, Error> {
    if !directory.has("cgroup.events") {
        return Ok(true);
    }
    let read = |file: &str| {
        directory.read(file).map_err(|source| Error::Read {
            path: directory.file(file),
            source,
        })
    };
    Ok(!read("cgroup.subtree_control")?.trim().is_empty()
        || read("cgroup.procs")?.trim().is_empty())
}

/// Whether this user can make children in it: root, or whom it belongs to.
fn may_divide(directory: &Directory) -> bool {
    let user = rustix::process::geteuid().as_raw();
    user == 0 || directory.owner().is_ok_and(|owner| owner == user)
}

/// Whether its processes may be moved aside: it was delegated to this user, or is all of the
/// hierarchy that there is to be seen, as in a container.
pub(crate) fn may_vacate(directory: &Directory, top: bool) -> bool {
    let user = rustix::process::geteuid().as_raw();
    may_divide(directory) && (user != 0 || top || directory.is_marked_delegated())
}

/// Moves the processes of a cgroup into a child of it.
pub(crate) fn vacate(directory: &Directory) -> io::Result<()> {
    // A process may fork meanwhile; one that always does is not waited for.
    const ROUNDS: usize = 16;
    directory.make(Path::new(ASIDE))?;
    let aside = directory.open(Path::new(ASIDE))?;
    for _ in 0..ROUNDS {
        let processes = directory.processes()?;
        if processes.is_empty() {
            return Ok(());
        }
        for process in processes {
            match aside.write("cgroup.procs", &process.to_string()) {
                // It has ended.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                other => other?,
            }
        }
    }
    Err(io::Error::from_raw_os_error(libc::EBUSY))
}
