//! The commands: each builds its own parser and no other, and has a frame of its own on the stack:
//! one with all of them would touch many pages that a single command does not need.

mod bwrap;
mod doctor;
mod explain;
mod learn;
mod oci;
mod sandbox;
mod seccomp;

use std::ffi::OsString;
use std::io::{Write, stdout};
use std::path::Path;

use anyhow::bail;
use crabcan_runtime::InitProgram;

use crate::VERSION;
use crate::global::{asks_version, command_position};
use crate::sys::bring_in_stack;

#[cfg(fuzzing)]
pub(crate) use self::{bwrap::tests::target as bwrap_target, oci::user_target};

/// The commands as they are defined, each under its own name.
pub(crate) fn definitions() -> Vec<clap::Command> {
    let own = [
        explain::definition(),
        learn::definition(),
        doctor::definition(),
        seccomp::definition(),
    ];
    own.into_iter().chain(oci::definitions()).collect()
}

/// Finds the command and runs it; the exit code that it ended with.
pub(crate) fn run(mut arguments: Vec<OsString>) -> anyhow::Result<u8> {
    if is_bubblewrap(&arguments) {
        bring_in_stack();
        return Ok(bwrap::run(arguments.get(1..).unwrap_or_default()));
    }
    if asks_version(&arguments) {
        writeln!(stdout(), "crabcan {VERSION}")?;
        return Ok(0);
    }
    let Some(position) = command_position(&arguments) else {
        bring_in_stack();
        return sandbox::run(&arguments);
    };
    let name = arguments.remove(position);
    match name.to_str() {
        Some("bwrap") => {
            bring_in_stack();
            Ok(bwrap::run(arguments.get(position..).unwrap_or_default()))
        }
        Some("doctor") => doctor::run(&arguments),
        Some("explain") => explain::run(&arguments),
        Some("learn") => learn::run(&arguments),
        Some("seccomp") => seccomp::run(&arguments),
        Some(name) if oci::NAMES.contains(&name) => {
            let own = arguments.split_off(position);
            let before = arguments.get(1..).unwrap_or_default();
            Ok(oci::run(name, before, own))
        }
        _ => bail!("{} is no command of crabcan's", name.display()),
    }
}

/// Whether this program was called by the name of bubblewrap's.
fn is_bubblewrap(arguments: &[OsString]) -> bool {
    let name = arguments.first().map(Path::new).and_then(Path::file_name);
    name.is_some_and(|name| name == "bwrap")
}

/// Where `CRABCAN_INIT` says that init's program is to be while it is executed.
fn init_program() -> anyhow::Result<InitProgram> {
    match std::env::var_os("CRABCAN_INIT") {
        None => Ok(InitProgram::Memfd),
        Some(word) if word.is_empty() || word == "memfd" => Ok(InitProgram::Memfd),
        Some(word) if word == "tmpfs" => Ok(InitProgram::Tmpfs),
        Some(word) => bail!("CRABCAN_INIT {}: must be memfd or tmpfs", word.display()),
    }
}

/// The fault that `CRABCAN_FAULT=STEP:ERRNO` asks for, for tests: it can only make a start fail.
fn fault() -> anyhow::Result<Option<(u32, i32)>> {
    let Some(text) = std::env::var_os("CRABCAN_FAULT") else {
        return Ok(None);
    };
    let pair = text.to_str().and_then(|text| text.split_once(':'));
    match pair.map(|(step, errno)| (step.parse(), errno.parse())) {
        Some((Ok(step), Ok(errno))) => Ok(Some((step, errno))),
        _ => bail!("CRABCAN_FAULT {}: must be STEP:ERRNO", text.display()),
    }
}
