//! The flat form of a plan: one block of bytes that is checked whole before a step of it is done.
//!
//! ```text
//! magic u32 · version u32 · length u32 · steps u32 · checksum u64 · fault step u32 · fault errno u32
//! then for each step: opcode u32 · length u32 · fields, each padded to four bytes
//! ```
//! Numbers are in native order: a plan never leaves the machine, nor the run, that made it.

mod lists;
#[cfg(test)]
mod tests;

use core::ffi::CStr;

pub use self::lists::{Bits, Change, Changes};
use crate::step::Step;

/// "CRAB" in the first four bytes.
pub const MAGIC: u32 = u32::from_le_bytes(*b"CRAB");
/// Raised whenever a step or a field changes: the program refuses every other version.
pub const VERSION: u32 = 1;
/// The header's length in bytes.
pub const HEADER: usize = 32;
/// No plan is longer, in bytes: arguments and environment alone are bounded by 6 MiB in execve(2).
pub const MAX_LENGTH: usize = 16 << 20;

/// Why a plan is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Not a plan, or one of another version.
    Header,
    /// The length in the header is not that of the block.
    Length,
    /// The checksum does not fit the bytes.
    Checksum,
    /// The step with this index can't be read.
    Step(u32),
}

/// A fault to be made on purpose instead of doing a step, for tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The index of the step.
    pub step: u32,
    /// The error number to report; with 0, init ends without a word.
    pub errno: i32,
}

/// A flat plan that has been checked: every step in it can be read.
#[derive(Clone, Copy, Debug)]
pub struct FlatPlan<'a> {
    body: &'a [u8],
    steps: u32,
    fault: Option<Fault>,
}

impl<'a> FlatPlan<'a> {
    /// Reads and checks a block of bytes.
    ///
    /// # Errors
    /// [`Damage`] says what is wrong; nothing of a damaged plan is ever followed.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Damage> {
        let (header, body) = bytes.split_first_chunk::<HEADER>().ok_or(Damage::Length)?;
        let mut words = header
            .as_chunks()
            .0
            .iter()
            .map(|word| u32::from_ne_bytes(*word));
        let mut word = || words.next().ok_or(Damage::Header);
        if word()? != MAGIC || word()? != VERSION {
            return Err(Damage::Header);
        }
        if word()? as usize != bytes.len() || bytes.len() > MAX_LENGTH {
            return Err(Damage::Length);
        }
        let steps = word()?;
        let sum = u64::from(word()?) | u64::from(word()?) << 32;
        let (step, errno) = (word()?, word()? as i32);
        if sum != checksum(steps, step, errno, body) {
            return Err(Damage::Checksum);
        }
        let fault = match (step, errno) {
            (u32::MAX, 0) => None,
            // One way only to write a plan.
            (u32::MAX, _) => return Err(Damage::Header),
            _ => Some(Fault { step, errno }),
        };
        let plan = Self { body, steps, fault };
        plan.check()?;
        Ok(plan)
    }

    /// Reads every step once, and nothing must be left over.
    fn check(&self) -> Result<(), Damage> {
        let mut steps = self.steps();
        for index in 0..self.steps {
            steps.next().ok_or(Damage::Step(index))?;
        }
        if steps.cursor.rest.is_empty() {
            Ok(())
        } else {
            Err(Damage::Step(self.steps))
        }
    }

    /// The steps in their order.
    #[must_use]
    pub fn steps(&self) -> Steps<'a> {
        Steps {
            cursor: Cursor::new(self.body),
        }
    }

    /// The fault to be made on purpose, if any.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }
}

/// Iterates over the steps of a [`FlatPlan`].
#[derive(Clone, Debug)]
pub struct Steps<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Iterator for Steps<'a> {
    type Item = Step<'a>;

    fn next(&mut self) -> Option<Step<'a>> {
        let opcode = self.cursor.word()?;
        let length = self.cursor.word()? as usize;
        let mut fields = Cursor::new(self.cursor.take(length)?);
        let step = Step::read(opcode, &mut fields)?;
        fields.rest.is_empty().then_some(step)
    }
}

/// Mixes the variable words of the header and the body into 64 bits. It finds damage, not malice:
/// whoever can write a plan can run a program anyway.
pub(crate) fn checksum(steps: u32, fault_step: u32, fault_errno: i32, body: &[u8]) -> u64 {
    const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |sum: u64, value: u64| (sum ^ value).wrapping_mul(PRIME).rotate_left(29);
    let mut sum = mix(PRIME, u64::from(steps));
    sum = mix(
        sum,
        u64::from(fault_step) | u64::from(fault_errno as u32) << 32,
    );
    for chunk in body.chunks(8) {
        let value = chunk
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte));
        sum = mix(sum, value);
    }
    sum
}

/// Reads fields from the front of a slice.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// The next `length` bytes; the padding that follows them must be zero.
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        let (padding, rest) = rest.split_at_checked(length.wrapping_neg() % 4)?;
        self.rest = rest;
        padding.iter().all(|byte| *byte == 0).then_some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*array)
    }

    #[inline(never)]
    fn word(&mut self) -> Option<u32> {
        self.array().map(u32::from_ne_bytes)
    }

    // Not inlined, as every step has fields: that makes the program smaller.
    #[inline(never)]
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.word()? as usize;
        self.take(length)
    }
}

/// A type that a step's field can have.
pub(crate) trait Field<'a>: Sized {
    fn read(from: &mut Cursor<'a>) -> Option<Self>;
    #[cfg(not(crabcan_program))]
    fn write(&self, to: &mut crate::writer::Buffer);
}

impl Field<'_> for u32 {
    fn read(from: &mut Cursor<'_>) -> Option<Self> {
        from.word()
    }
    #[cfg(not(crabcan_program))]
    fn write(&self, to: &mut crate::writer::Buffer) {
        to.word(*self);
    }
}

impl Field<'_> for i32 {
    fn read(from: &mut Cursor<'_>) -> Option<Self> {
        from.word().map(|word| word as i32)
    }
    #[cfg(not(crabcan_program))]
    fn write(&self, to: &mut crate::writer::Buffer) {
        to.word(*self as u32);
    }
}

impl Field<'_> for u64 {
    fn read(from: &mut Cursor<'_>) -> Option<Self> {
        from.array().map(u64::from_ne_bytes)
    }
    #[cfg(not(crabcan_program))]
    fn write(&self, to: &mut crate::writer::Buffer) {
        to.array(self.to_ne_bytes());
    }
}

impl Field<'_> for bool {
    fn read(from: &mut Cursor<'_>) -> Option<Self> {
        match from.word()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
    #[cfg(not(crabcan_program))]
    fn write(&self, to: &mut crate::writer::Buffer) {
        to.word(u32::from(*self));
    }
}

impl<'a> Field<'a> for &'a CStr {
    fn read(from: &mut Cursor<'a>) -> Option<Self> {
        CStr::from_bytes_with_nul(from.bytes()?).ok()
    }
    #[cfg(not(crabcan_program))]
    fn write(&self, to: &mut crate::writer::Buffer) {
        to.bytes(self.to_bytes_with_nul());
    }
}

/// A list of strings, each with its NUL, one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strings<'a>(&'a [u8]);

impl<'a> Strings<'a> {
    /// A list from its bytes; `None` when the last string has no NUL.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        bytes
            .last()
            .is_none_or(|last| *last == 0)
            .then_some(Self(bytes))
    }

    /// The strings in their order.
    #[must_use]
    pub fn iter(&self) -> StringsIter<'a> {
        StringsIter(self.0)
    }
}

impl<'a> IntoIterator for &Strings<'a> {
    type Item = &'a CStr;
    type IntoIter = StringsIter<'a>;

    fn into_iter(self) -> StringsIter<'a> {
        self.iter()
    }
}

/// Iterates over [`Strings`].
#[derive(Clone, Debug)]
pub struct StringsIter<'a>(&'a [u8]);

impl<'a> Iterator for StringsIter<'a> {
    type Item = &'a CStr;

    fn next(&mut self) -> Option<&'a CStr> {
        let string = CStr::from_bytes_until_nul(self.0).ok()?;
        self.0 = self.0.get(string.to_bytes_with_nul().len()..)?;
        Some(string)
    }
}

impl<'a> Field<'a> for Strings<'a> {
    fn read(from: &mut Cursor<'a>) -> Option<Self> {
        Self::new(from.bytes()?)
    }
    #[cfg(not(crabcan_program))]
    fn write(&self, to: &mut crate::writer::Buffer) {
        to.bytes(self.0);
    }
}

/// A list of group ids, four bytes of native order each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Groups<'a>(&'a [u8]);

impl<'a> Groups<'a> {
    /// A list from its bytes; `None` when they are no whole number of ids.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        bytes.len().is_multiple_of(4).then_some(Self(bytes))
    }

    pub(crate) fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

/// The program of a system call filter: the bytes of an array of `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instructions<'a>(&'a [u8]);

impl<'a> Instructions<'a> {
    /// The length of an instruction in bytes.
    pub const LENGTH: usize = 8;
    /// How many instructions the kernel takes at most (`BPF_MAXINSNS`).
    pub const MAX: usize = 4096;

    /// A program from its bytes; `None` when they are no whole number of instructions, none at
    /// all, or more than [`Self::MAX`].
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let count = bytes.len() / Self::LENGTH;
        let whole = bytes.len().is_multiple_of(Self::LENGTH);
        (whole && (1..=Self::MAX).contains(&count)).then_some(Self(bytes))
    }

    /// How many instructions there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len() / Self::LENGTH
    }

    pub(crate) fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Field<'a> for Instructions<'a> {
    fn read(from: &mut Cursor<'a>) -> Option<Self> {
        Self::new(from.bytes()?)
    }
    #[cfg(not(crabcan_program))]
    fn write(&self, to: &mut crate::writer::Buffer) {
        to.bytes(self.0);
    }
}

impl<'a> Field<'a> for Groups<'a> {
    fn read(from: &mut Cursor<'a>) -> Option<Self> {
        Self::new(from.bytes()?)
    }
    #[cfg(not(crabcan_program))]
    fn write(&self, to: &mut crate::writer::Buffer) {
        to.bytes(self.0);
    }
}
