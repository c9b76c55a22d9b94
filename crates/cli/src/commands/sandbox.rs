//! A command in a sandbox, from its options to its exit code.

use std::ffi::OsString;

use crabcan_runtime::console::{self, Relay};
use crabcan_runtime::signals::Signals;
use crabcan_runtime::{ExitStatus, Plan, Process, Timings};

use crate::args::Args;
use crate::descriptors::Descriptors;
use crate::timings::Watch;
use crate::{limits, logging};

pub(crate) fn run(arguments: &[OsString]) -> anyhow::Result<u8> {
    let begin = Timings::from_now();
    let args = Args::read(arguments)?;
    // What is wrong with the words is said alone, without a log before it.
    let words = args.words()?;
    logging::start(args.level());
    log::info!("{args:?}");
    let mut descriptors = args.descriptors()?;
    let mut watch = args.watch(begin);
    ended(&mut watch, "read the options");
    let mut plan = args.sandbox()?.terminal(console::wanted()).plan()?;
    plan.init_program(super::init_program()?);
    if let Some((step, errno)) = super::fault()? {
        plan.fail_at(step, errno);
    }
    ended(&mut watch, "plan");
    // Before anything of the container is there: from here on a signal is its, not ours.
    let signals = Signals::block()?;
    let status = foreground(&plan, &signals, &words, &mut descriptors, &mut watch)?;
    if let Some(watch) = watch {
        watch.tell()?;
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
    descriptors: &mut Descriptors,
    watch: &mut Option<Watch>,
) -> anyhow::Result<ExitStatus> {
    let mut container = Process::create(plan)?;
    descriptors.created(&container)?;
    limits::warn_of_unenforced(&container);
    let program = words.first().cloned().unwrap_or_default();
    log::debug!("Waiting for child (pid {}) to finish", container.pid());
    log::info!(
        "Starting container with command {} and args {words:?}",
        program.display()
    );
    container.start()?;
    if let Some(watch) = watch {
        watch.started(&container)?;
    }
    let mut relay = container.take_console().map(Relay::new).transpose()?;
    let status = crabcan_runtime::wait(&mut container, Some(signals), relay.as_mut())?;
    drop(relay);
    ended(watch, "wait for the end of the command");
    log::debug!("Finished, cleaning & exit");
    limits::tell_of_time(&container, plan);
    let events = container.limit_events();
    container.remove()?;
    ended(watch, "remove what is left");
    descriptors.ended(status)?;
    limits::tell_what_struck(plan, events);
    Ok(status)
}

/// Notes what has ended, if somebody wants to know.
fn ended(watch: &mut Option<Watch>, what: &'static str) {
    if let Some(watch) = watch {
        watch.ended(what);
    }
}
