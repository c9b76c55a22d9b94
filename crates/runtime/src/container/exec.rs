//! One more process in a container.

use std::error::Error as _;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use crabcan_cgroups::{Cgroup, Controllers, Hierarchy, Place};
use crabcan_ns::{ExitStatus, Namespace};
use rustix::fs::stat;
use rustix::io::Errno;

use super::{Container, cgroup, root_mount};
use crate::console::{self, Relay};
use crate::handover::{Receiver, write_pid_file};
use crate::launch::{InitProgram, Surroundings};
use crate::process::Process;
use crate::signals::Signals;
use crate::spec::{self, Spec};
use crate::state::Status;
use crate::{Error, Host, Plan, foreground, listener};

/// A process to be executed in a container.
///
/// Setters never fail; every check is in [`run`](Self::run) and [`run_detached`](Self::run_detached).
#[derive(Debug)]
#[must_use]
pub struct Execution<'a> {
    container: &'a Container,
    process: spec::Process,
    console_socket: Option<PathBuf>,
    pidfd_socket: Option<PathBuf>,
    pid_file: Option<PathBuf>,
    inherited: Vec<OwnedFd>,
    listen: u32,
    cgroups: Vec<String>,
    ignore_paused: bool,
    fault: Option<(u32, i32)>,
    init_program: InitProgram,
}

impl Container {
    /// The process of its configuration: where one that is to be executed in it begins.
    ///
    /// # Errors
    /// [`Error::State`] when the kept configuration can't be read.
    pub fn process(&self) -> Result<spec::Process, Error> {
        let spec = self.spec()?;
        let process = spec.process.clone();
        self.keep(spec);
        Ok(process)
    }
}

impl<'a> Execution<'a> {
    /// This process in this container.
    pub fn new(container: &'a Container, process: spec::Process) -> Self {
        Self {
            container,
            process,
            console_socket: None,
            pidfd_socket: None,
            pid_file: None,
            inherited: Vec::new(),
            listen: 0,
            cgroups: Vec::new(),
            ignore_paused: false,
            fault: None,
            init_program: InitProgram::default(),
        }
    }

    /// The listening socket that gets the master of its terminal.
    pub fn console_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.console_socket = Some(path.into());
        self
    }

    /// The listening socket that gets a pidfd of it.
    pub fn pidfd_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.pidfd_socket = Some(path.into());
        self
    }

    /// The file that gets its pid.
    pub fn pid_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.pid_file = Some(path.into());
        self
    }

    /// As [`Creation::descriptors`](crate::Creation::descriptors).
    pub fn descriptors(mut self, descriptors: Vec<OwnedFd>, listen: u32) -> Self {
        self.inherited = descriptors;
        self.listen = listen;
        self
    }

    /// A cgroup below the container's, or `CONTROLLER,…:PATH` for some trees of v1 alone: then it
    /// may be called several times.
    ///
    /// Without it, it is the container's own; on v2 that of the container's first process instead,
    /// where the container has divided its own among others, or has moved to another one and let
    /// its own be removed.
    pub fn cgroup(mut self, path: impl Into<String>) -> Self {
        self.cgroups.push(path.into());
        self
    }

    /// Whether a paused container is no error: the process then goes on when that does.
    pub fn ignore_paused(mut self, yes: bool) -> Self {
        self.ignore_paused = yes;
        self
    }

    /// Where init's own program is while it is executed.
    pub fn init_program(mut self, place: InitProgram) -> Self {
        self.init_program = place;
        self
    }

    /// As [`Plan::fail_at`], for tests.
    pub fn fail_at(mut self, step: u32, errno: i32) -> Self {
        self.fault = Some((step, errno));
        self
    }

    /// Executes the process, hands on the signals and the terminal of the caller, and waits for it.
    ///
    /// # Errors
    /// [`Error::WrongStatus`] when the container is stopped or paused; [`Error::Execute`] and
    /// [`Error::Step`] when the process can't be executed. The container is as it was then.
    pub fn run(mut self, signals: Option<&Signals>) -> Result<ExitStatus, Error> {
        let init = self.running()?;
        let cgroup = self.own_cgroup(&init)?;
        let plan = self.plan(&init, cgroup.as_ref(), true)?;
        let mut process = self.start(&plan, cgroup.as_ref(), &init)?;
        let mut relay = process
            .take_console()
            .map(Relay::to_standard_output)
            .transpose()?;
        let status = foreground::wait(&mut process, signals, relay.as_mut());
        drop(relay);
        process.remove().and(status)
    }

    /// Executes the process and returns its pid, as the host sees it.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_detached(mut self) -> Result<i32, Error> {
        let init = self.running()?;
        let cgroup = self.own_cgroup(&init)?;
        let plan = self.plan(&init, cgroup.as_ref(), false)?;
        let process = self.start(&plan, cgroup.as_ref(), &init)?;
        let pid = process.pid().as_raw();
        process.let_go().keep();
        Ok(pid)
    }

    /// The container's first process, if another one can be executed beside it.
    fn running(&self) -> Result<OwnedFd, Error> {
        let init = self.container.init()?;
        let status = self.container.status_of(init.as_ref())?;
        match (init, status) {
            (Some(init), Status::Created | Status::Running) => Ok(init),
            (Some(init), Status::Paused) if self.ignore_paused => Ok(init),
            (_, Status::Paused) => Err(self
                .container
                .refused("cannot exec in a paused container", status)),
            _ => Err(self
                .container
                .refused("cannot exec in a stopped container", status)),
        }
    }

    fn plan(
        &mut self,
        init: &OwnedFd,
        cgroup: Option<&Cgroup>,
        foreground: bool,
    ) -> Result<Plan, Error> {
        let mut spec = self.container.spec()?;
        spec.process = std::mem::take(&mut self.process);
        spec.extension.session_keyring = self.container.record.new_keyring;
        spec.extension.preserved_descriptors =
            u32::try_from(self.inherited.len()).unwrap_or(u32::MAX);
        spec.extension.task_files = cgroup.map_or(0, Cgroup::legacy_trees);
        if self.listen > 0 {
            let count = format!("LISTEN_FDS={}", self.listen);
            spec.process.env.push(count.into());
        }
        console::prepare(
            &mut spec.process,
            self.console_socket.as_deref(),
            foreground,
        )?;
        let joined = self.container.namespaces_to_join(&spec, init)?;
        let pid = self.container.record.init.map_or(0, |init| init.pid);
        let own = init
            .try_clone()
            .map_err(|source| Error::Identity { pid, source })?;
        let plan = Plan::exec(&spec, &joined, &Host::current()?)?;
        let mut plan = plan.joining(own);
        if plan.attaches_root() {
            plan.attached(root_mount::open(&self.container.record)?);
        }
        for warning in plan.warnings() {
            log::warn!("{warning}");
        }
        plan.init_program(self.init_program);
        if let Some((step, errno)) = self.fault {
            plan.fail_at(step, errno);
        }
        Ok(plan)
    }

    fn start<'plan>(
        &self,
        plan: &'plan Plan,
        cgroup: Option<&Cgroup>,
        init: &OwnedFd,
    ) -> Result<Process<'plan>, Error> {
        let connect = |path: &Option<PathBuf>| path.as_deref().map(Receiver::connect).transpose();
        let (console, pidfd) = (connect(&self.console_socket)?, connect(&self.pidfd_socket)?);
        let launched = match cgroup.is_some_and(lacks_v2) {
            true => None,
            false => match self.launch(plan, cgroup) {
                Err(error) if self.cgroups.is_empty() && is_of_divided_cgroup(&error) => None,
                launched => Some(launched?),
            },
        };
        let mut process = match launched {
            Some(process) => process,
            None => self.launch(plan, Some(&self.container.cgroup_of_init(init)?))?,
        };
        process.prepare(cgroup, &mut |_| Ok(()))?;
        if let Some(to) = plan.listener()
            && let Some(listener) = process.take_listener()
        {
            let state = self.container.state()?;
            let (version, pid) = (&self.container.record.oci_version, process.pid().as_raw());
            listener::send(to, listener.as_fd(), version, pid, &state)?;
        }
        if let Some(receiver) = &console
            && let Some(master) = process.take_console()
        {
            receiver.send(master.as_fd(), "/dev/ptmx")?;
        }
        if let Some(receiver) = &pidfd {
            receiver.send(process.pidfd(), "pidfd")?;
        }
        if let Some(path) = &self.pid_file {
            write_pid_file(path, process.pid().as_raw())?;
        }
        let started = process.start();
        if started.is_err()
            && let Some(path) = &self.pid_file
        {
            // It names a process that has ended.
            let _ = std::fs::remove_file(path);
        }
        started.map(|()| process)
    }

    fn launch<'plan>(
        &self,
        plan: &'plan Plan,
        cgroup: Option<&Cgroup>,
    ) -> Result<Process<'plan>, Error> {
        let surroundings = Surroundings {
            descriptors: self.inherited.iter().map(AsFd::as_fd).collect(),
            cgroup: cgroup.and_then(Cgroup::unified),
        };
        Process::launch(plan, &surroundings)
    }

    /// The container's cgroup, or the one below it that was asked for. Whoever is executed in the
    /// container is limited like it in every tree, or not executed.
    fn own_cgroup(&self, init: &OwnedFd) -> Result<Option<Cgroup>, Error> {
        let (container, record) = (self.container, &self.container.record);
        let is_own = self.cgroups.is_empty();
        let place = match &record.cgroup {
            Some(place) if !is_own => cgroup::below(place, &self.cgroups)?,
            None if !is_own => cgroup::below("", &self.cgroups)?,
            Some(place) if record.cgroup_made => place.clone(),
            _ => return Ok(None),
        };
        let open = || {
            let place = Place::parse(place.as_bytes())?;
            let cgroup = Cgroup::open(&Hierarchy::of_known_places()?, &place)?;
            Ok((place, cgroup))
        };
        let (place, cgroup) = open().map_err(cgroup::failed("open the cgroup of the process"))?;
        let trees = cgroup.as_ref().map_or(0, Cgroup::legacy_trees);
        match cgroup {
            Some(cgroup) if trees == place.legacy_trees() && (is_own || !lacks_v2(&cgroup)) => {
                Ok(Some(cgroup))
            }
            None if is_own && place.legacy_trees() == 0 => container.cgroup_of_init(init).map(Some),
            _ if is_own => Err(container.cgroup_is_gone()),
            _ => Err(Error::invalid(
                "--cgroup",
                format!("{} does not exist", self.cgroups.join(" ")),
            )),
        }
    }
}

/// Whether its directory in the tree of v2 is gone.
fn lacks_v2(cgroup: &Cgroup) -> bool {
    cgroup.unified().is_none() && cgroup.place().unified_path().is_some()
}

/// Whether a process can't be made in a cgroup of v2 because that hands controllers on: then only
/// those below it may have processes.
fn is_of_divided_cgroup(error: &Error) -> bool {
    let Error::Namespaces { source, .. } = error else {
        return false;
    };
    let answer = source
        .source()
        .and_then(|it| it.downcast_ref::<io::Error>());
    answer.and_then(io::Error::raw_os_error) == Some(libc::EBUSY)
}

impl Container {
    /// The kinds of namespaces that its first process has and this one has not: the kernel refuses
    /// to join a user namespace that one is in.
    ///
    /// One of another kind that was made for the container is another one, or does no harm when it
    /// is joined again: looking costs more than all that is done by its result.
    fn namespaces_to_join(&self, spec: &Spec, init: &OwnedFd) -> Result<Vec<Namespace>, Error> {
        let pid = self.record.init.map_or(0, |init| init.pid);
        let look = |of: &str, kind: Namespace| {
            // What counts here is where this program's children are.
            let name = match kind {
                Namespace::Pid if of == "self" => "pid_for_children",
                kind => kind.name(),
            };
            stat(format!("/proc/{of}/ns/{name}").as_str()).map(|stat| (stat.st_dev, stat.st_ino))
        };
        let mut joined = Vec::new();
        for kind in Namespace::ALL {
            let failed = |errno: Errno| Error::Identity {
                pid,
                source: errno.into(),
            };
            if kind != Namespace::User && spec.linux.makes(kind) {
                joined.push(kind);
                continue;
            }
            match (look("self", kind), look(&pid.to_string(), kind)) {
                (Ok(own), Ok(theirs)) if own == theirs => {}
                (Ok(_), Ok(_)) => joined.push(kind),
                // A kernel without this kind.
                (Err(Errno::NOENT), _) => {}
                (Err(errno), _) | (_, Err(errno)) => return Err(failed(errno)),
            }
        }
        // What was looked at by its pid was the container's own, if that is still there.
        match crate::state::has_ended(init.as_fd())? {
            false => Ok(joined),
            true => Err(self.refused("cannot exec in a stopped container", Status::Stopped)),
        }
    }

    /// The cgroup of v2 that its first process is in by now.
    fn cgroup_of_init(&self, init: &OwnedFd) -> Result<Cgroup, Error> {
        let pid = self.record.init.map_or(0, |init| init.pid);
        let memberships = std::fs::read(format!("/proc/{pid}/cgroup"));
        // What was read by its pid is its own, if it is still there.
        if crate::state::has_ended(init.as_fd())? {
            return Err(self.refused("cannot exec in a stopped container", Status::Stopped));
        }
        let memberships = memberships.map_err(|source| Error::Identity { pid, source })?;
        let open = || {
            // No controller needs a tree of v1.
            let place = Place::parse(&memberships)?.only_for(Controllers::NONE);
            Cgroup::open(&Hierarchy::of_this_process()?, &place)
        };
        let opened = open().map_err(cgroup::failed("enter the cgroup of the first process"))?;
        opened.ok_or_else(|| self.cgroup_is_gone())
    }
}
