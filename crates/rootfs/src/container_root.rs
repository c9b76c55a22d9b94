//! What becomes the container's root.

use std::path::PathBuf;

use crabcan_init::format::{Change, Changes};
use crabcan_init::{PlanWriter, Step};

use crate::mount::{c_path, set_at_birth};
use crate::{Error, MountAttributes};

/// What becomes the container's root directory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Root {
    /// A directory of the host, written through to unless it is read-only.
    Directory {
        /// The directory.
        source: PathBuf,
        /// Whether the parent sends the mount; then `source` only names it.
        received: bool,
        /// Whether the mounts below it come with it.
        recursive: bool,
        /// Whether it is attached to the directory itself until the pivot, so that hooks of the
        /// host find there what is mounted in it; else over the root directory.
        in_place: bool,
        /// What holds for it, and for the mounts below when they come with it.
        attributes: MountAttributes,
    },
    /// A directory that is never changed, with a private tmpfs above it (Linux 5.11 in a user
    /// namespace).
    Overlay {
        /// The directory.
        lower: PathBuf,
        /// Whether the parent sends the mount; then `lower` only names it.
        received: bool,
        /// What holds for the overlay.
        attributes: MountAttributes,
    },
}

impl Root {
    /// Appends the step that takes it. The steps that mount, mask and pivot come after it.
    ///
    /// # Errors
    /// [`Error::Nul`] and [`Error::TooLong`].
    pub fn push(&self, plan: &mut PlanWriter) -> Result<(), Error> {
        self.push_changed(plan, &[])
    }

    /// The same, with more changes of a directory's mount before it is attached. An overlay is a
    /// new mount, private from birth, and has none.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn push_changed(&self, plan: &mut PlanWriter, more: &[Change]) -> Result<(), Error> {
        match self {
            Self::Directory {
                source,
                received,
                recursive,
                in_place,
                attributes,
            } => {
                let mut changes = set_at_birth(*attributes, *recursive);
                changes.extend(more.iter().flat_map(|change| change.to_bytes()));
                plan.push(&Step::Root {
                    source: &c_path(source)?,
                    received: *received,
                    recursive: *recursive,
                    in_place: *in_place,
                    changes: Changes::new(&changes).ok_or(Error::TooLong)?,
                })?
            }
            Self::Overlay {
                lower,
                received,
                attributes,
            } => plan.push(&Step::OverlayRoot {
                lower: &c_path(lower)?,
                received: *received,
                attributes: attributes.bits(),
            })?,
        };
        Ok(())
    }
}
