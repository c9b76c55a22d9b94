//! What programs that were killed have left behind.

use crabcan_cgroups::{CgroupPath, Hierarchy, remove_stale};

use super::Container;
use crate::{Error, Id, StateRoot};

/// A container that was half made and that nobody makes any more.
#[derive(Debug)]
#[non_exhaustive]
pub struct Abandoned {
    /// Its id, which is free again once it is removed.
    pub id: Id,
    /// Whether it could be removed.
    pub removed: Result<(), Error>,
}

impl Container {
    /// Removes every container that was being made by a program that is no more, with its processes
    /// and its cgroup, and the cgroups of sandboxes whose makers are no more. What was found is
    /// returned.
    ///
    /// Whoever makes a container holds a lock on its entry, which the kernel lets go with the
    /// holder: a container that is half made and not locked will never be whole. One that was made
    /// to its end is left alone, also when it has stopped: whoever made it will ask for its status.
    /// So is one whose record can't be read: it may be of a newer version, and run.
    ///
    /// # Errors
    /// [`Error::State`] when the state directory can't be read.
    pub fn collect_garbage(root: &StateRoot) -> Result<Vec<Abandoned>, Error> {
        let mut found = Vec::new();
        for id in root.ids()? {
            match collect(root, &id) {
                Ok(false) | Err(Error::NotFound { .. }) => {}
                Ok(true) => found.push(Abandoned {
                    id,
                    removed: Ok(()),
                }),
                Err(error) => found.push(Abandoned {
                    id,
                    removed: Err(error),
                }),
            }
        }
        // Beside the place that one of this caller would have; without cgroups there is nothing.
        if let Ok(hierarchy) = Hierarchy::of_this_process()
            && let Ok(place) = hierarchy.place(&CgroupPath::unique())
        {
            remove_stale(&hierarchy, &place);
        }
        Ok(found)
    }
}

/// Removes one that is half made and that nobody makes any more; whether it was one.
fn collect(root: &StateRoot, id: &Id) -> Result<bool, Error> {
    let entry = root.find(id)?;
    let Some(_lock) = entry.try_lock()? else {
        return Ok(false);
    };
    match entry.read() {
        Ok(record) if record.complete => Ok(false),
        Ok(record) => Container::of(entry, record).destroy().map(|()| true),
        // Killed before it had written the first word, or in the midst of the removal.
        Err(Error::StateUnreadable { .. }) if !entry.has_record() => entry.remove().map(|()| true),
        Err(error) => Err(error),
    }
}
