//! Giving a cgroup to another user, who may then divide it.

use std::io;

use crate::{Cgroup, Error};

/// Where the kernel lists the files that are safe to give away.
const LIST: &str = "/sys/kernel/cgroup/delegate";

/// The list of the specification for kernels that have none (before Linux 4.15).
const ALWAYS: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n";

impl Cgroup {
    /// Gives it to a user, to make cgroups in it: the directory, and those of its files that the
    /// kernel lists as safe to give away. The limits stay its maker's.
    ///
    /// Nothing is given where v1 is in use: there it would not be safe, see cgroups(7).
    ///
    /// # Errors
    /// [`Error::Delegate`]: EPERM without CAP_CHOWN, EINVAL when the caller's user namespace has no
    /// such user.
    pub fn delegate(&self, uid: u32) -> Result<(), Error> {
        if self.legacy_trees() > 0 {
            return Ok(());
        }
        let files = std::fs::read_to_string(LIST).unwrap_or_else(|_| ALWAYS.to_owned());
        for member in &self.members {
            // The directory itself comes first.
            for file in std::iter::once("").chain(files.lines()) {
                let given = match file.contains('/') {
                    true => Ok(()),
                    false => member.directory.chown(file, uid),
                };
                match given {
                    // The list has files of every controller, enabled or not.
                    Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                    other => other.map_err(|source: io::Error| Error::Delegate {
                        path: member.directory.file(file),
                        uid,
                        source,
                    })?,
                }
            }
        }
        Ok(())
    }
}
