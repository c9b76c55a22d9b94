//! A process that joins a container which runs: the order in which init has nothing to give away
//! before anything of the container's can see it (reference of the order: docs/architecture.md).

use crabcan_cgroups::Resources;
use crabcan_init::Step;
use crabcan_init::format::{Bits, Strings};
use crabcan_ns::{Namespace, Namespaces};

use super::namespaces::flag;
use super::program::candidates;
use super::{Composer, list, strings};
use crate::plan::{Plan, Provision};
use crate::spec::Spec;
use crate::{Error, Host};

/// Composes a plan that joins the container's namespaces by the pidfd of its first process.
pub(in crate::plan) fn exec(spec: &Spec, joined: &[Namespace], host: &Host) -> Result<Plan, Error> {
    if spec.extension.await_start {
        let reason = "is for a container's first process";
        return Err(Error::invalid("extension.await_start", reason));
    }
    let mut composer = Composer::new(spec, host)?;
    composer.check_user()?;
    composer.write_into_cgroup()?;
    composer.enter(joined)?;
    composer.first_try_of_directory()?;
    let forks = joined.contains(&Namespace::Pid);
    composer.loses_schedule = forks;
    composer.privileges()?;
    composer.joined_program(forks)?;
    Ok(composer.finish(Namespaces::new(), Resources::default()))
}

impl Composer<'_> {
    /// Becomes untraceable, and then the container's.
    fn enter(&mut self, joined: &[Namespace]) -> Result<(), Error> {
        let score = self.oom_score()?;
        if score.is_some() || self.writes_to_procfs() {
            self.push(&Step::Procfs {})?;
        }
        if let Some(score) = score {
            self.about("process.oomScoreAdj");
            self.push(&Step::OomScoreAdj { score })?;
        }
        self.about("process.execCPUAffinity");
        self.affinity()?;
        self.about("");
        self.push(&Step::NotDumpable {})?;
        if !joined.is_empty() {
            let flags = joined.iter().fold(0, |flags, kind| flags | flag(*kind));
            self.push(&Step::Join { flags })?;
            self.provisions.push(Provision::Container);
        }
        if self.shares_mounts() {
            self.enter_attached_root()?;
        }
        if joined.contains(&Namespace::User) {
            self.take_root()?;
        }
        Ok(())
    }

    /// The processors: `initial` as long as the container's cgroup is not entered, which the clone
    /// has done already, and `final` afterwards. So the last one that is said holds.
    fn affinity(&mut self) -> Result<(), Error> {
        let Some(wanted) = &self.spec.process.exec_cpu_affinity else {
            return Ok(());
        };
        for (name, text) in [("initial", &wanted.initial), ("final", &wanted.last)] {
            let Some(text) = text.as_deref().filter(|text| !text.is_empty()) else {
                continue;
            };
            let cpus = list::mask(text)
                .filter(|mask| !mask.is_empty())
                .ok_or_else(|| {
                    let field = format!("process.execCPUAffinity.{name}");
                    let text = text.escape_debug();
                    Error::invalid(field, format!("\"{text}\" is no list of processors"))
                })?;
            let cpus = Bits::new(&cpus).ok_or(Error::PlanTooLong)?;
            self.push(&Step::Affinity { cpus })?;
        }
        Ok(())
    }

    /// Everything that needs the container's own view comes before the fork; behind it there is a
    /// process in the container's pid namespace, which must have nothing that its root lacks.
    fn joined_program(&mut self, forks: bool) -> Result<(), Error> {
        let process = &self.spec.process;
        self.about("process.cwd");
        self.working_directory()?;
        self.about("");
        if process.terminal {
            self.terminal()?;
        }
        let candidates = strings("process.args[0]", &candidates(process))?;
        let candidates = Strings::new(&candidates).ok_or(Error::PlanTooLong)?;
        self.push(&Step::FindProgram { candidates })?;
        self.home()?;
        self.labels()?;
        self.about("");
        if let Some(mask) = process.user.umask {
            self.umask(mask)?;
        }
        if forks {
            self.push(&Step::Fork {})?;
        }
        let early = self.filter_is_early();
        self.push_filter(early)?;
        self.push(&Step::Ready {})?;
        self.execute(candidates, !early)
    }
}
