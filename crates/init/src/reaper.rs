//! The first process of a container that runs a command: it hands on signals, reaps orphans,
//! reports how the command ended, and ends everything when the parent is gone.

use crate::errno::Errno;
use crate::message::{End, Message};
use crate::sys::{self, Fd};

const SIGKILL: i32 = 9;
const SIGCHLD: i32 = 17;

/// Watches over `child` until it has ended, and returns how.
///
/// # Errors
/// EPIPE when the parent is gone.
fn watch(channel: i32, child: i32) -> Result<End, Errno> {
    let signals = sys::signalfd()?;
    loop {
        // Before waiting: the command may have ended before the signal descriptor was there.
        if let Some(end) = reap(child)? {
            return Ok(end);
        }
        let (parent_speaks, signal_came) = sys::poll_two(channel, signals.0)?;
        if parent_speaks {
            sys::receive(channel)?;
        }
        if signal_came {
            hand_on(&signals, child)?;
        }
    }
}

/// Reaps everything that has ended; how `child` did, if it was among that.
fn reap(child: i32) -> Result<Option<End>, Errno> {
    while let Some((pid, status)) = sys::reap_one()? {
        if pid == child {
            let signal = status & 0x7f;
            return Ok(Some(if signal == 0 {
                End::Code(status >> 8 & 0xff)
            } else {
                End::Signal(signal)
            }));
        }
    }
    Ok(None)
}

/// Reads one signal and sends it to the command, unless it only says that a child has ended.
fn hand_on(signals: &Fd, child: i32) -> Result<(), Errno> {
    let signal = sys::read_signal(signals.0)?;
    if signal != SIGCHLD {
        // The command may have ended meanwhile: then it needs no signal any more.
        let _ = sys::kill(child, signal);
    }
    Ok(())
}

/// The reaper's process, from its copy to its end; `failure` is why that copy could not become the
/// command.
pub(crate) fn run(channel: i32, child: i32, failure: Option<Message>) -> i32 {
    // Nothing of the caller's is kept open: a reader of the command's output sees its end.
    (0..3).for_each(sys::close);
    let first = failure.unwrap_or(Message::Started);
    let told = sys::send(channel, &first.to_bytes(), None);
    match told.and_then(|()| watch(channel, child)) {
        Ok(end) => {
            // A parent that does not listen is gone, and so is everybody who could be told.
            let _ = sys::send(channel, &Message::Ended(end).to_bytes(), None);
            0
        }
        Err(_) => {
            // As pid 1 this process ends the whole container by its own end; where the container
            // shares a pid namespace, this is all that ends the command.
            let _ = sys::kill(child, SIGKILL);
            1
        }
    }
}
