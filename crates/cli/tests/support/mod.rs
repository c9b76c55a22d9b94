//! What the tests of the whole program share: running it, directories of a test's own, and the look
//! for what a run has left behind.
#![allow(dead_code, reason = "each test program uses its own part of this")]

pub(crate) mod attack;
pub(crate) mod bundle;
pub(crate) mod cgroup;
#[cfg(target_arch = "x86_64")]
pub(crate) mod ground;
mod leaks;
pub(crate) mod roots;
pub(crate) mod running;
#[cfg(target_arch = "x86_64")]
pub(crate) mod tracer;

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::Uid;

#[allow(unused_imports, reason = "each test program uses its own part of this")]
pub(crate) use leaks::{Leaks, Reaper};

/// How long a run may take; everything here takes some milliseconds.
const LIMIT: Duration = Duration::from_secs(20);

/// The program under test.
pub(crate) fn program() -> PathBuf {
    let path = std::env::var_os("CRABCAN_TEST_BIN")
        .expect("CRABCAN_TEST_BIN must be the absolute path of crabcan (cargo xtask test sets it)");
    let path = PathBuf::from(path);
    assert!(path.is_absolute(), "CRABCAN_TEST_BIN must be absolute");
    path
}

/// The program under test, or another OCI runtime to be seen failing where crabcan does not.
pub(crate) fn runtime() -> PathBuf {
    std::env::var_os("CRABCAN_TEST_RUNTIME").map_or_else(program, PathBuf::from)
}

/// A command that runs crabcan with these arguments.
pub(crate) fn crabcan<I>(args: I) -> Command
where
    I: IntoIterator<Item: AsRef<OsStr>>,
{
    let mut command = Command::new(runtime());
    command.args(args).env_remove("RUST_LOG");
    command
}

/// A command that runs a line of shell in a sandbox with these options.
pub(crate) fn shell(options: &[&str], script: &str) -> Command {
    let mut command = crabcan(options);
    command.args(["--", "/bin/sh", "-c", script]);
    command
}

/// How a run ended and what it said.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) bytes: Vec<u8>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    pub(crate) fn code(&self) -> i32 {
        let ended = || {
            panic!(
                "ended by signal {:?}: {}",
                self.status.signal(),
                self.stderr
            )
        };
        self.status.code().unwrap_or_else(ended)
    }

    /// What a run wrote that succeeded and had nothing else to say.
    #[track_caller]
    pub(crate) fn success(self) -> String {
        assert_eq!((self.code(), self.stderr.as_str()), (0, ""), "{self:?}");
        self.stdout
    }

    /// The message of a run in which crabcan itself failed: one line, and perhaps a hint.
    #[track_caller]
    pub(crate) fn failure(&self, code: i32) -> &str {
        assert_eq!(self.code(), code, "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        assert!(self.stderr.ends_with('\n'), "{self:?}");
        let mut lines = self.stderr.lines();
        let message = lines.next().unwrap_or_default();
        let rest: Vec<&str> = lines.collect();
        assert!(message.starts_with("crabcan: "), "{self:?}");
        let hint = rest.iter().all(|line| line.starts_with("hint: "));
        assert!(hint && rest.len() <= 1, "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        &message["crabcan: ".len()..]
    }
}

/// Runs a command without input.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Outcome {
    run_with_input(command, b"")
}

/// Runs a command with this on its standard input; ends it and fails when it takes too long.
#[track_caller]
pub(crate) fn run_with_input(command: &mut Command, input: &[u8]) -> Outcome {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_owned();
    // Who does not read its input closes it: that is no error.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let stdout = read_to_end(child.stdout.take().expect("piped"));
    let stderr = read_to_end(child.stderr.take().expect("piped"));
    let until = Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().expect("wait") {
            break status;
        }
        if Instant::now() > until {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{command:?} took longer than {LIMIT:?}");
        }
        thread::sleep(Duration::from_millis(1));
    };
    let take = |from: mpsc::Receiver<Vec<u8>>, what| {
        from.recv_timeout(leaks::GRACE)
            .unwrap_or_else(|_| panic!("{command:?} ended, but {what} is still open"))
    };
    let bytes = take(stdout, "its standard output");
    let stderr = take(stderr, "its standard error");
    writer.join().expect("the writer does not panic");
    Outcome {
        status,
        stdout: String::from_utf8_lossy(&bytes).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
        bytes,
    }
}

fn read_to_end(mut from: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (to, received) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        let _ = to.send(bytes);
    });
    received
}

/// What the names of the tests' own directories begin with.
const PREFIX: &str = "crabcan-e2e-";

/// A directory of a test's own, removed with all that is in it.
#[derive(Debug)]
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        let path = std::env::temp_dir().join(format!("{PREFIX}{pid}-{count}-{name}"));
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Its path as text, as arguments want it.
    pub(crate) fn text(&self) -> &str {
        self.0
            .to_str()
            .expect("a temporary directory with a plain name")
    }

    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(&path).expect("make a directory");
        path
    }

    pub(crate) fn file(&self, name: &str, contents: &[u8], mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, contents).expect("write a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
        path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0)
            && !thread::panicking()
        {
            panic!("remove {}: {error}", self.0.display());
        }
    }
}

/// Whether this test is run by root.
pub(crate) fn is_root() -> bool {
    Uid::effective().is_root()
}

/// Says that a test can't do all it is for; where everything must be there, that is a failure.
pub(crate) fn lacks(what: &str) {
    let required = std::env::var_os("CRABCAN_TEST_REQUIRE").is_some_and(|value| value == "1");
    assert!(
        !required,
        "CRABCAN_TEST_REQUIRE is set, and there is no {what}"
    );
    eprintln!("not tested: there is no {what}");
}

/// As [`lacks`], of cgroup v1: the virtual machine has none on purpose, and others run what needs it.
pub(crate) fn lacks_v1(what: &str) {
    match Path::new("/run/crabcan-vm").exists() {
        true => eprintln!("not tested in the virtual machine: there is no {what}"),
        false => lacks(what),
    }
}
