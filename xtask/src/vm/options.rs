//! The words after `test-vm`.

use anyhow::{Context, Result, bail, ensure};

use super::Boot;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) boots: Vec<Boot>,
    pub(super) task: Task,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Task {
    Tests {
        full: bool,
        filters: Vec<String>,
    },
    Shell,
    Exec(String),
    /// The engines' scenarios, those that have one of the words.
    Clients(Vec<String>),
}

impl Options {
    pub(super) fn parse(args: &[String]) -> Result<Options> {
        let mut boots = Vec::new();
        let (mut full, mut filters) = (false, Vec::new());
        let mut other = None;
        let mut clients = false;
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--plain" => boots.push(Boot::Plain),
                "--systemd" => boots.push(Boot::Systemd),
                "--full" => full = true,
                "--clients" => clients = true,
                "--shell" => other = Some(Task::Shell),
                "--exec" => {
                    let command = args.next().context("--exec needs a command")?;
                    other = Some(Task::Exec(command.clone()));
                }
                _ => filters.push(arg.clone()),
            }
        }
        ensure!(
            boots.len() < 2,
            "without --plain and --systemd both are booted"
        );
        if boots.is_empty() {
            boots.extend([Boot::Plain, Boot::Systemd]);
        }
        let task = match other {
            None if clients && !full => Task::Clients(filters),
            None if clients => bail!("--clients runs them all: not --full"),
            Some(_) if clients => bail!("--clients and a command of your own exclude each other"),
            None => Task::Tests { full, filters },
            Some(other) if filters.is_empty() && !full => other,
            Some(_) => bail!("--shell and --exec run no tests: neither --full nor a name"),
        };
        Ok(Options { boots, task })
    }

    /// The one to boot where it can be only one.
    pub(super) fn boot(&self) -> Boot {
        match self.boots[..] {
            [boot] => boot,
            _ => Boot::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn parse(line: &str) -> Result<Options> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&words)
    }

    #[test]
    fn both_boots_unless_one_is_named() {
        let tests = |boots: &[Boot], full, filters: &[&str]| Options {
            boots: boots.to_vec(),
            task: Task::Tests {
                full,
                filters: filters.iter().map(|&word| word.to_owned()).collect(),
            },
        };
        let both = [Boot::Plain, Boot::Systemd];
        assert_eq!(parse("").unwrap(), tests(&both, false, &[]));
        assert_eq!(parse("--plain").unwrap(), tests(&both[..1], false, &[]));
        assert_eq!(
            parse("pivot --systemd --full --nocapture").unwrap(),
            tests(&both[1..], true, &["pivot", "--nocapture"])
        );
    }

    #[test]
    fn a_shell_or_a_command_is_in_one_machine() {
        assert_eq!(parse("--shell").unwrap().boot(), Boot::Plain);
        let exec = parse("--systemd --exec true").unwrap();
        assert_eq!(
            (exec.boot(), exec.task),
            (Boot::Systemd, Task::Exec("true".into()))
        );
    }

    #[test]
    fn clients_take_words_of_names() {
        let task = parse("--plain --clients pause").unwrap().task;
        assert_eq!(task, Task::Clients(vec!["pause".to_owned()]));
    }

    #[test]
    fn what_cannot_go_together_is_refused() {
        for line in [
            "--plain --systemd",
            "--exec",
            "--shell pivot",
            "--exec true --full",
            "--clients --full",
            "--clients --shell",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
