//! The one error type of this crate.

use std::io;
use std::path::PathBuf;

use crate::Namespace;

/// Why an operation on namespaces, id maps or children failed. A variant is an operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The stack of the child could not be mapped.
    #[error("map a stack of {size_bytes} bytes for the child")]
    Stack {
        /// The size that was asked for.
        size_bytes: usize,
        /// The kernel's answer.
        source: io::Error,
    },

    /// The kernel refused to make the process. The namespaces are those that it was to be in.
    ///
    /// * EPERM: a namespace other than a user namespace needs CAP_SYS_ADMIN, or a user namespace of
    ///   its own; user namespaces are switched off for ordinary users
    ///   (`kernel.unprivileged_userns_clone`, AppArmor), or the caller is in a chroot.
    /// * ENOSPC: `user.max_user_namespaces`, or another limit in `/proc/sys/user`, is reached or 0;
    ///   or the nesting is too deep.
    /// * EAGAIN: too many processes (RLIMIT_NPROC, `pids.max`). ENOMEM: no memory; also when
    ///   the pid namespace's first process has ended.
    /// * ENOSYS: the kernel is too old for `clone3` (5.3), or a seccomp filter hides it.
    /// * EINVAL: the kernel knows no such namespace, or is older than 5.7.
    /// * With a cgroup also EACCES (not writable), EBUSY (it has controllers and is not the root),
    ///   EOPNOTSUPP (invalid domain), ENODEV or ENOENT (it was removed), EBADF (not a cgroup).
    #[error("clone a process with {namespaces} new namespaces{}", if *.cgroup { " into a cgroup" } else { "" })]
    Clone {
        /// The kinds of the namespaces, separated by commas, or `no`.
        namespaces: String,
        /// Whether a cgroup was given.
        cgroup: bool,
        /// The kernel's answer.
        source: io::Error,
    },

    /// A descriptor could not be moved out of the way of those that the program gets.
    #[error("duplicate a descriptor for {program}")]
    DuplicateDescriptor {
        /// The first argument of the program.
        program: String,
        /// EMFILE or EINVAL: RLIMIT_NOFILE is reached.
        source: io::Error,
    },

    /// The child could not keep the capabilities of its new user namespace.
    #[error("raise the capabilities of {program} as ambient")]
    RaiseCapabilities {
        /// The first argument of the program.
        program: String,
        /// The kernel's answer.
        source: io::Error,
    },

    /// The child could not put the descriptors of the program in their places.
    #[error("place the descriptors of {program}")]
    PlaceDescriptors {
        /// The first argument of the program.
        program: String,
        /// The kernel's answer.
        source: io::Error,
    },

    /// The child could not close what the program must not see.
    #[error("close the other descriptors for {program}")]
    CloseDescriptors {
        /// The first argument of the program.
        program: String,
        /// ENOSYS: the kernel is older than 5.9, or a seccomp filter hides `close_range`.
        source: io::Error,
    },

    /// The child could not execute the program: ENOEXEC (not a program), EACCES (no execute
    /// permission, or a file system mounted noexec), ENOENT (its interpreter is missing, or it is a
    /// script, which cannot be executed through a descriptor), ETXTBSY (open for writing), E2BIG.
    #[error("execute {program}")]
    Execute {
        /// The first argument of the program.
        program: String,
        /// The kernel's answer.
        source: io::Error,
    },

    /// A closure cannot safely be run in a copy of a program with several threads.
    #[error("run a closure in a copy of this process: it has {threads} threads, not one")]
    Threads {
        /// How many threads there are.
        threads: usize,
    },

    /// The threads of this process could not be counted, since `/proc` is missing or hidden.
    #[error("count the threads of this process in /proc/self/task")]
    CountThreads {
        /// The kernel's answer.
        source: io::Error,
    },

    /// The status of the child is lost: something else in this process has reaped it (a `waitpid`
    /// for any child), SIGCHLD is ignored, so that the kernel reaps children itself, or it is no
    /// child of this process.
    #[error("wait for process {pid}: it was reaped elsewhere, or is no child of this process")]
    Reaped {
        /// The process.
        pid: i32,
    },

    /// Waiting for the child failed in another way.
    #[error("wait for process {pid}")]
    Wait {
        /// The process.
        pid: i32,
        /// The kernel's answer.
        source: io::Error,
    },

    /// A signal could not be sent: ESRCH (the process is gone), EPERM (it has changed its user),
    /// EINVAL (no such signal).
    #[error("send signal {signal} to process {pid}")]
    Signal {
        /// The process.
        pid: i32,
        /// The number of the signal.
        signal: i32,
        /// The kernel's answer.
        source: io::Error,
    },

    /// The descriptor is not a pidfd, or its process is gone or in another pid namespace.
    #[error("take a child by its pidfd: the descriptor names no process that is visible here")]
    NotAPidfd,

    /// The namespace could not be opened.
    #[error("open the namespace {}", path.display())]
    OpenNamespace {
        /// The path.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },

    /// The path leads to something that is not a namespace.
    #[error("{} is not a namespace", path.display())]
    NotANamespace {
        /// The path.
        path: PathBuf,
    },

    /// The path leads to a namespace of another kind.
    #[error(
        "{} is a namespace of kind {}, not {expected}",
        path.display(),
        found.map_or("unknown", Namespace::name)
    )]
    WrongNamespace {
        /// The path.
        path: PathBuf,
        /// The kind that was asked for.
        expected: Namespace,
        /// The kind that it is, if this crate knows it.
        found: Option<Namespace>,
    },

    /// The ranges do not make an id map that the kernel would take.
    #[error("id map: {reason}")]
    InvalidIdMap {
        /// The rule that is broken, and by which range.
        reason: String,
    },

    /// A file of the user namespace in `/proc` could not be written. [`write_id_maps`] lists the
    /// causes.
    ///
    /// [`write_id_maps`]: crate::write_id_maps
    #[error("write {path}")]
    WriteIdMap {
        /// The file.
        path: String,
        /// The kernel's answer.
        source: io::Error,
    },

    /// The capabilities of the calling thread could not be read.
    #[error("read the capabilities of this thread")]
    ReadCapabilities {
        /// The kernel's answer.
        source: io::Error,
    },

    /// `newuidmap` or `newgidmap` is missing (then the source says so) or refuses.
    #[error(
        "write an id map with {program}{}{}",
        if said.is_empty() { String::new() } else { format!(": it says \"{said}\"") },
        if wanted.is_empty() { String::new() } else { format!(" (needed in {grants}: {})", wanted.join(", ")) }
    )]
    IdMapHelper {
        /// The helper.
        program: &'static str,
        /// What it wrote to its standard error.
        said: String,
        /// The file that grants ranges to users.
        grants: &'static str,
        /// The lines that the file must have, or larger ones, for the map to be allowed.
        wanted: Vec<String>,
        /// Why it could not be run: ENOENT when it is not installed (package `uidmap` or
        /// `shadow-utils`). `None` when it ran and failed.
        source: Option<io::Error>,
    },

    /// A file of subordinate ids could not be read, or a line of the user in it is broken.
    #[error("read {file}{}", broken_line(*line, source.is_none()))]
    SubordinateIds {
        /// The file.
        file: String,
        /// The number of the line, from 1; 0 when the file could not be opened.
        line: usize,
        /// The kernel's answer; `None` when the line is broken.
        source: Option<io::Error>,
    },

    /// A thread could not move into a namespace.
    #[error("join {namespaces} namespaces")]
    JoinNamespace {
        /// The kinds, separated by commas.
        namespaces: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl Error {
    /// The kernel's error number, where the kernel was asked.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        let source = std::error::Error::source(self)?;
        source.downcast_ref::<io::Error>()?.raw_os_error()
    }
}

fn broken_line(line: usize, is_malformed: bool) -> String {
    let rule = if is_malformed {
        ": it is not \"user:start:count\""
    } else {
        ""
    };
    if line == 0 {
        String::new()
    } else {
        format!(", line {line}{rule}")
    }
}
