//! `test-clients`: the engines that people use, with a runtime below them.
//!
//! The real podman, docker, containerd and buildah run the scenarios of `clients/scenarios/*.txt`
//! inside an [enclosure]; each is judged by its output, its exit status and what it leaves. With
//! `--runtime` another runtime than crabcan is tried: a scenario that no runtime passes is wrong.

mod client;
mod daemons;
mod enclosure;
mod errors;
mod facts;
mod hierarchy;
mod image;
mod leaks;
mod machine;
mod shell;
mod suite;
mod transcript;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::Uid;

use crate::cargo;
use crate::prerequisites;
use client::CLIENTS;
use daemons::Daemons;
use hierarchy::Layout;
use machine::Machine;
use shell::User;
use suite::{Selection, Tally};

/// The task by which the harness starts itself inside the enclosure.
pub(crate) const INSIDE: &str = "test-clients-inside";

/// How long a script of `--exec` may take, in seconds.
const EXEC_LIMIT_S: u32 = 600;

#[derive(Debug)]
struct Options {
    runtime: Option<PathBuf>,
    layout: Layout,
    selection: Selection,
    /// A script to run inside instead of the scenarios.
    exec: Option<String>,
    /// Make the table of error texts instead.
    errors: bool,
}

impl Options {
    fn parse(args: &[String]) -> Result<Options> {
        let mut options = Options {
            runtime: None,
            layout: Layout::AsMounted,
            selection: Selection {
                full: false,
                words: Vec::new(),
            },
            exec: None,
            errors: false,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--runtime" => options.runtime = Some(value()?.into()),
                "--cgroups" => options.layout = Layout::parse(value()?)?,
                "--exec" => options.exec = Some(value()?.clone()),
                "--errors" => options.errors = true,
                "--full" => options.selection.full = true,
                _ if arg.starts_with('-') => bail!("unknown option: {arg}"),
                _ => options.selection.words.push(arg.clone()),
            }
        }
        Ok(options)
    }

    /// The words from which [`Options::parse`] makes the same again.
    fn words(&self, runtime: &Path) -> Vec<String> {
        let mut words = vec!["--runtime".to_owned(), runtime.display().to_string()];
        words.extend(["--cgroups".to_owned(), self.layout.word().to_owned()]);
        if self.selection.full {
            words.push("--full".to_owned());
        }
        if let Some(script) = &self.exec {
            words.extend(["--exec".to_owned(), script.clone()]);
        }
        words.extend(self.selection.words.iter().cloned());
        words
    }
}

/// The task.
pub(crate) fn test_clients(args: &[String]) -> Result<()> {
    let options = Options::parse(args)?;
    ensure!(Uid::effective().is_root(), "test-clients needs root");
    if !prerequisites::are_here(prerequisites::CLIENTS, "test-clients")? {
        return Ok(());
    }
    let runtime = match &options.runtime {
        Some(runtime) => runtime.canonicalize().context("--runtime")?,
        None => cargo::build_crabcan()?,
    };
    if options.errors {
        return errors::write_table(&runtime);
    }
    if options.layout == Layout::Systemd {
        ensure!(
            Path::new("/run/crabcan-vm").exists(),
            "--cgroups systemd writes to the machine itself: cargo xtask test-vm --systemd --clients"
        );
        return inside(&options.words(&runtime));
    }
    let mut args = vec![INSIDE.to_owned()];
    args.extend(options.words(&runtime));
    enclosure::run(&args)
}

/// The harness inside the enclosure.
pub(crate) fn inside(args: &[String]) -> Result<()> {
    let options = Options::parse(args)?;
    let runtime = options.runtime.context("--runtime is missing")?;
    let start = Instant::now();
    let machine = Machine::set_up(&runtime, options.layout)?;
    shell::make_tools()?;
    image::make(&prerequisites::find("busybox")?)?;
    let clients: Vec<_> = CLIENTS
        .iter()
        .filter(|client| client.works_in(options.layout))
        .collect();
    let _daemons = match options.layout {
        Layout::Systemd => None,
        Layout::AsMounted | Layout::V1 => Some(Daemons::start(&machine)?),
    };
    if options.errors {
        return errors::print_answers(&machine);
    }
    if let Some(script) = &options.exec {
        for client in clients {
            suite::prepare(&machine, client)?;
        }
        let answer = shell::run(&machine, User::Root, script, EXEC_LIMIT_S)?;
        print!("{}", answer.output);
        ensure!(answer.status == 0, "exit status {}", answer.status);
        return Ok(());
    }
    let mut tally = Tally::default();
    for client in &clients {
        suite::run(&machine, client, &options.selection, &mut tally)?;
    }
    let seconds = start.elapsed().as_secs_f32();
    println!(
        "{} below {} clients: {tally}; {seconds:.1} s",
        machine.name,
        clients.len()
    );
    ensure!(tally.passed + tally.failed > 0, "not one scenario was run");
    if tally.failed > 0 {
        // Once more, where whoever started this finds it.
        println!("failures:\n{}", tally.failures);
        bail!("{} failed", tally.failed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn every_scenario_can_be_read() {
        for client in CLIENTS {
            assert!(
                transcript::parse(client.scenarios).is_ok(),
                "{}",
                client.name
            );
        }
    }

    #[test]
    fn the_words_for_the_inside_say_the_same() {
        let args = ["--full", "pause", "--cgroups", "v1"].map(str::to_owned);
        let words = Options::parse(&args).unwrap().words("/r".as_ref());
        let again = Options::parse(&words).unwrap();
        assert_eq!(again.runtime, Some("/r".into()));
        assert_eq!(again.layout, Layout::V1);
        assert!(again.selection.full);
        assert_eq!(again.selection.words, ["pause"]);
        assert!(Options::parse(&["--fast".to_owned()]).is_err());
        assert!(Options::parse(&["--runtime".to_owned()]).is_err());
    }
}
