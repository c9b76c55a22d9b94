//! What of a start is crabcan's own thinking, in microseconds: reading `config.json`, the plan with
//! and without a filter of system calls, and the program for device rules.
//!
//! ```text
//! cargo run --release -p crabcan-runtime --example micro
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use crabcan_runtime::spec::Spec;
use crabcan_runtime::{Host, Plan, Sandbox};

fn main() -> Result<(), Box<dyn Error>> {
    let host = Host::current()?;
    let text = match host.privileged {
        true => Spec::example(),
        false => Spec::rootless_example(&host),
    };
    let mut spec = Spec::from_json(text.as_bytes())?;
    spec.extension.bundle = Some(std::env::temp_dir());
    let sandbox = || Sandbox::new("/bin/true").plan();
    show("look at the host", || Ok(drop(Host::current()?)))?;
    show("read config.json", || {
        Ok(drop(Spec::from_json(black_box(text.as_bytes()))?))
    })?;
    show("plan it", || Ok(drop(Plan::new(black_box(&spec), &host)?)))?;
    show("plan a sandbox, with its filter", || Ok(drop(sandbox()?)))
}

/// Prints the median of many rounds, and the quickest.
fn show(what: &str, work: impl Fn() -> Result<(), Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..501 {
        let start = Instant::now();
        work()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let (quickest, median) = (micros(times[0]), micros(times[times.len() / 2]));
    println!("{what:32} {median:8.1} us   (at best {quickest:.1})");
    Ok(())
}
