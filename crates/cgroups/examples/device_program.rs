//! How long the program for a container's device rules takes to make, and how large it is.
//!
//! ```text
//! cargo run --release -p crabcan-cgroups --example device_program
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use crabcan_cgroups::{DeviceAccess, DeviceKind, DeviceProgram, DeviceRule};

fn main() {
    // Deny all; then the six devices that every container has, and its terminals.
    let mut rules = vec![DeviceRule::all(false)];
    let numbers = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2)];
    rules.extend(numbers.map(|(major, minor)| DeviceRule {
        allow: true,
        kind: DeviceKind::Char,
        major: Some(major),
        minor: Some(minor),
        access: DeviceAccess::ALL,
    }));
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..501 {
        let start = Instant::now();
        black_box(DeviceProgram::new(black_box(&rules)));
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let length = DeviceProgram::new(&rules).instructions().len();
    let median = times[times.len() / 2].as_secs_f64() * 1e6;
    println!(
        "{} rules: {length} instructions, {median:.1} us",
        rules.len()
    );
}
