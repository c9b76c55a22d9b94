//! A command in a sandbox, from its options to its exit code.

use std::ffi::OsString;

use crabcan_runtime::console::{self, Relay};
use crabcan_runtime::signals::Signals;
use crabcan_runtime::{ExitStatus, Plan, Process, Timings};

use super::learn::Lesson;
use crate::args::Args;
use crate::descriptors::Descriptors;
use crate::timings::Watch;
use crate::{limits, logging, network};

#[inline(never)]
pub(crate) fn run(arguments: &[OsString]) -> anyhow::Result<u8> {
    if let Some(args) = Args::quick(arguments.get(1..).unwrap_or_default()) {
        return run_in(&args, None, None);
    }
    let begin = Timings::from_now();
    run_in(&Args::parse(arguments)?, Some(begin), None)
}

/// The same with options that were read already; with a lesson, something is learnt from it.
pub(super) fn run_in(
    args: &Args,
    begin: Option<Timings>,
    lesson: Option<Lesson>,
) -> anyhow::Result<u8> {
    // What is wrong with the words is said alone, without a log before it.
    let words = args.words()?;
    logging::start(args.level());
    log::info!("{args:?}");
    let mut around = Around {
        descriptors: args.descriptors()?,
        network: args.network()?,
        watch: args.watch(begin),
        lesson,
    };
    around.ended("read the options");
    let sandbox = args.sandbox()?.terminal(console::wanted());
    let mut plan = sandbox.observed(around.lesson.is_some()).plan()?;
    plan.init_program(super::init_program()?);
    if let Some((step, errno)) = super::fault()? {
        plan.fail_at(step, errno);
    }
    around.ended("plan");
    // Before anything of the container is there: from here on a signal is its, not ours.
    let signals = Signals::block()?;
    let status = foreground(&plan, &signals, &words, &mut around)?;
    if let Some(watch) = around.watch {
        watch.tell()?;
    }
    if let Some(lesson) = around.lesson {
        lesson.end()?;
    }
    if status == ExitStatus::Signaled(SIGSYS) && plan.is_filtered() {
        log::warn!(
            "The command was ended by SIGSYS: the filter of system calls does that (--seccomp)"
        );
    }
    args.tell_what_ended(status);
    match status {
        ExitStatus::Exited(0) => log::debug!("Exit without any error, returning 0"),
        other => log::debug!(
            "The command ended: {other}, returning {}",
            other.shell_code()
        ),
    }
    Ok(u8::try_from(status.shell_code()).unwrap_or(u8::MAX))
}

/// What a filter ends a process by.
const SIGSYS: i32 = 31;

/// Runs what was planned to its end.
pub(super) fn foreground(
    plan: &Plan,
    signals: &Signals,
    words: &[OsString],
    around: &mut Around,
) -> anyhow::Result<ExitStatus> {
    if around.is_nobody() && plan.limits().is_none() && plan.unenforced().is_empty() {
        let container = Process::spawn(plan)?;
        return end(plan, container, signals, around);
    }
    let mut container = Process::create_mapped(plan, &mut |pid| around.descriptors.map_ids(pid))?;
    // Ended behind the container, which is dropped first.
    let _helper = around.start_network(container.pid().as_raw())?;
    around.descriptors.created(&container)?;
    limits::warn_of_unenforced(&container);
    let program = words.first().cloned().unwrap_or_default();
    log::debug!("Waiting for child (pid {}) to finish", container.pid());
    log::info!(
        "Starting container with command {} and args {words:?}",
        program.display()
    );
    match around.lesson.as_mut().zip(plan.learner()) {
        None => container.start()?,
        Some((lesson, learner)) => {
            lesson.may_end(container.pid())?;
            let started =
                container.start_observed(&mut |listener| lesson.begin(learner.clone(), listener));
            started.map_err(|error| lesson.why(error))?;
        }
    }
    if let Some(watch) = &mut around.watch {
        watch.started(&container)?;
    }
    end(plan, container, signals, around)
}

/// Waits for the end of what was started, and tells of it.
fn end(
    plan: &Plan,
    mut container: Process<'_>,
    signals: &Signals,
    around: &mut Around,
) -> anyhow::Result<ExitStatus> {
    let mut relay = container.take_console().map(Relay::new).transpose()?;
    let status = crabcan_runtime::wait(&mut container, Some(signals), relay.as_mut())?;
    drop(relay);
    around.ended("wait for the end of the command");
    log::debug!("Finished, cleaning & exit");
    limits::tell_of_time(&container, plan);
    let events = container.limit_events();
    container.remove()?;
    around.ended("remove what is left");
    around.descriptors.ended(status)?;
    limits::tell_what_struck(plan, events);
    Ok(status)
}

/// What there is around a sandbox while it runs.
#[derive(Debug, Default)]
pub(super) struct Around {
    /// Whoever is told about it.
    pub(super) descriptors: Descriptors,
    /// Who makes its connections.
    pub(super) network: Option<network::Plan>,
    /// Who looks how long it takes.
    pub(super) watch: Option<Watch>,
    /// What is learnt of it.
    pub(super) lesson: Option<Lesson>,
}

impl Around {
    /// Whether nobody has anything to do between the making of a container and its start, and nobody
    /// is told of that either.
    fn is_nobody(&self) -> bool {
        let steers = self.network.is_some() || self.watch.is_some() || self.lesson.is_some();
        !steers && self.descriptors.are_none() && !log::log_enabled!(log::Level::Info)
    }

    /// Notes what has ended, if somebody wants to know.
    fn ended(&mut self, what: &'static str) {
        if let Some(watch) = &mut self.watch {
            watch.ended(what);
        }
    }

    fn start_network(&self, pid: i32) -> anyhow::Result<Option<network::Helper>> {
        let network = self.network.as_ref();
        network.map(|network| network.start(pid)).transpose()
    }
}
