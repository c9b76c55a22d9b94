//! What holds for any bytes that are taken for a profile: they are refused with a field, or become
//! a program that the kernel would take and that answers as [`Profile::explain`] says.
#![allow(clippy::panic, reason = "a finding is a panic")]

use crabcan_seccomp::json::{EngineProfile, Resolved, Seccomp, Target};
use crabcan_seccomp::{Action, Architecture, Decision, Error, Filter, Profile, Route};

use crate::interpreter::{Call, run};
use crate::plain::{Random, seen};

/// Looks at one input. Panics at a finding; how long the filters are that came of it.
pub(crate) fn examine(bytes: &[u8]) -> usize {
    let architectures: Vec<Architecture> = Architecture::all().collect();
    // The last byte is not the document's: it says for whom.
    let (choice, text) = bytes.split_last().unwrap_or((&0, &[]));
    let architecture = architectures[usize::from(*choice) % architectures.len()];
    let target = Target {
        architecture,
        capabilities: vec!["CAP_CHOWN".to_owned(), "CAP_SYS_ADMIN".to_owned()],
        kernel: (5, u32::from(choice % 20)),
    };
    let engines = EngineProfile::from_json(text).and_then(|read| read.resolve(&target));
    let plain = Seccomp::from_json(text).and_then(|read| read.resolve(architecture));
    let one = compiled(engines, architecture);
    compiled(plain, architecture) + one
}

fn compiled(resolved: Result<Resolved, Error>, architecture: Architecture) -> usize {
    let filter = resolved.and_then(|resolved| {
        let filter = resolved.profile.compile()?;
        Ok((resolved.profile, filter))
    });
    match filter {
        Ok((profile, filter)) => {
            assert!(filter.unknown().is_empty(), "told by resolving already");
            is_well_formed(&filter);
            answers(&profile, &filter, architecture);
            filter.instructions().len()
        }
        Err(Error::Field { field, reason }) => {
            assert!(!field.is_empty() && !reason.is_empty());
            0
        }
        Err(Error::Json { field, .. }) => {
            assert!(!field.is_empty());
            0
        }
        Err(Error::TooLong { instructions }) => {
            assert!(instructions > 4096);
            0
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// What the kernel's verifier asks for: known instructions, jumps within, an answer at the end.
fn is_well_formed(filter: &Filter) {
    let program = filter.instructions();
    assert!((1..=4096).contains(&program.len()));
    for (at, one) in program.iter().enumerate() {
        let rest = program.len() - at - 1;
        let fits = match one.code {
            0x20 => one.k < 64 && one.k.is_multiple_of(4) && rest > 0,
            0x54 => rest > 0,
            0x05 => (one.k as usize) < rest,
            0x15 | 0x25 | 0x35 | 0x45 => usize::from(one.jt.max(one.jf)) < rest,
            0x06 => true,
            _ => false,
        };
        assert!(fits, "instruction {at}: {one:?}");
    }
}

/// Compares the filter with the profile's own account of itself, call by call.
fn answers(profile: &Profile, filter: &Filter, architecture: Architecture) {
    let mut random = Random(0x5eed);
    for decision in profile.explain_all(architecture) {
        for round in 0..4 {
            let mut call = Call {
                number: 0,
                audit: architecture.audit(),
                arguments: std::array::from_fn(|_| argument(&mut random, &decision)),
            };
            match decision.route {
                Route::Direct(number) => call.number = number,
                Route::Part { number, part, .. } => {
                    call.number = number;
                    call.arguments[0] = u64::from(part);
                }
                _ => panic!("another route"),
            }
            if is_multiplexer(&decision) {
                continue;
            }
            let arguments = seen(architecture, call.arguments);
            let expected = decided(&decision, &arguments).to_return();
            let little_endian = architecture.little_endian();
            let (found, _) = run(filter.instructions(), &call, little_endian);
            assert_eq!(found, expected, "round {round} of {decision}: {call:x?}");
        }
    }
}

/// Its parts have decisions of their own.
fn is_multiplexer(decision: &Decision) -> bool {
    let direct = matches!(decision.route, Route::Direct(_));
    direct && ["socketcall", "ipc"].contains(&decision.name)
}

/// A value at or around one that the decision looks for.
fn argument(random: &mut Random, decision: &Decision) -> u64 {
    let conditions = decision.cases.iter().flat_map(|case| &case.conditions);
    let text: Vec<String> = conditions.map(|(_, one)| one.to_string()).collect();
    let near = text.get(random.below(text.len().max(1)));
    let near = near.and_then(|text| text.rsplit("0x").next());
    let near = near.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let near = near.unwrap_or_default();
    random.of(&[
        near,
        near,
        near.wrapping_add(1),
        near.wrapping_sub(1),
        near ^ 1 << 32,
        0,
    ])
}

fn decided(decision: &Decision, arguments: &[u64; 6]) -> Action {
    for case in &decision.cases {
        let holds = (0..6).all(|index| {
            let of_it = case.conditions.iter().filter(|(at, _)| *at == index);
            let mut of_it = of_it.peekable();
            of_it.peek().is_none() || of_it.any(|(_, one)| one.holds(arguments[index as usize]))
        });
        if holds {
            return case.action;
        }
    }
    decision.otherwise
}

/// An input that is likely to get far: a document of the formats' words, some of them wrong, with
/// some bytes changed now and then.
pub(crate) fn input(random: &mut Random) -> Vec<u8> {
    let mut text = document(random).into_bytes();
    if random.below(4) == 0 {
        for _ in 0..1 + random.below(4) {
            let at = random.below(text.len());
            match random.below(3) {
                0 => text[at] = random.next() as u8,
                1 => drop(text.remove(at)),
                _ => text.insert(at, random.of(b"\"{}[],:0-9e.\\\xff")),
            }
        }
    }
    text.push(random.next() as u8);
    text
}

fn document(random: &mut Random) -> String {
    let default = action(random).replace("action", "defaultAction");
    let mut fields = vec![default.replace("errnoRet", "defaultErrnoRet")];
    let more = [
        r#""architectures":["SCMP_ARCH_X86","SCMP_ARCH_X32","SCMP_ARCH_S390"]"#,
        r#""archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}]"#,
        r#""flags":["SECCOMP_FILTER_FLAG_LOG"]"#,
        r#""listenerPath":"/run/x","listenerMetadata":"y""#,
        r#""flags":null"#,
    ];
    fields.extend(
        more.iter()
            .filter(|_| random.below(5) == 0)
            .map(|one| (*one).to_owned()),
    );
    let rules: Vec<String> = (0..random.below(12)).map(|_| rule(random)).collect();
    fields.push(format!(r#""syscalls":[{}]"#, rules.join(",")));
    format!("{{{}}}", fields.join(","))
}

fn rule(random: &mut Random) -> String {
    let names = [
        "read",
        "write",
        "ioctl",
        "clone",
        "socket",
        "accept",
        "bind",
        "semop",
        "ipc",
        "socketcall",
        "personality",
        "mount",
        "statx",
        "futex_time64",
        "no_such_call",
        "execve",
        "openat2",
    ];
    let names: Vec<String> = (0..1 + random.of(&[0, 0, 3]))
        .map(|_| format!("{:?}", random.of(&names)))
        .collect();
    let args: Vec<String> = (0..random.of(&[0, 0, 1, 2, 4]))
        .map(|_| arg(random))
        .collect();
    let more = random.of(&[
        "",
        "",
        "",
        r#","includes":{"caps":["CAP_CHOWN"]}"#,
        r#","excludes":{"arches":["amd64"],"minKernel":"5.9"}"#,
        r#","comment":"x""#,
    ]);
    let action = action(random);
    let (names, args) = (names.join(","), args.join(","));
    format!(r#"{{"names":[{names}],{action},"args":[{args}]{more}}}"#)
}

fn arg(random: &mut Random) -> String {
    let op = random.of(&["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ", "MASKED_EQ"]);
    let (index, value, two) = (
        random.of(&[0, 0, 1, 2, 4, 5]),
        random.value(),
        random.value(),
    );
    format!(r#"{{"index":{index},"value":{value},"valueTwo":{two},"op":"SCMP_CMP_{op}"}}"#)
}

fn action(random: &mut Random) -> String {
    let words = [
        "ALLOW",
        "ALLOW",
        "ERRNO",
        "ERRNO",
        "KILL",
        "KILL_PROCESS",
        "KILL_THREAD",
        "TRAP",
        "TRACE",
        "LOG",
        "NOTIFY",
    ];
    let word = random.of(&words);
    let word = if random.below(50) == 0 {
        "NOTHING"
    } else {
        word
    };
    let errno = ["ERRNO", "TRACE"].contains(&word) && random.below(2) == 0;
    let errno = if errno { r#","errnoRet":5"# } else { "" };
    format!(r#""action":"SCMP_ACT_{word}"{errno}"#)
}
