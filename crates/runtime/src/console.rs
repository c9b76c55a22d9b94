//! The caller's terminal and the container's, relayed: written once, for every command that runs
//! something in the foreground.

use std::io::{self, IsTerminal, stderr, stdin, stdout};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::{Errno, fcntl_dupfd_cloexec, retry_on_intr};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer};
use rustix::termios::{
    OptionalActions, OutputModes, Termios, Winsize, isatty, tcgetattr, tcgetwinsize, tcsetattr,
    tcsetwinsize,
};

use crate::Error;
use crate::signals::Signals;
use crate::spec::{ConsoleSize, Process, Terminal};

/// What a terminal hands over at once.
const CHUNK: usize = 4096;

/// The window's size has changed.
pub(crate) const SIGWINCH: i32 = 28;

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

/// Checks that somebody is there for the terminal that a process of a container asks for, before
/// anything is done for it: the caller's in the foreground, which gives it its size, else
/// whoever listens at a socket.
pub(crate) fn prepare(
    process: &mut Process,
    socket: Option<&Path>,
    foreground: bool,
) -> Result<(), Error> {
    let (field, reason) = match (process.terminal, socket) {
        (true, None) if !foreground => (
            "process.terminal",
            "needs --console-socket, where nobody waits in the foreground",
        ),
        (true, Some(_)) if foreground => (
            "--console-socket",
            "is for a process that nobody waits for in the foreground",
        ),
        (false, Some(_)) => (
            "--console-socket",
            "process.terminal is false: there is no terminal to be sent",
        ),
        (true, None) => match Window::of_caller() {
            None => (
                "process.terminal",
                "there is no terminal: use one, or --detach with --console-socket",
            ),
            Some(window) => {
                let size = || tcgetwinsize(&window).ok().map(console_size);
                process.console_size = process.console_size.or_else(size);
                return Ok(());
            }
        },
        _ => return Ok(()),
    };
    Err(Error::invalid(field, reason))
}

fn console_size(size: Winsize) -> ConsoleSize {
    ConsoleSize {
        height: size.ws_row.into(),
        width: size.ws_col.into(),
    }
}

/// The caller's terminal, which has a size.
#[derive(Debug)]
enum Window {
    /// A standard descriptor.
    Standard(BorrowedFd<'static>),
    /// The controlling terminal, opened here.
    Controlling(OwnedFd),
}

impl Window {
    /// Standard input, or as runc has it, whatever else is a terminal, or the controlling one.
    fn of_caller() -> Option<Self> {
        let standard = [
            rustix::stdio::stdin(),
            rustix::stdio::stderr(),
            rustix::stdio::stdout(),
        ];
        let standard = standard.into_iter().find(|descriptor| isatty(descriptor));
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        standard.map(Self::Standard).or_else(|| {
            let opened = open("/dev/tty", flags, Mode::empty());
            opened.ok().map(Self::Controlling)
        })
    }
}

impl AsFd for Window {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Standard(descriptor) => *descriptor,
            Self::Controlling(descriptor) => descriptor.as_fd(),
        }
    }
}

/// Carries bytes between the caller's terminal, in raw mode, and a container's; dropping it restores
/// the terminal.
#[derive(Debug)]
#[must_use]
pub struct Relay {
    master: OwnedFd,
    /// The container's side, held so that the terminal is there while nobody in the container has
    /// it open: a session can open its terminal again at any time.
    _terminal: Option<OwnedFd>,
    /// Where output goes, if anybody there still takes it.
    output: Option<OwnedFd>,
    /// The caller's terminal.
    window: Option<Window>,
    /// How standard input was set, if it is a terminal: else nobody types, and what the caller's
    /// terminal does with an interrupt is left as it is.
    before: Option<Termios>,
    /// Typed, and not yet taken by the container.
    typed: Vec<u8>,
    /// Said by the container, and not yet written.
    said: Vec<u8>,
    /// Whether more can be typed.
    input_open: bool,
    /// Whether the container's side may still say something.
    output_open: bool,
}

impl Relay {
    /// For a terminal in the place of those standard descriptors that are one ([`wanted`]): what is
    /// said goes to the caller's terminal, which is put into raw mode.
    ///
    /// # Errors
    /// [`Error::Terminal`] when the caller has no terminal (ENOTTY).
    pub fn new(master: OwnedFd) -> Result<Self, Error> {
        let standard = [
            rustix::stdio::stdout(),
            rustix::stdio::stderr(),
            rustix::stdio::stdin(),
        ];
        let terminal = standard.into_iter().find(|descriptor| isatty(descriptor));
        Self::begin(master, terminal)
    }

    /// For a terminal in the place of all three: what is said goes to standard output, be that a
    /// terminal, a pipe or a file. Where it is no terminal, lines end there as in a file: in a line
    /// feed alone, if nobody has written to the terminal yet.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn to_standard_output(master: OwnedFd) -> Result<Self, Error> {
        let output = rustix::stdio::stdout();
        if !isatty(output) {
            let plain = tcgetattr(&master).and_then(|mut attributes| {
                attributes.output_modes.remove(OutputModes::ONLCR);
                tcsetattr(&master, OptionalActions::Now, &attributes)
            });
            plain.map_err(|errno| Error::Terminal {
                doing: "set the line ends of the container's terminal",
                source: errno.into(),
            })?;
        }
        Self::begin(master, Some(output))
    }

    fn begin(master: OwnedFd, output: Option<BorrowedFd<'_>>) -> Result<Self, Error> {
        let failed = |errno: Errno| Error::Terminal {
            doing: "put the terminal into raw mode",
            source: errno.into(),
        };
        // The file is ours alone, unlike the caller's terminal, which must stay blocking.
        rustix::io::ioctl_fionbio(&master, true).map_err(failed)?;
        let window = Window::of_caller();
        let before = match tcgetattr(stdin()) {
            Err(Errno::NOTTY) if window.is_some() => None,
            other => Some(other.map_err(failed)?),
        };
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let relay = Self {
            _terminal: ioctl_tiocgptpeer(&master, flags).ok(),
            master,
            output: output.and_then(not_waiting),
            window,
            before,
            typed: Vec::new(),
            said: Vec::new(),
            input_open: true,
            output_open: true,
        };
        if let Some(mut raw) = relay.before.clone() {
            raw.make_raw();
            tcsetattr(stdin(), OptionalActions::Now, &raw).map_err(failed)?;
        }
        // It may have changed before somebody was there to be told.
        relay.resize();
        Ok(relay)
    }

    /// Whether the caller's terminal is to be waited for: not once it is gone, and not while what
    /// was typed before is still on its way.
    pub(crate) fn reads_input(&self) -> bool {
        self.input_open && self.typed.is_empty()
    }

    /// What to wait for, besides the caller's typing.
    pub(crate) fn waits_for(&self) -> impl Iterator<Item = PollFd<'_>> {
        let mut wanted = PollFlags::empty();
        wanted.set(PollFlags::OUT, !self.typed.is_empty());
        wanted.set(PollFlags::IN, self.said.is_empty());
        let master = (self.output_open && !wanted.is_empty())
            .then(|| PollFd::from_borrowed_fd(self.master.as_fd(), wanted));
        let output = self.output.as_ref().filter(|_| !self.said.is_empty());
        master
            .into_iter()
            .chain(output.map(|output| PollFd::new(output, PollFlags::OUT)))
    }

    /// Carries on what can be carried without waiting; `can_read` says that something was typed.
    pub(crate) fn carry(&mut self, can_read: bool) -> Result<(), Error> {
        if can_read && self.reads_input() {
            self.read_typed();
        }
        self.write_typed()?;
        self.read_said()?;
        self.write_said();
        Ok(())
    }

    /// Writes everything that the container has said and nobody has read: at its end. Where the
    /// caller's terminal takes nothing, a signal is a reason to give up.
    pub(crate) fn drain(&mut self, signals: Option<&Signals>) -> Result<(), Error> {
        loop {
            self.read_said()?;
            if self.said.is_empty() {
                return Ok(());
            }
            if self.write_said() {
                continue;
            }
            let signal = signals.map(|signals| PollFd::new(signals, PollFlags::IN));
            let mut fds: Vec<_> = self.waits_for().chain(signal).collect();
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(poll_failed(errno)),
            }
            if !self.write_said() && signals.is_some_and(is_told_to_end) {
                return Ok(());
            }
        }
    }

    /// Gives the container's terminal the size of the caller's.
    pub(crate) fn resize(&self) {
        let Some(window) = &self.window else {
            return;
        };
        let size: Result<Winsize, _> = tcgetwinsize(window);
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
        if self.typed.is_empty() {
            return Ok(());
        }
        match rustix::io::write(&self.master, &self.typed) {
            Ok(count) => drop(self.typed.drain(..count.min(self.typed.len()))),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(Errno::IO) => self.typed.clear(),
            Err(errno) => return Err(lost(errno)),
        }
        Ok(())
    }

    /// Takes one piece of output, once the one before is written.
    fn read_said(&mut self) -> Result<(), Error> {
        if !self.output_open || !self.said.is_empty() {
            return Ok(());
        }
        let mut buffer = [0; CHUNK];
        match retry_on_intr(|| rustix::io::read(&self.master, &mut buffer)) {
            Ok(count) if count > 0 => {
                self.said
                    .extend_from_slice(buffer.get(..count).unwrap_or_default());
            }
            Err(Errno::AGAIN) => {}
            // EIO: the last process has closed its side.
            Ok(_) | Err(Errno::IO) => self.output_open = false,
            Err(errno) => return Err(lost(errno)),
        }
        Ok(())
    }

    /// Writes what can be written of the output without waiting; whether it took anything.
    fn write_said(&mut self) -> bool {
        if self.said.is_empty() {
            return false;
        }
        let Some(output) = &self.output else {
            self.said.clear();
            return true;
        };
        match retry_on_intr(|| rustix::io::write(output, &self.said)) {
            Ok(count) => drop(self.said.drain(..count.min(self.said.len()))),
            Err(Errno::AGAIN) => return false,
            // The terminal or the reader is gone, and with it everybody who would read this.
            Err(_) => {
                self.output = None;
                self.said.clear();
            }
        }
        true
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let Some(before) = &self.before else {
            return;
        };
        // At once: waiting for a terminal that takes no output would be waiting for ever.
        if let Err(errno) = tcsetattr(stdin(), OptionalActions::Now, before) {
            log::warn!("restore the terminal: {errno}");
        }
    }
}

/// Whether a signal has come that is not only about the window.
fn is_told_to_end(signals: &Signals) -> bool {
    std::iter::from_fn(|| signals.next().ok().flatten()).any(|signal| signal != SIGWINCH)
}

fn lost(errno: Errno) -> Error {
    Error::Terminal {
        doing: "relay the container's terminal",
        source: errno.into(),
    }
}

/// The same file as a descriptor of our own: a terminal or a pipe is opened anew, because only then
/// can writing be made not to wait without doing that to everybody else.
fn not_waiting(file: BorrowedFd<'_>) -> Option<OwnedFd> {
    // A multiplexer opened again is another terminal; a file would be written from its beginning.
    let multiplexer = rustix::fs::makedev(5, 2);
    let can_be_opened = fstat(file).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode).is_fifo()
            || isatty(file) && stat.st_rdev != multiplexer
    });
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = OFlags::WRONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = match can_be_opened {
        true => open(path, flags, Mode::empty()).ok(),
        false => None,
    };
    // A terminal of somebody else's (su) can't be opened: then writing may wait.
    opened.or_else(|| fcntl_dupfd_cloexec(file, 3).ok())
}

/// Where a wait went wrong.
pub(crate) fn poll_failed(errno: Errno) -> Error {
    Error::Wait {
        doing: "wait for the container",
        source: io::Error::from(errno),
    }
}
