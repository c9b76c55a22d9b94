//! One cgroup on every layout: cgroup v2, v1 and hybrid behind one type.
//!
//! A cgroup(7) is a group of processes with limits. The kernel has two versions of them, and hosts
//! have the one, the other, or both at once. [`Hierarchy`] finds out which, from the kernel's own
//! words and never by guessing at paths; [`Cgroup`] is the same to its user on all of them: made,
//! limited, joined, frozen, killed, counted, removed.
//!
//! ```
//! use crabcan_cgroups::{Cgroup, CgroupPath, Hierarchy, Limit, Resources};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut resources = Resources::default();
//! resources.memory.max_bytes = Some(Limit::Of(64 << 20));
//! resources.pids_max = Some(Limit::Of(16));
//!
//! let hierarchy = Hierarchy::of_this_process()?;
//! let place = hierarchy.place(&CgroupPath::unique())?;
//! match Cgroup::create(&hierarchy, &place, resources.controllers()) {
//!     Ok(cgroup) => {
//!         cgroup.apply(&resources)?;
//!         // A child is born in it: `cgroup.unified()` is for CLONE_INTO_CGROUP, and to each of
//!         // `cgroup.task_files()` the child writes `0`.
//!         println!("{:?}", cgroup.statistics()?.memory_current_bytes);
//!         cgroup.remove(Duration::from_secs(1))?;
//!     }
//!     // Never silence: an ordinary user without delegation gets an error, and what to do.
//!     Err(error) => println!("{error}; {}", error.hint().unwrap_or_default()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! * [`Hierarchy`]: what is mounted, and where this process is. [`Place`]: where a cgroup is going to
//!   be, as text for whoever has to find it again.
//! * [`Cgroup`]: the cgroup. One that was made is removed when it is dropped.
//! * [`Resources`]: the limits, in the kernel's units; absent is not zero.
//! * [`DeviceRule`]: lists for v1, and on v2 a BPF program made from the same rules.
//! * [`Statistics`] and [`Events`]: what the kernel has counted, and which limit has struck.
//!
//! # The two versions
//! What one version can't do is an error that names the controller, the file and the value, see
//! [`Error::Unsupported`]. What both can do, by other names and in other units, is converted: shares
//! and weights of processors, memory with swap, weights of block devices. On a hybrid host each
//! controller is used where it is.
//!
//! In v2 a cgroup with processes of its own can't hand on controllers. [`Hierarchy::place`] looks
//! for a cgroup that can; [`Cgroup::create`] moves the processes of a *delegated* cgroup into a child
//! `crabcan-aside`, and of no other.
//!
//! # Limits
//! A cgroup of v1 is in several trees, and joining them is not one act. `remove` of a tree of cgroups
//! needs one descriptor for each level of depth.
//!
//! # Kernel versions
//! Linux 5.10. `cgroup.kill` is 5.14, before that processes are killed one by one; `cpu.max.burst`
//! 5.14, `cpu.idle` 5.15, `memory.peak` 5.19.
//!
//! # Privileges
//! Root, or a user to whom a cgroup of v2 is delegated. Device rules on v2 need `CAP_SYS_ADMIN`.
//!
//! # Errors
//! [`Error`] names the object, its source is the kernel's answer, and [`Error::hint`] says what can
//! be done.

mod cgroup;
mod controller;
mod delegate;
mod devices;
mod directory;
mod error;
#[cfg(test)]
mod fake;
mod hierarchy;
mod home;
mod life;
mod mounts;
mod path;
mod probe;
mod resources;
mod stale;
mod statistics;
mod sys;
#[cfg(feature = "systemd")]
pub mod systemd;
mod v1;
mod v2;
mod vacate;
mod writes;

pub use cgroup::Cgroup;
pub use controller::{Controller, Controllers};
pub use devices::{DeviceAccess, DeviceKind, DeviceProgram, DeviceRule, Instruction};
pub use error::Error;
pub use hierarchy::{Hierarchy, Place, Tree};
pub use path::CgroupPath;
pub use resources::{
    Cpu, DeviceWeight, HugepageLimit, Io, Limit, Memory, Network, RdmaLimit, Resources, Throttle,
};
pub use stale::remove_stale;
pub use statistics::{Events, IoStatistics, Statistics};
