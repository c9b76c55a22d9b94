//! The mounts that the parent sends into a user namespace, locked as the kernel locks those that it
//! copies for one: docs/adr/0012-mounts-that-are-sent-are-locked.md.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;

use crabcan_ns::{Child, Namespace, NamespaceFd};
use crabcan_rootfs::Passage;
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{Mode, OFlags};

use crate::Error;
use crate::visit::visit;

/// How many mounts are open at once: the caller may have very many, and few descriptors.
const TOGETHER: usize = 32;

/// Detached mounts that went through a copy of a mount namespace that belongs to another user
/// namespace.
#[derive(Debug)]
pub(crate) struct LockedTrees {
    ready: VecDeque<OwnedFd>,
    rest: Range<usize>,
    /// The copy that has the rest; nobody is in it.
    copy: Option<NamespaceFd>,
}

impl LockedTrees {
    /// Locks mounts by the mount namespace of a process that waits, which has it afterwards as it was
    /// before.
    pub(crate) fn lock(
        trees: impl Iterator<Item = Result<OwnedFd, Error>>,
        process: &Child,
    ) -> Result<Self, Error> {
        let pidfd = process.pidfd().try_clone_to_owned().map_err(failed)?;
        let namespace = NamespaceFd::from_pidfd(pidfd, &[Namespace::Mount]);
        let procfs = rustix::fs::open("/proc", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let procfs = procfs.map_err(|errno| failed(errno.into()))?;
        let mut trees = trees.peekable();
        let mut opened = None;
        loop {
            let some: Vec<_> = trees.by_ref().take(TOGETHER).collect::<Result<_, _>>()?;
            let is_last = trees.peek().is_none();
            let locked = there(&namespace, || {
                let mut passage = match opened.take() {
                    Some(passage) => passage,
                    None => Passage::open().map_err(in_rootfs)?,
                };
                for tree in some {
                    passage.attach(tree).map_err(in_rootfs)?;
                }
                if is_last {
                    return Self::through(passage, &namespace, &procfs).map(Some);
                }
                opened = Some(passage);
                Ok(None)
            })?;
            if let Some(locked) = locked {
                return Ok(locked);
            }
        }
    }

    /// Copies the mount namespace that this thread is in: what is there is locked in the copy, since
    /// another user namespace owns the one and this thread's the other.
    fn through(passage: Passage, namespace: &NamespaceFd, procfs: &OwnedFd) -> Result<Self, Error> {
        passage.enter().map_err(in_rootfs)?;
        unshare(CloneFlags::CLONE_NEWNS).map_err(|errno| failed(errno.into()))?;
        let (first, rest) = split(0..passage.count());
        let ready = take(first)?;
        let copy = match rest.is_empty() {
            true => None,
            false => {
                let copy = NamespaceFd::open_at(procfs, "thread-self/ns/mnt", Namespace::Mount);
                Some(copy.map_err(in_namespaces)?)
            }
        };
        namespace.join().map_err(in_namespaces)?;
        passage.close().map_err(in_rootfs)?;
        Ok(Self { ready, rest, copy })
    }

    /// The next one, in their order.
    pub(crate) fn next(&mut self) -> Result<OwnedFd, Error> {
        if let (true, Some(copy)) = (self.ready.is_empty(), &self.copy) {
            let (some, rest) = split(self.rest.clone());
            self.ready = there(copy, || take(some))?;
            self.rest = rest;
        }
        let next = self.ready.pop_front();
        next.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
    }
}

/// So many as are open at once, and the others.
fn split(numbers: Range<usize>) -> (Range<usize>, Range<usize>) {
    let middle = numbers.end.min(numbers.start + TOGETHER);
    (numbers.start..middle, middle..numbers.end)
}

/// Does something in a mount namespace.
fn there<T: Send>(
    namespace: &NamespaceFd,
    what: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<T, Error> {
    visit(namespace, what).map_err(failed)?
}

fn failed(source: io::Error) -> Error {
    Error::Wait {
        doing: "lock the container's mounts",
        source,
    }
}

fn in_namespaces(source: crabcan_ns::Error) -> Error {
    let doing = "lock the container's mounts";
    Error::Namespaces { doing, source }
}

fn in_rootfs(source: crabcan_rootfs::Error) -> Error {
    Error::Rootfs { source }
}

/// Locked copies, by a thread in whose working directory they are.
fn take(numbers: Range<usize>) -> Result<VecDeque<OwnedFd>, Error> {
    let taken = numbers.map(Passage::take).collect::<Result<_, _>>();
    taken.map_err(in_rootfs)
}
