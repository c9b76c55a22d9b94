//! The five Linux capability sets, applied and read back.
//!
//! A thread has five sets of capabilities(7): what it may use (effective, permitted), what it
//! may ever get (bounding), and what its programs get from it (inheritable, ambient). This crate
//! names them, turns them into the steps of a container's start ([`Capabilities::push`]), sets
//! them at once on the calling thread ([`Capabilities::apply`]), by the very same code, and reads
//! back what is really in force.
//!
//! ```
//! use crabcan_caps::{Capabilities, Capability};
//!
//! # fn main() -> Result<(), crabcan_caps::Error> {
//! // A sandbox's root keeps a few; none of the 21 that the tutorial drops is among them.
//! let sets = Capabilities::sandbox(0);
//! assert!(sets.bounding.contains(Capability::Chown));
//! assert!(!sets.bounding.contains("sys_admin".parse()?));
//!
//! // What this thread has, read from the kernel.
//! let mine = Capabilities::of_current_thread()?;
//! println!("bounding: {}", mine.bounding);
//! # Ok(())
//! # }
//! ```
//!
//! # Limits
//! The sets belong to a thread: `apply` changes the calling one and those that it starts later,
//! never its siblings. Capabilities of files and the securebits are left alone. Nothing here makes
//! a user namespace.
//!
//! # Kernel versions and privileges
//! Linux 4.3 (ambient set), the project's own floor is 5.10. Reducing the bounding set needs
//! `CAP_SETPCAP`; dropping from the others needs nothing; nothing can be gained but ambient
//! capabilities that are permitted and inheritable already.
//!
//! # Errors
//! [`Error`] names the operation and the capabilities; its source is the kernel's answer.

mod apply;
mod capability;
mod error;
mod set;

pub use apply::{Capabilities, DROPPED};
pub use capability::Capability;
pub use error::Error;
pub use set::CapabilitySet;
