//! A container's life: made from a plan, started, waited for, removed.

mod preparation;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use crabcan_cgroups::{Cgroup, Events};
use crabcan_init::message::{End, Message};
use crabcan_ns::{Child, ExitStatus, Namespace};
use nix::unistd::Pid;
use rustix::net::{Shutdown, shutdown};

use crate::launch::{self, Surroundings};
use crate::limits::{self, Limits, Unenforced};
use crate::net_devices::NetDevices;
use crate::protocol::{Heard, Protocol};
use crate::timings::{Notes, Span, Timings};
use crate::{Error, Plan};

const SIGKILL: i32 = 9;

/// A container that init has prepared, or that runs, or has ended.
///
/// Dropping it kills everything in it and waits for that.
#[derive(Debug)]
#[must_use = "dropping a container kills it"]
pub struct Process<'plan> {
    plan: &'plan Plan,
    child: Child,
    /// After the child, so that it is dropped when nothing is in it any more.
    cgroup: Option<Cgroup>,
    /// After the child too: they come back when it is gone.
    net_devices: NetDevices,
    unenforced: Vec<Unenforced>,
    events: Events,
    protocol: Protocol,
    console: Option<OwnedFd>,
    listener: Option<OwnedFd>,
    end: Option<ExitStatus>,
    start_tried: bool,
    /// Whether init has the word to start before it is ready.
    goes_on: bool,
    /// Whether the channel's other end was heard to be closed.
    closed: bool,
    /// When the program has run for as long as it may; absent for no limit, or one beyond all times.
    deadline: Option<Instant>,
    /// Where the time goes, if somebody asks.
    timings: Option<(Timings, Notes)>,
    ran_out_of_time: bool,
}

impl<'plan> Process<'plan> {
    /// Makes a container up to the point where only its program is missing.
    ///
    /// Safe in any program, whatever its other threads do: nothing of it is copied, and the new
    /// process executes init at once. The container lives until it is removed or dropped, or until
    /// this process ends; the thread that made it may end before.
    ///
    /// # Errors
    /// [`Error::Step`] names the step that failed, its source the kernel's reason.
    /// [`Error::MemoryFile`] (EACCES where `vm.memfd_noexec` is 2) and [`Error::Namespaces`] (EPERM
    /// and ENOSPC where user namespaces are switched off) come before any step, [`Error::Rootfs`]
    /// from a mount that the parent makes, [`Error::Limits`] from the cgroup, [`Error::InitEnded`] when
    /// somebody kills init. Nothing of the container is left then.
    pub fn create(plan: &'plan Plan) -> Result<Self, Error> {
        Self::create_mapped(plan, &mut |_| Ok(()))
    }

    /// The same for a sandbox of [`Sandbox::mapped_by_caller`](crate::Sandbox::mapped_by_caller):
    /// `map` is called when its user namespace is there, with its first process, and writes the ids
    /// or waits until somebody has.
    ///
    /// # Errors
    /// As [`Process::create`] has; [`Error::Wait`] with what `map` says, and [`Error::Step`] (EINVAL)
    /// when the command's own ids were not mapped.
    pub fn create_mapped(
        plan: &'plan Plan,
        map: &mut dyn FnMut(Pid) -> io::Result<()>,
    ) -> Result<Self, Error> {
        Self::make(plan, map, false)
    }

    /// Makes a container and executes its program at once: for who has nothing to do in between, which
    /// saves two waits for each other.
    ///
    /// # Errors
    /// As [`Process::create`] and [`Process::start`] have.
    pub fn spawn(plan: &'plan Plan) -> Result<Self, Error> {
        let mut container = Self::make(plan, &mut |_| Ok(()), !plan.stops())?;
        container.start()?;
        Ok(container)
    }

    fn make(
        plan: &'plan Plan,
        map: &mut dyn FnMut(Pid) -> io::Result<()>,
        goes_on: bool,
    ) -> Result<Self, Error> {
        log::debug!("Linux release: {}", plan.host().release);
        let timings = plan.is_timed().then(|| Notes::for_steps(plan.steps()));
        let mut timings = timings
            .transpose()?
            .map(|notes| (Timings::from_now(), notes));
        let enforced = plan.limits().map(Limits::enforce).transpose()?;
        if plan.limits().is_some() {
            ended(&mut timings, "make the cgroup, and set its limits");
        }
        let (cgroup, unenforced) = enforced.unzip();
        let surroundings = Surroundings {
            cgroup: cgroup.as_ref().and_then(Cgroup::unified),
            descriptors: timings.iter().map(|(_, notes)| notes.as_fd()).collect(),
        };
        let mut container = Self::launch(plan, &surroundings)?;
        ended(&mut timings, "clone, and execute init");
        container.goes_on = goes_on;
        container.unenforced = [plan.unenforced(), &unenforced.unwrap_or_default()].concat();
        container.prepare(cgroup.as_ref(), &mut |child| {
            map(child.pid()).map_err(|source| Error::Wait {
                doing: "wait until the caller has mapped the ids",
                source,
            })
        })?;
        ended(
            &mut timings,
            "hand over to init, and wait until it is ready",
        );
        container.timings = timings;
        container.cgroup = cgroup;
        log::debug!("Creation finished");
        log::debug!("Container child PID: {:?}", Some(container.pid()));
        Ok(container)
    }

    /// Executes init, which waits for what only the parent can do.
    pub(crate) fn launch(
        plan: &'plan Plan,
        surroundings: &Surroundings<'_>,
    ) -> Result<Self, Error> {
        let (parent, child) = crabcan_ipc::socketpair().map_err(|source| Error::Channel {
            doing: "make the channel to init",
            source,
        })?;
        log::debug!(
            "Container sockets: ({}, {})",
            parent.as_fd().as_raw_fd(),
            child.as_fd().as_raw_fd()
        );
        let process = launch::launch(plan, child, surroundings)?;
        Ok(Self {
            plan,
            child: process,
            cgroup: None,
            net_devices: NetDevices::default(),
            unenforced: Vec::new(),
            events: Events::default(),
            protocol: Protocol::new(parent),
            console: None,
            listener: None,
            end: None,
            start_tried: false,
            goes_on: false,
            closed: false,
            deadline: None,
            timings: None,
            ran_out_of_time: false,
        })
    }

    /// The pid of the container's first process, as the caller sees it.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.child.pid()
    }

    /// What was to be limited if possible, and is not.
    #[must_use]
    pub fn unenforced(&self) -> &[Unenforced] {
        &self.unenforced
    }

    /// Which limits of its cgroup have struck, and how often: known when it has ended.
    #[must_use]
    pub fn limit_events(&self) -> Events {
        self.events
    }

    /// What its start was made of and how long each part took, once it is started: nothing, unless
    /// [`Sandbox::timings`](crate::Sandbox::timings) asked for it.
    ///
    /// # Errors
    /// [`Error::MemoryFile`] when what init has noted can't be read.
    pub fn timings(&self) -> Result<Vec<Span>, Error> {
        let Some((timings, notes)) = &self.timings else {
            return Ok(Vec::new());
        };
        let of_init = notes
            .spans(timings.last())
            .map_err(|source| Error::MemoryFile {
                name: "crabcan-timings",
                source,
            })?;
        Ok([timings.spans(), of_init].concat())
    }

    /// Whether it was killed because it had run for as long as it may.
    #[must_use]
    pub fn ran_out_of_time(&self) -> bool {
        self.ran_out_of_time
    }

    /// The master side of the container's terminal, once.
    pub fn take_console(&mut self) -> Option<OwnedFd> {
        self.console.take()
    }

    /// The listener of the filter of system calls, once: after [`Process::create`] without a
    /// reaper, after [`Process::start`] with one. [`listener::send`](crate::listener::send) hands
    /// it on.
    pub fn take_listener(&mut self) -> Option<OwnedFd> {
        self.listener.take()
    }

    /// Executes the program, once, and returns when it is there; see execve(2).
    ///
    /// # Errors
    /// [`Error::Execute`] when it can't be executed (ENOENT, EACCES, ENOEXEC, …); the container has
    /// ended then. [`Error::StartedBefore`] when that was tried before. [`Error::Invalid`] for a
    /// sandbox that is observed: it can be started by [`Process::start_observed`] still.
    pub fn start(&mut self) -> Result<(), Error> {
        if self.plan.is_observed() {
            // Nobody would answer: not even the end of the process could be asked for.
            let reason = "every call asks, and nobody answers: see Process::start_observed";
            return Err(Error::invalid("Sandbox::observed", reason));
        }
        self.start_observed(&mut |_| ())
    }

    /// The same for a sandbox of [`Sandbox::observed`](crate::Sandbox::observed): the supervisor is
    /// handed the listener, and must answer from another thread, or process, at once: what init still
    /// calls until the program is there is asked as well.
    ///
    /// # Errors
    /// As [`Process::start`] has.
    pub fn start_observed(&mut self, supervisor: &mut dyn FnMut(OwnedFd)) -> Result<(), Error> {
        if std::mem::replace(&mut self.start_tried, true) {
            return Err(Error::StartedBefore);
        }
        if let Some((timings, _)) = &mut self.timings {
            timings.skip();
        }
        let started = self.execute(supervisor);
        ended(&mut self.timings, "let init execute the program");
        if started.is_ok() {
            self.net_devices.keep();
            let limit = self.plan.time_limit();
            self.deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        } else if let Err(error) = self.kill() {
            log::warn!("end what could not be started: {error}");
        }
        started
    }

    fn execute(&mut self, supervisor: &mut dyn FnMut(OwnedFd)) -> Result<(), Error> {
        const DOING: &str = "starting the program";
        if !self.goes_on {
            self.proceed(DOING)?;
        }
        loop {
            match self.protocol.hear(DOING)? {
                Heard::Message(Message::Started) => return Ok(()),
                Heard::Listener(fd) if self.plan.is_observed() => supervisor(fd),
                Heard::Listener(fd) if self.listener.is_none() => self.listener = Some(fd),
                // Without a reaper the channel closes as the program is executed.
                Heard::Closed if !self.plan.has_reaper() => {
                    self.closed = true;
                    return Ok(());
                }
                heard => return Err(self.unexpected(heard, DOING)),
            }
        }
    }

    /// Waits until the container has ended. Signals of the caller and its terminal are left alone:
    /// for those there is [`wait`](crate::wait()).
    ///
    /// # Errors
    /// [`Error::Wait`] and [`Error::Namespaces`] when the kernel does not tell how.
    pub fn wait(&mut self) -> Result<ExitStatus, Error> {
        crate::foreground::wait(self, None, None)
    }

    /// Sends a signal to the container by its pidfd: init hands it on to the command. SIGKILL and
    /// SIGSTOP are init's own, and end or stop the container's first process.
    ///
    /// # Errors
    /// [`Error::Namespaces`], with ESRCH when it has ended.
    pub fn signal(&self, signal: i32) -> Result<(), Error> {
        let doing = "send a signal to the container";
        self.child
            .signal(signal)
            .map_err(|source| Error::Namespaces { doing, source })
    }

    /// Ends what still runs in the container and waits until all of it is gone.
    ///
    /// # Errors
    /// [`Error::Namespaces`] when it can't be killed or waited for; [`Error::Limits`] when its cgroup
    /// can't be removed.
    pub fn remove(mut self) -> Result<(), Error> {
        log::debug!("Cleaning container");
        if self.end.is_none() {
            self.kill().map_err(|source| Error::Namespaces {
                doing: "remove the container",
                source,
            })?;
        }
        self.cgroup.take().map_or(Ok(()), limits::remove)
    }

    /// Kills everything in the container and waits for that.
    fn kill(&mut self) -> Result<(), crabcan_ns::Error> {
        self.child.kill()?;
        match self.child.wait() {
            // Somebody else in this program has reaped it: so it has ended.
            Ok(_) | Err(crabcan_ns::Error::Reaped { .. }) => Ok(()),
            Err(source) => Err(source),
        }
    }

    /// Lets the process live on when this is dropped, and everything in it.
    pub(crate) fn let_go(mut self) -> Child {
        self.net_devices.keep();
        self.child
    }

    /// How long it may still run; absent for as long as it likes.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        let deadline = self.deadline.filter(|_| !self.ran_out_of_time)?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// Ends everything in the container, whose time is over. Where it shares a pid namespace, only
    /// its reaper can find the command: the end of the channel tells it to.
    pub(crate) fn end_in_time(&mut self) -> Result<(), Error> {
        self.ran_out_of_time = true;
        if self.plan.has_reaper() && !self.plan.namespaces().makes(Namespace::Pid) {
            return shutdown(self.channel(), Shutdown::Write).map_err(|errno| Error::Wait {
                doing: "end the container, whose time is over",
                source: errno.into(),
            });
        }
        self.signal(SIGKILL)
    }

    /// Whether init can still say something: not when its end of the channel is known to be closed.
    pub(crate) fn may_speak(&self) -> bool {
        !self.closed
    }

    pub(crate) fn child(&self) -> &Child {
        &self.child
    }

    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.child.pidfd()
    }

    pub(crate) fn channel(&self) -> BorrowedFd<'_> {
        self.protocol.as_fd()
    }

    /// Reads one message of a running container: whether more may come.
    pub(crate) fn listen(&mut self) -> Result<bool, Error> {
        const DOING: &str = "waiting for the program";
        match self.protocol.hear(DOING)? {
            Heard::Message(Message::Ended(end)) => {
                self.end = Some(match end {
                    End::Code(code) => ExitStatus::Exited(code),
                    End::Signal(signal) => ExitStatus::Signaled(signal),
                });
                // Its last word.
                Ok(false)
            }
            // Left behind by a start that failed: the reaper goes on once its child is gone.
            Heard::Message(Message::Started) => Ok(true),
            Heard::Closed => Ok(false),
            heard => Err(self.unexpected(heard, DOING)),
        }
    }

    /// Waits for init itself, whose end is the end of everything in the container.
    pub(crate) fn reap(&mut self) -> Result<ExitStatus, Error> {
        const DOING: &str = "waiting for the program";
        let reaped = self.child.wait();
        let status = match (self.end, reaped) {
            (Some(end), _) => end,
            // The reaper that was told to end everything ends by itself.
            (None, Ok(_)) if self.ran_out_of_time => ExitStatus::Signaled(SIGKILL),
            // A reaper that ends by itself says how the program did: without that it has failed.
            (None, Ok(status @ ExitStatus::Exited(_))) if self.plan.has_reaper() => {
                return Err(Error::InitEnded {
                    doing: DOING,
                    status,
                });
            }
            (None, Ok(status)) => status,
            (None, Err(source)) => {
                return Err(Error::Namespaces {
                    doing: DOING,
                    source,
                });
            }
        };
        self.end = Some(status);
        if let Some(cgroup) = &self.cgroup {
            self.events = cgroup.events().map_err(limits::failed)?;
        }
        Ok(status)
    }
}

/// Notes what has ended, if somebody wants to know.
fn ended(timings: &mut Option<(Timings, Notes)>, what: &'static str) {
    if let Some((timings, _)) = timings {
        timings.ended(what);
    }
}
