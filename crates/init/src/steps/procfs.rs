//! What is set by writing to a procfs, which must be one: a file of the container's in the place of
//! one of the kernel's would take a label and leave the program without it, or lead the write into
//! another file of the kernel's.

use core::ffi::CStr;

use super::decimal::{DIGITS, decimal};
use super::mount::new_mount;
use super::{Context, S_IFMT, S_IFREG};
use crate::errno::Errno;
use crate::format::Strings;
use crate::sys::{self, AT_FDCWD, Fd};

const PROC_SUPER_MAGIC: u64 = 0x9fa0;
const PROC_ROOT_INODE: u64 = 1;
const RESOLVE_NO_XDEV: u64 = 0x01;
const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
const RESOLVE_NO_SYMLINKS: u64 = 0x04;
const RESOLVE_BENEATH: u64 = 0x08;

impl Context {
    /// Opens the `/proc` of the runtime's mount namespace; where that is none, one of our own.
    pub(super) fn open_procfs(&mut self) -> Result<(), Errno> {
        let flags = sys::O_PATH | sys::O_DIRECTORY | sys::O_NOFOLLOW;
        let procfs = match sys::openat(AT_FDCWD, c"/proc", flags).and_then(genuine) {
            Ok(procfs) => procfs,
            Err(_) => {
                let no_options = Strings::new(b"").ok_or(Errno::EINVAL)?;
                genuine(new_mount(c"proc", c"proc", no_options, None, 0)?)?
            }
        };
        self.procfs = Some(procfs);
        Ok(())
    }

    /// Opens a directory of the procfs.
    pub(super) fn procfs_directory(&self, path: &CStr) -> Result<Fd, Errno> {
        let procfs = self.procfs.as_ref().ok_or(Errno::EBADF)?;
        // `self` is a link, but one that procfs makes itself and that stays in it.
        let resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS;
        sys::openat2(procfs.0, path, sys::O_PATH | sys::O_DIRECTORY, 0, resolve)
    }

    /// Writes to a file of the procfs, on which nothing is mounted, nor on the way to it.
    pub(super) fn write_procfs(
        &self,
        directory: &CStr,
        path: &CStr,
        text: &CStr,
    ) -> Result<(), Errno> {
        let directory = self.procfs_directory(directory)?;
        let resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS;
        let file = sys::openat2(directory.0, path, sys::O_WRONLY, 0, resolve)?;
        if sys::stat(file.0)?.mode & S_IFMT != S_IFREG {
            return Err(Errno::EINVAL);
        }
        sys::write_whole(file.0, text.to_bytes())
    }

    pub(super) fn oom_score_adj(&self, score: i32) -> Result<(), Errno> {
        let mut digits = [0; DIGITS];
        self.write_procfs(c"self", c"oom_score_adj", decimal(score, &mut digits)?)
    }
}

/// Refuses everything but the top directory of a procfs.
fn genuine(directory: Fd) -> Result<Fd, Errno> {
    let genuine = sys::file_system_magic(directory.0)? == PROC_SUPER_MAGIC
        && sys::stat(directory.0)?.inode == PROC_ROOT_INODE;
    if genuine {
        Ok(directory)
    } else {
        Err(Errno::ENODEV)
    }
}
