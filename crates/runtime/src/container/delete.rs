//! The end of a container's life.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::{Container, run_hooks};
use crate::console::poll_failed;
use crate::spec::Hook;
use crate::state::{Entry, Status};
use crate::sys::pidfd_send_signal;
use crate::{Error, Id, State, StateRoot};

const SIGKILL: i32 = 9;

/// How long a killed process may take to end.
const LIMIT: Duration = Duration::from_secs(10);

impl Container {
    /// Deletes a stopped container: its cgroup and its entry in the state directory. Then the
    /// poststop hooks are run; one that fails is a warning.
    ///
    /// # Errors
    /// [`Error::WrongStatus`] when it is not stopped, which has no effect.
    pub fn delete(mut self) -> Result<(), Error> {
        let lock = self.entry.lock()?;
        self.record = self.entry.read()?;
        // Half made, and nobody makes it any more, since the lock was free.
        let abandoned = !self.record.complete && self.init()?.is_none();
        match self.status()? {
            Status::Stopped => {}
            _ if abandoned => {}
            status => {
                return Err(self.refused("cannot delete a container that is not stopped", status));
            }
        }
        let hooks = self.poststop_hooks();
        self.remove()?;
        drop(lock);
        poststop(&hooks, &self.state_as(Status::Stopped));
        Ok(())
    }

    /// Kills and deletes a container, whatever its state; that there is none is no error.
    ///
    /// # Errors
    /// [`Error::Busy`] when somebody else holds it for too long; [`Error::NotEnded`] when it can't
    /// be killed.
    pub fn delete_by_force(root: &StateRoot, id: &Id) -> Result<(), Error> {
        let done = match Self::load(root, id) {
            Ok(mut container) => {
                // Whoever makes it will notice, clean up, and let go of the lock.
                container.kill_init()?;
                let lock = container.entry.lock();
                lock.and_then(|_lock| {
                    container.record = container.entry.read()?;
                    container.destroy()
                })
            }
            Err(Error::StateUnreadable { path, reason }) => {
                log::debug!("{}: {reason}", path.display());
                root.find(id).and_then(|entry| remove_garbage(&entry))
            }
            Err(error) => Err(error),
        };
        match done {
            Err(Error::NotFound { .. }) => Ok(()),
            done => done,
        }
    }

    /// Kills what runs, and deletes the container with its hooks.
    pub(super) fn destroy(&mut self) -> Result<(), Error> {
        self.kill_init()?;
        let hooks = self.poststop_hooks();
        self.remove()?;
        poststop(&hooks, &self.state_as(Status::Stopped));
        Ok(())
    }

    /// Kills the first process, and waits until it has ended.
    fn kill_init(&mut self) -> Result<(), Error> {
        let Some(init) = self.init()? else {
            return Ok(());
        };
        match pidfd_send_signal(init.as_fd(), SIGKILL) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => {
                return Err(Error::Signal {
                    id: self.id().clone(),
                    signal: SIGKILL,
                    source: errno.into(),
                });
            }
        }
        let until = Instant::now() + LIMIT;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).ok();
            let mut fds = [PollFd::from_borrowed_fd(init.as_fd(), PollFlags::IN)];
            match poll(&mut fds, timeout.as_ref()) {
                Ok(0) => {
                    return Err(Error::NotEnded {
                        id: self.id().clone(),
                    });
                }
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(poll_failed(errno)),
            }
        }
        if let Some(child) = &mut self.child {
            // Somebody else in this program may have reaped it: it has ended in any case.
            let _ = child.wait();
        }
        Ok(())
    }

    fn remove(&mut self) -> Result<(), Error> {
        self.entry.remove()
    }

    /// Those of the configuration, which goes with the entry.
    fn poststop_hooks(&self) -> Vec<Hook> {
        if !self.record.poststop_hooks {
            return Vec::new();
        }
        match self.spec() {
            Ok(spec) => spec.hooks.poststop,
            Err(error) => {
                log::warn!("poststop hooks of {}: {error}", self.id());
                Vec::new()
            }
        }
    }
}

/// Runs all of them: a failure is a warning.
pub(super) fn poststop(hooks: &[Hook], state: &State) {
    for hook in hooks {
        if let Err(error) = run_hooks("poststop", std::slice::from_ref(hook), state) {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            log::warn!("{error}: {}", cause.unwrap_or_default());
        }
    }
}

/// Removes an entry whose record is of no use; nobody makes the container, or they are ended.
fn remove_garbage(entry: &Entry) -> Result<(), Error> {
    let _lock = entry.lock()?;
    entry.remove()
}
