//! Profiles from JSON, in the two formats that are in use.
//!
//! [`Seccomp`] is `linux.seccomp` of the [OCI runtime specification], as an engine hands it to a
//! runtime. [`EngineProfile`] is what people write and give to `docker`, `podman` and `crabcan` as a
//! file: rules that are only meant for some capabilities, architectures and kernels, and resolved
//! for a [`Target`]. Both come to a [`Resolved`].
//!
//! Reading decides nothing. An absent field is `None`, unknown words are kept, and resolving names
//! the field of each: it refuses an action, an operator or a flag, since what they would change can't
//! be guessed, and it reports system calls and architectures in [`Resolved::unknown`], since a
//! profile may be newer than this crate. Whoever calls may refuse those as well.
//!
//! # Several rules for one call
//! A [`Profile`] is decided by its first rule that fits. Profiles in JSON were written for runtimes
//! that use libseccomp, where the order of rules counts for little, and mean what they mean there:
//! a rule without conditions decides before those with conditions, and a rule with the default
//! action decides nothing. So resolving puts rules without conditions first, then those with, then
//! those with the default action, and keeps the order within each. ADR 7 has the details.
//!
//! ```
//! use crabcan_seccomp::Architecture;
//! use crabcan_seccomp::json::{EngineProfile, Target};
//!
//! # fn main() -> Result<(), crabcan_seccomp::Error> {
//! let text = br#"{
//!     "defaultAction": "SCMP_ACT_ALLOW",
//!     "syscalls": [{
//!         "names": ["bpf", "brand_new_call"],
//!         "action": "SCMP_ACT_ERRNO",
//!         "excludes": { "caps": ["CAP_SYS_ADMIN"] }
//!     }]
//! }"#;
//! let target = Target {
//!     architecture: Architecture::X86_64,
//!     capabilities: vec!["CAP_CHOWN".to_owned()],
//!     kernel: (6, 1),
//! };
//! let resolved = EngineProfile::from_json(text)?.resolve(&target)?;
//! assert_eq!(resolved.unknown[0].field, "syscalls[0].names[1]");
//! let filter = resolved.profile.compile()?;
//! # Ok(())
//! # }
//! ```
//!
//! [OCI runtime specification]: https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#seccomp

mod engine;
mod errno;
mod oci;

use std::path::PathBuf;

use serde::de::DeserializeOwned;

pub use engine::{ArchMap, EngineArg, EngineProfile, EngineSyscall, Selector, Target};
pub use oci::{Arg, Seccomp, Syscall};

use crate::{Action, Error, Operator, Profile, Rule, syscalls};

/// What a document comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The profile. Its first architecture is the one that it was resolved for, listed or not: the
    /// program that is about to run is of that one.
    pub profile: Profile,
    /// Who answers for [`Action::Notify`].
    pub listener: Option<Listener>,
    /// What was left away because nothing of that name is known here.
    pub unknown: Vec<Unknown>,
}

/// `listenerPath` and `listenerMetadata`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The socket to which the listener's descriptor is sent.
    pub path: PathBuf,
    /// Handed on to whoever listens there.
    pub metadata: Option<String>,
}

/// A word that names no system call or no architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// What it should have named.
    pub kind: UnknownKind,
    /// Where it stands: `syscalls[3].names[7]`, `architectures[1]`.
    pub field: String,
    /// The word.
    pub word: String,
}

/// What an unknown word should have named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnknownKind {
    /// A system call: the rule does nothing for it.
    SystemCall,
    /// An architecture: its calls are refused like those of any other that is not in the profile.
    Architecture,
}

/// Reads a document and names the field that is wrong.
fn from_json<T: DeserializeOwned>(text: &[u8]) -> Result<T, Error> {
    let whole = || "the document".to_owned();
    // Structures may be written as arrays of their fields' values, as nobody means a profile.
    if text.trim_ascii_start().first() == Some(&b'[') {
        let (field, source) = (whole(), serde::de::Error::custom("an array, and no object"));
        return Err(Error::Json { field, source });
    }
    let mut reader = serde_json::Deserializer::from_slice(text);
    let document = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        // So a path is of the whole, where no value came, or where the key is empty.
        let field = error.path().to_string();
        let field = if matches!(&*field, "?" | "" | ".") {
            whole()
        } else {
            field
        };
        let source = error.into_inner();
        Error::Json { field, source }
    })?;
    reader.end().map_err(|source| Error::Json {
        field: whole(),
        source,
    })?;
    Ok(document)
}

/// An action and its errno, of the fields `action` and `errno` names.
fn action(word: Option<&str>, errno: Option<u32>, field: [&str; 2]) -> Result<Action, Error> {
    let [of_word, of_errno] = field;
    let word = word.ok_or_else(|| Error::field(of_word, "is missing"))?;
    let action: Action = at(of_word, word.parse())?;
    let Some(errno) = errno else {
        return Ok(action);
    };
    action.with_errno(errno).ok_or_else(|| {
        let reason = match action {
            Action::Errno(_) => format!("{errno} is above 4095, the largest errno"),
            Action::Trace(_) => format!("{errno} is above 65535, the largest message"),
            _ => format!("the action {word} has no errno"),
        };
        Error::field(of_errno, reason)
    })
}

/// The rule of one entry of `syscalls`, whose field is given. Names that nobody knows are told.
fn rule(entry: &Syscall, field: &str, unknown: &mut Vec<Unknown>) -> Result<Option<Rule>, Error> {
    let of_action = [&*format!("{field}.action"), &*format!("{field}.errnoRet")];
    let action = action(entry.action.as_deref(), entry.errno_ret, of_action)?;
    let names = entry.names.as_deref().unwrap_or_default();
    if names.is_empty() {
        return Err(Error::field(
            format!("{field}.names"),
            "no system call is named",
        ));
    }
    let mut known = Vec::with_capacity(names.len());
    for (at, name) in names.iter().enumerate() {
        let field = || format!("{field}.names[{at}]");
        if name.is_empty() {
            return Err(Error::field(field(), "an empty name"));
        }
        if syscalls::is_known(name) {
            known.push(name);
        } else {
            unknown.push(Unknown {
                kind: UnknownKind::SystemCall,
                field: field(),
                word: name.clone(),
            });
        }
    }
    let mut rule = Rule::new(action, known);
    for (at, arg) in entry.args.iter().flatten().enumerate() {
        rule = argument(rule, arg, &format!("{field}.args[{at}]"))?;
    }
    Ok((!rule.names.is_empty()).then_some(rule))
}

/// Adds the condition of one entry of `args`.
fn argument(rule: Rule, arg: &Arg, field: &str) -> Result<Rule, Error> {
    let missing = |name: &str| Error::field(format!("{field}.{name}"), "is missing");
    let index = arg.index.ok_or_else(|| missing("index"))?;
    if index > 5 {
        let reason = format!("{index}: a system call has the arguments 0 to 5");
        return Err(Error::field(format!("{field}.index"), reason));
    }
    let value = arg.value.ok_or_else(|| missing("value"))?;
    let word = arg.op.as_deref().ok_or_else(|| missing("op"))?;
    let operator: Operator = at(&format!("{field}.op"), word.parse())?;
    // The engines always write a second value, and a masked comparison with zero may do without.
    let comparison = operator.with(value, arg.value_two.unwrap_or(0));
    Ok(rule.argument(index, comparison))
}

/// Says in which field an unknown word stands.
fn at<T>(field: &str, parsed: Result<T, Error>) -> Result<T, Error> {
    parsed.map_err(|error| Error::field(field, error.to_string()))
}

/// Puts rules into the order in which the first that fits is the one that libseccomp would choose.
fn in_order(mut rules: Vec<Rule>, default: Action) -> Vec<Rule> {
    // A stable sort: within a kind the first one stays the first.
    rules.sort_by_key(|rule| match rule {
        rule if rule.action == default => 2,
        rule if !rule.arguments.is_empty() => 1,
        _ => 0,
    });
    rules
}

/// The listener, which without a path would have nothing to do.
fn listener(path: Option<&PathBuf>, metadata: Option<&String>) -> Result<Option<Listener>, Error> {
    match (path, metadata) {
        (Some(path), metadata) if !path.as_os_str().is_empty() => Ok(Some(Listener {
            path: path.clone(),
            metadata: metadata.cloned(),
        })),
        (_, Some(metadata)) if !metadata.is_empty() => {
            let reason = "metadata for a listener, and no listenerPath";
            Err(Error::field("listenerMetadata", reason))
        }
        _ => Ok(None),
    }
}
