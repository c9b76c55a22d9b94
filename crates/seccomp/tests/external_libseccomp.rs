//! Beside libseccomp: the same rules must come to the same answers.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it compared"
)]

mod interpreter;
mod libseccomp;
mod plain;

use std::collections::BTreeSet;
use std::time::Instant;

use crabcan_seccomp::json::{EngineProfile, Target};
use crabcan_seccomp::{Action, Architecture, Comparison, Instruction, Profile, Rule, syscalls};
use interpreter::{Call, run};
use libseccomp::{Condition, Library};
use plain::Random;
use serde_json::Value;

/// podman's, from the package golang-github-containers-common.
const PODMAN: &str = "/usr/share/containers/seccomp.json";

/// More of them, as `PATH` has directories. docker's is built into dockerd; Debian has it as a file in
/// golang-github-docker-docker-dev only, which brings 245 other packages.
const MORE: &str = "CRABCAN_TEST_PROFILES";

/// Our name of an architecture, the library's token, and the token's meaning to the kernel.
const X86: [(Architecture, u32); 3] = [
    (Architecture::X86_64, 0xc000_003e),
    (Architecture::X86, 0x4000_0003),
    (Architecture::X32, 0x4000_003e),
];
const ARM: [(Architecture, u32); 2] = [
    (Architecture::Aarch64, 0xc000_00b7),
    (Architecture::Arm, 0x4000_0028),
];

const MIPS: [(Architecture, u32); 3] = [
    (Architecture::Mipsel64, 0xc000_0008),
    (Architecture::Mipsel, 0x4000_0008),
    (Architecture::Mipsel64N32, 0xe000_0008),
];

/// What a profile comes to on one machine: the engines' word for it, and its architectures. Those of
/// the other byte order are left out: libseccomp writes programs in the byte order that they are for,
/// and ours are for the machine that compiles them; and those that libseccomp 2.5 does not know
/// (loongarch64, m68k, sh).
const MACHINES: [(&str, &[(Architecture, u32)]); 5] = [
    ("amd64", &X86),
    ("arm64", &ARM),
    ("mipsel64", &MIPS),
    ("ppc64le", &[(Architecture::Ppc64le, 0xc000_0015)]),
    ("riscv64", &[(Architecture::Riscv64, 0xc000_00f3)]),
];

/// The first number of an architecture's calls.
fn first(architecture: Architecture) -> u32 {
    match architecture {
        Architecture::X32 => 0x4000_0000,
        Architecture::Mipsel => 4000,
        Architecture::Mipsel64 => 5000,
        Architecture::Mipsel64N32 => 6000,
        _ => 0,
    }
}

const LOWER: u64 = 0xffff_ffff;

/// A rule as both are given it.
#[derive(Debug)]
struct Line {
    action: Action,
    name: String,
    conditions: Vec<(u32, Comparison)>,
}

/// What both make of the same lines.
struct Pair {
    ours: Vec<Instruction>,
    theirs: Vec<Instruction>,
    /// Calls that libseccomp is too old to know.
    newer: BTreeSet<String>,
}

fn theirs(
    library: &Library,
    default: Action,
    tokens: &[u32],
    lines: &[Line],
    level: u32,
) -> (Vec<Instruction>, BTreeSet<String>) {
    let filter = library.filter(default.to_return(), tokens);
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
    (filter.export(), newer)
}

/// Compares every number of the architectures, with values around those of the lines.
fn compare(
    library: &Library,
    pair: &Pair,
    architectures: &[(Architecture, u32)],
    lines: &[Line],
) -> u64 {
    let mut compared = 0;
    for (architecture, token) in architectures {
        let known = |name: &str| library.number(*token, name).is_some();
        let first = first(*architecture);
        for number in first..first + 600 {
            let name = syscalls::name(*architecture, number);
            // What one of the two does not know, it can't be asked about.
            if name.is_some_and(|name| pair.newer.contains(name) || !known(name)) {
                continue;
            }
            for arguments in arguments(name, lines, *architecture) {
                let call = Call {
                    number,
                    audit: architecture.audit(),
                    arguments,
                };
                let (ours, _) = run(&pair.ours, &call, true);
                let (theirs, _) = run(&pair.theirs, &call, true);
                let of_it = || lines.iter().filter(|line| Some(&*line.name) == name);
                assert_eq!(
                    ours,
                    theirs,
                    "{architecture} {name:?} {call:x?} {:x?}",
                    of_it().collect::<Vec<_>>()
                );
                compared += 1;
            }
        }
    }
    compared
}

/// Zeroes, and for a call with conditions the values around each, in every argument by turns.
fn arguments(name: Option<&str>, lines: &[Line], architecture: Architecture) -> Vec<[u64; 6]> {
    let mut all = vec![[0; 6], [u64::MAX; 6]];
    let of_it = lines.iter().filter(|line| Some(&*line.name) == name);
    for (index, comparison) in of_it.flat_map(|line| &line.conditions) {
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
    // Known difference: with a 32-bit architecture libseccomp looks at the lower halves alone, of
    // arguments and of constants. An argument there has no upper half, but for x32, whose registers
    // have 64 bits: there ours is the stricter answer.
    let narrow = [
        Architecture::X86,
        Architecture::X32,
        Architecture::Arm,
        Architecture::Mipsel,
        Architecture::Mipsel64N32,
    ];
    if narrow.contains(&architecture) {
        for one in all.iter_mut().flatten() {
            *one &= LOWER;
        }
    }
    all
}

fn library() -> Option<Library> {
    let library = Library::load();
    if library.is_none() {
        let required = std::env::var_os("CRABCAN_TEST_REQUIRE").is_some_and(|value| value == "1");
        assert!(
            !required,
            "CRABCAN_TEST_REQUIRE is set, and there is no libseccomp.so.2"
        );
        println!("not tested: there is no libseccomp.so.2 (package libseccomp2)");
    }
    library
}

fn word<T: std::str::FromStr<Err: std::fmt::Debug>>(value: &Value) -> T {
    value.as_str().unwrap().parse().unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// Whether a rule of the file is for a container without these: read without our own reader.
fn is_for(entry: &Value, machine: &str, capabilities: &[&str]) -> bool {
    let has = |list: &Value| -> Vec<bool> {
        let words = list.as_array().into_iter().flatten();
        words
            .map(|word| capabilities.contains(&word.as_str().unwrap()))
            .collect()
    };
    let arch = |list: &Value| {
        let words: Vec<&str> = list
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        (!words.is_empty()).then(|| words.contains(&machine))
    };
    let (includes, excludes) = (&entry["includes"], &entry["excludes"]);
    has(&includes["caps"]).iter().all(|has| *has)
        && !has(&excludes["caps"]).contains(&true)
        && arch(&includes["arches"]) != Some(false)
        && arch(&excludes["arches"]) != Some(true)
}

/// The rules of a file of the engines' format, with their default action.
fn lines_of(document: &Value, machine: &str, capabilities: &[&str]) -> (Action, Vec<Line>) {
    let action = |entry: &Value, field: &str, errno: &str| {
        let action: Action = word(&entry[field]);
        let errno = entry[errno].as_u64().map(|errno| errno as u32);
        errno
            .and_then(|errno| action.with_errno(errno))
            .unwrap_or(action)
    };
    let default = action(document, "defaultAction", "defaultErrnoRet");
    let mut lines = Vec::new();
    let entries = document["syscalls"].as_array().unwrap();
    let entries = entries
        .iter()
        .filter(|entry| is_for(entry, machine, capabilities));
    for entry in entries {
        let conditions: Vec<(u32, Comparison)> = entry["args"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|arg| {
                let operator: crabcan_seccomp::Operator = word(&arg["op"]);
                let comparison = operator.with(number(&arg["value"]), number(&arg["valueTwo"]));
                (number(&arg["index"]) as u32, comparison)
            })
            .collect();
        for name in entry["names"].as_array().unwrap() {
            lines.push(Line {
                action: action(entry, "action", "errnoRet"),
                name: name.as_str().unwrap().to_owned(),
                conditions: conditions.clone(),
            });
        }
    }
    (default, lines)
}

const FREQUENT: [&str; 10] = [
    "read",
    "write",
    "futex",
    "openat",
    "close",
    "fstat",
    "mmap",
    "epoll_wait",
    "recvmsg",
    "clock_gettime",
];

/// Instructions that ten frequent calls execute on average.
fn average(program: &[Instruction]) -> f64 {
    let steps = FREQUENT.map(|name| {
        let call = Call {
            number: syscalls::number(Architecture::X86_64, name).unwrap(),
            audit: Architecture::X86_64.audit(),
            arguments: [0; 6],
        };
        run(program, &call, true).1
    });
    steps.iter().sum::<usize>() as f64 / 10.0
}

#[test]
#[ignore = "needs packages: libseccomp2, golang-github-containers-common"]
fn the_engines_profiles() {
    let Some(library) = library() else { return };
    let more = std::env::var_os(MORE).unwrap_or_default();
    let files = std::env::split_paths(&more).filter(|path| !path.as_os_str().is_empty());
    for file in std::iter::once(PODMAN.into()).chain(files) {
        println!("{}", file.display());
        let text = std::fs::read(&file).unwrap();
        for (machine, architectures) in MACHINES {
            for capabilities in [&[][..], &["CAP_SYS_ADMIN", "CAP_SYS_PTRACE"]] {
                engines_profile(&library, &text, (machine, architectures), capabilities);
            }
        }
    }
}

/// Compares what a profile comes to on a machine.
fn engines_profile(
    library: &Library,
    text: &[u8],
    (machine, architectures): (&str, &[(Architecture, u32)]),
    capabilities: &[&str],
) {
    let document: Value = serde_json::from_slice(text).unwrap();
    let (default, lines) = lines_of(&document, machine, capabilities);
    let target = Target {
        architecture: architectures[0].0,
        capabilities: capabilities.iter().map(|&word| word.to_owned()).collect(),
        kernel: (6, 18),
    };
    let start = Instant::now();
    let profile = EngineProfile::from_json(text).unwrap();
    let resolved = profile.resolve(&target).unwrap();
    let read = start.elapsed();
    // The library itself knows nothing of calls that are newer than a profile.
    let profile = resolved.profile.enosys_for_newer(false);
    let start = Instant::now();
    let ours = profile.compile().unwrap().instructions().to_vec();
    let compiled = start.elapsed();
    println!(
        "{machine}: ours {} instructions, {compiled:?} (and {read:?} for the JSON)",
        ours.len()
    );
    let tokens: Vec<u32> = architectures.iter().map(|(_, token)| *token).collect();
    for level in [1, 2] {
        let start = Instant::now();
        let (theirs, newer) = theirs(library, default, &tokens, &lines, level);
        let took = start.elapsed();
        println!(
            "  libseccomp, optimization {level}: {} instructions, {took:?}; it knows not {newer:?}",
            theirs.len(),
        );
        if machine == "amd64" {
            let (our, their) = (average(&ours), average(&theirs));
            println!("  executed by frequent calls: {our:.1}, there {their:.1}");
        }
        let pair = Pair {
            ours: ours.clone(),
            theirs,
            newer,
        };
        let compared = compare(library, &pair, architectures, &lines);
        println!("  {compared} calls compared");
    }
}

/// The comparison with no bits but those of the mask in its constants.
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

/// Random lines whose meaning does not depend on an order that libseccomp chooses: the conditional
/// ones of a call have one action, and none is there twice.
fn random_lines(random: &mut Random, default: Action, names: &[&str], mask: u64) -> Vec<Line> {
    let actions = [
        Action::Allow,
        Action::Errno(1),
        Action::Errno(38),
        Action::KillProcess,
        Action::Trap,
        Action::Log,
    ];
    let mut lines = Vec::new();
    for name in names {
        let action = random.of(&actions);
        if action == default || random.below(3) == 0 {
            continue;
        }
        let mut seen = BTreeSet::new();
        // Known difference: of several lines, libseccomp may give up after one whose first condition
        // holds, or whose upper half does (`arg1 < 0x1590c1294` and `arg1 <= 7` do not let 0x590c1294
        // through). So several lines are values of one argument, as in the profiles that people use.
        let count = random.below(4);
        let conditions_each = if count > 1 { 1 } else { 1 + random.below(3) };
        for _ in 0..count {
            let mut conditions: Vec<(u32, Comparison)> = Vec::new();
            let mut indices: Vec<u32> = (0..6).collect();
            for _ in 0..conditions_each {
                let index = indices.remove(random.below(indices.len()));
                let comparison = match random.comparison() {
                    _ if count > 1 => Comparison::Eq(random.value()),
                    any => any,
                };
                let index = if count > 1 { 2 } else { index };
                conditions.push((index, narrowed(comparison, mask)));
            }
            conditions.sort_by_key(|(index, _)| *index);
            if seen.insert(format!("{conditions:?}")) {
                lines.push(Line {
                    action,
                    name: (*name).to_owned(),
                    conditions,
                });
            }
        }
        if seen.is_empty() {
            lines.push(Line {
                action,
                name: (*name).to_owned(),
                conditions: Vec::new(),
            });
        }
    }
    lines
}

#[test]
#[ignore = "needs packages: libseccomp2"]
fn random_profiles() {
    let Some(library) = library() else { return };
    let names = [
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
    let mut random = Random(0x005e_cc03);
    let mut compared = 0;
    for round in 0..120 {
        let architectures: &[(Architecture, u32)] = if round % 3 == 0 { &X86 } else { &X86[..1] };
        let bits = if architectures.len() > 1 {
            LOWER
        } else {
            u64::MAX
        };
        let default = random.of(&[
            Action::Allow,
            Action::Errno(1),
            Action::KillProcess,
            Action::Log,
        ]);
        let lines = random_lines(&mut random, default, &names, bits);
        let mut profile = Profile::new(default).enosys_for_newer(false);
        for (architecture, _) in architectures {
            profile = profile.architecture(*architecture);
        }
        for line in &lines {
            let rule = line.conditions.iter().fold(
                Rule::new(line.action, [line.name.clone()]),
                |rule, (index, comparison)| rule.argument(*index, *comparison),
            );
            profile = profile.rule(rule);
        }
        let ours = profile.compile().unwrap().instructions().to_vec();
        let tokens: Vec<u32> = architectures.iter().map(|(_, token)| *token).collect();
        for level in [1, 2] {
            let (theirs, newer) = theirs(&library, default, &tokens, &lines, level);
            let pair = Pair {
                ours: ours.clone(),
                theirs,
                newer,
            };
            compared += compare(&library, &pair, architectures, &lines);
        }
    }
    println!("{compared} calls of 120 profiles compared");
    assert!(compared > 100_000);
}

/// Numbers are the same where both know a call.
#[test]
#[ignore = "needs packages: libseccomp2"]
fn the_tables() {
    let Some(library) = library() else { return };
    let mut same = 0;
    for (architecture, token) in X86.iter().chain(&ARM) {
        for (name, number) in syscalls::all(*architecture) {
            if let Some(theirs) = library.number(*token, name) {
                assert_eq!(number, theirs, "{architecture} {name}");
                same += 1;
            }
        }
    }
    assert!(same > 1500, "{same}");
    println!("{same} numbers are the same");
}
