//! Looks for documents that make the crate panic, or compile to another filter than they say.
//!
//! ```text
//! cargo run --release -p crabcan-seccomp --features json --example fuzz -- [SECONDS] [SEED]
//! ```
//!
//! It ends with an error at the first finding and prints the input. Each seed is another sequence;
//! without one the clock chooses.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

#[path = "../tests/fuzzing/mod.rs"]
mod fuzzing;
#[path = "../tests/interpreter/mod.rs"]
mod interpreter;
#[path = "../tests/plain/mod.rs"]
mod plain;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use plain::Random;

/// What is being looked at: release builds end at a panic, but tell of it before.
static INPUT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

fn main() {
    let mut words = std::env::args()
        .skip(1)
        .map(|word| word.parse::<u64>().ok());
    let seconds = words.next().flatten().unwrap_or(10);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let clock = now.map_or(1, |now| now.as_nanos() as u64);
    let seed = words.next().flatten().unwrap_or(clock).max(1);
    println!("{seconds} seconds from seed {seed}");
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |finding| {
        let input = INPUT.lock().unwrap_or_else(PoisonError::into_inner);
        println!("finding: {}", input.escape_ascii());
        tell(finding);
    }));
    let start = Instant::now();
    let mut random = Random(seed);
    let (mut inputs, mut compiled) = (0u64, 0u64);
    while start.elapsed() < Duration::from_secs(seconds) {
        let input = fuzzing::input(&mut random);
        INPUT
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(&input);
        compiled += u64::from(fuzzing::examine(&input));
        inputs += 1;
    }
    println!("{inputs} inputs, {compiled} of them compiled, no finding");
}
