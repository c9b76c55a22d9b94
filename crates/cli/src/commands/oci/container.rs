//! Commands about one container: `start state kill delete pause resume`.

use std::io::{Write, stdout};

use clap::Parser;
use crabcan_runtime::{Container, Id};

use super::{listing, signal};
use crate::global::Global;

/// Execute the program of a created container
#[derive(Parser)]
pub(super) struct Start {
    /// The name of the container
    #[arg(value_name = "ID")]
    id: String,
}

/// Print the state of a container as JSON
#[derive(Parser)]
pub(super) struct State {
    /// The name of the container
    #[arg(value_name = "ID")]
    id: String,
}

/// Send a signal to the first process of a container
#[derive(Parser)]
pub(super) struct Kill {
    /// Send it to all processes of the container
    #[arg(short, long)]
    all: bool,
    /// The name of the container
    #[arg(value_name = "ID")]
    id: String,
    /// A number, or a name with or without SIG
    #[arg(value_name = "SIGNAL", default_value = "TERM")]
    signal: String,
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
#[derive(Parser)]
pub(super) struct Delete {
    /// Kill it first if it is not stopped; that there is none is no error
    #[arg(short, long)]
    force: bool,
    /// The name of the container
    #[arg(value_name = "ID")]
    id: String,
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
    let container = load(global, &args.id)?;
    if args.all {
        container.kill_all(signal)?;
    } else {
        container.kill(signal)?;
    }
    Ok(0)
}

pub(super) fn delete(global: &Global, args: &Delete) -> anyhow::Result<u8> {
    let root = global.state_root()?;
    let id = Id::new(&args.id)?;
    if args.force {
        Container::delete_by_force(&root, &id)?;
    } else {
        Container::load(&root, &id)?.delete()?;
    }
    Ok(0)
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
