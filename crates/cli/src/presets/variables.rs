//! `${NAME}` in the texts of a profile.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// The working directory, where it is a project: a home, or a directory above one, is none.
const PROJECT: &str = "PROJECT";

/// Where the values come from.
pub(super) struct Variables {
    pub(super) directory: Option<PathBuf>,
    pub(super) of_environment: fn(&str) -> Option<OsString>,
}

impl Variables {
    pub(super) fn of_this_process() -> Self {
        Self {
            directory: env::current_dir().ok(),
            of_environment: |name| env::var_os(name).filter(|value| !value.is_empty()),
        }
    }

    /// A text with its variables replaced by their values.
    pub(super) fn expand(&self, text: &str) -> anyhow::Result<OsString> {
        let mut expanded = OsString::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("${") {
            expanded.push(before);
            let (name, behind) = behind.split_once('}').context("a \"${\" is not closed")?;
            expanded.push(self.value(name)?);
            rest = behind;
        }
        expanded.push(rest);
        Ok(expanded)
    }

    /// Whether one of its variables is not set.
    pub(super) fn lacks(&self, text: &str) -> bool {
        let names = text.split("${").skip(1);
        let mut names = names.filter_map(|part| Some(part.split_once('}')?.0));
        names.any(|name| name != PROJECT && (self.of_environment)(name).is_none())
    }

    fn value(&self, name: &str) -> anyhow::Result<OsString> {
        match name {
            PROJECT => self.project(),
            _ => (self.of_environment)(name).with_context(|| format!("{name} is not set")),
        }
    }

    fn project(&self) -> anyhow::Result<OsString> {
        let directory = self.directory.as_deref();
        let directory = directory.context("there is no working directory")?;
        let home = (self.of_environment)("HOME").map(PathBuf::from);
        let is_above = |home: &Path| home.starts_with(directory);
        ensure!(
            directory != Path::new("/") && !home.as_deref().is_some_and(is_above),
            "{} is no directory of a project: too much would be writable",
            directory.display()
        );
        Ok(OsStr::new(directory).to_owned())
    }
}
