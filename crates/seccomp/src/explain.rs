//! A profile's decisions, for people.

use std::fmt;

use crate::multiplexer::{Multiplexer, blind};
use crate::outcome::{Named, Outcome, Unnamed};
use crate::{Action, Architecture, Comparison, Profile, Rule, syscalls};

/// What a profile does with a system call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision {
    /// On which architecture.
    pub architecture: Architecture,
    /// The call.
    pub name: &'static str,
    /// How it is made.
    pub route: Route,
    /// What is looked at first, in this order.
    pub cases: Vec<Case>,
    /// What happens where none of the cases holds.
    pub otherwise: Action,
}

/// How a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Route {
    /// By a number of its own.
    Direct(u32),
    /// As a part of `socketcall` or `ipc`, where its arguments can't be looked at: of what the
    /// conditional rules and the default action say, the strictest happens.
    Part {
        /// Of which call.
        of: &'static str,
        /// That one's number.
        number: u32,
        /// The first argument that stands for this call.
        part: u32,
    },
}

/// Conditions on arguments, and what happens where they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Case {
    /// Index of an argument and what it is compared with. On one argument one of them has to hold,
    /// on different ones all have to.
    pub conditions: Vec<(u32, Comparison)>,
    /// What happens then.
    pub action: Action,
}

impl Profile {
    /// What the profile does with a call on an architecture: once for each [`Route`], nothing where
    /// the architecture has no such call. Whether the architecture is the profile's is not asked.
    #[must_use]
    pub fn explain(&self, architecture: Architecture, name: &str) -> Vec<Decision> {
        Explainer::new(self, architecture).explain(name)
    }

    /// What it does with every call of an architecture, in byte order of the names.
    #[must_use]
    pub fn explain_all(&self, architecture: Architecture) -> Vec<Decision> {
        let explainer = Explainer::new(self, architecture);
        let names = syscalls::every_name();
        names.flat_map(|name| explainer.explain(name)).collect()
    }
}

struct Explainer<'p> {
    profile: &'p Profile,
    architecture: Architecture,
    named: Named,
    unnamed: Unnamed,
}

impl<'p> Explainer<'p> {
    fn new(profile: &'p Profile, architecture: Architecture) -> Self {
        let named = Named::new(profile, |_, _| {});
        let unnamed = Unnamed::new(profile, architecture, &named.calls(architecture));
        Self {
            profile,
            architecture,
            named,
            unnamed,
        }
    }

    fn explain(&self, name: &str) -> Vec<Decision> {
        let direct = self.direct(name);
        direct.into_iter().chain(self.part(name)).collect()
    }

    fn direct(&self, name: &str) -> Option<Decision> {
        let index = syscalls::index(name)?;
        let number = syscalls::number_at(self.architecture, index)?;
        let mut rules = self.named.rules(name).peekable();
        let default = match rules.peek() {
            Some(_) => self.profile.default,
            None => self.unnamed.action(number),
        };
        let outcome = Outcome::new(self.profile, rules);
        Some(Decision {
            architecture: self.architecture,
            name: syscalls::name_at(index),
            route: Route::Direct(number),
            cases: outcome.conditional.iter().map(|rule| case(rule)).collect(),
            otherwise: outcome.otherwise.unwrap_or(default),
        })
    }

    fn part(&self, name: &str) -> Option<Decision> {
        let index = syscalls::index(name)?;
        let (multiplexer, part) = Multiplexer::of(name)?;
        let number = multiplexer.number(self.architecture)?;
        let whole = Outcome::new(self.profile, self.named.rules(multiplexer.name));
        let own = Outcome::new(self.profile, self.named.rules(name));
        let own = blind(&own, self.profile.default);
        let otherwise = match whole.otherwise {
            Some(action) => action,
            None if own == self.profile.default => self.unnamed.action(number),
            None => own,
        };
        Some(Decision {
            architecture: self.architecture,
            name: syscalls::name_at(index),
            route: Route::Part {
                of: multiplexer.name,
                number,
                part,
            },
            cases: whole.conditional.iter().map(|rule| case(rule)).collect(),
            otherwise,
        })
    }
}

fn case(rule: &Rule) -> Case {
    Case {
        conditions: rule.arguments.clone(),
        action: rule.action,
    }
}

/// `x86_64 socket (41): allow if arg0 != 0x28, else errno 1`
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.architecture.short(), self.name)?;
        match self.route {
            Route::Direct(number) => write!(f, "({number}): ")?,
            Route::Part { of, number, part } => write!(f, "({of} {number}, part {part}): ")?,
        }
        for case in &self.cases {
            write!(f, "{case}, else ")?;
        }
        write!(f, "{}", self.otherwise.in_words())
    }
}

/// `allow if (arg0 == 0x1 or arg0 == 0x2) and arg1 < 0x5`
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} if ", self.action.in_words())?;
        let mut first = true;
        for index in 0..6 {
            let of_it = self.conditions.iter().filter(|(at, _)| *at == index);
            let of_it: Vec<String> = of_it.map(|(at, one)| format!("arg{at} {one}")).collect();
            if of_it.is_empty() {
                continue;
            }
            f.write_str(if first { "" } else { " and " })?;
            first = false;
            match &*of_it {
                [one] => f.write_str(one)?,
                more => write!(f, "({})", more.join(" or "))?,
            }
        }
        Ok(())
    }
}
