//! The container engines' own format.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::oci::architecture;
use super::{Arg, Resolved, Seccomp, Syscall, Unknown, from_json, in_order, rule};
use crate::json::errno;
use crate::{Architecture, Error};

/// A profile as it is given to `docker run --security-opt seccomp=FILE`, and as the engines' own
/// defaults are written. It is a superset of [`Seccomp`], so a file of that form is read as well.
///
/// A field that the format does not have is refused: an `arg` for `args` would make a rule hold
/// always.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct EngineProfile {
    /// What happens to a call that no rule decides. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_action: Option<String>,
    /// Its errno, or the message for a tracer; absent: EPERM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_errno_ret: Option<u32>,
    /// The same by name, as podman writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_errno: Option<String>,
    /// The architectures beside the target's. Not together with `archMap`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architectures: Option<Vec<String>>,
    /// Which architectures come with which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch_map: Option<Vec<ArchMap>>,
    /// Flags of seccomp(2).
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
    pub syscalls: Option<Vec<EngineSyscall>>,
}

/// An entry of `archMap`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ArchMap {
    /// Where this is the target's,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// these are in the profile, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_architectures: Option<Vec<String>>,
}

/// An entry of `syscalls`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct EngineSyscall {
    /// The name of a call, in older profiles. Not together with `names`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The names of calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<String>>,
    /// What happens to them. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The errno, or the message for a tracer; absent: EPERM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno_ret: Option<u32>,
    /// The same by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<String>,
    /// Conditions on their arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<EngineArg>>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The rule is for targets that are all of this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub includes: Option<Selector>,
    /// The rule is not for targets that are any of this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excludes: Option<Selector>,
}

/// An entry of `args`: an [`Arg`] in which nothing else may stand, since a misspelt `valueTwo` would
/// compare with zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct EngineArg {
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

/// `includes` and `excludes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Selector {
    /// Capabilities: to be included all of them are needed, one is enough to be excluded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caps: Option<Vec<String>>,
    /// The target's architecture is one of these, in the engines' words (`amd64`, `arm64`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arches: Option<Vec<String>>,
    /// The kernel is of this version (`4.8`) or newer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_kernel: Option<String>,
}

/// What an [`EngineProfile`] is resolved for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The architecture of the container's programs.
    pub architecture: Architecture,
    /// Its bounding set, as `CAP_SYS_ADMIN`.
    pub capabilities: Vec<String>,
    /// The first two numbers of the kernel's version.
    pub kernel: (u32, u32),
}

impl EngineProfile {
    /// Reads the JSON text of a file.
    ///
    /// # Errors
    /// [`Error::Json`] names the field whose value is of a wrong type, or that the format does not
    /// have.
    pub fn from_json(text: &[u8]) -> Result<Self, Error> {
        from_json(text)
    }

    /// Makes a profile of it for a target: the rules that are meant for it, in their order, and the
    /// architectures that come with its own.
    ///
    /// # Errors
    /// As [`Seccomp::resolve`], and [`Error::Field`] for two fields that exclude each other or
    /// contradict each other, an unknown errno, or a version that is none. Rules that are not for
    /// the target have to make sense, too.
    pub fn resolve(&self, target: &Target) -> Result<Resolved, Error> {
        let whole = Seccomp {
            default_action: self.default_action.clone(),
            default_errno_ret: errno::number(
                self.default_errno.as_deref(),
                self.default_errno_ret,
                "defaultErrno",
            )?,
            architectures: self.architectures.clone(),
            flags: self.flags.clone(),
            listener_path: self.listener_path.clone(),
            listener_metadata: self.listener_metadata.clone(),
            syscalls: None,
        };
        let mut resolved = whole.resolve(target.architecture)?;
        self.add_architectures(&mut resolved, target)?;
        let mut rules = Vec::new();
        for (at, entry) in self.syscalls.iter().flatten().enumerate() {
            let field = format!("syscalls[{at}]");
            let mut unknown = Vec::new();
            let rule = rule(&entry.plain(&field)?, &field, &mut unknown)?;
            if entry.is_for(target, &field)? {
                rules.extend(rule);
                resolved.unknown.append(&mut unknown);
            }
        }
        let rules = in_order(rules, resolved.profile.default);
        resolved.profile = resolved.profile.rules(rules);
        Ok(resolved)
    }

    /// Adds what `archMap` has beside the target's architecture.
    fn add_architectures(&self, resolved: &mut Resolved, target: &Target) -> Result<(), Error> {
        let maps = self.arch_map.as_deref().unwrap_or_default();
        let listed = self.architectures.as_deref().unwrap_or_default();
        if !maps.is_empty() && !listed.is_empty() {
            return Err(Error::field("archMap", "there are architectures as well"));
        }
        let own = target.architecture.to_string();
        for (at, map) in maps.iter().enumerate() {
            if map.architecture.as_ref() != Some(&own) {
                continue;
            }
            for (sub, word) in map.sub_architectures.iter().flatten().enumerate() {
                let field = format!("archMap[{at}].subArchitectures[{sub}]");
                let unknown: &mut Vec<Unknown> = &mut resolved.unknown;
                let profile = resolved.profile.clone();
                resolved.profile = architecture(profile, word, field, unknown);
            }
        }
        Ok(())
    }
}

impl EngineSyscall {
    /// The entry without what is the engines' own.
    fn plain(&self, field: &str) -> Result<Syscall, Error> {
        let mut names = self.names.clone();
        if let Some(name) = self.name.as_ref().filter(|name| !name.is_empty()) {
            if names.as_ref().is_some_and(|names| !names.is_empty()) {
                return Err(Error::field(
                    format!("{field}.name"),
                    "there are names as well",
                ));
            }
            names = Some(vec![name.clone()]);
        }
        let of_errno = format!("{field}.errno");
        Ok(Syscall {
            names,
            action: self.action.clone(),
            errno_ret: errno::number(self.errno.as_deref(), self.errno_ret, &of_errno)?,
            args: self
                .args
                .as_ref()
                .map(|args| args.iter().map(EngineArg::plain).collect()),
        })
    }

    fn is_for(&self, target: &Target, field: &str) -> Result<bool, Error> {
        let includes = Facts::of(self.includes.as_ref(), target, &format!("{field}.includes"))?;
        let excludes = Facts::of(self.excludes.as_ref(), target, &format!("{field}.excludes"))?;
        Ok(includes.all() && !excludes.any())
    }
}

impl EngineArg {
    fn plain(&self) -> Arg {
        Arg {
            index: self.index,
            value: self.value,
            value_two: self.value_two,
            op: self.op.clone(),
        }
    }
}

/// What is true of a target; `None` where the selector does not ask.
struct Facts {
    capabilities: Vec<bool>,
    architecture: Option<bool>,
    kernel: Option<bool>,
}

impl Facts {
    fn of(selector: Option<&Selector>, target: &Target, field: &str) -> Result<Self, Error> {
        let has = |name: &String| target.capabilities.contains(name);
        let caps = selector.and_then(|one| one.caps.as_ref());
        // No target has such a capability, so the rule would be there never, or always.
        let wrong = |name: &String| !name.starts_with("CAP_");
        if let Some(at) = caps.and_then(|caps| caps.iter().position(wrong)) {
            let reason = "a capability is called as in CAP_SYS_ADMIN";
            return Err(Error::field(format!("{field}.caps[{at}]"), reason));
        }
        let arches = selector.and_then(|one| one.arches.as_deref());
        let own = engine_word(target.architecture);
        let kernel = match selector.and_then(|one| one.min_kernel.as_deref()) {
            None | Some("") => None,
            Some(text) => {
                let least = version(text).ok_or_else(|| {
                    let reason = format!("{text:?} is no version such as 4.8");
                    Error::field(format!("{field}.minKernel"), reason)
                })?;
                Some(target.kernel >= least)
            }
        };
        Ok(Self {
            capabilities: caps.into_iter().flatten().map(has).collect(),
            architecture: arches
                .filter(|words| !words.is_empty())
                .map(|words| words.iter().any(|word| Some(&**word) == own)),
            kernel,
        })
    }

    fn all(&self) -> bool {
        let has_all = self.capabilities.iter().all(|has| *has);
        has_all && self.architecture != Some(false) && self.kernel != Some(false)
    }

    fn any(&self) -> bool {
        let has_any = self.capabilities.iter().any(|has| *has);
        has_any || self.architecture == Some(true) || self.kernel == Some(true)
    }
}

/// The first two numbers of a kernel's version.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.splitn(3, '.');
    let first = numbers.next()?.parse().ok()?;
    let second = numbers.next()?.parse().ok()?;
    Some((first, second))
}

/// The engines' word for an architecture.
fn engine_word(architecture: Architecture) -> Option<&'static str> {
    use Architecture as A;
    Some(match architecture {
        A::X86_64 => "amd64",
        A::X86 => "x86",
        A::X32 => "x32",
        A::Aarch64 => "arm64",
        A::Arm => "arm",
        A::Mips => "mips",
        A::Mips64 => "mips64",
        A::Mips64N32 => "mips64n32",
        A::Mipsel => "mipsel",
        A::Mipsel64 => "mipsel64",
        A::Mipsel64N32 => "mipsel64n32",
        A::Ppc => "ppc",
        A::Ppc64 => "ppc64",
        A::Ppc64le => "ppc64le",
        A::S390 => "s390",
        A::S390x => "s390x",
        A::Riscv64 => "riscv64",
        A::Loongarch64 => "loongarch64",
        _ => return None,
    })
}
