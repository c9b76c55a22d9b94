//! The filter of system calls: compiled, and where among the steps it stands.

use crabcan_caps::{Capabilities, Capability};
use crabcan_init::Step;
use crabcan_init::format::Instructions;
use crabcan_init::message::LISTENER_MARK;
use crabcan_seccomp::json::{Listener, UnknownKind};
use crabcan_seccomp::{Action, Architecture, Flags, Profile, builtin};

use super::{Composer, check_absolute};
use crate::Error;
use crate::host::kernel_version;
use crate::spec::{SandboxFilter, Spec};

/// What init still calls behind a filter that comes last: its listener is sent, the program is
/// executed, and a failure is told. Nobody could answer for these yet.
const AFTER_LAST: &[&str] = &["sendmsg", "execve", "write", "exit_group"];
/// What it calls behind one that comes before `Ready`, until it waits for the parent's word: whoever
/// answers has the listener by then. And `write`, by which it tells of a failure, also that nobody
/// answers; runc refuses it as well.
const AFTER_EARLY: &[&str] = &["sendmsg", "write"];

/// A compiled filter.
#[derive(Debug)]
pub(super) struct Filter {
    program: Vec<u8>,
    flags: u32,
    asks: bool,
    pub(super) listener: Option<Listener>,
}

impl Filter {
    /// Compiles what a specification asks for.
    pub(super) fn new(spec: &Spec) -> Result<Option<Self>, Error> {
        let native =
            Architecture::native().ok_or_else(|| invalid("", "is not for this machine"))?;
        let (profile, listener) = match (&spec.linux.seccomp, &spec.extension.seccomp) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => return Err(invalid("", "there are two filters")),
            (None, Some(SandboxFilter::Default)) => {
                let filter = builtin::sandbox_filter().map_err(of_profile)?;
                return Self::checked(spec, &filter, None).map(Some);
            }
            (None, Some(SandboxFilter::Of(profile))) => (profile.clone(), None),
            (Some(document), None) => {
                let resolved = document.resolve(native).map_err(of_profile)?;
                for unknown in &resolved.unknown {
                    let kind = match unknown.kind {
                        UnknownKind::SystemCall => "system call",
                        _ => "architecture",
                    };
                    // As the specification's other runtimes do: profiles are newer than runtimes.
                    log::debug!(
                        "linux.seccomp.{}: no {kind} is called {}",
                        unknown.field,
                        unknown.word
                    );
                }
                let listener = match resolved.listener {
                    None => receiver(spec)?,
                    named => named,
                };
                (resolved.profile, listener)
            }
        };
        Self::compile(spec, native, &profile, listener).map(Some)
    }

    fn compile(
        spec: &Spec,
        native: Architecture,
        profile: &Profile,
        listener: Option<Listener>,
    ) -> Result<Self, Error> {
        let forbidden = |action: Action| {
            !matches!(
                action,
                Action::Allow | Action::Log | Action::Trace(_) | Action::Notify
            )
        };
        let execve = profile.explain(native, "execve");
        if execve
            .iter()
            .any(|it| it.cases.is_empty() && forbidden(it.otherwise))
        {
            return Err(invalid(
                "",
                "does not allow execve, so no program could be started",
            ));
        }
        let filter = profile.compile().map_err(of_profile)?;
        Self::checked(spec, &filter, listener)
    }

    /// Whoever listens must be there when somebody asks.
    fn checked(
        spec: &Spec,
        filter: &crabcan_seccomp::Filter,
        listener: Option<Listener>,
    ) -> Result<Self, Error> {
        let asks = filter.needs_listener();
        if asks && listener.is_none() {
            return Err(invalid(
                ".listenerPath",
                "SCMP_ACT_NOTIFY is used, and nobody listens",
            ));
        }
        // Init has one thread only, and a flag of the listener's has no meaning without.
        let mut flags = filter.flags().bits() & !Flags::TSYNC.bits();
        if !asks {
            flags &= !Flags::WAIT_KILLABLE_RECV.bits();
        }
        let made = Self {
            program: filter.to_bytes(),
            flags,
            asks,
            listener: listener.filter(|_| asks),
        };
        let own = if made.is_early(spec) {
            AFTER_EARLY
        } else {
            AFTER_LAST
        };
        match own.iter().find(|name| filter.notifies(name)) {
            None => Ok(made),
            Some(name) => Err(invalid(
                "",
                &format!("SCMP_ACT_NOTIFY on {name}, which init calls before anybody listens"),
            )),
        }
    }

    /// Whether it comes before `Ready`: whoever hands the listener on may be gone afterwards.
    pub(super) fn is_early(&self, spec: &Spec) -> bool {
        self.asks && !spec.extension.reaper
    }
}

/// Who listens, by crun's annotation.
fn receiver(spec: &Spec) -> Result<Option<Listener>, Error> {
    const NAME: &str = "run.oci.seccomp.receiver";
    let Some(path) = spec.annotations.get(NAME) else {
        return Ok(None);
    };
    check_absolute(&format!("annotations[\"{NAME}\"]"), path.as_ref())?;
    Ok(Some(Listener {
        path: path.into(),
        metadata: None,
    }))
}

impl Composer<'_> {
    /// Appends the filter that asks about every call, if there is to be one. It comes before those
    /// that refuse some: what init calls behind it is answered as well.
    pub(super) fn observer(&mut self) -> Result<(), Error> {
        if !self.spec.extension.observed {
            return Ok(());
        }
        let mut profile = builtin::asking(LISTENER_MARK);
        if kernel_version(&self.host.release).is_some_and(|version| version >= (5, 19)) {
            // Without it, each signal that comes meanwhile begins the call anew.
            profile = profile.flags(Flags::WAIT_KILLABLE_RECV);
        }
        let filter = profile.compile().map_err(of_profile)?;
        let program = filter.to_bytes();
        self.push(&Step::Seccomp {
            program: Instructions::new(&program).ok_or(Error::PlanTooLong)?,
            flags: filter.flags().bits(),
            listener: true,
        })
    }

    /// Appends the filter, where it is the time for it.
    pub(super) fn push_filter(&mut self, now: bool) -> Result<(), Error> {
        if now {
            self.about("linux.seccomp");
        }
        let Some(filter) = self.filter.as_ref().filter(|_| now) else {
            return Ok(());
        };
        let program = Instructions::new(&filter.program).ok_or(Error::PlanTooLong)?;
        self.writer.push(&Step::Seccomp {
            program,
            flags: filter.flags,
            listener: filter.asks,
        })?;
        self.about("");
        Ok(())
    }
}

/// Without no_new_privs, only `CAP_SYS_ADMIN` may install a filter. What is permitted before
/// execve(2) counts for nothing after it, where the inheritable, the bounding and the ambient set
/// decide: so execve itself takes the capability away again, and no call of init's has to.
pub(super) fn with_the_right_to_filter(mut sets: Capabilities) -> Capabilities {
    sets.effective.insert(Capability::SysAdmin);
    sets.permitted.insert(Capability::SysAdmin);
    sets
}

fn invalid(field: &str, reason: &str) -> Error {
    Error::invalid(format!("linux.seccomp{field}"), reason)
}

/// What is wrong with a profile, with the field's name.
fn of_profile(source: crabcan_seccomp::Error) -> Error {
    Error::Seccomp { source }
}

#[cfg(test)]
mod tests;
