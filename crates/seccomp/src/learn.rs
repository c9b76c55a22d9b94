//! The smallest profile for what was seen.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::explain::Route;
use crate::{Action, Architecture, Call, Comparison, Profile, Rule, syscalls};

/// An argument: its index, which bits of it count, and these.
type Part = (u32, u64, u64);

/// What the kernel has a program call that is sent a signal or stopped: whether that happens is not
/// the program's to say, so it belongs to every profile.
const BY_SIGNALS: [&str; 3] = ["restart_syscall", "rt_sigreturn", "sigreturn"];

/// Collects the calls that a program makes, and makes the smallest profile of them: an allow-list,
/// in which what is missing gets ENOSYS, so that programs fall back as on an older kernel.
///
/// Where the profile that the program had meanwhile looks at arguments, they are learnt too, in the
/// bits that it looks at: what is learnt lets nothing through that it would not.
///
/// ```
/// use crabcan_seccomp::{Learner, builtin};
///
/// let mut learner = Learner::new(Some(builtin::sandbox()));
/// // learner.see(&listener.receive()?…);
/// let profile = learner.profile();
/// ```
#[derive(Clone, Debug)]
pub struct Learner {
    before: Option<Profile>,
    known: HashMap<(Architecture, u32), Known>,
    /// Without any part where the arguments do not count.
    seen: BTreeMap<&'static str, BTreeSet<Vec<Part>>>,
    architectures: Vec<Architecture>,
    unnamed: BTreeSet<u32>,
}

/// What is to be looked at of a call.
#[derive(Clone, Debug)]
struct Known {
    name: &'static str,
    /// The bits of each argument that count.
    masks: BTreeMap<u32, u64>,
}

impl Learner {
    /// Learns from a program that is filtered by this profile meanwhile, if by any.
    #[must_use]
    pub fn new(before: Option<Profile>) -> Self {
        Self {
            before,
            known: HashMap::new(),
            seen: BTreeMap::new(),
            architectures: Vec::new(),
            unnamed: BTreeSet::new(),
        }
    }

    /// Takes note of a call, and says its name, if it has one.
    pub fn see(&mut self, call: &Call) -> Option<&'static str> {
        let Some(known) = self.known(call) else {
            self.unnamed.insert(call.number);
            return None;
        };
        let value = |index: u32| call.arguments.get(index as usize).copied().unwrap_or(0);
        let parts = known.masks.iter();
        let parts = parts.map(|(index, mask)| (*index, *mask, value(*index) & *mask));
        let (name, parts) = (known.name, parts.collect());
        self.seen.entry(name).or_default().insert(parts);
        Some(name)
    }

    fn known(&mut self, call: &Call) -> Option<&Known> {
        let architecture = call.architecture()?;
        let key = (architecture, call.number);
        if !self.known.contains_key(&key) {
            let name = syscalls::name(architecture, call.number)?;
            let masks = self.masks(architecture, name);
            self.known.insert(key, Known { name, masks });
            if !self.architectures.contains(&architecture) {
                self.architectures.push(architecture);
            }
        }
        self.known.get(&key)
    }

    /// The bits of arguments by which the profile decides about a call.
    fn masks(&self, architecture: Architecture, name: &str) -> BTreeMap<u32, u64> {
        let mut masks = BTreeMap::new();
        let decisions = self.before.as_ref();
        let decisions = decisions.map(|profile| profile.explain(architecture, name));
        for decision in decisions.into_iter().flatten() {
            if !matches!(decision.route, Route::Direct(_)) {
                continue;
            }
            for (index, comparison) in decision.cases.into_iter().flat_map(|it| it.conditions) {
                *masks.entry(index).or_insert(0) |= match comparison {
                    Comparison::MaskedEq { mask, .. } => mask,
                    _ => u64::MAX,
                };
            }
        }
        masks
    }

    /// Numbers that nothing is called by here: no profile can let them through.
    pub fn unnamed(&self) -> impl Iterator<Item = u32> + '_ {
        self.unnamed.iter().copied()
    }

    /// The profile for all that was seen.
    pub fn profile(&self) -> Profile {
        let mut names: BTreeSet<_> = self.by_signals().collect();
        let mut conditional = Vec::new();
        for (name, values) in &self.seen {
            for parts in values {
                match parts.is_empty() {
                    true => drop(names.insert(name)),
                    false => conditional.push(rule(name, parts)),
                }
            }
        }
        let mut profile = Profile::new(Action::Errno(libc::ENOSYS as u16))
            .architectures(self.architectures.iter().copied());
        if !names.is_empty() {
            profile = profile.rule(Rule::new(Action::Allow, names));
        }
        profile.rules(conditional)
    }

    /// What any program has to be able to call, as far as it could.
    fn by_signals(&self) -> impl Iterator<Item = &'static str> + '_ {
        let lets_through = |architecture, name| match &self.before {
            None => syscalls::number(architecture, name).is_some(),
            Some(profile) => {
                let decisions = profile.explain(architecture, name);
                let mut decisions = decisions.iter();
                decisions.any(|it| it.cases.is_empty() && it.otherwise.lets_through())
            }
        };
        BY_SIGNALS.into_iter().filter(move |name| {
            let mut all = self.architectures.iter();
            all.any(|architecture| lets_through(*architecture, name))
        })
    }
}

/// Lets a call through whose arguments are like these in the bits that count.
fn rule(name: &str, parts: &[Part]) -> Rule {
    let rule = Rule::new(Action::Allow, [name]);
    parts.iter().fold(rule, |rule, (index, mask, value)| {
        let (mask, value) = (*mask, *value);
        rule.argument(*index, Comparison::MaskedEq { mask, value })
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn call(architecture: Architecture, name: &str, arguments: [u64; 6]) -> Call {
        Call {
            id: 1,
            thread: 1,
            audit: architecture.audit(),
            number: syscalls::number(architecture, name).unwrap(),
            arguments,
        }
    }

    /// A profile that looks at two arguments of one call, and at all of another's bits.
    fn before() -> Profile {
        let bits = |mask| Comparison::MaskedEq { mask, value: mask };
        let refused = Action::Errno(1);
        Profile::new(Action::Allow)
            .architectures([Architecture::X86_64, Architecture::X86])
            .rule(
                Rule::new(refused, ["openat"])
                    .argument(2, bits(0x40))
                    .argument(3, bits(0o4000)),
            )
            .rule(Rule::new(refused, ["openat"]).argument(3, bits(0o2000)))
            .rule(Rule::new(refused, ["kill"]).argument(1, Comparison::Gt(9)))
    }

    fn words(profile: &Profile, name: &str) -> Vec<Vec<(u32, Comparison)>> {
        let rules = profile.rules.iter();
        let rules = rules.filter(|rule| rule.names.iter().any(|one| one == name));
        rules.map(|rule| rule.arguments.clone()).collect()
    }

    #[test]
    fn arguments_count_in_the_bits_that_the_profile_looks_at() {
        let mut learner = Learner::new(Some(before()));
        let x86_64 = Architecture::X86_64;
        for arguments in [
            [5, 6, 0x8_0000, 0o600, 0, 0],
            [7, 8, 0x8_0040, 0o644, 0, 0],
            // In the bits that count, the same again.
            [9, 9, 0x8_0001, 0o777, 9, 9],
        ] {
            assert_eq!(
                learner.see(&call(x86_64, "openat", arguments)),
                Some("openat")
            );
        }
        learner.see(&call(x86_64, "kill", [1, 9, 0, 0, 0, 0]));
        learner.see(&call(x86_64, "read", [1, 2, 3, 0, 0, 0]));
        let profile = learner.profile();
        let is = |mask, value| Comparison::MaskedEq { mask, value };
        assert_eq!(
            words(&profile, "openat"),
            [
                [(2, is(0x40, 0)), (3, is(0o6000, 0))],
                [(2, is(0x40, 0x40)), (3, is(0o6000, 0))]
            ]
        );
        assert_eq!(words(&profile, "kill"), [[(1, is(u64::MAX, 9))]]);
        assert_eq!(words(&profile, "read"), [[]]);
        assert_eq!(profile.default, Action::Errno(libc::ENOSYS as u16));
        assert!(profile.compile().is_ok());
    }

    #[test]
    fn each_architecture_has_its_own_numbers() {
        let mut learner = Learner::new(None);
        learner.see(&call(Architecture::X86, "socketcall", [0; 6]));
        learner.see(&call(Architecture::X32, "execve", [0; 6]));
        let profile = learner.profile();
        let both = [Architecture::X86, Architecture::X32];
        assert_eq!(profile.architectures, both);
        assert_eq!(words(&profile, "socketcall").len(), 1);
        // One that only 32-bit programs have.
        assert_eq!(words(&profile, "sigreturn").len(), 1);
        let mut learner = Learner::new(None);
        learner.see(&call(Architecture::X86_64, "execve", [0; 6]));
        assert_eq!(words(&learner.profile(), "sigreturn").len(), 0);
    }

    #[test]
    fn what_has_no_name_is_told() {
        let mut learner = Learner::new(None);
        let mut strange = call(Architecture::X86_64, "read", [0; 6]);
        strange.number = 5000;
        assert_eq!(learner.see(&strange), None);
        strange.audit = 1;
        assert_eq!(learner.see(&strange), None);
        assert_eq!(learner.unnamed().collect::<Vec<_>>(), [5000]);
    }

    #[test]
    fn what_signals_call_is_not_added_where_it_was_refused() {
        let refusing = Profile::new(Action::Allow)
            .architecture(Architecture::X86_64)
            .rule(Rule::new(Action::Errno(1), ["restart_syscall"]));
        let mut learner = Learner::new(Some(refusing));
        learner.see(&call(Architecture::X86_64, "read", [0; 6]));
        let profile = learner.profile();
        assert_eq!(words(&profile, "restart_syscall").len(), 0);
        assert_eq!(words(&profile, "rt_sigreturn").len(), 1);
    }
}
