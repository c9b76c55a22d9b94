//! The first half of a start: from a bundle to an init that waits for the word.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crabcan_cgroups::{Cgroup, Resources};
use crabcan_ns::{Child, ExitStatus, Namespace};

use super::{Container, cgroup, run_hooks, state_of};
use crate::console::Relay;
use crate::handover::{Receiver, write_pid_file};
use crate::launch::Surroundings;
use crate::notify;
use crate::process::Process;
use crate::resctrl::{self, Resctrl};
use crate::signals::Signals;
use crate::spec::{MAX_BYTES, Spec};
use crate::state::{Entry, Identity, Lock, Record, Status, VERSION, timestamp};
use crate::{Error, Host, Id, Plan, StateRoot, foreground};

/// A container to be made from a bundle.
///
/// Setters never fail; every check is in [`create`](Self::create) and [`run`](Self::run), before
/// anything is done.
#[derive(Debug)]
#[must_use]
pub struct Creation {
    root: StateRoot,
    id: Id,
    bundle: PathBuf,
    configuration: Option<PathBuf>,
    console_socket: Option<PathBuf>,
    pidfd_socket: Option<PathBuf>,
    pid_file: Option<PathBuf>,
    inherited: Vec<OwnedFd>,
    listen: u32,
    new_keyring: bool,
    keep: bool,
    manager: Option<PathBuf>,
    fault: Option<(u32, i32)>,
}

/// What was read and decided before anything is done.
struct Draft {
    configuration: Vec<u8>,
    spec: Spec,
    plan: Plan,
    bundle: PathBuf,
    console: Option<Receiver>,
    pidfd: Option<Receiver>,
}

/// What is there once init waits for the word to go on.
struct Prepared<'plan> {
    /// Ended before its cgroup can be removed, when this is dropped.
    process: Process<'plan>,
    cgroup: Option<Cgroup>,
    record: Record,
}

impl Prepared<'_> {
    /// Lets all of it live on.
    fn let_go(self) -> (Record, Child) {
        if let Some(cgroup) = self.cgroup {
            cgroup.keep();
        }
        (self.record, self.process.let_go())
    }
}

/// Who will wait for the program.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Nobody: `start` executes it.
    Created,
    /// Nobody, and it is executed at once.
    Detached,
    /// The caller, with its terminal.
    Foreground,
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
            keep: false,
            manager: None,
            fault: None,
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

    /// As [`Plan::fail_at`], for tests.
    pub fn fail_at(mut self, step: u32, errno: i32) -> Self {
        self.fault = Some((step, errno));
        self
    }

    /// Makes the container: everything but the execution of its program.
    ///
    /// # Errors
    /// [`Error::Invalid`] names what is wrong with the configuration; [`Error::AlreadyExists`];
    /// [`Error::Socket`], [`Error::Hook`], [`Error::Step`] and all that [`Process::create`] has.
    /// Nothing is left of a container that could not be made.
    pub fn create(self) -> Result<Container, Error> {
        let draft = self.draft(Mode::Created)?;
        let (entry, lock) = self.root.reserve(&self.id)?;
        let made = self.make(&entry, &draft, Mode::Created).and_then(|made| {
            made.process.proceed()?;
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
                made.process.start()?;
                Ok(made)
            });
        let Prepared {
            mut process,
            cgroup,
            record,
        } = match made {
            Ok(made) => made,
            Err(error) => return Err(self.undo(&entry, lock, &draft, error)),
        };
        drop(lock);
        let mut container = Container {
            entry,
            record,
            child: None,
            cgroup: cgroup.map(Cgroup::kept),
        };
        container.after_start(None)?;
        let mut relay = process.take_console().map(Relay::new).transpose()?;
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

    /// Reads and decides everything; nothing is done but to connect to those who wait.
    fn draft(&self, mode: Mode) -> Result<Draft, Error> {
        let bundle = self.bundle.canonicalize();
        let bundle = bundle.map_err(|source| self.not_read(&self.bundle, source))?;
        let configuration = self.read_configuration(&bundle)?;
        let mut spec = Spec::from_json(&configuration)?;
        spec.extension.bundle = Some(bundle.clone());
        spec.extension.id = self.id.to_string();
        spec.extension.session_keyring = self.new_keyring;
        spec.extension.await_start = mode == Mode::Created;
        spec.extension.preserved_descriptors =
            u32::try_from(self.inherited.len()).unwrap_or(u32::MAX);
        self.add_environment(&mut spec);
        if self.manager.is_some() {
            notify::add_to(&mut spec, &self.root.path().join(self.id.as_str()));
        }
        self.check_terminal(&spec, mode)?;
        let host = Host::current()?;
        let mut plan = Plan::new(&spec, &host)?;
        for warning in plan.warnings() {
            log::warn!("{warning}");
        }
        if let Some((step, errno)) = self.fault {
            plan.fail_at(step, errno);
        }
        let connect = |path: &Option<PathBuf>| path.as_deref().map(Receiver::connect).transpose();
        Ok(Draft {
            console: connect(&self.console_socket)?,
            pidfd: connect(&self.pidfd_socket)?,
            configuration,
            spec,
            plan,
            bundle,
        })
    }

    fn read_configuration(&self, bundle: &Path) -> Result<Vec<u8>, Error> {
        let path = match &self.configuration {
            Some(path) => path.clone(),
            None => bundle.join("config.json"),
        };
        // Room for an ordinary configuration at once: an empty vector is filled in small bites.
        let mut bytes = Vec::with_capacity(16 << 10);
        // One byte more than is accepted, so that the length is refused and not cut.
        let limit = u64::try_from(MAX_BYTES)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        File::open(&path)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .map_err(|source| self.not_read(&path, source))?;
        Ok(bytes)
    }

    fn not_read(&self, path: &Path, source: std::io::Error) -> Error {
        Error::Path {
            field: "read the bundle".into(),
            path: path.to_owned(),
            source,
        }
    }

    fn add_environment(&self, spec: &mut Spec) {
        if self.listen > 0 {
            spec.process
                .env
                .push(format!("LISTEN_FDS={}", self.listen).into());
            spec.process.env.push("LISTEN_PID=1".into());
        }
    }

    /// A terminal has one who takes its master; without a terminal there is nothing to be taken.
    fn check_terminal(&self, spec: &Spec, mode: Mode) -> Result<(), Error> {
        let taken = mode == Mode::Foreground;
        match (spec.process.terminal, &self.console_socket) {
            (true, None) if !taken => Err(Error::invalid(
                "process.terminal",
                "needs --console-socket, where nobody waits in the foreground",
            )),
            (true, Some(_)) if taken => Err(Error::invalid(
                "--console-socket",
                "is for a container that nobody waits for in the foreground",
            )),
            (false, Some(_)) => Err(Error::invalid(
                "--console-socket",
                "process.terminal is false: there is no terminal to be sent",
            )),
            _ => Ok(()),
        }
    }

    /// Does everything up to the point where only the program is missing.
    fn make<'plan>(
        &self,
        entry: &Entry,
        draft: &'plan Draft,
        mode: Mode,
    ) -> Result<Prepared<'plan>, Error> {
        let mut record = self.record(draft, mode);
        entry.keep_configuration(&draft.configuration)?;
        let cgroup = self.make_cgroup(draft)?;
        record.cgroup = cgroup.as_ref().map(|cgroup| cgroup.place().to_string());
        entry.write(&record)?;
        if self.manager.is_some() {
            entry.make_directory(notify::DIRECTORY)?;
        }
        let fifo = (mode == Mode::Created)
            .then(|| entry.make_fifo())
            .transpose()?;
        let descriptors = fifo
            .iter()
            .chain(&self.inherited)
            .map(AsFd::as_fd)
            .collect();
        let surroundings = Surroundings {
            descriptors,
            cgroup: cgroup.as_ref().and_then(Cgroup::unified),
        };
        let mut process = Process::launch(&draft.plan, &surroundings)?;
        drop(fifo);
        let pid = process.pid().as_raw();
        record.init = Some(Identity::of(pid, process.pidfd())?);
        if let Some(cgroup) = &cgroup {
            cgroup::join_legacy(cgroup, pid)?;
        }
        entry.write(&record)?;
        if let Some(wanted) = draft.plan.intel_rdt() {
            let groups = Resctrl::join(&resctrl::mounted()?, wanted, self.id.as_str(), pid)?;
            record.resctrl = groups.made;
            entry.write(&record)?;
        }
        let hooks = &draft.spec.hooks;
        process.prepare(&mut |_| {
            let state = state_of(&record, Status::Creating);
            run_hooks("prestart", &hooks.prestart, &state)?;
            run_hooks("createRuntime", &hooks.create_runtime, &state)
        })?;
        self.hand_over(draft, &mut process)?;
        if process.pid().as_raw() != pid {
            // In a pid namespace that was joined it is a child of the first one.
            record.init = Some(Identity::of(process.pid().as_raw(), process.pidfd())?);
        }
        record.complete = true;
        entry.write(&record)?;
        if let Some(path) = &self.pid_file {
            write_pid_file(path, process.pid().as_raw())?;
        }
        Ok(Prepared {
            process,
            cgroup,
            record,
        })
    }

    /// An ordinary user to whom nothing is delegated has a container without a cgroup, unless one
    /// or a limit was asked for.
    fn make_cgroup(&self, draft: &Draft) -> Result<Option<Cgroup>, Error> {
        let path = draft.spec.linux.cgroups_path.as_deref();
        let resources = draft.plan.resources();
        match cgroup::make(path, &self.id, resources) {
            Ok(cgroup) => Ok(Some(cgroup)),
            Err(error)
                if path.is_none()
                    && *resources == Resources::default()
                    && !draft.plan.host().privileged =>
            {
                log::debug!("no cgroup: {error}");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn hand_over(&self, draft: &Draft, process: &mut Process<'_>) -> Result<(), Error> {
        if let Some(receiver) = &draft.console
            && let Some(master) = process.take_console()
        {
            receiver.send(master.as_fd(), "/dev/ptmx")?;
        }
        if let Some(receiver) = &draft.pidfd {
            receiver.send(process.pidfd(), "pidfd")?;
        }
        Ok(())
    }

    fn record(&self, draft: &Draft, mode: Mode) -> Record {
        let spec = &draft.spec;
        let annotations = spec.annotations.iter();
        Record {
            version: VERSION,
            id: self.id.to_string(),
            oci_version: spec.oci_version.clone(),
            bundle: draft.bundle.clone(),
            rootfs: draft.bundle.join(&spec.root.path),
            annotations: annotations
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            created: timestamp(SystemTime::now()),
            owner: rustix::process::geteuid().as_raw(),
            complete: false,
            init: None,
            cgroup: None,
            resctrl: Vec::new(),
            manager: self.manager.clone(),
            new_keyring: self.new_keyring,
            own_pid_namespace: spec.linux.makes(Namespace::Pid),
            poststart_hooks: !spec.hooks.poststart.is_empty(),
            poststop_hooks: !spec.hooks.poststop.is_empty(),
            late: match mode {
                Mode::Created => draft.plan.late_steps(),
                Mode::Detached | Mode::Foreground => Default::default(),
            },
        }
    }

    /// Leaves nothing of a container that could not be made; what was first wrong is the error.
    fn undo(&self, entry: &Entry, lock: Lock, draft: &Draft, error: Error) -> Error {
        if let Some(path) = &self.pid_file {
            // It may not have been written yet.
            let _ = std::fs::remove_file(path);
        }
        let groups = entry.read().map(|record| record.resctrl);
        let groups = groups.map_or(Ok(()), |made| Resctrl { made }.remove());
        if let Err(unclean) = groups.and_then(|()| entry.remove()) {
            log::warn!("clean up after an error: {unclean}");
        }
        drop(lock);
        if error.is_of_hook() {
            let record = self.record(draft, Mode::Detached);
            super::delete::poststop(
                &draft.spec.hooks.poststop,
                &state_of(&record, Status::Stopped),
            );
        }
        error
    }
}
