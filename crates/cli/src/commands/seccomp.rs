//! `seccomp`: what a profile decides, and the program that it becomes.

use std::ffi::OsString;
use std::fs;
use std::io::{Write as _, stdout};
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Args, Parser, Subcommand};
use crabcan_seccomp::Profile;
use crabcan_seccomp::json::Target;
use log::LevelFilter;

use crate::{logging, profiles};

/// Look into profiles of system call filters
#[derive(Debug, Parser)]
#[command(name = "crabcan seccomp", max_term_width = 100)]
struct Seccomp {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Say what happens to each system call, or to those that are named
    Explain {
        #[command(flatten)]
        which: Which,
        /// System calls [default: all]
        #[arg(value_name = "SYSCALL")]
        names: Vec<String>,
    },
    /// Print the size and the instructions of the filter
    Compile {
        #[command(flatten)]
        which: Which,
        /// Write the raw instructions there instead
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// A profile, and for whom.
#[derive(Args, Debug)]
struct Which {
    /// default, tutorial, or a profile's FILE (OCI or a container engine's)
    #[arg(value_name = "PROFILE")]
    profile: OsString,
    /// For a container that has this capability, as CAP_SYS_ADMIN; may be given again
    #[arg(long = "cap", value_name = "CAP")]
    capabilities: Vec<String>,
    /// For programs of this architecture, as SCMP_ARCH_X86 [default: this machine's]
    #[arg(long, value_name = "ARCH")]
    arch: Option<String>,
}

impl Which {
    fn read(&self) -> anyhow::Result<(Profile, Target)> {
        let arch = self.arch.as_deref().map(str::parse).transpose();
        let arch = arch.context("--arch")?;
        let target = profiles::target(arch, self.capabilities.clone())?;
        Ok((profiles::resolve(&self.profile, &target)?, target))
    }
}

pub(super) fn definition() -> clap::Command {
    <Seccomp as clap::CommandFactory>::command().name("seccomp")
}

#[inline(never)]
pub(crate) fn run(arguments: &[OsString]) -> anyhow::Result<u8> {
    let text = {
        let args = Seccomp::try_parse_from(arguments)?;
        logging::start(LevelFilter::Warn);
        match &args.what {
            What::Explain { which, names } => explain(which, names)?.into_bytes(),
            What::Compile { which, output } => compile(which, output.as_ref())?.into_bytes(),
        }
    };
    stdout().write_all(&text)?;
    Ok(0)
}

fn explain(which: &Which, names: &[String]) -> anyhow::Result<String> {
    let (profile, target) = which.read()?;
    if names.is_empty() {
        let all = profile.explain_all(target.architecture);
        return Ok(all.iter().map(|decision| format!("{decision}\n")).collect());
    }
    let mut text = String::new();
    for name in names {
        let decisions = profile.explain(target.architecture, name);
        ensure!(
            !decisions.is_empty(),
            "{name} is no system call of {}",
            target.architecture
        );
        text.extend(decisions.iter().map(|decision| format!("{decision}\n")));
    }
    Ok(text)
}

fn compile(which: &Which, output: Option<&PathBuf>) -> anyhow::Result<String> {
    let (profile, _) = which.read()?;
    let filter = profile.compile()?;
    let bytes = filter.to_bytes();
    let size = format!(
        "{} instructions, {} bytes\n",
        filter.instructions().len(),
        bytes.len()
    );
    match output {
        None => Ok(format!("{size}{}", filter.disassembly())),
        Some(path) => {
            fs::write(path, bytes).with_context(|| format!("--output {}", path.display()))?;
            Ok(size)
        }
    }
}
