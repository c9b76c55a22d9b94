//! The parts of a task: a heading and a time for each, and all failures at the end.

use std::time::Instant;

use anyhow::{Error, Result, bail};

/// Runs the parts of a task one after the other.
///
/// A failed part does not stop the next ones: one run of CI is to tell everything that is wrong.
#[derive(Debug)]
pub(crate) struct Parts {
    task: &'static str,
    start: Instant,
    /// The names of the parts that failed, with what was wrong.
    failed: Vec<(String, Error)>,
}

impl Parts {
    pub(crate) fn new(task: &'static str) -> Parts {
        Parts {
            task,
            start: Instant::now(),
            failed: Vec::new(),
        }
    }

    pub(crate) fn run(&mut self, name: &str, part: impl FnOnce() -> Result<()>) {
        println!("==> {name}");
        let start = Instant::now();
        let result = part();
        let seconds = start.elapsed().as_secs_f32();
        match result {
            Ok(()) => println!("==> {name}: ok, {seconds:.1} s"),
            Err(error) => {
                let text = format!("{error:#}");
                let first = text.lines().next().unwrap_or_default();
                println!("==> {name}: FAILED, {seconds:.1} s: {first}");
                self.failed.push((name.to_owned(), error));
            }
        }
    }

    /// Whether no part has failed so far.
    pub(crate) fn are_ok(&self) -> bool {
        self.failed.is_empty()
    }

    /// Fails with everything that was wrong: the end of CI's output may be all that is kept.
    pub(crate) fn finish(self) -> Result<()> {
        let seconds = self.start.elapsed().as_secs_f32();
        if !self.failed.is_empty() {
            let names: Vec<_> = self.failed.iter().map(|(name, _)| name.as_str()).collect();
            let details: String = self
                .failed
                .iter()
                .map(|(name, error)| format!("\n{name}: {error:#}"))
                .collect();
            bail!(
                "{} failed after {seconds:.1} s: {}{details}",
                self.task,
                names.join(", ")
            );
        }
        println!("==> {}: all ok, {seconds:.1} s", self.task);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_part_fails_the_task_but_not_the_next_part() {
        let mut parts = Parts::new("t");
        let mut ran = false;
        parts.run("first", || bail!("broken"));
        parts.run("second", || {
            ran = true;
            Ok(())
        });
        assert!(!parts.are_ok());
        let error = parts.finish().map_err(|e| e.to_string());
        assert!(ran);
        assert!(matches!(error, Err(m) if m.ends_with(": first\nfirst: broken")));
    }
}
