//! Where the time of a start went: measured only when somebody asks.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::time::{ClockId, clock_gettime};

use crate::Error;

/// Something that took some time, by CLOCK_MONOTONIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// What was done.
    pub what: String,
    /// Whether init did it, and not the caller.
    pub by_init: bool,
    /// When it began, in nanoseconds.
    pub begin_ns: u64,
    /// When it ended, in nanoseconds.
    pub end_ns: u64,
}

/// Points in time: what lies between two of them is a [`Span`].
#[derive(Debug)]
pub struct Timings {
    points: Vec<(Option<&'static str>, u64)>,
}

impl Default for Timings {
    fn default() -> Self {
        Self::from_now()
    }
}

impl Timings {
    /// The first thing begins now.
    #[must_use]
    pub fn from_now() -> Self {
        Self {
            points: vec![(None, now())],
        }
    }

    /// Something has ended, which began at the point before.
    pub fn ended(&mut self, what: &'static str) {
        self.points.push((Some(what), now()));
    }

    /// What has passed since the point before belongs to nobody.
    pub fn skip(&mut self) {
        self.points.push((None, now()));
    }

    /// What took how long.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        let pairs = self.points.iter().zip(self.points.iter().skip(1));
        let spans = pairs.filter_map(|((_, begin), (what, end))| {
            Some(Span {
                what: (*what)?.into(),
                by_init: false,
                begin_ns: *begin,
                end_ns: *end,
            })
        });
        spans.collect()
    }

    /// The last point.
    pub(crate) fn last(&self) -> u64 {
        self.points.last().map_or(0, |(_, at)| *at)
    }
}

fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

/// The memory in which init notes when each step has ended.
#[derive(Debug)]
pub(crate) struct Notes {
    file: File,
    steps: Vec<String>,
}

impl Notes {
    pub(crate) fn for_steps(steps: Vec<String>) -> Result<Self, Error> {
        let failed = |errno: rustix::io::Errno| Error::MemoryFile {
            name: "crabcan-timings",
            source: errno.into(),
        };
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let memory = memfd_create("crabcan-timings", flags).map_err(failed)?;
        let length = u64::try_from(steps.len() * size_of::<u64>()).unwrap_or(0);
        ftruncate(&memory, length).map_err(failed)?;
        let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW;
        fcntl_add_seals(&memory, seals).map_err(failed)?;
        Ok(Self {
            file: memory.into(),
            steps,
        })
    }

    /// What init did, until the program was there.
    pub(crate) fn spans(&self, program_is_there: u64) -> io::Result<Vec<Span>> {
        let mut ends = vec![0; self.steps.len() * size_of::<u64>()];
        self.file.read_exact_at(&mut ends, 0)?;
        let ends = ends.as_chunks().0.iter().copied().map(u64::from_ne_bytes);
        Ok(spans(&self.steps, ends, program_is_there))
    }
}

impl AsFd for Notes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The first step only begins the notes. Those at the end that nobody could note, behind a filter
/// of system calls, are one span.
fn spans(steps: &[String], ends: impl Iterator<Item = u64>, last: u64) -> Vec<Span> {
    let mut noted = Vec::new();
    let mut unnoted = Vec::new();
    let mut before = 0;
    for (step, end) in steps.iter().zip(ends) {
        if end == 0 {
            unnoted.push(step.as_str());
        } else if before > 0 {
            noted.push(span(step.clone(), before, end));
        }
        before = end.max(before);
    }
    if !unnoted.is_empty() && before > 0 {
        noted.push(span(unnoted.join(", "), before, last.max(before)));
    }
    noted
}

fn span(what: String, begin_ns: u64, end_ns: u64) -> Span {
    Span {
        what,
        by_init: true,
        begin_ns,
        end_ns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_two_points_is_a_span() {
        let timings = Timings {
            points: vec![(None, 10), (Some("a"), 15), (None, 20), (Some("b"), 22)],
        };
        let spans = timings.spans();
        let short: Vec<_> = spans
            .iter()
            .map(|one| (one.what.as_str(), one.begin_ns, one.end_ns))
            .collect();
        assert_eq!(short, [("a", 10, 15), ("b", 20, 22)]);
    }

    #[test]
    fn steps_that_were_not_noted_end_with_the_program() {
        let steps = ["note", "mount", "filter", "execute"].map(String::from);
        let found = spans(&steps, [100, 150, 0, 0].into_iter(), 180);
        assert_eq!(
            found,
            [
                span("mount".into(), 100, 150),
                span("filter, execute".into(), 150, 180)
            ]
        );
        // Without a reaper the word of the parent may be older than the last note.
        assert_eq!(
            spans(&steps, [100, 150, 0, 0].into_iter(), 120)[1].end_ns,
            150
        );
    }
}
