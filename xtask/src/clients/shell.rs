//! Running one command of a scenario: as whom, with which environment, for how long.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::machine::{HOME, Machine, RUNTIME_DIR, WORK};
use crate::scratch::ORDINARY_ID;

/// How long a command may take, in seconds, where its scenario says nothing.
pub(crate) const LIMIT_S: u32 = 60;

/// Where scenarios find `pty`.
const TOOLS: &str = "/run/clients/tools";

/// Runs its first argument, a command of `sh`, on a terminal whose input never ends.
const PTY: &str = r#"#!/bin/sh
exec script -qec "$1" /dev/null <>/run/clients/tools/silence
"#;

/// Makes the programs that scenarios use besides the clients.
pub(crate) fn make_tools() -> Result<()> {
    let dir = Path::new(TOOLS);
    fs::create_dir(dir).context("create the directory of the tools")?;
    let pty = dir.join("pty");
    fs::write(&pty, PTY)
        .and_then(|()| fs::set_permissions(&pty, Permissions::from_mode(0o755)))
        .context("write pty")?;
    let fifo = dir.join("silence");
    mkfifo(&fifo, Mode::from_bits_truncate(0o666)).context("make a FIFO")?;
    // The umask has taken its part.
    fs::set_permissions(&fifo, Permissions::from_mode(0o666)).context("set the FIFO's mode")
}

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Standard output and error, as they came.
    pub(crate) output: String,
    /// As the shell counts: 128 and the number for a signal.
    pub(crate) status: i32,
}

/// Who runs a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    Root,
    /// The user `can`.
    Ordinary,
}

/// Runs a script with `sh`.
///
/// Its output goes to a file and not to a pipe: what a detached container holds open must not be
/// waited for.
pub(crate) fn run(machine: &Machine, user: User, script: &str, limit_s: u32) -> Result<Answer> {
    let path = Path::new(WORK).join("output");
    let output = File::create(&path).context("create the file for the output")?;
    let both = output.try_clone().context("a second descriptor")?;
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", &limit_s.to_string(), "/bin/sh", "-c"])
        .arg(script)
        .env_clear()
        .env(
            "PATH",
            format!("{TOOLS}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        )
        .env("TERM", "xterm")
        .env("LC_ALL", "C.UTF-8")
        .env("CONTAINERS_CONF", Machine::containers_conf_path())
        .env("RUNTIME", &machine.runtime)
        .env("RUNTIME_NAME", &machine.name)
        .env("WORK", WORK)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(both);
    match user {
        User::Root => command.current_dir("/root").env("HOME", "/root"),
        User::Ordinary => command
            .current_dir(HOME)
            .env("HOME", HOME)
            .env("USER", "can")
            .env("XDG_RUNTIME_DIR", RUNTIME_DIR)
            .uid(ORDINARY_ID)
            .gid(ORDINARY_ID),
    };
    let status = command.status().context("run timeout(1)")?;
    let signal = status.signal().map(|number| 128 + number);
    let output = fs::read(&path).context("read the output")?;
    Ok(Answer {
        output: String::from_utf8_lossy(&output).into_owned(),
        status: status.code().or(signal).unwrap_or(-1),
    })
}
