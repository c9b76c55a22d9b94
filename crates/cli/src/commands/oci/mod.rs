//! The commands of an OCI runtime, with the grammar of runc and crun.

mod about;
mod bundle;
mod checkpoint;
mod container;
mod events;
mod exec;
mod info;
mod limits;
mod listing;
mod quick;
mod signal;

use std::ffi::OsString;

use anyhow::bail;
use clap::{CommandFactory, Parser};

#[cfg(fuzzing)]
pub(crate) use self::exec::tests::target as user_target;
use self::quick::Quick;
use crate::global::Global;
use crate::sys::bring_in_stack;
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
    "info",
    "completion",
    "checkpoint",
    "restore",
];

/// What a failed command ends with, as runc's do; `exec` could not be told from its program else.
const FAILURE: u8 = 1;
const FAILURE_OF_EXEC: u8 = 255;

/// Runs a command to its end and tells of its failure where the caller looks for that.
#[inline(never)]
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
    if matches!(name, "create" | "run" | "exec") {
        bring_in_stack();
    }
    let line = Line { name, global, own };
    match name {
        "create" => line.quickly(bundle::create),
        "run" => line.quickly(bundle::run),
        "start" => line.quickly(container::start),
        "state" => line.quickly(container::state),
        "kill" => line.quickly(container::kill),
        "delete" => line.quickly(container::delete),
        "exec" => line.quickly(exec::exec),
        "pause" => line.act(container::pause),
        "resume" => line.act(container::resume),
        "ps" => line.act(listing::ps),
        "events" => line.act(events::events),
        "update" => line.act(limits::update),
        "spec" => line.act(|_, args| about::spec(args)),
        "features" => line.act(|_, args| about::features(args)),
        "info" => line.act(info::info),
        "completion" => line.act(|_, args| about::completion(args)),
        "checkpoint" => line.act(checkpoint::checkpoint),
        "restore" => line.restore(),
        "gc" => line.act(listing::gc),
        "list" => line.act(listing::list),
        _ => bail!("{name} is not supported"),
    }
}

/// What stands behind a command's name, and before it.
struct Line<'a> {
    name: &'a str,
    global: &'a Global,
    own: Vec<OsString>,
}

/// What a command does.
type Act<T> = fn(&Global, &T) -> anyhow::Result<u8>;

impl Line<'_> {
    #[inline(never)]
    fn act<T: Parser>(self, act: Act<T>) -> anyhow::Result<u8> {
        act(self.global, &read(self.name, self.own)?)
    }

    /// Without its parser where that is possible.
    #[inline(never)]
    fn quickly<T: Parser + Quick>(self, act: Act<T>) -> anyhow::Result<u8> {
        match T::quick(&self.own) {
            Some(args) => act(self.global, &args),
            None => self.act(act),
        }
    }

    #[inline(never)]
    fn restore(self) -> anyhow::Result<u8> {
        let read = read(self.name, self.own).map_err(checkpoint::in_words_of_engines)?;
        checkpoint::restore(self.global, &read)
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
        of::<info::Info>("info"),
        of::<about::Completion>("completion"),
        of::<checkpoint::Checkpoint>("checkpoint"),
        of::<checkpoint::Restore>("restore"),
    ]
}

/// Reads the arguments behind a command's name, and builds this one parser.
fn read<T: Parser>(name: &str, own: Vec<OsString>) -> anyhow::Result<T> {
    let program = OsString::from(format!("crabcan {name}"));
    Ok(T::try_parse_from(std::iter::once(program).chain(own))?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;

    /// `NAME --FLAG` of all its long options.
    fn flags<T: CommandFactory>(name: &str) -> Vec<String> {
        let command = T::command();
        let long = command.get_arguments().filter_map(|one| one.get_long());
        long.map(|long| format!("{name} --{long}")).collect()
    }

    fn known() -> BTreeSet<String> {
        let all = [
            flags::<bundle::Create>("create"),
            flags::<bundle::Run>("run"),
            flags::<container::Start>("start"),
            flags::<container::State>("state"),
            flags::<container::Kill>("kill"),
            flags::<container::Delete>("delete"),
            flags::<container::Pause>("pause"),
            flags::<container::Resume>("resume"),
            flags::<exec::Exec>("exec"),
            flags::<listing::Ps>("ps"),
            flags::<listing::List>("list"),
            flags::<listing::Gc>("gc"),
            flags::<events::Events>("events"),
            flags::<limits::Update>("update"),
            flags::<about::Spec>("spec"),
            flags::<about::FeaturesArgs>("features"),
            flags::<info::Info>("info"),
            flags::<about::Completion>("completion"),
            flags::<checkpoint::Checkpoint>("checkpoint"),
            flags::<checkpoint::Restore>("restore"),
        ];
        all.into_iter().flatten().collect()
    }

    /// `{a,b} --{c,d}` is four flags.
    fn alternatives(text: &str) -> Vec<String> {
        let Some((before, rest)) = text.split_once('{') else {
            return vec![text.to_owned()];
        };
        let (inside, after) = rest.split_once('}').unwrap();
        let ends = alternatives(after);
        let one = |word: &str| -> Vec<String> {
            ends.iter()
                .map(|end| format!("{before}{word}{end}"))
                .collect()
        };
        inside.split(',').flat_map(one).collect()
    }

    /// The first columns of the tables in the section "Flags", but for the global ones.
    fn told() -> BTreeSet<String> {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/oci.md");
        let page = std::fs::read_to_string(page).unwrap();
        let section = page.split("\n## Flags\n").nth(1).unwrap();
        let section = section.split("\n## ").next().unwrap();
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        let subjects = rows.filter_map(|row| row.split('|').nth(1));
        let quoted = subjects.flat_map(|subject| subject.split('`').skip(1).step_by(2));
        let flags = quoted.filter(|text| text.contains(" --"));
        flags.flat_map(alternatives).collect()
    }

    #[test]
    fn every_flag_has_its_row_in_the_documentation() {
        let (known, told) = (known(), told());
        let missing: Vec<_> = known.difference(&told).collect();
        let invented: Vec<_> = told.difference(&known).collect();
        assert!(missing.is_empty(), "in no row: {missing:?}");
        assert!(invented.is_empty(), "no flags: {invented:?}");
        assert!(known.len() > 80, "{}", known.len());
    }
}
