//! A sandbox: a command in a container that is isolated unless it is told otherwise.

mod environment;
mod hidden;
mod limits;
mod pieces;
mod root;
mod seccomp;
mod wall;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crabcan_caps::CapabilitySet;
use crabcan_cgroups::Resources;
use crabcan_ns::{ExitStatus, Namespace};
use crabcan_rootfs::{MountAttributes, mask};

pub use self::seccomp::Seccomp;
use crate::ids::{self, IdRange};
use crate::spec::{
    ConsoleSize, Extension, IdMapping, Linux, Operation, Process, ResourceLimit, Spec, Terminal,
    User,
};
use crate::{Error, Host, LandlockMode, Plan, hostname};

/// Describes a command to be run in a sandbox; reads like [`std::process::Command`].
///
/// Setters never fail: what is wrong is said by [`Sandbox::plan`], before anything is done.
#[derive(Clone, Debug)]
#[must_use]
pub struct Sandbox {
    args: Vec<OsString>,
    uid: Option<u32>,
    root: Option<PathBuf>,
    added: Vec<(PathBuf, PathBuf)>,
    hostname: Option<String>,
    rlimits: Vec<ResourceLimit>,
    time_limit: Option<Duration>,
    terminal: Option<Terminal>,
    as_pid_1: bool,
    kinds: Vec<Namespace>,
    joined: Vec<(Namespace, PathBuf)>,
    seccomp: Seccomp,
    gid: Option<u32>,
    own_ids: bool,
    bare: bool,
    operations: Vec<Operation>,
    environment: Vec<environment::Change>,
    directory: Option<PathBuf>,
    argv0: Option<OsString>,
    lock_files: Vec<PathBuf>,
    no_user_namespaces: bool,
    die_with_parent: bool,
    capabilities: Option<CapabilitySet>,
    raw_filters: Vec<Vec<u8>>,
    observed: bool,
    mapped_by_caller: bool,
    late_user_namespace: Option<PathBuf>,
    exec_label: Option<String>,
    landlock: Option<LandlockMode>,
    timings: bool,
    required: Resources,
    optional: Resources,
}

impl Sandbox {
    /// A sandbox for this program: a path in the sandbox, or a name to be looked for in `PATH`.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            args: vec![program.into()],
            uid: None,
            root: None,
            added: Vec::new(),
            hostname: None,
            rlimits: Vec::new(),
            time_limit: None,
            terminal: None,
            as_pid_1: false,
            kinds: ISOLATED.to_vec(),
            joined: Vec::new(),
            seccomp: Seccomp::Default,
            gid: None,
            own_ids: false,
            bare: false,
            operations: Vec::new(),
            environment: Vec::new(),
            directory: None,
            argv0: None,
            lock_files: Vec::new(),
            no_user_namespaces: false,
            die_with_parent: false,
            capabilities: None,
            raw_filters: Vec::new(),
            observed: false,
            mapped_by_caller: false,
            late_user_namespace: None,
            exec_label: None,
            landlock: None,
            timings: false,
            required: Resources::default(),
            optional: Resources::default(),
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// The user and group id in the sandbox; by default the caller's own.
    pub fn uid(mut self, uid: u32) -> Self {
        self.uid = Some(uid);
        self
    }

    /// Takes a directory as the root instead of the host's own. What is written in the sandbox is
    /// written there, unless a mount point is missing in it: then the root is an overlay, and what
    /// is written is thrown away.
    pub fn root(mut self, directory: impl Into<PathBuf>) -> Self {
        self.root = Some(directory.into());
        self
    }

    /// Makes a file or directory of the host appear in the sandbox, where it can be written. A relative
    /// source begins at the working directory.
    pub fn add(mut self, source: impl Into<PathBuf>, destination: impl Into<PathBuf>) -> Self {
        self.added.push((source.into(), destination.into()));
        self
    }

    /// The host name; by default a generated one.
    pub fn hostname(mut self, name: impl Into<String>) -> Self {
        self.hostname = Some(name.into());
        self
    }

    /// Gives the command a terminal of its own; [`crate::Process::take_console`] hands out its master.
    pub fn terminal(mut self, terminal: Option<Terminal>) -> Self {
        self.terminal = terminal;
        self
    }

    /// Executes the command as the first process itself. Nobody reaps its orphans then, signals
    /// without a handler do not reach it, and it ends with the *thread* that made the container.
    pub fn as_pid_1(mut self, yes: bool) -> Self {
        self.as_pid_1 = yes;
        self
    }

    /// Makes no user namespace, so that ids in the sandbox are those of the host: needs root.
    pub fn host_users(self, yes: bool) -> Self {
        match yes {
            true => self.share(Namespace::User),
            false => self.unshare(Namespace::User),
        }
    }

    /// Chooses the filter of system calls: without this, [`Seccomp::Default`].
    pub fn seccomp(mut self, seccomp: Seccomp) -> Self {
        self.seccomp = seccomp;
        self
    }

    /// Decides everything, and does nothing yet but one thing: for a privileged caller it takes a
    /// range of ids, which is the plan's until that is dropped.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Path`] and [`Error::Rootfs`] name what is wrong; [`Error::Ids`]
    /// when every range is in use or `/run/crabcan` can't be used; [`Error::Limits`] for a limit that
    /// the host or the lack of delegation does not allow; [`Error::Kernel`] below
    /// Linux 5.10.
    pub fn plan(&self) -> Result<Plan, Error> {
        let host = Host::current()?;
        host.check_kernel()?;
        let leases = self.makes(Namespace::User) && !self.own_ids;
        let ids = if host.privileged && leases {
            Some(ids::take()?)
        } else {
            None
        };
        let mut spec = self.spec(&host, ids.as_ref())?;
        let (limits, unenforced) = self.limits()?;
        spec.extension.limits = limits;
        let mut plan = Plan::new(&spec, &host)?;
        plan.set_ids(ids);
        plan.set_unenforced(unenforced);
        plan.set_time_limit(self.time_limit);
        Ok(plan)
    }

    /// Runs the command to its end.
    ///
    /// # Errors
    /// As [`Sandbox::plan`] and [`crate::Process::spawn`] have.
    pub fn status(&self) -> Result<ExitStatus, Error> {
        let plan = self.plan()?;
        let mut container = crate::Process::spawn(&plan)?;
        let status = container.wait()?;
        container.remove()?;
        Ok(status)
    }

    fn spec(&self, host: &Host, ids: Option<&IdRange>) -> Result<Box<Spec>, Error> {
        let user = self.user(host)?;
        let dies = self.as_pid_1 && (self.die_with_parent || !self.bare);
        let mut spec = Box::<Spec>::default();
        spec.process = self.process(&user)?;
        spec.hostname = self.hostname_or_generated();
        spec.linux = self.linux(host, ids, &user);
        spec.extension = Extension {
            reaper: !self.as_pid_1,
            parent_death_signal: dies.then_some(SIGKILL),
            recursive_root: true,
            root_attributes: MountAttributes::NOSUID | MountAttributes::NODEV,
            idmap_root: ids.is_some() && self.root.is_some(),
            idmap_operations: ids.is_some(),
            default_dev: !self.bare,
            session_keyring: !self.bare,
            joins_without_root: !host.privileged,
            argv0: self.argv0.clone(),
            raw_filters: self.raw_filters.clone(),
            observed: self.observed,
            mapped_by_caller: self.mapped_by_caller,
            late_user_namespace: self.late_user_namespace.clone(),
            lock_files: self.lock_files.clone(),
            timings: self.timings,
            landlock: self.wall()?,
            no_user_namespaces: self.no_user_namespaces,
            terminal_descriptors: self.terminal.map_or(0, |terminal| terminal.descriptors),
            seccomp: self.seccomp.filter(host, user.uid)?,
            ..Extension::default()
        };
        self.check_added()?;
        if !self.bare {
            spec.mounts = vec![self.proc_mount()];
        }
        let (root, pieces) = self.split_operations();
        spec.extension.operations = pieces.to_vec();
        match (&self.root, root) {
            (Some(_), Some(_)) => {
                let reason = "something else is mounted on / too";
                return Err(Error::invalid("--mount", reason));
            }
            (Some(directory), None) => self.own_root(&mut spec, directory)?,
            (None, None) if !self.bare => root::host_root(&mut spec, &user)?,
            (None, root) => self.root_by_operation(&mut spec, root)?,
        }
        self.start_directory(&mut spec);
        let added = self.added_mounts(ids.is_some())?;
        spec.mounts.extend(added);
        Ok(spec)
    }

    fn user(&self, host: &Host) -> Result<User, Error> {
        if self.uid == Some(u32::MAX) {
            return Err(Error::invalid("--uid", "4294967295 is no user id"));
        }
        let uid = self.uid.unwrap_or(host.uid);
        let gid = self.gid.or(self.uid).unwrap_or(host.gid);
        Ok(User {
            uid,
            gid,
            ..User::default()
        })
    }

    fn process(&self, user: &User) -> Result<Process, Error> {
        Ok(Process {
            args: self.args.clone(),
            env: environment::of(&self.environment, std::env::vars_os())?,
            cwd: PathBuf::from("/"),
            capabilities: Some(self.capability_sets(user).into()),
            user: user.clone(),
            rlimits: self.rlimits.clone(),
            no_new_privileges: true,
            selinux_label: self.exec_label.clone(),
            terminal: self.terminal.is_some(),
            console_size: self.terminal.map(|terminal| ConsoleSize {
                height: terminal.rows.into(),
                width: terminal.columns.into(),
            }),
            ..Process::default()
        })
    }

    fn hostname_or_generated(&self) -> Option<String> {
        let generate = self.makes(Namespace::Uts) && !self.bare;
        let generated = || generate.then(hostname::generate);
        self.hostname.clone().or_else(generated)
    }

    fn linux(&self, host: &Host, ids: Option<&IdRange>, user: &User) -> Linux {
        let mut linux = Linux {
            namespaces: self.namespaces(),
            ..Linux::default()
        };
        let joins = self.joined.iter().any(|(kind, _)| *kind == Namespace::User);
        if joins {
            // Its ids are mapped already.
        } else if !self.makes(Namespace::User) && !self.bare {
            // With the host's own ids the kernel does not protect these by ownership.
            linux.masked_paths = mask::DEFAULT_MASKED.iter().map(PathBuf::from).collect();
            linux.readonly_paths = mask::DEFAULT_READ_ONLY.iter().map(PathBuf::from).collect();
        } else if self.makes(Namespace::User) {
            linux.uid_mappings = id_map(user.uid, host.uid, ids.map(|ids| ids.uid));
            linux.gid_mappings = id_map(user.gid, host.gid, ids.map(|ids| ids.gid));
        }
        linux
    }
}

const SIGKILL: i32 = 9;

/// What is made unless it is told otherwise.
const ISOLATED: [Namespace; 7] = [
    Namespace::Mount,
    Namespace::Cgroup,
    Namespace::Pid,
    Namespace::Ipc,
    Namespace::Network,
    Namespace::Uts,
    Namespace::User,
];

/// The whole of the sandbox' ids: one for an ordinary user, a range for root.
fn id_map(inside: u32, own: u32, range: Option<u32>) -> Vec<IdMapping> {
    let part = |container_id, host_id, size| IdMapping {
        container_id,
        host_id,
        size,
    };
    let last = ids::COUNT - 1;
    match range {
        None => vec![part(inside, own, 1)],
        Some(first) if inside < ids::COUNT => vec![part(0, first, ids::COUNT)],
        Some(first) => vec![part(0, first, last), part(inside, first + last, 1)],
    }
}
