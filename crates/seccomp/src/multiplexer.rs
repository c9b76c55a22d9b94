//! `socketcall` and `ipc`: calls of older architectures that stand for many.
//!
//! The first argument says which one is meant, and its arguments are behind a pointer, where a
//! filter can't look. A rule for `bind` is therefore a rule for that part of `socketcall`, too.

use crate::outcome::{Named, Outcome};
use crate::program::Ask;
use crate::{Action, Architecture, Profile, syscalls};

/// A call that stands for many.
#[derive(Debug)]
pub(crate) struct Multiplexer {
    pub(crate) name: &'static str,
    /// The bits of the first argument that the kernel looks at.
    mask: u32,
    /// The calls it stands for, and the number of each.
    parts: &'static [(&'static str, u32)],
}

/// See socketcall(2) and ipc(2).
pub(crate) static ALL: [Multiplexer; 2] = [
    Multiplexer {
        name: "socketcall",
        mask: u32::MAX,
        parts: &[
            ("socket", 1),
            ("bind", 2),
            ("connect", 3),
            ("listen", 4),
            ("accept", 5),
            ("getsockname", 6),
            ("getpeername", 7),
            ("socketpair", 8),
            ("send", 9),
            ("recv", 10),
            ("sendto", 11),
            ("recvfrom", 12),
            ("shutdown", 13),
            ("setsockopt", 14),
            ("getsockopt", 15),
            ("sendmsg", 16),
            ("recvmsg", 17),
            ("accept4", 18),
            ("recvmmsg", 19),
            ("sendmmsg", 20),
        ],
    },
    Multiplexer {
        name: "ipc",
        // Above them is the version of the call.
        mask: 0xffff,
        parts: &[
            ("semop", 1),
            ("semget", 2),
            ("semctl", 3),
            ("semtimedop", 4),
            ("msgsnd", 11),
            ("msgrcv", 12),
            ("msgget", 13),
            ("msgctl", 14),
            ("shmat", 21),
            ("shmdt", 22),
            ("shmget", 23),
            ("shmctl", 24),
        ],
    },
];

impl Multiplexer {
    /// Its number, where an architecture has it.
    pub(crate) fn number(&self, architecture: Architecture) -> Option<u32> {
        syscalls::number(architecture, self.name)
    }

    /// The multiplexer of a call, and the call's number in it.
    pub(crate) fn of(name: &str) -> Option<(&'static Self, u32)> {
        ALL.iter().find_map(|one| {
            let part = one.parts.iter().find(|(part, _)| *part == name)?;
            Some((one, part.1))
        })
    }

    /// What the lower word of the first argument is asked to find a part.
    pub(crate) fn ask(&self, part: u32) -> Ask {
        match self.mask {
            u32::MAX => Ask::Eq(part),
            mask => Ask::Masked(mask, part),
        }
    }

    /// The parts for which something else happens than by default.
    pub(crate) fn decided(&self, profile: &Profile, named: &Named) -> Vec<(u32, Action)> {
        let parts = self.parts.iter();
        parts
            .map(|(name, part)| (*part, Outcome::new(profile, named.rules(name))))
            .map(|(part, outcome)| (part, blind(&outcome, profile.default)))
            .filter(|(_, action)| *action != profile.default)
            .collect()
    }
}

/// What happens to a part. Its arguments can't be looked at: of what conditional rules and the
/// default action say, the strictest happens.
pub(crate) fn blind(outcome: &Outcome<'_>, default: Action) -> Action {
    let first = outcome.otherwise.unwrap_or(default);
    let conditional = outcome.conditional.iter().map(|rule| rule.action);
    conditional.fold(first, |strictest, one| {
        if one.strictness() > strictest.strictness() {
            one
        } else {
            strictest
        }
    })
}
