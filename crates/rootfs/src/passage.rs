//! Mounts that are copied together with a mount namespace, so that the kernel locks them.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, FileType, Mode, fstat, mkdirat, mknodat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree, unmount,
};
use rustix::process::fchdir;

use crate::Error;

/// A directory over the root of a mount namespace, in which detached mounts are attached by their
/// numbers.
///
/// When the kernel copies a mount namespace for another user namespace, or one of another user
/// namespace, it locks what is mounted there: attributes can't be taken back any more, nor a mount
/// apart from the one it is mounted in, by who has rights over the copy alone. See
/// [mount_namespaces(7)]. A detached mount is locked by going through such a copy.
///
/// [mount_namespaces(7)]: https://man7.org/linux/man-pages/man7/mount_namespaces.7.html
#[derive(Debug)]
pub struct Passage {
    directory: OwnedFd,
    count: usize,
}

impl Passage {
    /// Mounts the directory over the root of the calling thread's mount namespace. Whoever is in
    /// there already does not see it.
    ///
    /// # Errors
    /// [`Error::Passage`]: EPERM without `CAP_SYS_ADMIN`, else as fsopen(2) and move_mount(2) say.
    pub fn open() -> Result<Self, Error> {
        let directory = tmpfs(&[("mode", "0700"), ("nr_inodes", "0")]);
        let opened = directory.and_then(|directory| {
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            move_mount(&directory, c"", CWD, c"/", flags).map(|()| directory)
        });
        let directory = opened.map_err(failed("make a place for"))?;
        Ok(Self {
            directory,
            count: 0,
        })
    }

    /// Attaches a mount, by the thread that is in that mount namespace.
    ///
    /// # Errors
    /// [`Error::Passage`]: ENOSPC above the number of mounts that the kernel allows
    /// (`fs.mount-max`), else as move_mount(2) says.
    pub fn attach(&mut self, tree: OwnedFd) -> Result<(), Error> {
        let name = self.count.to_string();
        let attached = fstat(&tree).and_then(|stat| {
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => mkdirat(&self.directory, &name, Mode::RWXU),
                _ => mknodat(&self.directory, &name, FileType::RegularFile, Mode::RUSR, 0),
            }?;
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            move_mount(&tree, c"", &self.directory, &name, flags)
        });
        attached.map_err(failed("attach"))?;
        self.count += 1;
        Ok(())
    }

    /// Makes it the calling thread's working directory, where its copy will be when the thread makes a
    /// mount namespace of its own.
    ///
    /// # Errors
    /// [`Error::Passage`], as fchdir(2) says.
    pub fn enter(&self) -> Result<(), Error> {
        fchdir(&self.directory).map_err(failed("enter the place of"))
    }

    /// Copies a mount and what is below it, by a thread that has this directory's copy as its working
    /// directory. The copy is attached nowhere; locked is what was.
    ///
    /// # Errors
    /// [`Error::Passage`], as open_tree(2) says.
    pub fn take(number: usize) -> Result<OwnedFd, Error> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE;
        open_tree(CWD, number.to_string(), flags).map_err(failed("copy"))
    }

    /// How many were attached.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Takes the directory away with everything in it, by the thread that is in that mount namespace.
    ///
    /// # Errors
    /// [`Error::Passage`], as umount2(2) says.
    pub fn close(self) -> Result<(), Error> {
        self.enter()?;
        unmount(c".", UnmountFlags::DETACH).map_err(failed("take away the place of"))
    }
}

fn failed(doing: &'static str) -> impl FnOnce(rustix::io::Errno) -> Error {
    move |errno| Error::Passage {
        doing,
        source: errno.into(),
    }
}

/// A new tmpfs that is attached nowhere (nosuid, nodev).
pub(crate) fn tmpfs(options: &[(&str, &str)]) -> rustix::io::Result<OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in [("source", "crabcan")].iter().chain(options) {
        fsconfig_set_string(context.as_fd(), *key, *value)?;
    }
    fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}
