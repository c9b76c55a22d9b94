//! Programs of the library beside ours: the same lines must come to the same answers.
#![allow(clippy::print_stdout, reason = "a test says what it could not do")]

use std::collections::{BTreeMap, BTreeSet};

use crabcan_seccomp::{Action, Architecture as A, Comparison, Instruction, syscalls};

use super::{Condition, Library};
use crate::interpreter::{Call, run};

/// An architecture, and the library's token for it where that is not the kernel's `AUDIT_ARCH`.
pub(crate) fn token(architecture: A) -> u32 {
    match architecture {
        A::X32 => 0x4000_003e,
        other => other.audit(),
    }
}

/// What the engines' profiles come to on each machine: the engines' word for it, and its
/// architectures, its own first. All that libseccomp 2.5 knows are here; it does not know
/// [`UNKNOWN`].
pub(crate) const MACHINES: [(&str, &[A]); 15] = [
    ("amd64", &[A::X86_64, A::X86, A::X32]),
    ("x86", &[A::X86]),
    ("arm64", &[A::Aarch64, A::Arm]),
    ("mips64", &[A::Mips64, A::Mips, A::Mips64N32]),
    ("mips64n32", &[A::Mips64N32, A::Mips, A::Mips64]),
    ("mipsel64", &[A::Mipsel64, A::Mipsel, A::Mipsel64N32]),
    ("ppc", &[A::Ppc]),
    ("ppc64", &[A::Ppc64]),
    ("ppc64le", &[A::Ppc64le]),
    ("s390", &[A::S390]),
    ("s390x", &[A::S390x, A::S390]),
    ("parisc", &[A::Parisc]),
    ("parisc64", &[A::Parisc64]),
    ("riscv64", &[A::Riscv64]),
    ("arm", &[A::Arm]),
];

/// libseccomp 2.5.4, the library of the distribution, was made before its support for these.
pub(crate) const UNKNOWN: [A; 4] = [A::Loongarch64, A::M68k, A::Sh, A::Sheb];

/// Known difference: of an argument on these, libseccomp looks at the lower half alone, and cuts
/// constants to it, so that `< 2^32` never holds. An argument there has no upper half, but for x32
/// and n32, whose registers have 64 bits: there ours is the stricter answer. So the calls and the
/// constants that are compared have no upper half there.
pub(crate) const NARROW: [A; 11] = [
    A::X86,
    A::X32,
    A::Arm,
    A::Mips,
    A::Mipsel,
    A::Mips64N32,
    A::Mipsel64N32,
    A::Ppc,
    A::S390,
    A::Parisc,
    A::Parisc64,
];

pub(crate) const LOWER: u64 = 0xffff_ffff;

/// The first number of an architecture's calls.
pub(crate) fn first(architecture: A) -> u32 {
    match architecture {
        A::X32 => 0x4000_0000,
        A::Mips | A::Mipsel => 4000,
        A::Mips64 | A::Mipsel64 => 5000,
        A::Mips64N32 | A::Mipsel64N32 => 6000,
        _ => 0,
    }
}

/// A rule as both are given it.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) action: Action,
    pub(crate) name: String,
    pub(crate) conditions: Vec<(u32, Comparison)>,
}

impl Line {
    /// The plain reading: all conditions hold.
    pub(crate) fn holds(&self, arguments: &[u64; 6]) -> bool {
        let mut conditions = self.conditions.iter();
        conditions.all(|(index, comparison)| comparison.holds(arguments[*index as usize]))
    }
}

/// What the library makes of lines.
pub(crate) struct Theirs {
    pub(crate) program: Vec<Instruction>,
    /// Calls that it is too old to know.
    pub(crate) newer: BTreeSet<String>,
}

impl Theirs {
    /// Level 1 is the library's default, 2 its tree.
    pub(crate) fn of(
        library: &Library,
        default: Action,
        architectures: &[A],
        lines: &[Line],
        level: u32,
    ) -> Self {
        let tokens: Vec<u32> = architectures.iter().map(|one| token(*one)).collect();
        let filter = library.filter(default.to_return(), &tokens);
        filter.optimize(level);
        let mut newer = BTreeSet::new();
        // As runc and crun do: what the default action does needs no rule.
        for line in lines.iter().filter(|line| line.action != default) {
            let conditions: Vec<Condition> = line
                .conditions
                .iter()
                .map(|(index, one)| Condition::new(*index, *one))
                .collect();
            if !filter.rule(line.action.to_return(), &line.name, &conditions) {
                newer.insert(line.name.clone());
            }
        }
        let program = filter.export(architectures[0].little_endian());
        Self { program, newer }
    }
}

/// A call that both were asked about.
pub(crate) struct Asked<'l> {
    pub(crate) architecture: A,
    pub(crate) name: Option<&'static str>,
    pub(crate) call: Call,
    /// The lines that name it, in their order.
    pub(crate) lines: Vec<&'l Line>,
    pub(crate) ours: u32,
    pub(crate) theirs: u32,
}

/// Asks both about every number of the architectures, with values around those of the lines, and
/// has each pair of answers judged. How many there were.
pub(crate) fn compare(
    library: &Library,
    (ours, theirs): (&[Instruction], &Theirs),
    architectures: &[A],
    lines: &[Line],
    mut judge: impl FnMut(&Asked<'_>),
) -> u64 {
    let mut compared = 0;
    for architecture in architectures.iter().copied() {
        let mut names = BTreeMap::new();
        for (name, number) in syscalls::all(architecture) {
            let known = library.number(token(architecture), name).is_some();
            // Of several names of a number it is the first that counts.
            names.entry(number).or_insert((name, known));
        }
        let first = first(architecture);
        let little = architecture.little_endian();
        for number in first..first + 600 {
            let name = names.get(&number).map(|(name, _)| *name);
            // Known difference: what one of the two does not know, it can't be asked about.
            let known = names.get(&number).is_none_or(|(_, known)| *known);
            if !known || name.is_some_and(|name| theirs.newer.contains(name)) {
                continue;
            }
            // Known difference: libseccomp gives 64-bit programs of parisc the calls of 32-bit ones,
            // too; the kernel has no such numbers for them.
            if name.is_none() && architecture == A::Parisc64 {
                continue;
            }
            let of_it: Vec<&Line> = lines
                .iter()
                .filter(|one| Some(&*one.name) == name)
                .collect();
            for arguments in arguments(&of_it, architecture) {
                let call = Call {
                    number,
                    audit: architecture.audit(),
                    arguments,
                };
                judge(&Asked {
                    architecture,
                    name,
                    call,
                    lines: of_it.clone(),
                    ours: run(ours, &call, little).0,
                    theirs: run(&theirs.program, &call, little).0,
                });
                compared += 1;
            }
        }
    }
    compared
}

/// The judge that knows no difference.
pub(crate) fn same(asked: &Asked<'_>) {
    let (name, call) = (asked.name, &asked.call);
    assert_eq!(
        asked.ours, asked.theirs,
        "{} {name:?} {call:x?} {:x?}",
        asked.architecture, asked.lines
    );
}

/// Zeroes, and for a call with conditions the values around each, in every argument by turns.
fn arguments(of_it: &[&Line], architecture: A) -> Vec<[u64; 6]> {
    let mut all = vec![[0; 6], [u64::MAX; 6]];
    for (index, comparison) in of_it.iter().flat_map(|line| &line.conditions) {
        let value = match *comparison {
            Comparison::MaskedEq { mask, value } => {
                all.extend([mask, !mask, value | !mask].map(|value| [value; 6]));
                value
            }
            Comparison::Ne(value) | Comparison::Lt(value) | Comparison::Le(value) => value,
            Comparison::Eq(value) | Comparison::Ge(value) | Comparison::Gt(value) => value,
            _ => 0,
        };
        for near in [
            value,
            value.wrapping_add(1),
            value.wrapping_sub(1),
            value ^ 1 << 32,
            value ^ 1 << 63,
        ] {
            let mut one = [value; 6];
            one[*index as usize] = near;
            all.push(one);
            all.push([near; 6]);
        }
    }
    if NARROW.contains(&architecture) {
        for one in all.iter_mut().flatten() {
            *one &= LOWER;
        }
    }
    all
}

/// The library; where it may not be missing, it is not.
pub(crate) fn library() -> Option<Library> {
    let library = Library::load();
    if library.is_none() {
        missing("libseccomp.so.2 (package libseccomp2)");
    }
    library
}

/// Says that a test lacks something, which is a failure where `CRABCAN_TEST_REQUIRE=1` is set.
pub(crate) fn missing(what: &str) {
    let required = std::env::var_os("CRABCAN_TEST_REQUIRE").is_some_and(|value| value == "1");
    assert!(
        !required,
        "CRABCAN_TEST_REQUIRE is set, and there is no {what}"
    );
    println!("not tested: there is no {what}");
}
