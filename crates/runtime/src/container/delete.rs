//! The end of a container's life.

use std::os::fd::OwnedFd;
use std::time::Instant;

use crabcan_cgroups::Cgroup;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::{Container, cgroup, root_mount, run_hooks, scope};
use crate::console::poll_failed;
use crate::resctrl::Resctrl;
use crate::spec::Hook;
use crate::state::{Entry, Status};
use crate::{Error, Id, State, StateRoot};

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
                container.kill_everything()?;
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
        self.kill_everything()?;
        let hooks = self.poststop_hooks();
        self.remove()?;
        poststop(&hooks, &self.state_as(Status::Stopped));
        Ok(())
    }

    /// Kills the first process and everything in the cgroup, and waits until they have ended.
    fn kill_everything(&mut self) -> Result<(), Error> {
        let init = self.init()?;
        if let Some(init) = &init {
            self.send(init, libc::SIGKILL)?;
        }
        if let Some(cgroup) = self.own_cgroup()? {
            let killed = cgroup.kill(cgroup::PATIENCE);
            killed.map_err(cgroup::failed("kill the container"))?;
        }
        if let Some(init) = &init {
            self.wait_for_end(init)?;
        }
        if let Some(child) = &mut self.child {
            // Somebody else in this program may have reaped it: it has ended in any case.
            let _ = child.wait();
        }
        Ok(())
    }

    fn wait_for_end(&self, init: &OwnedFd) -> Result<(), Error> {
        let until = Instant::now() + cgroup::PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).ok();
            let mut fds = [PollFd::new(init, PollFlags::IN)];
            match poll(&mut fds, timeout.as_ref()) {
                Ok(0) => {
                    return Err(Error::NotEnded {
                        id: self.id().clone(),
                    });
                }
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(poll_failed(errno)),
            }
        }
    }

    fn remove(&mut self) -> Result<(), Error> {
        let cgroup = match self.cgroup.take() {
            Some(cgroup) => Some(cgroup),
            None => cgroup::open(&self.record)?,
        };
        if self.is_taken_over(cgroup.as_ref())? {
            if let Some(cgroup) = cgroup {
                cgroup.keep();
            }
        } else {
            self.remove_cgroup(cgroup)?;
        }
        root_mount::take_away(&self.record)?;
        let made = self.record.resctrl.clone();
        Resctrl { made }.remove()?;
        self.entry.remove()
    }

    fn remove_cgroup(&self, cgroup: Option<Cgroup>) -> Result<(), Error> {
        let is_scope = self.record.scope.is_some();
        if let Some(cgroup) = &cgroup
            // Its first process has ended; what else is there has no pid namespace to end it. And
            // systemd would ask it to end first, and wait.
            && (is_scope || !self.record.own_pid_namespace)
        {
            let killed = cgroup.kill(cgroup::PATIENCE);
            killed.map_err(cgroup::failed("kill the container"))?;
        }
        if is_scope {
            scope::stop(&self.record)?;
        }
        if let Some(cgroup) = cgroup {
            let removed = cgroup.remove(cgroup::PATIENCE);
            removed.map_err(cgroup::failed("remove the container's cgroup"))?;
        }
        cgroup::remove_half_made(&self.record)
    }

    /// Those of the configuration, which goes with the entry.
    fn poststop_hooks(&self) -> Vec<Hook> {
        if !self.record.poststop_hooks {
            return Vec::new();
        }
        match self.spec() {
            Ok(spec) => spec.hooks.poststop.clone(),
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

/// Removes an entry whose record is of no use.
fn remove_garbage(entry: &Entry) -> Result<(), Error> {
    let _lock = entry.lock()?;
    match entry.read() {
        // It was made meanwhile: what runs in it would be out of reach.
        Ok(_) => Err(Error::Busy {
            id: entry.id().clone(),
        }),
        Err(_) => entry.remove(),
    }
}
