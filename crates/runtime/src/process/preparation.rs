//! What the parent does until init is ready, and what it makes of an init that fails.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crabcan_cgroups::Cgroup;
use crabcan_init::message::Message;
use crabcan_ns::{Child, ExitStatus};

use super::{Process, SIGKILL};
use crate::net_devices::NetDevices;
use crate::plan::{MountToSend, Provision};
use crate::protocol::Heard;
use crate::{Error, provide, sys};

impl Process<'_> {
    /// Lets init go on, also to where it waits for the word of another program.
    pub(crate) fn proceed(&mut self, doing: &'static str) -> Result<(), Error> {
        self.protocol.proceed().map_err(|source| {
            let sent = Error::Channel {
                doing: "let init go on",
                source,
            };
            self.not_provided(sent, doing)
        })
    }

    /// Writes the id maps, or has the caller do so, lets init go on, sends what it waits for, gives
    /// network devices and runs the hooks when it asks for that, and hears that it is ready. `cgroup`
    /// is the one that it enters.
    pub(crate) fn prepare(
        &mut self,
        cgroup: Option<&Cgroup>,
        hooks: &mut dyn FnMut(&Child) -> Result<(), Error>,
    ) -> Result<(), Error> {
        const DOING: &str = "preparing the container";
        // The child that goes on may be ready before init has told of it.
        let (mut ready, mut forked) = (false, self.provide(cgroup, hooks, DOING)?);
        let mut hooks_due = false;
        while !(ready && forked) {
            // Only who goes on is sure to be in the container's namespaces, and to stay.
            if hooks_due && forked {
                hooks_due = false;
                self.net_devices = NetDevices::give(self.plan.net_devices(), self.child.pidfd())?;
                hooks(&self.child)?;
                self.proceed(DOING)?;
            }
            let heard = match forked {
                true => self.protocol.hear(DOING)?,
                false => self.protocol.hear_or_end(self.child.pidfd(), DOING)?,
            };
            match heard {
                Heard::Message(Message::Ready) if !ready => ready = true,
                Heard::Message(Message::Hooks) if !hooks_due => hooks_due = true,
                Heard::Forked(pidfd) if !forked => {
                    forked = true;
                    self.go_on_in(pidfd)?;
                    self.schedule(DOING)?;
                }
                Heard::Console(master) if self.console.is_none() => self.console = Some(master),
                Heard::Listener(fd) if self.listener.is_none() => self.listener = Some(fd),
                heard => {
                    if !forked {
                        self.follow(&heard, DOING);
                    }
                    return Err(self.unexpected(heard, DOING));
                }
            }
        }
        Ok(())
    }

    /// Sends what init waits for; whether no child is to go on in its place any more.
    fn provide(
        &mut self,
        cgroup: Option<&Cgroup>,
        hooks: &mut dyn FnMut(&Child) -> Result<(), Error>,
        doing: &'static str,
    ) -> Result<bool, Error> {
        let mut forked = !self.plan.forks();
        let locked = provide::locked(self.plan, &self.child);
        let mut locked = locked.map_err(|error| self.not_provided(error, doing))?;
        let mut first = 0;
        for provisions in self.plan.provisions().split(Provision::answers_init) {
            forked |= self.answer_init(first, doing)?;
            let (plan, child) = (self.plan, &self.child);
            let last = first + provisions.len();
            let provided = provide::provide(
                plan,
                first..last,
                child,
                &self.protocol,
                cgroup,
                &mut locked,
                hooks,
            );
            first = last + 1;
            if let Err(error) = provided {
                return Err(self.not_provided(error, doing));
            }
        }
        if self.goes_on {
            self.proceed(doing)?;
        }
        Ok(forked)
    }

    /// Answers what init says before the provisions from here on; whether a child goes on in its
    /// place.
    fn answer_init(&mut self, first: usize, doing: &'static str) -> Result<bool, Error> {
        let all = self.plan.provisions();
        let before = first.checked_sub(1);
        match before.and_then(|index| Some((index, all.get(index)?))) {
            None => Ok(false),
            Some((index, Provision::MapTree(mount))) => {
                self.map_ids_of_tree(mount, index, doing).map(|()| false)
            }
            Some(_) => self.await_fork(doing).map(|()| true),
        }
    }

    fn await_fork(&mut self, doing: &'static str) -> Result<(), Error> {
        match self.protocol.hear_or_end(self.child.pidfd(), doing)? {
            Heard::Forked(pidfd) => self.go_on_in(pidfd),
            heard => {
                self.follow(&heard, doing);
                Err(self.unexpected(heard, doing))
            }
        }
    }

    /// Takes the child that has failed before init has told of it: this process alone can wait for
    /// it, and until then the container's pid namespace can't end.
    fn follow(&mut self, heard: &Heard, doing: &'static str) {
        // Whoever fails ends, and init, if it was not the one, tells of the child before.
        if !matches!(heard, Heard::Message(Message::Failed { .. })) {
            return;
        }
        while let Ok(next) = self.protocol.hear_or_end(self.child.pidfd(), doing) {
            match next {
                Heard::Closed => return,
                Heard::Forked(pidfd) => {
                    if let Err(error) = self.go_on_in(pidfd) {
                        log::warn!("{error}");
                    }
                    return;
                }
                _ => {}
            }
        }
    }

    /// Maps the ids of a mount that init makes, since only init sees it, and sends it back.
    fn map_ids_of_tree(
        &mut self,
        mount: &MountToSend,
        index: usize,
        doing: &'static str,
    ) -> Result<(), Error> {
        let tree = match self.protocol.hear_or_end(self.child.pidfd(), doing)? {
            Heard::Tree(tree) => tree,
            heard => return Err(self.unexpected(heard, doing)),
        };
        let (plan, child) = (self.plan, &self.child);
        provide::map_tree(plan, index, child, &self.protocol, mount, tree.as_fd())
            .map_err(|error| self.not_provided(error, doing))
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

    /// Says how the child is scheduled, which has given up the right to. It is this process' own, so
    /// that its pid is nobody else's.
    fn schedule(&mut self, doing: &'static str) -> Result<(), Error> {
        let Some(numbers) = self.plan.schedule_of_child() else {
            return Ok(());
        };
        let scheduled = sys::sched_setattr(self.child.pid(), numbers);
        scheduled.map_err(|source| {
            let refused = Error::Provide {
                property: "process.scheduler".into(),
                source: Box::new(Error::Wait {
                    doing: "set the scheduling policy",
                    source: source.into(),
                }),
            };
            self.not_provided(refused, doing)
        })
    }

    /// Why init could not be provided with what it needs. If it failed or was killed before, all
    /// that was done for it was refused, and its own reason is the better one.
    fn not_provided(&mut self, error: Error, doing: &'static str) -> Error {
        // Who was killed before must be told from who is killed here. Only when it has ended it is
        // certain that nothing more is to be heard.
        let over = self.protocol.is_over(self.child.pidfd());
        let (Ok(over), Ok(()), Ok(status)) = (over, self.child.kill(), self.child.wait()) else {
            return error;
        };
        match self.protocol.hear(doing) {
            Ok(heard @ Heard::Message(Message::Failed { .. })) => self.unexpected(heard, doing),
            Ok(Heard::Closed) if over || status != ExitStatus::Signaled(SIGKILL) => {
                Error::InitEnded { doing, status }
            }
            _ => error,
        }
    }

    /// Turns what init said instead of what was expected into an error, and sees it end.
    pub(super) fn unexpected(&mut self, heard: Heard, doing: &'static str) -> Error {
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
            Heard::Console(_) | Heard::Listener(_) | Heard::Forked(_) | Heard::Tree(_) => {
                Error::Protocol {
                    message: "something a second time".into(),
                    doing,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;
    use crate::Sandbox;
    use crate::launch::Surroundings;

    const WORDS: &str = ": killed by signal 9 (SIGKILL)";

    /// By somebody else: it has ended when this returns, and nobody has waited for it. A test beside
    /// this one that launches something has its end of the channel too, for a moment.
    fn kill(process: &Process<'_>) {
        process.child.signal(SIGKILL).unwrap();
        let ended = PollFd::from_borrowed_fd(process.pidfd(), PollFlags::IN);
        let closed = PollFd::from_borrowed_fd(process.channel(), PollFlags::empty());
        for fd in [ended, closed] {
            poll(&mut [fd], None).unwrap();
        }
    }

    #[test]
    fn who_was_killed_before_its_first_word_is_said_to_have_been() {
        let plan = Sandbox::new("/bin/true").plan().unwrap();
        assert!(!plan.provisions().is_empty());
        let mut process = Process::launch(&plan, &Surroundings::default()).unwrap();
        kill(&process);
        let error = process.prepare(None, &mut |_| Ok(())).unwrap_err();
        let wanted = "init ended while preparing the container".to_owned() + WORDS;
        assert_eq!(error.to_string(), wanted);
    }

    #[test]
    fn who_was_killed_before_it_could_go_on_is_said_to_have_been() {
        let plan = Sandbox::new("/bin/true").plan().unwrap();
        let mut process = Process::create(&plan).unwrap();
        kill(&process);
        let error = process.proceed("creating the container").unwrap_err();
        let wanted = "init ended while creating the container".to_owned() + WORDS;
        assert_eq!(error.to_string(), wanted);
    }

    /// What went wrong while init was there is not its end, which comes from here.
    #[test]
    fn who_is_killed_here_is_not_the_reason() {
        let plan = Sandbox::new("/bin/true").plan().unwrap();
        let mut process = Process::create(&plan).unwrap();
        let error = process.not_provided(Error::NoContainer, "testing");
        assert!(matches!(error, Error::NoContainer), "{error:?}");
    }
}
