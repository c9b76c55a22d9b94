//! What is made above a cgroup on the way to it, known to who removes it later.

use std::io::ErrorKind;
use std::path::Path;

use crate::hierarchy::{Part, Tree};
use crate::life::is_gone;
use crate::{Error, Hierarchy, Place};

impl Hierarchy {
    /// The outermost cgroup that [`Cgroup::create`](crate::Cgroup::create) will have to make above a
    /// place, in each tree where one is missing. As text it can be kept for
    /// [`remove_above`](Self::remove_above), like the place itself; it is empty where nothing is
    /// missing.
    ///
    /// # Errors
    /// [`Error::NotMounted`] and [`Error::Unreachable`] for a tree that can't be seen here.
    pub fn missing_above(&self, place: &Place) -> Result<Place, Error> {
        let mut parts = Vec::new();
        for part in &place.parts {
            let tree = self.tree_of(part)?;
            let mut outermost = None;
            for above in part.path.ancestors().skip(1) {
                if !is_missing(tree, above)? {
                    break;
                }
                outermost = Some(above.to_owned());
            }
            parts.extend(outermost.map(|path| Part {
                legacy: part.legacy.clone(),
                path,
            }));
        }
        Ok(Place { parts })
    }

    /// Removes what was made above a cgroup that is gone, from the inside outwards, as far as
    /// nothing else is there: `outermost` is what [`missing_above`](Self::missing_above) has said.
    ///
    /// That somebody else has removed it already is no error.
    ///
    /// # Errors
    /// [`Error::Remove`] (EACCES, EROFS), [`Error::NotMounted`], [`Error::Open`],
    /// [`Error::NotACgroup`].
    pub fn remove_above(&self, place: &Place, outermost: &Place) -> Result<(), Error> {
        for top in &outermost.parts {
            let tree = self.tree_of(top)?;
            let same = |part: &&Part| part.legacy == top.legacy;
            let Some(part) = place.parts.iter().find(same) else {
                continue;
            };
            let made = part.path.ancestors().skip(1);
            for cgroup in made.take_while(|above| above.starts_with(&top.path)) {
                if !remove_if_empty(tree, cgroup)? {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Nobody has to ask about a cgroup that this process is in or below.
fn is_missing(tree: &Tree, cgroup: &Path) -> Result<bool, Error> {
    if tree.own.starts_with(cgroup) {
        return Ok(false);
    }
    let found = tree.point.join(tree.below(cgroup)?).symlink_metadata();
    Ok(found.is_err_and(|error| error.kind() == ErrorKind::NotFound))
}

/// Whether it is gone now; one with processes or with cgroups in it stays.
fn remove_if_empty(tree: &Tree, cgroup: &Path) -> Result<bool, Error> {
    let below = tree.below(cgroup)?;
    let (Some(above), Some(name)) = (below.parent(), below.file_name()) else {
        return Ok(false);
    };
    let parent = tree.open()?.open(above);
    match parent.and_then(|parent| parent.remove(Path::new(name))) {
        Ok(_) => Ok(true),
        Err(error) if is_gone(&error) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EBUSY | libc::ENOTEMPTY)) => {
            Ok(false)
        }
        Err(source) => Err(Error::Remove {
            cgroup: tree.point.join(&below),
            source,
        }),
    }
}
