//! Commands about one container: `start state kill delete pause resume`.

use std::io::{Write, stdout};

use anyhow::Context;
use clap::Parser;
use crabcan_runtime::{Container, Error, Id};
use regex_lite::Regex;

use super::{listing, signal};
use crate::global::Global;
use crate::hints;

/// Execute the program of a created container
#[derive(Debug, Parser)]
pub(super) struct Start {
    /// The name of the container
    #[arg(value_name = "ID")]
    pub(super) id: String,
}

/// Print the state of a container as JSON
#[derive(Debug, Parser)]
pub(super) struct State {
    /// The name of the container
    #[arg(value_name = "ID")]
    pub(super) id: String,
}

/// Send a signal to the first process of a container
#[derive(Debug, Parser)]
pub(super) struct Kill {
    /// Send it to all processes of the container
    #[arg(short, long)]
    pub(super) all: bool,
    /// ID is a regular expression: every container with a name that it is found in; ^ and $ are the
    /// ends of a name
    #[arg(short, long)]
    pub(super) regex: bool,
    /// The name of the container
    #[arg(value_name = "ID")]
    pub(super) id: String,
    /// A number, or a name with or without SIG
    #[arg(value_name = "SIGNAL", default_value = "TERM")]
    pub(super) signal: String,
}

/// Stop all processes of a container until it is resumed
#[derive(Parser)]
pub(super) struct Pause {
    /// The name of the container
    #[arg(value_name = "ID")]
    id: String,
}

/// Let the processes of a paused container go on
#[derive(Parser)]
pub(super) struct Resume {
    /// The name of the container
    #[arg(value_name = "ID")]
    id: String,
}

/// Delete a stopped container
#[derive(Debug, Parser)]
pub(super) struct Delete {
    /// Kill it first if it is not stopped; that there is none is no error
    #[arg(short, long)]
    pub(super) force: bool,
    /// ID is a regular expression: every container with a name that it is found in; ^ and $ are the
    /// ends of a name
    #[arg(short, long)]
    pub(super) regex: bool,
    /// The name of the container
    #[arg(value_name = "ID")]
    pub(super) id: String,
}

pub(super) fn start(global: &Global, args: &Start) -> anyhow::Result<u8> {
    load(global, &args.id)?.start()?;
    Ok(0)
}

pub(super) fn state(global: &Global, args: &State) -> anyhow::Result<u8> {
    let state = load(global, &args.id)?.state()?;
    let mut text = serde_json::to_string_pretty(&listing::with_owner(&state)?)?;
    text.push('\n');
    stdout().write_all(text.as_bytes())?;
    Ok(0)
}

pub(super) fn kill(global: &Global, args: &Kill) -> anyhow::Result<u8> {
    let signal = signal::parse(&args.signal)?;
    let root = global.state_root()?;
    of_these("kill", global, &args.id, args.regex, |id| {
        let container = Container::load(&root, id)?;
        match args.all {
            true => container.kill_all(signal),
            false => container.kill(signal),
        }
    })
}

pub(super) fn delete(global: &Global, args: &Delete) -> anyhow::Result<u8> {
    let root = global.state_root()?;
    of_these("delete", global, &args.id, args.regex, |id| {
        match args.force {
            true => Container::delete_by_force(&root, id),
            false => Container::load(&root, id)?.delete(),
        }
    })
}

/// Does it to the container of this name, or to all that a regular expression is found in. What
/// fails for one of several is told and is no reason to leave the others alone.
fn of_these(
    command: &str,
    global: &Global,
    name: &str,
    is_regex: bool,
    act: impl Fn(&Id) -> Result<(), Error>,
) -> anyhow::Result<u8> {
    if !is_regex {
        act(&Id::new(name)?)?;
        return Ok(0);
    }
    let wanted = Regex::new(name)
        .with_context(|| format!("invalid regular expression \"{}\"", name.escape_debug()))?;
    let mut failed = 0;
    for id in global.state_root()?.ids()? {
        if !wanted.is_match(id.as_str()) {
            continue;
        }
        match act(&id) {
            // Deleted meanwhile.
            Ok(()) | Err(Error::NotFound { .. }) => {}
            Err(error) => {
                failed = 1;
                let error = anyhow::Error::from(error).context(format!("container {id}"));
                hints::report_oci(command, &error, global);
            }
        }
    }
    Ok(failed)
}

pub(super) fn pause(global: &Global, args: &Pause) -> anyhow::Result<u8> {
    load(global, &args.id)?.pause()?;
    Ok(0)
}

pub(super) fn resume(global: &Global, args: &Resume) -> anyhow::Result<u8> {
    load(global, &args.id)?.resume()?;
    Ok(0)
}

pub(super) fn load(global: &Global, id: &str) -> anyhow::Result<Container> {
    Ok(Container::load(&global.state_root()?, &Id::new(id)?)?)
}
