//! `list` and `ps`: what there is.

use std::ffi::OsString;
use std::io::{Write, stdout};
use std::process::Command;

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use crabcan_runtime::{Container, Error, State, StateRoot};
use serde_json::Value;

use super::container::load;
use crate::global::Global;

/// Show the processes of a container
#[derive(Parser)]
pub(super) struct Ps {
    /// How to print them
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// The name of the container
    #[arg(value_name = "ID")]
    id: String,
    /// Options of ps(1) for the table [default: -ef]
    #[arg(
        value_name = "OPTION",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    options: Vec<OsString>,
}

pub(super) fn ps(global: &Global, args: &Ps) -> anyhow::Result<u8> {
    let pids = load(global, &args.id)?.processes()?;
    let text = match args.format {
        Format::Json => serde_json::to_string(&pids)? + "\n",
        Format::Table => {
            let mut command = Command::new("ps");
            match args.options.as_slice() {
                [] => command.arg("-ef"),
                options => command.args(options),
            };
            let output = command.output().context("run ps(1)")?;
            if !output.status.success() {
                bail!("ps(1): {}", String::from_utf8_lossy(&output.stderr).trim());
            }
            of_these(&String::from_utf8_lossy(&output.stdout), &pids)?
        }
    };
    stdout().write_all(text.as_bytes())?;
    Ok(0)
}

/// The lines of a table that are about these processes, and its header.
fn of_these(table: &str, pids: &[i32]) -> anyhow::Result<String> {
    let header = table.lines().next().unwrap_or_default();
    let column = header.split_whitespace().position(|word| word == "PID");
    let column = column.context("ps(1) has printed no column PID")?;
    let is_one = |line: &&str| {
        let pid = line.split_whitespace().nth(column);
        pid.and_then(|pid| pid.parse().ok())
            .is_some_and(|pid| pids.contains(&pid))
    };
    let lines = std::iter::once(header).chain(table.lines().skip(1).filter(is_one));
    Ok(lines.map(|line| format!("{line}\n")).collect())
}

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
    if global.root.is_some() {
        // A name that is misspelt has no containers either; where it is not said, there are none yet.
        let path = root.path();
        std::fs::metadata(path).with_context(|| format!("--root {}", path.display()))?;
    }
    if args.quiet {
        // A name needs no look at what the container does.
        let names = of_all(&root, |container| Ok(format!("{}\n", container.id())))?;
        stdout().write_all(names.concat().as_bytes())?;
        return Ok(0);
    }
    let states = of_all(&root, |container| container.state())?;
    let text = match args.format {
        Format::Json => {
            let states: Result<Vec<_>, _> = states.iter().map(with_owner).collect();
            serde_json::to_string(&states?)?
        }
        Format::Table => table(&states),
    };
    stdout().write_all(text.as_bytes())?;
    Ok(0)
}

/// What is to be known of each container; those that it can't be known of are left out, and told.
fn of_all<T>(
    root: &StateRoot,
    look: impl Fn(&Container) -> Result<T, Error>,
) -> anyhow::Result<Vec<T>> {
    let mut all = Vec::new();
    for id in root.ids()? {
        match Container::load(root, &id).and_then(|container| look(&container)) {
            Ok(one) => all.push(one),
            // Deleted meanwhile.
            Err(Error::NotFound { .. }) => {}
            Err(error) => log::warn!("container {id} is left out: {error}"),
        }
    }
    Ok(all)
}

/// Remove what killed crabcans have left behind, and nothing that is alive
#[derive(Parser)]
pub(super) struct Gc {}

pub(super) fn gc(global: &Global, _: &Gc) -> anyhow::Result<u8> {
    let mut failed = 0;
    for found in Container::collect_garbage(&global.state_root()?)? {
        let id = found.id;
        match found.removed {
            Ok(()) => writeln!(stdout(), "{id}")?,
            Err(error) => {
                failed = 1;
                log::warn!("container {id} is left as it is: {error}");
            }
        }
    }
    Ok(failed)
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
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_of(&users, uid).map_or_else(|| format!("#{uid}"), str::to_owned)
}

/// The first user with this number in a passwd(5): getpwuid(3) of a static program reads no more.
fn name_of(users: &str, uid: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid)).then_some(name)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_that_of_the_first_user_with_the_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\n# 7\nbad\none:x:7:7::/:\ntwo:x:7:7::/:\n";
        assert_eq!(name_of(users, 0), Some("root"));
        assert_eq!(name_of(users, 7), Some("one"));
        assert_eq!(name_of(users, 8), None);
    }

    #[test]
    fn only_the_containers_lines_are_shown() {
        let table = "UID   PID PPID CMD\nroot  7  1 sh 8\nroot  8  7 ls\nroot 77  1 x\n";
        let shown = of_these(table, &[8, 9]).unwrap();
        assert_eq!(shown, "UID   PID PPID CMD\nroot  8  7 ls\n");
        assert!(of_these("USER CMD\n", &[8]).is_err());
    }
}
