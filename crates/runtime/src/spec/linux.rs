//! `linux` of the specification.

use std::path::PathBuf;

use crabcan_ns::{IdMap, Namespace};
use crabcan_rootfs::Propagation;
use crabcan_seccomp::json::Seccomp;

/// What only Linux has.
#[derive(Clone, Debug, Default)]
pub struct Linux {
    /// The namespaces that are not inherited.
    pub namespaces: Vec<NamespaceRequest>,
    /// The user ids of a new user namespace.
    pub uid_mappings: Option<IdMap>,
    /// The group ids of a new user namespace.
    pub gid_mappings: Option<IdMap>,
    /// The propagation of the mounts that the container starts with.
    pub rootfs_propagation: Option<Propagation>,
    /// Files and directories to be hidden.
    pub masked_paths: Vec<PathBuf>,
    /// Files and directories to be made read-only.
    pub readonly_paths: Vec<PathBuf>,
    /// The filter of system calls.
    pub seccomp: Option<Seccomp>,
}

/// One of `linux.namespaces`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceRequest {
    /// Its kind.
    pub kind: Namespace,
}

impl Linux {
    /// Whether the container gets a namespace of this kind of its own.
    #[must_use]
    pub fn makes(&self, kind: Namespace) -> bool {
        self.namespaces
            .iter()
            .any(|namespace| namespace.kind == kind)
    }
}
