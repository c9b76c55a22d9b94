//! Profiles, built by hand.

use crate::{Action, Architecture, Comparison, Error, Flags};

/// What happens to which system calls.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Profile {
    pub(crate) default: Action,
    pub(crate) architectures: Vec<Architecture>,
    pub(crate) flags: Flags,
    pub(crate) rules: Vec<Rule>,
    pub(crate) enosys: bool,
}

impl Profile {
    /// A profile without rules: this happens to every call.
    pub fn new(default: Action) -> Self {
        Self {
            default,
            architectures: Vec::new(),
            flags: Flags::EMPTY,
            rules: Vec::new(),
            enosys: true,
        }
    }

    /// Adds an architecture. Without any, the profile is for the native one.
    pub fn architecture(mut self, architecture: Architecture) -> Self {
        self.architectures.push(architecture);
        self
    }

    /// Adds architectures.
    pub fn architectures(mut self, more: impl IntoIterator<Item = Architecture>) -> Self {
        self.architectures.extend(more);
        self
    }

    /// Adds flags of the installation.
    pub fn flags(mut self, flags: Flags) -> Self {
        self.flags |= flags;
        self
    }

    /// Adds a rule after the others; the first one that fits a call decides.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Adds rules.
    pub fn rules(mut self, more: impl IntoIterator<Item = Rule>) -> Self {
        self.rules.extend(more);
        self
    }

    /// Whether calls newer than the newest one that the profile names get ENOSYS rather than the
    /// errno of the default action; so it is unless switched off here.
    pub fn enosys_for_newer(mut self, yes: bool) -> Self {
        self.enosys = yes;
        self
    }

    /// Looks for what makes no sense.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if let Some(reason) = self.default.problem() {
            return Err(Error::field("defaultAction", reason));
        }
        for (index, rule) in self.rules.iter().enumerate() {
            if let Some((field, reason)) = rule.problem() {
                return Err(Error::field(format!("syscalls[{index}].{field}"), reason));
            }
        }
        Ok(())
    }
}

/// A rule of a profile: calls by name, conditions on their arguments, and what happens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Rule {
    pub(crate) action: Action,
    pub(crate) names: Vec<String>,
    pub(crate) arguments: Vec<(u32, Comparison)>,
}

impl Rule {
    /// A rule for these calls, whatever their arguments.
    pub fn new<I>(action: Action, names: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        Self {
            action,
            names: names.into_iter().map(Into::into).collect(),
            arguments: Vec::new(),
        }
    }

    /// Adds a condition on an argument, counted from zero. Several on one argument: one of them has
    /// to hold; on different arguments: all have to.
    pub fn argument(mut self, index: u32, comparison: Comparison) -> Self {
        self.arguments.push((index, comparison));
        self
    }

    /// The field that makes no sense, and why.
    fn problem(&self) -> Option<(String, &'static str)> {
        if self.names.is_empty() {
            return Some(("names".to_owned(), "no system call is named"));
        }
        if let Some(empty) = self.names.iter().position(String::is_empty) {
            return Some((format!("names[{empty}]"), "an empty name"));
        }
        if let Some(reason) = self.action.problem() {
            return Some(("action".to_owned(), reason));
        }
        for (at, (index, _)) in self.arguments.iter().enumerate() {
            if *index > 5 {
                let reason = "a system call has the arguments 0 to 5";
                return Some((format!("args[{at}].index"), reason));
            }
        }
        None
    }
}
