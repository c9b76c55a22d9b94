//! `list` and `ps`: what there is.

use std::io::{Write, stdout};

use clap::{Parser, ValueEnum};
use crabcan_runtime::{Container, Error, State};
use nix::unistd::{Uid, User};
use serde_json::Value;

use crate::global::Global;

/// List the containers of this state directory
#[derive(Parser)]
pub(super) struct List {
    /// How to print them
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// Print their names only
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

pub(super) fn list(global: &Global, args: &List) -> anyhow::Result<u8> {
    let root = global.state_root()?;
    let mut states = Vec::new();
    for id in root.ids()? {
        match Container::load(&root, &id).and_then(|container| container.state()) {
            Ok(state) => states.push(state),
            // Deleted meanwhile.
            Err(Error::NotFound { .. }) => {}
            Err(error) => log::warn!("container {id} is left out: {error}"),
        }
    }
    let text = match (args.quiet, args.format) {
        (true, _) => states
            .iter()
            .map(|state| format!("{}\n", state.id))
            .collect(),
        (false, Format::Json) => {
            let states: Result<Vec<_>, _> = states.iter().map(with_owner).collect();
            serde_json::to_string(&states?)?
        }
        (false, Format::Table) => table(&states),
    };
    stdout().write_all(text.as_bytes())?;
    Ok(0)
}

fn table(states: &[State]) -> String {
    let header = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let rows = states.iter().map(|state| {
        [
            state.id.clone(),
            state.pid.to_string(),
            state.status.to_string(),
            state.bundle.display().to_string(),
            state.created.clone(),
            owner(state.owner),
        ]
    });
    let rows: Vec<_> = std::iter::once(header).chain(rows).collect();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(String::len)
            .max()
    };
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().enumerate();
        let line: String = cells
            .map(|(column, cell)| format!("{cell:<0$}", width(column).unwrap_or(0).max(12) + 1))
            .collect();
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// The state as JSON, with the owner's name.
pub(super) fn with_owner(state: &State) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(state)?;
    if let Some(object) = value.as_object_mut() {
        object.insert("owner".into(), owner(state.owner).into());
    }
    Ok(value)
}

/// The name of a user, else its number as runc writes it.
fn owner(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        _ => format!("#{uid}"),
    }
}
