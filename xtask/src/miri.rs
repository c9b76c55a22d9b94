//! `miri`: the unit tests of formats, parsers and packets under the interpreter that finds undefined
//! behaviour. What makes system calls can't be run there.

use std::process::{Command, Stdio};

use anyhow::{Result, bail, ensure};

use crate::cargo::{self, workspace};
use crate::parts::Parts;

const HINT: &str = "rustup toolchain install nightly --component miri --component rust-src";

/// What is run of each crate: parts of names.
const RUNS: [(&str, &[&str]); 4] = [
    ("crabcan-init", &["format::", "message::", "display::"]),
    ("crabcan-cgroups", &["wire::", "message::", "hierarchy::"]),
    ("crabcan-rootfs", &["options::"]),
    (
        "crabcan-runtime",
        &["netlink::", "wire::", "record::", "id::"],
    ),
];

/// What is left out: targets of the fuzzer, which would be interpreted a thousand times, a plan of
/// 16 MiB, which would take hours, and what asks the kernel.
const SKIPPED: [&str; 4] = [
    "fuzz_",
    "a_plan_has_a_greatest_length",
    "a_plain_directory_is_no_cgroup",
    "the_kernel_answers",
];

pub(crate) fn miri() -> Result<()> {
    require()?;
    let mut parts = Parts::new("miri");
    for (package, filters) in RUNS {
        parts.run(package, || {
            let mut command = Command::new("cargo");
            command
                .args([
                    "+nightly", "miri", "test", "--quiet", "-p", package, "--lib", "--",
                ])
                .args(filters)
                .args(SKIPPED.iter().flat_map(|name| ["--skip", name]))
                .current_dir(workspace()?)
                // The cargo that started this task would choose its own compiler.
                .env_remove("RUSTUP_TOOLCHAIN")
                .env("MIRIFLAGS", "-Zmiri-disable-isolation")
                .stdin(Stdio::null());
            crate::programs::without_cargo(&mut command);
            command.env("CARGO_TARGET_DIR", workspace()?.join("target/miri"));
            cargo::succeed(&mut command)
        });
    }
    parts.finish()
}

/// Says what is missing.
fn require() -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["+nightly", "miri", "--version"]);
    command.env_remove("RUSTUP_TOOLCHAIN");
    let Ok(output) = command.output() else {
        bail!("there is no cargo of rustup's\nhint: {HINT}");
    };
    ensure!(
        output.status.success(),
        "Miri is not here: {}\nhint: {HINT}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
