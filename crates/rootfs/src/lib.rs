//! A container's root file system, assembled beneath a file descriptor.

mod attributes;
mod detached;
pub mod device;
mod error;
pub mod mask;
mod mount;
pub mod options;
pub mod pivot;
mod root;
mod sys;

pub use attributes::MountAttributes;
pub use detached::detached_tree;
pub use error::Error;
pub use mount::{Bind, NewMount, Root, Target};
pub use options::MountOptions;
pub use pivot::Propagation;
pub use root::{Kind, RootFd};
