//! `explain`: every step of a sandbox or of a bundle's container, before any of it is done.

use std::ffi::OsString;
use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::{CommandFactory, Parser};
use crabcan_runtime::{Creation, Explanation, Id, Plan, StateRoot};

use crate::args::Args;
use crate::logging;

/// Say what `crabcan run` would do with a bundle, step by step and why, without doing it.
#[derive(Parser)]
#[command(name = "crabcan explain", max_term_width = 100)]
#[command(after_help = "\
Example:
  crabcan explain --bundle ./bundle           the steps of `crabcan run --bundle ./bundle`
  crabcan explain --bundle . --config c.json
                                              with another configuration")]
pub(crate) struct Bundle {
    /// The directory with the bundle
    #[arg(short, long, value_name = "DIR")]
    bundle: PathBuf,
    /// The configuration, in place of the bundle's config.json
    #[arg(short = 'f', long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The options of a sandbox, and those of a bundle.
pub(super) fn definition() -> clap::Command {
    let bundle = Bundle::command();
    Args::command()
        .name("explain")
        .about("Say what would be done, step by step and why, without doing it")
        .args(bundle.get_arguments())
        .mut_arg("bundle", |arg| arg.required(false))
}

#[inline(never)]
pub(crate) fn run(arguments: &[OsString]) -> anyhow::Result<u8> {
    let plan = match asks_for_bundle(arguments) {
        true => of_bundle(&Bundle::try_parse_from(arguments)?)?,
        false => of_sandbox(arguments)?,
    };
    stdout().write_all(in_words(&plan.explain()).as_bytes())?;
    Ok(0)
}

/// The options of a sandbox know no bundle.
fn asks_for_bundle(arguments: &[OsString]) -> bool {
    let options = arguments.iter().take_while(|word| *word != "--");
    let mut options = options.map(|word| word.to_string_lossy());
    options.any(|word| word == "-b" || word == "--bundle" || word.starts_with("--bundle="))
}

fn of_sandbox(arguments: &[OsString]) -> anyhow::Result<Plan> {
    let args = Args::parse(arguments)?;
    logging::start(args.level());
    let sandbox = args.sandbox()?;
    let sandbox = sandbox.terminal(crabcan_runtime::console::wanted());
    Ok(sandbox.plan()?)
}

fn of_bundle(bundle: &Bundle) -> anyhow::Result<Plan> {
    // No container is made, so nothing is kept anywhere.
    let root = StateRoot::at(bundle.bundle.clone());
    let mut creation = Creation::new(&root, &Id::new("explained")?, &bundle.bundle);
    if let Some(path) = &bundle.config {
        creation = creation.configuration(path);
    }
    Ok(creation.plan()?)
}

/// Numbered are the steps of init; the others are crabcan's own. A reason stands below the last
/// of those that have it.
fn in_words(explanations: &[Explanation]) -> String {
    let mut text = String::new();
    for (index, one) in explanations.iter().enumerate() {
        text += &match one.step {
            None => format!("    {}\n", one.what),
            Some(number) => format!("{number:3} {}\n", one.what),
        };
        let next = explanations.get(index + 1);
        let same = |next: &Explanation| next.why == one.why && next.property == one.property;
        if !next.is_some_and(same) {
            let property = match one.property.as_str() {
                "" => String::new(),
                property => format!("{property}: "),
            };
            text += &format!("        # {property}{}\n", one.why);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_stands_below_all_that_have_it() {
        let one = |step, what: &str, why, property: &str| Explanation {
            step,
            what: what.into(),
            why,
            property: property.into(),
        };
        let text = in_words(&[
            one(None, "clone", "new", ""),
            one(Some(0), "mount a", "own", "mounts[0]"),
            one(Some(1), "mount b", "own", "mounts[0]"),
            one(Some(12), "mount c", "own", ""),
        ]);
        assert_eq!(
            text,
            "    clone\n        # new\n  0 mount a\n  1 mount b\n        # mounts[0]: own\n \
             12 mount c\n        # own\n"
        );
    }

    #[test]
    fn a_bundle_is_asked_for_before_the_command_only() {
        let asks = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            asks_for_bundle(&words)
        };
        assert!(asks("crabcan --bundle x") && asks("crabcan -b x") && asks("crabcan --bundle=x"));
        assert!(!asks("crabcan -- x --bundle y"));
    }
}
