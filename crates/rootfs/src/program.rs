//! A program on a file system of its own, for those who watch for programs without a file.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, fchmod, openat};

use crate::passage::tmpfs;
use crate::sys::{self, MountAttr};
use crate::{Error, MountAttributes};

/// Puts a program on a new tmpfs that is attached nowhere, and opens it to be executed.
///
/// Nobody can reach the file by a path, and nobody can write it: the mount is read-only by the time
/// this returns. It is gone with the last process that executes it and the last descriptor of it.
/// In contrast to memfd_create(2), its file has a name and a link: `/proc/PID/exe` shows `/NAME`.
///
/// Linux 5.12. See fsopen(2), fsmount(2) and
/// [mount_setattr(2)](https://man7.org/linux/man-pages/man2/mount_setattr.2.html).
///
/// # Errors
/// [`Error::ProgramFile`]: EPERM without `CAP_SYS_ADMIN`.
pub fn program_on_tmpfs(name: &'static str, contents: &[u8], mode: Mode) -> Result<OwnedFd, Error> {
    put(name, contents, mode).map_err(|source| Error::ProgramFile { name, source })
}

fn put(name: &str, contents: &[u8], mode: Mode) -> io::Result<OwnedFd> {
    let mount = tmpfs(&[("mode", "0700"), ("nr_inodes", "2")])?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let mut file = File::from(openat(&mount, name, flags, Mode::RWXU)?);
    file.write_all(contents)?;
    // Whatever the umask is.
    fchmod(&file, mode)?;
    // Nothing that is open for writing can be executed, or be on a mount that becomes read-only.
    drop(file);
    let attr = MountAttr {
        set: MountAttributes::RDONLY.bits(),
        ..MountAttr::default()
    };
    sys::mount_setattr(mount.as_fd(), &attr, false)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(&mount, name, flags, Mode::empty())?)
}
