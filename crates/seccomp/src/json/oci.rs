//! `linux.seccomp` of the OCI runtime specification.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Resolved, Unknown, UnknownKind, action, at, from_json, in_order, listener, rule};
use crate::{Architecture, Error, Flags, Operator, Profile, Rule};

/// `linux.seccomp`: what an OCI runtime is given. Fields that the specification does not have are
/// ignored, as it demands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Seccomp {
    /// What happens to a call that no rule decides. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_action: Option<String>,
    /// Its errno, or the message for a tracer; absent: EPERM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_errno_ret: Option<u32>,
    /// The architectures whose calls the rules are for, beside the native one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architectures: Option<Vec<String>>,
    /// Flags of seccomp(2). Absent is not the same as none, see [`Seccomp::resolve`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<Vec<String>>,
    /// The socket of whoever answers for `SCMP_ACT_NOTIFY`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener_path: Option<PathBuf>,
    /// Handed on to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener_metadata: Option<String>,
    /// The rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub syscalls: Option<Vec<Syscall>>,
}

/// An entry of `syscalls`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Syscall {
    /// The names of the calls. Required, one at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<String>>,
    /// What happens to them. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The errno, or the message for a tracer; absent: EPERM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno_ret: Option<u32>,
    /// Conditions on their arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<Arg>>,
}

/// An entry of `args`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Arg {
    /// Which argument, counted from zero. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// What it is compared with, or the mask. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<u64>,
    /// What the masked argument is compared with; absent: zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_two: Option<u64>,
    /// How it is compared. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
}

/// A profile as a runtime reads it. The other way round as [`Seccomp::resolve`], and the same profile
/// again where no call has both a rule with conditions and one without.
impl From<&Profile> for Seccomp {
    fn from(profile: &Profile) -> Self {
        let words = profile.architectures.iter().map(ToString::to_string);
        Self {
            default_action: Some(profile.default.to_string()),
            default_errno_ret: profile.default.errno(),
            architectures: Some(words.collect()),
            syscalls: Some(profile.rules.iter().map(Syscall::from).collect()),
            ..Self::default()
        }
    }
}

impl From<&Rule> for Syscall {
    fn from(rule: &Rule) -> Self {
        let args = rule.arguments.iter().map(|(index, comparison)| {
            let (operator, value, value_two) = Operator::of(*comparison);
            Arg {
                index: Some(*index),
                value: Some(value),
                value_two: (operator == Operator::MaskedEq).then_some(value_two),
                op: Some(operator.to_string()),
            }
        });
        Self {
            names: Some(rule.names.clone()),
            action: Some(rule.action.to_string()),
            errno_ret: rule.action.errno(),
            args: (!rule.arguments.is_empty()).then(|| args.collect()),
        }
    }
}

impl Seccomp {
    /// Reads the JSON text of the object.
    ///
    /// # Errors
    /// [`Error::Json`] names the field whose value is of a wrong type.
    pub fn from_json(text: &[u8]) -> Result<Self, Error> {
        from_json(text)
    }

    /// Makes a profile of it for programs of an architecture.
    ///
    /// That architecture belongs to the profile whether it is listed or not, as with the other
    /// runtimes: the program which is about to be executed is of it. Where `flags` is absent, no
    /// flag is set.
    ///
    /// # Errors
    /// [`Error::Field`] for what is missing, for words that are no action, operator or flag, for an
    /// errno on an action that has none, and for metadata without a listener.
    pub fn resolve(&self, native: Architecture) -> Result<Resolved, Error> {
        let default = action(
            self.default_action.as_deref(),
            self.default_errno_ret,
            ["defaultAction", "defaultErrnoRet"],
        )?;
        let mut unknown = Vec::new();
        let mut profile = Profile::new(default).architecture(native);
        for (at, word) in self.architectures.iter().flatten().enumerate() {
            profile = architecture(profile, word, format!("architectures[{at}]"), &mut unknown);
        }
        for (index, word) in self.flags.iter().flatten().enumerate() {
            let flag: Flags = at(&format!("flags[{index}]"), word.parse())?;
            profile = profile.flags(flag);
        }
        let mut rules = Vec::new();
        for (at, entry) in self.syscalls.iter().flatten().enumerate() {
            rules.extend(rule(entry, &format!("syscalls[{at}]"), &mut unknown)?);
        }
        Ok(Resolved {
            profile: profile.rules(in_order(rules, default)),
            listener: listener(self.listener_path.as_ref(), self.listener_metadata.as_ref())?,
            unknown,
        })
    }
}

/// Adds an architecture, or reports it.
pub(super) fn architecture(
    profile: Profile,
    word: &str,
    field: String,
    unknown: &mut Vec<Unknown>,
) -> Profile {
    match word.parse() {
        Ok(one) if profile.architectures.contains(&one) => profile,
        Ok(one) => profile.architecture(one),
        Err(_) => {
            unknown.push(Unknown {
                kind: UnknownKind::Architecture,
                field,
                word: word.to_owned(),
            });
            profile
        }
    }
}
