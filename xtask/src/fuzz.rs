//! `fuzz`: the targets in `crates/*/tests/fuzz.rs`, and those called `fuzz_…` among the unit tests,
//! for longer than an ordinary run of the tests.

use anyhow::{Context, Result, bail, ensure};

use crate::cargo;
use crate::programs;

/// How long each target runs, unless told otherwise.
const SECONDS: u64 = 60;
/// The same in `ci`.
const BRIEF: u64 = 3;
/// What the names of targets among unit tests begin with.
const UNIT: &str = "fuzz_";
/// Between the end of a target's time and when it counts as hanging.
const GRACE: u64 = 60;

#[derive(Debug, PartialEq, Eq)]
struct Options {
    /// The part of a target's name, or all targets.
    target: Option<String>,
    seconds: u64,
    seed: u64,
}

impl Options {
    fn read(args: &[String]) -> Result<Options> {
        let mut options = Options {
            target: None,
            seconds: SECONDS,
            seed: 1,
        };
        let mut rest = args.iter();
        while let Some(word) = rest.next() {
            let mut number = || {
                let value = rest
                    .next()
                    .with_context(|| format!("{word}: a number is missing"))?;
                value.parse().with_context(|| format!("{word} {value}"))
            };
            match word.as_str() {
                "--seconds" => options.seconds = number()?,
                "--seed" => options.seed = number()?,
                _ if word.starts_with('-') || options.target.is_some() => {
                    bail!("fuzz [TARGET] [--seconds N] [--seed S], and not {word}")
                }
                _ => options.target = Some(word.clone()),
            }
        }
        Ok(options)
    }
}

/// Runs the targets one after the other.
pub(crate) fn fuzz(args: &[String]) -> Result<()> {
    run(&Options::read(args)?)
}

/// A few seconds of each: what a change must pass.
pub(crate) fn brief() -> Result<()> {
    run(&Options {
        target: None,
        seconds: BRIEF,
        seed: 1,
    })
}

fn run(options: &Options) -> Result<()> {
    let kinds = [
        "test",
        "--workspace",
        "--exclude=xtask",
        "--no-run",
        "--lib",
        "--bins",
        "--test=fuzz",
    ];
    let built = cargo::build(&kinds, None)?;
    let mut passed = 0;
    for program in built.iter().filter(|made| made.test) {
        // What is private to a crate has its target beside it.
        let of_units = (!program.is_suite("fuzz")).then(|| UNIT.to_owned());
        let filter = match (of_units, &options.target) {
            (Some(unit), Some(target)) => Some(unit + target),
            (unit, target) => unit.or_else(|| target.clone()),
        };
        // The targets of one program take their turns.
        let mut command = programs::limited_to(&program.program, options.seconds * 10 + GRACE);
        programs::without_cargo(&mut command);
        command
            .current_dir(&program.package)
            .args(["--nocapture", "--test-threads=1"])
            .args(filter)
            .env("CRABCAN_FUZZ_SECONDS", options.seconds.to_string())
            .env("CRABCAN_FUZZ_SEED", options.seed.to_string());
        let outcome = programs::run(command);
        if let Some(fault) = outcome.fault {
            bail!("{}: {fault}", program.label());
        }
        passed += outcome.counts.passed;
    }
    ensure!(passed > 0, "not one target was run");
    println!("{passed} targets without a finding");
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn read(line: &str) -> Result<Options> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::read(&words)
    }

    #[test]
    fn options_come_in_any_order() {
        let all = Options {
            target: Some("profile".into()),
            seconds: 600,
            seed: 7,
        };
        assert_eq!(read("--seed 7 profile --seconds 600").unwrap(), all);
        assert_eq!(read("").unwrap().seconds, SECONDS);
        for wrong in ["--seconds", "--seconds x", "a b", "--sed 7"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
