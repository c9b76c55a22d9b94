//! `process` of the specification.

use std::ffi::OsString;
use std::path::PathBuf;

use crabcan_caps::Capabilities;

/// The program and how it runs.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// The program and its arguments: at least the program.
    pub args: Vec<OsString>,
    /// The environment, each `NAME=value`.
    pub env: Vec<OsString>,
    /// The working directory, absolute.
    pub cwd: PathBuf,
    /// Its ids.
    pub user: User,
    /// Its capabilities; `None` for none at all.
    pub capabilities: Option<Capabilities>,
    /// Its resource limits.
    pub rlimits: Vec<ResourceLimit>,
    /// Whether execve(2) can never give it new privileges.
    pub no_new_privileges: bool,
    /// A terminal of its own.
    pub terminal: Option<Terminal>,
}

/// `process.user` of the specification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The user id in the container.
    pub uid: u32,
    /// The group id in the container.
    pub gid: u32,
    /// The supplementary groups in the container.
    pub additional_gids: Vec<u32>,
}

/// A resource limit, see setrlimit(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceLimit {
    /// `RLIMIT_*`.
    pub resource: u32,
    /// The soft limit; `u64::MAX` for none.
    pub soft: u64,
    /// The hard limit; `u64::MAX` for none.
    pub hard: u64,
}

/// A terminal of the container's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Bit N is set when it becomes descriptor N.
    pub descriptors: u32,
    /// Its height in characters.
    pub rows: u16,
    /// Its width in characters.
    pub columns: u16,
}
