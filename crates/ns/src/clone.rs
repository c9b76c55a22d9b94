//! Making a child: straight into a program, or as a copy of the caller.

mod sys;

use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::fcntl_dupfd_cloexec;

use self::sys::ChildStep;
use crate::{Child, Error, Namespace, Namespaces, Stack};

pub use self::sys::{clone_closure, clone_closure_single_threaded};

/// What a program needs before `exec`: it only makes system calls on it.
const PROGRAM_STACK_BYTES: usize = 64 << 10;

/// The stack of a closure, unless [`CloneOptions::stack_bytes`] says otherwise.
const CLOSURE_STACK_BYTES: usize = 1 << 20;

/// The first number that a program's own descriptors get: those below are the standard ones.
const FIRST_DESCRIPTOR: usize = 3;

/// A program to be executed by [`clone_program`].
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    /// The executable file, opened for reading or with `O_PATH`. It must be a program, not a
    /// script: the descriptor is closed by `exec`, so an interpreter could not read it.
    pub executable: BorrowedFd<'a>,
    /// The arguments; the first is the name that the program is called by.
    pub args: &'a [&'a CStr],
    /// The whole environment, as `NAME=value`.
    pub env: &'a [&'a CStr],
    /// The descriptors that the program gets as 3, 4, and so on, in this order. Standard input,
    /// output and error pass through as they are; every other descriptor is closed.
    pub descriptors: &'a [BorrowedFd<'a>],
}

impl Program<'_> {
    fn name(&self) -> String {
        self.args
            .first()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }
}

/// Where a child is made.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct CloneOptions<'a> {
    namespaces: &'a Namespaces,
    cgroup: Option<BorrowedFd<'a>>,
    stack_bytes: Option<usize>,
}

impl<'a> CloneOptions<'a> {
    /// A child in these new namespaces. Those that are to be *joined*, and a new time namespace, are
    /// left to the child: see [`Namespaces::join`] and [`Namespaces::clone_flags`].
    pub fn new(namespaces: &'a Namespaces) -> Self {
        Self {
            namespaces,
            cgroup: None,
            stack_bytes: None,
        }
    }

    /// Makes the child inside this cgroup of the unified hierarchy, a directory opened for reading
    /// or with `O_PATH`. It never is anywhere else, and it costs nothing, unlike a later write of its
    /// pid. Linux 5.7; the caller needs write access to `cgroup.procs` there and in the common
    /// ancestor.
    pub fn cgroup(mut self, directory: BorrowedFd<'a>) -> Self {
        self.cgroup = Some(directory);
        self
    }

    /// The size of the stack, by default 1 MiB for a closure. A child that goes into a program has
    /// 64 KiB, of which it needs a fraction, and never less: where it shares the caller's memory, an
    /// overflow would be the end of both on kernels before 5.16 that dump core.
    pub fn stack_bytes(mut self, size: usize) -> Self {
        self.stack_bytes = Some(size);
        self
    }

    fn closure_stack(&self) -> Result<Stack, Error> {
        Stack::new(self.stack_bytes.unwrap_or(CLOSURE_STACK_BYTES))
    }

    fn request(&self, stack: &Stack) -> sys::CloneRequest {
        sys::CloneRequest::new(self.namespaces.clone_flags(), self.cgroup, stack.usable())
    }

    fn refused(&self, source: io::Error) -> Error {
        Error::Clone {
            namespaces: self.namespaces.to_string(),
            cgroup: self.cgroup.is_some(),
            source,
        }
    }
}

/// Makes a child that goes straight into a program, and returns when it is there.
///
/// This is **safe in every program**, however many threads it has: the child shares the caller's
/// memory, on a [`Stack`] of its own, only until it executes the program, and the calling thread
/// sleeps meanwhile (CLONE_VM, CLONE_VFORK). Nothing is copied, so the cost does not grow with the
/// caller's memory, and the child makes nothing but raw system calls, so a lock that another thread
/// holds cannot hurt it.
///
/// In a new user namespace, no ids are mapped yet when the program starts; it has all
/// capabilities there, as ambient ones, because an ordinary `exec` without an id would drop them.
///
/// The program starts with **all signals blocked** and all handlers at their default (ignored ones
/// stay ignored). Whoever executes a foreign program wants to let a small one of their own come
/// first, which unblocks them when it is ready for them.
///
/// # Errors
/// [`Error::Clone`] when the kernel refuses the process, which lists the causes;
/// [`Error::DuplicateDescriptor`] and [`Error::Stack`] before it; and, named after what the child was
/// doing, [`Error::RaiseCapabilities`], [`Error::PlaceDescriptors`], [`Error::CloseDescriptors`] and
/// [`Error::Execute`]. No process is left then.
///
/// Needs Linux 5.9 (`close_range`); a cgroup needs nothing newer.
/// See [clone(2)](https://man7.org/linux/man-pages/man2/clone.2.html) and
/// [execveat(2)](https://man7.org/linux/man-pages/man2/execveat.2.html).
pub fn clone_program(program: &Program<'_>, options: &CloneOptions<'_>) -> Result<Child, Error> {
    let first_free = FIRST_DESCRIPTOR.saturating_add(program.descriptors.len());
    let executable = Source::above(first_free, program.executable, program)?;
    let sources = program
        .descriptors
        .iter()
        .map(|descriptor| Source::above(first_free, *descriptor, program))
        .collect::<Result<Vec<_>, _>>()?;
    let descriptors: Vec<BorrowedFd<'_>> = sources.iter().map(AsFd::as_fd).collect();
    let execution = sys::Execution::new(
        executable.as_fd(),
        program.args,
        program.env,
        &descriptors,
        options.namespaces.makes(Namespace::User),
    );
    let stack = Stack::new(options.stack_bytes.unwrap_or(0).max(PROGRAM_STACK_BYTES))?;
    log::debug!(
        "clone {} with {} new namespaces",
        program.name(),
        options.namespaces
    );
    let cloned = sys::clone_into_program(&options.request(&stack), &execution)
        .map_err(|source| options.refused(source))?;
    let mut child = Child::new(cloned.pid, cloned.pidfd);
    let Some((step, source)) = cloned.failure else {
        return Ok(child);
    };
    // It has ended itself already. Whether it can still be reaped here changes nothing.
    let _ = child.wait();
    let program = program.name();
    Err(match step {
        ChildStep::RaiseCapabilities => Error::RaiseCapabilities { program, source },
        ChildStep::PlaceDescriptors => Error::PlaceDescriptors { program, source },
        ChildStep::CloseDescriptors => Error::CloseDescriptors { program, source },
        ChildStep::Execute => Error::Execute { program, source },
    })
}

/// A descriptor whose number is none of those that the child overwrites.
enum Source<'a> {
    InPlace(BorrowedFd<'a>),
    Moved(OwnedFd),
}

impl<'a> Source<'a> {
    fn above(
        first_free: usize,
        descriptor: BorrowedFd<'a>,
        program: &Program<'_>,
    ) -> Result<Self, Error> {
        let failed = |source| Error::DuplicateDescriptor {
            program: program.name(),
            source,
        };
        let first_free = i32::try_from(first_free)
            .map_err(|_| failed(io::Error::from_raw_os_error(libc::EMFILE)))?;
        if descriptor.as_raw_fd() >= first_free {
            return Ok(Self::InPlace(descriptor));
        }
        fcntl_dupfd_cloexec(descriptor, first_free)
            .map(Self::Moved)
            .map_err(|errno| failed(errno.into()))
    }
}

impl AsFd for Source<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::InPlace(descriptor) => descriptor.as_fd(),
            Self::Moved(descriptor) => descriptor.as_fd(),
        }
    }
}

/// Fails unless the caller is the only thread of its process.
fn check_single_threaded() -> Result<(), Error> {
    let threads = fs::read_dir("/proc/self/task")
        .map_err(|source| Error::CountThreads { source })?
        .count();
    if threads == 1 {
        Ok(())
    } else {
        Err(Error::Threads { threads })
    }
}
