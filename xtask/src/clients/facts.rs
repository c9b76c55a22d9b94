//! Facts about the machine that scenarios need, `@ needs FACT`: what no runtime can replace.

use std::fs;

use super::machine::Machine;
use super::shell::User;

/// Why the fact does not hold here, or nothing if it does.
pub(crate) fn lacking(machine: &Machine, user: User, fact: &str) -> Option<String> {
    let (holds, told): (bool, &str) = match fact {
        "CAP_SYS_RESOURCE" => (
            has_capability(24),
            "this machine's root has no CAP_SYS_RESOURCE, so no runtime can do it",
        ),
        "cgroups" => (
            user == User::Root || machine.unified,
            "rootless podman makes no cgroups on v1",
        ),
        "memory v1" => (!machine.unified, "there is no v1 memory controller"),
        _ => {
            return Some(format!(
                "`@ needs {fact}`: no such fact is known (facts.rs)"
            ));
        }
    };
    (!holds).then(|| told.to_owned())
}

/// Whether our bounding set has the capability of this number (capabilities(7)).
fn has_capability(number: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let bits = bounding.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    bits.is_some_and(|bits| bits >> number & 1 == 1)
}
