//! The parent's side of the conversation with init.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crabcan_init::message::{DESCRIPTOR, Message};
use crabcan_ipc::ParentEnd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};

use crate::Error;

/// The channel to init.
#[derive(Debug)]
pub(crate) struct Protocol {
    channel: ParentEnd,
}

/// What init said, with the descriptor that came with it.
#[derive(Debug)]
pub(crate) enum Heard {
    Message(Message),
    /// The master of the container's terminal.
    Console(OwnedFd),
    /// A pidfd of the child that goes on in place of init, which ends.
    Forked(OwnedFd),
    /// The listener of the system call filter.
    Listener(OwnedFd),
    /// A detached mount whose ids are to be mapped.
    Tree(OwnedFd),
    /// The channel's other end is closed.
    Closed,
}

impl Protocol {
    pub(crate) fn new(channel: ParentEnd) -> Self {
        Self { channel }
    }

    /// Tells init to go on: the tutorial's boolean.
    pub(crate) fn proceed(&self) -> Result<(), crabcan_ipc::Error> {
        self.channel.send_boolean(true)
    }

    /// Hands a descriptor to the step that waits for one: a mount, or a namespace.
    pub(crate) fn send_descriptor(&self, what: BorrowedFd<'_>) -> Result<(), crabcan_ipc::Error> {
        self.channel.send_record_with_fd(&[DESCRIPTOR], what)
    }

    /// Waits for what init says next.
    pub(crate) fn hear(&self, doing: &'static str) -> Result<Heard, Error> {
        let received = self.channel.recv_record_with_fd::<{ Message::LENGTH }>();
        let (record, descriptor) = match received {
            Err(crabcan_ipc::Error::Closed) => return Ok(Heard::Closed),
            other => other.map_err(|source| Error::Channel { doing, source })?,
        };
        match (Message::from_bytes(&record), descriptor) {
            (Some(Message::Console), Some(master)) => Ok(Heard::Console(master)),
            (Some(Message::Forked { .. }), Some(pidfd)) => Ok(Heard::Forked(pidfd)),
            (Some(Message::Listener), Some(listener)) => Ok(Heard::Listener(listener)),
            (Some(Message::Tree), Some(tree)) => Ok(Heard::Tree(tree)),
            (Some(message), None) if !comes_with_descriptor(message) => Ok(Heard::Message(message)),
            _ => Err(Error::Protocol {
                message: format!("{record:?}"),
                doing,
            }),
        }
    }
}

impl Protocol {
    /// Waits for what init says next, or its end. Until it has told of the child that goes on in its
    /// place, that one holds the channel open as well: only init's own pidfd tells then that it was
    /// killed, and that the word will never come.
    pub(crate) fn hear_or_end(
        &self,
        init: BorrowedFd<'_>,
        doing: &'static str,
    ) -> Result<Heard, Error> {
        let mut fds = [
            PollFd::new(&self.channel, PollFlags::IN),
            PollFd::from_borrowed_fd(init, PollFlags::IN),
        ];
        let wait = |fds: &mut [PollFd<'_>], timeout| {
            retry_on_intr(|| poll(fds, timeout)).map_err(|errno| Error::Wait {
                doing,
                source: errno.into(),
            })
        };
        wait(&mut fds, None)?;
        // What it said before it ended comes first.
        match wait(&mut fds[..1], Some(&Timespec::default()))? {
            0 => Ok(Heard::Closed),
            _ => self.hear(doing),
        }
    }

    /// Whether init has ended, or is about to: its end of the channel is closed then.
    pub(crate) fn is_over(&self, init: BorrowedFd<'_>) -> Result<bool, Errno> {
        let mut fds = [
            // Asked for nothing: what counts is the hang-up, and not what is there to be read.
            PollFd::new(&self.channel, PollFlags::empty()),
            PollFd::from_borrowed_fd(init, PollFlags::IN),
        ];
        let now = Timespec::default();
        retry_on_intr(|| poll(&mut fds, Some(&now))).map(|ready| ready > 0)
    }
}

fn comes_with_descriptor(message: Message) -> bool {
    matches!(
        message,
        Message::Console | Message::Listener | Message::Tree | Message::Forked { .. }
    )
}

impl AsFd for Protocol {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::panic,
        reason = "a test fails by panicking"
    )]

    use std::fs::File;

    use crabcan_init::message::End;
    use crabcan_ipc::ChildEnd;

    use super::*;

    fn pair() -> (Protocol, ChildEnd) {
        let (parent, child) = crabcan_ipc::socketpair().unwrap();
        (Protocol::new(parent), child)
    }

    fn heard(record: &[u8; Message::LENGTH], descriptor: bool) -> Result<Heard, Error> {
        let (protocol, child) = pair();
        let file = File::open("/dev/null").unwrap();
        match descriptor {
            true => child.send_record_with_fd(record, file.as_fd()).unwrap(),
            false => child.send_record(record).unwrap(),
        }
        protocol.hear("testing")
    }

    #[test]
    fn every_message_is_understood() {
        for message in [
            Message::Ready,
            Message::Started,
            Message::Ended(End::Code(255)),
            Message::Ended(End::Signal(9)),
            Message::Failed {
                step: 3,
                errno: 2,
                detail: Message::NO_INTERPRETER,
            },
        ] {
            match heard(&message.to_bytes(), false).unwrap() {
                Heard::Message(same) => assert_eq!(same, message),
                other => panic!("{other:?}"),
            }
        }
        let console = heard(&Message::Console.to_bytes(), true).unwrap();
        assert!(matches!(console, Heard::Console(_)), "{console:?}");
        let tree = heard(&Message::Tree.to_bytes(), true).unwrap();
        assert!(matches!(tree, Heard::Tree(_)), "{tree:?}");
        let listener = heard(&Message::Listener.to_bytes(), true).unwrap();
        assert!(matches!(listener, Heard::Listener(_)), "{listener:?}");
    }

    #[test]
    fn what_init_does_not_say_is_refused() {
        let cases = [
            // A terminal without its descriptor, and a descriptor that nobody asked for.
            (Message::Console.to_bytes(), false),
            (Message::Forked { pid: 1 }.to_bytes(), false),
            (Message::Hooks.to_bytes(), true),
            (Message::Listener.to_bytes(), false),
            (Message::Tree.to_bytes(), false),
            (Message::Ready.to_bytes(), true),
            ([0; Message::LENGTH], false),
            ([255; Message::LENGTH], true),
        ];
        for (record, descriptor) in cases {
            let error = heard(&record, descriptor).unwrap_err();
            assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
        }
    }

    #[test]
    fn the_end_is_heard_and_never_a_message() {
        let (protocol, child) = pair();
        drop(child);
        assert!(matches!(protocol.hear("testing"), Ok(Heard::Closed)));
        let sent = protocol.proceed();
        assert!(matches!(sent, Err(crabcan_ipc::Error::Closed)), "{sent:?}");
    }

    /// While a child of init's holds the channel open.
    #[test]
    fn the_end_of_init_is_heard_after_its_last_word() {
        let (protocol, child) = pair();
        let mut init = std::process::Command::new("/bin/true").spawn().unwrap();
        let pid = rustix::process::Pid::from_child(&init);
        let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty());
        let pidfd = pidfd.unwrap();
        child.send_record(&Message::Ready.to_bytes()).unwrap();
        let hear = || protocol.hear_or_end(pidfd.as_fd(), "testing").unwrap();
        assert!(matches!(hear(), Heard::Message(Message::Ready)));
        assert!(matches!(hear(), Heard::Closed));
        init.wait().unwrap();
        drop(child);
    }

    #[test]
    fn a_packet_of_another_length_is_refused() {
        let (protocol, child) = pair();
        child.send_record(&[1; 4]).unwrap();
        let error = protocol.hear("testing").unwrap_err();
        assert!(matches!(error, Error::Channel { .. }), "{error:?}");
    }

    #[test]
    fn going_on_is_the_boolean() {
        let (protocol, child) = pair();
        protocol.proceed().unwrap();
        assert!(child.recv_boolean().unwrap());
        assert_eq!(
            u8::from(true),
            crabcan_init::message::PROCEED,
            "as init knows it"
        );
    }
}
