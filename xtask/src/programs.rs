//! Running test programs: what they print goes on at once, what they count is added up.

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::io::{self, Read, Write};
use std::ops::AddAssign;
use std::path::Path;
use std::process::{ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long one test program may run, in seconds. A hang must not take the whole of CI's time.
const LIMIT_S: u64 = 300;

/// How long the output of a finished program may stay open.
const DRAIN: Duration = Duration::from_secs(5);

/// The numbers of libtest's closing lines.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Programs that printed a closing line.
    pub(crate) programs: u32,
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) ignored: u32,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.programs += other.programs;
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts {
            programs,
            passed,
            failed,
            ignored,
        } = self;
        write!(
            f,
            "{passed} passed, {failed} failed, {ignored} ignored in {programs} programs"
        )
    }
}

/// The command that runs a test program under a time limit.
pub(crate) fn limited(program: &Path) -> Command {
    limited_to(program, LIMIT_S)
}

/// The command that runs a program for so many seconds at most.
///
/// `--foreground` leaves it in our process group, so that Ctrl-C reaches the tests.
pub(crate) fn limited_to(program: &Path, seconds: u64) -> Command {
    let mut command = Command::new("timeout");
    command
        .args(["--foreground", "--kill-after=10", &seconds.to_string()])
        .arg(program);
    command
}

/// Takes what cargo told xtask about xtask itself out of a command's environment.
pub(crate) fn without_cargo(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO") {
            command.env_remove(name);
        }
    }
}

/// What came of one test program.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) counts: Counts,
    /// Why it counts as failed: it could not be started, failed, ran too long, printed no closing
    /// line, or left a process that still holds its standard output.
    pub(crate) fault: Option<String>,
    /// What a failed program said of its failures.
    pub(crate) failures: String,
    /// The sums of the lines `figure: NUMBER WHAT`, by what.
    pub(crate) figures: BTreeMap<String, u64>,
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    status: ExitStatus,
    pub(crate) output: String,
}

impl Ended {
    /// What is wrong with how it ended, if anything.
    pub(crate) fn fault(&self) -> Option<String> {
        match self.status.code() {
            Some(0) => None,
            // What timeout(1) returns.
            Some(124) => Some("not finished within its time".to_owned()),
            _ => Some(self.status.to_string()),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        counts(&self.output)
    }

    pub(crate) fn failures(&self) -> String {
        failures(&self.output)
    }
}

/// Runs a program; what it prints goes to our standard output and is kept besides.
pub(crate) fn watch(command: Command) -> Result<Ended> {
    watch_to(command, io::stdout(), DRAIN)
}

/// Runs one test program; what it prints goes to our standard output.
pub(crate) fn run(command: Command) -> Outcome {
    match watch(command) {
        Ok(ended) => outcome(&ended),
        Err(error) => Outcome {
            fault: Some(format!("{error:#}")),
            ..Outcome::default()
        },
    }
}

fn outcome(ended: &Ended) -> Outcome {
    let counts = ended.counts();
    let fault = ended.fault().or_else(|| {
        let none = "no closing line `test result: …`: did it run a test?";
        (counts.programs == 0).then(|| none.to_owned())
    });
    Outcome {
        counts,
        failures: fault.as_ref().map_or(String::new(), |_| ended.failures()),
        fault,
        figures: figures(&ended.output),
    }
}

fn watch_to(
    mut command: Command,
    sink: impl Write + Send + 'static,
    drain: Duration,
) -> Result<Ended> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", command.get_program().to_string_lossy()))?;
    let output = child
        .stdout
        .take()
        .context("the pipe to the test program")?;
    let (sender, receiver) = mpsc::channel();
    // Not joined: it would wait for a process that the test has left behind.
    thread::spawn(move || {
        // The receiver gives up after the grace; there is nobody left to tell.
        let _ = sender.send(pass_on(output, sink));
    });
    let status = child.wait().context("wait for the test program")?;
    let Ok(text) = receiver.recv_timeout(drain) else {
        bail!("the program ended ({status}), but a process it left holds its standard output");
    };
    let output = text?;
    Ok(Ended { status, output })
}

/// Copies the output on piece by piece, so that the last words of a hanging test are seen.
fn pass_on(mut output: ChildStdout, mut sink: impl Write) -> Result<String> {
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let length = output.read(&mut piece).context("read a test's output")?;
        if length == 0 {
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
        text.extend_from_slice(&piece[..length]);
        sink.write_all(&piece[..length])
            .and_then(|()| sink.flush())
            .context("write a test's output")?;
    }
}

/// Adds up the lines `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
fn counts(output: &str) -> Counts {
    let mut sum = Counts::default();
    for line in output.lines() {
        let Some(result) = line.strip_prefix("test result: ") else {
            continue;
        };
        let number = |unit: &str| {
            let before = result.split_once(unit).map_or("", |(before, _)| before);
            before
                .trim()
                .rsplit(' ')
                .next()
                .and_then(|word| word.parse().ok())
                .unwrap_or(0)
        };
        sum += Counts {
            programs: 1,
            passed: number("passed"),
            failed: number("failed"),
            ignored: number("ignored"),
        };
    }
    sum
}

/// What libtest says of the tests that failed, or the last lines of a program without such words.
fn failures(output: &str) -> String {
    const LINES: usize = 60;
    let mut words = Vec::new();
    let mut inside = false;
    for line in output.lines() {
        inside = match line {
            "failures:" => true,
            line if line.starts_with("test result: ") => false,
            _ => inside,
        };
        if inside && !line.is_empty() && !is_of_backtrace(line) {
            words.push(line);
        }
    }
    let words = match words.is_empty() {
        true => {
            let last: Vec<_> = output.lines().rev().take(LINES / 2).collect();
            last.into_iter().rev().collect()
        }
        false => words,
    };
    words.into_iter().take(LINES).collect::<Vec<_>>().join("\n")
}

/// `   3: function`, and where it is.
fn is_of_backtrace(line: &str) -> bool {
    let text = line.trim_start_matches(' ');
    let numbered = text.trim_start_matches(|one: char| one.is_ascii_digit());
    let indented = text.len() < line.len();
    indented && (text.starts_with("at ") || (numbered != text && numbered.starts_with(": ")))
}

/// Adds up the lines `figure: 500 races`.
fn figures(output: &str) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for line in output.lines() {
        let words = line.strip_prefix("figure: ");
        let Some((number, what)) = words.and_then(|words| words.split_once(' ')) else {
            continue;
        };
        if let Ok(number) = number.parse::<u64>() {
            *sums.entry(what.to_owned()).or_default() += number;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    const OK: &str = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s";

    #[test]
    fn closing_lines_are_added_up() {
        let two = format!(
            "running 3 tests\n{OK}\n{}\n",
            OK.replace("0 failed", "2 failed")
        );
        let sum = Counts {
            programs: 2,
            passed: 6,
            failed: 2,
            ignored: 2,
        };
        assert_eq!(counts(&two), sum);
    }

    #[test]
    fn figures_are_added_up_by_their_names() {
        let sums = figures("figure: 3 races\nx\nfigure: 4 races\nfigure: 1 fault\nfigure: x y\n");
        let expected = [("fault".to_owned(), 1), ("races".to_owned(), 7)];
        assert_eq!(sums, BTreeMap::from(expected));
    }

    #[test]
    fn what_failed_is_repeated_without_what_passed() {
        let output = "test a ... FAILED\ntest b ... ok\n\nsuccesses:\n    b\n\nfailures:\n\n---- a stdout ----\n\
                      why\nstack backtrace:\n   0: begin\n             at /x.rs:1:2\n\nfailures:\n    a\n\ntest result: FAILED. 1 passed";
        let expected = "failures:\n---- a stdout ----\nwhy\nstack backtrace:\nfailures:\n    a";
        assert_eq!(failures(output), expected);
        assert_eq!(failures("running\ntest a ..."), "running\ntest a ...");
    }

    fn outcome(script: &str) -> Outcome {
        super::outcome(&watch_to(shell(script), io::sink(), DRAIN).unwrap())
    }

    #[test]
    fn a_good_program_is_counted() {
        let outcome = outcome(&format!("echo '{OK}'"));
        assert_eq!((outcome.counts.passed, outcome.counts.ignored), (3, 1));
        assert_eq!((outcome.fault, outcome.failures.as_str()), (None, ""));
    }

    #[test]
    fn a_failing_program_is_a_fault_and_its_numbers_count() {
        let bad = OK.replace("0 failed", "2 failed");
        let outcome = outcome(&format!("echo 'failures:'; echo '{bad}'; exit 101"));
        assert_eq!(outcome.fault.unwrap(), "exit status: 101");
        assert_eq!(outcome.failures, "failures:");
        assert_eq!(outcome.counts.failed, 2);
    }

    #[test]
    fn a_program_that_runs_no_test_is_a_fault() {
        let fault = outcome("echo hello").fault.unwrap();
        assert!(fault.starts_with("no closing line"), "{fault}");
    }

    #[test]
    fn a_program_that_runs_too_long_is_a_fault() {
        // What timeout(1) returns.
        let fault = outcome("exit 124").fault.unwrap();
        assert!(fault.starts_with("not finished within"), "{fault}");
    }

    #[test]
    fn a_process_left_behind_is_an_error() {
        let script = format!("echo '{OK}'; sleep 1 & exit 0");
        let error = watch_to(shell(&script), io::sink(), Duration::from_millis(100)).unwrap_err();
        assert!(error.to_string().contains("left"), "{error}");
    }
}
