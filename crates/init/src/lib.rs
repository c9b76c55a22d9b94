//! The steps of a container's start: their flat format, their code, and the small program that
//! walks them.
//!
//! A plan is a list of [`Step`]s. [`PlanWriter`] makes one block of bytes of it, which a runtime puts
//! into a sealed memory file beside [`PROGRAM`], a static executable of some 32 KB. The program is
//! the first process of the container: it maps the plan, checks it whole, and does step after step
//! with raw system calls, down to the one that executes the command. It has no heap, no libc, no
//! locks and no writable memory but its stack, and nothing of the host's is mapped in it.
//!
//! ```
//! use crabcan_init::format::{FlatPlan, Strings};
//! use crabcan_init::{PlanWriter, Step};
//!
//! let mut plan = PlanWriter::new();
//! plan.push(&Step::Hostname { name: c"brisk-otter-12" })?;
//! plan.push(&Step::Exec {
//!     candidates: Strings::new(b"/usr/bin/id\0/bin/id\0").unwrap(),
//!     args: Strings::new(b"id\0-u\0").unwrap(),
//!     env: Strings::new(b"").unwrap(),
//! })?;
//! let bytes = plan.finish(None);
//!
//! let plan = FlatPlan::parse(&bytes).expect("not damaged");
//! let words: Vec<String> = plan.steps().map(|step| step.to_string()).collect();
//! assert_eq!(words[0], "set host name brisk-otter-12");
//! assert_eq!(words[1], "execute the first of /usr/bin/id, /bin/id");
//! # Ok::<(), crabcan_init::TooLong>(())
//! ```
//!
//! `examples/plan.rs` also runs the program on a plan, as an ordinary user.
//!
//! # How the program is started
//! Its channel to the parent, a socket pair of packets ([`message`]), is descriptor 3, the plan is
//! descriptor 4, and no other is open but 0, 1 and 2. Nobody may change the plan while the program
//! runs: seal it. Most steps need the namespaces that the program was cloned into.
//!
//! It says `Ready` and waits for the parent's word; it says `Failed` with the step's index and the
//! kernel's error number and ends with 1; the channel's end means that the command was executed or
//! that init is gone, and wait(2) tells which. After [`Step::Reaper`] the process that stays says
//! `Started` and in the end how the command ended. When the command could not be executed, it says
//! `Failed` instead of `Started`; the other process tells it why by a store into memory, which no
//! filter of system calls can forbid. When the channel's other end closes, the reaper kills the
//! command and ends, and with it, as pid 1, the whole container.
//!
//! # Using steps at once
//! A step's code is written once. [`steps::capability`] and [`steps::beneath`] offer it to programs
//! that act on their own thread, without init.
//!
//! # Limits
//! x86_64 and aarch64, Linux only. A plan has at most 16 MiB ([`format::MAX_LENGTH`]), is in native
//! byte order, and is good for the [`PROGRAM`] of the same build only ([`format::VERSION`]). The
//! checksum finds damage, not malice: whoever writes a plan decides what is executed.
//!
//! # Kernel versions and privileges
//! The program needs Linux 5.10; `mount_setattr` is of 5.12, a rootless overlay of 5.11. On an older
//! kernel the step that needs more fails with ENOSYS or EINVAL, and is named. Reading and writing
//! plans needs no privilege; each step needs what its man page says.
//!
//! # Errors
//! [`format::Damage`] says why a plan is refused, [`TooLong`] that it can't be written, [`Errno`] is
//! the kernel's answer to a step.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod display;
mod errno;
pub mod format;
pub mod message;
#[allow(
    dead_code,
    reason = "the program's own, compiled here to be checked and tested"
)]
mod reaper;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a sample that can't be made fails its test"
)]
mod samples;
pub mod step;
#[allow(dead_code, reason = "the program uses what the library does not")]
pub mod steps;
#[allow(dead_code, reason = "the program uses what the library does not")]
mod sys;
#[allow(
    dead_code,
    reason = "the program's own, compiled here to be checked and tested"
)]
mod walk;
mod writer;

pub use errno::Errno;
pub use step::Step;
pub use writer::{PlanWriter, TooLong};

/// The program `crabcan-init`, a static executable for the target's architecture.
pub static PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/crabcan-init"));
