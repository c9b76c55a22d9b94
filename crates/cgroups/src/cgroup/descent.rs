//! The way down to a cgroup: what is missing is made, and controllers are handed on (v2).

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::Member;
use crate::directory::Directory;
use crate::hierarchy::Tree;
use crate::home::Home;
use crate::{Controller, Controllers, Error, vacate};

/// The directory above a cgroup, beneath the mount point, and its name.
pub(super) fn split(tree: &Tree, cgroup: &Path) -> Result<(PathBuf, PathBuf), Error> {
    let below = tree.below(cgroup)?;
    match (below.parent(), below.file_name()) {
        (Some(above), Some(name)) => Ok((above.to_owned(), name.into())),
        _ => Err(Error::Path {
            path: cgroup.to_owned(),
            reason: "names no cgroup",
        }),
    }
}

/// Walks down to a cgroup, makes what is missing, and enables controllers on the way (v2).
pub(super) fn descend(tree: &Tree, cgroup: &Path, needed: Controllers) -> Result<Member, Error> {
    let (above, name) = split(tree, cgroup)?;
    let mut here = tree.open()?;
    let mut made_above = Vec::new();
    let mut walk = || {
        for step in above.iter() {
            let (next, made) = enter(tree, &here, step, needed)?;
            let behind = std::mem::replace(&mut here, next);
            if made {
                made_above.push((behind, PathBuf::from(step)));
            }
        }
        enter(tree, &here, name.as_os_str(), needed)
    };
    let entered = walk().and_then(|(directory, made)| {
        if !made {
            refuse_used(&directory, tree.is_unified())?;
        }
        Ok(directory)
    });
    match entered {
        Ok(directory) => Ok(Member {
            directory,
            parent: here,
            name,
            made_above,
            home: Home::default(),
            v2: tree.is_unified(),
        }),
        Err(error) => {
            for (parent, name) in made_above.iter().rev() {
                // The first error is the one to be told.
                let _ = parent.remove(name);
            }
            Err(error)
        }
    }
}

/// Goes one step down; whether the directory had to be made.
fn enter(
    tree: &Tree,
    here: &Directory,
    name: &OsStr,
    needed: Controllers,
) -> Result<(Directory, bool), Error> {
    if tree.is_unified() {
        hand_on(tree, here, needed)?;
    }
    let failed = |source| Error::Create {
        cgroup: here.path().join(name),
        source,
    };
    let made = here.make(Path::new(name)).map_err(failed)?;
    let entered = here.open(Path::new(name)).map_err(|source| Error::Open {
        cgroup: here.path().join(name),
        source,
    });
    let ready = entered.and_then(|next| {
        if made && tree.controllers().contains(Controller::Cpuset) {
            inherit_cpuset(tree, here, &next)?;
        }
        Ok((next, made))
    });
    if ready.is_err() && made {
        let _ = here.remove(Path::new(name));
    }
    ready
}

/// Enables controllers for the children of a cgroup of v2.
fn hand_on(tree: &Tree, here: &Directory, needed: Controllers) -> Result<(), Error> {
    const FILE: &str = "cgroup.subtree_control";
    let core = needed
        .iter()
        .filter(|needed| needed.is_core_of_v2())
        .collect();
    let needed = needed.without(core);
    if needed.is_empty() {
        return Ok(());
    }
    let enabled = here.read(FILE).map_err(|source| Error::Read {
        path: here.file(FILE),
        source,
    })?;
    let lacking = needed.without(Controllers::from_names(&enabled));
    if let Some(controller) = lacking.iter().next() {
        make_room(tree, here, controller)?;
    }
    for controller in lacking.iter() {
        let written = here.write(FILE, &format!("+{controller}"));
        written.map_err(|source| not_handed_on(here, controller, source))?;
    }
    Ok(())
}

/// A cgroup with processes of its own can't hand on controllers (v2): they are moved aside, where
/// that may be. Of some, such as pids, the kernel would allow it, and have made of the cgroup the
/// root of a threaded subtree (cgroups(7)), whose children no process can enter.
fn make_room(tree: &Tree, here: &Directory, controller: Controller) -> Result<(), Error> {
    const FILE: &str = "cgroup.subtree_control";
    // The root of all may have both.
    if !here.has("cgroup.events") {
        return Ok(());
    }
    let processes = here.processes().map_err(|source| Error::Read {
        path: here.file("cgroup.procs"),
        source,
    })?;
    if processes.is_empty() {
        return Ok(());
    }
    let top = here.path() == tree.point;
    let moved = match vacate::may_vacate(here, top) {
        true => vacate::vacate(here),
        false => {
            let busy = Err(io::Error::from_raw_os_error(libc::EBUSY));
            here.is_writable(FILE).and(busy)
        }
    };
    moved.map_err(|source| not_handed_on(here, controller, source))
}

fn not_handed_on(here: &Directory, controller: Controller, source: io::Error) -> Error {
    let cgroup = here.path().to_owned();
    match source.raw_os_error() {
        Some(libc::EBUSY) => Error::InternalProcesses { controller, cgroup },
        _ => Error::NotDelegated {
            controller,
            cgroup,
            source,
        },
    }
}

/// A new cgroup of v1's cpuset has no processors, and nothing could join it. Nor could anything where
/// those above have none, which somebody else has made: they get theirs first, as by runc.
fn inherit_cpuset(tree: &Tree, parent: &Directory, child: &Directory) -> Result<(), Error> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let mut value = cpuset(parent, file)?;
        if value.is_empty() {
            value = fill_cpusets(tree, parent, file)?;
        }
        set_cpuset(child, file, value)?;
    }
    Ok(())
}

/// Gives to each cgroup down to this one that has no processors or memory those of the one above
/// it; what this one has then.
fn fill_cpusets(tree: &Tree, last: &Directory, file: &'static str) -> Result<String, Error> {
    let mut here = tree.open()?;
    let mut value = cpuset(&here, file)?;
    let below = last
        .path()
        .strip_prefix(&tree.point)
        .unwrap_or(Path::new(""));
    for step in below {
        here = here.open(Path::new(step)).map_err(|source| Error::Open {
            cgroup: here.path().join(step),
            source,
        })?;
        let own = cpuset(&here, file)?;
        if own.is_empty() {
            set_cpuset(&here, file, value.clone())?;
        } else {
            value = own;
        }
    }
    Ok(value)
}

fn cpuset(cgroup: &Directory, file: &str) -> Result<String, Error> {
    let value = cgroup.read(file).map_err(|source| Error::Read {
        path: cgroup.file(file),
        source,
    })?;
    Ok(value.trim().to_owned())
}

fn set_cpuset(cgroup: &Directory, file: &str, value: String) -> Result<(), Error> {
    cgroup.write(file, &value).map_err(|source| Error::Write {
        controller: Controller::Cpuset,
        path: cgroup.file(file),
        value,
        source,
    })
}

/// A cgroup that exists may only be taken when nothing runs in it, or would be frozen at once.
fn refuse_used(directory: &Directory, v2: bool) -> Result<(), Error> {
    let in_use = |state| {
        Err(Error::InUse {
            cgroup: directory.path().to_owned(),
            state,
        })
    };
    let read = |file: &str| directory.read(file).unwrap_or_default();
    let populated = if v2 {
        read("cgroup.events").contains("populated 1")
    } else {
        !read("cgroup.procs").is_empty()
    };
    if populated {
        return in_use("is not empty");
    }
    let frozen = if v2 {
        read("cgroup.freeze").trim() == "1"
    } else {
        matches!(read("freezer.state").trim(), "FROZEN" | "FREEZING")
    };
    if frozen {
        return in_use("is frozen");
    }
    Ok(())
}
