//! What a cgroup could not have, asked before anything is made.

use std::io;
use std::path::PathBuf;

use crate::directory::Directory;
use crate::hierarchy::{Place, Tree};
use crate::{Controller, Controllers, Error, Hierarchy, vacate};

impl Hierarchy {
    /// Why controllers can't be had at a place, one error for each that can't: nothing is made, and
    /// none means that [`Cgroup::create`](crate::Cgroup::create) will do unless something changes
    /// meanwhile.
    #[must_use]
    pub fn lacking(&self, place: &Place, controllers: Controllers) -> Vec<Error> {
        let lacks = |controller| self.check(place, controller).err();
        controllers.iter().filter_map(lacks).collect()
    }

    fn check(&self, place: &Place, controller: Controller) -> Result<(), Error> {
        for part in &place.parts {
            let tree = self.tree_of(part)?;
            if tree.is_unified() || !tree.controllers().contains(controller) {
                continue;
            }
            return Walk::new(tree, controller, &part.path)?.walk();
        }
        let legacy = self
            .legacy()
            .iter()
            .any(|tree| tree.controllers().contains(controller));
        let part = place.parts.iter().find(|part| part.legacy.is_none());
        let Some(part) = part.filter(|_| !legacy) else {
            return Err(Error::ControllerMissing { controller });
        };
        let tree = self.tree_of(part)?;
        let walk = Walk::new(tree, controller, &part.path)?;
        if !controller.is_core_of_v2() {
            let offered = tree.offered(&walk.here)?;
            if !offered.contains(controller) {
                return Err(Error::ControllerMissing { controller });
            }
        }
        walk.walk()
    }
}

/// The way down to where a cgroup will be.
struct Walk<'a> {
    tree: &'a Tree,
    controller: Controller,
    here: Directory,
    above: PathBuf,
}

impl<'a> Walk<'a> {
    fn new(
        tree: &'a Tree,
        controller: Controller,
        cgroup: &std::path::Path,
    ) -> Result<Self, Error> {
        let mut above = tree.below(cgroup)?;
        above.pop();
        Ok(Self {
            tree,
            controller,
            here: tree.open()?,
            above,
        })
    }

    /// Each directory that is there must hand the controller on; in the last one something will be
    /// made.
    fn walk(mut self) -> Result<(), Error> {
        let above = std::mem::take(&mut self.above);
        for step in above.iter() {
            self.may_hand_on()?;
            match self.here.open(step.as_ref()) {
                Ok(next) => self.here = next,
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => break,
                Err(source) => {
                    return Err(Error::Open {
                        cgroup: self.here.path().join(step),
                        source,
                    });
                }
            }
        }
        self.may_hand_on()?;
        self.here
            .is_writable("")
            .map_err(|source| self.refused(source))
    }

    fn refused(&self, source: io::Error) -> Error {
        Error::NotDelegated {
            controller: self.controller,
            cgroup: self.here.path().to_owned(),
            source,
        }
    }

    fn may_hand_on(&self) -> Result<(), Error> {
        const FILE: &str = "cgroup.subtree_control";
        if !self.tree.is_unified() || self.controller.is_core_of_v2() {
            return Ok(());
        }
        let read = |file: &str| {
            self.here.read(file).map_err(|source| Error::Read {
                path: self.here.file(file),
                source,
            })
        };
        if Controllers::from_names(&read(FILE)?).contains(self.controller) {
            return Ok(());
        }
        if !self.tree.offered(&self.here)?.contains(self.controller) {
            return Err(self.refused(io::Error::from_raw_os_error(libc::ENOENT)));
        }
        self.here
            .is_writable(FILE)
            .map_err(|source| self.refused(source))?;
        // Only the root of all may have processes as well.
        let top = self.here.path() == self.tree.point;
        let inner = self.here.has("cgroup.events") && !read("cgroup.procs")?.trim().is_empty();
        if inner && !vacate::may_vacate(&self.here, top) {
            return Err(Error::InternalProcesses {
                controller: self.controller,
                cgroup: self.here.path().to_owned(),
            });
        }
        Ok(())
    }
}
