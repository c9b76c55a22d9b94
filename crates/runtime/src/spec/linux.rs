//! `linux` of the specification.

use std::path::{Path, PathBuf};

use crabcan_ns::{IdRange, Namespace};
use crabcan_seccomp::json::Seccomp;

use super::Resources;
use super::property::{Map, properties};

properties! {
    /// What only Linux has.
    pub struct Linux {
        /// The namespaces that are not inherited.
        "namespaces" => namespaces: Vec<NamespaceRequest>,
        /// The user ids of a new user namespace.
        "uidMappings" => uid_mappings: Vec<IdMapping>,
        /// The group ids of a new user namespace.
        "gidMappings" => gid_mappings: Vec<IdMapping>,
        /// The offsets of clocks in a new time namespace: `boottime` and `monotonic`.
        "timeOffsets" => time_offsets: Map<TimeOffset>,
        /// Devices besides the default ones.
        "devices" => devices: Vec<Device>,
        /// Network devices of the host that are moved into the container, by their names.
        "netDevices" => net_devices: Map<NetDevice>,
        /// The cgroup; below the caller's, or from the root of the hierarchy.
        "cgroupsPath" => cgroups_path: Option<String>,
        /// What the cgroup limits.
        "resources" => resources: Option<Resources>,
        /// The propagation of the container's root: `private`, `slave`, `shared`, `unbindable`.
        "rootfsPropagation" => rootfs_propagation: Option<String>,
        /// Files and directories to be hidden.
        "maskedPaths" => masked_paths: Vec<PathBuf>,
        /// Files and directories to be made read-only.
        "readonlyPaths" => readonly_paths: Vec<PathBuf>,
        /// The SELinux context of the container's mounts.
        "mountLabel" => mount_label: Option<String>,
        /// A share of caches and memory bandwidth (Intel's RDT, also AMD's).
        "intelRdt" => intel_rdt: Option<IntelRdt>,
        /// On which memory nodes memory is taken.
        "memoryPolicy" => memory_policy: Option<MemoryPolicy>,
        /// The filter of system calls.
        "seccomp" => seccomp: Option<Seccomp>,
        /// Settings of the kernel that belong to a namespace.
        "sysctl" => sysctl: Map<String>,
        /// Which kernel the program sees.
        "personality" => personality: Option<Personality>,
    }

    /// One of `linux.namespaces`.
    pub struct NamespaceRequest {
        /// Its kind: `pid`, `network`, `mount`, `ipc`, `uts`, `user`, `cgroup` or `time`.
        "type" => kind: String,
        /// The file of one that is there and is to be joined; absent for a new one.
        "path" => path: Option<PathBuf>,
    }

    /// Consecutive ids in a user namespace and what they stand for.
    pub struct IdMapping {
        /// The first one in the container.
        "containerID" => container_id: u32,
        /// The first one of the host.
        "hostID" => host_id: u32,
        /// How many.
        "size" => size: u32,
    }

    /// The offset of a clock.
    pub struct TimeOffset {
        /// Seconds.
        "secs" => secs: i64,
        /// Nanoseconds, less than a second.
        "nanosecs" => nanosecs: u32,
    }

    /// A device file.
    pub struct Device {
        /// `c`, `u` (as `c`), `b`, or `p` for a FIFO.
        "type" => kind: String,
        /// Where, in the container.
        "path" => path: PathBuf,
        /// The major number; not for a FIFO.
        "major" => major: Option<i64>,
        /// The minor number; not for a FIFO.
        "minor" => minor: Option<i64>,
        /// The permissions; 0666 when absent.
        "fileMode" => file_mode: Option<u32>,
        /// The owner in the container; root when absent.
        "uid" => uid: Option<u32>,
        /// The group in the container; root's when absent.
        "gid" => gid: Option<u32>,
    }

    /// A network device that is moved.
    pub struct NetDevice {
        /// Its new name; `%d` in it is a number that the kernel chooses.
        "name" => name: Option<String>,
    }

    /// A share of caches and memory bandwidth: a directory of the resctrl file system.
    pub struct IntelRdt {
        /// The directory; `/` for the root, the container's id when absent.
        "closID" => clos_id: Option<String>,
        /// The lines of its `schemata`.
        "schemata" => schemata: Vec<String>,
        /// A line of its `schemata` about the L3 cache.
        "l3CacheSchema" => l3_cache_schema: Option<String>,
        /// A line of its `schemata` about memory bandwidth.
        "memBwSchema" => mem_bw_schema: Option<String>,
        /// Whether the container gets a monitoring group of its own.
        "enableMonitoring" => enable_monitoring: bool,
    }

    /// On which memory nodes memory is taken; see set_mempolicy(2).
    pub struct MemoryPolicy {
        /// `MPOL_*`.
        "mode" => mode: String,
        /// The nodes, as a list.
        "nodes" => nodes: String,
        /// `MPOL_F_*`.
        "flags" => flags: Vec<String>,
    }

    /// Which kernel the program sees; see personality(2).
    pub struct Personality {
        /// `LINUX` or `LINUX32`.
        "domain" => domain: String,
        /// None are specified.
        "flags" => flags: Vec<String>,
    }
}

/// The specification's words for the kinds of namespaces.
const KINDS: [(&str, Namespace); 8] = [
    ("pid", Namespace::Pid),
    ("network", Namespace::Network),
    ("mount", Namespace::Mount),
    ("ipc", Namespace::Ipc),
    ("uts", Namespace::Uts),
    ("user", Namespace::User),
    ("cgroup", Namespace::Cgroup),
    ("time", Namespace::Time),
];

impl NamespaceRequest {
    /// A new namespace of this kind.
    #[must_use]
    pub fn new(kind: Namespace) -> Self {
        let word = KINDS.iter().find(|(_, other)| *other == kind);
        Self {
            kind: word.map_or(kind.name(), |(word, _)| word).to_owned(),
            path: None,
        }
    }

    /// The file of the namespace that is joined. An empty path is none, as for runc and crun.
    #[must_use]
    pub fn joined(&self) -> Option<&Path> {
        let path = self.path.as_deref();
        path.filter(|path| !path.as_os_str().is_empty())
    }

    /// Its kind, if the word is one of the specification's.
    #[must_use]
    pub fn namespace(&self) -> Option<Namespace> {
        let found = KINDS.iter().find(|(word, _)| *word == self.kind);
        found.map(|(_, kind)| *kind)
    }
}

impl Linux {
    /// Whether the container gets a new namespace of this kind.
    #[must_use]
    pub fn makes(&self, kind: Namespace) -> bool {
        self.request(kind)
            .is_some_and(|request| request.joined().is_none())
    }

    /// Whether the container is in another namespace of this kind than its runtime: a new one, or
    /// one that is joined.
    #[must_use]
    pub fn separates(&self, kind: Namespace) -> bool {
        self.request(kind).is_some()
    }

    fn request(&self, kind: Namespace) -> Option<&NamespaceRequest> {
        let mut requests = self.namespaces.iter();
        requests.find(|request| request.namespace() == Some(kind))
    }
}

impl From<IdRange> for IdMapping {
    fn from(range: IdRange) -> Self {
        Self {
            container_id: range.inside,
            host_id: range.outside,
            size: range.count,
        }
    }
}

impl From<&IdMapping> for IdRange {
    fn from(mapping: &IdMapping) -> Self {
        Self {
            inside: mapping.container_id,
            outside: mapping.host_id,
            count: mapping.size,
        }
    }
}
