//! The first root of the machine: busybox, modules, a script, and the job.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::Boot;
use super::cpio::Archive;
use super::kernel::Kernel;

/// Units of systemd that take much time where it is emulated, and do nothing for the tests. A unit
/// whose file is empty is not started.
const MASKED: &[&str] = &[
    "systemd-udev-trigger.service",
    "systemd-sysusers.service",
    "systemd-binfmt.service",
    "systemd-update-utmp.service",
];

/// Packs what `boot` begins with; `command` is the shell script that it is for, `files` are laid
/// beside it in `/run/crabcan-vm`.
pub(super) fn pack(
    boot: Boot,
    kernel: &Kernel,
    busybox: &Path,
    command: &str,
    files: &[(&str, String)],
) -> Result<Vec<u8>> {
    let busybox = fs::read(busybox).with_context(|| format!("read {}", busybox.display()))?;
    let mut archive = Archive::default();
    for path in ["bin", "modules", "crabcan-vm"] {
        archive.directory(path)?;
    }
    archive.file("bin/busybox", &busybox)?;
    archive.file("init", include_bytes!("init.sh"))?;
    for (index, (name, content)) in kernel.modules()?.into_iter().enumerate() {
        archive.file(&format!("modules/{index:02}-{name}"), &content)?;
    }
    archive.file("crabcan-vm/busybox", &busybox)?;
    archive.file("crabcan-vm/job", include_bytes!("job.sh"))?;
    archive.file("crabcan-vm/command", command.as_bytes())?;
    let workspace = crate::cargo::workspace()?;
    archive.file("crabcan-vm/workspace", workspace.as_os_str().as_bytes())?;
    for (name, content) in files {
        archive.file(&format!("crabcan-vm/{name}"), content.as_bytes())?;
    }
    if boot == Boot::Systemd {
        archive.directory("units")?;
        let unit = include_bytes!("crabcan-vm.service");
        archive.file("units/crabcan-vm.service", unit)?;
        for unit in MASKED {
            archive.file(&format!("units/{unit}"), &[])?;
        }
    }
    archive.finish()
}
