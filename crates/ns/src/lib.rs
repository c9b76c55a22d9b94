//! Linux namespaces, id maps, and clone on a heap stack that is safe in threaded programs.
//!
//! A container starts as a child process in new namespaces. [`clone_program`] makes one that goes
//! straight into a program, from any program, however many threads and however much memory that has,
//! and without root:
//!
//! ```
//! use std::{fs::File, os::fd::AsFd};
//! use crabcan_ns::{CloneOptions, ExitStatus, Namespace, Namespaces, Program, clone_program};
//!
//! let namespaces = Namespaces::new().make(Namespace::User).make(Namespace::Pid);
//! let shell = File::open("/bin/sh")?;
//! let program = Program {
//!     executable: shell.as_fd(),
//!     args: &[c"sh", c"-c", c"test $$ = 1"],
//!     env: &[],
//!     descriptors: &[],
//! };
//! let mut child = clone_program(&program, &CloneOptions::new(&namespaces))?;
//! assert_eq!(child.wait()?, ExitStatus::Exited(0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! * [`Namespace`], [`Namespaces`], [`NamespaceFd`]: the eight kinds, which of them to make, and
//!   existing ones to join, by path or by pidfd.
//! * [`IdMap`], [`write_id_maps`], [`SubordinateIds`]: who the ids in a user namespace are outside.
//! * [`clone_program`]: a child that shares the caller's memory until it executes a program.
//! * [`clone_closure_single_threaded`] and the unsafe [`clone_closure`]: a child that is a copy of
//!   the caller and runs a closure, as the tutorial does it.
//! * [`Child`]: pid and pidfd; signals, waiting, and an end of its own when it is dropped.
//! * [`Stack`]: the memory that a child runs on, with a guard page.
//!
//! # Limits
//! x86_64 and aarch64. A program is executed through a descriptor that `exec` closes, so it cannot be
//! a script. Joining namespaces and making a time namespace are the child's own affair: this crate
//! carries the wish and has the call. A program that was just written must not be executed while
//! another thread clones: that thread's child has the file open for writing until its own `exec`
//! (ETXTBSY).
//!
//! # Kernel versions
//! Linux 5.10. The newest calls needed are `close_range` (5.9), `setns` with a pidfd (5.8), clone into
//! a cgroup (5.7) and CLONE_CLEAR_SIGHAND (5.5). CLOSE_RANGE_CLOEXEC (5.11) has a fallback.
//!
//! # Privileges
//! None for a user namespace and the others made together with it, unless the machine switches user
//! namespaces off for ordinary users. Other namespaces alone need CAP_SYS_ADMIN, id maps with more
//! than the caller's own id need CAP_SETUID and CAP_SETGID or the setuid helpers of
//! [`IdMapWriter::Helpers`], a cgroup has to be writable.
//!
//! # Errors
//! One type, [`Error`]: a variant is an operation and names its object, the source is the kernel's
//! answer, [`Error::errno`] its number. Nothing is left running after an error.

mod child;
mod clone;
mod error;
mod idmap;
mod namespace;
mod stack;
mod subordinate;
mod sys;

pub use child::{Child, ExitStatus};
pub use clone::{
    CloneOptions, Program, clone_closure, clone_closure_single_threaded, clone_program,
};
pub use error::Error;
pub use idmap::{IdMap, IdMapWriter, IdRange, Setgroups, write_id_maps};
pub use namespace::{Namespace, NamespaceFd, Namespaces};
pub use stack::Stack;
pub use subordinate::SubordinateIds;
