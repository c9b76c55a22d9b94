//! A profile kept as plain data, random ones, and a reading of them that knows nothing of the
//! compiler.
#![allow(dead_code, reason = "shared by test programs")]

use std::collections::BTreeSet;

use crabcan_seccomp::{Action, Architecture, Comparison, Profile, Rule, syscalls};

use crate::interpreter::Call;

/// Marsaglia's xorshift: the same numbers in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(crate) fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// A value whose halves are likely to be shared or at an edge.
    pub(crate) fn value(&mut self) -> u64 {
        let edges = [0, 1, 2, 7, 0x5412, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
        let random = self.next() & 0xffff_ffff;
        let edge = self.of(&edges);
        let low = self.of(&[edge, edge, random]);
        let edge = self.of(&edges);
        let high = self.of(&[0, 0, edge, random >> 3]);
        high << 32 | low
    }

    pub(crate) fn comparison(&mut self) -> Comparison {
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

    pub(crate) fn action(&mut self) -> Action {
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

pub(crate) type PlainRule = (Action, Vec<String>, Vec<(u32, Comparison)>);

/// What was put into a profile, kept apart from it.
pub(crate) struct Plain {
    pub(crate) default: Action,
    pub(crate) architectures: Vec<Architecture>,
    pub(crate) rules: Vec<PlainRule>,
    pub(crate) enosys: bool,
}

/// The numbers of a profile's rules on one architecture, looked up once.
pub(crate) struct Numbers {
    pub(crate) architecture: Architecture,
    pub(crate) rules: Vec<BTreeSet<u32>>,
}

impl Plain {
    pub(crate) fn random(random: &mut Random) -> Self {
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
        let mut names: Vec<&str> = syscalls::all(architectures[0])
            .map(|(name, _)| name)
            .collect();
        names.extend(SOCKETCALL);
        names.extend(IPC.map(|(_, name)| name));
        let mut hot: Vec<&str> = (0..6).map(|_| random.of(&names)).collect();
        let parts = [
            random.of(&SOCKETCALL),
            random.of(&IPC).1,
            "socketcall",
            "ipc",
        ];
        hot.extend(&parts[..random.of(&[0, 2, 4])]);
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

    pub(crate) fn profile(&self) -> Profile {
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

    pub(crate) fn numbers(&self) -> Vec<Numbers> {
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
    pub(crate) fn answer(&self, numbers: &[Numbers], call: &Call) -> Action {
        let x32 = call.audit == Architecture::X32.audit()
            && call.number >= 0x4000_0000
            && call.number != u32::MAX;
        let is_meant = |one: &&Numbers| {
            one.architecture.audit() == call.audit && (one.architecture == Architecture::X32) == x32
        };
        let Some(found) = numbers.iter().find(is_meant) else {
            return Action::KillProcess;
        };
        let arguments = seen(found.architecture, call.arguments);
        for ((action, _, conditions), numbers) in self.rules.iter().zip(&found.rules) {
            if numbers.contains(&call.number) && holds(conditions, &arguments) {
                return *action;
            }
        }
        if let Some(part) = part(found.architecture, call) {
            let action = self.part(part);
            if action != self.default {
                return action;
            }
        }
        if found
            .rules
            .iter()
            .any(|numbers| numbers.contains(&call.number))
        {
            return self.default;
        }
        self.unnamed(found, call.number)
    }

    /// What happens to a part of a multiplexer: nobody can look at its arguments, so the strictest
    /// of all that might happen does.
    fn part(&self, name: &str) -> Action {
        let mut strictest = None;
        for (action, names, conditions) in &self.rules {
            if names.iter().any(|one| one == name) {
                strictest = stricter(strictest, *action);
                if conditions.is_empty() {
                    return strictest.unwrap_or(*action);
                }
            }
        }
        stricter(Some(self.default), strictest.unwrap_or(self.default)).unwrap_or(self.default)
    }

    fn unnamed(&self, found: &Numbers, number: u32) -> Action {
        let open = [Action::Allow, Action::Log].contains(&self.default)
            || matches!(self.default, Action::Trace(_));
        let end = match found.architecture {
            Architecture::X32 => 0x4000_0200,
            Architecture::X86_64 => 0x4000_0000,
            Architecture::Arm => 0x0f_0000,
            _ => u64::from(u32::MAX) + 1,
        };
        let all = found.rules.iter().flatten().copied().map(u64::from);
        let newest = all.filter(|number| *number < end).max();
        let s390 = [Architecture::S390, Architecture::S390x].contains(&found.architecture);
        let x32 = found.architecture == Architecture::X32;
        match newest {
            Some(newest) if self.enosys && !open => {
                let number = u64::from(number);
                let newer = number > newest && number < end;
                if newer || (s390 && number == 0) || (x32 && number >= 0x4000_0224) {
                    return Action::Errno(38);
                }
                self.default
            }
            _ => self.default,
        }
    }

    /// Arguments at and around the values of the conditions on a call.
    pub(crate) fn edges(&self, random: &mut Random) -> Vec<u64> {
        let mut edges = vec![0, u64::MAX];
        // The parts of multiplexers, with bits above them.
        edges.extend((1..25).map(|part| part | random.of(&[0, 0, 1 << 16, 1 << 32])));
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

/// What an architecture has of the arguments.
pub(crate) fn seen(architecture: Architecture, arguments: [u64; 6]) -> [u64; 6] {
    let narrow = [
        Architecture::X86,
        Architecture::Arm,
        Architecture::Mips,
        Architecture::Mipsel,
        Architecture::Ppc,
        Architecture::S390,
        Architecture::Parisc,
        Architecture::M68k,
        Architecture::Sh,
        Architecture::Sheb,
    ];
    match narrow.contains(&architecture) {
        true => arguments.map(|one| one & 0xffff_ffff),
        false => arguments,
    }
}

/// Or within an argument, and between them.
fn holds(conditions: &[(u32, Comparison)], arguments: &[u64; 6]) -> bool {
    (0..6).all(|index| {
        let mut of_it = conditions.iter().filter(|(at, _)| *at == index).peekable();
        of_it.peek().is_none() || of_it.any(|(_, one)| one.holds(arguments[index as usize]))
    })
}

fn stricter(one: Option<Action>, other: Action) -> Option<Action> {
    let rank = |action| match action {
        Action::KillProcess => 0,
        Action::KillThread => 1,
        Action::Trap => 2,
        Action::Errno(_) => 3,
        Action::Notify => 4,
        Action::Trace(_) => 5,
        Action::Log => 6,
        _ => 7,
    };
    Some(one.filter(|one| rank(*one) <= rank(other)).unwrap_or(other))
}

const SOCKETCALL: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];
const IPC: [(u64, &str); 12] = [
    (1, "semop"),
    (2, "semget"),
    (3, "semctl"),
    (4, "semtimedop"),
    (11, "msgsnd"),
    (12, "msgrcv"),
    (13, "msgget"),
    (14, "msgctl"),
    (21, "shmat"),
    (22, "shmdt"),
    (23, "shmget"),
    (24, "shmctl"),
];

/// The call that a call of a multiplexer stands for.
fn part(architecture: Architecture, call: &Call) -> Option<&'static str> {
    let is = |name| syscalls::number(architecture, name) == Some(call.number);
    let first = call.arguments[0] & 0xffff_ffff;
    if is("socketcall") && (1..=20).contains(&first) {
        return Some(SOCKETCALL[first as usize - 1]);
    }
    let found = IPC.iter().find(|(part, _)| *part == first & 0xffff);
    found.filter(|_| is("ipc")).map(|(_, name)| *name)
}
