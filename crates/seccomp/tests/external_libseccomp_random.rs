//! Beside libseccomp: random profiles.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it compared"
)]

mod interpreter;
mod libseccomp;
mod plain;

use crabcan_seccomp::{Action, Architecture, Comparison, Instruction, Profile, Rule};
use libseccomp::Library;
use libseccomp::beside::{Asked, LOWER, Line, MACHINES, NARROW, Theirs, compare, library, same};
use plain::{Random, seen};

/// Calls that most architectures have. Known difference, hence not among them: the parts of
/// `socketcall` and `ipc`. There libseccomp compares their conditions with the multiplexer's own
/// arguments, a pointer among them (ADR 7).
const NAMES: [&str; 16] = [
    "read",
    "write",
    "ioctl",
    "clone",
    "openat",
    "mmap",
    "futex",
    "personality",
    "prctl",
    "unshare",
    "execve",
    "kill",
    "fcntl",
    "lseek",
    "dup3",
    "setns",
];

/// All of them. The largest errno is missing, which libseccomp refuses though the kernel hands it on.
const ACTIONS: [Action; 9] = [
    Action::Allow,
    Action::Errno(1),
    Action::Errno(4094),
    Action::KillProcess,
    Action::KillThread,
    Action::Trap,
    Action::Trace(0x1234),
    Action::Log,
    Action::Notify,
];

/// What may be asked of a profile's lines.
#[derive(Clone, Copy)]
struct Kind {
    /// Whether several lines for one call may have conditions that overlap, of any operators.
    overlapping: bool,
    /// The bits that constants have: see [`NARROW`].
    bits: u64,
}

/// The comparison with no bits but those in its constants.
fn narrowed(comparison: Comparison, bits: u64) -> Comparison {
    match comparison {
        Comparison::Ne(value) => Comparison::Ne(value & bits),
        Comparison::Lt(value) => Comparison::Lt(value & bits),
        Comparison::Le(value) => Comparison::Le(value & bits),
        Comparison::Eq(value) => Comparison::Eq(value & bits),
        Comparison::Ge(value) => Comparison::Ge(value & bits),
        Comparison::Gt(value) => Comparison::Gt(value & bits),
        Comparison::MaskedEq { mask, value } => Comparison::MaskedEq {
            mask: mask & bits,
            value: value & bits,
        },
        other => other,
    }
}

/// Conditions on so many different arguments. libseccomp refuses a rule with two on one argument;
/// the engines split such a rule, and `or` between arguments as well as within (ADR 7).
fn conditions(random: &mut Random, count: usize, bits: u64) -> Vec<(u32, Comparison)> {
    let mut indices: Vec<u32> = (0..6).collect();
    let mut all: Vec<(u32, Comparison)> = (0..count)
        .map(|_| {
            let index = indices.remove(random.below(indices.len()));
            (index, narrowed(random.comparison(), bits))
        })
        .collect();
    all.sort_by_key(|(index, _)| *index);
    all
}

/// The lines for one call: none, one without conditions, one with up to all six, or several. With
/// several, unless they may overlap, each is another value of one argument, with an action of its
/// own: so the profiles that people use are written, and the order can't matter.
fn lines_for(random: &mut Random, name: &str, kind: Kind) -> Vec<Line> {
    let several = 2 + random.below(4);
    let count = random.of(&[0, 1, 1, several, several]);
    let index = random.below(6) as u32;
    let mut lines: Vec<Line> = Vec::new();
    for _ in 0..count {
        let conditions = match count {
            1 => {
                let count = random.below(7);
                conditions(random, count, kind.bits)
            }
            _ if kind.overlapping => {
                let count = 1 + random.below(3);
                conditions(random, count, kind.bits)
            }
            _ => vec![(index, Comparison::Eq(random.value() & kind.bits))],
        };
        if lines.iter().all(|line| line.conditions != conditions) {
            lines.push(Line {
                action: random.of(&ACTIONS),
                name: name.to_owned(),
                conditions,
            });
        }
    }
    lines
}

/// A random profile, as its default action and its lines.
fn random_lines(random: &mut Random, kind: Kind) -> (Action, Vec<Line>) {
    let default = random.of(&ACTIONS);
    let lines = NAMES
        .iter()
        .flat_map(|name| lines_for(random, name, kind))
        // Nobody gives libseccomp a rule with the default action (ADR 7).
        .filter(|line| line.action != default);
    (default, lines.collect())
}

fn ours(default: Action, architectures: &[Architecture], lines: &[Line]) -> Vec<Instruction> {
    let mut profile = Profile::new(default)
        .enosys_for_newer(false)
        .architectures(architectures.to_vec());
    for line in lines {
        let rule = Rule::new(line.action, [line.name.clone()]);
        let conditions = line.conditions.iter();
        profile = profile.rule(conditions.fold(rule, |rule, (index, comparison)| {
            rule.argument(*index, *comparison)
        }));
    }
    profile.compile().unwrap().instructions().to_vec()
}

/// Makes so many profiles, each for another machine, and compares.
fn rounds(
    library: &Library,
    seed: u64,
    overlapping: bool,
    mut judge: impl FnMut(Action, &Asked<'_>),
) -> u64 {
    let mut random = Random(seed);
    let mut compared = 0;
    for round in 0..150 {
        let architectures = MACHINES[round % MACHINES.len()].1;
        // Half of the rounds of each machine are for its own architecture alone.
        let architectures = if (round / MACHINES.len()).is_multiple_of(2) {
            architectures
        } else {
            &architectures[..1]
        };
        let narrow = architectures.iter().any(|one| NARROW.contains(one));
        let bits = if narrow { LOWER } else { u64::MAX };
        let (default, lines) = random_lines(&mut random, Kind { overlapping, bits });
        let ours = ours(default, architectures, &lines);
        for level in [1, 2] {
            let theirs = Theirs::of(library, default, architectures, &lines, level);
            compared += compare(library, (&ours, &theirs), architectures, &lines, |asked| {
                judge(default, asked);
            });
        }
    }
    println!("{compared} calls of 150 profiles compared");
    assert!(compared > 250_000);
    compared
}

#[test]
#[ignore = "needs packages: libseccomp2"]
fn random_profiles() {
    let Some(library) = library() else { return };
    rounds(&library, 0x005e_cc03, false, |_, asked| same(asked));
}

/// What libseccomp does where conditions of several lines for one call overlap.
#[derive(Debug, Default)]
struct Faults {
    /// It takes none of the lines though one holds: it may give up after one whose first condition
    /// holds, or whose upper half does. (`arg1 < 0x1590c1294` and `arg1 <= 7` do not let 0x590c1294
    /// through.)
    gave_up: u64,
    /// Of the lines that hold it takes not the first, but the one that its sorting of comparisons
    /// puts first.
    sorted: u64,
    /// It takes a line that does not hold: parts of lines that it has joined.
    mixed: u64,
}

/// Conditions that overlap are beyond libseccomp, in the three ways of [`Faults`]. So here ours is
/// held against a plain reading, and theirs may differ only where a call has several lines.
#[test]
#[ignore = "needs packages: libseccomp2"]
fn random_profiles_whose_lines_overlap() {
    let Some(library) = library() else { return };
    let mut faults = Faults::default();
    let compared = rounds(&library, 0x0005_ecc4, true, |default, asked| {
        let arguments = seen(asked.architecture, asked.call.arguments);
        let holding: Vec<u32> = asked
            .lines
            .iter()
            .filter(|line| line.holds(&arguments))
            .map(|line| line.action.to_return())
            .collect();
        let default = default.to_return();
        let expected = holding.first().copied().unwrap_or(default);
        assert_eq!(asked.ours, expected, "{:x?} {:x?}", asked.call, asked.lines);
        if asked.theirs == asked.ours || asked.lines.len() < 2 {
            return same(asked);
        }
        match asked.theirs {
            theirs if theirs == default => faults.gave_up += 1,
            theirs if holding.contains(&theirs) => faults.sorted += 1,
            _ => faults.mixed += 1,
        }
    });
    println!("of them libseccomp answers in its own way: {faults:?}");
    let all = faults.gave_up + faults.sorted + faults.mixed;
    assert!(all * 10 < compared, "more than a few: {faults:?}");
}
