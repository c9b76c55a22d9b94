//! The second half of a start: the word to a waiting init, and its answer.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use crabcan_init::message::{Message, PROCEED};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::{Errno, read, write};

use super::{Container, run_hooks};
use crate::Error;
use crate::console::poll_failed;
use crate::notify::{self, Proxy};
use crate::state::{Status, has_ended};

/// How long init may take from the word to the program. It is far more than it needs; only a copy
/// of its end of the FIFO in hands of the container's could keep it open longer.
const LIMIT: Duration = Duration::from_secs(10);

impl Container {
    /// Executes the program of a created container, once, and returns when it is there.
    ///
    /// # Errors
    /// [`Error::WrongStatus`] when it is not `created`, which has no effect. [`Error::Execute`] and
    /// [`Error::Step`] when init could not do it: the container is stopped then. [`Error::Hook`]
    /// when a hook fails: the container is deleted then, as the specification has it.
    pub fn start(&mut self) -> Result<(), Error> {
        let lock = self.entry.lock()?;
        self.record = self.entry.read()?;
        let init = self.init()?;
        let status = self.status_of(init.as_ref())?;
        let (Some(init), Status::Created) = (init, status) else {
            return Err(self.refused("cannot start a container that is not created", status));
        };
        let proxy = notify::listen(&self.entry, self.record.manager.as_deref())?;
        let started = self.give_the_word(&init);
        self.entry.remove_fifo()?;
        drop(lock);
        match started {
            Ok(()) => self.after_start(proxy),
            Err(error) if error.is_of_hook() => Err(self.destroy_after(error)),
            Err(error) => Err(error),
        }
    }

    /// Runs the poststart hooks; one that fails is the end of the container. Then the service
    /// manager is told when the program is ready.
    pub(super) fn after_start(&mut self, proxy: Option<Proxy>) -> Result<(), Error> {
        if self.record.poststart_hooks {
            let hooked = self
                .spec()
                .and_then(|spec| run_hooks("poststart", &spec.hooks.poststart, &self.state()?));
            if let Err(error) = hooked {
                return Err(self.destroy_after(error));
            }
        }
        let Some(proxy) = proxy else {
            return Ok(());
        };
        match self.init()? {
            Some(init) => {
                let pid = self.record.init.map_or(0, |init| init.pid);
                proxy.wait(init.as_fd(), pid)
            }
            None => Ok(()),
        }
    }

    /// Deletes the container; what was first wrong is the error.
    fn destroy_after(&mut self, error: Error) -> Error {
        if let Err(unclean) = self.destroy() {
            log::warn!("delete {} after its hook failed: {unclean}", self.id());
        }
        error
    }

    fn give_the_word(&self, init: &OwnedFd) -> Result<(), Error> {
        let failed = |source| self.not_started(source);
        let writer = self.entry.open_fifo(OFlags::WRONLY).map_err(failed)?;
        let reader = self.entry.open_fifo(OFlags::RDONLY).map_err(failed)?;
        write(&writer, &[PROCEED]).map_err(failed)?;
        drop(writer);
        let limit = (!self.record.late.has_hooks()).then_some(LIMIT);
        let closed = wait_for_end(reader.as_fd(), init.as_fd(), limit)?;
        let mut answer = [0; Message::LENGTH];
        match read(&reader, &mut answer) {
            // Init's end is closed, and it has said nothing: the program was executed.
            Ok(0) if closed => Ok(()),
            Ok(Message::LENGTH) => match Message::from_bytes(&answer) {
                Some(Message::Failed {
                    step,
                    errno,
                    detail,
                }) => {
                    let source = io::Error::from_raw_os_error(errno);
                    Err(self.record.late.failure(step, detail, source))
                }
                _ => Err(failed(Errno::PROTO)),
            },
            // The word itself is still there: init has ended before it could read it.
            Ok(1) if has_ended(init.as_fd())? => Err(failed(Errno::SRCH)),
            Ok(_) | Err(Errno::AGAIN) => Err(failed(Errno::TIMEDOUT)),
            Err(errno) => Err(failed(errno)),
        }
    }

    fn not_started(&self, errno: Errno) -> Error {
        Error::NotStarted {
            id: self.id().clone(),
            source: errno.into(),
        }
    }
}

/// Waits until nobody writes into the FIFO any more, or the process has ended; whether the former
/// is the case.
fn wait_for_end(
    fifo: BorrowedFd<'_>,
    process: BorrowedFd<'_>,
    limit: Option<Duration>,
) -> Result<bool, Error> {
    let until = limit.map(|limit| Instant::now() + limit);
    loop {
        // Asked for nothing: what counts is the hang-up, and not what is there to be read.
        let mut fds = [
            PollFd::from_borrowed_fd(fifo, PollFlags::empty()),
            PollFd::from_borrowed_fd(process, PollFlags::IN),
        ];
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(0) => return Ok(false),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(poll_failed(errno)),
        }
        let [fifo, process] = fds.map(|fd| fd.revents());
        if fifo.contains(PollFlags::HUP) {
            return Ok(true);
        }
        if !process.is_empty() {
            // Its descriptors were closed before it ended.
            return Ok(false);
        }
    }
}
