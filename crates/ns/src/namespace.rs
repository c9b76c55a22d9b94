//! The eight kinds of namespaces, which of them to make or join, and handles of existing ones.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::sched::CloneFlags;
use rustix::fs::{Mode, OFlags};

use crate::{Error, sys};

/// One kind of namespace. See [namespaces(7)].
///
/// [namespaces(7)]: https://man7.org/linux/man-pages/man7/namespaces.7.html
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Namespace {
    /// Mount points.
    Mount,
    /// The root of the cgroup tree as a process sees it.
    Cgroup,
    /// Host name and NIS domain name.
    Uts,
    /// System V IPC and POSIX message queues.
    Ipc,
    /// User and group ids, and the privileges over all other namespaces made within.
    User,
    /// Process ids.
    Pid,
    /// Network devices, addresses, ports, abstract sockets.
    Network,
    /// Offsets of the monotonic and boot time clocks (Linux 5.6).
    Time,
}

impl Namespace {
    /// All kinds that this crate knows.
    pub const ALL: [Self; 8] = [
        Self::Mount,
        Self::Cgroup,
        Self::Uts,
        Self::Ipc,
        Self::User,
        Self::Pid,
        Self::Network,
        Self::Time,
    ];

    /// The kernel's flag for this kind, as `unshare` and `setns` take it.
    ///
    /// [`Time`](Self::Time) is CLONE_NEWTIME, which is valid for these two but not for `clone`.
    #[must_use]
    pub fn clone_flag(self) -> CloneFlags {
        match self {
            Self::Mount => CloneFlags::CLONE_NEWNS,
            Self::Cgroup => CloneFlags::CLONE_NEWCGROUP,
            Self::Uts => CloneFlags::CLONE_NEWUTS,
            Self::Ipc => CloneFlags::CLONE_NEWIPC,
            Self::User => CloneFlags::CLONE_NEWUSER,
            Self::Pid => CloneFlags::CLONE_NEWPID,
            Self::Network => CloneFlags::CLONE_NEWNET,
            Self::Time => CloneFlags::from_bits_retain(libc::CLONE_NEWTIME),
        }
    }

    /// The name of the link in `/proc/PID/ns`: `mnt`, `cgroup`, `uts`, `ipc`, `user`, `pid`, `net`
    /// or `time`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mount => "mnt",
            Self::Cgroup => "cgroup",
            Self::Uts => "uts",
            Self::Ipc => "ipc",
            Self::User => "user",
            Self::Pid => "pid",
            Self::Network => "net",
            Self::Time => "time",
        }
    }

    fn from_clone_flag(flag: libc::c_int) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.clone_flag().bits() == flag)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Which namespaces a process gets: new ones, existing ones, and for the other kinds its parent's.
///
/// For each kind the last call decides.
///
/// ```
/// use crabcan_ns::{Namespace, Namespaces};
///
/// let namespaces = Namespaces::new().make(Namespace::User).make(Namespace::Pid);
/// assert!(namespaces.makes(Namespace::Pid));
/// assert_eq!(namespaces.to_string(), "user, pid");
/// ```
#[derive(Debug, Default)]
#[must_use]
pub struct Namespaces {
    made: Vec<Namespace>,
    joined: Vec<(Namespace, NamespaceFd)>,
}

impl Namespaces {
    /// No namespace is made or joined.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a new namespace of this kind.
    pub fn make(mut self, kind: Namespace) -> Self {
        self.joined.retain(|(joined, _)| *joined != kind);
        if !self.makes(kind) {
            self.made.push(kind);
            self.made
                .sort_by_key(|kind| Namespace::ALL.iter().position(|other| other == kind));
        }
        self
    }

    /// Joins an existing namespace of this kind, and whatever else the handle stands for.
    ///
    /// This only records the wish. The process that is to be in it joins it itself with
    /// [`NamespaceFd::join`]: neither [`clone_program`](crate::clone_program) nor
    /// [`clone_closure`](crate::clone_closure) does so. If the handle is of another kind, that call
    /// fails.
    pub fn join(mut self, kind: Namespace, mut namespace: NamespaceFd) -> Self {
        if !namespace.kinds.contains(&kind) {
            // The kernel compares the kind that is asked for with what the descriptor is.
            namespace.kinds = vec![kind];
        }
        self.made.retain(|made| !namespace.kinds.contains(made));
        self.joined
            .retain(|(joined, _)| !namespace.kinds.contains(joined));
        self.joined.push((kind, namespace));
        self
    }

    /// Whether a new namespace of this kind is made.
    #[must_use]
    pub fn makes(&self, kind: Namespace) -> bool {
        self.made.contains(&kind)
    }

    /// The kinds that are made, in the order of [`Namespace::ALL`].
    pub fn made(&self) -> impl Iterator<Item = Namespace> + '_ {
        self.made.iter().copied()
    }

    /// The namespaces that are joined, in the order of the calls of [`join`](Self::join).
    pub fn joins(&self) -> impl Iterator<Item = (Namespace, &NamespaceFd)> {
        self.joined
            .iter()
            .map(|(kind, namespace)| (*kind, namespace))
    }

    /// The flags for `clone`: one for each kind that is made, except the time namespace.
    ///
    /// A process enters a new time namespace only after its clock offsets are written, so there is
    /// no flag for `clone`: the process calls `unshare(CLONE_NEWTIME)` itself, writes
    /// `/proc/self/timens_offsets`, and executes a program. See [time_namespaces(7)].
    ///
    /// [time_namespaces(7)]: https://man7.org/linux/man-pages/man7/time_namespaces.7.html
    #[must_use]
    pub fn clone_flags(&self) -> CloneFlags {
        self.made()
            .filter(|kind| *kind != Namespace::Time)
            .fold(CloneFlags::empty(), |flags, kind| flags | kind.clone_flag())
    }
}

/// The kinds that are made, or `no` when there are none.
impl fmt::Display for Namespaces {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_list(formatter, &self.made)
    }
}

fn write_list(formatter: &mut fmt::Formatter<'_>, kinds: &[Namespace]) -> fmt::Result {
    if kinds.is_empty() {
        return formatter.write_str("no");
    }
    for (index, kind) in kinds.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        write!(formatter, "{separator}{kind}")?;
    }
    Ok(())
}

/// A handle of one or more existing namespaces that a thread can join.
#[derive(Debug)]
pub struct NamespaceFd {
    descriptor: OwnedFd,
    kinds: Vec<Namespace>,
}

impl NamespaceFd {
    /// Opens the namespace at `path`, for example `/proc/1/ns/net` or a bind mount of it, and checks
    /// that it is of the kind `expected`.
    ///
    /// # Errors
    /// [`Error::OpenNamespace`] with ENOENT or EACCES; [`Error::NotANamespace`] when the path leads
    /// to anything else; [`Error::WrongNamespace`] when it is a namespace of another kind.
    /// Needs Linux 4.11 (NS_GET_NSTYPE, see [ioctl_nsfs(2)]).
    ///
    /// [ioctl_nsfs(2)]: https://man7.org/linux/man-pages/man2/ioctl_nsfs.2.html
    pub fn open_path(path: impl AsRef<Path>, expected: Namespace) -> Result<Self, Error> {
        Self::open_at(rustix::fs::CWD, path, expected)
    }

    /// The same of a path in a directory: for a thread that does not see `/proc` where it is.
    ///
    /// # Errors
    /// As [`open_path`](Self::open_path).
    pub fn open_at(
        directory: impl AsFd,
        path: impl AsRef<Path>,
        expected: Namespace,
    ) -> Result<Self, Error> {
        let path = path.as_ref();
        let failed = |source| Error::OpenNamespace {
            path: path.to_owned(),
            source,
        };
        // NONBLOCK: a FIFO at this path would otherwise make the caller wait for ever.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let descriptor = rustix::fs::openat(directory, path, flags, Mode::empty())
            .map_err(|errno| failed(errno.into()))?;
        let status = rustix::fs::fstatfs(&descriptor).map_err(|errno| failed(errno.into()))?;
        // On another file system the number of the request could mean anything.
        if i128::from(status.f_type) != i128::from(libc::NSFS_MAGIC) {
            return Err(Error::NotANamespace {
                path: path.to_owned(),
            });
        }
        let flag = sys::namespace_kind(descriptor.as_fd()).map_err(failed)?;
        match Namespace::from_clone_flag(flag) {
            Some(found) if found == expected => Ok(Self {
                descriptor,
                kinds: vec![expected],
            }),
            found => Err(Error::WrongNamespace {
                path: path.to_owned(),
                expected,
                found,
            }),
        }
    }

    /// Takes the namespaces of these kinds of the process that `pidfd` stands for. One pidfd serves
    /// for all of them, and they are joined together or not at all.
    ///
    /// Whether the process is still there shows in [`join`](Self::join). Needs Linux 5.8.
    #[must_use]
    pub fn from_pidfd(pidfd: OwnedFd, kinds: &[Namespace]) -> Self {
        Self {
            descriptor: pidfd,
            kinds: kinds.to_vec(),
        }
    }

    /// The kinds of namespaces that [`join`](Self::join) enters.
    #[must_use]
    pub fn kinds(&self) -> &[Namespace] {
        &self.kinds
    }

    /// Moves the **calling thread** into the namespace. The other threads stay where they are.
    /// A pid or time namespace is entered only by children made afterwards.
    ///
    /// See [setns(2)](https://man7.org/linux/man-pages/man2/setns.2.html).
    ///
    /// # Errors
    /// [`Error::JoinNamespace`]: EPERM without CAP_SYS_ADMIN in the namespace's owner; EINVAL when a
    /// threaded program joins a user or mount namespace, or for the own user namespace; ESRCH when
    /// the process of a pidfd is gone.
    pub fn join(&self) -> Result<(), Error> {
        let flags = self
            .kinds
            .iter()
            .fold(CloneFlags::empty(), |flags, kind| flags | kind.clone_flag());
        nix::sched::setns(&self.descriptor, flags).map_err(|errno| Error::JoinNamespace {
            namespaces: List(&self.kinds).to_string(),
            source: errno.into(),
        })
    }
}

impl AsFd for NamespaceFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

struct List<'a>(&'a [Namespace]);

impl fmt::Display for List<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_list(formatter, self.0)
    }
}
