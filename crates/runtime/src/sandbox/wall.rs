//! The second wall of a sandbox, and the clock beside its start.

use std::path::{Path, PathBuf};

use super::{Sandbox, Seccomp, hidden};
use crate::Error;
use crate::landlock::{Landlock, LandlockMode};

impl Sandbox {
    /// What is done about Landlock: without this, what the kernel has of it where the filter of system
    /// calls is the default one, and nothing elsewhere. Under it nothing can be mounted, which that
    /// filter does not allow either.
    pub fn landlock(mut self, mode: LandlockMode) -> Self {
        self.landlock = Some(mode);
        self
    }

    /// The label of SELinux that the command is executed with; an error where there is no SELinux.
    pub fn exec_label(mut self, label: impl Into<String>) -> Self {
        self.exec_label = Some(label.into());
        self
    }

    /// Measures where the time of the start goes: see [`Process::timings`](crate::Process::timings).
    pub fn timings(mut self, yes: bool) -> Self {
        self.timings = yes;
        self
    }

    /// The ruleset that is to be made.
    pub(super) fn wall(&self) -> Result<Option<Landlock>, Error> {
        let unasked = match self.seccomp {
            Seccomp::Default if !self.bare => LandlockMode::BestEffort,
            _ => LandlockMode::Off,
        };
        let mode = self.landlock.unwrap_or(unasked);
        if mode == LandlockMode::Off {
            return Ok(None);
        }
        let landlock = Landlock::of_this_kernel();
        if landlock.is_none() && mode == LandlockMode::Required {
            let reason = "this kernel has no Landlock that moves files (Linux 5.19), or it is off: \
                          /sys/kernel/security/lsm";
            return Err(Error::invalid("--landlock required", reason));
        }
        Ok(landlock)
    }
}

/// What in the host's root can be read: all but what is covered. Where a link there leads to is read
/// by what is said of that place.
pub(super) fn visible(places: &[hidden::Place]) -> Vec<PathBuf> {
    let entries = Path::new("/").read_dir().into_iter().flatten().flatten();
    let files = entries.filter(|entry| !entry.file_type().is_ok_and(|kind| kind.is_symlink()));
    // Neither side has a link or a needless slash in it.
    let is_covered = |path: &PathBuf| {
        let mut covered = places.iter().map(|place| place.path().as_os_str());
        covered.any(|covered| covered == path.as_os_str())
    };
    let paths = files.map(|entry| entry.path());
    let mut visible: Vec<PathBuf> = paths.filter(|path| !is_covered(path)).collect();
    visible.sort_unstable_by(|one, other| one.as_os_str().cmp(other.as_os_str()));
    visible
}
