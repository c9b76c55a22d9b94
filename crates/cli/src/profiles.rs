//! Profiles of system call filters, by a word or from a file.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::Context;
use crabcan_runtime::Seccomp;
use crabcan_seccomp::json::{EngineProfile, Target};
use crabcan_seccomp::{Architecture, Profile, builtin};

/// What a word of the command line means: a profile that is built in, none, or a file.
///
/// A file that is called like one of the words needs a path, such as `./none`.
pub(crate) fn read(word: &OsStr) -> anyhow::Result<Seccomp> {
    match word.to_str() {
        Some("default") => Ok(Seccomp::Default),
        Some("tutorial") => Ok(Seccomp::Profile(Box::new(builtin::tutorial()))),
        Some("none") => Ok(Seccomp::None),
        _ => from_file(Path::new(word)).map(|document| Seccomp::Engine(Box::new(document))),
    }
}

/// A profile as it is for a target.
pub(crate) fn resolve(word: &OsStr, target: &Target) -> anyhow::Result<Profile> {
    match word.to_str() {
        Some("default") => Ok(builtin::sandbox()),
        Some("tutorial") => Ok(builtin::tutorial()),
        _ => {
            let resolved = from_file(Path::new(word))?.resolve(target)?;
            for unknown in &resolved.unknown {
                log::warn!("{}: nothing is called {:?}", unknown.field, unknown.word);
            }
            Ok(resolved.profile)
        }
    }
}

/// What profiles are resolved for on this machine.
pub(crate) fn target(
    architecture: Option<Architecture>,
    capabilities: Vec<String>,
) -> anyhow::Result<Target> {
    let kernel = kernel(&crabcan_runtime::Host::current()?.release);
    Ok(Target {
        architecture: architecture
            .or_else(Architecture::native)
            .context("no filter is known for this machine")?,
        capabilities,
        kernel,
    })
}

/// The first two numbers of a kernel's release; zeros where it has none.
pub(crate) fn kernel(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    let mut number = || numbers.next().and_then(|text| text.parse().ok());
    number().zip(number()).unwrap_or_default()
}

/// Reads a file in either format. Everything in it has to make sense, for whatever container.
fn from_file(path: &Path) -> anyhow::Result<EngineProfile> {
    let named = || format!("the profile {}", path.display());
    let text = fs::read(path).with_context(named)?;
    let document = EngineProfile::from_json(&text).with_context(named)?;
    document
        .resolve(&target(None, Vec::new())?)
        .with_context(named)?;
    Ok(document)
}
