//! `--timings`: where the time of a start went, as a table or as a trace file.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Write, stderr};
use std::path::Path;

use anyhow::Context;
use crabcan_runtime::{Process, Span, Timings};
use serde_json::{Value, json};

/// What `--timings` asks for: a table, or a file.
#[derive(Debug)]
pub(crate) struct Watch {
    file: Option<OsString>,
    own: Timings,
    spans: Vec<Span>,
}

impl Watch {
    /// A stopwatch that has run since crabcan has; the value of the option, empty for a table.
    pub(crate) fn new(wanted: Option<&OsString>, own: Option<Timings>) -> Option<Self> {
        wanted.zip(own).map(|(file, own)| Self {
            file: Some(file).filter(|file| !file.is_empty()).cloned(),
            own,
            spans: Vec::new(),
        })
    }

    /// Something that crabcan does has ended, and the next has begun.
    pub(crate) fn ended(&mut self, what: &'static str) {
        self.own.ended(what);
    }

    /// The program runs.
    pub(crate) fn started(&mut self, container: &Process<'_>) -> anyhow::Result<()> {
        self.spans.extend(container.timings()?);
        self.own.skip();
        Ok(())
    }

    /// Says it.
    pub(crate) fn tell(mut self) -> anyhow::Result<()> {
        self.spans.extend(self.own.spans());
        self.spans.sort_by_key(|span| (span.begin_ns, span.by_init));
        match &self.file {
            None => write!(stderr(), "{}", table(&self.spans)).context("write the timings"),
            Some(file) => write_trace(file.as_ref(), &self.spans)
                .with_context(|| format!("--timings={}", file.display())),
        }
    }
}

fn origin(spans: &[Span]) -> u64 {
    spans.iter().map(|span| span.begin_ns).min().unwrap_or(0)
}

/// One line for each thing: when it began and how long it took, in milliseconds.
fn table(spans: &[Span]) -> String {
    let origin = origin(spans);
    let mut text = String::from("   at ms   took ms  who      what\n");
    for span in spans {
        let begin = milliseconds(span.begin_ns - origin);
        let took = milliseconds(span.end_ns - span.begin_ns);
        let who = if span.by_init { "init" } else { "crabcan" };
        text += &format!("{begin:>8}  {took:>8}  {who:7}  {}\n", span.what);
    }
    text
}

fn milliseconds(nanoseconds: u64) -> String {
    let microseconds = nanoseconds / 1000;
    format!("{}.{:03}", microseconds / 1000, microseconds % 1000)
}

fn write_trace(path: &Path, spans: &[Span]) -> anyhow::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    serde_json::to_writer(&mut file, &trace(spans))?;
    file.flush()?;
    Ok(())
}

/// Complete events of the trace event format, which Perfetto and Chrome open: microseconds, and a
/// row for each of the two processes.
fn trace(spans: &[Span]) -> Value {
    let origin = origin(spans);
    let row = |span: &Span| if span.by_init { 2 } else { 1 };
    let microseconds = |nanoseconds: u64| json!(nanoseconds as f64 / 1000.0);
    let names = [(1, "crabcan"), (2, "init")].map(|(pid, name)| {
        json!({ "name": "process_name", "ph": "M", "pid": pid, "tid": pid, "args": { "name": name } })
    });
    let events = spans.iter().map(|span| {
        json!({
            "name": span.what, "cat": "start", "ph": "X", "pid": row(span), "tid": row(span),
            "ts": microseconds(span.begin_ns - origin),
            "dur": microseconds(span.end_ns - span.begin_ns),
        })
    });
    let all: Vec<Value> = names.into_iter().chain(events).collect();
    json!({ "traceEvents": all, "displayTimeUnit": "ms" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans() -> [Span; 2] {
        let span = |what: &str, by_init, begin_ns, end_ns| Span {
            what: what.into(),
            by_init,
            begin_ns,
            end_ns,
        };
        [
            span("plan", false, 5_000_000, 6_500_000),
            span("mount proc", true, 6_000_000, 6_000_700),
        ]
    }

    #[test]
    fn a_table_has_a_line_for_each() {
        assert_eq!(
            table(&spans()),
            "   at ms   took ms  who      what\n   \
             0.000     1.500  crabcan  plan\n   \
             1.000     0.000  init     mount proc\n"
        );
    }

    #[test]
    fn a_trace_has_two_rows_and_microseconds() {
        let trace = trace(&spans());
        let names: Vec<_> = (0..4)
            .map(|index| &trace["traceEvents"][index]["name"])
            .collect();
        assert_eq!(
            names,
            ["process_name", "process_name", "plan", "mount proc"]
        );
        let last = &trace["traceEvents"][3];
        assert_eq!((&last["ts"], &last["dur"]), (&json!(1000.0), &json!(0.7)));
        assert_eq!((&last["ph"], &last["pid"]), (&json!("X"), &json!(2)));
    }
}
