//! The plan: everything that will be done to make a container, decided before any of it is done.

mod compose;
mod explain;
mod late;
mod properties;
mod provision;

pub(crate) use compose::{
    SchedulerNumbers, check_intel_rdt, hook_outputs, memory_words, resources, tmpfs_options,
};

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::sync::OnceLock;
use std::time::Duration;

use crabcan_cgroups::Resources;
use crabcan_init::format::{Fault, FlatPlan};
use crabcan_init::message::Message;
use crabcan_init::{PlanWriter, Step};
use crabcan_ns::{Namespace, Namespaces};
use crabcan_seccomp::Learner;
use crabcan_seccomp::json::Listener;

use crate::ids::IdRange;
use crate::launch::InitProgram;
use crate::limits::{Limits, Unenforced};
use crate::net_devices::NetDevice;
use crate::spec::{IntelRdt, Spec};
use crate::{Error, Host};

pub use explain::Explanation;
pub(crate) use late::LateSteps;
pub(crate) use properties::Properties;
pub(crate) use provision::{IdMapping, IdMaps, MountToSend, Provision};

/// The validated list of everything that makes a container: immutable, and free of side effects.
#[derive(Debug)]
pub struct Plan {
    host: Host,
    namespaces: Namespaces,
    id_maps: Option<IdMaps>,
    provisions: Vec<Provision>,
    /// Whether the mounts among them are locked.
    locks_mounts: bool,
    writer: PlanWriter,
    program: OsString,
    reaper: bool,
    limits: Option<Limits>,
    unenforced: Vec<Unenforced>,
    /// How long the program may run.
    time_limit: Option<Duration>,
    /// Whether init goes on in a child, which is the parent's own.
    forks: bool,
    /// Init waits for somebody's word besides what it is provided with and the word to start.
    stops: bool,
    /// How the child is scheduled in which init goes on, where only the parent may say so.
    schedule_of_child: Option<SchedulerNumbers>,
    resources: Resources,
    intel_rdt: Option<IntelRdt>,
    changed: Vec<(Namespace, &'static str)>,
    net_devices: Vec<NetDevice>,
    warnings: Vec<String>,
    properties: Properties,
    /// Whether init notes when each step has ended.
    timed: bool,
    /// Whether system calls are filtered, and who answers for those that ask.
    filtered: bool,
    listener: Option<Listener>,
    /// For whoever is asked about every call.
    learner: Option<Learner>,
    fault: Option<Fault>,
    place_of_init: InitProgram,
    /// The first process of the container that is joined.
    container: Option<OwnedFd>,
    /// The root that is attached among the host's mounts, once it is.
    root: OnceLock<OwnedFd>,
    /// The ids of the container, held for as long as the plan is there.
    ids: Option<IdRange>,
}

impl Plan {
    /// Decides everything about a container. Nothing is done yet, and nothing of the host is
    /// looked at but what `host` says.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the field that is wrong, as in `config.json`; [`Error::Kernel`] below
    /// Linux 5.10; [`Error::PlanTooLong`] above 16 MiB.
    pub fn new(spec: &Spec, host: &Host) -> Result<Self, Error> {
        host.check_kernel()?;
        compose::compose(spec, host)
    }

    /// Decides how a process joins a container that runs.
    ///
    /// `spec` is the configuration that it was made from, with the process that joins in place of
    /// its own: of the rest there counts what it says of everything in the container, the filter of
    /// system calls, the personality and the memory policy. `joined` names the namespaces in which
    /// its first process is and the caller is not: they are joined all at once by that process'
    /// pidfd. Its cgroup is entered by the clone, and those of v1 by the first step.
    ///
    /// # Errors
    /// As [`Plan::new`] has them; [`Error::Invalid`] for `await_start`.
    pub fn exec(spec: &Spec, joined: &[Namespace], host: &Host) -> Result<Self, Error> {
        host.check_kernel()?;
        compose::exec(spec, joined, host)
    }

    /// Every step that init will do, in order and in words: what `crabcan explain` prints, and what
    /// [`Error::Step`] says. Strings of the specification are escaped.
    #[must_use]
    pub fn steps(&self) -> Vec<String> {
        let flat = self.writer.finish(None);
        let plan = FlatPlan::parse(&flat);
        plan.map(|plan| plan.steps().map(|step| step.to_string()).collect())
            .unwrap_or_default()
    }

    /// What could not be done as it was asked for, where the specification wants a warning for that
    /// and no failure: capabilities that can't be granted. Each names its property.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The namespaces that the container gets of its own.
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// The maps of its user and group ids, if it has a user namespace.
    #[must_use]
    pub fn id_map_lines(&self) -> Option<(String, String)> {
        self.id_maps
            .as_ref()
            .map(|maps| (maps.uid.to_string(), maps.gid.to_string()))
    }

    /// Makes the step with this index fail with this error number instead of being done; with 0,
    /// init ends without a word. For tests of what happens then: it can only make a container fail,
    /// since no value lets init go on without the step.
    pub fn fail_at(&mut self, step: u32, errno: i32) {
        self.fault = Some(Fault { step, errno });
    }

    /// Where init's own program is while it is executed.
    pub fn init_program(&mut self, place: InitProgram) {
        self.place_of_init = place;
    }

    pub(crate) fn place_of_init(&self) -> InitProgram {
        self.place_of_init
    }

    /// Whether the program's system calls are filtered.
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        self.filtered
    }

    /// What learns from the calls of a sandbox that is [observed](crate::Sandbox::observed).
    #[must_use]
    pub fn learner(&self) -> Option<Learner> {
        self.learner.clone()
    }

    pub(crate) fn is_observed(&self) -> bool {
        self.learner.is_some()
    }

    /// Who answers for the system calls that ask: for [`listener::send`](crate::listener::send).
    #[must_use]
    pub fn listener(&self) -> Option<&Listener> {
        self.listener.as_ref()
    }

    /// Says which container is joined, by the pidfd of its first process: for a plan of
    /// [`Plan::exec`].
    #[must_use]
    pub fn joining(mut self, container: OwnedFd) -> Self {
        self.container = Some(container);
        self
    }

    pub(crate) fn is_timed(&self) -> bool {
        self.timed
    }

    pub(crate) fn container(&self) -> Option<BorrowedFd<'_>> {
        self.container.as_ref().map(AsFd::as_fd)
    }

    /// Whether its root is attached among the host's mounts, where there is no mount namespace.
    pub(crate) fn attaches_root(&self) -> bool {
        let mut provisions = self.provisions.iter();
        provisions.any(|provision| matches!(provision, Provision::Root))
    }

    /// The mount that is its root then.
    pub(crate) fn root(&self) -> Option<BorrowedFd<'_>> {
        self.root.get().map(AsFd::as_fd)
    }

    /// Says which mount that is; the first one stays.
    pub(crate) fn attached(&self, root: OwnedFd) {
        let _ = self.root.set(root);
    }

    pub(crate) fn set_ids(&mut self, ids: Option<IdRange>) {
        self.ids = ids;
    }

    pub(crate) fn set_unenforced(&mut self, unenforced: Vec<Unenforced>) {
        self.unenforced = unenforced;
    }

    pub(crate) fn set_time_limit(&mut self, limit: Option<Duration>) {
        self.time_limit = limit;
    }

    /// How long the program may run, from its start on.
    #[must_use]
    pub fn time_limit(&self) -> Option<Duration> {
        self.time_limit
    }

    /// The container's cgroup, if it gets one.
    #[must_use]
    pub fn limits(&self) -> Option<&Limits> {
        self.limits.as_ref()
    }

    /// What was to be limited if possible, and the host has nothing to limit it with.
    #[must_use]
    pub fn unenforced(&self) -> &[Unenforced] {
        &self.unenforced
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// A plan whose init waits in a user namespace of its own, and others, for maps that it is never
    /// told of.
    pub(crate) fn waiting_in(namespaces: Namespaces, init: InitProgram) -> Result<Self, Error> {
        let mut writer = PlanWriter::new();
        writer.push(&Step::AwaitIdMaps {})?;
        Ok(Self {
            host: Host::current()?,
            namespaces,
            id_maps: None,
            provisions: Vec::new(),
            locks_mounts: false,
            writer,
            program: OsString::new(),
            reaper: false,
            limits: None,
            unenforced: Vec::new(),
            time_limit: None,
            forks: false,
            stops: true,
            schedule_of_child: None,
            filtered: false,
            listener: None,
            learner: None,
            resources: Resources::default(),
            intel_rdt: None,
            changed: Vec::new(),
            net_devices: Vec::new(),
            warnings: Vec::new(),
            properties: Properties::default(),
            timed: false,
            fault: None,
            place_of_init: init,
            container: None,
            root: OnceLock::new(),
            ids: None,
        })
    }

    /// What the container's cgroup limits.
    #[must_use]
    pub fn resources(&self) -> &Resources {
        &self.resources
    }

    /// The share of caches and memory bandwidth that its first process is put into.
    pub(crate) fn intel_rdt(&self) -> Option<&IntelRdt> {
        self.intel_rdt.as_ref()
    }

    /// The kinds of namespaces whose names or settings are changed, and by which property.
    pub(crate) fn changed(&self) -> &[(Namespace, &'static str)] {
        &self.changed
    }

    /// The network devices that become the container's.
    pub(crate) fn net_devices(&self) -> &[NetDevice] {
        &self.net_devices
    }

    /// What the parent hands to init, in the order in which init takes it.
    pub(crate) fn provisions(&self) -> &[Provision] {
        &self.provisions
    }

    /// Whether the kernel is to lock the mounts that are handed to init.
    pub(crate) fn locks_mounts(&self) -> bool {
        self.locks_mounts
    }

    /// Which property the parent hands something to init for; empty where none asks for it.
    pub(crate) fn provided_for(&self, index: usize) -> &str {
        self.properties.of_provision(index)
    }

    pub(crate) fn forks(&self) -> bool {
        self.forks
    }

    pub(crate) fn stops(&self) -> bool {
        self.stops
    }

    pub(crate) fn schedule_of_child(&self) -> Option<&SchedulerNumbers> {
        self.schedule_of_child.as_ref()
    }

    pub(crate) fn has_reaper(&self) -> bool {
        self.reaper
    }

    /// Whether init is to be unreadable: not for an ordinary user, who could not write its id maps
    /// then.
    pub(crate) fn hides_init(&self) -> bool {
        self.host.privileged && self.namespaces.makes(Namespace::User)
    }

    pub(crate) fn flatten(&self) -> Vec<u8> {
        self.writer.finish(self.fault)
    }

    /// What a failed step means, in words.
    pub(crate) fn failure(&self, index: u32, detail: u32, source: io::Error) -> Error {
        let flat = self.writer.finish(None);
        let step = FlatPlan::parse(&flat).ok().and_then(|plan| {
            plan.steps()
                .nth(usize::try_from(index).ok()?)
                .map(|step| self.words(&step, detail))
        });
        match step {
            Some((step, None)) => Error::Step {
                index,
                property: self.properties.of_step(index).to_owned(),
                step,
                source: late::reason(detail, source),
            },
            Some((_, Some((program, interpreter)))) => Error::Execute {
                program,
                interpreter,
                source,
            },
            None => Error::PlanRefused { source },
        }
    }

    /// A step in words; for the execution of the program, the program and whether its file is there.
    fn words(&self, step: &Step<'_>, detail: u32) -> (String, Option<(OsString, bool)>) {
        let (Step::Exec { candidates, .. } | Step::FindProgram { candidates }) = step else {
            return (step.to_string(), None);
        };
        let interpreter = detail & Message::NO_INTERPRETER != 0;
        let candidate = usize::try_from(detail & !Message::NO_INTERPRETER).unwrap_or(0);
        let found = candidates.iter().nth(candidate).filter(|_| detail != 0);
        let program = found.map_or_else(
            || self.program.clone(),
            |path| OsString::from_vec(path.to_bytes().to_vec()),
        );
        (String::new(), Some((program, interpreter)))
    }
}

/// A string for the kernel; one with a NUL in it is refused by its name.
pub(crate) fn c_string(field: &str, text: impl Into<OsString>) -> Result<CString, Error> {
    CString::new(text.into().into_vec())
        .map_err(|_| Error::invalid(field, "contains a NUL character"))
}
