//! The first half of a start: from a bundle to an init that waits for the word.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Mutex;

use crabcan_cgroups::Cgroup;
use crabcan_ns::ExitStatus;

use super::Container;
use super::make::{Mode, Prepared};
use super::placement::CgroupManager;
use crate::console::Relay;
use crate::launch::InitProgram;
use crate::notify;
use crate::signals::Signals;
use crate::{Error, Id, StateRoot, foreground};

/// A container to be made from a bundle.
///
/// Setters never fail; every check is in [`create`](Self::create) and [`run`](Self::run), before
/// anything is done.
#[derive(Debug)]
#[must_use]
pub struct Creation {
    pub(super) root: StateRoot,
    pub(super) id: Id,
    pub(super) bundle: PathBuf,
    pub(super) configuration: Option<PathBuf>,
    pub(super) console_socket: Option<PathBuf>,
    pub(super) pidfd_socket: Option<PathBuf>,
    pub(super) pid_file: Option<PathBuf>,
    pub(super) inherited: Vec<OwnedFd>,
    pub(super) listen: u32,
    pub(super) new_keyring: bool,
    pub(super) no_pivot: bool,
    pub(super) cgroup_manager: CgroupManager,
    pub(super) keep: bool,
    pub(super) manager: Option<PathBuf>,
    pub(super) fault: Option<(u32, i32)>,
    pub(super) init_program: InitProgram,
}

impl Creation {
    /// A container of this id from the bundle in a directory.
    pub fn new(root: &StateRoot, id: &Id, bundle: impl Into<PathBuf>) -> Self {
        Self {
            root: root.clone(),
            id: id.clone(),
            bundle: bundle.into(),
            configuration: None,
            console_socket: None,
            pidfd_socket: None,
            pid_file: None,
            inherited: Vec::new(),
            listen: 0,
            new_keyring: true,
            no_pivot: false,
            cgroup_manager: CgroupManager::default(),
            keep: false,
            manager: None,
            fault: None,
            init_program: InitProgram::default(),
        }
    }

    /// Another configuration than the bundle's `config.json`.
    pub fn configuration(mut self, path: impl Into<PathBuf>) -> Self {
        self.configuration = Some(path.into());
        self
    }

    /// The listening socket that gets the master of the container's terminal.
    pub fn console_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.console_socket = Some(path.into());
        self
    }

    /// The listening socket that gets a pidfd of the container's first process.
    pub fn pidfd_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.pidfd_socket = Some(path.into());
        self
    }

    /// The file that gets the pid of the container's first process.
    pub fn pid_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.pid_file = Some(path.into());
        self
    }

    /// Descriptors that the program gets as 3, 4, …: see [`inherited`](crate::inherited()). The
    /// first `listen` of them are told to it as `LISTEN_FDS`, see sd_listen_fds(3).
    pub fn descriptors(mut self, descriptors: Vec<OwnedFd>, listen: u32) -> Self {
        self.inherited = descriptors;
        self.listen = listen;
        self
    }

    /// Whether the container gets an empty session keyring, as by default, or the caller's.
    pub fn new_keyring(mut self, yes: bool) -> Self {
        self.new_keyring = yes;
        self
    }

    /// Whether the root is entered without pivot_root(2).
    pub fn no_pivot(mut self, yes: bool) -> Self {
        self.no_pivot = yes;
        self
    }

    /// Who makes its cgroup: crabcan itself by default.
    pub fn cgroup_manager(mut self, manager: CgroupManager) -> Self {
        self.cgroup_manager = manager;
        self
    }

    /// Whether [`run`](Self::run) leaves the stopped container behind.
    pub fn keep(mut self, yes: bool) -> Self {
        self.keep = yes;
        self
    }

    /// The service manager's socket, as `NOTIFY_SOCKET` has it: it is told when the program says
    /// that it is ready, by [`Container::start`] or [`run_detached`](Self::run_detached).
    pub fn notify(mut self, manager: impl Into<PathBuf>) -> Self {
        self.manager = Some(manager.into());
        self
    }

    /// Where init's own program is while it is executed.
    pub fn init_program(mut self, place: InitProgram) -> Self {
        self.init_program = place;
        self
    }

    /// As [`Plan::fail_at`](crate::Plan::fail_at), for tests.
    pub fn fail_at(mut self, step: u32, errno: i32) -> Self {
        self.fault = Some((step, errno));
        self
    }

    /// Makes the container: everything but the execution of its program.
    ///
    /// # Errors
    /// [`Error::Invalid`] names what is wrong with the configuration; [`Error::AlreadyExists`];
    /// [`Error::Socket`], [`Error::Hook`], [`Error::Step`] and all that [`Process::create`](crate::Process::create) has.
    /// Nothing is left of a container that could not be made.
    pub fn create(self) -> Result<Container, Error> {
        let draft = self.draft(Mode::Created)?;
        let (entry, lock) = self.root.reserve(&self.id)?;
        let made = self
            .make(&entry, &draft, Mode::Created)
            .and_then(|mut made| {
                made.process.proceed("creating the container")?;
                Ok(made.let_go())
            });
        match made {
            Ok((record, child)) => {
                drop(lock);
                Ok(Container {
                    entry,
                    record,
                    child: Some(child),
                    cgroup: None,
                    configuration: Mutex::default(),
                })
            }
            Err(error) => Err(self.undo(&entry, lock, &draft, error)),
        }
    }

    /// Makes the container, executes its program, and returns when it is there.
    ///
    /// # Errors
    /// As [`create`](Self::create) and [`Container::start`].
    pub fn run_detached(self) -> Result<Container, Error> {
        let draft = self.draft(Mode::Detached)?;
        let (entry, lock) = self.root.reserve(&self.id)?;
        let made = self
            .make(&entry, &draft, Mode::Detached)
            .and_then(|mut made| {
                let proxy = notify::listen(&entry, self.manager.as_deref())?;
                made.process.start()?;
                let (record, child) = made.let_go();
                Ok((proxy, record, child))
            });
        let (proxy, record, child) = match made {
            Ok(made) => made,
            Err(error) => return Err(self.undo(&entry, lock, &draft, error)),
        };
        drop(lock);
        let mut container = Container {
            entry,
            record,
            child: Some(child),
            cgroup: None,
            configuration: Mutex::default(),
        };
        container.after_start(proxy)?;
        Ok(container)
    }

    /// Makes the container, executes its program, hands on the signals and the terminal of the
    /// caller until it has ended, and deletes it.
    ///
    /// # Errors
    /// As [`create`](Self::create), [`Container::start`] and [`wait`](crate::wait()).
    pub fn run(self, signals: Option<&Signals>) -> Result<ExitStatus, Error> {
        let draft = self.draft(Mode::Foreground)?;
        let (entry, lock) = self.root.reserve(&self.id)?;
        let made = self
            .make(&entry, &draft, Mode::Foreground)
            .and_then(|mut made| {
                // Before the program can say anything.
                let console = made.process.take_console();
                let relay = console.map(Relay::to_standard_output).transpose()?;
                made.process.start()?;
                Ok((made, relay))
            });
        let (made, mut relay) = match made {
            Ok(made) => made,
            Err(error) => return Err(self.undo(&entry, lock, &draft, error)),
        };
        drop(lock);
        let Prepared {
            mut process,
            cgroup,
            record,
        } = made;
        let mut container = Container {
            entry,
            record,
            child: None,
            cgroup: cgroup.map(Cgroup::kept),
            configuration: Mutex::default(),
        };
        container.after_start(None)?;
        let status = foreground::wait(&mut process, signals, relay.as_mut());
        drop(relay);
        let removed = process.remove();
        if !self.keep {
            match container.delete() {
                // Somebody else was quicker.
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        removed.and(status)
    }
}
