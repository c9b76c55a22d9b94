//! One measured run of a list of commands, and what many of them come to.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::sys::wait::waitpid;

/// Wall and CPU time (user and system, of all processes that ended), in µs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) wall: i64,
    pub(super) cpu: i64,
}

/// One command: its words, and the user that runs it.
#[derive(Debug, Clone)]
pub(super) struct Line {
    words: Vec<String>,
    user: Option<u32>,
}

impl Line {
    pub(super) fn new(words: &[&str]) -> Line {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Line { words, user: None }
    }

    /// Runs it as this user and group.
    pub(super) fn user(self, id: u32) -> Line {
        Line {
            user: Some(id),
            ..self
        }
    }

    /// The same behind other words, as those of a shell.
    pub(super) fn behind(&self, words: &[&str]) -> Line {
        let words = words.iter().map(|word| (*word).to_owned());
        Line {
            words: words.chain(self.words.iter().cloned()).collect(),
            user: self.user,
        }
    }

    fn command(&self) -> Result<Command> {
        let (program, words) = self.words.split_first().context("an empty command")?;
        let mut command = Command::new(program);
        // Cargo's environment is not a user's.
        command.env_remove("RUST_BACKTRACE");
        command
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if let Some(id) = self.user {
            command
                .uid(id)
                .gid(id)
                .current_dir("/")
                .env_clear()
                .env("PATH", "/usr/bin:/bin");
        }
        Ok(command)
    }

    pub(super) fn spawn(&self) -> Result<Child> {
        let child = self.command()?.spawn();
        child.with_context(|| format!("run `{}`", self.words.join(" ")))
    }

    /// Runs it to its end, which must be a success.
    pub(super) fn run(&self) -> Result<()> {
        let line = self.words.join(" ");
        let mut child = self.spawn()?;
        let status = child.wait().with_context(|| format!("wait for `{line}`"))?;
        ensure!(status.success(), "`{line}`: {status}");
        Ok(())
    }
}

/// Runs the commands one after the other and measures all of them together.
///
/// `orphans` processes that they leave behind are waited for as well, before the last command if
/// there are several: a container's own process is nobody's child when its runtime has ended, and
/// this process, as a subreaper, is the one that gets it.
pub(super) fn measure(lines: &[Line], orphans: usize) -> Result<Sample> {
    let (last, first) = lines.split_last().context("nothing to measure")?;
    let before = cpu_of_children()?;
    // std's Instant is CLOCK_MONOTONIC.
    let start = Instant::now();
    for line in first {
        line.run()?;
    }
    if !first.is_empty() {
        reap(orphans)?;
    }
    last.run()?;
    if first.is_empty() {
        reap(orphans)?;
    }
    let wall = i64::try_from(start.elapsed().as_micros()).context("a run without end")?;
    Ok(Sample {
        wall,
        cpu: cpu_of_children()? - before,
    })
}

/// Waits for so many orphans to end.
pub(super) fn reap(orphans: usize) -> Result<()> {
    for _ in 0..orphans {
        waitpid(None, None).context("wait for the container's process")?;
    }
    Ok(())
}

/// All that is added between two calls comes from what was waited for between them.
pub(super) fn cpu_of_children() -> Result<i64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("getrusage")?;
    let micros = |time: TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    Ok(micros(usage.user_time()) + micros(usage.system_time()))
}

/// The samples of one program in one case.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) samples: Vec<Sample>,
}

impl Series {
    /// The value below which `percent` of them lie, in milliseconds.
    pub(super) fn percentile(&self, percent: usize, value: impl Fn(&Sample) -> i64) -> f64 {
        let mut values: Vec<i64> = self.samples.iter().map(value).collect();
        values.sort_unstable();
        let index = values.len().saturating_sub(1) * percent / 100;
        values
            .get(index)
            .map_or(f64::NAN, |&micros| micros as f64 / 1000.0)
    }

    pub(super) fn wall(&self) -> f64 {
        self.percentile(50, |sample| sample.wall)
    }

    pub(super) fn cpu(&self) -> f64 {
        self.percentile(50, |sample| sample.cpu)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn percentiles() {
        let samples = (1..=101)
            .rev()
            .map(|n| Sample {
                wall: n * 1000,
                cpu: n,
            })
            .collect();
        let series = Series {
            name: "x".into(),
            samples,
        };
        assert!((series.wall() - 51.0).abs() < 1e-9);
        assert!((series.percentile(10, |sample| sample.wall) - 11.0).abs() < 1e-9);
        assert!((series.cpu() - 0.051).abs() < 1e-9);
    }

    #[test]
    fn a_failing_command_is_no_sample() {
        assert!(measure(&[Line::new(&["/bin/false"])], 0).is_err());
        assert!(measure(&[Line::new(&["/bin/true"])], 0).unwrap().wall > 0);
    }
}
