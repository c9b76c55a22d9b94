//! `--profile`: options of a sandbox from a TOML file, in the words of the flags.
//!
//! A profile becomes flags in the place where it stands, so flags behind it win. An error names the
//! file, the line and the key.

mod variables;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use clap::{ArgAction, CommandFactory, Parser};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use self::variables::Variables;
use crate::args::Args;
use crate::hints;
use crate::pieces::{Reader, WORDS};

/// Those that come with crabcan.
pub(crate) const SHIPPED: [(&str, &str); 4] = [
    ("strict", include_str!("../profiles/strict.toml")),
    ("dev", include_str!("../profiles/dev.toml")),
    ("build", include_str!("../profiles/build.toml")),
    ("desktop", include_str!("../profiles/desktop.toml")),
];

/// The key whose entries are pieces of the root, in their order.
const ROOT: &str = "root";
/// Flags that say nothing about a sandbox, or what it runs.
const REFUSED: [&str; 5] = ["args", "profile", "command", "help", "version"];

/// The flags that a profile stands for: one that is shipped, by its name, or a file.
pub(crate) fn words_of(name: &OsStr) -> anyhow::Result<Vec<OsString>> {
    let shipped = SHIPPED.iter().find(|(shipped, _)| name == *shipped);
    let text = match shipped {
        Some((_, text)) => (*text).to_owned(),
        None => fs::read_to_string(name).with_context(|| not_there(name))?,
    };
    let profile = Profile {
        name: Path::new(name).display().to_string(),
        text: &text,
        variables: Variables::of_this_process(),
    };
    profile.words()
}

fn not_there(name: &OsStr) -> String {
    let names = SHIPPED.map(|(name, _)| name).join(", ");
    format!("--profile {}: no file, and none of {names}", name.display())
}

/// A profile that is read.
struct Profile<'a> {
    name: String,
    text: &'a str,
    variables: Variables,
}

/// The flags of one key, or of one entry of its list.
struct Part {
    at: Range<usize>,
    key: String,
    words: Vec<OsString>,
}

impl Profile<'_> {
    fn words(&self) -> anyhow::Result<Vec<OsString>> {
        let table = DeTable::parse(self.text).map_err(|error| {
            let at = error.span().unwrap_or_default();
            anyhow::anyhow!("{}: {}", self.place(&at), error.message())
        })?;
        let mut entries: Vec<_> = table.get_ref().iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut parts = Vec::new();
        for (key, value) in entries {
            let name: &str = key.get_ref();
            let read = match name {
                ROOT => self.root(value),
                _ => self.flag(name, key.span(), value),
            };
            parts.extend(read?);
        }
        self.check(&parts)?;
        Ok(parts.into_iter().flat_map(|part| part.words).collect())
    }

    /// Where something stands, for people.
    fn place(&self, at: &Range<usize>) -> String {
        let before = self.text.get(..at.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        format!("{}:{line}", self.name)
    }

    fn wrong(&self, at: &Range<usize>, key: &str, reason: &str) -> anyhow::Error {
        anyhow::anyhow!("{}: {key}: {reason}", self.place(at))
    }

    /// A key that is a flag.
    fn flag(
        &self,
        key: &str,
        at: Range<usize>,
        value: &Spanned<DeValue<'_>>,
    ) -> anyhow::Result<Vec<Part>> {
        let wrong = |reason: &str| self.wrong(&at, key, reason);
        let command = Args::command();
        let flag = command
            .get_arguments()
            .find(|flag| flag.get_long() == Some(key));
        let flag = flag.filter(|_| !REFUSED.contains(&key));
        let flag = flag
            .with_context(|| format!("{}: {key}: no such option of a profile", self.place(&at)))?;
        let count = flag.get_num_args().map_or(1, |range| range.max_values());
        let takes_values = matches!(flag.get_action(), ArgAction::Set | ArgAction::Append);
        if !takes_values {
            return match value.get_ref() {
                DeValue::Boolean(true) => Ok(vec![self.part(at, key, Vec::new())]),
                DeValue::Boolean(false) => Ok(Vec::new()),
                _ => Err(wrong("must be true or false")),
            };
        }
        let repeated = matches!(flag.get_action(), ArgAction::Append);
        match (value.get_ref(), count) {
            (DeValue::Table(table), 2) => self.pairs(key, table),
            (DeValue::Array(list), _) if repeated => {
                let entries = list.iter().map(|entry| self.entry(key, count, entry));
                let parts: anyhow::Result<Vec<Option<Part>>> = entries.collect();
                Ok(parts?.into_iter().flatten().collect())
            }
            (DeValue::Array(_), _) => Err(wrong("must be one value")),
            _ => Ok(self.entry(key, count, value)?.into_iter().collect()),
        }
    }

    /// One use of a flag: a value, or a list of as many as it has.
    fn entry(
        &self,
        key: &str,
        count: usize,
        value: &Spanned<DeValue<'_>>,
    ) -> anyhow::Result<Option<Part>> {
        let at = value.span();
        let values = match value.get_ref() {
            DeValue::Array(list) if count > 1 => self.values(key, list)?,
            _ => self.value(key, value)?.map(|value| vec![value]),
        };
        let Some(values) = values else {
            return Ok(None);
        };
        if values.len() != count {
            let reason = format!("must have {count} values");
            return Err(self.wrong(&at, key, &reason));
        }
        Ok(Some(self.part(at, key, values)))
    }

    fn pairs(&self, key: &str, table: &DeTable<'_>) -> anyhow::Result<Vec<Part>> {
        let mut parts = Vec::new();
        for (name, value) in table.iter() {
            if let Some(text) = self.value(key, value)? {
                let name: &str = name.get_ref();
                parts.push(self.part(value.span(), key, vec![name.into(), text]));
            }
        }
        Ok(parts)
    }

    /// The pieces of the root.
    fn root(&self, value: &Spanned<DeValue<'_>>) -> anyhow::Result<Vec<Part>> {
        let DeValue::Array(list) = value.get_ref() else {
            return Err(self.wrong(&value.span(), ROOT, "must be a list of lists"));
        };
        let mut parts = Vec::new();
        let mut reader = Reader::default();
        for entry in list.iter() {
            let at = entry.span();
            let DeValue::Array(words) = entry.get_ref() else {
                return Err(self.wrong(&at, ROOT, "each entry is a list: [\"tmpfs\", \"/\"]"));
            };
            let Some(mut values) = self.values(ROOT, words)? else {
                continue;
            };
            ensure!(
                !values.is_empty(),
                "{}: {ROOT}: an entry is empty",
                self.place(&at)
            );
            let name = values.remove(0).to_string_lossy().into_owned();
            let word = WORDS.iter().find(|word| word.name == name);
            let word = word.filter(|word| word.values.len() == values.len());
            if word.is_none() {
                let reason = format!("\"{name}\" is no piece with {} values", values.len());
                return Err(self.wrong(&at, ROOT, &reason));
            }
            let read = reader.read(&name, &values);
            read.map_err(|error| self.wrong(&at, ROOT, &hints::chain(&error)))?;
            parts.push(self.part(at, &name, values));
        }
        let finished = reader.finish();
        finished.map_err(|error| self.wrong(&value.span(), ROOT, &hints::chain(&error)))?;
        Ok(parts)
    }

    /// The values of a list; nothing, if it is to be left away.
    fn values(&self, key: &str, list: &DeArray<'_>) -> anyhow::Result<Option<Vec<OsString>>> {
        let first = list.iter().next().map(Spanned::get_ref);
        let tries = matches!(first, Some(DeValue::String(word)) if word.ends_with("-try"));
        let mut values = Vec::new();
        for value in list.iter() {
            match self.value(key, value) {
                Ok(Some(text)) => values.push(text),
                Ok(None) => return Ok(None),
                Err(_) if tries && self.lacks_variable(value) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(values))
    }

    fn lacks_variable(&self, value: &Spanned<DeValue<'_>>) -> bool {
        let text = value.get_ref().as_str();
        text.is_some_and(|text| self.variables.lacks(text))
    }

    /// One value as a flag has it. Of the environment's variables, one that is not there is left away.
    fn value(&self, key: &str, value: &Spanned<DeValue<'_>>) -> anyhow::Result<Option<OsString>> {
        let wrong = |reason: &str| self.wrong(&value.span(), key, reason);
        match value.get_ref() {
            DeValue::String(text) if key == "setenv" && self.variables.lacks(text) => Ok(None),
            DeValue::String(text) => {
                let expanded = self.variables.expand(text);
                expanded
                    .map(Some)
                    .map_err(|error| wrong(&hints::chain(&error)))
            }
            DeValue::Integer(number) if number.radix() == 10 => Ok(Some(number.as_str().into())),
            DeValue::Float(number) => Ok(Some(number.as_str().into())),
            other => {
                let reason = format!("must be text or a number, and is {}", other.type_str());
                Err(wrong(&reason))
            }
        }
    }

    fn part(&self, at: Range<usize>, key: &str, mut values: Vec<OsString>) -> Part {
        let mut flag = OsString::from(format!("--{key}"));
        // In one word, a value that looks like an option is none.
        if let [value] = values.as_slice() {
            flag.push("=");
            flag.push(value);
            values.clear();
        }
        values.insert(0, flag);
        Part {
            at,
            key: key.to_owned(),
            words: values,
        }
    }

    /// All of it has to make sense by itself; the first part that does not is named.
    fn check(&self, parts: &[Part]) -> anyhow::Result<()> {
        let whole = parts.iter().flat_map(|part| &part.words);
        let Err(error) = try_words(whole) else {
            return Ok(());
        };
        let pieces = |part: &&Part| !WORDS.iter().any(|word| word.name == part.key);
        for part in parts.iter().filter(pieces) {
            if let Err(error) = try_words(part.words.iter()) {
                return Err(self.wrong(&part.at, &part.key, &hints::chain(&error)));
            }
        }
        bail!("{}: {}", self.name, hints::chain(&error))
    }
}

fn try_words<'a>(words: impl Iterator<Item = &'a OsString>) -> anyhow::Result<()> {
    let words = words.map(OsString::as_os_str);
    let command = ["--", "true"].map(OsStr::new);
    let line = std::iter::once(OsStr::new("crabcan")).chain(words);
    let args = Args::try_parse_from(line.chain(command))?;
    args.sandbox().map(drop)
}

#[cfg(test)]
mod tests;
