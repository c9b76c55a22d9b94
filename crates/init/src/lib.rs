//! The steps of a container's start: their flat format, their code, and the small program that
//! walks them.
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
