#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use super::*;

/// The answer that the specification's words give: the last rule that fits, for each kind of access.
fn naive(rules: &[DeviceRule], kind: i32, wanted: i32, major: u32, minor: u32) -> bool {
    [MKNOD, READ, WRITE]
        .into_iter()
        .filter(|bit| wanted & bit != 0)
        .all(|bit| {
            let fits = |rule: &&DeviceRule| {
                let same_kind = match rule.kind {
                    DeviceKind::All => true,
                    DeviceKind::Block => kind == BLOCK,
                    DeviceKind::Char => kind == CHAR,
                };
                same_kind
                    && rule.major.is_none_or(|number| number == major)
                    && rule.minor.is_none_or(|number| number == minor)
                    && bits(rule.access) & bit != 0
            };
            rules.iter().rev().find(fits).is_none_or(|rule| rule.allow)
        })
}

/// What the kernel does with the program.
fn interpret(program: &DeviceProgram, kind: i32, wanted: i32, major: u32, minor: u32) -> bool {
    let context = [(wanted << 16 | kind) as u32, major, minor];
    let mut registers = [None::<u64>; 11];
    let mut at = 0usize;
    for _ in 0..program.0.len() {
        let Instruction {
            code,
            registers: numbers,
            offset,
            constant,
        } = program.0[at];
        let (to, from) = (usize::from(numbers & 15), usize::from(numbers >> 4));
        let jump = |taken: bool| {
            if taken {
                at + 1 + usize::try_from(offset).unwrap()
            } else {
                at + 1
            }
        };
        let value = registers[to];
        let constant64 = i64::from(constant) as u64;
        at = match code {
            opcode::LOAD => {
                assert_eq!(from, usize::from(CONTEXT));
                registers[to] = Some(context[usize::try_from(offset).unwrap() / 4].into());
                at + 1
            }
            opcode::JUMP => jump(true),
            opcode::MOVE => {
                registers[to] = Some(constant64);
                at + 1
            }
            opcode::COPY => {
                registers[to] = Some(registers[from].unwrap());
                at + 1
            }
            opcode::AND => {
                registers[to] = Some(u64::from(value.unwrap() as u32 & constant as u32));
                at + 1
            }
            opcode::SHIFT_RIGHT => {
                registers[to] = Some(u64::from(value.unwrap() as u32 >> constant));
                at + 1
            }
            opcode::SHIFT_LEFT => {
                registers[to] = Some(u64::from((value.unwrap() as u32) << constant));
                at + 1
            }
            opcode::OR_REGISTER => {
                let other = registers[from].unwrap();
                registers[to] = Some(u64::from((value.unwrap() | other) as u32));
                at + 1
            }
            opcode::JUMP_EQUAL_32 => jump(value.unwrap() as u32 == constant as u32),
            opcode::JUMP_NOT_EQUAL => jump(value.unwrap() != constant64),
            opcode::JUMP_EQUAL => jump(value.unwrap() == constant64),
            opcode::JUMP_ANY => jump(value.unwrap() & constant64 != 0),
            opcode::EXIT => return registers[0].unwrap() != 0,
            other => panic!("{other:#x}"),
        };
    }
    panic!("no end");
}

/// Every access to a few devices, compared; whether any was refused and any allowed.
fn compare(rules: &[DeviceRule]) -> (bool, bool) {
    let program = DeviceProgram::new(rules);
    let (mut refused, mut allowed) = (false, false);
    for kind in [BLOCK, CHAR] {
        for wanted in 1..8 {
            for major in [0, 1, 5, 4095] {
                for minor in [0, 3, 1_048_575] {
                    let answer = naive(rules, kind, wanted, major, minor);
                    let found = interpret(&program, kind, wanted, major, minor);
                    assert_eq!(found, answer, "{rules:?}: {kind} {wanted} {major}:{minor}");
                    refused |= !answer;
                    allowed |= answer;
                }
            }
        }
    }
    (refused, allowed)
}

/// A few rules out of a number, all combinations within reach.
fn rules(mut seed: u64) -> Vec<DeviceRule> {
    let mut next = |count: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % count
    };
    let number = |choice: u64, numbers: [u32; 3]| numbers.get(choice as usize).copied();
    (0..next(7))
        .map(|_| DeviceRule {
            allow: next(2) == 0,
            kind: [DeviceKind::All, DeviceKind::Block, DeviceKind::Char][next(3) as usize],
            major: number(next(5), [1, 5, 4095]),
            minor: number(next(5), [0, 3, u32::MAX]),
            access: DeviceAccess {
                read: next(4) > 0,
                write: next(3) > 0,
                mknod: next(3) > 0,
            },
        })
        .collect()
}

#[test]
fn the_program_answers_as_the_rules_say() {
    let outcomes: Vec<_> = (0..4_000).map(|seed| compare(&rules(seed))).collect();
    let mixed = outcomes.iter().filter(|outcome| **outcome == (true, true));
    assert!(
        mixed.count() > 1_000,
        "most lists refuse some and allow some"
    );
}

#[test]
fn no_rule_allows_everything_and_one_refuses_it() {
    assert_eq!(compare(&[]), (false, true));
    assert_eq!(compare(&[DeviceRule::all(false)]), (true, false));
    assert_eq!(
        compare(&[DeviceRule::all(false), DeviceRule::all(true)]),
        (false, true)
    );
}

/// What every container has: a program of a third of the length of the rules one by one.
#[test]
fn rules_about_single_nodes_are_asked_together() {
    let nodes = [(1, 3), (1, 5), (5, 0), (1, 8), (1, 3), (5, u32::MAX)];
    let of_nodes = |allow: bool| {
        let rule = move |(major, minor)| DeviceRule {
            allow,
            kind: DeviceKind::Char,
            major: Some(major),
            minor: Some(minor),
            access: DeviceAccess::ALL,
        };
        nodes.map(rule).to_vec()
    };
    let allowed = [vec![DeviceRule::all(false)], of_nodes(true)].concat();
    assert_eq!(compare(&allowed), (true, true));
    let refused = [vec![DeviceRule::all(true)], of_nodes(false)].concat();
    assert_eq!(compare(&refused), (true, true));
    let both = [of_nodes(false), of_nodes(true), of_nodes(false)].concat();
    assert_eq!(compare(&both), (true, true));
    // To load, for the kind, for the number, for each node that there can be, to allow, to refuse.
    let length = DeviceProgram::new(&allowed).instructions().len();
    assert_eq!(length, 6 + 1 + 3 + 4 + 1 + 2 + 2);
    let nowhere = [of_nodes(true)[5], of_nodes(true)[5]];
    assert_eq!(compare(&nowhere), compare(&[]));
}

/// The kernel refuses a program with instructions that nothing leads to.
#[test]
fn every_instruction_is_reachable() {
    for seed in 0..1_000 {
        let program = DeviceProgram::new(&rules(seed));
        let mut reached = vec![false; program.0.len()];
        let mut open = vec![0usize];
        while let Some(at) = open.pop() {
            if std::mem::replace(&mut reached[at], true) {
                continue;
            }
            let instruction = program.0[at];
            let jumps = [
                opcode::JUMP_NOT_EQUAL,
                opcode::JUMP_EQUAL,
                opcode::JUMP_EQUAL_32,
                opcode::JUMP_ANY,
            ];
            if jumps.contains(&instruction.code) || instruction.code == opcode::JUMP {
                open.push(at + 1 + usize::try_from(instruction.offset).unwrap());
            }
            if ![opcode::EXIT, opcode::JUMP].contains(&instruction.code) {
                open.push(at + 1);
            }
        }
        assert!(reached.iter().all(|reached| *reached), "{program:?}");
    }
}

/// As engines write that any node may be made: one rule for each kind, and one question for both.
#[test]
fn two_rules_for_the_two_kinds_are_one() {
    let rule = |kind, access| DeviceRule {
        kind,
        access: DeviceAccess::from_letters(access).unwrap(),
        ..DeviceRule::all(true)
    };
    let no = DeviceRule::all(false);
    let two = [
        no,
        rule(DeviceKind::Char, "m"),
        rule(DeviceKind::Block, "m"),
    ];
    let one = [no, rule(DeviceKind::All, "m")];
    assert_eq!(DeviceProgram::new(&two), DeviceProgram::new(&one));
    assert_eq!(compare(&two), (true, true));
    let other = [
        no,
        rule(DeviceKind::Char, "m"),
        rule(DeviceKind::Block, "r"),
    ];
    assert_ne!(DeviceProgram::new(&other), DeviceProgram::new(&one));
    assert_eq!(compare(&other), (true, true));
}
