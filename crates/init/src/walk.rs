//! The walk through a plan: the program's only loop over steps.

use crate::errno::Errno;
use crate::format::{FlatPlan, MAX_LENGTH};
use crate::reaper;
use crate::step::Step;
use crate::steps::{Context, Failure};
use crate::sys::{self, Fd};

/// Where the runtime puts the channel.
const CHANNEL: i32 = 3;
/// Where the runtime puts the plan.
const PLAN: i32 = 4;
/// Instead of a step's index, when the plan itself is refused.
const NO_STEP: u32 = u32::MAX;

/// What init ends with when it fails: where the parent can't tell its end from the program's, this
/// still says that the program is not to blame.
const FAILURE: i32 = 125;

/// The first Rust function of the program, called by `_start`.
pub(crate) extern "C" fn entry() -> ! {
    let context = Context::new(CHANNEL);
    let status = match prepare() {
        Ok((bytes, plan)) => walk(context, bytes, &plan),
        Err(errno) => {
            context.fail(NO_STEP, errno.into());
            FAILURE
        }
    };
    sys::exit(status)
}

/// Maps the plan, closes its descriptor and checks it.
fn prepare() -> Result<(&'static [u8], FlatPlan<'static>), Errno> {
    sys::close_on_exec(CHANNEL)?;
    sys::set_name(c"crabcan-init")?;
    // What a terminal sends to the caller's process group, the caller hands on: it must not come
    // here a second time, not even what was sent since this process was made.
    sys::setsid()?;
    sys::discard_pending_signals()?;
    let file = Fd(PLAN);
    let length = sys::stat(file.0)?.size as usize;
    if length > MAX_LENGTH {
        // Mapping it would read it all.
        return Err(Errno::EINVAL);
    }
    let bytes = sys::map_file(file.0, length)?;
    let plan = FlatPlan::parse(bytes).map_err(|_| Errno::EINVAL)?;
    Ok((bytes, plan))
}

fn walk(mut context: Context, bytes: &'static [u8], plan: &FlatPlan<'_>) -> i32 {
    for (index, step) in (0..).zip(plan.steps()) {
        let done = match plan.fault() {
            Some(fault) if fault.step == index && fault.errno == 0 => return FAILURE,
            Some(fault) if fault.step == index => Err(Errno(fault.errno).into()),
            _ => perform(&mut context, &step, plan),
        };
        match done {
            Ok(None) => context.note_end_of(index),
            Ok(Some(child)) => {
                let failure = context.shared_failure();
                drop(context);
                sys::forget_plan(bytes);
                return reaper::run(CHANNEL, child, failure);
            }
            Err(failure) => {
                context.fail(index, failure);
                return FAILURE;
            }
        }
    }
    // The last step of every plan never comes back.
    context.fail(NO_STEP, Errno::EINVAL.into());
    FAILURE
}

/// Does a step; the pid of the copy that goes on, in the process that stays behind as reaper.
fn perform(
    context: &mut Context,
    step: &Step<'_>,
    plan: &FlatPlan<'_>,
) -> Result<Option<i32>, Failure> {
    match step {
        Step::Reaper {} => {
            // The reaper reads them, however this program was started; the copy, which starts the
            // command, unblocks them again.
            sys::set_blocked_signals(u64::MAX)?;
            // A program that ignores its children hands that on to this one.
            sys::keep_children_that_ended()?;
            context.share_report()?;
            let pid = sys::fork_and_wait_for_exec()?;
            Ok((pid != 0).then_some(pid))
        }
        Step::Hook { .. } => {
            let filter = plan.steps().find_map(|step| match step {
                Step::Seccomp {
                    program,
                    flags,
                    listener: false,
                } => Some((program, flags)),
                // It is on already, and the hook inherits it.
                _ => None,
            });
            context.hook(step, filter).map(|()| None)
        }
        Step::Seccomp { .. } => {
            context.prepare_program(plan.steps().last(), true)?;
            context.end_when_asked(plan)?;
            context.perform(step).map(|()| None)
        }
        _ => context.perform(step).map(|()| None),
    }
}
