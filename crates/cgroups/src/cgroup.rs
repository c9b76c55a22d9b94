//! A cgroup: one directory in each tree that it is in.

mod descent;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use self::descent::{descend, split};
use crate::directory::Directory;
use crate::hierarchy::Place;
use crate::home::Home;
use crate::{Controller, Controllers, Error, Hierarchy};

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

    /// One of a test's, which stays when it is dropped.
    #[cfg(test)]
    pub(crate) fn of_members(members: Vec<Member>) -> Self {
        Self {
            members,
            place: Place { parts: Vec::new() },
            removed_on_drop: false,
        }
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
