//! The command lines of a sandbox that are written most often, read by hand.
//!
//! The parser of a hundred options takes a third of a millisecond to build, and a sixth of a megabyte.
//! So lines with none of them, or with a few well-known ones, are read here, each word by the same
//! rules; any other word gives `None`, and the whole line is the parser's, as are all errors and
//! `--help`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::Args;
use crate::pieces::WORDS;

impl Args {
    /// Reads the words behind the program's name. What asks for the time of the start is not among
    /// those that are read here.
    pub(crate) fn quick(words: &[OsString]) -> Option<Self> {
        let end = words.iter().position(|word| word == "--")?;
        let (options, behind) = words.split_at(end);
        let mut read = Self {
            words: behind.get(1..)?.to_vec(),
            ..Self::default()
        };
        let mut options = options.iter();
        while let Some(option) = options.next() {
            let name = option.to_str()?.strip_prefix("--")?;
            let mut values = |count| plain(options.by_ref().take(count), count);
            match WORDS.iter().find(|piece| piece.name == name) {
                Some(piece) => {
                    let values = values(piece.values.len())?;
                    read.pieces.0.push((piece.name, values));
                }
                None if name == "setenv" => read.environment.set(values(2)?),
                None => read.option(name, values(1)?.pop()?)?,
            }
        }
        Some(read)
    }

    /// Takes an option with one value that stands in the line for the first time.
    fn option(&mut self, name: &str, value: OsString) -> Option<()> {
        match name {
            "uid" if self.uid.is_none() => self.uid = Some(number(&value)?),
            "hostname" if self.hostname.is_none() => {
                self.hostname = Some(value.into_string().ok()?);
            }
            "seccomp" if self.seccomp.is_none() => self.seccomp = Some(value),
            "chdir" | "share" | "gid" => self.options.quick(name, value)?,
            _ => return None,
        }
        Some(())
    }
}

/// So many words that are values whatever stands before them: no options, and not empty.
fn plain<'a>(words: impl Iterator<Item = &'a OsString>, count: usize) -> Option<Vec<OsString>> {
    let mut values = Vec::with_capacity(count);
    for word in words {
        let is_value = !word.is_empty() && !word.as_bytes().starts_with(b"-");
        values.push(is_value.then(|| word.clone())?);
    }
    (values.len() == count).then_some(values)
}

/// An id in decimal digits; what else the parser takes is the parser's.
pub(crate) fn number(value: &OsString) -> Option<u32> {
    let text = value.to_str()?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    /// What is read here, by a line that the parser must read to the same.
    fn both(line: &str) -> Option<String> {
        let quick = format!("{:?}", Args::quick(&words(line))?);
        let parsed = Args::parse(&words(&format!("crabcan {line}"))).unwrap();
        assert_eq!(quick, format!("{parsed:?}"), "{line}");
        Some(quick)
    }

    #[test]
    fn what_is_read_here_is_what_the_parser_reads() {
        let pieces = WORDS.iter().map(|piece| {
            let values = piece.values.iter().map(|_| " /x");
            format!("--{}{} -- true", piece.name, values.collect::<String>())
        });
        let lines = [
            "-- true",
            "-- -- true",
            "-- sh -c --uid 0 --",
            "--uid 0 -- id",
            "--uid 010 --gid 7 -- id",
            "--hostname box --chdir /tmp --seccomp none -- pwd",
            "--share net --share pid -- true",
            "--setenv A b --setenv A c=d -- env",
            "--ro-bind /usr /usr --chdir / --tmpfs /tmp --bind a /b --share uts -- ls",
        ];
        for line in lines.into_iter().map(str::to_owned).chain(pieces) {
            let read = both(&line);
            assert!(read.is_some_and(|read| read.contains("words")), "{line}");
        }
    }

    #[test]
    fn every_other_line_is_the_parsers() {
        for line in [
            "",
            "true",
            "--help",
            "-u 0 -- id",
            "--uid=0 -- id",
            "--uid 0 --uid 1 -- id",
            "--uid +1 -- id",
            "--uid 4294967296 -- id",
            "--uid -- id",
            "--chdir a --chdir b -- id",
            "--hostname  -- id",
            "--bind a -- b",
            "--bind -a /b -- id",
            "--memory 1G -- id",
            "--args 3 -- id",
            "--profile dev -- id",
            "--debug -- id",
            "--command x -- id",
        ] {
            assert!(Args::quick(&words(line)).is_none(), "{line}");
        }
    }
}
