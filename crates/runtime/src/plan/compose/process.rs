//! `process`: what the words mean in numbers, and what of them is refused.

use crabcan_caps::{Capabilities, Capability, CapabilitySet};
use crabcan_init::Step;
use crabcan_ns::Namespace;

use super::Composer;
use crate::Error;
use crate::spec;

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
}
