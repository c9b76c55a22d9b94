//! `process` of the specification.

use std::ffi::OsString;
use std::path::PathBuf;

use crabcan_caps::CapabilitySet;

use super::property::{Strings, properties};

properties! {
    /// The program and how it runs.
    pub struct Process {
        /// Whether it gets a terminal of its own.
        "terminal" => terminal: bool,
        /// The size of that terminal.
        "consoleSize" => console_size: Option<ConsoleSize>,
        /// The working directory, absolute.
        "cwd" => cwd: PathBuf,
        /// The environment, each `NAME=value`.
        "env" => env: Vec<OsString> as Strings,
        /// The program and its arguments: at least the program.
        "args" => args: Vec<OsString> as Strings,
        /// Its ids.
        "user" => user: User,
        /// Its resource limits.
        "rlimits" => rlimits: Vec<ResourceLimit>,
        /// Its capabilities; absent for none at all.
        "capabilities" => capabilities: Option<Capabilities>,
        /// Whether execve(2) can never give it new privileges.
        "noNewPrivileges" => no_new_privileges: bool,
        /// How readily the kernel kills it when memory is short, -1000 to 1000; absent for the
        /// caller's own.
        "oomScoreAdj" => oom_score_adj: Option<i64>,
        /// How it is scheduled.
        "scheduler" => scheduler: Option<Scheduler>,
        /// Its priority on block devices.
        "ioPriority" => io_priority: Option<IoPriority>,
        /// The processors of a process that joins the container.
        "execCPUAffinity" => exec_cpu_affinity: Option<CpuAffinity>,
        /// The AppArmor profile.
        "apparmorProfile" => apparmor_profile: Option<String>,
        /// The SELinux context.
        "selinuxLabel" => selinux_label: Option<String>,
    }

    /// The size of a terminal in characters.
    #[derive(Copy)]
    pub struct ConsoleSize {
        /// Its height.
        "height" => height: u64,
        /// Its width.
        "width" => width: u64,
    }

    /// Ids in the container.
    pub struct User {
        /// The user id.
        "uid" => uid: u32,
        /// The group id.
        "gid" => gid: u32,
        /// The permissions that new files do not get; absent for the caller's own.
        "umask" => umask: Option<u32>,
        /// The supplementary groups.
        "additionalGids" => additional_gids: Vec<u32>,
    }

    /// A resource limit, see setrlimit(2).
    pub struct ResourceLimit {
        /// `RLIMIT_*`.
        "type" => kind: String,
        /// The soft limit; `u64::MAX` for none.
        "soft" => soft: u64,
        /// The hard limit; `u64::MAX` for none.
        "hard" => hard: u64,
    }

    /// The five sets by the kernel's names, see capabilities(7). An absent set is empty.
    pub struct Capabilities {
        /// What no program executed from here on can go beyond.
        "bounding" => bounding: Vec<String>,
        /// What the kernel's checks look at.
        "effective" => effective: Vec<String>,
        /// What files with inheritable capabilities of their own may give.
        "inheritable" => inheritable: Vec<String>,
        /// What may be made effective.
        "permitted" => permitted: Vec<String>,
        /// What programs without capabilities of their own keep over execve(2).
        "ambient" => ambient: Vec<String>,
    }

    /// How a process is scheduled, see sched_setattr(2).
    pub struct Scheduler {
        /// `SCHED_*`.
        "policy" => policy: String,
        /// The nice value, for `SCHED_OTHER` and `SCHED_BATCH`.
        "nice" => nice: Option<i32>,
        /// The static priority, for `SCHED_FIFO` and `SCHED_RR`.
        "priority" => priority: Option<i32>,
        /// `SCHED_FLAG_*`.
        "flags" => flags: Vec<String>,
        /// Nanoseconds in each period, for `SCHED_DEADLINE`.
        "runtime" => runtime: Option<u64>,
        /// Nanoseconds after which they must have been given, for `SCHED_DEADLINE`.
        "deadline" => deadline: Option<u64>,
        /// The period in nanoseconds, for `SCHED_DEADLINE`.
        "period" => period: Option<u64>,
    }

    /// A priority on block devices, see ioprio_set(2).
    pub struct IoPriority {
        /// `IOPRIO_CLASS_RT`, `IOPRIO_CLASS_BE` or `IOPRIO_CLASS_IDLE`.
        "class" => class: String,
        /// 0, the highest, to 7.
        "priority" => priority: i64,
    }

    /// The processors of a process that joins the container, as lists.
    pub struct CpuAffinity {
        /// Before it enters the container's cgroup.
        "initial" => initial: Option<String>,
        /// Afterwards; absent for what the cgroup gives.
        "final" => last: Option<String>,
    }
}

impl From<crabcan_caps::Capabilities> for Capabilities {
    fn from(sets: crabcan_caps::Capabilities) -> Self {
        let names = |set: CapabilitySet| set.iter().map(|one| one.name().to_owned()).collect();
        Self {
            bounding: names(sets.bounding),
            effective: names(sets.effective),
            inheritable: names(sets.inheritable),
            permitted: names(sets.permitted),
            ambient: names(sets.ambient),
        }
    }
}

/// A terminal of a sandbox' own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Bit N is set when it becomes descriptor N.
    pub descriptors: u32,
    /// Its height in characters.
    pub rows: u16,
    /// Its width in characters.
    pub columns: u16,
}

/// The resources by their numbers, which are the same on x86_64 and aarch64.
const RESOURCES: [&str; 16] = [
    "RLIMIT_CPU",
    "RLIMIT_FSIZE",
    "RLIMIT_DATA",
    "RLIMIT_STACK",
    "RLIMIT_CORE",
    "RLIMIT_RSS",
    "RLIMIT_NPROC",
    "RLIMIT_NOFILE",
    "RLIMIT_MEMLOCK",
    "RLIMIT_AS",
    "RLIMIT_LOCKS",
    "RLIMIT_SIGPENDING",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
];

impl ResourceLimit {
    /// The limit of the resource with this number. One that there is not gets a name that
    /// [`Plan::new`](crate::Plan::new) refuses.
    #[must_use]
    pub fn of(resource: u32, soft: u64, hard: u64) -> Self {
        let name = usize::try_from(resource).ok();
        let name = name.and_then(|index| RESOURCES.get(index));
        let kind = name.map_or_else(|| format!("RLIMIT_{resource}"), |name| (*name).to_owned());
        Self { kind, soft, hard }
    }

    /// The number of its resource, if there is one of that name.
    #[must_use]
    pub fn resource(&self) -> Option<u32> {
        let index = RESOURCES.iter().position(|name| *name == self.kind)?;
        u32::try_from(index).ok()
    }
}
