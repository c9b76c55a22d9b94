//! How a process is scheduled, where its memory comes from, and what time it is.

use core::mem::size_of;

use super::{address, address_mut, call, nr};
use crate::errno::Errno;

/// `struct sched_attr` of sched_setattr(2), in its first version.
#[repr(C)]
pub(crate) struct SchedAttr {
    pub(crate) size: u32,
    pub(crate) policy: u32,
    pub(crate) flags: u64,
    pub(crate) nice: i32,
    pub(crate) priority: u32,
    pub(crate) runtime: u64,
    pub(crate) deadline: u64,
    pub(crate) period: u64,
}

impl SchedAttr {
    pub(crate) const SIZE: u32 = size_of::<Self>() as u32;
}

/// The time by CLOCK_MONOTONIC in nanoseconds.
pub(crate) fn now() -> Result<u64, Errno> {
    const CLOCK_MONOTONIC: usize = 1;
    let mut time = [0u64; 2];
    call(nr::CLOCK_GETTIME, [CLOCK_MONOTONIC, address_mut(&mut time)])?;
    Ok(time[0] * 1_000_000_000 + time[1])
}

pub(crate) fn sched_setattr(attr: &SchedAttr) -> Result<(), Errno> {
    call(nr::SCHED_SETATTR, [0, address(attr), 0]).map(drop)
}

pub(crate) fn ioprio_set(class: u32, level: u32) -> Result<(), Errno> {
    const IOPRIO_WHO_PROCESS: usize = 1;
    const IOPRIO_CLASS_SHIFT: u32 = 13;
    let priority = class << IOPRIO_CLASS_SHIFT | level;
    call(nr::IOPRIO_SET, [IOPRIO_WHO_PROCESS, 0, priority as usize]).map(drop)
}

/// `cpus` is an array of `unsigned long`; what is behind its end counts as zero.
pub(crate) fn sched_setaffinity(cpus: &[u8]) -> Result<(), Errno> {
    let args = [0, cpus.len(), cpus.as_ptr() as usize];
    call(nr::SCHED_SETAFFINITY, args).map(drop)
}

pub(crate) fn personality(persona: u32) -> Result<(), Errno> {
    call(nr::PERSONALITY, [persona as usize]).map(drop)
}

/// `nodes` is an array of `unsigned long`.
pub(crate) fn set_mempolicy(mode: u32, nodes: &[u8]) -> Result<(), Errno> {
    // The kernel takes one bit less than it is told.
    let bits = nodes.len() * 8 + 1;
    let args = match nodes.is_empty() {
        true => [mode as usize, 0, 0],
        false => [mode as usize, nodes.as_ptr() as usize, bits],
    };
    call(nr::SET_MEMPOLICY, args).map(drop)
}
