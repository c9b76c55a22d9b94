//! `learn`: runs a command in a sandbox and writes down what it needs.
//!
//! A filter asks about every call; a thread takes note and has the kernel make it. It decides
//! nothing: what the sandbox refuses is refused by the filter behind.

mod files;

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write, stdout};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use anyhow::{Context, anyhow, ensure};
use clap::{Args as _, CommandFactory, FromArgMatches};
use crabcan_runtime::Timings;
use crabcan_seccomp::json::Seccomp;
use crabcan_seccomp::{Call, Learner, Listener};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use self::files::Files;
use super::sandbox;
use crate::args::Args;

/// What is written, and where.
#[derive(clap::Args)]
#[command(next_help_heading = "What is learnt")]
struct Own {
    /// Write the profile there [default: standard output, behind what the command writes]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write the files that were opened or executed there, one a line
    #[arg(long, value_name = "FILE")]
    files: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
The command runs as without `learn`, behind the same filter of system calls, only slower. Its exit
code is crabcan's. What it did not call, and which files it did not open, this time, is not in the
lists: learn from all that it is to do.

Example:
  crabcan learn --output make.json --files make.files -- make
  crabcan --seccomp make.json -- make         with that, and no other call";

pub(super) fn definition() -> clap::Command {
    Own::augment_args(Args::command())
        .name("learn")
        .about("Run a command, and write the smallest profile of system calls for it")
        .override_usage("crabcan learn [OPTIONS] -- CMD [ARG]...")
        .after_help(AFTER_HELP)
}

#[inline(never)]
pub(crate) fn run(arguments: &[OsString]) -> anyhow::Result<u8> {
    let begin = Timings::from_now();
    let matches = Args::matches(definition().bin_name("crabcan learn"), arguments)?;
    let own = Own::from_arg_matches(&matches)?;
    let lesson = Lesson {
        // Before anything runs: where there is no place for what is learnt, nothing is to be.
        output: own
            .output
            .map(|path| Place::open("--output", path))
            .transpose()?,
        files: own
            .files
            .map(|path| Place::open("--files", path))
            .transpose()?,
        container: None,
        teacher: None,
    };
    sandbox::run_in(&Args::from(&matches)?, Some(begin), Some(lesson))
}

/// A file to be written when all is known: until then what stands in it stays.
#[derive(Debug)]
struct Place {
    option: &'static str,
    path: PathBuf,
    file: File,
    /// It was not there before, and has nothing in it yet.
    is_new: bool,
}

impl Place {
    fn open(option: &'static str, path: PathBuf) -> anyhow::Result<Self> {
        let mut options = OpenOptions::new();
        let options = options.write(true);
        let (file, is_new) = match options.clone().create_new(true).open(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => (options.open(&path), false),
            made => (made, true),
        };
        let file = file.with_context(|| format!("{option} {}", path.display()))?;
        Ok(Self {
            option,
            path,
            file,
            is_new,
        })
    }

    fn write(mut self, text: &[u8]) -> anyhow::Result<()> {
        let written = self.replace(text);
        self.is_new &= written.is_err();
        written.with_context(|| format!("{} {}", self.option, self.path.display()))
    }

    fn replace(&mut self, text: &[u8]) -> io::Result<()> {
        // A pipe or a terminal has no length.
        if self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        self.file.write_all(text)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_new
            && let Err(error) = fs::remove_file(&self.path)
        {
            log::warn!(
                "remove {}, where nothing was written: {error}",
                self.path.display()
            );
        }
    }
}

/// The thread that answers, and what it has learnt when it ends.
type Teacher = JoinHandle<anyhow::Result<(Learner, Files)>>;

fn taught(teacher: Teacher) -> anyhow::Result<(Learner, Files)> {
    let watched = teacher.join();
    watched.map_err(|_| anyhow!("learn: the thread that answers has failed"))?
}

/// What is learnt from a command while it runs.
#[derive(Debug)]
pub(super) struct Lesson {
    output: Option<Place>,
    files: Option<Place>,
    container: Option<OwnedFd>,
    teacher: Option<Teacher>,
}

impl Lesson {
    /// Who is ended when nobody can answer any more: a container that was not reaped yet.
    pub(super) fn may_end(&mut self, container: Pid) -> anyhow::Result<()> {
        let pid = rustix::process::Pid::from_raw(container.as_raw());
        let pid = pid.context("learn: the container has no pid")?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty());
        self.container = Some(pidfd.context("learn: hold the container by a pidfd")?);
        Ok(())
    }

    /// Answers for the command from now on, in a thread of its own.
    pub(super) fn begin(&mut self, learner: Learner, listener: OwnedFd) {
        let files = Files::new(self.files.is_some());
        let listener = Listener::from(listener);
        let container = self.container.take();
        self.teacher = Some(thread::spawn(move || {
            let watched = watch(&listener, learner, files);
            if let (Err(_), Some(container)) = (&watched, container) {
                // Without answers each of its calls fails, the one that ends it too. That it has
                // ended by itself meanwhile is as good.
                let _ = pidfd_send_signal(container, Signal::KILL);
            }
            watched
        }));
    }

    /// Why a command that has ended already did not start: who could not answer has ended it.
    pub(super) fn why(&mut self, error: crabcan_runtime::Error) -> anyhow::Error {
        match self.teacher.take().map(taught) {
            Some(Err(cause)) => cause,
            _ => error.into(),
        }
    }

    /// Writes what was learnt, when nobody is left to learn from.
    pub(super) fn end(self) -> anyhow::Result<()> {
        let teacher = self
            .teacher
            .context("learn: nobody has asked about a call")?;
        let (learner, files) = taught(teacher)?;
        let unnamed: Vec<_> = learner.unnamed().map(|number| number.to_string()).collect();
        ensure!(
            unnamed.is_empty(),
            "learn: no name is known for the calls with the numbers {}, so no profile can have them",
            unnamed.join(", ")
        );
        let profile = learner.profile();
        // What does not compile is of no use to anybody.
        profile.compile().context("learn")?;
        let text = serde_json::to_string_pretty(&Seccomp::from(&profile))? + "\n";
        match self.output {
            Some(place) => place.write(text.as_bytes())?,
            None => stdout()
                .write_all(text.as_bytes())
                .context("write the profile")?,
        }
        match self.files {
            Some(place) => place.write(&files.into_lines()?),
            None => Ok(()),
        }
    }
}

/// Takes note of each call and has it made, until nobody is left who could make one.
fn watch(
    listener: &Listener,
    mut learner: Learner,
    mut files: Files,
) -> anyhow::Result<(Learner, Files)> {
    let mut begun = false;
    while let Some(call) = listener.receive()? {
        begun = begun || is_exec(&call);
        // Before it, init is what calls.
        if begun {
            let name = learner.see(&call);
            files.look(&call, name, &|| listener.is_waiting(&call));
        }
        listener.proceed(&call)?;
    }
    Ok((learner, files))
}

fn is_exec(call: &Call) -> bool {
    let architecture = call.architecture();
    let name = architecture.and_then(|one| crabcan_seccomp::syscalls::name(one, call.number));
    name == Some("execve")
}
