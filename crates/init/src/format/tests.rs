#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::vec::Vec;

use super::{
    Damage, Fault, FlatPlan, Groups, HEADER, Instructions, MAGIC, MAX_LENGTH, Strings, VERSION,
    checksum,
};
use crate::samples::samples;
use crate::step::Step;
use crate::writer::{PlanWriter, TooLong};

/// An interpreter is slow.
const STRIDE: usize = if cfg!(miri) { 97 } else { 1 };
const ROUNDS: u32 = if cfg!(miri) { 100 } else { 200_000 };

fn plan_of_all() -> Vec<u8> {
    let mut writer = PlanWriter::new();
    for (index, (step, _)) in (0..).zip(samples()) {
        assert_eq!(writer.push(&step), Ok(index));
    }
    writer.finish(None)
}

/// The same plan written again.
fn written_again(plan: &FlatPlan<'_>) -> Vec<u8> {
    let mut writer = PlanWriter::new();
    for step in plan.steps() {
        writer.push(&step).unwrap();
    }
    writer.finish(plan.fault())
}

fn set_word(plan: &mut [u8], index: usize, word: u32) {
    plan[index * 4..][..4].copy_from_slice(&word.to_ne_bytes());
}

fn get_word(plan: &[u8], index: usize) -> u32 {
    u32::from_ne_bytes(*plan[index * 4..].first_chunk().unwrap())
}

/// Makes the header fit whatever the body has become, so that the steps themselves are looked at.
fn make_the_header_fit(plan: &mut [u8]) {
    set_word(plan, 0, MAGIC);
    set_word(plan, 1, VERSION);
    set_word(plan, 2, plan.len() as u32);
    let (steps, fault) = (get_word(plan, 3), get_word(plan, 6));
    let sum = checksum(steps, fault, get_word(plan, 7) as i32, &plan[HEADER..]);
    set_word(plan, 4, sum as u32);
    set_word(plan, 5, (sum >> 32) as u32);
}

#[test]
fn every_step_is_read_as_it_was_written() {
    let flat = plan_of_all();
    let plan = FlatPlan::parse(&flat).unwrap();
    assert!(plan.steps().eq(samples().into_iter().map(|(step, _)| step)));
    assert_eq!(plan.fault(), None);
    assert_eq!(written_again(&plan), flat);
    for (step, _) in samples() {
        let mut writer = PlanWriter::new();
        writer.push(&step).unwrap();
        let flat = writer.finish(None);
        let plan = FlatPlan::parse(&flat).unwrap();
        assert!(plan.steps().eq([step]), "{step}");
    }
}

#[test]
fn a_fault_is_read_as_it_was_written() {
    for errno in [0, 1, -1] {
        let fault = Some(Fault { step: 3, errno });
        let flat = PlanWriter::new().finish(fault);
        assert_eq!(FlatPlan::parse(&flat).unwrap().fault(), fault);
    }
}

#[test]
fn every_truncation_is_refused() {
    let flat = plan_of_all();
    for length in (0..flat.len()).step_by(STRIDE) {
        assert!(FlatPlan::parse(&flat[..length]).is_err(), "{length} bytes");
        let mut fitting = flat[..length].to_vec();
        if length >= HEADER {
            make_the_header_fit(&mut fitting);
            let refused = FlatPlan::parse(&fitting).unwrap_err();
            assert!(
                matches!(refused, Damage::Step(_)),
                "{length} bytes: {refused:?}"
            );
        }
    }
}

#[test]
fn every_changed_bit_and_byte_is_refused() {
    let flat = plan_of_all();
    for index in (0..flat.len()).step_by(STRIDE) {
        let changes = (0..8).map(|bit| 1 << bit).chain([0xff]);
        for change in changes {
            let mut damaged = flat.clone();
            damaged[index] ^= change;
            assert!(FlatPlan::parse(&damaged).is_err(), "byte {index}, {change}");
        }
    }
}

#[test]
fn what_is_wrong_is_said() {
    let flat = plan_of_all();
    let parse = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut plan = flat.clone();
        change(&mut plan);
        FlatPlan::parse(&plan).err()
    };
    assert_eq!(parse(&|_| ()), None);
    assert_eq!(parse(&Vec::clear), Some(Damage::Length));
    assert_eq!(parse(&|plan| plan.push(0)), Some(Damage::Length));
    assert_eq!(parse(&|plan| set_word(plan, 0, 0)), Some(Damage::Header));
    let next = VERSION + 1;
    assert_eq!(parse(&|plan| set_word(plan, 1, next)), Some(Damage::Header));
    assert_eq!(parse(&|plan| plan[40] ^= 1), Some(Damage::Checksum));
    let fitting = |change: &dyn Fn(&mut Vec<u8>)| {
        parse(&|plan| {
            change(plan);
            make_the_header_fit(plan);
        })
    };
    let steps = samples().len() as u32;
    let more = fitting(&|plan| set_word(plan, 3, steps + 1));
    assert_eq!(more, Some(Damage::Step(steps)));
    let fewer = fitting(&|plan| set_word(plan, 3, steps - 1));
    assert_eq!(fewer, Some(Damage::Step(steps - 1)));
    let unknown = fitting(&|plan| set_word(plan, HEADER / 4, 9999));
    assert_eq!(unknown, Some(Damage::Step(0)));
    // An error number without a step could be written in many ways.
    let fault = fitting(&|plan| set_word(plan, 7, 1));
    assert_eq!(fault, Some(Damage::Header));
}

#[test]
fn a_plan_has_a_greatest_length() {
    let half = std::vec![b'x'; MAX_LENGTH / 2];
    let mut text = half.clone();
    text.push(0);
    let step = Step::Exec {
        candidates: Strings::new(&text).unwrap(),
        args: Strings::new(b"").unwrap(),
        env: Strings::new(b"").unwrap(),
    };
    let mut writer = PlanWriter::new();
    assert_eq!(writer.push(&step), Ok(0));
    assert_eq!(writer.push(&step), Err(TooLong));
    assert!(FlatPlan::parse(&writer.finish(None)).is_ok());
}

#[test]
fn lists_are_whole() {
    assert_eq!(Strings::new(b"a"), None);
    assert_eq!(Groups::new(b"abc"), None);
    for length in [0, 7, 12, 8 * 4097] {
        assert_eq!(Instructions::new(&std::vec![0; length]), None, "{length}");
    }
    for count in [1, 4096] {
        let bytes = std::vec![0; 8 * count];
        assert_eq!(Instructions::new(&bytes).unwrap().count(), count);
    }
    let list = Strings::new(b"a\0\0bc\0").unwrap();
    assert!(list.iter().eq([c"a", c"", c"bc"]));
    assert_eq!(Strings::new(b"").unwrap().iter().next(), None);
}

/// Marsaglia's xorshift: the same numbers in every run.
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

    /// Changes a few bytes or words, or the length.
    fn damage(&mut self, plan: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.below(plan.len());
            match self.below(7) {
                0 => plan[at] ^= 1 << self.below(8),
                1 => plan[at] = self.next() as u8,
                2 => plan[at] = 0,
                3 => {
                    let word = [0, 1, 4, 7, 24, u32::MAX, 1 << 31][self.below(7)];
                    let index = (at / 4).min(plan.len() / 4 - 1);
                    set_word(plan, index, word);
                }
                4 => set_word(plan, 3, self.below(4) as u32),
                5 if at > HEADER => plan.truncate(at),
                _ => plan.insert(at, self.next() as u8),
            }
        }
    }
}

#[test]
fn a_damaged_plan_is_refused_or_is_another_whole_plan() {
    let mut random = Random(0x6372_6162_6361_6e21);
    let (mut whole, mut refused) = (0, 0);
    for _ in 0..ROUNDS {
        let mut writer = PlanWriter::new();
        let samples = samples();
        for _ in 0..=random.below(2) {
            writer
                .push(&samples[random.below(samples.len())].0)
                .unwrap();
        }
        let mut plan = writer.finish(None);
        random.damage(&mut plan);
        make_the_header_fit(&mut plan);
        match FlatPlan::parse(&plan) {
            Ok(read) => {
                assert_eq!(read.steps().count(), get_word(&plan, 3) as usize);
                assert_eq!(written_again(&read), plan);
                whole += 1;
            }
            Err(_) => refused += 1,
        }
    }
    // Both must have been tried in earnest.
    assert!(
        whole > ROUNDS / 20 && refused > ROUNDS / 20,
        "{whole} whole, {refused} refused"
    );
}
