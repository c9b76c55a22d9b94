//! Namespaces that are not there at the clone: joined, or made later.

use super::Context;
use crate::errno::Errno;
use crate::format::Strings;
use crate::message::Message;
use crate::sys;

const CLONE_NEWTIME: u32 = 0x80;
const NSFS_MAGIC: u64 = 0x6e73_6673;
const SIGKILL: i32 = 9;

impl Context {
    pub(super) fn join(&self, flags: u32) -> Result<(), Errno> {
        let namespaces = self.receive_descriptor()?;
        sys::setns(namespaces.0, flags)
    }

    /// Sets the clocks of the time namespace that children would be in, and enters it: not every
    /// kernel lets execve(2) do that.
    pub(super) fn time_offsets(&self, offsets: Strings<'_>) -> Result<(), Errno> {
        for offset in &offsets {
            self.write_procfs(c"self", c"timens_offsets", offset)?;
        }
        let namespaces = self.procfs_directory(c"self/ns")?;
        let time = sys::openat(namespaces.0, c"time_for_children", 0)?;
        if sys::file_system_magic(time.0)? != NSFS_MAGIC {
            return Err(Errno::ENODEV);
        }
        sys::setns(time.0, CLONE_NEWTIME)
    }

    /// Goes on in a sibling; this process tells of it and ends.
    pub(super) fn fork(&mut self) -> Result<(), Errno> {
        self.procfs = None;
        let Some((pid, pidfd)) = sys::fork_sibling()? else {
            return Ok(());
        };
        let forked = Message::Forked { pid }.to_bytes();
        if let Err(errno) = sys::send(self.channel, &forked, Some(pidfd.0)) {
            // Nobody knows of the other, so it must not go on. It may have ended by itself.
            let _ = sys::kill(pid, SIGKILL);
            return Err(errno);
        }
        sys::exit(0)
    }
}
