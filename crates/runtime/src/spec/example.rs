//! The configuration that `crabcan spec` writes.

use super::Spec;
use crate::Host;

/// What both kinds have in common, with a `$WORD` for each place in which they differ.
const TEXT: &str = include_str!("example.json");

/// Root's: the terminals' group, a file system of its own for `/sys` and the cgroups, no device but
/// the default ones, and a network of its own.
const PRIVILEGED: [(&str, &str); 7] = [
    ("$GID", ",\n\t\t\t\t\"gid=5\""),
    ("$SYS", "sysfs"),
    ("$SOURCE", "sysfs"),
    ("$BIND", ""),
    (
        "$CGROUP",
        ",
\t\t{
\t\t\t\"destination\": \"/sys/fs/cgroup\",
\t\t\t\"type\": \"cgroup\",
\t\t\t\"source\": \"cgroup\",
\t\t\t\"options\": [
\t\t\t\t\"nosuid\",
\t\t\t\t\"noexec\",
\t\t\t\t\"nodev\",
\t\t\t\t\"relatime\",
\t\t\t\t\"ro\"
\t\t\t]
\t\t}",
    ),
    (
        "$LIMITS",
        "
\t\t\"resources\": {
\t\t\t\"devices\": [
\t\t\t\t{
\t\t\t\t\t\"allow\": false,
\t\t\t\t\t\"access\": \"rwm\"
\t\t\t\t}
\t\t\t]
\t\t},",
    ),
    ("$LAST", "network"),
];

impl Spec {
    /// The text of a configuration that runs `sh` in the bundle's `rootfs`, as it is: every
    /// namespace, few capabilities and none of them inheritable, nothing of the kernel's to write.
    #[must_use]
    pub fn example() -> String {
        fill(&PRIVILEGED)
    }

    /// The same for an ordinary user, whose own ids are root's in it. It has the host's network,
    /// without which it could use none, and no limits.
    #[must_use]
    pub fn rootless_example(host: &Host) -> String {
        let map = |field: &str, id: u32| {
            format!(
                "
\t\t\"{field}\": [
\t\t\t{{
\t\t\t\t\"containerID\": 0,
\t\t\t\t\"hostID\": {id},
\t\t\t\t\"size\": 1
\t\t\t}}
\t\t],"
            )
        };
        let maps = map("uidMappings", host.uid) + &map("gidMappings", host.gid);
        fill(&[
            ("$GID", ""),
            ("$SYS", "none"),
            ("$SOURCE", "/sys"),
            ("$BIND", "\n\t\t\t\t\"rbind\","),
            ("$CGROUP", ""),
            ("$LIMITS", &maps),
            ("$LAST", "user"),
        ])
    }
}

fn fill(words: &[(&str, &str)]) -> String {
    words.iter().fold(TEXT.to_owned(), |text, (word, value)| {
        text.replace(word, value)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use crabcan_caps::{Capability, CapabilitySet};
    use crabcan_ns::Namespace;

    use super::*;
    use crate::Plan;

    fn host(privileged: bool) -> Host {
        Host {
            uid: 1000,
            gid: 1001,
            privileged,
            capabilities: match privileged {
                true => CapabilitySet::of(Capability::ALL),
                false => CapabilitySet::EMPTY,
            },
            setgroups: true.into(),
            cgroup_trees: Vec::new().into(),
            release: "6.1".into(),
        }
    }

    /// Read by the strictest reader there is, and without a warning.
    #[test]
    fn both_are_plans() {
        for (text, privileged) in [
            (Spec::example(), true),
            (Spec::rootless_example(&host(false)), false),
        ] {
            assert!(!text.contains('$'), "{text}");
            let mut spec = Spec::from_json(text.as_bytes()).unwrap();
            spec.extension.bundle = Some("/bundle".into());
            let plan = Plan::new(&spec, &host(privileged)).unwrap();
            assert_eq!(plan.warnings(), [""; 0]);
            assert!(
                spec.process
                    .capabilities
                    .as_ref()
                    .unwrap()
                    .inheritable
                    .is_empty()
            );
            assert_eq!(spec.linux.makes(Namespace::User), !privileged);
            let steps = plan.steps();
            let root = steps
                .iter()
                .any(|step| step.starts_with("take /bundle/rootfs as the root"));
            assert!(root, "{steps:#?}");
        }
    }

    #[test]
    fn an_ordinary_users_own_ids_are_mapped() {
        let spec = Spec::from_json(Spec::rootless_example(&host(false)).as_bytes()).unwrap();
        let lines = (&spec.linux.uid_mappings[0], &spec.linux.gid_mappings[0]);
        assert_eq!(
            (lines.0.host_id, lines.0.size, lines.0.container_id),
            (1000, 1, 0)
        );
        assert_eq!(
            (lines.1.host_id, lines.1.size, lines.1.container_id),
            (1001, 1, 0)
        );
    }
}
