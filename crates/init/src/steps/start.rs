//! The word to start, and what the program finds then.

use core::mem;

use super::{Context, Failure, S_IFMT, S_IFREG};
use crate::errno::Errno;
use crate::format::{FlatPlan, Strings};
use crate::message::PROCEED;
use crate::step::Step;
use crate::sys::{self, AT_FDCWD};
use core::ffi::CStr;

const FIRST_PRESERVED: i32 = 3;

/// How often a waiting init looks whether anybody can still give it the word.
const PATIENCE_MS: u32 = 5000;

impl Context {
    /// Lets the channel go and waits for a byte in the FIFO, which this process holds open for
    /// writing too: so it never reads an end. A FIFO that has no name any more is the end of waiting.
    pub(super) fn await_start(&mut self, fifo: i32) -> Result<(), Errno> {
        sys::close_on_exec(fifo)?;
        self.procfs = None;
        sys::close(self.channel);
        self.channel = fifo;
        let filtered = mem::replace(&mut self.by_write, true);
        // A filter need not know these calls: it may kill who makes them.
        if !filtered {
            sys::end_when_asked()?;
            sys::unblock_requests_to_end()?;
        }
        while !filtered && !sys::poll_for(fifo, PATIENCE_MS)? {
            if sys::stat(fifo)?.links == 0 {
                // The container's state is gone: nobody will ever come.
                return Err(Errno::ENOENT);
            }
        }
        let mut word = [0];
        match sys::read(fifo, &mut word)? {
            1 if word == [PROCEED] => Ok(()),
            _ => Err(Errno::EPROTO),
        }
    }

    /// Has an init that will wait behind a filter end when it is asked to: the filter need not know
    /// the calls.
    pub(crate) fn end_when_asked(&self, plan: &FlatPlan<'_>) -> Result<(), Errno> {
        let mut steps = plan.steps();
        match !self.by_write && steps.any(|step| matches!(step, Step::AwaitStart { .. })) {
            true => sys::end_when_asked(),
            false => Ok(()),
        }
    }

    /// Puts descriptors where the program expects them, out of the way of what init still needs.
    pub(super) fn preserve_descriptors(&mut self, first: i32, count: i32) -> Result<(), Errno> {
        let end = FIRST_PRESERVED.checked_add(count).ok_or(Errno::EINVAL)?;
        let sources = first..first.checked_add(count).ok_or(Errno::EINVAL)?;
        let channel = sys::dup_above(self.channel, sources.end.max(end))?;
        sys::close(mem::replace(&mut self.channel, channel.0));
        mem::forget(channel);
        // Upwards: no source is overwritten before it is copied.
        for (source, place) in sources.clone().zip(FIRST_PRESERVED..) {
            sys::dup_onto(source, place)?;
        }
        sources.filter(|source| *source >= end).for_each(sys::close);
        Ok(())
    }
}

/// Looks as execvp(3) would, without executing.
pub(super) fn find_program(candidates: Strings<'_>) -> Result<(), Failure> {
    let mut failure = Failure::from(Errno::ENOENT);
    for (detail, path) in (0..).zip(&candidates) {
        match executable(path) {
            Ok(()) => return Ok(()),
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(Errno::EACCES) => {
                let errno = Errno::EACCES;
                failure = Failure { errno, detail };
            }
            Err(errno) => return Err(Failure { errno, detail }),
        }
    }
    Err(failure)
}

fn executable(path: &CStr) -> Result<(), Errno> {
    sys::check_executable(path)?;
    let file = sys::openat(AT_FDCWD, path, sys::O_PATH)?;
    match sys::stat(file.0)?.mode & S_IFMT {
        S_IFREG => Ok(()),
        _ => Err(Errno::EACCES),
    }
}
