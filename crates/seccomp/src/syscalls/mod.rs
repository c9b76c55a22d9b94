//! Names and numbers of system calls.
//!
//! One list of names for all architectures, and for each a list of numbers in the same order: a
//! name is looked up once and is then an index.

mod arm;
mod mips;
mod names;
mod others;
mod parisc;
mod power;
mod s390;
mod x86;

use crate::Architecture;
use crate::architecture::{ARM_PRIVATE, X32_BIT};
use names::{COUNT, STARTS, TEXT};

/// Stands for "no such call".
const ABSENT: u16 = u16::MAX;
/// How 32-bit ARM's private calls are kept in 16 bits.
const ARM_KEPT: u16 = 0xf000;

/// The number of a system call, `None` where the architecture has no call of that name.
#[must_use]
pub fn number(architecture: Architecture, name: &str) -> Option<u32> {
    index(name).and_then(|index| number_at(architecture, index))
}

/// The name of a system call, the first in byte order where it has several.
#[must_use]
pub fn name(architecture: Architecture, number: u32) -> Option<&'static str> {
    (0..COUNT)
        .find(|index| number_at(architecture, *index) == Some(number))
        .map(name_at)
}

/// All calls of an architecture with their numbers, in byte order of the names.
pub fn all(architecture: Architecture) -> impl Iterator<Item = (&'static str, u32)> {
    (0..COUNT).filter_map(move |index| Some((name_at(index), number_at(architecture, index)?)))
}

/// Whether some architecture has a call of that name.
#[must_use]
pub fn is_known(name: &str) -> bool {
    index(name).is_some()
}

/// How many places the table of hashes has: few names meet in one.
const PLACES: usize = 2048;

/// Each name's index at the place of its hash, or at the next free one.
static HASHES: [u16; PLACES] = hashes();

const fn hashes() -> [u16; PLACES] {
    let mut places = [ABSENT; PLACES];
    let mut index = 0;
    while index < COUNT {
        let (start, end) = (STARTS[index] as usize, STARTS[index + 1] as usize - 1);
        let (_, from) = TEXT.as_bytes().split_at(start);
        let (name, _) = from.split_at(end - start);
        let mut place = place(name);
        while places[place] != ABSENT {
            place = (place + 1) % PLACES;
        }
        places[place] = index as u16;
        index += 1;
    }
    places
}

/// Where a name's index is looked for first: the hash of Fowler, Noll and Vo.
const fn place(name: &[u8]) -> usize {
    let mut hash = 0x811c_9dc5u32;
    let mut at = 0;
    while at < name.len() {
        hash = (hash ^ name[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    (hash ^ hash >> 15) as usize % PLACES
}

/// Where a name is in the list.
pub(crate) fn index(name: &str) -> Option<usize> {
    let mut place = place(name.as_bytes());
    // There are free places, so this ends.
    while HASHES[place] != ABSENT {
        let index = usize::from(HASHES[place]);
        if name_at(index) == name {
            return Some(index);
        }
        place = (place + 1) % PLACES;
    }
    None
}

/// The number of a name's call.
pub(crate) fn number_at(architecture: Architecture, index: usize) -> Option<u32> {
    let kept = table(architecture)[index];
    match kept {
        ABSENT => None,
        kept if architecture == Architecture::Arm && kept >= ARM_KEPT => {
            Some(ARM_PRIVATE + u32::from(kept - ARM_KEPT))
        }
        kept if architecture == Architecture::X32 => Some(X32_BIT + u32::from(kept)),
        kept => Some(u32::from(kept)),
    }
}

/// Every name that some architecture has a call of, in byte order.
pub(crate) fn every_name() -> impl Iterator<Item = &'static str> {
    (0..COUNT).map(name_at)
}

pub(crate) fn name_at(index: usize) -> &'static str {
    let start = usize::from(STARTS[index]);
    let end = usize::from(STARTS[index + 1]) - 1;
    &TEXT[start..end]
}

fn table(architecture: Architecture) -> &'static [u16; COUNT] {
    use Architecture as A;
    match architecture {
        A::X86_64 => &x86::X86_64,
        A::X86 => &x86::X86,
        A::X32 => &x86::X32,
        A::Aarch64 => &arm::AARCH64,
        A::Arm => &arm::ARM,
        A::Mips | A::Mipsel => &mips::MIPS,
        A::Mips64 | A::Mipsel64 => &mips::MIPS64,
        A::Mips64N32 | A::Mipsel64N32 => &mips::MIPS64N32,
        A::Ppc => &power::PPC,
        A::Ppc64 | A::Ppc64le => &power::PPC64,
        A::S390 => &s390::S390,
        A::S390x => &s390::S390X,
        A::Parisc => &parisc::PARISC,
        A::Parisc64 => &parisc::PARISC64,
        A::Riscv64 => &others::RISCV64,
        A::Loongarch64 => &others::LOONGARCH64,
        A::M68k => &others::M68K,
        A::Sh | A::Sheb => &others::SH,
    }
}
