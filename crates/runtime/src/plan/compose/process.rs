//! `process`: what the words mean in numbers, and what of them is refused.

use crabcan_caps::{Capabilities, Capability, CapabilitySet};
use crabcan_init::Step;
use crabcan_init::format::{Bits, Groups};
use crabcan_ns::{IdMapWriter, Namespace};

use super::namespaces::flag;
use super::schedule::SchedulerNumbers;
use super::{Composer, check_absolute, filter, schedule};
use crate::Error;
use crate::plan::{Provision, c_string};
use crate::spec::{self, User};

impl Composer<'_> {
    /// The five sets, without what can't be granted: the specification wants a warning for that
    /// and not a failure.
    pub(super) fn capabilities(&mut self) -> Capabilities {
        let Some(wanted) = &self.spec.process.capabilities else {
            return Capabilities::none();
        };
        // Who is in a user namespace of the container has everything there.
        let all = CapabilitySet::of(Capability::ALL);
        let grantable = match self.spec.linux.separates(Namespace::User) {
            true => all,
            false => self.host.capabilities,
        };
        let mut read = |set: &str, names: &[String], limit: CapabilitySet, why: &str| {
            let field = |index: usize| format!("process.capabilities.{set}[{index}]");
            let known = names.iter().enumerate().filter_map(|(index, name)| {
                let known = Capability::ALL.iter().find(|one| one.name() == name);
                let why = match known {
                    None => "is no capability",
                    Some(one) if !limit.contains(*one) => why,
                    Some(one) => return Some(*one),
                };
                let name = name.escape_debug();
                self.warnings
                    .push(format!("{}: \"{name}\" {why}: left out", field(index)));
                None
            });
            known.collect::<CapabilitySet>()
        };
        let callers = "is not the caller's to give";
        let bounding = read("bounding", &wanted.bounding, grantable, callers);
        let permitted = read("permitted", &wanted.permitted, grantable, callers);
        let effective = read(
            "effective",
            &wanted.effective,
            permitted,
            "is not permitted",
        );
        let bounded = grantable.intersection(bounding);
        let inheritable = read(
            "inheritable",
            &wanted.inheritable,
            bounded,
            "is not in the bounding set",
        );
        let both = permitted.intersection(inheritable);
        let why = "is not both permitted and inheritable";
        let ambient = read("ambient", &wanted.ambient, both, why);
        Capabilities {
            bounding,
            effective,
            permitted,
            inheritable,
            ambient,
        }
    }

    pub(super) fn rlimits(&mut self) -> Result<(), Error> {
        let limits = &self.spec.process.rlimits;
        for (index, limit) in limits.iter().enumerate() {
            self.about(format!("process.rlimits[{index}]"));
            let field = || format!("process.rlimits[{index}].type");
            let kind = limit.kind.escape_debug();
            let Some(resource) = limit.resource() else {
                return Err(Error::invalid(
                    field(),
                    format!("\"{kind}\" is no resource"),
                ));
            };
            let before = limits.iter().take(index);
            if before.into_iter().any(|other| other.kind == limit.kind) {
                return Err(Error::invalid(field(), format!("{kind} is limited twice")));
            }
            let spec::ResourceLimit { soft, hard, .. } = *limit;
            self.push(&Step::ResourceLimit {
                resource,
                soft,
                hard,
            })?;
        }
        Ok(())
    }

    /// From here on init has only what the container has.
    pub(super) fn privileges(&mut self) -> Result<(), Error> {
        self.rlimits()?;
        self.schedule()?;
        self.about("process.user");
        self.set_ids_of_program()?;
        self.about("");
        if self.spec.extension.session_keyring {
            // After the ids, so that the container's own user owns it.
            self.push(&Step::SessionKeyring {})?;
        }
        let mut capabilities = self.capabilities();
        if self.filter.is_some() && !self.spec.process.no_new_privileges {
            capabilities = filter::with_the_right_to_filter(capabilities);
        }
        self.about("process.capabilities");
        capabilities.push(&mut self.writer)?;
        self.about("process.noNewPrivileges");
        if self.spec.process.no_new_privileges {
            self.push(&Step::NoNewPrivileges {})?;
        }
        if let Some(signal) = self.spec.extension.parent_death_signal {
            let signal = u32::try_from(signal).ok().filter(|signal| *signal > 0);
            let signal =
                signal.ok_or_else(|| Error::invalid("the parent death signal", "is no signal"))?;
            self.push(&Step::ParentDeathSignal { signal })?;
        }
        Ok(())
    }

    /// Some of it needs `CAP_SYS_NICE`, and a node of memory must not be forbidden yet.
    fn schedule(&mut self) -> Result<(), Error> {
        let process = &self.spec.process;
        if let Some(wanted) = &process.scheduler {
            let numbers = schedule::scheduler(wanted)?;
            if self.loses_schedule && numbers.is_lost_in_fork() {
                self.schedule_of_child = Some(numbers);
            } else {
                self.scheduler(&numbers)?;
            }
        }
        if let Some(wanted) = &process.io_priority {
            let (class, level) = schedule::io_priority(wanted)?;
            self.about("process.ioPriority");
            self.push(&Step::IoPriority { class, level })?;
        }
        if let Some(wanted) = &self.spec.linux.memory_policy {
            let (mode, nodes) = schedule::memory_policy(wanted)?;
            self.about("linux.memoryPolicy");
            let nodes = Bits::new(&nodes).ok_or(Error::PlanTooLong)?;
            self.push(&Step::MemoryPolicy { mode, nodes })?;
        }
        if let Some(wanted) = &self.spec.linux.personality {
            let persona = schedule::personality(wanted)?;
            self.about("linux.personality");
            self.push(&Step::Personality { persona })?;
        }
        Ok(())
    }

    fn scheduler(&mut self, numbers: &SchedulerNumbers) -> Result<(), Error> {
        self.about("process.scheduler");
        self.push(&Step::Scheduler {
            policy: numbers.policy,
            flags: numbers.flags,
            nice: numbers.nice,
            priority: numbers.priority,
            runtime: numbers.runtime,
            deadline: numbers.deadline,
            period: numbers.period,
        })
    }

    /// In the user namespace that is entered late, if there is one. Only the kernel knows whether
    /// that denies setgroups(2).
    fn set_ids_of_program(&mut self) -> Result<(), Error> {
        let user = &self.spec.process.user;
        let Some(path) = &self.spec.extension.late_user_namespace else {
            return self.set_ids(user);
        };
        check_absolute("--userns2", path)?;
        self.push(&Step::Join {
            flags: flag(Namespace::User),
        })?;
        self.provisions.push(Provision::Namespace {
            kind: Namespace::User,
            path: path.clone(),
        });
        self.push(&Step::LeaveGroups {})?;
        self.push(&Step::SetIds {
            uid: user.uid,
            gid: user.gid,
            set_groups: false,
            groups: Groups::new(&[]).ok_or(Error::PlanTooLong)?,
        })
    }

    pub(super) fn set_ids(&mut self, user: &User) -> Result<(), Error> {
        let keeps = self.keeps_groups()?;
        let additional = match keeps {
            true => &[][..],
            false => &user.additional_gids,
        };
        // With a map that was written without privilege, setgroups(2) is denied for ever; a new
        // user namespace inherits that.
        let denied = match &self.id_maps {
            Some(maps) if self.spec.linux.makes(Namespace::User) => {
                let direct = maps.writer == IdMapWriter::Direct;
                direct && !self.host.has(&[Capability::Setgid]) || !self.host.may_set_groups()
            }
            _ if self.spec.linux.separates(Namespace::User) => {
                self.spec.extension.joins_without_root
            }
            _ => !self.host.has(&[Capability::Setgid]) || !self.host.may_set_groups(),
        };
        if denied && !additional.is_empty() {
            return Err(Error::invalid(
                "process.user.additionalGids",
                "an ordinary user can't set groups",
            ));
        }
        // Only init will see whether a user namespace that was joined denies setgroups(2).
        let unknown = !denied
            && !self.host.privileged
            && self.spec.linux.separates(Namespace::User)
            && !self.spec.linux.makes(Namespace::User);
        let leaves = unknown && !keeps && additional.is_empty();
        if leaves {
            self.push(&Step::LeaveGroups {})?;
        }
        let gids = additional.iter();
        let groups: Vec<u8> = gids.flat_map(|gid| gid.to_ne_bytes()).collect();
        self.push(&Step::SetIds {
            uid: user.uid,
            gid: user.gid,
            set_groups: !denied && !leaves && !keeps,
            groups: Groups::new(&groups).ok_or(Error::PlanTooLong)?,
        })
    }

    /// Whether the program has the caller's groups, and no others, which is crun's way to let an
    /// ordinary user reach what a group of theirs may.
    fn keeps_groups(&self) -> Result<bool, Error> {
        const NAME: &str = "run.oci.keep_original_groups";
        match self.spec.annotations.get(NAME).map(String::as_str) {
            None | Some("0") => Ok(false),
            Some("1") => Ok(true),
            Some(other) => Err(Error::invalid(
                format!("annotations[\"{NAME}\"]"),
                format!("\"{}\" is neither 0 nor 1", other.escape_debug()),
            )),
        }
    }

    /// With which label the program is executed.
    pub(super) fn labels(&mut self) -> Result<(), Error> {
        let process = &self.spec.process;
        let profile = process.apparmor_profile.as_deref().unwrap_or_default();
        if !profile.is_empty() {
            let label = c_string("process.apparmorProfile", format!("exec {profile}"))?;
            self.about("process.apparmorProfile");
            self.push(&Step::ExecLabel {
                attribute: c"apparmor/exec",
                label: &label,
            })?;
        }
        let context = process.selinux_label.as_deref().unwrap_or_default();
        if !context.is_empty() {
            let label = c_string("process.selinuxLabel", context)?;
            self.about("process.selinuxLabel");
            self.push(&Step::ExecLabel {
                attribute: c"exec",
                label: &label,
            })?;
        }
        Ok(())
    }
}
