//! A plan for one more process in a container: everything of it is joined, nothing is made.

use crabcan_cgroups::Resources;
use crabcan_init::Step;
use crabcan_init::format::Bits;
use crabcan_ns::Namespace;

use super::namespaces::flag;
use super::{Composer, Plan, Provision, list};
use crate::spec::Spec;
use crate::{Error, Host};

/// `spec` is the container's, with the process that is to be executed in place of its own; `joined`
/// are the kinds of namespaces that the container has and the runtime has not.
///
/// The order is that of docs/architecture.md: init is in the runtime's own user namespace and can't
/// be traced before it joins anything; in the child, which is seen in the container, nothing is left
/// that the container's own processes lack.
pub(in crate::plan) fn compose(
    spec: &Spec,
    joined: &[Namespace],
    host: &Host,
) -> Result<Plan, Error> {
    let mut composer = Composer::new(spec, host)?;
    // What it joins is mounted already.
    composer.parent_mounts = false;
    composer.provisions.push(Provision::Container);
    let affinity = spec.process.exec_cpu_affinity.clone().unwrap_or_default();
    composer.affinity("initial", affinity.initial.as_deref())?;
    composer.before_joining()?;
    let flags = joined.iter().fold(0, |flags, kind| flags | flag(*kind));
    composer.push(&Step::Join { flags })?;
    composer.check_user()?;
    if joined.contains(&Namespace::User) {
        composer.take_root()?;
    }
    composer.privileges()?;
    composer.affinity("final", affinity.last.as_deref())?;
    composer.program(joined.contains(&Namespace::Pid))?;
    let forks = joined.contains(&Namespace::Pid);
    let mut plan = composer.finish(forks, Resources::default());
    // They are written already.
    plan.id_maps = None;
    Ok(plan)
}

impl Composer<'_> {
    /// What needs the runtime's own procfs, and that nobody may trace init from here on.
    fn before_joining(&mut self) -> Result<(), Error> {
        let score = self.oom_score()?;
        if score.is_some() || self.writes_to_procfs() {
            self.push(&Step::Procfs {})?;
        }
        if let Some(score) = score {
            self.push(&Step::OomScoreAdj { score })?;
        }
        self.push(&Step::NotDumpable {})
    }

    fn affinity(&mut self, which: &str, cpus: Option<&str>) -> Result<(), Error> {
        let Some(cpus) = cpus.filter(|cpus| !cpus.is_empty()) else {
            return Ok(());
        };
        let field = || format!("process.execCPUAffinity.{which}");
        let mask = list::mask(cpus).filter(|mask| !mask.is_empty());
        let mask = mask.ok_or_else(|| {
            let reason = format!("\"{}\" is no list of processors", cpus.escape_debug());
            Error::invalid(field(), reason)
        })?;
        let cpus = Bits::new(&mask).ok_or(Error::PlanTooLong)?;
        self.push(&Step::Affinity { cpus })
    }
}
