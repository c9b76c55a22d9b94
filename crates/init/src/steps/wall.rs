//! The second wall, and what was measured on the way to it.

use core::ffi::CStr;
use core::sync::atomic::Ordering;

use super::Context;
use crate::errno::Errno;
use crate::step::Step;
use crate::sys::{self, AT_FDCWD, Fd};

/// What Landlock can allow of a file that is no directory: to execute, write, read and truncate it,
/// and ioctl(2) if it is a device.
const OF_FILES: u64 = 0xc007;

impl Context {
    pub(super) fn wall(&mut self, step: &Step<'_>) -> Result<(), Errno> {
        match *step {
            Step::Timings { descriptor } => self.begin_timings(descriptor as i32),
            Step::Landlock { access } => {
                let ruleset = sys::beyond_standard(self.receive_descriptor()?)?;
                for number in 0..3 {
                    match allow(&ruleset, number, access & OF_FILES) {
                        // One that is closed, or a pipe's, which no rule is about.
                        Ok(()) | Err(Errno::EBADF | Errno::EBADFD) => {}
                        Err(errno) => return Err(errno),
                    }
                }
                self.ruleset = Some(ruleset);
                Ok(())
            }
            Step::LandlockRule { target, access } => self.allow_beneath(target, access),
            Step::LandlockRestrict {} => {
                let ruleset = self.ruleset.take().ok_or(Errno::EBADF)?;
                sys::landlock_restrict(ruleset.0)
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn allow_beneath(&self, target: &CStr, access: u64) -> Result<(), Errno> {
        let ruleset = self.ruleset.as_ref().ok_or(Errno::EBADF)?;
        match sys::openat(AT_FDCWD, target, sys::O_PATH) {
            Ok(place) => allow(ruleset, place.0, access),
            // What can't be reached here can't be reached by the program: it needs no rule.
            Err(Errno::ENOENT | Errno::EACCES | Errno::ENOTDIR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    fn begin_timings(&mut self, descriptor: i32) -> Result<(), Errno> {
        let file = Fd(descriptor);
        let length = sys::stat(file.0)?.size as usize;
        self.timings = sys::map_numbers(file.0, length / size_of::<u64>())?;
        Ok(())
    }

    /// Notes that a step has ended, if somebody wants to know. Behind a filter of system calls
    /// nothing may be called any more.
    pub(crate) fn note_end_of(&self, step: u32) {
        if let Some(place) = self.timings.get(step as usize)
            && !self.by_write
            && let Ok(now) = sys::now()
        {
            place.store(now, Ordering::Relaxed);
        }
    }
}

/// Allows this beneath a directory, or of a file what can be allowed of files: which of both it is,
/// the kernel says first.
fn allow(ruleset: &Fd, place: i32, access: u64) -> Result<(), Errno> {
    if access & !OF_FILES != 0 {
        match sys::landlock_allow(ruleset.0, place, access) {
            Err(Errno::EINVAL) => {}
            other => return other,
        }
    }
    match access & OF_FILES {
        0 => Ok(()),
        of_files => sys::landlock_allow(ruleset.0, place, of_files),
    }
}
