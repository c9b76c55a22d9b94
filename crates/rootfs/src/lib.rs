//! A container's root file system, assembled beneath a file descriptor.
//!
//! The root of a container is hostile ground: its owner chooses every link in it and may change
//! them at any moment. So no path in it is ever used as a string by the host. [`RootFd`] opens the
//! root once and resolves every path beneath that descriptor; mounts are made detached and moved
//! from descriptor to descriptor. What is mounted where is described by [`Root`], [`NewMount`],
//! [`Bind`], [`device`], [`mask`] and [`pivot`], which write the steps of a container's start into
//! a plan; the program of `crabcan-init` performs them. [`MountOptions`] reads option words, and
//! [`detached_tree`] is what a privileged parent does for init.
//!
//! ```
//! use crabcan_init::PlanWriter;
//! use crabcan_rootfs::device::{DevOptions, push_dev};
//! use crabcan_rootfs::{Kind, MountAttributes, NewMount, Propagation, Root, RootFd, mask, pivot};
//!
//! # fn main() -> Result<(), crabcan_rootfs::Error> {
//! // At once: what is there? A link in the root can't lead this out of it.
//! let root = RootFd::open("/")?;
//! assert_eq!(root.kind("/proc/..")?, Some(Kind::Directory));
//!
//! // As steps, in this order: a read-only look at the host with a /dev and /proc of its own.
//! let mut plan = PlanWriter::new();
//! Propagation::Private.push(&mut plan)?;
//! let root = Root::Directory {
//!     source: "/".into(),
//!     received: false,
//!     recursive: true,
//!     in_place: false,
//!     attributes: MountAttributes::RDONLY | MountAttributes::NOSUID,
//! };
//! root.push(&mut plan)?;
//! push_dev(&mut plan, &DevOptions::default())?;
//! NewMount::proc("/proc").push(&mut plan)?;
//! mask::push_masked(&mut plan, mask::DEFAULT_MASKED)?;
//! mask::push_read_only(&mut plan, mask::DEFAULT_READ_ONLY)?;
//! pivot::push_pivot(&mut plan)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Limits
//! The steps decide nothing: their order is the caller's, as above. There is no unmounting: mounts
//! live in the container's mount namespace and go with it. Only a root among the host's own mounts
//! ([`attach_detached`]) is taken away ([`MountId::detach`]), with all that is in it. A process with `CAP_SYS_ADMIN` in the
//! container can undo masks and read-only mounts. Where a link in the root leads nowhere, what lies
//! behind it is not made (ENOENT).
//!
//! # Kernel versions and privileges
//! | what | Linux | privilege |
//! |---|---|---|
//! | [`RootFd`] (openat2) | 5.6 | none |
//! | [`MountId`] (statx) | 5.8; unique 6.8 | none; `CAP_SYS_ADMIN` to take a mount away |
//! | writing steps | any | none |
//! | performing them (open_tree, fsopen, move_mount) | 5.2 | `CAP_SYS_ADMIN` in the container's user namespace |
//! | attributes of binds, masks, read-only paths, [`detached_tree`] (mount_setattr) | 5.12 | the same; id maps: where the file system was mounted |
//! | [`Root::Overlay`] in a user namespace | 5.11 | the same |
//! | `nosymfollow` as an attribute | 5.14 | the same |
//!
//! What a kernel lacks is an error (ENOSYS, EINVAL) of the step that asks for it.
//!
//! # Errors
//! [`Error`] names the operation and the path; its source is the kernel's answer. A failing step
//! is reported by init as its index and errno.

mod attached;
mod attributes;
pub mod cgroup;
mod container_root;
mod detached;
pub mod device;
mod error;
pub mod mask;
mod mount;
pub mod options;
mod passage;
pub mod pivot;
mod program;
mod remount;
mod root;
mod sys;

pub use attached::{MountId, attach_detached, mount_below};
pub use attributes::MountAttributes;
pub use container_root::Root;
pub use detached::{change_detached_tree, detached_tree, detached_tree_changed};
pub use error::Error;
pub use mount::{Bind, NewMount, Target};
pub use options::MountOptions;
pub use passage::Passage;
pub use pivot::Propagation;
pub use program::program_on_tmpfs;
pub use remount::Remount;
pub use root::{Kind, RootFd};
