//! What a container's state is to others: the words of the specification.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

/// How far a container's life has come. It is asked of the kernel, never read from a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// It is being made.
    Creating,
    /// It is made, and its program was not executed yet.
    Created,
    /// Its program runs.
    Running,
    /// Its program runs, and its cgroup is frozen.
    Paused,
    /// Its first process has ended.
    Stopped,
}

impl Status {
    /// The specification's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

/// The state of a container, as hooks and the command `state` have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct State {
    /// The version of the specification that the configuration is written for.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// How far its life has come.
    pub status: Status,
    /// The pid of its first process as the host sees it; 0 when there is none.
    pub pid: i32,
    /// The directory of its bundle, absolute.
    pub bundle: PathBuf,
    /// The directory of its root, absolute. (Not the specification's.)
    pub rootfs: PathBuf,
    /// When it was made, as RFC 3339 has it. (Not the specification's.)
    pub created: String,
    /// The uid of who made it. (Not the specification's.)
    pub owner: u32,
    /// What the configuration says of it for others.
    pub annotations: BTreeMap<String, String>,
}

impl State {
    /// The state as JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Strings, numbers and paths that came from JSON: there is nothing to fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
