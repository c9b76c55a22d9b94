//! A terminal of the test's own with crabcan on it, as a terminal emulator has a shell.
#![allow(dead_code, reason = "each test program uses a part")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::pty::openpty;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{
    LocalModes, OptionalActions, OutputModes, Winsize, tcgetattr, tcsetattr, tcsetwinsize,
};

use crate::sys;
use crate::tty::{LIMIT, code, crabcan};

/// The terminal, and the program on it.
pub(crate) struct Terminal {
    master: File,
    /// Held open, so that the terminal is still there after the program's end.
    slave: OwnedFd,
    child: Option<Child>,
    /// All output until now.
    pub(crate) output: Vec<u8>,
    /// Where in it the next text is looked for.
    looked: usize,
}

impl Terminal {
    /// A terminal of 33 rows and 77 columns.
    pub(crate) fn new() -> Self {
        let pty = openpty(None, None).unwrap();
        let terminal = Self {
            master: pty.master.into(),
            slave: pty.slave,
            child: None,
            output: Vec::new(),
            looked: 0,
        };
        terminal.resize(33, 77);
        terminal
    }

    /// A terminal with `crabcan -- sh -c SCRIPT` on it.
    pub(crate) fn script(script: &str) -> Self {
        let mut terminal = Self::new();
        terminal.start(crabcan().args(["--", "sh", "-c", script]));
        terminal
    }

    /// Starts a program with all standard descriptors on the terminal.
    pub(crate) fn start(&mut self, command: &mut Command) {
        let side = || Stdio::from(self.slave.try_clone().unwrap());
        command.stdin(side()).stdout(side()).stderr(side());
        self.start_as_it_is(command);
    }

    /// Starts a program whose descriptors are set already.
    pub(crate) fn start_as_it_is(&mut self, command: &mut Command) {
        sys::lead_session(command);
        self.child = Some(command.spawn().unwrap());
        // It holds copies of what it gave the program.
        *command = Command::new("true");
    }

    pub(crate) fn side(&self) -> Stdio {
        self.slave.try_clone().unwrap().into()
    }

    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.master, size).unwrap();
    }

    pub(crate) fn device(&self) -> u64 {
        let slave = File::from(self.slave.try_clone().unwrap());
        slave.metadata().unwrap().dev()
    }

    pub(crate) fn pid(&self) -> nix::unistd::Pid {
        let id = self.child.as_ref().unwrap().id();
        nix::unistd::Pid::from_raw(id.cast_signed())
    }

    /// Types something.
    pub(crate) fn send(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for a text behind the one that was waited for before.
    pub(crate) fn expect(&mut self, text: &str) {
        let end = Instant::now() + LIMIT;
        loop {
            let new = &self.output[self.looked..];
            let found = new
                .windows(text.len())
                .position(|part| part == text.as_bytes());
            if let Some(position) = found {
                self.looked += position + text.len();
                return;
            }
            let new = String::from_utf8_lossy(new).into_owned();
            assert!(Instant::now() < end, "{text:?} did not come, but {new:?}");
            self.read(Duration::from_millis(100));
        }
    }

    /// Reads what there is, and waits a while for the first of it.
    pub(crate) fn read(&mut self, patience: Duration) -> bool {
        let patience = Timespec {
            tv_sec: 0,
            tv_nsec: patience.as_nanos() as i64,
        };
        let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
        if poll(&mut fds, Some(&patience)).unwrap() == 0 {
            return false;
        }
        let mut piece = [0; 65536];
        let length = self.master.read(&mut piece).unwrap();
        self.output.extend_from_slice(&piece[..length]);
        true
    }

    /// Waits for the program's end and reads all that it has said; its code, or minus its signal.
    pub(crate) fn code(&mut self) -> i32 {
        let end = Instant::now() + LIMIT;
        while self.child.as_mut().unwrap().try_wait().unwrap().is_none() {
            if Instant::now() > end {
                let child = self.child.as_mut().unwrap();
                child.kill().unwrap();
                child.wait().unwrap();
                let output = String::from_utf8_lossy(&self.output);
                panic!("crabcan did not end within {LIMIT:?}: {output:?}");
            }
            self.read(Duration::from_millis(5));
        }
        while self.read(Duration::from_millis(20)) {}
        code(self.child.as_mut().unwrap())
    }

    /// The output in words.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }

    /// Everything that tcgetattr(3) says.
    pub(crate) fn attributes(&self) -> String {
        format!("{:?}", tcgetattr(self.slave.as_fd()).unwrap())
    }

    pub(crate) fn is_raw(&self) -> bool {
        let attributes = tcgetattr(self.slave.as_fd()).unwrap();
        !attributes.local_modes.contains(LocalModes::ICANON)
            && !attributes.local_modes.contains(LocalModes::ECHO)
            && !attributes.local_modes.contains(LocalModes::ISIG)
            && !attributes.output_modes.contains(OutputModes::OPOST)
    }

    /// How much has been typed and not been read by anybody. In its ordinary mode the terminal
    /// would tell of whole lines only.
    pub(crate) fn unread(&self) -> u64 {
        let mut attributes = tcgetattr(&self.slave).unwrap();
        attributes.make_raw();
        tcsetattr(&self.slave, OptionalActions::Now, &attributes).unwrap();
        rustix::io::ioctl_fionread(&self.slave).unwrap()
    }

    /// Waits for the program's end without reading anything.
    pub(crate) fn ends_unread(&mut self) {
        code(self.child.as_mut().unwrap());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It has ended already, as a rule.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
