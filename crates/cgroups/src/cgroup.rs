//! A cgroup: one directory in each tree that it is in.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::directory::Directory;
use crate::hierarchy::{Place, Tree};
use crate::home::Home;
use crate::{Controller, Controllers, Error, Hierarchy, vacate};

/// How long [`Drop`] waits for a cgroup to become removable.
const DROP_PATIENCE: Duration = Duration::from_millis(500);

/// A cgroup, in every tree that its [`Place`] names.
///
/// One that was made here is removed when it is dropped, if it is empty by then; [`Cgroup::remove`]
/// is the ordinary way, and [`Cgroup::keep`] leaves it to others.
#[derive(Debug)]
#[must_use = "dropping a cgroup that was made removes it"]
pub struct Cgroup {
    pub(crate) members: Vec<Member>,
    place: Place,
    pub(crate) removed_on_drop: bool,
}

/// A cgroup's directory in one tree.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) directory: Directory,
    /// The directory above it, and its name there.
    pub(crate) parent: Directory,
    pub(crate) name: PathBuf,
    /// What was made on the way to it, outermost first: it goes with the cgroup.
    pub(crate) made_above: Vec<(Directory, PathBuf)>,
    /// What is limited here.
    home: Home,
    pub(crate) v2: bool,
}

impl Cgroup {
    /// Makes a cgroup with these controllers, and enables them on the way down (v2). If it exists
    /// already, it is taken, provided that it is empty and not frozen.
    ///
    /// # Errors
    /// [`Error::ControllerMissing`] and [`Error::NotDelegated`] for a controller that can't be had,
    /// [`Error::InternalProcesses`] where the rule of v2 is in the way, [`Error::InUse`] for one that
    /// is not empty, [`Error::Create`] (EACCES without delegation, EROFS), [`Error::Open`] and
    /// [`Error::NotACgroup`]. Nothing that was made remains then.
    pub fn create(
        hierarchy: &Hierarchy,
        place: &Place,
        controllers: Controllers,
    ) -> Result<Self, Error> {
        let mut cgroup = Self {
            members: Vec::new(),
            place: place.clone(),
            removed_on_drop: true,
        };
        let homes = homes(hierarchy, place, controllers)?;
        for (part, home) in place.parts.iter().zip(homes) {
            let tree = hierarchy.tree_of(part)?;
            let needed = home.of(controllers);
            // On an error, dropping what is there already removes it.
            let mut member = descend(tree, &part.path, needed)?;
            member.home = home;
            cgroup.members.push(member);
        }
        Ok(cgroup)
    }

    /// Opens a cgroup that exists; `None` when it is in none of the trees any more. In trees where
    /// it is gone it is left out.
    ///
    /// # Errors
    /// [`Error::NotMounted`] for a tree that is not there, [`Error::Open`], [`Error::NotACgroup`].
    pub fn open(hierarchy: &Hierarchy, place: &Place) -> Result<Option<Self>, Error> {
        let homes = homes(hierarchy, place, Controllers::NONE)?;
        let mut members = Vec::new();
        for (part, home) in place.parts.iter().zip(homes) {
            let tree = hierarchy.tree_of(part)?;
            let (above, name) = split(tree, &part.path)?;
            let failed = |source| Error::Open {
                cgroup: tree.point.join(&above).join(&name),
                source,
            };
            let gone = |error: &io::Error| {
                matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV))
            };
            let opened = tree.open()?.open(&above).and_then(|parent| {
                let directory = parent.open(&name)?;
                Ok((parent, directory))
            });
            match opened {
                Ok((parent, directory)) => members.push(Member {
                    directory,
                    parent,
                    name,
                    made_above: Vec::new(),
                    home,
                    v2: tree.is_unified(),
                }),
                Err(error) if gone(&error) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok((!members.is_empty()).then(|| Self {
            members,
            place: place.clone(),
            removed_on_drop: false,
        }))
    }

    /// Where it is.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Its directory in the tree of v2, for `CLONE_INTO_CGROUP`.
    #[must_use]
    pub fn unified(&self) -> Option<BorrowedFd<'_>> {
        let member = self.members.iter().find(|member| member.v2);
        member.map(|member| member.directory.as_fd())
    }

    /// In how many trees of v1 it is there.
    #[must_use]
    pub fn legacy_trees(&self) -> usize {
        self.members.iter().filter(|member| !member.v2).count()
    }

    /// Its files `tasks` in the trees of v1, open for writing: a process that has one thread writes
    /// `0` to each, which is far quicker than another process writing its pid.
    ///
    /// # Errors
    /// [`Error::Control`] when one can't be opened.
    pub fn task_files(&self) -> Result<Vec<OwnedFd>, Error> {
        let legacy = self.members.iter().filter(|member| !member.v2);
        legacy
            .map(|member| {
                let opened = member.directory.open_for_writing("tasks");
                opened.map_err(|source| Error::Control {
                    path: member.directory.file("tasks"),
                    value: "0".into(),
                    source,
                })
            })
            .collect()
    }

    /// Moves a process into it, with all its threads. On v2 one such move may wait for 10 ms: a new
    /// process is better made inside, see [`Cgroup::unified`] and [`Cgroup::task_files`].
    ///
    /// # Errors
    /// [`Error::Control`]: ESRCH, it has ended; EACCES, not delegated; EBUSY, the cgroup hands on
    /// controllers; ENOSPC, its cpuset is empty.
    pub fn join(&self, pid: i32) -> Result<(), Error> {
        let value = pid.to_string();
        for member in &self.members {
            member.control("cgroup.procs", &value)?;
        }
        Ok(())
    }

    /// Lets go of it: it stays.
    pub fn keep(mut self) {
        self.removed_on_drop = false;
    }

    /// The directory where a controller acts.
    pub(crate) fn home(&self, controller: Controller) -> Option<&Member> {
        let has = |member: &&Member| member.home.has(controller);
        self.members.iter().find(has)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if !self.removed_on_drop {
            return;
        }
        if let Err(error) = self.remove_members(DROP_PATIENCE) {
            log::warn!("{}", chain(&error));
        }
    }
}

pub(crate) fn chain(error: &Error) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

impl Member {
    pub(crate) fn control(&self, file: &str, value: &str) -> Result<(), Error> {
        let written = self.directory.write(file, value);
        written.map_err(|source| Error::Control {
            path: self.directory.file(file),
            value: value.to_owned(),
            source,
        })
    }

    pub(crate) fn read(&self, file: &str) -> Result<String, Error> {
        let read = self.directory.read(file);
        read.map_err(|source| Error::Read {
            path: self.directory.file(file),
            source,
        })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().to_owned()
    }
}

/// Which controllers act in each part of a place; each of those that are needed must be in one.
fn homes(hierarchy: &Hierarchy, place: &Place, needed: Controllers) -> Result<Vec<Home>, Error> {
    let legacy: Controllers = hierarchy
        .legacy()
        .iter()
        .flat_map(|tree| tree.controllers().iter())
        .collect();
    let mut missing = needed;
    let mut homes = Vec::new();
    for part in &place.parts {
        let home = Home::new(hierarchy.tree_of(part)?, legacy);
        if !needed.without(home.known()).is_empty() {
            home.ask()?;
        }
        missing = missing.without(home.of(missing));
        homes.push(home);
    }
    match missing.iter().next() {
        Some(controller) => Err(Error::ControllerMissing { controller }),
        None => Ok(homes),
    }
}

/// The directory above a cgroup, beneath the mount point, and its name.
fn split(tree: &Tree, cgroup: &Path) -> Result<(PathBuf, PathBuf), Error> {
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
fn descend(tree: &Tree, cgroup: &Path, needed: Controllers) -> Result<Member, Error> {
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
            inherit_cpuset(here, &next)?;
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
    for controller in lacking.iter() {
        let value = format!("+{controller}");
        let mut written = here.write(FILE, &value);
        let busy = |answer: &io::Result<()>| {
            let error = answer.as_ref().err().and_then(io::Error::raw_os_error);
            error == Some(libc::EBUSY)
        };
        let top = here.path() == tree.point;
        if busy(&written) && vacate::may_vacate(here, top) {
            written = vacate::vacate(here).and_then(|()| here.write(FILE, &value));
        }
        if busy(&written) {
            return Err(Error::InternalProcesses {
                controller,
                cgroup: here.path().to_owned(),
            });
        }
        written.map_err(|source| Error::NotDelegated {
            controller,
            cgroup: here.path().to_owned(),
            source,
        })?;
    }
    Ok(())
}

/// A new cgroup of v1's cpuset has no processors, and nothing could join it.
fn inherit_cpuset(parent: &Directory, child: &Directory) -> Result<(), Error> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let value = parent.read(file).map_err(|source| Error::Read {
            path: parent.file(file),
            source,
        })?;
        let value = value.trim();
        child.write(file, value).map_err(|source| Error::Write {
            controller: Controller::Cpuset,
            path: child.file(file),
            value: value.to_owned(),
            source,
        })?;
    }
    Ok(())
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
