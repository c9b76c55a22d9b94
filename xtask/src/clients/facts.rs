//! Facts about the machine that scenarios need, `@ needs FACT`: what no runtime can replace.

use std::fs;

use anyhow::{Result, bail};

use super::machine::Machine;
use super::shell::User;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fact {
    /// `CAP_SYS_RESOURCE`: root can raise hard limits.
    SysResource,
    /// `cgroups`: the user of the scenario has cgroups.
    Cgroups,
    /// `v1`: the files of v1 controllers, which the scenario names.
    V1,
}

impl Fact {
    pub(crate) fn parse(word: &str) -> Result<Fact> {
        Ok(match word {
            "CAP_SYS_RESOURCE" => Fact::SysResource,
            "cgroups" => Fact::Cgroups,
            "v1" => Fact::V1,
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
