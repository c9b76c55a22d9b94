//! A hook: a program that is told the container's state and must succeed in time.

use core::ffi::CStr;

use super::decimal::{DIGITS, decimal};
use super::process::vectors;
use super::{Context, Failure};
use crate::errno::Errno;
use crate::format::Instructions;
use crate::step::{HOOK_PID, Step};
use crate::sys::{self, Fd};

const SIGKILL: i32 = 9;
/// Where the copy keeps the pipe by which it tells why it could not become the hook.
const REPORT: i32 = 3;

/// A filter's program, and its flags.
pub(crate) type Filter<'a> = (Instructions<'a>, u32);

impl Context {
    pub(super) fn hook_output(&mut self, number: u32) -> Result<(), Errno> {
        let output = sys::beyond_standard(self.receive_descriptor()?)?;
        let place = match number {
            1 => &mut self.hook_outputs[0],
            2 => &mut self.hook_outputs[1],
            _ => return Err(Errno::EINVAL),
        };
        *place = Some(output);
        Ok(())
    }

    /// Runs a hook. Behind the pivot it is a program of the container's, under the container's
    /// filter, which init itself has not yet.
    pub(crate) fn hook(&self, step: &Step<'_>, filter: Option<Filter<'_>>) -> Result<(), Failure> {
        let filter = filter.filter(|_| self.root.is_none());
        let Step::Hook {
            path,
            args,
            env,
            timeout_ms,
            state,
        } = *step
        else {
            return Err(Errno::EINVAL.into());
        };
        let (argv, envp) = vectors(args, env, self.home)?;
        let input = state_file(state)?;
        let [report, child_report] = sys::pipe()?;
        // A caller that ignores the ends of its children hands that on.
        sys::keep_children_that_ended()?;
        let Some((pid, pidfd)) = sys::fork_child()? else {
            let errno = self.become_hook(path, argv, envp, [&input, &child_report], filter);
            // A parent that is gone can't be told, and needs not be.
            let _ = sys::write_whole(REPORT, &errno.0.to_ne_bytes());
            sys::exit(127)
        };
        drop(child_report);
        let mut errno = [0; 4];
        if sys::read(report.0, &mut errno)? == errno.len() {
            sys::wait_for(pid)?;
            return Err(Errno(i32::from_ne_bytes(errno)).into());
        }
        await_end(pid, &pidfd, timeout_ms)
    }

    /// Executes the hook in a session of its own, with the state as its standard input, and nothing
    /// else of init's; comes back only with the reason why that failed.
    fn become_hook(
        &self,
        path: &CStr,
        argv: &[usize],
        envp: &[usize],
        [input, report]: [&Fd; 2],
        filter: Option<Filter<'_>>,
    ) -> Errno {
        let prepare = || {
            sys::setsid()?;
            if let Some(root) = &self.root {
                // As runc has it: what is mounted in the container is found here by relative paths.
                sys::fchdir(root.0)?;
            }
            sys::umask(self.umask);
            sys::default_signal_actions();
            sys::set_blocked_signals(0)?;
            let report = sys::dup_above(report.0, REPORT + 1)?;
            for (number, output) in (1..).zip(&self.hook_outputs) {
                if let Some(output) = output {
                    sys::dup_onto(output.0, number)?;
                }
            }
            sys::dup_onto(input.0, 0)?;
            sys::dup_onto(report.0, REPORT)?;
            sys::close_on_exec(REPORT)?;
            sys::close_from(REPORT + 1)?;
            // What the filter forbids here ends the hook before it has begun.
            filter.map_or(Ok(()), |(program, flags)| {
                sys::set_filter(program, flags).map(drop)
            })
        };
        match prepare() {
            Ok(()) => sys::execve(path, argv, envp),
            Err(errno) => errno,
        }
    }
}

/// A file with the state in it, and the right pid: no pipe that has to be fed while the hook may
/// not read, or may be gone.
fn state_file(state: &CStr) -> Result<Fd, Errno> {
    let file = sys::memory_file(c"state")?;
    let mut digits = [0; DIGITS];
    let pid = decimal(sys::getpid(), &mut digits)?;
    for (index, text) in state.to_bytes().split(|byte| *byte == HOOK_PID).enumerate() {
        if index > 0 {
            sys::write_whole(file.0, pid.to_bytes())?;
        }
        sys::write_whole(file.0, text)?;
    }
    sys::rewind(file.0)?;
    Ok(file)
}

fn await_end(pid: i32, pidfd: &Fd, timeout_ms: u32) -> Result<(), Failure> {
    if !sys::poll_for(pidfd.0, timeout_ms)? {
        // What it has started is in its session's process group, unless it left that.
        let _ = sys::kill(-pid, SIGKILL);
        sys::wait_for(pid)?;
        return Err(Errno::ETIMEDOUT.into());
    }
    match sys::wait_for(pid)? {
        0 => Ok(()),
        status => Err(Failure {
            errno: Errno::ECHILD,
            detail: status as u32,
        }),
    }
}
