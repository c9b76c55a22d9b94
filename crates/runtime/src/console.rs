//! The caller's terminal and the container's, relayed: written once, for every command that runs
//! something in the foreground.

use std::io::{self, IsTerminal, stderr, stdin, stdout};
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::termios::{
    OptionalActions, Termios, Winsize, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

use crate::Error;
use crate::spec::Terminal;

/// What a terminal hands over at once.
const CHUNK: usize = 4096;

/// The terminal that a container of this process should have: one of its own when standard input
/// is a terminal, in the place of each standard descriptor that is one. See pty(7).
#[must_use]
pub fn wanted() -> Option<Terminal> {
    if !stdin().is_terminal() {
        return None;
    }
    let size = tcgetwinsize(stdin()).ok();
    let place = |terminal: bool, number: u32| u32::from(terminal) << number;
    Some(Terminal {
        descriptors: 1 | place(stdout().is_terminal(), 1) | place(stderr().is_terminal(), 2),
        rows: size.map_or(0, |size| size.ws_row),
        columns: size.map_or(0, |size| size.ws_col),
    })
}

/// Carries bytes between the caller's terminal, in raw mode, and a container's; dropping it restores
/// the terminal.
#[derive(Debug)]
#[must_use]
pub struct Relay {
    master: OwnedFd,
    before: Termios,
    /// Typed, and not yet taken by the container.
    typed: Vec<u8>,
    /// Whether more can be typed.
    input_open: bool,
    /// Whether the container's side may still say something.
    output_open: bool,
}

impl Relay {
    /// Puts the caller's terminal into raw mode.
    ///
    /// # Errors
    /// [`Error::Terminal`] when standard input is no terminal (ENOTTY).
    pub fn new(master: OwnedFd) -> Result<Self, Error> {
        let failed = |errno: Errno| Error::Terminal {
            doing: "put the terminal into raw mode",
            source: errno.into(),
        };
        // The file is ours alone, unlike the caller's terminal, which must stay blocking.
        rustix::io::ioctl_fionbio(&master, true).map_err(failed)?;
        let before = tcgetattr(stdin()).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Drain, &raw).map_err(failed)?;
        Ok(Self {
            master,
            before,
            typed: Vec::new(),
            input_open: true,
            output_open: true,
        })
    }

    /// Whether the caller's terminal is to be waited for: not once it is gone, and not while what
    /// was typed before is still on its way.
    pub(crate) fn reads_input(&self) -> bool {
        self.input_open && self.typed.is_empty()
    }

    /// The container's side, and what to wait for there.
    pub(crate) fn master(&self) -> PollFd<'_> {
        let writing = if self.typed.is_empty() {
            PollFlags::empty()
        } else {
            PollFlags::OUT
        };
        PollFd::from_borrowed_fd(self.master.as_fd(), PollFlags::IN | writing)
    }

    /// Whether the container's side is still to be listened to.
    pub(crate) fn is_open(&self) -> bool {
        self.output_open
    }

    /// Carries on what can be carried without waiting.
    pub(crate) fn carry(&mut self, terminal: PollFlags, master: PollFlags) -> Result<(), Error> {
        if self.reads_input() && !terminal.is_empty() {
            self.read_typed();
        }
        if !self.typed.is_empty() {
            self.write_typed()?;
        }
        if !master.is_empty() {
            self.write_output()?;
        }
        Ok(())
    }

    /// Writes everything that the container has said and nobody has read: at its end.
    pub(crate) fn drain(&mut self) -> Result<(), Error> {
        while self.output_open && self.write_output()? {}
        Ok(())
    }

    /// Gives the container's terminal the size of the caller's.
    pub(crate) fn resize(&self) {
        let size: Result<Winsize, _> = tcgetwinsize(stdin());
        if let Err(errno) = size.and_then(|size| tcsetwinsize(&self.master, size)) {
            log::debug!("resize the container's terminal: {errno}");
        }
    }

    fn read_typed(&mut self) {
        let mut buffer = [0; CHUNK];
        match rustix::io::read(stdin(), &mut buffer) {
            Ok(count) if count > 0 => {
                self.typed
                    .extend_from_slice(buffer.get(..count).unwrap_or_default());
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            // The terminal is gone: nothing more is typed, and SIGHUP says the rest.
            _ => self.input_open = false,
        }
    }

    fn write_typed(&mut self) -> Result<(), Error> {
        match rustix::io::write(&self.master, &self.typed) {
            Ok(count) => drop(self.typed.drain(..count.min(self.typed.len()))),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(Errno::IO) => self.typed.clear(),
            Err(errno) => return Err(lost(errno)),
        }
        Ok(())
    }

    /// Copies one piece of output; whether there was any.
    fn write_output(&mut self) -> Result<bool, Error> {
        let mut buffer = [0; CHUNK];
        match rustix::io::read(&self.master, &mut buffer) {
            Ok(count) if count > 0 => {
                write_all(buffer.get(..count).unwrap_or_default());
                Ok(true)
            }
            Err(Errno::INTR) => Ok(true),
            Err(Errno::AGAIN) => Ok(false),
            // EIO: the last process has closed its side.
            Ok(_) | Err(Errno::IO) => {
                self.output_open = false;
                Ok(false)
            }
            Err(errno) => Err(lost(errno)),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Err(errno) = tcsetattr(stdin(), OptionalActions::Drain, &self.before) {
            log::warn!("restore the terminal: {errno}");
        }
    }
}

fn lost(errno: Errno) -> Error {
    Error::Terminal {
        doing: "relay the container's terminal",
        source: errno.into(),
    }
}

/// Writes to the caller's terminal, by whichever standard descriptor is one.
fn write_all(mut bytes: &[u8]) {
    let terminal = [
        rustix::stdio::stdout(),
        rustix::stdio::stderr(),
        rustix::stdio::stdin(),
    ];
    let Some(terminal) = terminal.into_iter().find(|descriptor| isatty(descriptor)) else {
        return;
    };
    while !bytes.is_empty() {
        match rustix::io::write(terminal, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // The terminal is gone, and with it everybody who would read this.
            Err(_) => return,
        }
    }
}

/// Where a wait went wrong.
pub(crate) fn poll_failed(errno: Errno) -> Error {
    Error::Wait {
        doing: "wait for the container",
        source: io::Error::from(errno),
    }
}
