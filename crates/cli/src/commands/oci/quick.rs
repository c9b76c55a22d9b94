//! The command lines that engines write, read by hand.
//!
//! A parser that knows all options of a command takes longer to build than most of these commands
//! take. So the lines that are written most often are read here, each word by the same rules; any
//! other word gives `None`, and the whole line is the parser's, as are all errors and `--help`.

use std::ffi::OsString;
use std::path::PathBuf;

use super::bundle::{Create, Options, Run};
use super::container::{Delete, Kill, Start, State};
use super::exec::Exec;

/// A command that has such lines.
pub(super) trait Quick: Sized {
    /// Reads the words behind the command's name.
    fn quick(words: &[OsString]) -> Option<Self>;
}

/// A word that is an argument whatever stands before it: no option, not empty, readable as text.
fn plain(word: &OsString) -> Option<String> {
    let text = word.to_str()?;
    (!text.is_empty() && !text.starts_with('-')).then(|| text.to_owned())
}

impl Quick for Start {
    fn quick(words: &[OsString]) -> Option<Self> {
        let [id] = words else { return None };
        Some(Self { id: plain(id)? })
    }
}

impl Quick for State {
    fn quick(words: &[OsString]) -> Option<Self> {
        let [id] = words else { return None };
        Some(Self { id: plain(id)? })
    }
}

impl Quick for Kill {
    fn quick(words: &[OsString]) -> Option<Self> {
        let [id, signal] = words else { return None };
        Some(Self {
            all: false,
            regex: false,
            id: plain(id)?,
            signal: plain(signal)?,
        })
    }
}

impl Quick for Delete {
    fn quick(words: &[OsString]) -> Option<Self> {
        let (force, id) = match words {
            [id] => (false, id),
            [force, id] if force == "--force" => (true, id),
            _ => return None,
        };
        Some(Self {
            force,
            regex: false,
            id: plain(id)?,
        })
    }
}

impl Quick for Create {
    fn quick(words: &[OsString]) -> Option<Self> {
        let options = Options::quick(words)?;
        Some(Self { options })
    }
}

impl Quick for Run {
    fn quick(words: &[OsString]) -> Option<Self> {
        let options = Options::quick(words)?;
        Some(Self {
            options,
            detach: false,
            keep: false,
        })
    }
}

impl Quick for Options {
    fn quick(words: &[OsString]) -> Option<Self> {
        let (id, mut options) = words.split_last()?;
        let mut read = Self {
            bundle: PathBuf::from("."),
            config: None,
            console_socket: None,
            pidfd_socket: None,
            pid_file: None,
            no_pivot: false,
            no_new_keyring: false,
            no_subreaper: false,
            preserve_fds: 0,
            id: plain(id)?,
        };
        let mut has_bundle = false;
        while let [name, value, rest @ ..] = options {
            let path = PathBuf::from(plain(value)?);
            match name.to_str()? {
                "--bundle" if !has_bundle => {
                    has_bundle = true;
                    read.bundle = path;
                }
                "--pid-file" if read.pid_file.is_none() => read.pid_file = Some(path),
                "--console-socket" if read.console_socket.is_none() => {
                    read.console_socket = Some(path);
                }
                _ => return None,
            }
            options = rest;
        }
        options.is_empty().then_some(read)
    }
}

impl Quick for Exec {
    fn quick(words: &[OsString]) -> Option<Self> {
        let (id, words) = words.split_first()?;
        let first = words.first()?;
        plain(first)?;
        Some(Self {
            process: None,
            cwd: None,
            env: Vec::new(),
            tty: None,
            user: None,
            additional_gids: Vec::new(),
            detach: false,
            pid_file: None,
            process_label: None,
            apparmor: None,
            no_new_privs: false,
            cap: Vec::new(),
            preserve_fds: 0,
            ignore_paused: false,
            cgroup: Vec::new(),
            console_socket: None,
            pidfd_socket: None,
            no_subreaper: false,
            id: plain(id)?,
            words: words.to_vec(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::fmt::Debug;

    use clap::Parser;

    use super::*;

    /// Reads a line here and by the parser; whether it is one of those that are read here.
    fn both<T: Parser + Quick + Debug>(line: &str) -> bool {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let Some(quick) = T::quick(&words) else {
            return false;
        };
        let name = std::iter::once(OsString::from("crabcan"));
        let parsed = T::try_parse_from(name.chain(words)).unwrap();
        assert_eq!(format!("{quick:?}"), format!("{parsed:?}"), "{line}");
        true
    }

    #[test]
    fn what_is_read_here_is_what_the_parser_reads() {
        assert!(both::<Start>("one") && both::<State>("one"));
        assert!(both::<Kill>("one KILL") && both::<Kill>("one 9"));
        assert!(both::<Delete>("one") && both::<Delete>("--force one"));
        for options in [
            "",
            "--bundle /b",
            "--bundle /b --pid-file /p",
            "--pid-file p --console-socket s --bundle b",
        ] {
            assert!(both::<Create>(&format!("{options} one")), "{options}");
            assert!(both::<Run>(&format!("{options} one")), "{options}");
        }
        assert!(both::<Exec>("one ls") && both::<Exec>("one sh -c true -- --tty"));
    }

    #[test]
    fn an_empty_word_is_the_parsers() {
        let words = ["--bundle", "", "one"].map(OsString::from);
        assert!(Create::quick(&words).is_none());
        assert!(State::quick(&words[1..2]).is_none());
    }

    #[test]
    fn every_other_line_is_the_parsers() {
        for line in ["", "--help", "one two", "-- one"] {
            assert!(!both::<Start>(line) && !both::<State>(line), "{line}");
        }
        for line in ["one", "--all one KILL", "one -9", "one KILL two"] {
            assert!(!both::<Kill>(line), "{line}");
        }
        for line in ["--force --force", "-f one", "--regex one", "one --force"] {
            assert!(!both::<Delete>(line), "{line}");
        }
        for line in [
            "",
            "--bundle one",
            "--bundle -x one",
            "--bundle=b one",
            "--bundle a --bundle b one",
            "--no-pivot one",
            "--detach one",
            "-b b one",
            "one --bundle b",
            "--bundle b --help",
        ] {
            assert!(!both::<Create>(line) && !both::<Run>(line), "{line}");
        }
        for line in [
            "one",
            "--tty one ls",
            "one -- ls",
            "one --tty ls",
            "-e a one",
        ] {
            assert!(!both::<Exec>(line), "{line}");
        }
    }
}
