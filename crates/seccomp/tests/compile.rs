//! Compiled profiles against a plain reading of them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod interpreter;

use std::collections::BTreeSet;

use crabcan_seccomp::{Action, Architecture, Comparison, Error, Profile, Rule, syscalls};
use interpreter::{Call, run};

/// Marsaglia's xorshift: the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// A value whose halves are likely to be shared or at an edge.
    fn value(&mut self) -> u64 {
        let edges = [0, 1, 2, 7, 0x5412, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
        let random = self.next() & 0xffff_ffff;
        let edge = self.of(&edges);
        let low = self.of(&[edge, edge, random]);
        let edge = self.of(&edges);
        let high = self.of(&[0, 0, edge, random >> 3]);
        high << 32 | low
    }

    fn comparison(&mut self) -> Comparison {
        let value = self.value();
        match self.below(7) {
            0 => Comparison::Ne(value),
            1 => Comparison::Lt(value),
            2 => Comparison::Le(value),
            3 => Comparison::Eq(value),
            4 => Comparison::Ge(value),
            5 => Comparison::Gt(value),
            _ => {
                let masks = [u64::MAX, 0xffff_ffff, 0, 0x8_0000_0000, 0x800, self.value()];
                let mask = self.of(&masks);
                let value = self.of(&[value & mask, mask, 0]);
                Comparison::MaskedEq { mask, value }
            }
        }
    }

    fn action(&mut self) -> Action {
        self.of(&[
            Action::KillProcess,
            Action::KillThread,
            Action::Trap,
            Action::Errno(1),
            Action::Errno(13),
            Action::Trace(9),
            Action::Allow,
            Action::Log,
            Action::Notify,
        ])
    }
}

type PlainRule = (Action, Vec<String>, Vec<(u32, Comparison)>);

/// What was put into a profile, kept apart from it.
struct Plain {
    default: Action,
    architectures: Vec<Architecture>,
    rules: Vec<PlainRule>,
    enosys: bool,
}

/// The numbers of a profile's rules on one architecture, looked up once.
struct Numbers {
    architecture: Architecture,
    rules: Vec<BTreeSet<u32>>,
}

impl Plain {
    fn random(random: &mut Random) -> Self {
        let groups: [&[Architecture]; 8] = [
            &[Architecture::X86_64, Architecture::X86, Architecture::X32],
            &[Architecture::X86_64],
            &[Architecture::X86, Architecture::X86_64],
            &[Architecture::X32],
            &[Architecture::Arm, Architecture::Aarch64],
            &[Architecture::S390, Architecture::S390x],
            &[
                Architecture::Mips64N32,
                Architecture::Mips64,
                Architecture::Mips,
            ],
            &[Architecture::Ppc64le, Architecture::Riscv64],
        ];
        let architectures = random.of(&groups).to_vec();
        let names: Vec<&str> = syscalls::all(architectures[0])
            .map(|(name, _)| name)
            .collect();
        let hot: Vec<&str> = (0..6).map(|_| random.of(&names)).collect();
        let rules = (0..random.below(30))
            .map(|_| {
                let count = 1 + random.of(&[0, 1, 5, 60]);
                let list = if random.below(3) == 0 { &names } else { &hot };
                let named = (0..count).map(|_| random.of(list).to_owned()).collect();
                let conditions = random.of(&[0, 0, 1, 2, 4]);
                let indices = [random.below(6) as u32, random.below(6) as u32];
                let conditions = (0..conditions)
                    .map(|_| (random.of(&indices), random.comparison()))
                    .collect();
                (random.action(), named, conditions)
            })
            .collect();
        Self {
            default: random.action(),
            architectures,
            rules,
            enosys: random.below(4) > 0,
        }
    }

    fn profile(&self) -> Profile {
        let mut profile = Profile::new(self.default)
            .architectures(self.architectures.clone())
            .enosys_for_newer(self.enosys);
        for (action, names, conditions) in &self.rules {
            let mut rule = Rule::new(*action, names.clone());
            for (index, comparison) in conditions {
                rule = rule.argument(*index, *comparison);
            }
            profile = profile.rule(rule);
        }
        profile
    }

    fn numbers(&self) -> Vec<Numbers> {
        let of_rule = |architecture, names: &[String]| {
            let numbers = names.iter();
            numbers
                .filter_map(|name| syscalls::number(architecture, name))
                .collect()
        };
        let of = |architecture| Numbers {
            architecture,
            rules: self
                .rules
                .iter()
                .map(|rule| of_rule(architecture, &rule.1))
                .collect(),
        };
        self.architectures.iter().copied().map(of).collect()
    }

    /// The plain reading.
    fn answer(&self, numbers: &[Numbers], call: &Call) -> Action {
        let x32 = call.audit == Architecture::X32.audit()
            && call.number >= 0x4000_0000
            && call.number != u32::MAX;
        let is_meant = |one: &&Numbers| {
            one.architecture.audit() == call.audit && (one.architecture == Architecture::X32) == x32
        };
        let Some(found) = numbers.iter().find(is_meant) else {
            return Action::KillProcess;
        };
        for ((action, _, conditions), numbers) in self.rules.iter().zip(&found.rules) {
            let named = numbers.contains(&call.number);
            let holds = (0..6).all(|index| {
                let mut of_it = conditions.iter().filter(|(at, _)| *at == index).peekable();
                of_it.peek().is_none()
                    || of_it.any(|(_, one)| one.holds(call.arguments[index as usize]))
            });
            if named && holds {
                return *action;
            }
        }
        let end = match found.architecture {
            Architecture::X32 => 0x4000_0200,
            Architecture::X86_64 => 0x4000_0000,
            Architecture::Arm => 0x0f_0000,
            _ => u32::MAX,
        };
        let all = found.rules.iter().flatten().copied();
        let newest = all.filter(|number| *number < end).max();
        match (self.default, newest) {
            (Action::Errno(_), Some(newest))
                if self.enosys
                    && call.number > newest
                    && (call.number < end || end == u32::MAX) =>
            {
                Action::Errno(38)
            }
            (default, _) => default,
        }
    }

    /// Arguments at and around the values of the conditions on a call.
    fn edges(&self, random: &mut Random) -> Vec<u64> {
        let mut edges = vec![0, u64::MAX];
        for (_, _, conditions) in &self.rules {
            for (_, comparison) in conditions {
                let value = match *comparison {
                    Comparison::Ne(value)
                    | Comparison::Lt(value)
                    | Comparison::Le(value)
                    | Comparison::Eq(value)
                    | Comparison::Ge(value)
                    | Comparison::Gt(value) => value,
                    Comparison::MaskedEq { mask, value } => value | (!mask & random.next()),
                    _ => continue,
                };
                edges.extend([value, value.wrapping_sub(1), value.wrapping_add(1)]);
                edges.extend([value ^ 1 << 32, value ^ 1 << 63, value & 0xffff_ffff]);
            }
        }
        edges
    }
}

#[test]
fn random_profiles_mean_what_they_say() {
    let mut random = Random(0x0dd_ba11);
    let mut compared = 0u64;
    for round in 0..60 {
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
    assert!(compared > 50_000, "{compared}");
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
