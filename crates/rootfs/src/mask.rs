//! Paths of the kernel's file systems that a container is not to see, or not to change.

use std::path::Path;

use crabcan_init::{PlanWriter, Step};

use crate::Error;
use crate::mount::c_path;

/// What container engines hide: secrets of the kernel and of the machine.
pub const DEFAULT_MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

/// What container engines make read-only: settings of the machine, not of the container.
pub const DEFAULT_READ_ONLY: &[&str] = &[
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Appends a step for each path that covers it: a file by the null device, a directory by an
/// empty one that can't be written to. A path that is not there is passed over.
///
/// # Errors
/// [`Error::NotAbsolute`], [`Error::Nul`] and [`Error::TooLong`].
pub fn push_masked<P: AsRef<Path>>(
    plan: &mut PlanWriter,
    paths: impl IntoIterator<Item = P>,
) -> Result<(), Error> {
    for path in paths {
        let target = &absolute(path.as_ref())?;
        plan.push(&Step::Mask { target })?;
    }
    Ok(())
}

/// Appends a step for each path that makes it, and what is mounted below it, read-only. A path
/// that is not there is passed over.
///
/// # Errors
/// [`Error::NotAbsolute`], [`Error::Nul`] and [`Error::TooLong`].
pub fn push_read_only<P: AsRef<Path>>(
    plan: &mut PlanWriter,
    paths: impl IntoIterator<Item = P>,
) -> Result<(), Error> {
    for path in paths {
        let target = &absolute(path.as_ref())?;
        plan.push(&Step::ReadOnly { target })?;
    }
    Ok(())
}

fn absolute(path: &Path) -> Result<std::ffi::CString, Error> {
    if path.is_absolute() {
        c_path(path)
    } else {
        Err(Error::NotAbsolute { path: path.into() })
    }
}
