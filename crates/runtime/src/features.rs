//! What this runtime can do, as `crabcan features` tells it: the specification's `features.md`.

use std::collections::BTreeMap;

use crabcan_caps::Capability;
use serde::Serialize;

use crate::Host;
use crate::host::kernel_version;
use crate::plan::memory_words;
use crate::spec::{Hooks, NamespaceRequest};

/// The strings that `mounts[].options` knows; every other one is the file system's own.
const MOUNT_OPTIONS: [&str; 65] = [
    "async",
    "atime",
    "bind",
    "copy-symlink",
    "defaults",
    "dest-nofollow",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "idmap",
    "iversion",
    "lazytime",
    "loud",
    "mand",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "noiversion",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "private",
    "ratime",
    "rbind",
    "rdev",
    "rdiratime",
    "relatime",
    "remount",
    "rexec",
    "ridmap",
    "rnoatime",
    "rnodev",
    "rnodiratime",
    "rnoexec",
    "rnorelatime",
    "rnostrictatime",
    "rnosuid",
    "rnosymfollow",
    "ro",
    "rprivate",
    "rrelatime",
    "rro",
    "rrw",
    "rshared",
    "rslave",
    "rstrictatime",
    "rsuid",
    "rsymfollow",
    "runbindable",
    "rw",
    "shared",
    "silent",
    "slave",
    "src-nofollow",
    "strictatime",
    "suid",
    "symfollow",
    "sync",
    "tmpcopyup",
    "unbindable",
];

const ACTIONS: [&str; 9] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

const OPERATORS: [&str; 7] = [
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_LE",
    "SCMP_CMP_LT",
    "SCMP_CMP_MASKED_EQ",
    "SCMP_CMP_NE",
];

const ARCHITECTURES: [&str; 23] = [
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
];

/// Annotations of a configuration that change what is done: those that end with a dot, by their
/// beginnings.
const UNSAFE_ANNOTATIONS: [&str; 7] = [
    "org.criu.config",
    "org.systemd.property.",
    "run.oci.hooks.stderr",
    "run.oci.hooks.stdout",
    "run.oci.keep_original_groups",
    "run.oci.mount_context_type",
    "run.oci.seccomp.receiver",
];

/// The flags of seccomp(2) and the kernels since which there is each.
const SECCOMP_FLAGS: [(&str, (u32, u32)); 4] = [
    ("SECCOMP_FILTER_FLAG_TSYNC", (3, 17)),
    ("SECCOMP_FILTER_FLAG_LOG", (4, 14)),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", (4, 17)),
    ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", (5, 19)),
];

/// The whole document. A part of the specification's that is not in it is unknown to the reader,
/// which is not the same as `false`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Features {
    oci_version_min: &'static str,
    oci_version_max: &'static str,
    hooks: Vec<&'static str>,
    mount_options: &'static [&'static str],
    linux: Linux,
    annotations: BTreeMap<&'static str, &'static str>,
    potentially_unsafe_config_annotations: &'static [&'static str],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    namespaces: Vec<String>,
    capabilities: Vec<&'static str>,
    cgroup: Cgroup,
    seccomp: Seccomp,
    apparmor: Enabled,
    selinux: Enabled,
    intel_rdt: IntelRdt,
    memory_policy: MemoryPolicy,
    mount_extensions: MountExtensions,
    net_devices: Enabled,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cgroup {
    v1: bool,
    v2: bool,
    systemd: bool,
    systemd_user: bool,
    rdma: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Seccomp {
    enabled: bool,
    actions: &'static [&'static str],
    operators: &'static [&'static str],
    archs: &'static [&'static str],
    known_flags: Vec<&'static str>,
    supported_flags: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct Enabled {
    enabled: bool,
}

#[derive(Debug, Serialize)]
struct IntelRdt {
    enabled: bool,
    schemata: bool,
    monitoring: bool,
}

#[derive(Debug, Serialize)]
struct MemoryPolicy {
    modes: Vec<&'static str>,
    flags: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct MountExtensions {
    idmap: Enabled,
}

impl Features {
    /// What this build does on this kernel. What a machine lacks (AppArmor, resctrl) is enabled all
    /// the same: it is the runtime that is described.
    #[must_use]
    pub fn of(host: &Host) -> Self {
        let hooks = Hooks::default();
        Self {
            oci_version_min: "1.0.0",
            oci_version_max: "1.3.0",
            hooks: hooks.kinds().iter().map(|(kind, _)| *kind).collect(),
            mount_options: &MOUNT_OPTIONS,
            linux: linux(host),
            annotations: [
                ("org.crabcan.version", env!("CARGO_PKG_VERSION")),
                // Done by another program, which may not be there.
                (
                    "org.crabcan.checkpoint.enabled",
                    match crate::criu::is_installed() {
                        true => "true",
                        false => "false",
                    },
                ),
            ]
            .into(),
            potentially_unsafe_config_annotations: &UNSAFE_ANNOTATIONS,
        }
    }

    /// The document as `crabcan features` prints it.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings, booleans and lists of them: there is nothing that could not be written.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

fn linux(host: &Host) -> Linux {
    let all = crabcan_ns::Namespace::ALL;
    let (modes, flags) = memory_words();
    let yes = || Enabled { enabled: true };
    Linux {
        namespaces: all.map(|kind| NamespaceRequest::new(kind).kind).into(),
        capabilities: Capability::ALL.iter().map(|one| one.name()).collect(),
        cgroup: Cgroup {
            v1: true,
            v2: true,
            systemd: true,
            systemd_user: true,
            rdma: true,
        },
        seccomp: seccomp(host),
        apparmor: yes(),
        selinux: yes(),
        intel_rdt: IntelRdt {
            enabled: true,
            schemata: true,
            monitoring: true,
        },
        memory_policy: MemoryPolicy { modes, flags },
        mount_extensions: MountExtensions { idmap: yes() },
        net_devices: yes(),
    }
}

fn seccomp(host: &Host) -> Seccomp {
    let kernel = kernel_version(&host.release).unwrap_or((0, 0));
    let supported = SECCOMP_FLAGS.iter().filter(|(_, since)| kernel >= *since);
    Seccomp {
        enabled: true,
        actions: &ACTIONS,
        operators: &OPERATORS,
        archs: &ARCHITECTURES,
        known_flags: SECCOMP_FLAGS.iter().map(|(flag, _)| *flag).collect(),
        supported_flags: supported.map(|(flag, _)| *flag).collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use crabcan_caps::CapabilitySet;
    use crabcan_rootfs::MountOptions;
    use crabcan_seccomp::{Action, Architecture, Flags, Operator};
    use serde_json::Value;

    use super::*;

    fn features(release: &str) -> Value {
        let host = Host {
            uid: 0,
            gid: 0,
            privileged: true,
            capabilities: CapabilitySet::EMPTY,
            setgroups: true.into(),
            cgroup_trees: Vec::new().into(),
            release: release.into(),
        };
        serde_json::from_str(&Features::of(&host).to_json()).unwrap()
    }

    /// A word that is listed is a word that is understood.
    #[test]
    fn every_word_is_understood() {
        for word in MOUNT_OPTIONS {
            assert_eq!(MountOptions::parse([word]).data, [""; 0], "{word}");
        }
        assert!(ACTIONS.iter().all(|word| word.parse::<Action>().is_ok()));
        assert!(
            OPERATORS
                .iter()
                .all(|word| word.parse::<Operator>().is_ok())
        );
        let known = |word: &&str| word.parse::<Architecture>().is_ok();
        assert!(ARCHITECTURES.iter().all(known));
        assert_eq!(ARCHITECTURES.len(), Architecture::all().count());
        let known = |(word, _): &(&str, _)| word.parse::<Flags>().is_ok();
        assert!(SECCOMP_FLAGS.iter().all(known));
    }

    #[test]
    fn the_document_has_the_specifications_names() {
        let features = features("6.1.0");
        let at = |path: &str| features.pointer(path).unwrap().clone();
        assert_eq!(at("/ociVersionMax"), "1.3.0");
        assert_eq!(at("/hooks/0"), "prestart");
        assert_eq!(at("/mountOptions").as_array().unwrap().len(), 65);
        assert_eq!(at("/linux/namespaces").as_array().unwrap().len(), 8);
        assert!(
            at("/linux/namespaces")
                .as_array()
                .unwrap()
                .contains(&"network".into())
        );
        assert_eq!(at("/linux/capabilities/0"), "CAP_CHOWN");
        assert_eq!(at("/linux/memoryPolicy/modes").as_array().unwrap().len(), 7);
        assert_eq!(at("/linux/mountExtensions/idmap/enabled"), true);
        assert_eq!(at("/linux/intelRdt/monitoring"), true);
        assert_eq!(at("/linux/netDevices/enabled"), true);
        for way in ["v1", "v2", "systemd", "systemdUser"] {
            assert_eq!(at(&format!("/linux/cgroup/{way}")), true, "{way}");
        }
    }

    #[test]
    fn flags_of_newer_kernels_are_known_and_not_supported() {
        let flags = |release: &str, list: &str| {
            let features = features(release);
            let list = features.pointer(&format!("/linux/seccomp/{list}")).unwrap();
            list.as_array().unwrap().len()
        };
        assert_eq!(
            (flags("5.10", "knownFlags"), flags("5.10", "supportedFlags")),
            (4, 3)
        );
        assert_eq!(flags("6.1", "supportedFlags"), 4);
    }
}
