//! `--errors`: what the clients show their users when something cannot work, for crabcan beside
//! runc and crun. The table goes into `docs/engines.md`.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::client::CLIENTS;
use super::hierarchy::Layout;
use super::machine::Machine;
use super::shell::{self, LIMIT_S, User};
use super::{INSIDE, enclosure, suite};
use crate::cargo::workspace;

/// The ten commonest failures that are the runtime's to tell: a title, and the words for podman
/// and docker alike.
const FAILURES: &[(&str, &str)] = &[
    ("a command that does not exist", "run --rm busybox missing"),
    (
        "a command without the x bit",
        "run --rm busybox /bin/not-executable",
    ),
    (
        "a script whose interpreter does not exist",
        "run --rm busybox /bin/no-interpreter",
    ),
    (
        "a file that is no program",
        "run --rm busybox /bin/no-program",
    ),
    (
        "exec in a directory that does not exist",
        "exec --workdir /missing up true",
    ),
    ("exec of a command that does not exist", "exec up missing"),
    (
        "a file mounted over a directory",
        "run --rm -v /etc/hostname:/tmp busybox true",
    ),
    (
        "a sysctl that does not exist",
        "run --rm --sysctl net.nothing.here=1 busybox true",
    ),
    (
        "a hard limit above the caller's, without CAP_SYS_RESOURCE",
        "run --rm --ulimit nofile=1024:90000000 busybox true",
    ),
    (
        "a volume below /proc",
        "run --rm -v /tmp:/proc/nothing busybox true",
    ),
];

/// The clients that are asked.
const ASKED: &[&str] = &["podman", "docker"];

/// Where the table stands.
const PAGE: &str = "docs/engines.md";
const BEGIN: &str = "<!-- made by `cargo xtask test-clients --errors` -->\n";
const END: &str = "<!-- end -->\n";

/// Parts fields, which may have line ends in them, from each other.
const FIELD: char = '\u{1f}';

/// Asks the clients with each of the runtimes, and writes the table into its page.
pub(crate) fn write_table(crabcan: &Path) -> Result<()> {
    let runtimes = [
        (crabcan.to_owned(), Layout::AsMounted),
        (PathBuf::from("/usr/sbin/runc"), Layout::AsMounted),
        (PathBuf::from("/usr/bin/crun"), Layout::V1),
    ];
    let mut answers = Vec::new();
    for (runtime, layout) in &runtimes {
        let words = [
            INSIDE,
            "--errors",
            "--runtime",
            &runtime.display().to_string(),
            "--cgroups",
            layout.word(),
        ];
        let output = enclosure::output(&words.map(str::to_owned))?;
        let name = runtime.file_name().unwrap_or_default().to_string_lossy();
        answers.push((name.into_owned(), output));
    }
    let page = workspace()?.join(PAGE);
    let text = fs::read_to_string(&page).with_context(|| format!("read {PAGE}"))?;
    let (before, rest) = text.split_once(BEGIN).context("the page has no mark")?;
    let (_, after) = rest.split_once(END).context("the page has no end mark")?;
    let text = format!("{before}{BEGIN}\n{}{END}{after}", table(&answers)?);
    fs::write(&page, text).with_context(|| format!("write {PAGE}"))?;
    println!("{PAGE} is written");
    Ok(())
}

/// One section for a failure, with a line for each client and runtime.
fn table(answers: &[(String, String)]) -> Result<String> {
    let mut text = String::new();
    let mut line = 0;
    for (title, words) in FAILURES {
        writeln!(text, "**{title}**: `{words}`\n")?;
        writeln!(text, "| client | runtime | status | what the user reads |")?;
        writeln!(text, "|---|---|---|---|")?;
        for client in ASKED {
            for (runtime, output) in answers {
                // Other lines tell of what went wrong before.
                let mut lines = output.lines().filter(|line| line.contains(FIELD));
                let answer = lines.nth(line).unwrap_or_default();
                let (status, told) = answer
                    .split_once(FIELD)
                    .with_context(|| format!("{runtime} did not answer"))?;
                writeln!(text, "| {client} | {runtime} | {status} | {told} |")?;
            }
            line += 1;
        }
        writeln!(text)?;
    }
    Ok(text)
}

/// Inside: prints one line for each failure and client, in their order.
pub(crate) fn print_answers(machine: &Machine) -> Result<()> {
    for client in CLIENTS.iter().filter(|one| ASKED.contains(&one.name)) {
        suite::prepare(machine, client)?;
        let up = format!("{} run -d --name up busybox sleep 600", client.name);
        shell::run(machine, User::Root, &up, LIMIT_S)?;
    }
    for (_, words) in FAILURES {
        for client in ASKED {
            let command = format!("{client} {words}");
            let answer = shell::run(machine, User::Root, &command, LIMIT_S)?;
            ensure!(answer.status != 0, "`{command}` works");
            println!("{}{FIELD}{}", answer.status, told(&answer.output));
        }
    }
    Ok(())
}

/// The output in one line of a table, without what differs from time to time.
fn told(output: &str) -> String {
    let lines = output.lines().map(str::trim).filter(|line| {
        // docker's way of saying how its own help is called, and a remark on its own.
        !line.is_empty() && !line.starts_with("Run 'docker") && !line.starts_with("time=")
    });
    let words = lines.flat_map(|line| line.split(' ').map(anonymous).chain(["<br>".to_owned()]));
    let text = words.collect::<Vec<_>>().join(" ").replace('|', "\\|");
    text.trim_end_matches("<br>").trim_end().to_owned()
}

/// A word without the identifiers of containers and our own directories.
fn anonymous(word: &str) -> String {
    let word = word.replace("/run/clients/bin/", "");
    let parts = word.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
    let parts = parts.map(|part| {
        let end = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let hex = end.len() == 64 && end.chars().all(|c| c.is_ascii_hexdigit());
        if hex {
            part.replace(end, "ID")
        } else {
            part.to_owned()
        }
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn what_differs_is_left_out() {
        let id = "0123456789abcdef".repeat(4);
        let output = format!("Error: a|b /x/{id}/y\ntime=\"now\"\n\n  at {id}: end\n");
        assert_eq!(told(&output), "Error: a\\|b /x/ID/y <br> at ID: end");
    }

    #[test]
    fn the_table_has_a_line_for_each_client_and_runtime() {
        let one: String = (0..FAILURES.len() * ASKED.len())
            .map(|number| format!("1{FIELD}told {number}\n"))
            .collect();
        let text = table(&[("a".to_owned(), one.clone()), ("b".to_owned(), one)]).unwrap();
        assert!(text.contains("| podman | a | 1 | told 0 |\n| podman | b | 1 | told 0 |\n"));
        assert!(text.contains("| docker | b | 1 | told 19 |\n"));
        assert!(table(&[("a".to_owned(), String::new())]).is_err());
    }
}
