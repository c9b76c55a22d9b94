//! Host names that a person can tell apart.

use rustix::rand::{GetRandomFlags, getrandom};

const ADJECTIVES: [&str; 16] = [
    "amber", "brisk", "calm", "daring", "eager", "fresh", "gentle", "hardy", "idle", "jolly",
    "keen", "lively", "mellow", "nimble", "proud", "quiet",
];
const NOUNS: [&str; 16] = [
    "anchor", "beacon", "coral", "dune", "eddy", "fjord", "gull", "harbour", "island", "jetty",
    "kelp", "lagoon", "mussel", "oyster", "pebble", "reef",
];

/// A name like `brisk-coral-4711`. It names nothing that must be unique.
pub(crate) fn generate() -> String {
    let mut bytes = [0u8; 4];
    if getrandom(&mut bytes, GetRandomFlags::empty()).is_err() {
        bytes = std::process::id().to_ne_bytes();
    }
    let [adjective, noun, low, high] = bytes;
    let pick = |list: &[&'static str], index: u8| {
        list.get(usize::from(index) % list.len())
            .copied()
            .unwrap_or("crab")
    };
    let number = u16::from_ne_bytes([low, high]);
    format!(
        "{}-{}-{number}",
        pick(&ADJECTIVES, adjective),
        pick(&NOUNS, noun)
    )
}
