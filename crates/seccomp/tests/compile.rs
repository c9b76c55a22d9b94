//! Compiled profiles against a plain reading of them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod interpreter;
mod plain;

use crabcan_seccomp::{Action, Architecture, Comparison, Error, Profile, Rule, syscalls};
use interpreter::{Call, run};
use plain::{Plain, Random};

#[test]
fn random_profiles_mean_what_they_say() {
    let mut random = Random(0x0dd_ba11);
    let mut compared = 0u64;
    for round in 0..40 {
        let plain = Plain::random(&mut random);
        let filter = match plain.profile().compile() {
            Ok(filter) => filter,
            Err(Error::TooLong { .. }) => continue,
            Err(other) => panic!("{other}"),
        };
        let numbers = plain.numbers();
        let edges = plain.edges(&mut random);
        let little = plain.architectures[0].little_endian();
        let mut audits: Vec<u32> = plain.architectures.iter().map(|one| one.audit()).collect();
        audits.push(Architecture::Sh.audit());
        for audit in audits {
            let rules = numbers.iter().flat_map(|one| &one.rules);
            let mut tried: Vec<u32> = rules
                .flatten()
                .flat_map(|number| [*number, number.wrapping_add(1), number.wrapping_sub(1)])
                .collect();
            tried.extend([
                0,
                511,
                512,
                0x3fff_ffff,
                0x4000_0000,
                0x4000_01ff,
                0x4000_0200,
            ]);
            tried.extend([0x0e_ffff, 0x0f_0000, 0x8000_0000, u32::MAX - 1, u32::MAX]);
            tried.sort_unstable();
            tried.dedup();
            for number in tried {
                for _ in 0..6 {
                    let arguments = std::array::from_fn(|_| random.of(&edges));
                    let call = Call {
                        number,
                        audit,
                        arguments,
                    };
                    let (answer, _) = run(filter.instructions(), &call, little);
                    let expected = plain.answer(&numbers, &call).to_return();
                    assert_eq!(answer, expected, "round {round}: {call:x?}");
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 40_000, "{compared}");
}

#[test]
fn jumps_of_any_length() {
    // Hundreds of conditions on one call, another tree behind them, and all of it exact.
    let mut plain = Plain {
        default: Action::Errno(1),
        architectures: vec![Architecture::X86_64, Architecture::X86],
        rules: Vec::new(),
        enosys: true,
    };
    let names: Vec<&str> = syscalls::all(Architecture::X86_64)
        .map(|(name, _)| name)
        .collect();
    for (at, name) in names.iter().step_by(2).enumerate() {
        let at = at as u64;
        let action = Action::Errno(2 + at as u16 % 5);
        let conditions = vec![
            (0, Comparison::Gt(at << 33 | at)),
            (1, Comparison::Ne(at * 3)),
        ];
        plain
            .rules
            .push((action, vec![(*name).to_owned()], conditions));
    }
    let filter = plain.profile().compile().unwrap();
    assert!(
        filter.instructions().len() > 2000,
        "{}",
        filter.instructions().len()
    );
    let mut random = Random(7);
    let numbers = plain.numbers();
    let edges = plain.edges(&mut random);
    for number in (0..600).chain([u32::MAX, 0x4000_0001]) {
        for _ in 0..20 {
            for architecture in [Architecture::X86_64, Architecture::X86] {
                let audit = architecture.audit();
                let arguments = std::array::from_fn(|_| random.of(&edges));
                let call = Call {
                    number,
                    audit,
                    arguments,
                };
                let (answer, _) = run(filter.instructions(), &call, true);
                assert_eq!(
                    answer,
                    plain.answer(&numbers, &call).to_return(),
                    "{call:x?}"
                );
            }
        }
    }
}

#[test]
fn too_long_is_refused() {
    let rules = (0..3000u64).map(|at| {
        Rule::new(Action::Allow, ["ioctl"])
            .argument(1, Comparison::Gt((at << 33) | (at * 7)))
            .argument(2, Comparison::Lt((at << 32) | (at * 5)))
    });
    let profile = Profile::new(Action::Errno(1)).rules(rules);
    match profile.compile() {
        Err(Error::TooLong { instructions }) => assert!(instructions > 4096),
        other => panic!("{other:?}"),
    }
}

#[test]
fn newer_calls_are_not_there_on_each_architecture() {
    let profile = Profile::new(Action::KillThread).rule(Rule::new(Action::Allow, ["statx"]));
    let answer = |architecture: Architecture, number| {
        let filter = profile.clone().architecture(architecture).compile();
        let call = Call {
            number,
            audit: architecture.audit(),
            arguments: [0; 6],
        };
        let (answer, _) = run(
            filter.unwrap().instructions(),
            &call,
            architecture.little_endian(),
        );
        answer
    };
    let (newer, older) = (Action::Errno(38), Action::KillThread);
    let cases = [
        (Architecture::X86_64, 333, newer),
        (Architecture::X86_64, 331, older),
        (Architecture::X86, 384, newer),
        (Architecture::X86, 382, older),
        (Architecture::X32, 0x4000_0000 + 511, newer),
        (Architecture::X32, 0x4000_0000 + 512, older),
        (Architecture::X32, 0x4000_0000 + 547, older),
        (Architecture::X32, 0x4000_0000 + 548, newer),
        (Architecture::Arm, 0x0e_ffff, newer),
        (Architecture::Arm, 0x0f_0005, older),
        (Architecture::S390x, 0, newer),
        (Architecture::S390x, 1, older),
        (Architecture::S390, 0, newer),
        (Architecture::Mips64, 5327, newer),
        (Architecture::Mips64, 5325, older),
        (Architecture::Mips64, 0, older),
    ];
    for (architecture, number, expected) in cases {
        let found = answer(architecture, number);
        assert_eq!(found, expected.to_return(), "{architecture} {number}");
    }
    // Where the default lets calls through, the kernel answers for itself.
    for open in [Action::Allow, Action::Log, Action::Trace(1)] {
        let profile = Profile::new(open).rule(Rule::new(Action::Trap, ["read"]));
        let decisions = profile.explain(Architecture::X86_64, "statx");
        assert_eq!(decisions[0].otherwise, open);
    }
}

#[test]
fn dead_rules_cost_nothing() {
    let base = Profile::new(Action::Allow).rule(Rule::new(Action::Errno(1), ["mount"]));
    let dead = Rule::new(Action::Trap, ["mount"]).argument(0, Comparison::Eq(5));
    let idle = Rule::new(Action::Allow, ["umount2", "read"]).argument(2, Comparison::Lt(5));
    let longer = base.clone().rule(dead).rule(idle);
    assert_eq!(
        base.compile().unwrap().instructions(),
        longer.compile().unwrap().instructions()
    );
}

#[test]
fn many_values_of_one_argument_share_their_upper_half() {
    let rules = (0..20)
        .map(|at| Rule::new(Action::Allow, ["personality"]).argument(0, Comparison::Eq(at * 8)));
    let profile = Profile::new(Action::Errno(1))
        .rules(rules)
        .enosys_for_newer(false);
    let count = profile.compile().unwrap().instructions().len();
    assert!(count < 20 + 15, "{count}");
}

#[test]
fn unknown_names_are_told_with_their_rule() {
    let filter = Profile::new(Action::Allow)
        .rule(Rule::new(Action::Trap, ["mount"]))
        .rule(Rule::new(
            Action::Trap,
            ["no_such_call", "breakpoint", "umount"],
        ))
        .compile()
        .unwrap();
    let unknown: Vec<(usize, &str)> = filter
        .unknown()
        .iter()
        .map(|one| (one.rule, one.name.as_str()))
        .collect();
    assert_eq!(unknown, [(1, "no_such_call")]);
}

#[test]
fn the_bytes_are_the_instructions() {
    let filter = Profile::new(Action::Allow).compile().unwrap();
    let bytes = filter.to_bytes();
    assert_eq!(bytes.len(), filter.instructions().len() * 8);
    assert_eq!(bytes[..2], filter.instructions()[0].code.to_ne_bytes());
}
