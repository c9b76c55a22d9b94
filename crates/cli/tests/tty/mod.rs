//! crabcan, running, watched from outside: its output as it comes, and an end that is never waited
//! for without a limit.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test program uses a part; a test fails by panicking"
)]

use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// What a single wait may take, on a machine that has other things to do.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// The program under test.
pub(crate) fn crabcan() -> Command {
    match std::env::var_os("CRABCAN_TEST_BIN") {
        Some(program) => Command::new(program),
        None => panic!("CRABCAN_TEST_BIN must name the program: cargo xtask test"),
    }
}

/// crabcan with its standard output and error in one pipe.
pub(crate) struct Running {
    child: Child,
    pieces: Receiver<Vec<u8>>,
    output: String,
}

impl Running {
    /// `crabcan -- sh -c SCRIPT`.
    pub(crate) fn script(script: &str) -> Self {
        Self::spawn(crabcan().args(["--", "sh", "-c", script]))
    }

    /// Starts any command with its standard input closed and its output watched.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let (mut reader, writer) = std::io::pipe().unwrap();
        command
            .stdin(Stdio::null())
            .stderr(writer.try_clone().unwrap());
        let child = command.stdout(writer).spawn().unwrap();
        // It holds the pipe's other end, and would keep it open.
        *command = Command::new("true");
        let (sender, pieces) = channel();
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut piece) {
                // The test may be over.
                let _ = sender.send(piece[..length].to_vec());
            }
        });
        Self {
            child,
            pieces,
            output: String::new(),
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    pub(crate) fn signal_group(&self, signal: Signal) {
        killpg(self.pid(), signal).unwrap();
    }

    /// Waits until the output contains `text`, and gives all of it.
    pub(crate) fn until(&mut self, text: &str) -> &str {
        let end = Instant::now() + LIMIT;
        while !self.output.contains(text) {
            assert!(
                self.read(end),
                "{text:?} did not come, but {:?}",
                self.output
            );
        }
        &self.output
    }

    /// Waits until nobody is left who could write, and gives all output.
    pub(crate) fn until_all_closed(&mut self) -> &str {
        let end = Instant::now() + LIMIT;
        while self.read(end) {}
        assert!(
            Instant::now() < end,
            "something is left that holds the output: {:?}",
            self.output
        );
        &self.output
    }

    fn read(&mut self, end: Instant) -> bool {
        let left = end.saturating_duration_since(Instant::now());
        match self.pieces.recv_timeout(left) {
            Ok(piece) => {
                self.output += &String::from_utf8_lossy(&piece);
                true
            }
            Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => false,
        }
    }

    /// Waits for crabcan's end, see [`code`].
    pub(crate) fn code(&mut self) -> i32 {
        code(&mut self.child)
    }
}

/// Waits for a program's end: its code, or minus the number of the signal that ended it.
pub(crate) fn code(child: &mut Child) -> i32 {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status
                .code()
                .unwrap_or_else(|| -status.signal().unwrap_or_default());
        }
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("crabcan did not end within {LIMIT:?}");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, as a rule.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A number of seconds for sleep(1) that nobody else uses: it names the process.
pub(crate) fn long_time(salt: u32) -> String {
    format!("40000.{}{salt}", std::process::id())
}

/// Whether `sleep TIME` is running; crabcan has the same word among its arguments.
pub(crate) fn is_running(time: &str) -> bool {
    let wanted = format!("sleep\0{time}\0");
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let mut lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| line == wanted.as_bytes())
}

/// Waits until a condition holds.
pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < end, "waited for: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
