//! The hierarchies that this process sees.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};

use crate::directory::{self, Directory};
use crate::mounts::{self, Membership, Mount};
use crate::{CgroupPath, Controllers, Error, vacate};

/// How cgroups are mounted here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hierarchy {
    /// One tree for everything (cgroup v2).
    Unified(Tree),
    /// Controllers in trees of v1, and beside them a tree of v2, with the controllers that no other
    /// has, or none.
    Hybrid {
        /// The trees of v1.
        legacy: Vec<Tree>,
        /// The tree of v2.
        unified: Tree,
    },
    /// Trees of v1 alone.
    Legacy(Vec<Tree>),
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Where it is mounted.
    pub(crate) point: PathBuf,
    /// The cgroup that is mounted there.
    pub(crate) root: PathBuf,
    /// The cgroup of this process.
    pub(crate) own: PathBuf,
    /// The words that name a hierarchy of v1; `None` for v2.
    pub(crate) legacy: Option<String>,
}

impl Hierarchy {
    /// Looks at where this process is, in `/proc/self/mountinfo` and `/proc/self/cgroup`.
    ///
    /// # Errors
    /// [`Error::Proc`] without `/proc`; otherwise as [`Hierarchy::parse`].
    pub fn of_this_process() -> Result<Self, Error> {
        let read = |path: &str| {
            // The kernel does not tell their length: there is room for most at once.
            let mut bytes = Vec::with_capacity(8192);
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            rustix::fs::openat(CWD, path, flags, Mode::empty())
                .map_err(io::Error::from)
                .and_then(|file| File::from(file).take(u64::MAX).read_to_end(&mut bytes))
                .map_err(|source| Error::Proc {
                    path: path.into(),
                    source,
                })?;
            Ok::<_, Error>(bytes)
        };
        Self::parse(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?)
    }

    /// The trees for places that are known: where this process itself is, is not looked at.
    ///
    /// Where the whole tree of v2 is mounted on `/sys/fs/cgroup`, everything is there, as systemd
    /// has it too, and the list of all mounts, which grows with their number, need not be read. That
    /// holds in a cgroup namespace too: a path names what is there, not what is below this process.
    /// A relative path would begin at the root there: [`of_this_process`](Self::of_this_process) is
    /// for those.
    ///
    /// # Errors
    /// As [`of_this_process`](Self::of_this_process).
    pub fn of_known_places() -> Result<Self, Error> {
        const POINT: &str = "/sys/fs/cgroup";
        if !whole_tree_is_on(POINT) {
            return Self::of_this_process();
        }
        Ok(Self::Unified(Tree {
            point: POINT.into(),
            root: "/".into(),
            own: "/".into(),
            legacy: None,
        }))
    }

    /// The same from the contents of the two files. Nothing else is looked at: that what is mounted
    /// is a cgroup file system, and not covered by something else, is checked when it is used.
    ///
    /// # Errors
    /// [`Error::NotMounted`] when there is none; [`Error::Unreachable`] when the cgroup of this
    /// process is in none of them; [`Error::Malformed`] for a line that is none.
    pub fn parse(mountinfo: &[u8], memberships: &[u8]) -> Result<Self, Error> {
        let mounts = mounts::mounts(mountinfo)?;
        let (mut legacy, mut unified, mut unreachable) = (Vec::new(), None, None);
        for membership in mounts::memberships(memberships, "/proc/self/cgroup")? {
            match find(&mounts, membership) {
                Ok(Some(tree)) if tree.legacy.is_some() => legacy.push(tree),
                Ok(tree @ Some(_)) => unified = tree,
                Ok(None) => {}
                Err(error) => unreachable = Some(error),
            }
        }
        let controls = legacy.iter().any(|tree| !tree.controllers().is_empty());
        match (unified, controls) {
            (Some(unified), true) => Ok(Self::Hybrid { legacy, unified }),
            (Some(unified), false) => Ok(Self::Unified(unified)),
            (None, true) => Ok(Self::Legacy(legacy)),
            (None, false) => Err(unreachable.unwrap_or(Error::NotMounted {
                wanted: String::new(),
            })),
        }
    }

    /// The tree of v2, if there is one.
    #[must_use]
    pub fn unified(&self) -> Option<&Tree> {
        match self {
            Self::Unified(unified) | Self::Hybrid { unified, .. } => Some(unified),
            Self::Legacy(_) => None,
        }
    }

    /// The trees of v1.
    #[must_use]
    pub fn legacy(&self) -> &[Tree] {
        match self {
            Self::Unified(_) => &[],
            Self::Hybrid { legacy, .. } | Self::Legacy(legacy) => legacy,
        }
    }

    /// Every tree.
    pub fn trees(&self) -> impl Iterator<Item = &Tree> {
        self.legacy().iter().chain(self.unified())
    }

    /// Which controllers the host has in these trees.
    ///
    /// # Errors
    /// [`Error::Open`], [`Error::NotACgroup`] and [`Error::Read`] when the tree of v2 can't be asked.
    pub fn controllers(&self) -> Result<Controllers, Error> {
        let legacy = self
            .legacy()
            .iter()
            .flat_map(|tree| tree.controllers().iter());
        let mut found: Controllers = legacy.collect();
        if let Some(unified) = self.unified() {
            let offered = unified.offered(&unified.open()?)?;
            offered
                .iter()
                .for_each(|controller| found.insert(controller));
        }
        Ok(found)
    }

    /// Decides where a cgroup is going to be in each tree; makes nothing.
    ///
    /// A relative path is below the cgroup of this process. In the tree of v2 a cgroup with
    /// processes of its own can't hand on controllers; where those can't be moved aside, it is
    /// beside this process instead: below the nearest cgroup above that has none.
    ///
    /// # Errors
    /// [`Error::Open`], [`Error::NotACgroup`] and [`Error::Read`] when a tree can't be looked at.
    pub fn place(&self, path: &CgroupPath) -> Result<Place, Error> {
        let parts = self.trees().map(|tree| {
            let base = match (path.is_absolute(), &tree.legacy) {
                (true, _) => tree.root.clone(),
                (false, Some(_)) => tree.own.clone(),
                (false, None) => vacate::usable_ancestor(tree)?,
            };
            Ok(Part {
                legacy: tree.legacy.clone(),
                path: base.join(path.below()),
            })
        });
        let parts = parts.collect::<Result<_, Error>>()?;
        Ok(Place { parts })
    }

    /// The directories of a place, as paths of the host; for messages and for clients that ask, not
    /// for opening them.
    ///
    /// # Errors
    /// [`Error::NotMounted`] and [`Error::Unreachable`] for a tree that can't be seen here.
    pub fn directories(&self, place: &Place) -> Result<Vec<PathBuf>, Error> {
        let directory = |part| {
            let tree = self.tree_of(part)?;
            Ok(tree.point.join(tree.below(&part.path)?))
        };
        place.parts.iter().map(directory).collect()
    }

    /// The tree that a part of a place is in.
    pub(crate) fn tree_of(&self, part: &Part) -> Result<&Tree, Error> {
        let same = |tree: &&Tree| match (&tree.legacy, &part.legacy) {
            (None, None) => true,
            (Some(one), Some(other)) => mounts::same_hierarchy(one, other),
            _ => false,
        };
        self.trees().find(same).ok_or_else(|| Error::NotMounted {
            wanted: format!(" for {}", part.legacy.as_deref().unwrap_or("cgroup v2")),
        })
    }
}

/// Whether a path is the root of the tree of v2: that has the first inode.
fn whole_tree_is_on(point: &str) -> bool {
    directory::is_of_v2(point) && rustix::fs::stat(point).is_ok_and(|stat| stat.st_ino == 1)
}

/// The mount through which the membership's cgroup can be reached: the one that shows most, and of
/// those the one that was made last.
fn find(mounts: &[Mount], membership: Membership) -> Result<Option<Tree>, Error> {
    let same = |mount: &&Mount| match (&mount.legacy, &membership.legacy) {
        (None, None) => true,
        (Some(one), Some(other)) => mounts::same_hierarchy(one, other),
        _ => false,
    };
    let shows = |mount: &&Mount| {
        // Outside of a cgroup namespace paths begin with "/..", and say nothing of names.
        let outside = mount.root.starts_with("/..") || membership.path.starts_with("/..");
        !outside && membership.path.starts_with(&mount.root)
    };
    let candidates = || mounts.iter().filter(same);
    let best = candidates()
        .rev()
        .filter(shows)
        .min_by_key(|mount| mount.root.components().count());
    match (best, candidates().next()) {
        (Some(mount), _) => Ok(Some(Tree {
            point: mount.point.clone(),
            root: mount.root.clone(),
            own: membership.path,
            legacy: membership.legacy,
        })),
        (None, Some(mount)) => Err(Error::Unreachable {
            cgroup: membership.path,
            mount: mount.point.clone(),
        }),
        (None, None) => Ok(None),
    }
}

impl Tree {
    /// The controllers of a tree of v1; those of v2 have to be asked of it.
    #[must_use]
    pub fn controllers(&self) -> Controllers {
        self.legacy
            .as_deref()
            .map_or(Controllers::NONE, mounts::controllers)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn mount_point(&self) -> &Path {
        &self.point
    }

    /// The cgroup of this process in it, as in `/proc/self/cgroup`.
    #[must_use]
    pub fn own(&self) -> &Path {
        &self.own
    }

    /// Whether it is the tree of v2.
    #[must_use]
    pub fn is_unified(&self) -> bool {
        self.legacy.is_none()
    }

    pub(crate) fn open(&self) -> Result<Directory, Error> {
        Directory::open_mount(&self.point, self.is_unified())
    }

    /// A cgroup's path beneath the mount point.
    pub(crate) fn below(&self, cgroup: &Path) -> Result<PathBuf, Error> {
        let below = cgroup.strip_prefix(&self.root);
        below.map(Path::to_owned).map_err(|_| Error::Unreachable {
            cgroup: cgroup.to_owned(),
            mount: self.point.clone(),
        })
    }

    /// The controllers that an open cgroup of v2 has to hand on.
    pub(crate) fn offered(&self, directory: &Directory) -> Result<Controllers, Error> {
        const FILE: &str = "cgroup.controllers";
        let names = directory.read(FILE).map_err(|source| Error::Read {
            path: directory.file(FILE),
            source,
        })?;
        Ok(Controllers::from_names(&names))
    }
}

/// Where a cgroup is, in each tree. As text it has the form of `/proc/PID/cgroup`, so that it can be
/// kept, and the cgroup be found again by another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub(crate) parts: Vec<Part>,
}

/// A cgroup's place in one tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) legacy: Option<String>,
    pub(crate) path: PathBuf,
}

impl Place {
    /// Reads what [`Place`] shows as text, or a `/proc/PID/cgroup`.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a line that is none, or whose path contains `..`.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let memberships = mounts::memberships(text, "the record of a cgroup")?;
        let parts = memberships.into_iter().map(|membership| {
            let up = membership
                .path
                .components()
                .any(|part| part == std::path::Component::ParentDir);
            if up {
                return Err(Error::Malformed {
                    what: "the record of a cgroup",
                    line: membership.path.to_string_lossy().into_owned(),
                });
            }
            Ok(Part {
                legacy: membership.legacy,
                path: membership.path,
            })
        });
        let parts = parts.collect::<Result<_, _>>()?;
        Ok(Self { parts })
    }

    /// Only in the trees of v1 that have one of these controllers, and in that of v2. The fewer
    /// trees, the quicker a cgroup is made, joined and removed.
    #[must_use]
    pub fn only_for(mut self, controllers: Controllers) -> Self {
        self.parts.retain(|part| match &part.legacy {
            None => true,
            Some(words) => !mounts::controllers(words).and(controllers).is_empty(),
        });
        self
    }

    /// In how many trees of v1 it is: so many files [`Cgroup::task_files`](crate::Cgroup::task_files)
    /// has.
    #[must_use]
    pub fn legacy_trees(&self) -> usize {
        let legacy = self.parts.iter().filter(|part| part.legacy.is_some());
        legacy.count()
    }

    /// Its path in the tree of v2.
    #[must_use]
    pub fn unified_path(&self) -> Option<&Path> {
        let part = self.parts.iter().find(|part| part.legacy.is_none());
        part.map(|part| part.path.as_path())
    }

    /// Its path in each tree, and the controllers of that tree; none for v2.
    pub fn paths(&self) -> impl Iterator<Item = (Controllers, &Path)> {
        self.parts.iter().map(|part| {
            let words = part.legacy.as_deref();
            let controllers = words.map_or(Controllers::NONE, mounts::controllers);
            (controllers, part.path.as_path())
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            let path = part.path.display();
            match &part.legacy {
                Some(words) => writeln!(f, "{}:{words}:{path}", index + 1)?,
                None => writeln!(f, "0::{path}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
