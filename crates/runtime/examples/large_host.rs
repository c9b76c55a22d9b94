//! A container from a program that has touched much memory: nothing of it is copied, so that it
//! takes no longer than from a small one.
//!
//! ```text
//! cargo run --release -p crabcan-runtime --example large_host
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use crabcan_runtime::Sandbox;

const MIB: usize = 1 << 20;
const ROUNDS: usize = 60;

fn main() -> Result<(), Box<dyn Error>> {
    let mut memory: Vec<u8> = Vec::new();
    let mut smallest = None;
    for size in [1, 64, 512] {
        memory.resize(size * MIB, 1);
        black_box(&memory);
        let time = median()?;
        let smallest = *smallest.get_or_insert(time);
        println!(
            "{size:4} MiB touched: {:6.2} ms, {:.2} of the smallest",
            time * 1e3,
            time / smallest
        );
    }
    Ok(())
}

/// Of the time from the plan to the end of a program that ends at once, in seconds.
fn median() -> Result<f64, Box<dyn Error>> {
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let status = Sandbox::new("/bin/true").status()?;
        times.push(start.elapsed());
        if !status.success() {
            return Err(format!("/bin/true: {status:?}").into());
        }
    }
    times.sort_unstable();
    Ok(times[ROUNDS / 2].as_secs_f64())
}
