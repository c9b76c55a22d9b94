//! The options of a sandbox that are neither pieces of its root nor limits: what it shares, its
//! environment, where and how the command starts, and the descriptors of whoever calls.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use crabcan_runtime::{LandlockMode, Namespace, Sandbox};

use crate::args::number;
use crate::descriptors::Descriptors;

/// The flags.
#[derive(Args, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Sharing, start, environment")]
pub(crate) struct Options {
    /// Share the host's namespace: net, pid, ipc, uts, cgroup or user; may be given again
    #[arg(long, value_name = "KIND")]
    share: Vec<OsString>,
    /// Make a namespace that is not made by itself: time
    #[arg(long, value_name = "KIND")]
    unshare: Vec<OsString>,
    /// Join a namespace that is there, by a path such as /proc/PID/ns/net or /proc/self/fd/N
    #[arg(long, value_name = "KIND:PATH")]
    join: Vec<OsString>,
    /// The group id in the sandbox [default: as --uid, or your own]
    #[arg(long, value_name = "GID")]
    gid: Option<u32>,
    /// Where the command starts
    #[arg(long, value_name = "DIR")]
    chdir: Option<PathBuf>,
    /// What the command is told as its own name
    #[arg(long, value_name = "NAME")]
    argv0: Option<OsString>,
    /// A second wall by Landlock, which keeps files of the host that are reached on another way than
    /// by mounts: best-effort, what the kernel has; required; or off. Under it nothing can be mounted
    /// [default: best-effort with --seccomp default, else off]
    #[arg(long, value_name = "HOW", hide_possible_values = true)]
    landlock: Option<Wall>,
    /// Say where the time of the start went, as a table or in a FILE that Perfetto opens
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = ""
    )]
    pub(crate) timings: Option<OsString>,
    /// Let nobody in the sandbox make a user namespace
    #[arg(long)]
    disable_userns: bool,
    /// With --as-pid-1: end when crabcan ends. Without it a sandbox always does
    #[arg(long)]
    die_with_parent: bool,
    /// Hold a shared lock on a file of the sandbox while that lives
    #[arg(long, value_name = "DEST")]
    lock_file: Vec<PathBuf>,
}

/// What is done about Landlock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Wall {
    Off,
    BestEffort,
    Required,
}

impl From<Wall> for LandlockMode {
    fn from(wall: Wall) -> Self {
        match wall {
            Wall::Off => Self::Off,
            Wall::BestEffort => Self::BestEffort,
            Wall::Required => Self::Required,
        }
    }
}

impl Options {
    /// Takes one of its options that is read by hand, see `args/quick.rs`.
    pub(crate) fn quick(&mut self, name: &str, value: OsString) -> Option<()> {
        match name {
            "share" => self.share.push(value),
            "chdir" if self.chdir.is_none() => self.chdir = Some(value.into()),
            "gid" if self.gid.is_none() => self.gid = Some(number(&value)?),
            _ => return None,
        }
        Some(())
    }

    pub(crate) fn apply(&self, mut sandbox: Sandbox) -> anyhow::Result<Sandbox> {
        for word in &self.share {
            sandbox = sandbox.share(kind("--share", word)?);
        }
        for word in &self.unshare {
            sandbox = sandbox.unshare(kind("--unshare", word)?);
        }
        for word in &self.join {
            let bytes = word.as_bytes();
            let colon = bytes.iter().position(|byte| *byte == b':');
            let colon =
                colon.with_context(|| format!("--join {}: must be KIND:PATH", word.display()))?;
            let (name, path) = bytes.split_at(colon);
            let path = path.get(1..).unwrap_or_default();
            let kind = kind("--join", OsStr::from_bytes(name))?;
            sandbox = sandbox.join(kind, OsStr::from_bytes(path));
        }
        if let Some(gid) = self.gid {
            sandbox = sandbox.gid(gid);
        }
        if let Some(directory) = &self.chdir {
            sandbox = sandbox.directory(directory);
        }
        if let Some(name) = &self.argv0 {
            sandbox = sandbox.argv0(name);
        }
        for path in &self.lock_file {
            sandbox = sandbox.lock_file(path);
        }
        if let Some(wall) = self.landlock {
            sandbox = sandbox.landlock(wall.into());
        }
        Ok(sandbox
            .timings(self.timings.is_some())
            .disable_user_namespaces(self.disable_userns)
            .die_with_parent(self.die_with_parent))
    }
}

/// The flags of the environment. Each of these structures is small: what is built for its flags
/// is on the stack at once.
#[derive(Args, Debug, Default, PartialEq, Eq)]
pub(crate) struct Environment {
    /// Start with an empty environment [default: PATH, HOME, TERM, LANG, LC_*, USER]
    #[arg(long, overrides_with = "keep_env")]
    clearenv: bool,
    /// Keep the whole environment, secrets too
    #[arg(long, overrides_with = "clearenv")]
    keep_env: bool,
    /// Set a variable
    #[arg(long, num_args = 2, value_names = ["NAME", "VALUE"], allow_hyphen_values = true)]
    setenv: Vec<OsString>,
    /// Take a variable out of the environment
    #[arg(long, value_name = "NAME")]
    unsetenv: Vec<OsString>,
}

impl Environment {
    /// Takes a variable that is read by hand: its name and its value.
    pub(crate) fn set(&mut self, variable: Vec<OsString>) {
        self.setenv.extend(variable);
    }

    pub(crate) fn apply(&self, mut sandbox: Sandbox) -> Sandbox {
        if self.clearenv {
            sandbox = sandbox.clear_environment();
        }
        if self.keep_env {
            sandbox = sandbox.keep_environment();
        }
        for pair in self.setenv.as_chunks().0 {
            let [name, value] = pair;
            sandbox = sandbox.set_variable(name, value);
        }
        for name in &self.unsetenv {
            sandbox = sandbox.unset_variable(name);
        }
        sandbox
    }
}

/// The flags that are descriptors of the caller's.
#[derive(Args, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calling {
    /// Keep a descriptor open while the sandbox lives
    #[arg(long, value_name = "FD")]
    sync_fd: Vec<OsString>,
    /// Start the command when there is something to read
    #[arg(long, value_name = "FD")]
    block_fd: Option<OsString>,
    /// Write the first process' pid and namespaces as JSON
    #[arg(long, value_name = "FD")]
    info_fd: Option<OsString>,
    /// The same as one line, and the exit code as another
    #[arg(long, value_name = "FD")]
    json_status_fd: Option<OsString>,
}

impl Calling {
    /// Opens what the caller gave.
    pub(crate) fn descriptors(&self) -> anyhow::Result<Descriptors> {
        let mut descriptors = Descriptors::default();
        let given = [
            ("block-fd", &self.block_fd),
            ("info-fd", &self.info_fd),
            ("json-status-fd", &self.json_status_fd),
        ];
        for (name, value) in given {
            if let Some(value) = value {
                descriptors.take(name, value)?;
            }
        }
        for value in &self.sync_fd {
            descriptors.take("sync-fd", value)?;
        }
        Ok(descriptors)
    }
}

/// A kind of namespace by its name. There is always one of mounts.
fn kind(option: &str, word: &OsStr) -> anyhow::Result<Namespace> {
    Ok(match word.to_str() {
        Some("net" | "network") => Namespace::Network,
        Some("pid") => Namespace::Pid,
        Some("ipc") => Namespace::Ipc,
        Some("uts") => Namespace::Uts,
        Some("cgroup") => Namespace::Cgroup,
        Some("user") => Namespace::User,
        Some("time") => Namespace::Time,
        _ => bail!(
            "{option} {}: must be net, pid, ipc, uts, cgroup, user or time",
            word.display()
        ),
    })
}
