//! `dist`: what is given to others: the static program, completions, man pages.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::bench::release_build;
use crate::cargo::{cargo, succeed, workspace};

/// What this program is told when it was built with the command line's definition.
pub(crate) const PAGES: &str = "dist-pages";

/// Writes everything below `target/dist`.
pub(crate) fn dist() -> Result<()> {
    let directory = workspace()?.join("target/dist");
    if directory.exists() {
        fs::remove_dir_all(&directory)
            .with_context(|| format!("remove {}", directory.display()))?;
    }
    pages_by_another_build(&directory)?;
    let program = release_build()?;
    let copy = directory.join("bin/crabcan");
    make(&directory.join("bin"))?;
    fs::copy(&program, &copy).with_context(|| format!("write {}", copy.display()))?;
    println!("{}", copy.display());
    Ok(())
}

/// The definition of the command line is a part of all of crabcan, which no other task needs.
fn pages_by_another_build(directory: &Path) -> Result<()> {
    let mut command = cargo()?;
    command.args([
        "run",
        "--quiet",
        "-p",
        "xtask",
        "--features",
        "dist",
        "--",
        PAGES,
    ]);
    succeed(command.arg(directory))
}

fn make(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))
}

#[cfg(not(feature = "dist"))]
pub(crate) fn pages(_: &str) -> Result<()> {
    anyhow::bail!(
        "only a build with the feature \"dist\" has the definition: use `cargo xtask dist`"
    )
}

#[cfg(feature = "dist")]
pub(crate) use with_definition::pages;

#[cfg(feature = "dist")]
mod with_definition {
    use std::fs;
    use std::path::Path;

    use anyhow::Result;
    use crabcan_cli::{Shell, completion};

    use super::make;

    /// Writes completions and man pages below a directory.
    pub(crate) fn pages(directory: &str) -> Result<()> {
        let directory = Path::new(directory);
        let (completions, manuals) = (directory.join("completions"), directory.join("man"));
        make(&completions)?;
        make(&manuals)?;
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
            let path = completions.join(shell.file_name());
            fs::write(&path, completion(shell))?;
            println!("{}", path.display());
        }
        clap_mangen::generate_to(crabcan_cli::definition(), &manuals)?;
        println!("{}", manuals.display());
        check(&manuals.join("crabcan.1"))
    }

    /// A page that lacks what it is for is worse than none.
    fn check(page: &Path) -> Result<()> {
        let text = fs::read_to_string(page)?;
        for part in [
            ".TH crabcan",
            "ro\\-bind",
            "Examples:",
            "crabcan \\-\\-version",
        ] {
            anyhow::ensure!(text.contains(part), "{} lacks {part:?}", page.display());
        }
        Ok(())
    }
}
