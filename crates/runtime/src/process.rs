//! A container's life: made from a plan, started, waited for, removed.

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
use crate::plan::Provision;
use crate::protocol::{Heard, Protocol};
use crate::{Error, Plan, provide};

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
    /// Whether the channel's other end was heard to be closed.
    closed: bool,
    /// When the program has run for as long as it may; absent for no limit, or one beyond all times.
    deadline: Option<Instant>,
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
        log::debug!("Linux release: {}", plan.host().release);
        let enforced = plan.limits().map(Limits::enforce).transpose()?;
        let (cgroup, unenforced) = enforced.unzip();
        let surroundings = Surroundings {
            cgroup: cgroup.as_ref().and_then(Cgroup::unified),
            ..Surroundings::default()
        };
        let mut container = Self::launch(plan, &surroundings)?;
        container.unenforced = [plan.unenforced(), &unenforced.unwrap_or_default()].concat();
        container.prepare(cgroup.as_ref(), &mut |_| Ok(()))?;
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
            closed: false,
            deadline: None,
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
    /// ended then. [`Error::StartedBefore`] when that was tried before.
    pub fn start(&mut self) -> Result<(), Error> {
        if std::mem::replace(&mut self.start_tried, true) {
            return Err(Error::StartedBefore);
        }
        let started = self.execute();
        if started.is_ok() {
            self.net_devices.keep();
            let limit = self.plan.time_limit();
            self.deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        } else if let Err(error) = self.kill() {
            log::warn!("end what could not be started: {error}");
        }
        started
    }

    fn execute(&mut self) -> Result<(), Error> {
        const DOING: &str = "starting the program";
        let sent = self.protocol.proceed();
        loop {
            match self.protocol.hear(DOING)? {
                Heard::Message(Message::Started) => return Ok(()),
                Heard::Listener(fd) if self.listener.is_none() => self.listener = Some(fd),
                // Without a reaper the channel closes as the program is executed.
                Heard::Closed if sent.is_ok() && !self.plan.has_reaper() => {
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

    /// Lets init go on to where it waits for the word of another program.
    pub(crate) fn proceed(&self) -> Result<(), Error> {
        self.protocol.proceed().map_err(|source| Error::Channel {
            doing: "let init go on",
            source,
        })
    }

    /// Writes the id maps, lets init go on, sends what it waits for, gives network devices and runs
    /// the hooks when it asks for that, and hears that it is ready. `cgroup` is the one that it
    /// enters.
    pub(crate) fn prepare(
        &mut self,
        cgroup: Option<&Cgroup>,
        hooks: &mut dyn FnMut(&Child) -> Result<(), Error>,
    ) -> Result<(), Error> {
        const DOING: &str = "preparing the container";
        // The child that goes on may be ready before init has told of it.
        let (mut ready, mut forked) = (false, !self.plan.forks());
        let parts = self
            .plan
            .provisions()
            .split(|it| matches!(it, Provision::Fork));
        let mut first = 0;
        for provisions in parts {
            if first > 0 {
                forked = true;
                self.await_fork(DOING)?;
            }
            let (plan, child) = (self.plan, &self.child);
            let provided = provide::provide(plan, first, provisions, child, &self.protocol, cgroup);
            first += provisions.len() + 1;
            if let Err(error) = provided {
                return Err(self.not_provided(error, DOING));
            }
        }
        let mut hooks_due = false;
        while !(ready && forked) {
            // Only who goes on is sure to be in the container's namespaces, and to stay.
            if hooks_due && forked {
                hooks_due = false;
                self.net_devices = NetDevices::give(self.plan.net_devices(), self.child.pidfd())?;
                hooks(&self.child)?;
                self.proceed()?;
            }
            match self.protocol.hear(DOING)? {
                Heard::Message(Message::Ready) if !ready => ready = true,
                Heard::Message(Message::Hooks) if !hooks_due => hooks_due = true,
                Heard::Forked(pidfd) if !forked => {
                    forked = true;
                    self.go_on_in(pidfd)?;
                }
                Heard::Console(master) if self.console.is_none() => self.console = Some(master),
                Heard::Listener(fd) if self.listener.is_none() => self.listener = Some(fd),
                heard => return Err(self.unexpected(heard, DOING)),
            }
        }
        Ok(())
    }

    fn await_fork(&mut self, doing: &'static str) -> Result<(), Error> {
        match self.protocol.hear(doing)? {
            Heard::Forked(pidfd) => self.go_on_in(pidfd),
            heard => Err(self.unexpected(heard, doing)),
        }
    }

    /// Takes the child that goes on in place of the one that was launched. The pid is read from the
    /// descriptor, not from the message.
    fn go_on_in(&mut self, pidfd: OwnedFd) -> Result<(), Error> {
        let doing = "follow init into the pid namespace that it has joined";
        let failed = |source| Error::Namespaces { doing, source };
        let next = Child::from_pidfd(pidfd).map_err(failed)?;
        let mut first = std::mem::replace(&mut self.child, next);
        match first.wait() {
            Ok(_) | Err(crabcan_ns::Error::Reaped { .. }) => Ok(()),
            Err(source) => Err(failed(source)),
        }
    }

    /// Why init could not be provided with what it needs. If it failed before, all that was done
    /// for it was refused, and its own reason is the better one.
    fn not_provided(&mut self, error: Error, doing: &'static str) -> Error {
        // Ended by us or by itself: only now it is certain that nothing more is to be heard.
        let (Ok(()), Ok(status)) = (self.child.kill(), self.child.wait()) else {
            return error;
        };
        match self.protocol.hear(doing) {
            Ok(heard @ Heard::Message(Message::Failed { .. })) => self.unexpected(heard, doing),
            Ok(Heard::Closed) if status != ExitStatus::Signaled(SIGKILL) => {
                Error::InitEnded { doing, status }
            }
            _ => error,
        }
    }

    /// Turns what init said instead of what was expected into an error, and sees it end.
    fn unexpected(&mut self, heard: Heard, doing: &'static str) -> Error {
        match heard {
            Heard::Message(Message::Failed {
                step,
                errno,
                detail,
            }) => {
                let source = io::Error::from_raw_os_error(errno);
                self.plan.failure(step, detail, source)
            }
            Heard::Closed => match self.child.wait() {
                Ok(status) => Error::InitEnded { doing, status },
                Err(source) => Error::Namespaces { doing, source },
            },
            Heard::Message(message) => Error::Protocol {
                message: format!("{message:?}"),
                doing,
            },
            Heard::Console(_) | Heard::Listener(_) | Heard::Forked(_) => Error::Protocol {
                message: "something a second time".into(),
                doing,
            },
        }
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
                Ok(true)
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
