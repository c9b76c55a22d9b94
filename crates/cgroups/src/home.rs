//! Which controllers act in the directory of a cgroup in one tree.

use std::sync::OnceLock;

use crate::cgroup::chain;
use crate::hierarchy::Tree;
use crate::{Controller, Controllers, Error};

/// Which controllers act in a part of a place.
#[derive(Debug, Default)]
pub(crate) struct Home {
    /// Those that are there without anybody being asked.
    known: Controllers,
    /// The tree of v2, which is asked for what else it has when that is needed: most of what is done
    /// with a cgroup needs nothing of it.
    unified: Option<Tree>,
    /// Those that act in a tree of v1.
    elsewhere: Controllers,
    offered: OnceLock<Controllers>,
}

impl Home {
    pub(crate) fn new(tree: &Tree, elsewhere: Controllers) -> Self {
        let core = || Controllers::ALL.iter().filter(|it| it.is_core_of_v2());
        Self {
            known: match tree.is_unified() {
                true => core().collect::<Controllers>().without(elsewhere),
                false => tree.controllers(),
            },
            unified: tree.is_unified().then(|| tree.clone()),
            elsewhere,
            offered: OnceLock::new(),
        }
    }

    pub(crate) fn known(&self) -> Controllers {
        self.known
    }

    /// Asks now: then a tree that does not answer is an error.
    pub(crate) fn ask(&self) -> Result<(), Error> {
        if let Some(tree) = &self.unified {
            let offered = tree.offered(&tree.open()?)?.without(self.elsewhere);
            // Nobody else has asked meanwhile, or was told the same.
            let _ = self.offered.set(offered);
        }
        Ok(())
    }

    /// Whether this one acts here.
    pub(crate) fn has(&self, controller: Controller) -> bool {
        if self.known.contains(controller) || self.unified.is_none() {
            return self.known.contains(controller);
        }
        if self.offered.get().is_none()
            && let Err(error) = self.ask()
        {
            // A tree that does not answer offers nothing.
            log::debug!("{}", chain(&error));
        }
        let offered = self.offered.get();
        offered.is_some_and(|offered| offered.contains(controller))
    }

    /// Those of these that act here.
    pub(crate) fn of(&self, needed: Controllers) -> Controllers {
        needed.iter().filter(|it| self.has(*it)).collect()
    }
}
