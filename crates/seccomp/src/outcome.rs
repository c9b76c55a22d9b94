//! What the rules of one call come to.

use std::ops::RangeInclusive;

use crate::architecture::{ARM_PRIVATE, X32_BIT};
use crate::{Action, Architecture, Profile, Rule, syscalls};

/// The names of a profile's rules, looked up once.
#[derive(Debug)]
pub(crate) struct Named {
    /// The index of a name, and a rule that has it: by name, then in the profile's order.
    pairs: Vec<(usize, usize)>,
}

impl Named {
    /// Looks the names up; tells of each that is no system call's.
    pub(crate) fn new(profile: &Profile, mut unknown: impl FnMut(usize, &str)) -> Self {
        let mut pairs = Vec::with_capacity(512);
        for (at, rule) in profile.rules.iter().enumerate() {
            for name in &rule.names {
                match syscalls::index(name) {
                    Some(index) => pairs.push((index, at)),
                    None => unknown(at, name),
                }
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
        Self { pairs }
    }

    /// The calls of an architecture that rules name, each with a rule; by number, then in the
    /// profile's order.
    pub(crate) fn calls(&self, architecture: Architecture) -> Vec<(u32, usize)> {
        let number = |index| syscalls::number_at(architecture, index);
        let pairs = self.pairs.iter();
        let mut calls: Vec<(u32, usize)> = pairs
            .filter_map(|(index, rule)| Some((number(*index)?, *rule)))
            .collect();
        calls.sort_unstable();
        calls.dedup();
        calls
    }

    /// The rules that name a call, in the profile's order.
    pub(crate) fn rules(&self, name: &str) -> impl Iterator<Item = usize> {
        let of_it = syscalls::index(name).map_or(&[][..], |index| {
            let from = self.pairs.partition_point(|(one, _)| *one < index);
            let rest = &self.pairs[from..];
            &rest[..rest.partition_point(|(one, _)| *one == index)]
        });
        of_it.iter().map(|(_, rule)| *rule)
    }
}

/// What happens to a call: what the conditional rules say, in their order, and what happens where
/// none of them holds.
#[derive(Clone, Debug)]
pub(crate) struct Outcome<'p> {
    pub(crate) conditional: Vec<&'p Rule>,
    /// `None` where it is up to the default action.
    pub(crate) otherwise: Option<Action>,
}

impl<'p> Outcome<'p> {
    /// Of rules that name the call. Nothing behind one without conditions can ever decide.
    pub(crate) fn new(profile: &'p Profile, rules: impl IntoIterator<Item = usize>) -> Self {
        let mut conditional = Vec::new();
        for rule in rules.into_iter().map(|at| &profile.rules[at]) {
            if rule.arguments.is_empty() {
                return Self {
                    conditional,
                    otherwise: Some(rule.action),
                };
            }
            conditional.push(rule);
        }
        Self {
            conditional,
            otherwise: None,
        }
    }
}

/// What happens to the calls that no rule names.
#[derive(Clone, Debug)]
pub(crate) struct Unnamed {
    default: Action,
    /// The numbers that get ENOSYS since the profile is older than they are, in ascending order.
    newer: Vec<RangeInclusive<u32>>,
}

/// What a kernel says to a call that it does not have.
const ENOSYS: Action = Action::Errno(38);

impl Unnamed {
    /// For a profile that names these numbers of an architecture, in ascending order.
    pub(crate) fn new(
        profile: &Profile,
        architecture: Architecture,
        named: &[(u32, usize)],
    ) -> Self {
        let default = profile.default;
        // Where unknown calls are let through the kernel itself says ENOSYS, or a good tracer does.
        let open = matches!(default, Action::Allow | Action::Log | Action::Trace(_));
        // Numbers behind it say nothing about a call's age.
        let last = match architecture {
            Architecture::X32 => X32_BIT + 511,
            Architecture::X86_64 => X32_BIT - 1,
            Architecture::Arm => ARM_PRIVATE - 1,
            _ => u32::MAX,
        };
        let mut newest = named.iter().rev().map(|(number, _)| *number);
        let newer = match newest.find(|number| *number <= last) {
            Some(newest) if profile.enosys && !open => match architecture {
                // A number that the kernel does not have arrives as 0, which is no call.
                Architecture::S390 | Architecture::S390x => vec![0..=0, newest + 1..=last],
                // Nothing is left to come behind those that x32 has for itself from 512 on.
                Architecture::X32 => vec![newest + 1..=last, X32_BIT + 548..=u32::MAX],
                _ => vec![newest + 1..=last],
            },
            _ => Vec::new(),
        };
        Self { default, newer }
    }

    /// What happens to one of them.
    pub(crate) fn action(&self, number: u32) -> Action {
        if self.newer.iter().any(|range| range.contains(&number)) {
            ENOSYS
        } else {
            self.default
        }
    }

    /// Where what happens changes, in ascending order: from these numbers on, this.
    pub(crate) fn changes(&self) -> Vec<(u32, Action)> {
        let mut changes = vec![(0, self.default)];
        for range in &self.newer {
            changes.push((*range.start(), ENOSYS));
            changes.extend(range.end().checked_add(1).map(|next| (next, self.default)));
        }
        changes
    }
}
