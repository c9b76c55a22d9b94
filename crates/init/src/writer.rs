//! Writing a flat plan, for programs that have a heap.

use alloc::vec::Vec;

use crate::format::{Fault, HEADER, MAGIC, MAX_LENGTH, VERSION, checksum};
use crate::step::Step;

/// Collects fields, each padded to four bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffer(Vec<u8>);

impl Buffer {
    pub(crate) fn array<const N: usize>(&mut self, array: [u8; N]) {
        self.0.extend_from_slice(&array);
    }

    pub(crate) fn word(&mut self, word: u32) {
        self.array(word.to_ne_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        // A length above u32 can't be: `PlanWriter::push` has refused it.
        self.word(bytes.len() as u32);
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

/// The plan would be longer than [`MAX_LENGTH`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// So long is the plan of an ordinary container.
const USUAL: usize = 4096;

/// Writes steps one behind the other.
#[derive(Clone, Debug, Default)]
pub struct PlanWriter {
    body: Buffer,
    steps: u32,
}

impl PlanWriter {
    /// A plan without steps.
    #[must_use]
    pub fn new() -> Self {
        Self {
            body: Buffer(Vec::with_capacity(USUAL)),
            steps: 0,
        }
    }

    /// Appends a step and gives its index.
    ///
    /// # Errors
    /// [`TooLong`] when the plan would exceed [`MAX_LENGTH`].
    pub fn push(&mut self, step: &Step<'_>) -> Result<u32, TooLong> {
        let begin = self.body.0.len();
        // In the place of the opcode and the length, which are known when the fields are there.
        self.body.array([0; 8]);
        let opcode = step.write(&mut self.body);
        let length = self.body.0.len() - begin - 8;
        if HEADER + self.body.0.len() > MAX_LENGTH {
            self.body.0.truncate(begin);
            return Err(TooLong);
        }
        let words = [opcode, length as u32].into_iter();
        let places = self.body.0[begin..].as_chunks_mut().0;
        for (place, word) in places.iter_mut().zip(words) {
            *place = word.to_ne_bytes();
        }
        self.steps += 1;
        Ok(self.steps - 1)
    }

    /// How many steps there are: the index of the next one.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.steps
    }

    /// The finished block of bytes, with a fault to be made on purpose when one is given.
    #[must_use]
    pub fn finish(&self, fault: Option<Fault>) -> Vec<u8> {
        let fault = fault.unwrap_or(Fault {
            step: u32::MAX,
            errno: 0,
        });
        let sum = checksum(self.steps, fault.step, fault.errno, &self.body.0);
        let mut plan = Buffer(Vec::with_capacity(HEADER + self.body.0.len()));
        plan.word(MAGIC);
        plan.word(VERSION);
        plan.word((HEADER + self.body.0.len()) as u32);
        plan.word(self.steps);
        plan.word(sum as u32);
        plan.word((sum >> 32) as u32);
        plan.word(fault.step);
        plan.word(fault.errno as u32);
        plan.0.extend_from_slice(&self.body.0);
        plan.0
    }
}
