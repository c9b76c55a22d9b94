//! Waiting for a container in the foreground: its end, the caller's signals, the two terminals.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use crabcan_ns::{Child, ExitStatus};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};

use crate::console::{Relay, SIGWINCH, poll_failed};
use crate::signals::Signals;
use crate::{Error, Process};

/// Waits until the container has ended, hands on the signals that arrive meanwhile, and relays its
/// terminal to the last byte. When the time that it may run is over, it is killed.
///
/// # Errors
/// [`Error::Wait`], [`Error::Terminal`] and [`Error::Namespaces`] when the kernel refuses to wait.
pub fn wait(
    container: &mut Process<'_>,
    signals: Option<&Signals>,
    mut relay: Option<&mut Relay>,
) -> Result<ExitStatus, Error> {
    loop {
        if container.time_left().is_some_and(|left| left.is_zero()) {
            container.end_in_time()?;
        }
        let ready = ready(
            container.pidfd(),
            signals,
            relay.as_deref(),
            container.time_left(),
        )?;
        if let Some(relay) = relay.as_deref_mut() {
            relay.carry(ready.typed)?;
        }
        if ready.signal
            && let Some(signals) = signals
        {
            hand_on(
                &|signal| drop(container.signal(signal)),
                signals,
                relay.as_deref(),
            )?;
        }
        if ready.ended {
            break;
        }
    }
    // What it said waits in the channel: to be woken for that, and again by its end, takes longer.
    // Without a reaper nobody was left who could say anything once the program was executed.
    let mut listening = container.may_speak();
    while listening && is_readable(container)? {
        listening = container.listen()?;
    }
    let status = container.reap()?;
    if let Some(relay) = relay {
        relay.drain(signals)?;
    }
    Ok(status)
}

/// The same for a process that is nobody's init: it says nothing but that it has ended.
pub(crate) fn wait_for(
    child: &mut Child,
    signals: Option<&Signals>,
    mut relay: Option<&mut Relay>,
) -> Result<ExitStatus, Error> {
    loop {
        let ready = ready(child.pidfd(), signals, relay.as_deref(), None)?;
        if let Some(relay) = relay.as_deref_mut() {
            relay.carry(ready.typed)?;
        }
        if ready.signal
            && let Some(signals) = signals
        {
            hand_on(
                &|signal| drop(child.signal(signal)),
                signals,
                relay.as_deref(),
            )?;
        }
        if ready.ended {
            break;
        }
    }
    let status = child.wait().map_err(|source| Error::Namespaces {
        doing: "wait for the container",
        source,
    })?;
    if let Some(relay) = relay {
        relay.drain(signals)?;
    }
    Ok(status)
}

/// What has happened.
struct Ready {
    ended: bool,
    signal: bool,
    typed: bool,
}

fn ready(
    pidfd: BorrowedFd<'_>,
    signals: Option<&Signals>,
    relay: Option<&Relay>,
    left: Option<Duration>,
) -> Result<Ready, Error> {
    let mut fds = vec![PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
    fds.extend(signals.map(|signals| PollFd::new(signals, PollFlags::IN)));
    let stdin = rustix::stdio::stdin();
    let reads_input = relay.is_some_and(Relay::reads_input);
    fds.extend(reads_input.then(|| PollFd::from_borrowed_fd(stdin, PollFlags::IN)));
    fds.extend(relay.into_iter().flat_map(Relay::waits_for));
    // More than the kernel can count is as good as no limit.
    let left = left.and_then(|left| Timespec::try_from(left).ok());
    match poll(&mut fds, left.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(errno) => return Err(poll_failed(errno)),
    }
    let mut happened = fds.iter().map(PollFd::revents);
    let mut next = || happened.next().unwrap_or(PollFlags::empty());
    Ok(Ready {
        ended: !next().is_empty(),
        signal: signals.is_some() && !next().is_empty(),
        typed: reads_input && !next().is_empty(),
    })
}

fn is_readable(container: &Process<'_>) -> Result<bool, Error> {
    let mut fds = [PollFd::from_borrowed_fd(container.channel(), PollFlags::IN)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // Even this may be interrupted by a signal of the program's.
    let ready = retry_on_intr(|| poll(&mut fds, Some(&at_once))).map_err(poll_failed)?;
    Ok(ready > 0)
}

/// Hands every signal that has arrived to the container, the window's size to its terminal.
fn hand_on(send: &dyn Fn(i32), signals: &Signals, relay: Option<&Relay>) -> Result<(), Error> {
    while let Some(signal) = signals.next()? {
        match relay {
            Some(relay) if signal == SIGWINCH => relay.resize(),
            // It may have ended meanwhile: then the wait will say so.
            _ => send(signal),
        }
    }
    Ok(())
}
