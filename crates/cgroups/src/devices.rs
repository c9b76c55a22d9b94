//! Which device nodes may be made, read and written.

mod attach;
mod program;

use std::fmt;

pub use program::{DeviceProgram, Instruction};

use crate::writes::{When, Write};
use crate::{Cgroup, Controller, Error};

/// One rule. The last one that fits decides, for each kind of access by itself; what no rule fits is
/// allowed, as in a new cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRule {
    /// Whether the access is allowed.
    pub allow: bool,
    /// The kind of node.
    pub kind: DeviceKind,
    /// The major number; `None` for any.
    pub major: Option<u32>,
    /// The minor number; `None` for any.
    pub minor: Option<u32>,
    /// What is done with it.
    pub access: DeviceAccess,
}

/// The kind of a device node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// Character and block devices.
    All,
    /// Block devices.
    Block,
    /// Character devices.
    Char,
}

/// What is done with a device node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceAccess {
    /// It is opened for reading.
    pub read: bool,
    /// It is opened for writing.
    pub write: bool,
    /// It is made.
    pub mknod: bool,
}

impl DeviceAccess {
    /// Everything.
    pub const ALL: Self = Self {
        read: true,
        write: true,
        mknod: true,
    };

    /// Reads letters out of `rwm`; nothing else.
    #[must_use]
    pub fn from_letters(letters: &str) -> Option<Self> {
        if letters.chars().any(|letter| !"rwm".contains(letter)) {
            return None;
        }
        Some(Self {
            read: letters.contains('r'),
            write: letters.contains('w'),
            mknod: letters.contains('m'),
        })
    }
}

impl fmt::Display for DeviceAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [(self.read, 'r'), (self.write, 'w'), (self.mknod, 'm')];
        letters
            .into_iter()
            .filter(|(set, _)| *set)
            .try_for_each(|(_, letter)| write!(f, "{letter}"))
    }
}

impl DeviceRule {
    /// Everything, allowed or not.
    #[must_use]
    pub fn all(allow: bool) -> Self {
        Self {
            allow,
            kind: DeviceKind::All,
            major: None,
            minor: None,
            access: DeviceAccess::ALL,
        }
    }
}

impl fmt::Display for DeviceRule {
    /// As a line for `devices.allow` and `devices.deny`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            DeviceKind::All => 'a',
            DeviceKind::Block => 'b',
            DeviceKind::Char => 'c',
        };
        write!(f, "{kind} ")?;
        for (number, end) in [(self.major, ':'), (self.minor, ' ')] {
            match number {
                Some(number) => write!(f, "{number}{end}")?,
                None => write!(f, "*{end}")?,
            }
        }
        self.access.fmt(f)
    }
}

impl Cgroup {
    /// Puts rules about devices in force; on v2 by a program, whose id is the answer.
    pub(crate) fn apply_devices(
        &self,
        rules: &[DeviceRule],
        known: impl IntoIterator<Item = u32>,
    ) -> Result<Option<u32>, Error> {
        let controller = Controller::Devices;
        let member = self
            .home(controller)
            .ok_or(Error::ControllerMissing { controller })?;
        if member.v2 {
            let program = DeviceProgram::new(rules);
            return attach::attach(&member.directory, &program, known).map(Some);
        }
        for write in legacy(rules) {
            debug_assert_eq!(write.when, When::Now);
            let written = member.directory.write(&write.file, &write.value);
            written.map_err(|source| Error::Write {
                controller,
                path: member.directory.file(&write.file),
                value: write.value.clone(),
                source,
            })?;
        }
        Ok(None)
    }
}

/// The rules as v1 wants them. It knows no rule about both kinds of nodes but the one about all:
/// every other is written once for each.
fn legacy(rules: &[DeviceRule]) -> Vec<Write> {
    let mut writes = Vec::new();
    for rule in rules {
        let file = match rule.allow {
            true => "devices.allow",
            false => "devices.deny",
        };
        let everything = (rule.major, rule.minor, rule.access) == (None, None, DeviceAccess::ALL);
        if rule.access.to_string().is_empty() {
            continue;
        }
        let kinds: &[DeviceKind] = match rule.kind {
            DeviceKind::All if !everything => &[DeviceKind::Char, DeviceKind::Block],
            ref kind => std::slice::from_ref(kind),
        };
        for kind in kinds {
            let value = match (everything, kind) {
                (true, DeviceKind::All) => "a".to_owned(),
                _ => DeviceRule {
                    kind: *kind,
                    ..*rule
                }
                .to_string(),
            };
            writes.push(Write::new(Controller::Devices, file, value));
        }
    }
    writes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_in_the_words_of_v1() {
        let read = DeviceAccess::from_letters("r");
        let rules = [
            DeviceRule::all(false),
            DeviceRule {
                allow: true,
                kind: DeviceKind::Char,
                major: Some(1),
                minor: None,
                access: DeviceAccess::ALL,
            },
            DeviceRule {
                access: read.unwrap_or(DeviceAccess::ALL),
                ..DeviceRule::all(true)
            },
        ];
        let lines: Vec<_> = legacy(&rules)
            .into_iter()
            .map(|write| format!("{} {}", write.file, write.value))
            .collect();
        assert_eq!(
            lines,
            [
                "devices.deny a",
                "devices.allow c 1:* rwm",
                "devices.allow c *:* r",
                "devices.allow b *:* r",
            ]
        );
    }

    #[test]
    fn letters_are_read_and_shown() {
        for letters in ["rwm", "r", "wm", ""] {
            let access = DeviceAccess::from_letters(letters).map(|access| access.to_string());
            assert_eq!(access.as_deref(), Some(letters));
        }
        assert_eq!(DeviceAccess::from_letters("rx"), None);
    }
}
