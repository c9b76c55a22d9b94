//! The options that put a sandbox' root together, in the order in which they stand: the same words
//! in `crabcan` and in its bubblewrap front.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};
use crabcan_runtime::Sandbox;
use crabcan_runtime::spec::{Access, Changes, Operation};

use crate::descriptors::descriptor;

/// One option: its name, what its values are called, and what it does.
pub(crate) struct Word {
    pub(crate) name: &'static str,
    pub(crate) values: &'static [&'static str],
    help: &'static str,
}

const fn word(name: &'static str, values: &'static [&'static str], help: &'static str) -> Word {
    Word { name, values, help }
}

/// All of them.
pub(crate) const WORDS: [Word; 25] = [
    word(
        "bind",
        &["SRC", "DEST"],
        "Show SRC of the host as DEST, writable",
    ),
    word("bind-try", &["SRC", "DEST"], "The same, if SRC is there"),
    word(
        "ro-bind",
        &["SRC", "DEST"],
        "Show SRC of the host as DEST, read-only",
    ),
    word("ro-bind-try", &["SRC", "DEST"], "The same, if SRC is there"),
    word(
        "dev-bind",
        &["SRC", "DEST"],
        "Show SRC of the host as DEST, writable, devices in it work",
    ),
    word(
        "dev-bind-try",
        &["SRC", "DEST"],
        "The same, if SRC is there",
    ),
    word(
        "overlay-src",
        &["SRC"],
        "A directory for the next overlay, above those that came before",
    ),
    word(
        "tmp-overlay",
        &["DEST"],
        "Show them, one over the other, as DEST; changes are thrown away",
    ),
    word(
        "overlay",
        &["RWSRC", "WORKDIR", "DEST"],
        "The same; changes go to RWSRC. WORKDIR is an empty directory beside it",
    ),
    word("ro-overlay", &["DEST"], "The same, read-only"),
    word(
        "bind-fd",
        &["FD", "DEST"],
        "Show the open file or directory FD as DEST, writable",
    ),
    word(
        "ro-bind-fd",
        &["FD", "DEST"],
        "Show the open file or directory FD as DEST, read-only",
    ),
    word(
        "tmpfs",
        &["DEST"],
        "An empty file system in memory (--size, --perms)",
    ),
    word(
        "proc",
        &["DEST"],
        "The sandbox' processes, as /proc has them",
    ),
    word("dev", &["DEST"], "The usual devices, as /dev has them"),
    word("mqueue", &["DEST"], "The sandbox' message queues"),
    word("dir", &["DEST"], "Make a directory (--perms)"),
    word(
        "symlink",
        &["TEXT", "DEST"],
        "Make a symbolic link that says TEXT",
    ),
    word(
        "file",
        &["FD", "DEST"],
        "Write what FD says into the file DEST (--perms)",
    ),
    word(
        "bind-data",
        &["FD", "DEST"],
        "Show what FD says as the file DEST, writable (--perms)",
    ),
    word(
        "ro-bind-data",
        &["FD", "DEST"],
        "Show what FD says as the file DEST, read-only (--perms)",
    ),
    word(
        "chmod",
        &["OCTAL", "DEST"],
        "Change the permissions of DEST",
    ),
    word(
        "remount-ro",
        &["DEST"],
        "Make the mount DEST read-only, not those below it",
    ),
    word(
        "perms",
        &["OCTAL"],
        "The permissions of what the next option makes",
    ),
    word(
        "size",
        &["BYTES"],
        "The size of what the next option, --tmpfs, makes",
    ),
];

/// The options as they were given.
#[derive(Debug, Default)]
pub(crate) struct Pieces(pub(crate) Vec<(&'static str, Vec<OsString>)>);

impl Pieces {
    /// Adds what they say to a sandbox.
    pub(crate) fn apply(&self, mut sandbox: Sandbox) -> anyhow::Result<Sandbox> {
        let mut reader = Reader::default();
        for (name, values) in &self.0 {
            if let Some(operation) = reader.read(name, values)? {
                sandbox = sandbox.operation(operation);
            }
        }
        reader.finish()?;
        Ok(sandbox)
    }
}

impl Pieces {
    /// Whether one of them is this very place.
    pub(crate) fn cover(&self, place: &OsStr) -> bool {
        let mut pieces = self.0.iter();
        pieces.any(|(_, values)| values.last().is_some_and(|last| last == place))
    }
}

impl clap::FromArgMatches for Pieces {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut found = Vec::new();
        for word in &WORDS {
            let Some(occurrences) = matches.get_occurrences::<OsString>(word.name) else {
                continue;
            };
            let places = matches.indices_of(word.name).into_iter().flatten();
            // Each value has a place; the first of an occurrence stands for it.
            let places = places.step_by(word.values.len());
            for (place, values) in places.zip(occurrences) {
                found.push((place, word.name, values.cloned().collect()));
            }
        }
        found.sort_by_key(|(place, _, _)| *place);
        let in_order = found.into_iter().map(|(_, name, values)| (name, values));
        Ok(Self(in_order.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for Pieces {
    fn augment_args(command: Command) -> Command {
        let arguments = WORDS.iter().map(|word| {
            Arg::new(word.name)
                .long(word.name)
                .value_names(word.values.iter().copied())
                .num_args(word.values.len())
                .action(ArgAction::Append)
                .value_parser(clap::value_parser!(OsString))
                .allow_hyphen_values(true)
                .help(word.help)
                .help_heading("The root, piece by piece, in the order given")
        });
        command.args(arguments)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// Reads one option after the other: some say something about the next.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    mode: Option<u32>,
    size: Option<u64>,
    lowers: Vec<PathBuf>,
}

impl Reader {
    /// The operation that an option asks for, if it is one.
    pub(crate) fn read(
        &mut self,
        name: &str,
        values: &[OsString],
    ) -> anyhow::Result<Option<Operation>> {
        let first = values.first().map_or(OsStr::new(""), OsString::as_os_str);
        match name {
            "perms" => self.mode = Some(octal("--perms", first)?),
            "overlay-src" => self.lowers.push(existing(name, first)?),
            "size" => {
                let size = number("--size", first)?;
                self.size = Some(size);
            }
            _ => {
                let operation = self.operation(name, first, values)?;
                self.finish()?;
                return Ok(operation);
            }
        }
        Ok(None)
    }

    /// What was said about the next option has found it.
    pub(crate) fn finish(&self) -> anyhow::Result<()> {
        if self.mode.is_some() {
            bail!("--perms must be followed by an option that makes something");
        }
        if self.size.is_some() {
            bail!("--size must be followed by --tmpfs");
        }
        if !self.lowers.is_empty() {
            bail!("--overlay-src must be followed by --overlay, --tmp-overlay or --ro-overlay");
        }
        Ok(())
    }

    fn operation(
        &mut self,
        name: &str,
        first: &OsStr,
        values: &[OsString],
    ) -> anyhow::Result<Option<Operation>> {
        let destination = PathBuf::from(values.last().cloned().unwrap_or_default());
        if !destination.is_absolute() {
            bail!("--{name} {}: DEST must be absolute", destination.display());
        }
        let mut mode = |default| self.mode.take().unwrap_or(default);
        Ok(Some(match name {
            "tmpfs" => Operation::Tmpfs {
                destination,
                mode: self.mode.take(),
                size_bytes: self.size.take(),
            },
            "overlay" | "tmp-overlay" | "ro-overlay" => Operation::Overlay {
                lowers: std::mem::take(&mut self.lowers),
                changes: changes(name, values)?,
                destination,
            },
            "proc" => Operation::Proc { destination },
            "dev" => Operation::Dev { destination },
            "mqueue" => Operation::MessageQueues { destination },
            "remount-ro" => Operation::ReadOnly { destination },
            "dir" => Operation::Directory {
                destination,
                mode: mode(0o755),
            },
            "symlink" => Operation::Symlink {
                text: first.into(),
                destination,
            },
            "chmod" => Operation::Permissions {
                destination,
                mode: octal("--chmod", first)?,
            },
            "file" => Operation::File {
                contents: descriptor("--file", first)?.into(),
                destination,
                mode: mode(0o666),
            },
            "bind-data" | "ro-bind-data" => Operation::BindFile {
                contents: descriptor(&format!("--{name}"), first)?.into(),
                destination,
                mode: mode(0o600),
                access: access(name),
            },
            "bind-fd" | "ro-bind-fd" => Operation::BindDescriptor {
                source: descriptor(&format!("--{name}"), first)?.into(),
                destination,
                access: access(name),
            },
            _ => return bind(name, first, destination),
        }))
    }
}

fn bind(name: &str, source: &OsStr, destination: PathBuf) -> anyhow::Result<Option<Operation>> {
    let source =
        std::path::absolute(source).with_context(|| format!("--{name} {}", source.display()))?;
    // What is there now is what is shown: later it is too late to leave it away.
    match source.metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound && name.ends_with("-try") => Ok(None),
        Err(error) => Err(error).with_context(|| format!("--{name} {}", source.display())),
        Ok(_) => Ok(Some(Operation::Bind {
            source,
            destination,
            access: access(name),
        })),
    }
}

/// A path of the host that is there.
fn existing(name: &str, path: &OsStr) -> anyhow::Result<PathBuf> {
    let named = || format!("--{name} {}", path.display());
    let path = std::path::absolute(path).with_context(named)?;
    path.metadata().with_context(named)?;
    Ok(path)
}

/// Where the changes in an overlay go.
fn changes(name: &str, values: &[OsString]) -> anyhow::Result<Changes> {
    Ok(match (name, values) {
        ("tmp-overlay", _) => Changes::ThrownAway,
        ("overlay", [upper, work, _]) => Changes::Kept {
            upper: existing(name, upper)?,
            work: existing(name, work)?,
        },
        _ => Changes::Refused,
    })
}

fn access(name: &str) -> Access {
    match name {
        _ if name.starts_with("ro-") => Access::ReadOnly,
        _ if name.starts_with("dev-") => Access::Devices,
        _ => Access::Write,
    }
}

fn octal(option: &str, text: &OsStr) -> anyhow::Result<u32> {
    let text = text.to_string_lossy();
    let mode = u32::from_str_radix(&text, 8).ok();
    let mode = mode.filter(|mode| *mode <= 0o7777 && !text.starts_with('+'));
    mode.with_context(|| format!("{option} {text}: not a file mode in octal digits"))
}

/// A number of bytes, with K, M or G behind it for powers of 1024.
fn number(option: &str, text: &OsStr) -> anyhow::Result<u64> {
    let text = text.to_string_lossy();
    let digits = text.trim_end_matches(['K', 'M', 'G']);
    let unit = match text.strip_prefix(digits) {
        Some("") => 0,
        Some("K") => 10,
        Some("M") => 20,
        Some("G") => 30,
        _ => bail!("{option} {text}: not a number of bytes"),
    };
    let number = digits
        .parse::<u64>()
        .ok()
        .filter(|_| !digits.starts_with('+'));
    let bytes = number.and_then(|number| number.checked_mul(1 << unit));
    bytes
        .filter(|bytes| *bytes > 0)
        .with_context(|| format!("{option} {text}: not a number of bytes"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use clap::FromArgMatches;

    use super::*;

    fn read(line: &str) -> Pieces {
        let command = <Pieces as clap::Args>::augment_args(Command::new("test"));
        let words = std::iter::once("test").chain(line.split(' '));
        Pieces::from_arg_matches(&command.get_matches_from(words)).unwrap()
    }

    fn refused(line: &str) -> String {
        let sandbox = read(line).apply(Sandbox::new("/bin/true"));
        sandbox.unwrap_err().to_string()
    }

    #[test]
    fn options_keep_their_order() {
        let pieces = read("--dir /b --ro-bind /usr /usr --dir /a --bind /x /y --ro-bind /l /l");
        let names: Vec<_> = pieces.0.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["dir", "ro-bind", "dir", "bind", "ro-bind"]);
        assert_eq!(pieces.0[2].1, ["/a"]);
        assert_eq!(pieces.0[3].1, ["/x", "/y"]);
    }

    #[test]
    fn what_is_said_about_the_next_option_is_its_own() {
        let mut reader = Reader::default();
        let mut read = |name, value: &str| reader.read(name, &[value.into()]).unwrap();
        assert_eq!(read("perms", "0700"), None);
        let directory = |destination: &str, mode| {
            Some(Operation::Directory {
                destination: destination.into(),
                mode,
            })
        };
        assert_eq!(read("dir", "/a"), directory("/a", 0o700));
        assert_eq!(read("dir", "/b"), directory("/b", 0o755));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, named) in [
            ("--perms 0800 --dir /x", "--perms 0800"),
            ("--perms 700 --proc /x", "--perms must be followed"),
            ("--dir /x --perms 700", "--perms must be followed"),
            ("--size 4096 --dir /x", "--size must be followed"),
            ("--size 0 --tmpfs /x", "--size 0"),
            ("--size 1T --tmpfs /x", "--size 1T"),
            ("--dir x", "--dir x"),
            ("--bind /no/such /x", "--bind /no/such"),
            ("--file x /x", "--file x"),
            ("--file 999 /x", "--file 999"),
            ("--chmod 99 /x", "--chmod 99"),
        ] {
            let error = refused(line);
            assert!(error.contains(named), "{line}: {error}");
        }
        assert_eq!(number("--size", OsStr::new("64M")).unwrap(), 64 << 20);
    }
}
