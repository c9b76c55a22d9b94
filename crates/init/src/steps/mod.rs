//! The code of each step: system calls on what the plan says, and no decisions.
//!
//! Inside the container the program performs them in the plan's order; a leaf crate calls the
//! same functions to act at once on the calling thread.

pub mod beneath;
pub mod capability;
mod cgroup;
mod console;
mod container;
mod copy_up;
mod decimal;
mod home;
mod hook;
mod join;
mod mask;
mod mount;
mod overlay;
mod process;
mod procfs;
mod root;
mod sandbox;
mod seccomp;
mod start;
mod wall;

use core::ffi::CStr;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use self::beneath::Near;
use self::mask::Covers;
use self::process::Program;
use crate::errno::Errno;
use crate::message::{DESCRIPTOR, Message, PROCEED};
use crate::step::Step;
use crate::sys::{self, Fd};

const S_IFMT: u32 = 0o170_000;
const S_IFREG: u32 = 0o100_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFCHR: u32 = 0o020_000;
const S_IFLNK: u32 = 0o120_000;

/// What steps hand on to later ones.
#[derive(Debug)]
pub(crate) struct Context {
    /// The channel to the parent, or the FIFO in its place.
    pub(crate) channel: i32,
    /// The procfs of the steps that write to it.
    procfs: Option<Fd>,
    /// The container's root, from the step that takes it to the one that pivots into it.
    root: Option<Fd>,
    /// How a copy of a mount of the host's is cut off from it, where those are still shared: see
    /// [`Step::AttachedRoot`].
    of_copies: u64,
    /// Where something was made by the step before this one.
    near: Near,
    /// What masked files and directories are covered with, once there is one.
    covers: Covers,
    /// The container's side of its terminal, and which descriptors it becomes.
    console: Option<(Fd, u32)>,
    /// Whether the first of two tries has led to the working directory.
    is_in_directory: bool,
    /// The caller's mask of file modes, which the program gets back.
    umask: u32,
    /// Where `HOME=` with the user's home behind it is, once that is looked up.
    home: Option<usize>,
    /// What execve(2) is given, once that is laid out.
    program: Option<Program>,
    /// Whether a failure is told by write(2): a filter of system calls is on, or the channel is a
    /// FIFO.
    by_write: bool,
    /// Where the process that stays behind as reaper finds why the other failed.
    report: Option<&'static Report>,
    /// What hooks have as standard output and error, where not init's own.
    hook_outputs: [Option<Fd>; 2],
    /// The rules of Landlock, until they are in force.
    ruleset: Option<Fd>,
    /// Where the end of each step is noted; nowhere, if nobody asks.
    timings: &'static [AtomicU64],
}

/// A [`Message::Failed`] without its first word, told by a store into shared memory: no filter of
/// system calls can forbid that. All zero: nothing has failed.
pub(crate) type Report = [AtomicU32; 4];

/// Why a step failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) errno: Errno,
    /// See [`Message::Failed`].
    pub(crate) detail: u32,
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self { errno, detail: 0 }
    }
}

impl Context {
    /// From here on, what steps make has the permission bits that the plan says, all of them.
    pub(crate) fn new(channel: i32) -> Self {
        Self {
            channel,
            procfs: None,
            root: None,
            of_copies: 0,
            near: Near::default(),
            covers: Covers::default(),
            console: None,
            is_in_directory: false,
            umask: sys::umask(0),
            home: None,
            program: None,
            by_write: false,
            report: None,
            hook_outputs: [const { None }; 2],
            ruleset: None,
            timings: &[],
        }
    }

    /// Makes what [`Context::fail`] will tell in memory that a copy of this process shares.
    pub(crate) fn share_report(&mut self) -> Result<(), Errno> {
        self.report = Some(sys::map_shared_words()?);
        Ok(())
    }

    /// What the copy of this process has told.
    pub(crate) fn shared_failure(&self) -> Option<Message> {
        let [told, step, errno, detail] = self.report?;
        // Of a copy that has ended nothing is still on its way.
        let read = |word: &AtomicU32| word.load(Ordering::Acquire);
        (read(told) != 0).then(|| Message::Failed {
            step: read(step),
            errno: read(errno) as i32,
            detail: read(detail),
        })
    }

    /// Tells the parent, or the reaper that will tell it, why this process ends.
    pub(crate) fn fail(&self, step: u32, failure: Failure) {
        let Failure { errno, detail } = failure;
        if let Some([told, words @ ..]) = self.report {
            for (word, value) in words.iter().zip([step, errno.0 as u32, detail]) {
                word.store(value, Ordering::Relaxed);
            }
            return told.store(1, Ordering::Release);
        }
        let message = Message::Failed {
            step,
            errno: errno.0,
            detail,
        };
        // A parent that is gone can't be told, and needs not be.
        let _ = match self.by_write {
            true => sys::write(self.channel, &message.to_bytes()),
            false => self.say(message),
        };
    }

    /// Does all that needs to be done before execve(2), once; `filtered` when a filter of system
    /// calls comes between.
    pub(crate) fn prepare_program(
        &mut self,
        step: Option<Step<'_>>,
        filtered: bool,
    ) -> Result<Program, Failure> {
        if let Some(program) = self.program {
            return Ok(program);
        }
        let Some(Step::Exec {
            candidates,
            args,
            env,
        }) = step
        else {
            return Err(Errno::EINVAL.into());
        };
        sys::umask(self.umask);
        let program = Program::prepare(candidates, args, env, self.home, filtered)?;
        self.program = Some(program);
        Ok(program)
    }

    /// Does one step. [`Step::Reaper`] is the walker's own, since it leaves two processes behind, and
    /// [`Step::Hook`], which is told of another.
    pub(crate) fn perform(&mut self, step: &Step<'_>) -> Result<(), Failure> {
        if !makes_only(step) {
            self.near.let_go();
        }
        self.act(step)
    }

    fn act(&mut self, step: &Step<'_>) -> Result<(), Failure> {
        match *step {
            Step::AwaitIdMaps {} => self.await_proceed(),
            Step::NotDumpable {} => process::not_dumpable(),
            Step::SetIds {
                uid,
                gid,
                set_groups,
                groups,
            } => process::set_ids(uid, gid, set_groups.then_some(groups)),
            Step::LoopbackUp {} => process::loopback_up(),
            Step::Propagation { flags } => sys::propagation(c"/", flags),
            Step::Root { .. }
            | Step::OverlayRoot { .. }
            | Step::RootAttributes { .. }
            | Step::Pivot {}
            | Step::Chroot {} => self.root_step(step),
            Step::MountPoint { .. }
            | Step::Symlink { .. }
            | Step::Mount { .. }
            | Step::Bind { .. }
            | Step::MakeNode { .. }
            | Step::Remount { .. }
            | Step::Mask { .. }
            | Step::ReadOnly { .. } => self.mount_step(step),
            Step::Console { .. } => self.open_console(step),
            Step::WorkingDirectory { target, first } => self.working_directory(target, first),
            Step::ResourceLimit {
                resource,
                soft,
                hard,
            } => sys::setrlimit(resource, soft, hard),
            Step::NoNewPrivileges {} => process::no_new_privileges(),
            Step::Bounding { keep } => capability::bounding(keep),
            Step::Capabilities {
                effective,
                permitted,
                inheritable,
                ambient,
            } => capability::set(effective, permitted, inheritable, ambient),
            Step::ParentDeathSignal { signal } => {
                process::parent_death_signal(signal, self.channel)
            }
            Step::Ready {} => self.ready(),
            Step::Reaper {} => Err(Errno::EINVAL),
            Step::Session {} => console::session(self.console.take()),
            Step::Seccomp {
                program,
                flags,
                listener,
            } => self.filter(program, flags, listener),
            Step::Exec { candidates, .. } => {
                return Err(self
                    .prepare_program(Some(*step), false)?
                    .execute(candidates));
            }
            _ => return self.container_step(step),
        }
        .map_err(Failure::from)
    }

    fn open_console(&mut self, step: &Step<'_>) -> Result<(), Errno> {
        let Step::Console {
            descriptors,
            rows,
            columns,
        } = *step
        else {
            return Err(Errno::EINVAL);
        };
        self.console = Some((console::open(self.channel, rows, columns)?, descriptors));
        Ok(())
    }

    fn working_directory(&mut self, target: &CStr, first: bool) -> Result<(), Errno> {
        if self.is_in_directory {
            return Ok(());
        }
        match process::working_directory(target) {
            Err(Errno::EACCES) if first => Ok(()),
            other => other.map(|()| self.is_in_directory = first),
        }
    }

    /// Waits for the parent's word; its end, or another word, is an error.
    fn await_proceed(&self) -> Result<(), Errno> {
        match sys::receive(self.channel)? {
            (PROCEED, None) => Ok(()),
            _ => Err(Errno::EPROTO),
        }
    }

    fn ready(&mut self) -> Result<(), Errno> {
        self.procfs = None;
        self.say(Message::Ready)?;
        self.await_proceed()
    }

    pub(crate) fn say(&self, message: Message) -> Result<(), Errno> {
        sys::send(self.channel, &message.to_bytes(), None)
    }

    /// The descriptor that the parent sends for this step.
    fn receive_descriptor(&self) -> Result<Fd, Errno> {
        match sys::receive(self.channel)? {
            (DESCRIPTOR, Some(descriptor)) => Ok(descriptor),
            _ => Err(Errno::EPROTO),
        }
    }

    fn root(&self) -> Result<i32, Errno> {
        self.root.as_ref().map(|root| root.0).ok_or(Errno::EBADF)
    }
}

/// Whether a step only makes something beneath the root, so that every path there leads where it
/// led before.
fn makes_only(step: &Step<'_>) -> bool {
    matches!(
        step,
        Step::MountPoint { .. } | Step::Symlink { .. } | Step::MakeNode { .. }
    )
}
