//! Changes of what is mounted already.

use crabcan_init::format::{Change, Changes, Strings};
use crabcan_init::{PlanWriter, Step};

use crate::mount::{Target, c_path, lines};
use crate::options::MountOptions;
use crate::{Error, MountAttributes};

/// A change of what is mounted at a place already: `remount`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Remount {
    /// Where: the top of a mount.
    pub target: Target,
    /// What changes of the mount.
    pub changes: Vec<Change>,
    /// What changes of its file system: each `key=value`, or `key` alone.
    pub options: Vec<String>,
}

impl Remount {
    /// Makes a mount read-only, once everything in it is made.
    pub fn read_only(target: impl Into<Target>) -> Self {
        Self {
            target: target.into(),
            changes: vec![Change::set(MountAttributes::RDONLY.bits(), false)],
            options: Vec::new(),
        }
    }

    /// The change that parsed options ask for. With `bind` it is the mount's alone; without, the
    /// file system gets its flags, its data and whether it can be written to, as by mount(8).
    pub fn parsed(target: impl Into<Target>, parsed: &MountOptions) -> Self {
        let mut options = Vec::new();
        if parsed.bind.is_none() {
            let read_only = parsed.attributes.set.contains(MountAttributes::RDONLY);
            options.extend(parsed.superblock.words().map(str::to_owned));
            options.extend(parsed.data.iter().cloned());
            options.push(if read_only { "ro" } else { "rw" }.to_owned());
        }
        Self {
            target: target.into(),
            changes: parsed.changes(),
            options,
        }
    }

    /// Appends the step that changes it.
    ///
    /// # Errors
    /// [`Error::Nul`] and [`Error::TooLong`].
    pub fn push(&self, plan: &mut PlanWriter) -> Result<(), Error> {
        let changes: Vec<u8> = self
            .changes
            .iter()
            .flat_map(|change| change.to_bytes())
            .collect();
        plan.push(&Step::Remount {
            target: &c_path(&self.target.path)?,
            changes: Changes::new(&changes).ok_or(Error::TooLong)?,
            options: Strings::new(&lines(&self.options)?).ok_or(Error::TooLong)?,
            flags: self.target.flags,
        })?;
        Ok(())
    }
}
