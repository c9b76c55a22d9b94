//! Which system calls a sandbox may make.

use crabcan_caps::Capabilities;
use crabcan_seccomp::json::{EngineProfile, Resolved, Target};
use crabcan_seccomp::{Action, Architecture, Profile};

use crate::host::{OLDEST_KERNEL, kernel_version};
use crate::spec::SandboxFilter;
use crate::{Error, Host};

/// The filter of a sandbox' system calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Seccomp {
    /// [`sandbox`](crabcan_seccomp::builtin::sandbox): an allow-list for programs that are not trusted.
    #[default]
    Default,
    /// No filter: every system call of the kernel can be made.
    None,
    /// A profile of one's own.
    Profile(Box<Profile>),
    /// A profile as in a file of a container engine's or of the OCI specification: its rules are
    /// chosen by the sandbox' capabilities, the architecture and the kernel.
    Engine(Box<EngineProfile>),
}

impl Seccomp {
    /// The filter, for a sandbox of this user's.
    pub(super) fn filter(&self, host: &Host, uid: u32) -> Result<Option<SandboxFilter>, Error> {
        match self {
            Self::Default => Ok(Some(SandboxFilter::Default)),
            Self::None => Ok(None),
            Self::Profile(profile) => Ok(Some(SandboxFilter::Of(Profile::clone(profile)))),
            Self::Engine(document) => {
                let resolved = document
                    .resolve(&target(host, uid)?)
                    .map_err(|source| Error::Seccomp { source })?;
                check(document, &resolved)?;
                Ok(Some(SandboxFilter::Of(resolved.profile)))
            }
        }
    }
}

/// What a sandbox of this user's is, to a profile that asks.
fn target(host: &Host, uid: u32) -> Result<Target, Error> {
    let native = Architecture::native();
    let bounding = Capabilities::sandbox(uid).bounding;
    Ok(Target {
        architecture: native
            .ok_or_else(|| Error::invalid("--seccomp", "no filter is known for this machine"))?,
        capabilities: bounding.iter().map(|one| one.to_string()).collect(),
        // A release that can't be read may be of any kernel that crabcan runs on.
        kernel: kernel_version(&host.release).unwrap_or(OLDEST_KERNEL),
    })
}

/// A name that nobody knows is left away. That is safe in a list of what is allowed; in one of what
/// is forbidden, the call would be let through.
fn check(document: &EngineProfile, resolved: &Resolved) -> Result<(), Error> {
    let default = document.default_action.as_deref().map(str::parse);
    let allows = matches!(default, Some(Ok(Action::Allow | Action::Log)));
    for unknown in &resolved.unknown {
        let reason = format!("nothing is known by the name {:?}", unknown.word);
        if allows {
            return Err(Error::invalid(&unknown.field, reason));
        }
        log::debug!("{}: {reason}", unknown.field);
    }
    Ok(())
}
