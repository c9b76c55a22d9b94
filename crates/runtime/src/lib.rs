//! From a specification to a plan to a running container.
//!
//! A container is a *plan*, and a small program called init is its interpreter. Everything is
//! decided, checked and looked up first, without a side effect; what remains is a list of steps
//! that init walks inside the new namespaces. So all that will be done can be shown before, and
//! what fails is named by its step, its object and the kernel's reason.
//!
//! ```
//! use crabcan_runtime::Sandbox;
//!
//! let status = Sandbox::new("/bin/sh").args(["-c", "exit 7"]).uid(0).status()?;
//! assert_eq!(status.shell_code(), 7);
//! # Ok::<(), crabcan_runtime::Error>(())
//! ```
//!
//! The same in its four parts, for whoever wants to do something in between:
//!
//! ```
//! use crabcan_runtime::{Process, ExitStatus, Sandbox};
//!
//! let plan = Sandbox::new("/bin/sleep").arg("60").hostname("quiet-reef").plan()?;
//! assert!(plan.steps().contains(&"set host name quiet-reef".to_owned()));
//!
//! let mut container = Process::create(&plan)?;
//! container.start()?;
//! container.signal(15)?;
//! assert_eq!(container.wait()?, ExitStatus::Signaled(15));
//! container.remove()?;
//! # Ok::<(), crabcan_runtime::Error>(())
//! ```
//!
//! * [`Sandbox`]: the builder; like [`std::process::Command`], and closed unless told otherwise.
//! * [`spec::Spec`]: what a container is to be, in the words of the OCI runtime specification. The
//!   builder fills one in; so can you, for [`Plan::new`].
//! * [`Plan`]: everything that will be done, in order. [`Host`] is what it depends on besides.
//! * [`Process`]: a program behind init: made, started, waited for, removed; killed when dropped.
//! * [`Creation`], [`Container`], [`Execution`]: the life cycle of an OCI container, from a bundle to
//!   its end, over many programs. What they share is a [`StateRoot`]. The example `lifecycle` goes
//!   through it.
//! * [`wait`], [`signals`], [`console`]: a container in the foreground of a program on a terminal.
//!
//! # Safe in any program
//! The child shares the caller's memory only until it executes init, and makes raw system calls
//! meanwhile: nothing is copied, so the cost does not grow with the program, and no lock of another
//! thread can be inherited. The container does not depend on the thread that made it, but for
//! [`Sandbox::as_pid_1`]. It ends with the process that made it, however that ends.
//!
//! # Limits
//! x86_64 and aarch64. Namespaces of a sandbox are made, not
//! joined. A program that reaps every child of its own (`waitpid(-1)`), or ignores SIGCHLD, takes
//! the status of a container's first process away; the command's own status is still told, since
//! init sends it.
//!
//! # Kernel versions
//! Linux 5.12 for every sandbox (`mount_setattr`); 5.19 for [`Sandbox::root`] of a directory that
//! lacks a mount point, when root starts it (an id-mapped layer of an overlay).
//! `docs/kernel-features.md` lists each feature and what happens without it.
//!
//! # Privileges
//! None, where ordinary users may make user namespaces: the container has the caller's own id, as
//! any id inside. A caller with `CAP_SETUID`, `CAP_SETGID` and `CAP_SYS_ADMIN` gets a user namespace
//! too, on a range of ids that nothing on the host owns; for that it makes `/run/crabcan/.ids`.
//!
//! # Errors
//! One type, [`Error`]: a variant is an operation and names its object, the source is the kernel's
//! answer. [`Error::Step`] names a step in the words of [`Plan::steps`]; [`Error::exit_code`] is
//! what a shell expects. Nothing is left running after an error.

pub mod console;
mod container;
mod criu;
#[cfg(test)]
#[path = "../../../xtask/fuzz/driver.rs"]
#[allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a target says what it did, and fails by panicking"
)]
mod driver;
mod error;
mod features;
mod foreground;
mod handover;
mod hooks;
mod host;
mod hostname;
mod ids;
mod inherited;
mod landlock;
mod launch;
mod limits;
pub mod listener;
mod locked;
mod net_devices;
mod netlink;
mod notify;
mod plan;
mod process;
mod protocol;
mod provide;
mod resctrl;
mod sandbox;
pub mod signals;
pub mod spec;
mod state;
mod sys;
mod timings;
mod visit;

pub use container::{
    Abandoned, CgroupManager, Checkpoint, Container, Creation, CriuOptions, Execution, Restoration,
};
pub use crabcan_caps::{Capability, CapabilitySet};
pub use crabcan_cgroups as cgroups;
pub use crabcan_cgroups::{Events, IoStatistics, Statistics};
pub use crabcan_ns::{ExitStatus, Namespace};
pub use crabcan_rootfs as rootfs;
pub use criu::ManageCgroups;
pub use error::Error;
pub use features::Features;
pub use foreground::wait;
pub use host::{Host, is_installed};
pub use inherited::{inherited, inherited_descriptor};
pub use landlock::{LandlockMode, landlock_version};
pub use launch::InitProgram;
pub use limits::{Limits, Unenforced};
pub use plan::{Explanation, Plan};
pub use process::Process;
pub use sandbox::{Sandbox, Seccomp};
pub use state::{Id, State, StateRoot, Status};
pub use timings::{Span, Timings};

/// The fuzz targets of what is private, for `fuzz/`: see docs/CONTRIBUTING.md.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod targets {
    pub fn record(bytes: &[u8]) {
        crate::state::target(bytes);
    }

    pub fn netlink(bytes: &[u8]) {
        crate::netlink::tests::target(bytes);
    }

    pub fn criu(bytes: &[u8]) {
        crate::criu::target(bytes);
    }
}
