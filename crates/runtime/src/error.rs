//! Why a container could not be made, started or waited for.

mod words;

use std::borrow::Cow;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use crabcan_ns::ExitStatus;

use self::words::{before, why};
use crate::state::{Id, Status};

/// Why an operation of the runtime failed: a variant is an operation, its source the cause.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel is too old.
    #[error("Linux {release} is too old: crabcan needs {major}.{minor} or newer")]
    Kernel {
        /// What uname(2) says.
        release: String,
        /// The oldest version that will do.
        major: u32,
        /// Its second number.
        minor: u32,
    },
    /// The capabilities of the calling thread can't be read.
    #[error("read the capabilities of this thread")]
    Capabilities {
        /// The kernel's answer.
        source: io::Error,
    },
    /// A limit can't be enforced.
    #[error("limit what the container uses")]
    Limits {
        /// Names controller, file and value; its hint says what can be done.
        #[source]
        source: crabcan_cgroups::Error,
    },
    /// A plan made for a process that joins a container was launched without one.
    #[error("there is no container to join")]
    NoContainer,
    /// A plan without a mount namespace was launched, and nobody has attached its root.
    #[error("there is no root: a container without a mount namespace is made by `Creation`")]
    NoRoot,
    /// The root of a container without a mount namespace.
    #[error("{doing}")]
    RootMount {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        #[source]
        source: crabcan_rootfs::Error,
    },
    /// A part of the configuration is wrong.
    #[error("{field}: {reason}")]
    Invalid {
        /// Its name, as in `config.json` or on the command line.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A path of the configuration can't be used.
    #[error("{field} {}", .path.display())]
    Path {
        /// Its name, as in `config.json` or on the command line.
        field: String,
        /// The path.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The root file system can't be looked at or prepared.
    #[error("prepare the root file system")]
    Rootfs {
        /// The cause.
        #[source]
        source: crabcan_rootfs::Error,
    },
    /// A file system that was to be shown with the container's ids can't map ids.
    #[error("prepare the root file system")]
    IdMapUnsupported {
        /// Names the path and the file system.
        #[source]
        source: crabcan_rootfs::Error,
    },
    /// The profile of the system call filter is wrong: the source names the rule and the field.
    #[error("linux.seccomp")]
    Seccomp {
        /// What is wrong with it.
        #[source]
        source: crabcan_seccomp::Error,
    },
    /// The listener of the system call filter can't be handed on.
    #[error("{doing} {}", .path.display())]
    Listener {
        /// What was being done.
        doing: &'static str,
        /// The socket of whoever listens.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The plan, with its arguments and environment, is longer than 16 MiB.
    #[error("arguments, environment and mounts together are too long (more than 16 MiB)")]
    PlanTooLong,
    /// No range of ids is free for a user namespace made by root.
    #[error(
        "take a range of user ids for the container, locked in /run/crabcan ({ranges} ranges looked at)"
    )]
    Ids {
        /// How many ranges there are.
        ranges: usize,
        /// The kernel's answer, or that all are in use.
        source: io::Error,
    },
    /// `/etc/subuid` or `/etc/subgid` can't be read.
    #[error("read the subordinate ids of root")]
    SubordinateIds {
        /// The cause.
        #[source]
        source: crabcan_ns::Error,
    },
    /// A sealed file in memory could not be made.
    #[error("make the sealed memory file {name}")]
    MemoryFile {
        /// `crabcan-init` or `crabcan-plan`.
        name: &'static str,
        /// EACCES: `vm.memfd_noexec` forbids programs in memory.
        source: io::Error,
    },
    /// The channel to init failed.
    #[error("{doing}")]
    Channel {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        #[source]
        source: crabcan_ipc::Error,
    },
    /// The child could not be made, mapped or waited for.
    #[error("{doing}")]
    Namespaces {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        #[source]
        source: crabcan_ns::Error,
    },
    /// A step of the plan failed.
    #[error("{}{step}", before(.property))]
    Step {
        /// Its index in the plan.
        index: u32,
        /// The property of `config.json` that it is for, if there is one.
        property: String,
        /// The step in words.
        step: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// What the parent hands to init for a property of `config.json` can't be had.
    #[error("{property}")]
    Provide {
        /// Its name, as in `config.json`.
        property: String,
        /// What was being done.
        #[source]
        source: Box<Error>,
    },
    /// The program could not be executed.
    #[error("execute {}{}", .program.display(), why(.program, *.interpreter, .source))]
    Execute {
        /// The program as it was asked for, or the file that was found.
        program: OsString,
        /// Whether the file is there, and what is missing is the interpreter that it names.
        interpreter: bool,
        /// ENOENT and ENOTDIR: not found; everything else: not executable.
        source: io::Error,
    },
    /// A container starts once, even if that failed.
    #[error("the container was started before")]
    StartedBefore,
    /// Init refused the plan: the two do not belong together.
    #[error("init refused its plan")]
    PlanRefused {
        /// The kernel's answer.
        source: io::Error,
    },
    /// Init said something that it may not say now.
    #[error("init said {message} while {doing}")]
    Protocol {
        /// What it said.
        message: String,
        /// What was being done.
        doing: &'static str,
    },
    /// Init ended without a word.
    #[error("init ended while {doing}: {status}")]
    InitEnded {
        /// What was being done.
        doing: &'static str,
        /// How it ended.
        status: ExitStatus,
    },
    /// A name that no container can have.
    #[error("container id \"{id}\" {reason}")]
    InvalidId {
        /// Its first 64 characters.
        id: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The id is taken.
    #[error("container with given ID already exists: {id}")]
    AlreadyExists {
        /// The id.
        id: Id,
    },
    /// There is no such container.
    #[error("container does not exist: {id}")]
    NotFound {
        /// The id.
        id: Id,
    },
    /// What was asked for is not for a container in this state.
    #[error("{refused}: {id} is {status}")]
    WrongStatus {
        /// What is refused.
        refused: &'static str,
        /// The id.
        id: Id,
        /// How far its life has come.
        status: Status,
    },
    /// A signal can't be sent to the container.
    #[error("send signal {signal} to container {id}")]
    Signal {
        /// The id.
        id: Id,
        /// The signal's number.
        signal: i32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The word to go on did not reach the waiting init, or had no effect.
    #[error("start container {id}")]
    NotStarted {
        /// The id.
        id: Id,
        /// ESRCH, ENXIO: it has ended. ETIMEDOUT: it did not execute the program.
        source: io::Error,
    },
    /// A killed container does not end.
    #[error("container {id} does not end after SIGKILL")]
    NotEnded {
        /// The id.
        id: Id,
    },
    /// The cgroup of a container can't be used.
    #[error("{doing}")]
    Cgroup {
        /// What was being done, and for which property of `config.json`.
        doing: Cow<'static, str>,
        /// The cause.
        #[source]
        source: crabcan_cgroups::Error,
    },
    /// The container's scope went before the container was made: its first process was killed.
    #[error("the container's scope of systemd is gone: its first process has ended")]
    ScopeGone,
    /// What was asked for is done with a cgroup, and the container has none.
    #[error("container {id} has no cgroup{why}")]
    NoCgroup {
        /// The id.
        id: Id,
        /// What has become of the one that it had; empty for one that never had any.
        why: String,
    },
    /// Only who has made a container can wait for it.
    #[error("container {id} was made by another program")]
    NotAChild {
        /// The id.
        id: Id,
    },
    /// Somebody else changes the container, for more than ten seconds.
    #[error("container {id} is being changed by another process")]
    Busy {
        /// The id.
        id: Id,
    },
    /// An ordinary user has no place for the state of containers.
    #[error("no state directory: XDG_RUNTIME_DIR is not set")]
    NoStateRoot,
    /// The state directory can't be used.
    #[error("{doing} {}", .path.display())]
    State {
        /// What was being done.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The record of a container is no record.
    #[error("state of the container in {}: {reason}", .path.display())]
    StateUnreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The kernel does not tell which process has a pid.
    #[error("look at process {pid}")]
    Identity {
        /// The pid.
        pid: i32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A descriptor that the container is to inherit is not there.
    #[error("descriptor {number} is to be inherited by the container")]
    NotInherited {
        /// Its number.
        number: i32,
        /// EBADF: it is not open.
        source: io::Error,
    },
    /// A hook failed.
    #[error("{kind} hook {}", .path.display())]
    Hook {
        /// Which list of `hooks` it is in.
        kind: &'static str,
        /// The program.
        path: PathBuf,
        /// Why it could not be executed, or how it ended, and what it said.
        source: io::Error,
    },
    /// A socket of the caller's peer can't be used.
    #[error("{doing} the socket {}", .path.display())]
    Socket {
        /// What was being done.
        doing: &'static str,
        /// The socket.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A network device can't be given to the container.
    #[error("linux.netDevices.{device}: {doing}")]
    NetDevice {
        /// Its name in the runtime's network namespace.
        device: String,
        /// What was being done.
        doing: String,
        /// The kernel's answer. ENODEV: there is none. EEXIST: the container has one of the new name.
        /// EINVAL: it can't be moved, as the loopback device. EPERM: no CAP_NET_ADMIN over both ends.
        source: io::Error,
    },
    /// The program that checkpoints and restores can't be executed.
    #[error("execute criu, which checkpoints and restores containers")]
    CriuMissing {
        /// ENOENT: it is not installed.
        source: io::Error,
    },
    /// The connection to criu is of no use.
    #[error("{doing} criu")]
    CriuLost {
        /// What was being done.
        doing: &'static str,
        /// ECONNRESET: it has ended.
        source: io::Error,
    },
    /// criu could not do it.
    #[error("criu could not {doing} the container: {reason} (see {})", .log.display())]
    CriuFailed {
        /// `checkpoint` or `restore`.
        doing: &'static str,
        /// The first error in its log.
        reason: String,
        /// That log.
        log: PathBuf,
    },
    /// The pid file can't be written.
    #[error("write the pid file {}", .path.display())]
    PidFile {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The caller's terminal can't be used.
    #[error("{doing}")]
    Terminal {
        /// What was being done.
        doing: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Waiting for signals or messages failed.
    #[error("{doing}")]
    Wait {
        /// What was being done.
        doing: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl Error {
    /// The exit code that shells and container engines expect: 127 when the program was not found,
    /// 126 when it can't be executed, 125 for everything else.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let Self::Execute {
            source,
            interpreter,
            ..
        } = self
        else {
            return 125;
        };
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory if !interpreter => 127,
            _ => 126,
        }
    }

    /// Whether a hook is to blame, of the host or of the container.
    pub(crate) fn is_of_hook(&self) -> bool {
        match self {
            Self::Hook { .. } => true,
            Self::Step { step, .. } => step.contains(" hook "),
            _ => false,
        }
    }

    pub(crate) fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid {
            field: field.into(),
            reason: reason.into(),
        }
    }
}
