//! Whose a container's cgroup is: "cgroup ownership" of the specification.

use std::path::Path;

use crabcan_cgroups::Cgroup;
use crabcan_ns::Namespace;

use crate::Host;
use crate::spec::Spec;

/// Gives a container's cgroup to the user of its program, who may then divide it, where the
/// specification wants that: see [`owner`].
///
/// # Errors
/// [`crabcan_cgroups::Error::Delegate`]. That an ordinary user can't give anything away is none:
/// the container still has what it was to have, a cgroup that is its maker's.
pub(super) fn delegate(
    cgroup: &Cgroup,
    spec: &Spec,
    host: &Host,
) -> Result<(), crabcan_cgroups::Error> {
    let Some(uid) = owner(spec) else {
        return Ok(());
    };
    match cgroup.delegate(uid) {
        Err(error) if !host.privileged => {
            log::debug!("the cgroup is not delegated: {error}");
            Ok(())
        }
        other => other,
    }
}

/// The user of the host as whom the container's program runs, if it gets a cgroup namespace of its
/// own and a cgroup file system in it that can be written to. Of a user namespace that is joined
/// the mapping is not known, and nobody gets anything.
fn owner(spec: &Spec) -> Option<u32> {
    let (linux, uid) = (&spec.linux, spec.process.user.uid);
    let writable = spec.mounts.iter().any(|mount| {
        mount.destination.as_path() == Path::new("/sys/fs/cgroup")
            && matches!(mount.fstype.as_str(), "cgroup" | "cgroup2")
            && !mount.options.iter().any(|option| option == "ro")
    });
    if !linux.makes(Namespace::Cgroup) || !writable {
        return None;
    }
    if linux.makes(Namespace::User) {
        let of_host = |range: &crate::spec::IdMapping| {
            let offset = uid.checked_sub(range.container_id)?;
            (offset < range.size).then(|| range.host_id.checked_add(offset))?
        };
        return linux.uid_mappings.iter().find_map(of_host);
    }
    (!linux.separates(Namespace::User)).then_some(uid)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// A container that gets its cgroup: with everything that is needed for it.
    const GIVEN: &str = r#"{
        "ociVersion": "1.3.0",
        "process": {"user": {"uid": 5, "gid": 6}, "args": ["x"], "cwd": "/"},
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                "options": ["nosuid", "rw"]}
        ],
        "linux": {
            "namespaces": [{"type": "mount"}, {"type": "user"}, {"type": "cgroup"}],
            "uidMappings": [
                {"containerID": 0, "hostID": 1000, "size": 1},
                {"containerID": 1, "hostID": 70000, "size": 10}
            ]
        }
    }"#;

    fn owner_with(from: &str, to: &str) -> Option<u32> {
        assert!(GIVEN.contains(from), "{from}");
        owner(&Spec::from_json(GIVEN.replace(from, to).as_bytes()).unwrap())
    }

    #[test]
    fn the_cgroup_is_the_programs_if_the_specification_wants_it() {
        let as_it_is = owner_with("rootfs", "rootfs");
        assert_eq!(as_it_is, Some(70004));
        assert_eq!(owner_with("\"uid\": 5", "\"uid\": 0"), Some(1000));
        assert_eq!(owner_with("\"uid\": 5", "\"uid\": 11"), None, "no such id");
        assert_eq!(owner_with(", {\"type\": \"cgroup\"}", ""), None);
        let joined = "{\"type\": \"cgroup\", \"path\": \"/x\"}";
        assert_eq!(owner_with("{\"type\": \"cgroup\"}", joined), None);
        assert_eq!(owner_with("\"rw\"", "\"ro\""), None);
        assert_eq!(owner_with("/sys/fs/cgroup", "/cgroup"), None);
        assert_eq!(
            owner_with("\"type\": \"cgroup\", \"s", "\"type\": \"tmpfs\", \"s"),
            None
        );
        let joined = "{\"type\": \"user\", \"path\": \"/x\"}";
        assert_eq!(owner_with("{\"type\": \"user\"}", joined), None);
        assert_eq!(owner_with("{\"type\": \"user\"}, ", ""), Some(5));
    }
}
