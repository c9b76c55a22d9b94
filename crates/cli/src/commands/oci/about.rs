//! `spec` and `features`: what there is to be configured; `completion`: how shells complete it.

use std::fs::OpenOptions;
use std::io::{Write, stdout};
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use crabcan_runtime::{Features, Host};

use crate::Shell;

/// Write a configuration that runs sh, to begin with
#[derive(Parser)]
pub(super) struct Spec {
    /// The directory of the bundle [default: the working directory]
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// The file to write, in that directory unless it begins with a slash
    #[arg(short, long, value_name = "FILE", default_value = "config.json")]
    file: PathBuf,
    /// For an ordinary user, who is root in the container
    #[arg(long)]
    rootless: bool,
}

/// Print what this runtime can do as JSON
#[derive(Parser)]
pub(super) struct FeaturesArgs {}

/// Print a script that completes command lines of crabcan's
#[derive(Parser)]
#[command(override_usage = "crabcan completion SHELL")]
pub(super) struct Completion {
    /// The shell that reads it
    #[arg(value_name = "SHELL", required_unless_present = "as_option")]
    shell: Option<Shell>,
    /// The same, as youki has it
    #[arg(
        short = 's',
        long = "shell",
        value_name = "SHELL",
        conflicts_with = "shell"
    )]
    as_option: Option<Shell>,
}

/// An existing file is left as it is.
pub(super) fn spec(args: &Spec) -> anyhow::Result<u8> {
    let text = match args.rootless {
        true => crabcan_runtime::spec::Spec::rootless_example(&Host::current()?),
        false => crabcan_runtime::spec::Spec::example(),
    };
    let path = args.bundle.join(&args.file);
    let file = OpenOptions::new().write(true).create_new(true).open(&path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("write {}", path.display()))?;
    Ok(0)
}

pub(super) fn features(_: &FeaturesArgs) -> anyhow::Result<u8> {
    let text = Features::of(&Host::current()?).to_json() + "\n";
    stdout().write_all(text.as_bytes())?;
    Ok(0)
}

pub(super) fn completion(args: &Completion) -> anyhow::Result<u8> {
    let shell = args.shell.or(args.as_option).context("no shell is named")?;
    stdout().write_all(crate::completion(shell).as_bytes())?;
    Ok(0)
}
