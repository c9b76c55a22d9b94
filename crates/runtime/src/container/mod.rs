//! A container of the state directory: its life from `create` to `delete`, over many programs.

mod apart;
mod cgroup;
mod checkpoint;
mod create;
mod delegation;
mod delete;
mod exec;
mod gc;
mod make;
mod placement;
mod property;
mod restore;
mod root_mount;
mod scope;
mod start;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crabcan_cgroups::Cgroup;
use crabcan_ns::{Child, ExitStatus};
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::hooks::{self, HostHook};
use crate::spec::{Hook, Spec};
use crate::state::{Entry, Identity, Record, Status};
use crate::sys::pidfd_send_signal;
use crate::{Error, Id, State, StateRoot};

pub use checkpoint::{Checkpoint, CriuOptions};
pub use create::Creation;
pub use exec::Execution;
pub use gc::Abandoned;
pub use placement::CgroupManager;
pub use restore::Restoration;

/// A container that is known to the state directory.
///
/// It belongs to no program: dropping this lets it live on.
#[derive(Debug)]
pub struct Container {
    entry: Entry,
    record: Record,
    /// Its first process, when this program has made it and is to reap it.
    child: Option<Child>,
    /// Its cgroup, when this program has made it and not let go of it.
    cgroup: Option<Cgroup>,
    /// The configuration that it was made with, when it was read and nobody has taken it.
    configuration: Mutex<Option<Box<Spec>>>,
}

impl Container {
    /// Finds a container.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::StateUnreadable`] when its record is of no use, for which there
    /// is [`Container::delete_by_force`]; [`Error::State`].
    pub fn load(root: &StateRoot, id: &Id) -> Result<Self, Error> {
        let entry = root.find(id)?;
        let record = entry.read_settled()?;
        Ok(Self::of(entry, record))
    }

    /// The container that a record tells of.
    fn of(entry: Entry, record: Record) -> Self {
        Self {
            entry,
            record,
            child: None,
            cgroup: None,
            configuration: Mutex::default(),
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &Id {
        self.entry.id()
    }

    /// How far its life has come, as the kernel knows it.
    ///
    /// # Errors
    /// [`Error::Identity`], [`Error::State`].
    pub fn status(&self) -> Result<Status, Error> {
        let init = self.init()?;
        self.status_of(init.as_ref())
    }

    fn status_of(&self, init: Option<&OwnedFd>) -> Result<Status, Error> {
        if !self.record.complete {
            // Who makes it holds the lock; without anybody, it will never be complete.
            let abandoned = self.entry.try_lock()?.is_some();
            return Ok(match abandoned && init.is_none() {
                true => Status::Stopped,
                false => Status::Creating,
            });
        }
        if init.is_none() {
            return Ok(Status::Stopped);
        }
        match self.entry.open_fifo(OFlags::WRONLY) {
            Ok(_) => Ok(Status::Created),
            // Nobody waits in it any more, or it was removed after that.
            Err(Errno::NXIO | Errno::NOENT) => Ok(match self.is_frozen()? {
                true => Status::Paused,
                false => Status::Running,
            }),
            Err(errno) => Err(Error::State {
                doing: "open",
                path: self.entry.path().join("start"),
                source: errno.into(),
            }),
        }
    }

    /// Its state, as the specification has it.
    ///
    /// # Errors
    /// As [`Container::status`].
    pub fn state(&self) -> Result<State, Error> {
        Ok(self.state_as(self.status()?))
    }

    fn state_as(&self, status: Status) -> State {
        state_of(&self.record, status)
    }

    /// Sends a signal to its first process; SIGKILL to all, also where that one's end is not theirs.
    ///
    /// # Errors
    /// [`Error::WrongStatus`] when that has ended; [`Error::Signal`] with the kernel's answer.
    pub fn kill(&self, signal: i32) -> Result<(), Error> {
        let Some(init) = self.init()? else {
            return self.kill_rest(signal);
        };
        if !self.send(&init, signal)? {
            return Err(self.refused("container not running", Status::Stopped));
        }
        if signal == libc::SIGKILL && !self.record.own_pid_namespace {
            // The end of the first process is not the end of the others.
            return match self.kill_rest(signal) {
                Err(Error::WrongStatus { .. }) => Ok(()),
                killed => killed,
            };
        }
        if signal == libc::SIGKILL && self.is_frozen()? {
            // On cgroups of v1 a frozen process dies only when it is let go.
            self.cgroup()?
                .thaw()
                .map_err(cgroup::failed("let the container go on to its end"))?;
        }
        Ok(())
    }

    /// Where the first process has ended and is not the end of the others: SIGKILL reaches them.
    fn kill_rest(&self, signal: i32) -> Result<(), Error> {
        let rest = match (self.record.own_pid_namespace, signal) {
            (false, libc::SIGKILL) => self.own_cgroup()?,
            _ => None,
        };
        match rest {
            Some(cgroup) if cgroup.is_populated().is_ok_and(|populated| populated) => cgroup
                .kill_each(cgroup::PATIENCE)
                .map_err(cgroup::failed("kill the container")),
            _ => Err(self.refused("container not running", Status::Stopped)),
        }
    }

    /// Sends a signal; false when the process has ended.
    fn send(&self, pidfd: &OwnedFd, signal: i32) -> Result<bool, Error> {
        match pidfd_send_signal(pidfd.as_fd(), signal) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(errno) => Err(Error::Signal {
                id: self.id().clone(),
                signal,
                source: errno.into(),
            }),
        }
    }

    /// Waits until its first process has ended, where this program has made it.
    ///
    /// # Errors
    /// [`Error::Namespaces`] when the kernel does not tell how; [`Error::NotAChild`] when another
    /// program has made it.
    pub fn wait(&mut self) -> Result<ExitStatus, Error> {
        let child = self.child.as_mut().ok_or_else(|| Error::NotAChild {
            id: self.entry.id().clone(),
        })?;
        child.wait().map_err(|source| Error::Namespaces {
            doing: "wait for the container",
            source,
        })
    }

    /// A pidfd of its first process, unless that has ended.
    fn init(&self) -> Result<Option<OwnedFd>, Error> {
        self.record.init.as_ref().map_or(Ok(None), Identity::open)
    }

    fn refused(&self, refused: &'static str, status: Status) -> Error {
        Error::WrongStatus {
            refused,
            id: self.id().clone(),
            status,
        }
    }

    /// The configuration as it was when the container was made, which the caller may change, or
    /// [`keep`](Self::keep) for who asks next.
    fn spec(&self) -> Result<Box<Spec>, Error> {
        if let Some(spec) = self.kept().take() {
            return Ok(spec);
        }
        let mut spec = Spec::boxed_from_json(&self.entry.configuration()?)?;
        spec.extension.bundle = Some(self.record.bundle.clone());
        Ok(spec)
    }

    fn keep(&self, spec: Box<Spec>) {
        *self.kept() = Some(spec);
    }

    fn kept(&self) -> MutexGuard<'_, Option<Box<Spec>>> {
        // Whole or not there, whatever somebody else's thread has come to.
        let kept = self.configuration.lock();
        kept.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            child.keep();
        }
    }
}

fn state_of(record: &Record, status: Status) -> State {
    let pid = match status {
        Status::Stopped => 0,
        _ => record.init.map_or(0, |init| init.pid),
    };
    State {
        oci_version: record.oci_version.clone(),
        id: record.id.clone(),
        status,
        pid,
        bundle: record.bundle.clone(),
        rootfs: record.rootfs.clone(),
        created: record.created.clone(),
        owner: record.owner,
        annotations: record.annotations.clone(),
    }
}

/// Runs hooks in their order; the first that fails ends it.
fn run_hooks(kind: &'static str, hooks: &[Hook], state: &State) -> Result<(), Error> {
    let outputs = crate::plan::hook_outputs(&state.annotations)?;
    let state = state.to_json();
    for hook in hooks {
        hooks::run(&HostHook::new(kind, hook, outputs), &state)?;
    }
    Ok(())
}
