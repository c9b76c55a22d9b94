//! The container's root: taken, written over by an overlay, pivoted into.

use core::ffi::CStr;

use super::Context;
use super::mask::Covers;
use super::mount::{apply, new_mount};
use super::overlay::layer;
use crate::errno::Errno;
use crate::format::{Change, Strings};
use crate::step::Step;
use crate::sys::{self, Config, Fd};

impl Context {
    pub(super) fn root_step(&mut self, step: &Step<'_>) -> Result<(), Errno> {
        match *step {
            Step::Root {
                source,
                received,
                recursive,
                in_place,
                changes,
            } => {
                let mount = self.tree(source, received, recursive, 0)?;
                apply(&mount, changes)?;
                self.take_at(mount, if in_place { source } else { c"/" })
            }
            Step::OverlayRoot {
                lower,
                received,
                attributes,
            } => {
                let lower = self.tree(lower, received, false, 0)?;
                let mount = overlay(&lower, attributes)?;
                self.take(mount)
            }
            Step::EmptyRoot {
                options,
                attributes,
            } => {
                let mount = new_mount(c"tmpfs", c"tmpfs", options, None, attributes)?;
                self.take(mount)
            }
            Step::RootAttributes { attributes } => {
                sys::mount_setattr(self.root()?, &Change::set(attributes, false))
            }
            Step::Pivot {} => self.pivot(),
            Step::Chroot {} => self.chroot(),
            Step::AttachedRoot { propagation } => {
                self.root = Some(self.receive_descriptor()?);
                self.of_copies = propagation;
                Ok(())
            }
            Step::EnterRoot {} => self.enter_root(),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Attaches the new root over the old one: no path into it is ever looked up by name, while
    /// absolute paths of this process still start at the host's root below.
    pub(super) fn take(&mut self, mount: Fd) -> Result<(), Errno> {
        self.take_at(mount, c"/")
    }

    /// The same over a directory. The way there may be closed to the ids of a user namespace, for
    /// which the parent has opened the mount: then it covers the old root after all.
    fn take_at(&mut self, mount: Fd, place: &CStr) -> Result<(), Errno> {
        match sys::move_mount(mount.0, sys::AT_FDCWD, place) {
            Err(Errno::EACCES) => cover_root(&mount)?,
            other => other?,
        }
        self.root = Some(mount);
        Ok(())
    }

    /// Swaps the roots, and lets the old one go with everything below it.
    fn pivot(&mut self) -> Result<(), Errno> {
        sys::fchdir(self.root()?)?;
        sys::pivot_to_working_directory()?;
        sys::detach_working_directory()?;
        self.leave_root()
    }

    /// Makes the new root, which covers the old one already, what `/` means.
    fn chroot(&mut self) -> Result<(), Errno> {
        take_away(c"/proc")?;
        take_away(c"/sys")?;
        self.enter_root()
    }

    /// Makes the new root, wherever it is mounted, what `/` means.
    fn enter_root(&mut self) -> Result<(), Errno> {
        sys::fchdir(self.root()?)?;
        sys::chroot_to_working_directory()?;
        self.leave_root()
    }

    /// From here on a path is the container's, and no descriptor leads anywhere else.
    fn leave_root(&mut self) -> Result<(), Errno> {
        self.root = None;
        self.covers = Covers::default();
        sys::chdir(c"/")
    }
}

/// Detaches a mount of the host's that would stay below the root: while there is an unmasked procfs,
/// the kernel lets every user namespace in the container mount one more.
fn take_away(place: &CStr) -> Result<(), Errno> {
    const SLAVES: u64 = 0x4000 | 1 << 19;
    // What is mounted on it is not to vanish from the host.
    let detached = sys::propagation(place, SLAVES).and_then(|()| sys::detach(place));
    match detached {
        // Nothing is mounted there; or it is locked by a user namespace, whose root has no say over
        // the host's settings in it.
        Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
        other => other,
    }
}

pub(super) fn cover_root(mount: &Fd) -> Result<(), Errno> {
    sys::move_mount(mount.0, sys::AT_FDCWD, c"/")
}

/// An overlay of `lower` with a private tmpfs above.
///
/// Layers must be attached somewhere in this mount namespace until the overlay has its own copies
/// of them: over the root. Left there, they would be what the pivot's one detach takes away, and
/// the old root with all its mounts would stay behind the new one's `..`.
fn overlay(lower: &Fd, attributes: u64) -> Result<Fd, Errno> {
    let options = Strings::new(b"mode=755\0").ok_or(Errno::EINVAL)?;
    let tmpfs = new_mount(c"tmpfs", c"tmpfs", options, None, 0)?;
    cover_root(&tmpfs)?;
    cover_root(lower)?;
    let upper = directory(&tmpfs, c"upper")?;
    let work = directory(&tmpfs, c"work")?;
    let context = sys::fsopen(c"overlay")?;
    sys::fsconfig(context.0, &Config::String(c"source", c"overlay"))?;
    // Without it, marks of the overlay are trusted attributes, which a user namespace may not set.
    sys::fsconfig(context.0, &Config::Flag(c"userxattr"))?;
    layer(&context, c"lowerdir+", c"lowerdir", lower)?;
    layer(&context, c"upperdir", c"upperdir", &upper)?;
    layer(&context, c"workdir", c"workdir", &work)?;
    sys::fsconfig(context.0, &Config::Create)?;
    sys::detach(c"/")?;
    sys::detach(c"/")?;
    sys::fsmount(context.0, attributes)
}

fn directory(parent: &Fd, name: &CStr) -> Result<Fd, Errno> {
    sys::mkdirat(parent.0, name, 0o755)?;
    sys::openat(
        parent.0,
        name,
        sys::O_PATH | sys::O_DIRECTORY | sys::O_NOFOLLOW,
    )
}
