//! What the fuzz targets do with bytes: run by `../fuzz.rs`, and under cargo-fuzz by `../../fuzz`.

use crabcan_init::PlanWriter;
use crabcan_init::format::{FlatPlan, HEADER, MAGIC, VERSION};

/// The steps' bytes below a header that fits them: what is read can be written again and is the
/// same, and has words.
pub(crate) fn plan(body: &[u8]) -> u64 {
    // The first word says how many steps there are: mutations move it along.
    for steps in 0..6 {
        let bytes = with_header(steps, body);
        let Ok(plan) = FlatPlan::parse(&bytes) else {
            continue;
        };
        let mut again = PlanWriter::new();
        let mut words = 0;
        for step in plan.steps() {
            again.push(&step).unwrap();
            words += step.to_string().len();
        }
        assert_eq!(again.finish(None), bytes);
        return 1 + u64::from(steps) * 1000 + words as u64 % 1000;
    }
    0
}

/// A header as the format's page draws it.
fn with_header(steps: u32, body: &[u8]) -> Vec<u8> {
    const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |sum: u64, value: u64| (sum ^ value).wrapping_mul(PRIME).rotate_left(29);
    let sum = mix(mix(PRIME, u64::from(steps)), u64::from(u32::MAX));
    let sum = body.chunks(8).fold(sum, |sum, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        mix(sum, u64::from_le_bytes(word))
    });
    let length = (HEADER + body.len()) as u32;
    let (low, high) = (sum as u32, (sum >> 32) as u32);
    let header = [MAGIC, VERSION, length, steps, low, high, u32::MAX, 0];
    let mut bytes = header.map(u32::to_ne_bytes).concat();
    bytes.extend_from_slice(body);
    bytes
}
