//! What the fuzz targets of all crates share: a seeded mutator over a corpus, on the stable
//! toolchain. A crate's `tests/fuzz.rs` includes it; `cargo xtask fuzz` runs it for longer.
//!
//! A target is a function of bytes. It panics when something is wrong, and returns a number that
//! tells its behaviours apart (which error, how large a result, …): an input with a number that was
//! not seen before joins the corpus, so the search goes on from there.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

/// How long one execution may take before it counts as hanging.
const HANG: Duration = Duration::from_secs(10);
/// How many executions an ordinary run of the tests has at most, and how long it takes at most.
const FEW: (u64, Duration) = (3000, Duration::from_secs(1));
/// No input grows above this, in bytes.
const LONGEST: usize = 64 << 10;
/// How many inputs are kept.
const MOST: usize = 4096;

/// Runs a target on mutations of the corpus: `CRABCAN_FUZZ_SECONDS` long, or a second at most.
/// `words` are pieces that inputs are made of.
pub(crate) fn fuzz(name: &str, corpus: &[&[u8]], words: &[&str], target: impl Fn(&[u8]) -> u64) {
    let number = |variable| {
        env::var(variable)
            .ok()
            .map(|text| text.parse::<u64>().unwrap())
    };
    let seed = number("CRABCAN_FUZZ_SEED").unwrap_or(1);
    let length = number("CRABCAN_FUZZ_SECONDS").map(Duration::from_secs);
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut kept: Vec<Vec<u8>> = corpus.iter().map(|input| input.to_vec()).collect();
    let mut seen = BTreeSet::new();
    let current = watch(name);
    let (mut executions, mut next) = (0u64, 0);
    let start = Instant::now();
    loop {
        // The corpus itself comes first.
        let input = match corpus.get(next) {
            Some(input) => input.to_vec(),
            None => random.mutate(&kept, words),
        };
        next = next.saturating_add(1);
        *current.lock().unwrap() = Some((Instant::now(), input.clone()));
        let behaviour = match catch_unwind(AssertUnwindSafe(|| target(&input))) {
            Ok(behaviour) => behaviour,
            Err(panic) => {
                println!("fuzz {name}: failed on {}", save(name, &input).display());
                resume_unwind(panic);
            }
        };
        if seen.insert(behaviour) && kept.len() < MOST {
            kept.push(input);
        }
        executions += 1;
        let over = match length {
            Some(length) => start.elapsed() > length,
            None => executions >= FEW.0 || start.elapsed() > FEW.1,
        };
        if over && next > corpus.len() {
            break;
        }
    }
    *current.lock().unwrap() = None;
    println!(
        "fuzz {name}: {executions} executions in {:.1} s, {} behaviours, seed {seed}",
        start.elapsed().as_secs_f64(),
        seen.len()
    );
}

type Current = Arc<Mutex<Option<(Instant, Vec<u8>)>>>;

/// Ends the program when one execution takes too long; it can't be interrupted otherwise.
fn watch(name: &str) -> Current {
    let current = Current::default();
    let (watched, name) = (Arc::downgrade(&current), name.to_owned());
    thread::spawn(move || {
        while let Some(current) = watched.upgrade() {
            if let Some((since, input)) = current.lock().unwrap().as_ref()
                && since.elapsed() > HANG
            {
                println!("fuzz {name}: hangs on {}", save(&name, input).display());
                process::abort();
            }
            drop(current);
            thread::sleep(Duration::from_millis(100));
        }
    });
    current
}

fn save(name: &str, input: &[u8]) -> PathBuf {
    let path = env::temp_dir().join(format!("fuzz-{name}-{}", process::id()));
    fs::write(&path, input).unwrap();
    path
}

/// Marsaglia's xorshift: the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// A place in the input, and one behind it that is not far away.
    fn range(&mut self, length: usize) -> (usize, usize) {
        let start = self.below(length + 1);
        let width = self.below(32).min(length - start);
        (start, start + width)
    }

    fn mutate(&mut self, kept: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
        let mut input = kept[self.below(kept.len())].clone();
        for _ in 0..=self.below(6) {
            let (start, end) = self.range(input.len());
            match self.below(9) {
                0 if start < input.len() => input[start] ^= 1 << self.below(8),
                1 if start < input.len() => input[start] = self.next() as u8,
                2 => drop(input.drain(start..end)),
                3 => {
                    let piece = input[start..end].to_vec();
                    let at = self.below(input.len() + 1);
                    input.splice(at..at, piece);
                }
                4 => {
                    let other = &kept[self.below(kept.len())];
                    let (from, to) = self.range(other.len());
                    input.splice(start..end, other[from..to].iter().copied());
                }
                5 => {
                    let number = self.number().to_string();
                    input.splice(start..end, number.into_bytes());
                }
                6 if start + 4 <= input.len() => {
                    let word = (self.number() as u32).to_ne_bytes();
                    input[start..start + 4].copy_from_slice(&word);
                }
                7 => input.truncate(start),
                _ if !words.is_empty() => {
                    let word = words[self.below(words.len())];
                    input.splice(start..end, word.bytes());
                }
                _ => {}
            }
        }
        input.truncate(LONGEST);
        input
    }

    /// A number near a boundary, or any.
    fn number(&mut self) -> u64 {
        let near = [
            0,
            1,
            7,
            64,
            255,
            4095,
            65535,
            1 << 31,
            u32::MAX as u64,
            1 << 32,
            1 << 63,
        ];
        match self.below(3) {
            0 => self.next(),
            _ => near[self.below(near.len())]
                .wrapping_add(self.next() % 3)
                .wrapping_sub(1),
        }
    }
}
