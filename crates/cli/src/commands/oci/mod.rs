//! The commands of an OCI runtime, with the grammar of runc and crun.

mod about;
mod bundle;
mod checkpoint;
mod container;
mod events;
mod exec;
mod limits;
mod listing;
mod signal;

use std::ffi::OsString;

use anyhow::bail;
use clap::{CommandFactory, Parser};

use crate::global::Global;
use crate::{hints, logging};

/// The names of the commands.
pub(super) const NAMES: &[&str] = &[
    "create",
    "start",
    "state",
    "kill",
    "delete",
    "run",
    "exec",
    "ps",
    "list",
    "gc",
    "pause",
    "resume",
    "update",
    "events",
    "spec",
    "features",
    "checkpoint",
    "restore",
];

/// What a failed command ends with, as runc's do; `exec` could not be told from its program else.
const FAILURE: u8 = 1;
const FAILURE_OF_EXEC: u8 = 255;

/// Runs a command to its end and tells of its failure where the caller looks for that.
pub(super) fn run(name: &str, before: &[OsString], own: Vec<OsString>) -> u8 {
    let (global, done) = match Global::read(before) {
        Ok(global) => {
            let done = logging::start_oci(&global).and_then(|()| dispatch(name, &global, own));
            (global, done)
        }
        Err(error) => (Global::default(), Err(error)),
    };
    match done {
        Ok(code) => code,
        Err(error) if hints::is_answer(&error) => hints::print_answer(&error),
        Err(error) => {
            hints::report_oci(name, &error, &global);
            match name {
                "exec" => FAILURE_OF_EXEC,
                _ => FAILURE,
            }
        }
    }
}

fn dispatch(name: &str, global: &Global, own: Vec<OsString>) -> anyhow::Result<u8> {
    match name {
        "create" => bundle::create(global, &read(name, own)?),
        "run" => bundle::run(global, &read(name, own)?),
        "start" => container::start(global, &read(name, own)?),
        "state" => container::state(global, &read(name, own)?),
        "kill" => container::kill(global, &read(name, own)?),
        "delete" => container::delete(global, &read(name, own)?),
        "exec" => exec::exec(global, &read(name, own)?),
        "pause" => container::pause(global, &read(name, own)?),
        "resume" => container::resume(global, &read(name, own)?),
        "ps" => listing::ps(global, &read(name, own)?),
        "events" => events::events(global, &read(name, own)?),
        "update" => limits::update(global, &read(name, own)?),
        "spec" => about::spec(&read(name, own)?),
        "features" => about::features(&read(name, own)?),
        "checkpoint" => checkpoint::checkpoint(global, &read(name, own)?),
        "restore" => {
            let read = read(name, own).map_err(checkpoint::in_words_of_engines)?;
            checkpoint::restore(global, &read)
        }
        "gc" => listing::gc(global, &read(name, own)?),
        "list" => listing::list(global, &read(name, own)?),
        _ => bail!("{name} is not supported"),
    }
}

/// The commands as they are defined.
pub(super) fn definitions() -> Vec<clap::Command> {
    fn of<T: CommandFactory>(name: &'static str) -> clap::Command {
        T::command().name(name)
    }
    vec![
        of::<bundle::Create>("create"),
        of::<bundle::Run>("run"),
        of::<container::Start>("start"),
        of::<container::State>("state"),
        of::<container::Kill>("kill"),
        of::<container::Delete>("delete"),
        of::<exec::Exec>("exec"),
        of::<listing::Ps>("ps"),
        of::<listing::List>("list"),
        of::<listing::Gc>("gc"),
        of::<container::Pause>("pause"),
        of::<container::Resume>("resume"),
        of::<limits::Update>("update"),
        of::<events::Events>("events"),
        of::<about::Spec>("spec"),
        of::<about::FeaturesArgs>("features"),
        of::<checkpoint::Checkpoint>("checkpoint"),
        of::<checkpoint::Restore>("restore"),
    ]
}

/// Reads the arguments behind a command's name, and builds this one parser.
fn read<T: Parser>(name: &str, own: Vec<OsString>) -> anyhow::Result<T> {
    let program = OsString::from(format!("crabcan {name}"));
    Ok(T::try_parse_from(std::iter::once(program).chain(own))?)
}
