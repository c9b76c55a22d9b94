//! `linux.sysctl`: settings of the kernel that belong to a namespace, and no others.

use crabcan_ns::Namespace;

use crate::Error;
use crate::spec::Linux;

/// Settings of System V IPC, below `kernel`.
const IPC: [&str; 8] = [
    "msgmax",
    "msgmnb",
    "msgmni",
    "sem",
    "shmall",
    "shmmax",
    "shmmni",
    "shm_rmid_forced",
];

/// The path below `/proc/sys` of a setting that the container may have, and the kind of namespace
/// that it belongs to, which must not be the runtime's own.
pub(super) fn path(linux: &Linux, key: &str) -> Result<(Namespace, String), Error> {
    let refused = |reason: String| {
        let field = format!("linux.sysctl[\"{}\"]", key.escape_debug());
        Err(Error::invalid(field, reason))
    };
    let Some(parts) = parts(key) else {
        return refused("is no name of a setting".into());
    };
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let namespace = match parts.as_slice() {
        ["net", _, ..] => Namespace::Network,
        ["fs", "mqueue", _] => Namespace::Ipc,
        ["kernel", one] if IPC.contains(one) => Namespace::Ipc,
        ["kernel", "hostname"] => return refused("is what \"hostname\" is for".into()),
        ["kernel", "domainname"] => Namespace::Uts,
        ["user", _] => Namespace::User,
        _ => return refused("belongs to no namespace: it would be set on the host".into()),
    };
    if !linux.separates(namespace) {
        return refused(format!(
            "needs a {namespace} namespace of the container's own"
        ));
    }
    Ok((namespace, parts.join("/")))
}

/// The parts of a name, with dots or with slashes between them. Whichever comes first is the
/// separator, and the other one stands for a dot in a part: `net.ipv4.conf.eth0/1.forwarding` and
/// `net/ipv4/conf/eth0.1/forwarding` are the same; see sysctl(8).
fn parts(key: &str) -> Option<Vec<String>> {
    let separator = key.chars().find(|one| matches!(one, '.' | '/'))?;
    let parts = key.split(separator).map(|part| part.replace('/', "."));
    let parts: Vec<String> = parts.collect();
    // No dot alone: a part is never a step upwards. Nothing else either that a shell, a glob or an
    // old wrapper could take for something else.
    let name = |part: &String| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:@".contains(&byte);
        !part.starts_with('.') && !part.is_empty() && part.bytes().all(known)
    };
    (parts.len() > 1 && parts.iter().all(name)).then_some(parts)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::spec::NamespaceRequest;

    fn linux(kinds: &[Namespace]) -> Linux {
        Linux {
            namespaces: kinds.iter().copied().map(NamespaceRequest::new).collect(),
            ..Linux::default()
        }
    }

    #[test]
    fn settings_of_the_containers_namespaces_are_allowed() {
        let all = linux(&Namespace::ALL);
        let same = |key: &str, expected: &str| assert_eq!(path(&all, key).unwrap().1, expected);
        same("net.ipv4.ip_forward", "net/ipv4/ip_forward");
        same("net/ipv4/ip_forward", "net/ipv4/ip_forward");
        same(
            "net/ipv4/conf/eth0.1/forwarding",
            "net/ipv4/conf/eth0.1/forwarding",
        );
        same(
            "net.ipv4.conf.eth0/1.forwarding",
            "net/ipv4/conf/eth0.1/forwarding",
        );
        same("kernel.shmmax", "kernel/shmmax");
        same("kernel.domainname", "kernel/domainname");
        same("fs.mqueue.msg_max", "fs/mqueue/msg_max");
        same("user.max_user_namespaces", "user/max_user_namespaces");
    }

    #[test]
    fn settings_of_the_host_are_refused() {
        let none = linux(&[]);
        for key in [
            "net.core.somaxconn",
            "kernel.sem",
            "fs.mqueue.msg_max",
            "user.max_mnt_namespaces",
        ] {
            let error = path(&none, key).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("linux.sysctl[\"{key}\"]: needs a ")),
                "{error}"
            );
        }
        let all = linux(&Namespace::ALL);
        for key in [
            "kernel.hostname",
            "kernel.core_pattern",
            "kernel.shmmax.x",
            "vm.swappiness",
            "fs.file-max",
            "fs.mqueue",
            "net",
            "user",
            "user.a.b",
        ] {
            assert!(path(&all, key).is_err(), "{key}");
        }
    }

    #[test]
    fn tricks_with_names_are_refused() {
        let all = linux(&Namespace::ALL);
        for key in [
            "net/../kernel/core_pattern",
            "net.//.kernel.core_pattern",
            "net/./ipv4/ip_forward",
            "net..ipv4",
            "net.ipv4.",
            "/net/ipv4/ip_forward",
            ".net.ipv4.ip_forward",
            "net.ipv4.+x",
            "net.ipv4.ip forward",
            "net.ipv4.\0",
            "net.*",
            "",
        ] {
            assert!(path(&all, key).is_err(), "{key:?}");
        }
    }
}
