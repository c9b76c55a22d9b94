//! What the fuzz targets do with bytes: run by `../fuzz.rs`, and under cargo-fuzz by `../../fuzz`.

use crate::fuzzing;
use crate::plain::Random;

/// Documents with damage: most are refused.
pub(crate) fn profile(bytes: &[u8]) -> u64 {
    fuzzing::examine(bytes) as u64
}

/// Whole documents of the formats' words, made from numbers: most come to a filter.
pub(crate) fn document(bytes: &[u8]) -> u64 {
    let fold = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    let mut random = Random(bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold) | 1);
    fuzzing::examine(&fuzzing::input(&mut random)) as u64
}
