//! The making of a container: everything up to the point where only its program is missing, and
//! nothing of it when that fails.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use crabcan_cgroups::Cgroup;
use crabcan_ns::{Child, Namespace};
use rustix::fs::{CWD, Mode as FileMode, OFlags, ResolveFlags, openat2};

use super::placement::{self, Placement};
use super::{Creation, root_mount, run_hooks, scope, state_of};
use crate::handover::{Receiver, write_pid_file};
use crate::launch::Surroundings;
use crate::process::Process;
use crate::resctrl::{self, Resctrl};
use crate::spec::{MAX_BYTES, Spec};
use crate::state::{Entry, Identity, Lock, Record, Status, VERSION, timestamp};
use crate::{Error, Host, Plan, console, listener, notify};

/// What was read and decided before anything is done.
pub(super) struct Draft {
    pub(super) configuration: Vec<u8>,
    pub(super) spec: Box<Spec>,
    pub(super) plan: Box<Plan>,
    pub(super) placement: Placement,
    pub(super) bundle: PathBuf,
    pub(super) console: Option<Receiver>,
    pub(super) pidfd: Option<Receiver>,
}

/// What is there once init waits for the word to go on.
pub(super) struct Prepared<'plan> {
    /// Ended before its cgroup can be removed, when this is dropped.
    pub(super) process: Process<'plan>,
    pub(super) cgroup: Option<Cgroup>,
    pub(super) record: Record,
}

impl Prepared<'_> {
    /// Lets all of it live on.
    pub(super) fn let_go(self) -> (Record, Child) {
        if let Some(cgroup) = self.cgroup {
            cgroup.keep();
        }
        (self.record, self.process.let_go())
    }
}

/// Who will wait for the program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Nobody: `start` executes it.
    Created,
    /// Nobody, and it is executed at once.
    Detached,
    /// The caller, with its terminal.
    Foreground,
}

impl Creation {
    /// Reads and decides everything; nothing is done but to connect to those who wait.
    pub(super) fn draft(&self, mode: Mode) -> Result<Draft, Error> {
        let bundle = self.bundle()?;
        let configuration = self.read_configuration(&bundle)?;
        let mut spec = self.specification(&bundle, &configuration, mode)?;
        if self.manager.is_some() {
            notify::add_to(&mut spec, &self.root.path().join(self.id.as_str()));
        }
        let foreground = mode == Mode::Foreground;
        console::prepare(
            &mut spec.process,
            self.console_socket.as_deref(),
            foreground,
        )?;
        let host = Host::current()?;
        let (placement, mut plan) =
            placement::decide(self.cgroup_manager, &mut spec, &host, &self.id)?;
        for warning in plan.warnings() {
            // Engines send such things always, and show their users all of standard error.
            log::debug!("{warning}");
        }
        plan.init_program(self.init_program);
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
            placement,
            bundle,
        })
    }

    /// What [`Creation::run`] would do: nothing is done, and nobody is told.
    ///
    /// # Errors
    /// [`Error::Path`] and [`Error::Invalid`] when the configuration can't be read or planned.
    pub fn plan(&self) -> Result<Plan, Error> {
        let bundle = self.bundle()?;
        let configuration = self.read_configuration(&bundle)?;
        let mut spec = self.specification(&bundle, &configuration, Mode::Foreground)?;
        let host = Host::current()?;
        let decided = placement::decide(self.cgroup_manager, &mut spec, &host, &self.id);
        decided.map(|(_, plan)| *plan)
    }

    fn bundle(&self) -> Result<PathBuf, Error> {
        let bundle = canonical(&self.bundle);
        bundle.map_err(|source| self.not_read(&self.bundle, source))
    }

    fn specification(&self, bundle: &Path, text: &[u8], mode: Mode) -> Result<Box<Spec>, Error> {
        let mut spec = Spec::boxed_from_json(text)?;
        spec.extension.bundle = Some(bundle.to_owned());
        spec.extension.id = self.id.to_string();
        spec.extension.session_keyring = self.new_keyring;
        spec.extension.no_pivot = self.no_pivot;
        spec.extension.await_start = mode == Mode::Created;
        spec.extension.preserved_descriptors =
            u32::try_from(self.inherited.len()).unwrap_or(u32::MAX);
        self.add_environment(&mut spec);
        Ok(spec)
    }

    fn read_configuration(&self, bundle: &Path) -> Result<Vec<u8>, Error> {
        let path = match &self.configuration {
            Some(path) => path.clone(),
            None => bundle.join("config.json"),
        };
        // Room for a small configuration at once: an empty vector is filled in small bites.
        let mut bytes = Vec::with_capacity(4 << 10);
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

    /// Does everything up to the point where only the program is missing.
    pub(super) fn make<'plan>(
        &self,
        entry: &Entry,
        draft: &'plan Draft,
        mode: Mode,
    ) -> Result<Prepared<'plan>, Error> {
        let mut record = self.record(draft, mode);
        entry.keep_configuration(&draft.configuration)?;
        let mut cgroup = self.make_cgroup(entry, draft, &mut record)?;
        if draft.plan.attaches_root() {
            root_mount::attach(entry, &draft.plan, &mut record)?;
        }
        entry.write(&record)?;
        let mut process = self.launch(entry, draft, mode, cgroup.as_ref())?;
        let pid = process.pid().as_raw();
        record.init = Some(Identity::of(pid, process.pidfd())?);
        // In a cgroup of its own it is found also by who knows nothing else of it, after a crash: the
        // record that is written when all is done is early enough. A hook may ask sooner.
        let hooks = &draft.spec.hooks;
        let is_asked = !hooks.prestart.is_empty() || !hooks.create_runtime.is_empty();
        if is_asked || !record.cgroup_made {
            entry.write(&record)?;
        }
        if let Placement::Scope(scope) = &draft.placement {
            let made = scope.start(pid, entry, draft, &mut record)?;
            record.cgroup = Some(made.place().to_string());
            record.cgroup_made = true;
            entry.write(&record)?;
            cgroup = Some(made);
        }
        if let Some(wanted) = draft.plan.intel_rdt() {
            let groups = Resctrl::join(&resctrl::mounted()?, wanted, self.id.as_str(), pid)?;
            record.resctrl = groups.made;
            entry.write(&record)?;
        }
        process.prepare(cgroup.as_ref(), &mut |child| {
            // A hook may ask for the container by its id.
            if follow(child, &mut record)? {
                entry.write(&record)?;
            }
            let state = state_of(&record, Status::Creating);
            run_hooks("prestart", &hooks.prestart, &state)?;
            run_hooks("createRuntime", &hooks.create_runtime, &state)
        })?;
        follow(process.child(), &mut record)?;
        self.hand_over(draft, &record, &mut process)?;
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

    fn launch<'plan>(
        &self,
        entry: &Entry,
        draft: &'plan Draft,
        mode: Mode,
        cgroup: Option<&Cgroup>,
    ) -> Result<Process<'plan>, Error> {
        if self.manager.is_some() {
            entry.make_directory(notify::DIRECTORY)?;
        }
        let fifo = (mode == Mode::Created).then(|| entry.make_fifo());
        let fifo = fifo.transpose()?;
        let inherited = fifo.iter().chain(&self.inherited);
        let surroundings = Surroundings {
            descriptors: inherited.map(AsFd::as_fd).collect(),
            cgroup: cgroup.and_then(Cgroup::unified),
        };
        Process::launch(&draft.plan, &surroundings)
    }

    /// Where it will be is written down before: nobody else would find it after a crash.
    pub(super) fn make_cgroup(
        &self,
        entry: &Entry,
        draft: &Draft,
        record: &mut Record,
    ) -> Result<Option<Cgroup>, Error> {
        let resources = draft.plan.resources();
        draft.placement.note(record);
        entry.write(record)?;
        let made = draft.placement.make(entry, draft, record);
        record.cgroup_made = made.as_ref().is_ok_and(Option::is_some);
        match made {
            Err(error) if placement::is_optional(&draft.spec, draft.plan.host(), resources) => {
                log::debug!("no cgroup: {error}");
                record.cgroup = None;
                Ok(None)
            }
            made => made,
        }
    }

    /// Gives to others what they wait for.
    fn hand_over(
        &self,
        draft: &Draft,
        record: &Record,
        process: &mut Process<'_>,
    ) -> Result<(), Error> {
        if let Some(to) = draft.plan.listener()
            && let Some(listener) = process.take_listener()
        {
            let (version, pid) = (&record.oci_version, process.pid().as_raw());
            let state = state_of(record, Status::Creating);
            listener::send(to, listener.as_fd(), version, pid, &state)?;
        }
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

    pub(super) fn record(&self, draft: &Draft, mode: Mode) -> Record {
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
            cgroup_made: false,
            device_program: None,
            scope: None,
            resctrl: Vec::new(),
            root_mount: None,
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
    pub(super) fn undo(&self, entry: &Entry, lock: Lock, draft: &Draft, error: Error) -> Error {
        let record = entry.read();
        // It is written when the record is complete: before that the file is somebody else's.
        let is_own = record.as_ref().is_ok_and(|record| record.complete)
            && !matches!(error, Error::PidFile { .. });
        if let Some(path) = self.pid_file.as_ref().filter(|_| is_own) {
            // Somebody may have taken it away.
            let _ = std::fs::remove_file(path);
        }
        let left = record.map_or(Ok(()), |record| {
            scope::stop(&record)?;
            root_mount::take_away(&record)?;
            let made = record.resctrl;
            Resctrl { made }.remove()
        });
        if let Err(unclean) = left.and_then(|()| entry.remove()) {
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

/// The path of a directory without links and dots. One that has none is taken as it is: realpath(3)
/// looks at each directory on the way, and takes memory by five calls of its own.
fn canonical(path: &Path) -> std::io::Result<PathBuf> {
    let whole: PathBuf = std::path::absolute(path)?.components().collect();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let has_no_links = || {
        openat2(
            CWD,
            &whole,
            flags,
            FileMode::empty(),
            ResolveFlags::NO_SYMLINKS,
        )
        .is_ok()
    };
    match !whole.components().any(|part| part == Component::ParentDir) && has_no_links() {
        true => Ok(whole),
        false => path.canonicalize(),
    }
}

/// Notes who goes on as the container's first process, if that is another than was launched;
/// whether it is.
fn follow(child: &Child, record: &mut Record) -> Result<bool, Error> {
    let pid = child.pid().as_raw();
    if record.init.is_some_and(|known| known.pid == pid) {
        return Ok(false);
    }
    record.init = Some(Identity::of(pid, child.pidfd())?);
    Ok(true)
}
