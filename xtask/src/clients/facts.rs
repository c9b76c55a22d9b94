//! Facts about the machine that scenarios need, `@ needs FACT`: what no runtime can replace.

use std::fs;

use anyhow::{Result, bail};

use super::hierarchy::Layout;
use super::machine::Machine;
use super::shell::User;
use crate::prerequisites;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fact {
    /// `CAP_SYS_RESOURCE`: root can raise hard limits.
    SysResource,
    /// `cgroups`: the user of the scenario has cgroups.
    Cgroups,
    /// `v1`: the files of v1 controllers, which the scenario names.
    V1,
    /// `v2`: the same of cgroup2, with every controller.
    V2,
    /// `cgroupfs`: the client makes the cgroups itself, and the scenario names them.
    Cgroupfs,
    /// `pod-devices`: the devices of a pod's cgroup are open.
    PodDevices,
    /// `crictl`: Kubernetes' client of CRI, which Debian does not package.
    Crictl,
}

impl Fact {
    pub(crate) fn parse(word: &str) -> Result<Fact> {
        Ok(match word {
            "CAP_SYS_RESOURCE" => Fact::SysResource,
            "cgroups" => Fact::Cgroups,
            "v1" => Fact::V1,
            "v2" => Fact::V2,
            "cgroupfs" => Fact::Cgroupfs,
            "pod-devices" => Fact::PodDevices,
            "crictl" => Fact::Crictl,
            _ => bail!("an unknown fact"),
        })
    }

    /// Why it does not hold here, or nothing if it does.
    pub(crate) fn lacking(self, machine: &Machine, user: User) -> Option<&'static str> {
        let (holds, told) = match self {
            Fact::SysResource => (
                has_capability(CAP_SYS_RESOURCE),
                "this machine's root has no CAP_SYS_RESOURCE, so no runtime can do it",
            ),
            Fact::Cgroups => (
                user == User::Root || machine.unified,
                "rootless podman makes no cgroups on v1",
            ),
            Fact::V1 => (!machine.unified, "there are no v1 controllers"),
            Fact::V2 => (machine.unified, "cgroup2 has not every controller here"),
            Fact::Cgroupfs => (
                machine.layout != Layout::Systemd,
                "systemd makes and names the cgroups",
            ),
            Fact::PodDevices => (
                user == User::Ordinary || !machine.unified || machine.layout == Layout::Systemd,
                "podman 4.3 lets nobody make devices in the cgroup2 of a pod that it made itself",
            ),
            Fact::Crictl => (
                prerequisites::find("crictl").is_ok(),
                "crictl is not here: it is built from kubernetes-sigs/cri-tools",
            ),
        };
        (!holds).then_some(told)
    }
}

/// Its number (capabilities(7)).
const CAP_SYS_RESOURCE: u32 = 24;

/// Whether our bounding set has the capability of this number.
fn has_capability(number: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let bits = bounding.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    bits.is_some_and(|bits| bits >> number & 1 == 1)
}
