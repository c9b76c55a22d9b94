//! What can go wrong.

use std::io;
use std::path::PathBuf;

use crate::Controller;

/// An error of this crate: which operation failed, and on what.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of `/proc` that tells where cgroups are can't be read.
    #[error("read {}", .path.display())]
    Proc {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file of `/proc`, or a record of a cgroup's place, has a line that is none.
    #[error("{what}: the line {line:?} is not understood")]
    Malformed {
        /// The file.
        what: &'static str,
        /// The line.
        line: String,
    },
    /// No cgroup file system is mounted, or none of those that a record names.
    #[error("no cgroup file system is mounted{wanted}")]
    NotMounted {
        /// Which one was looked for, with a blank before it; empty for any.
        wanted: String,
    },
    /// What is mounted does not show the cgroup of this process.
    #[error("the cgroup of this process, {}, is not in what is mounted on {}",
        .cgroup.display(), .mount.display())]
    Unreachable {
        /// Its path in `/proc/self/cgroup`.
        cgroup: PathBuf,
        /// The mount point.
        mount: PathBuf,
    },
    /// A directory is not in a cgroup file system.
    #[error("{} is not in a cgroup file system", .path.display())]
    NotACgroup {
        /// The directory.
        path: PathBuf,
    },
    /// A path that can't be a cgroup's.
    #[error("the cgroup path {path:?} {reason}")]
    Path {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The host has no such controller.
    #[error("the {controller} controller is not available on this host")]
    ControllerMissing {
        /// The controller.
        controller: Controller,
    },
    /// A controller can't be had in a cgroup.
    #[error("the {controller} controller is not available in {}", .cgroup.display())]
    NotDelegated {
        /// The controller.
        controller: Controller,
        /// The cgroup that does not hand it on.
        cgroup: PathBuf,
        /// EACCES or EPERM: it belongs to somebody else; ENOENT: its parent does not hand it on;
        /// EROFS: it is mounted read-only.
        source: io::Error,
    },
    /// A cgroup has processes of its own, so it can't hand on controllers (v2).
    #[error(
        "the {controller} controller can't be handed on by {}, which has processes of its own",
        .cgroup.display()
    )]
    InternalProcesses {
        /// The controller.
        controller: Controller,
        /// The cgroup.
        cgroup: PathBuf,
    },
    /// A cgroup can't be made.
    #[error("make the cgroup {}", .cgroup.display())]
    Create {
        /// Its directory.
        cgroup: PathBuf,
        /// EACCES or EPERM: not delegated; EROFS: mounted read-only; EAGAIN: the kernel's limit of
        /// descendants.
        source: io::Error,
    },
    /// A cgroup can't be opened.
    #[error("open the cgroup {}", .cgroup.display())]
    Open {
        /// Its directory.
        cgroup: PathBuf,
        /// ENOENT: it is gone; ELOOP, EXDEV: it is not a cgroup beneath the mount.
        source: io::Error,
    },
    /// A cgroup that exists already is in use.
    #[error("the cgroup {} exists and {state}", .cgroup.display())]
    InUse {
        /// Its directory.
        cgroup: PathBuf,
        /// How.
        state: &'static str,
    },
    /// A file of a cgroup can't be written.
    #[error("write {value:?} to {} ({controller} controller)", .path.display())]
    Write {
        /// The controller that it belongs to.
        controller: Controller,
        /// The file.
        path: PathBuf,
        /// The value.
        value: String,
        /// EINVAL, ERANGE: out of range; EBUSY: below what is in use; ENOENT: this kernel has no
        /// such file; ENODEV: the cgroup or the device is gone.
        source: io::Error,
    },
    /// A core file of a cgroup, which belongs to no controller, can't be written.
    #[error("write {value:?} to {}", .path.display())]
    Control {
        /// The file.
        path: PathBuf,
        /// The value.
        value: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file of a cgroup can't be read.
    #[error("read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// ENODEV, ENOENT: the cgroup is gone.
        source: io::Error,
    },
    /// A value that the kernel can't take.
    #[error("{value:?} is no value for {file} of the {controller} controller: {reason}")]
    OutOfRange {
        /// The controller.
        controller: Controller,
        /// The file, or the property where the value is none of one file.
        file: &'static str,
        /// The value.
        value: String,
        /// What it must be.
        reason: &'static str,
    },
    /// What this version of cgroups can't do at all.
    #[error("{value:?} for {file}: the {controller} controller of cgroup {version} {reason}")]
    Unsupported {
        /// The controller.
        controller: Controller,
        /// v1 or v2.
        version: &'static str,
        /// The file, or the property.
        file: &'static str,
        /// The value.
        value: String,
        /// Why not.
        reason: &'static str,
    },
    /// The limit is below what is in use, and this was to be refused.
    #[error("memory.max {max} is below the {current} bytes that {} uses", .cgroup.display())]
    BelowUsage {
        /// The cgroup.
        cgroup: PathBuf,
        /// The limit.
        max: u64,
        /// What is in use.
        current: u64,
    },
    /// The program that decides about devices can't be put in force.
    #[error("{doing} the device program of {}", .cgroup.display())]
    DeviceProgram {
        /// What was being done.
        doing: &'static str,
        /// The cgroup.
        cgroup: PathBuf,
        /// EPERM: needs CAP_SYS_ADMIN, or CAP_BPF with CAP_NET_ADMIN; ENOSYS, EINVAL: this kernel
        /// has none.
        source: io::Error,
    },
    /// A process of the cgroup can't be killed.
    #[error("kill process {pid} in {}", .cgroup.display())]
    Kill {
        /// The process.
        pid: i32,
        /// The cgroup.
        cgroup: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Something did not happen in time.
    #[error("{} is not {state} in time", .cgroup.display())]
    Deadline {
        /// The cgroup.
        cgroup: PathBuf,
        /// What it was waited for.
        state: &'static str,
    },
    /// A cgroup can't be removed.
    #[error("remove the cgroup {}", .cgroup.display())]
    Remove {
        /// Its directory.
        cgroup: PathBuf,
        /// EBUSY: there still are processes.
        source: io::Error,
    },
    /// A cgroup can't be given to another user.
    #[error("give {} to the user {uid}", .path.display())]
    Delegate {
        /// The directory or file.
        path: PathBuf,
        /// The user.
        uid: u32,
        /// EPERM: needs CAP_CHOWN.
        source: io::Error,
    },
    /// The name of a scope, `slice:prefix:name`, is none.
    #[error("the cgroup path {name:?} {reason}")]
    ScopeName {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A property of a unit, or the value that an annotation gives it, is none.
    #[error("the systemd property {name}={value:?}: {reason}")]
    SystemdProperty {
        /// The property.
        name: String,
        /// The value.
        value: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Scopes of systemd need cgroup v2 alone.
    #[error("systemd's scopes need a host with cgroup v2 alone")]
    NotUnified,
    /// An ordinary user has no bus.
    #[error(
        "there is no bus of a user's systemd: neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set"
    )]
    NoUserBus,
    /// A message bus can't be talked to.
    #[error("talk to the message bus at {address}")]
    Bus {
        /// Its address.
        address: String,
        /// ENOENT, ECONNREFUSED: it is not there; EACCES; or that no answer came in time, the other
        /// side went away, or what it said is not D-Bus.
        source: io::Error,
    },
    /// A call over the bus was refused.
    #[error("{call} over D-Bus: {text} ({name})")]
    BusRefusal {
        /// The method.
        call: String,
        /// The error's name, such as `org.freedesktop.DBus.Error.AccessDenied`.
        name: String,
        /// What the other side said.
        text: String,
    },
    /// A scope of this name is in use.
    #[error("the scope {unit} exists already")]
    ScopeExists {
        /// The scope.
        unit: String,
    },
    /// systemd could not do its job.
    #[error("systemd's job for {unit} is {result}")]
    Job {
        /// The unit.
        unit: String,
        /// `failed`, `timeout`, `canceled`, …; see `JobRemoved` in org.freedesktop.systemd1(5).
        result: String,
    },
}

impl Error {
    /// What may be done about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        const DELEGATION: &str = "limits need a cgroup that is delegated to you: systemd-run --user \
             --scope -p Delegate=yes COMMAND, or Delegate=yes in the unit; root can set it for all \
             users in user@.service";
        let refused = |source: &io::Error| {
            matches!(
                source.raw_os_error(),
                Some(libc::EACCES | libc::EPERM | libc::ENOENT)
            )
        };
        let read_only = |source: &io::Error| source.raw_os_error() == Some(libc::EROFS);
        match self {
            Self::NotDelegated { source, .. } | Self::Create { source, .. } if refused(source) => {
                Some(DELEGATION)
            }
            Self::NotDelegated { source, .. }
            | Self::Create { source, .. }
            | Self::Write { source, .. }
            | Self::Control { source, .. }
                if read_only(source) =>
            {
                Some("the cgroup file system is mounted read-only, as in an unprivileged container")
            }
            Self::Create { source, .. } if source.raw_os_error() == Some(libc::EAGAIN) => {
                Some("cgroup.max.descendants or cgroup.max.depth of a cgroup above is reached")
            }
            Self::InternalProcesses { .. } => Some(
                "start it in a cgroup of its own: systemd-run --scope -p Delegate=yes COMMAND \
                 (with --user for an ordinary user)",
            ),
            Self::Bus { .. } | Self::NoUserBus => Some(
                "systemd must be the first process and D-Bus must run; an ordinary user needs a \
                 session too (loginctl enable-linger USER); without --systemd-cgroup neither is needed",
            ),
            Self::BusRefusal { name, .. }
                if name.ends_with(".AccessDenied") || name.contains(".InteractiveAuth") =>
            {
                Some("an ordinary user's scopes are made by the systemd of the user's own session")
            }
            Self::Remove { source, .. } if source.raw_os_error() == Some(libc::EBUSY) => Some(
                "processes are in it that are not the container's: cgroup.procs in it and in what \
                 is below it lists them",
            ),
            Self::Job { .. } => Some("systemctl status UNIT and journalctl tell why"),
            Self::ControllerMissing { .. } => Some(
                "it may be switched off in the kernel (cgroup_disable=), or not be built; in a \
                     container, whoever made that may not hand it on",
            ),
            _ => None,
        }
    }

    /// The controller that it is about, if it is about one.
    #[must_use]
    pub fn controller(&self) -> Option<Controller> {
        match self {
            Self::ControllerMissing { controller }
            | Self::NotDelegated { controller, .. }
            | Self::InternalProcesses { controller, .. }
            | Self::Write { controller, .. }
            | Self::OutOfRange { controller, .. }
            | Self::Unsupported { controller, .. } => Some(*controller),
            Self::BelowUsage { .. } => Some(Controller::Memory),
            Self::DeviceProgram { .. } => Some(Controller::Devices),
            _ => None,
        }
    }
}
