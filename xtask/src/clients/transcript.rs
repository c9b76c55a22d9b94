//! Scenarios are transcripts of a shell: what is typed, what is answered, how it exits.
//!
//! ```text
//! == exec: another user
//! @ also rootless
//! $ podman run -d --name one busybox sleep 100
//! …
//! $ podman exec --user 1000 one id -u
//! 1000
//! $ podman exec one false
//! [1]
//! ```
//!
//! * `== NAME` begins a scenario; what stands before the first one is a comment.
//! * `@` lines say where it can be run: see [`Condition`].
//! * `$ COMMAND` is for `sh`; lines that begin with `> ` go on with it.
//! * The lines below are the expected output, standard error and all. `…` in a line stands for
//!   any characters, a line of `…` alone for any number of lines.
//! * `[N]` is the exit status; without it 0 is expected.

use anyhow::{Context, Result, bail};

use super::facts::Fact;

/// Where a scenario can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// `@ also rootless`: by root and by the ordinary user.
    AlsoRootless,
    /// `@ only rootless`: what only the ordinary user can ask for.
    OnlyRootless,
    /// `@ full`: takes too long for every change.
    Full,
    /// `@ needs FACT`: a fact about the machine that no runtime can replace.
    Needs(Fact),
    /// `@ not RUNTIME: REASON`: a known fault of a peer.
    Not { runtime: String, reason: String },
    /// `@ leaves LINE: REASON`: what the client itself leaves, with any runtime; `…` as in output.
    Leaves(String),
    /// `@ takes SECONDS`: the limit of one command, where a minute is not enough or too much.
    Takes(u32),
}

/// One command and what it is to answer.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) command: String,
    pub(crate) output: Vec<String>,
    pub(crate) status: i32,
}

/// One scenario.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) steps: Vec<Step>,
}

/// Reads the scenarios of a file.
pub(crate) fn parse(text: &str) -> Result<Vec<Scenario>> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(name) = line.strip_prefix("== ") {
            scenarios.push(Scenario {
                name: name.to_owned(),
                ..Scenario::default()
            });
        } else if let Some(scenario) = scenarios.last_mut() {
            scenario
                .add(line)
                .with_context(|| format!("line {}: {line}", index + 1))?;
        }
    }
    if let Some(empty) = scenarios.iter().find(|one| one.steps.is_empty()) {
        bail!("the scenario `{}` does nothing", empty.name);
    }
    Ok(scenarios)
}

impl Scenario {
    fn add(&mut self, line: &str) -> Result<()> {
        if let Some(words) = line.strip_prefix("@ ") {
            self.conditions.push(condition(words)?);
        } else if let Some(command) = line.strip_prefix("$ ") {
            self.steps.push(Step {
                command: command.to_owned(),
                ..Step::default()
            });
        } else if line.is_empty() {
            // Between scenarios; an expected empty line is written as `…`.
        } else {
            let step = self.steps.last_mut().context("there is no command yet")?;
            if let Some(more) = line.strip_prefix("> ") {
                step.command.push('\n');
                step.command.push_str(more);
            } else if let Some(status) = status(line) {
                step.status = status;
            } else {
                step.output.push(line.to_owned());
            }
        }
        Ok(())
    }
}

fn condition(words: &str) -> Result<Condition> {
    let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
    Ok(match verb {
        "also" if rest == "rootless" => Condition::AlsoRootless,
        "only" if rest == "rootless" => Condition::OnlyRootless,
        "full" => Condition::Full,
        "needs" => Condition::Needs(Fact::parse(rest)?),
        "leaves" => {
            let (line, _reason) = rest.split_once(": ").context("a reason is missing")?;
            Condition::Leaves(line.to_owned())
        }
        "takes" => Condition::Takes(rest.parse().context("a number of seconds")?),
        "not" => {
            let (runtime, reason) = rest.split_once(": ").context("a reason is missing")?;
            Condition::Not {
                runtime: runtime.to_owned(),
                reason: reason.to_owned(),
            }
        }
        _ => bail!("an unknown condition"),
    })
}

/// The number of a line `[N]`.
fn status(line: &str) -> Option<i32> {
    line.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// Whether the output is the expected one.
pub(crate) fn matches(expected: &[String], output: &[&str]) -> bool {
    match expected.split_first() {
        None => output.is_empty(),
        Some((line, rest)) if line == "…" => {
            (0..=output.len()).any(|skipped| matches(rest, &output[skipped..]))
        }
        Some((line, rest)) => match output.split_first() {
            Some((first, others)) => line_matches(line, first) && matches(rest, others),
            None => false,
        },
    }
}

/// Whether the pieces between `…` stand in the line in their order, the outer ones at its ends.
pub(crate) fn line_matches(expected: &str, line: &str) -> bool {
    match expected.split_once('…') {
        None => expected == line,
        Some((start, rest)) => line.strip_prefix(start).is_some_and(|line| {
            let mut ends = line.char_indices().map(|(at, _)| at);
            ends.any(|at| line_matches(rest, &line[at..])) || line_matches(rest, "")
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const TEXT: &str = "\
A comment.

== first
@ also rootless
@ not crun: it is different
$ cat <<E
> [1]
> E
[1]
…
[3]
$ true

== second
$ false
[1]
";

    #[test]
    fn a_file_is_read() {
        let found = parse(TEXT).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].name, "first");
        assert_eq!(found[0].conditions[0], Condition::AlsoRootless);
        let peer = Condition::Not {
            runtime: "crun".to_owned(),
            reason: "it is different".to_owned(),
        };
        assert_eq!(found[0].conditions[1], peer);
        assert_eq!(found[0].steps[0].command, "cat <<E\n[1]\nE");
        assert_eq!(found[0].steps[0].output, ["…"]);
        assert_eq!(found[0].steps[0].status, 3);
        assert_eq!(
            found[0].steps[1],
            Step {
                command: "true".to_owned(),
                ..Step::default()
            }
        );
        assert_eq!(found[1].steps[0].status, 1);
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, told) in [
            ("== a\noutput", "line 2: output"),
            ("== a\n@ never\n$ true", "line 2: @ never"),
            ("== a\n@ needs luck\n$ true", "line 2: @ needs luck"),
            ("== a\n@ not crun\n$ true", "line 2: @ not crun"),
            ("== a\n== b\n$ true", "the scenario `a` does nothing"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), told);
        }
    }

    fn compare(expected: &str, output: &str) -> bool {
        let expected: Vec<_> = expected.lines().map(str::to_owned).collect();
        matches(&expected, &output.lines().collect::<Vec<_>>())
    }

    #[test]
    fn output_is_compared_line_by_line() {
        assert!(compare("", ""));
        assert!(compare("a\nb", "a\nb"));
        assert!(!compare("a", "a\nb"));
        assert!(!compare("a\nb", "a"));
        assert!(!compare("a", "A"));
    }

    #[test]
    fn an_ellipsis_stands_for_anything() {
        assert!(compare("…", ""));
        assert!(compare("a…\n…\nz", "abc\nd\ne\nz"));
        assert!(compare("…b…", "äbc"));
        assert!(compare("a…c…", "abc"));
        assert!(!compare("…b…", "ac"));
        assert!(!compare("a…a", "a"));
        assert!(!compare("…\nz", "z\na"));
    }
}
