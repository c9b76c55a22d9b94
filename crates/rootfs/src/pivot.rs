//! The frame around everything that is mounted: propagation first, the new root last.

use crabcan_init::{PlanWriter, Step};

use crate::{Error, MountAttributes};

const MS_REC: u64 = 0x4000;

/// How mounts and unmounts spread between this mount and its copies elsewhere; see
/// mount_namespaces(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Propagation {
    /// In neither direction.
    Private,
    /// Into this one, not out of it.
    Slave,
    /// In both directions.
    Shared,
    /// In neither direction, and no copy can be bound.
    Unbindable,
}

impl Propagation {
    /// The `MS_*` flag of mount(2).
    #[must_use]
    pub const fn flag(self) -> u64 {
        match self {
            Self::Unbindable => 1 << 17,
            Self::Private => 1 << 18,
            Self::Slave => 1 << 19,
            Self::Shared => 1 << 20,
        }
    }

    /// Appends the step that gives every mount of the new namespace this propagation.
    ///
    /// It is the first of all steps that mount: before it, whatever is mounted may appear on the
    /// host. After [`Self::Shared`] and [`Self::Unbindable`] the pivot or the binds are refused
    /// (EINVAL), so only [`Self::Private`] and [`Self::Slave`] are of use here.
    ///
    /// # Errors
    /// [`Error::TooLong`].
    pub fn push(self, plan: &mut PlanWriter) -> Result<(), Error> {
        plan.push(&Step::Propagation {
            flags: MS_REC | self.flag(),
        })?;
        Ok(())
    }
}

/// Appends the step that sets attributes of the root's own mount, not of those below it: once
/// everything in it is made, it can become read-only.
///
/// # Errors
/// [`Error::TooLong`].
pub fn push_root_attributes(
    plan: &mut PlanWriter,
    attributes: MountAttributes,
) -> Result<(), Error> {
    plan.push(&Step::RootAttributes {
        attributes: attributes.bits(),
    })?;
    Ok(())
}

/// Appends the step after which the container's root is the root directory, and the host's is
/// gone: paths of later steps are the container's.
///
/// # Errors
/// [`Error::TooLong`].
pub fn push_pivot(plan: &mut PlanWriter) -> Result<(), Error> {
    plan.push(&Step::Pivot {})?;
    Ok(())
}

/// Appends the step that stands in for [`push_pivot`] where the kernel refuses it: on its first
/// file system, the initial ramdisk. The host's mounts stay below the container's root, where a
/// process with `CAP_SYS_ADMIN` in the container can get at them.
///
/// # Errors
/// [`Error::TooLong`].
pub fn push_chroot(plan: &mut PlanWriter) -> Result<(), Error> {
    plan.push(&Step::Chroot {})?;
    Ok(())
}

/// Appends the step that takes the root that the parent has attached among the host's mounts
/// ([`attach_detached`](crate::attach_detached)): there is no mount namespace. What is copied from
/// the host's mounts from here on is first given this propagation.
///
/// # Errors
/// [`Error::TooLong`].
pub fn push_attached_root(
    plan: &mut PlanWriter,
    of_copies: Option<Propagation>,
) -> Result<(), Error> {
    plan.push(&Step::AttachedRoot {
        propagation: of_copies.map_or(0, Propagation::flag),
    })?;
    Ok(())
}

/// Appends the step after which that root is the root directory. The host's stays below it: a
/// process with `CAP_SYS_CHROOT` or `CAP_SYS_ADMIN` in the container can get at it.
///
/// # Errors
/// [`Error::TooLong`].
pub fn push_enter_root(plan: &mut PlanWriter) -> Result<(), Error> {
    plan.push(&Step::EnterRoot {})?;
    Ok(())
}

/// Appends the step that gives the container's root this propagation, once it is the root: before,
/// the pivot would be refused for a shared one.
///
/// What the host mounts later reaches the container through mounts that were taken from shared
/// ones, not through the root itself: for that the first step must have been
/// [`push_host_root_private`], not [`Propagation::push`].
///
/// # Errors
/// [`Error::TooLong`].
pub fn push_root_propagation(
    plan: &mut PlanWriter,
    propagation: Propagation,
    recursive: bool,
) -> Result<(), Error> {
    let depth = if recursive { MS_REC } else { 0 };
    plan.push(&Step::Propagation {
        flags: depth | propagation.flag(),
    })?;
    Ok(())
}

/// Appends the first of all steps that mount where the host's mounts are to stay shared with the
/// container: only the root that the new one covers is made private.
///
/// # Errors
/// [`Error::TooLong`].
pub fn push_host_root_private(plan: &mut PlanWriter) -> Result<(), Error> {
    push_root_propagation(plan, Propagation::Private, false)
}
