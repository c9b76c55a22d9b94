//! The bundles that are run: that of `runc spec`, with a cgroup namespace and a payload without
//! libc, one for each runtime, so that each has a cgroup of its own.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Where containers-common has docker's and podman's profile.
const ENGINE_PROFILE: &str = "/usr/share/containers/seccomp.json";

/// The root file system that all bundles share: the payload, and what is mounted on.
pub(super) fn make_root(directory: &Path, payload: &Path) -> Result<PathBuf> {
    let root = directory.join("root");
    for name in ["proc", "dev", "sys"] {
        let path = root.join(name);
        fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
    }
    let file = root.join("true");
    fs::copy(payload, &file)
        .and_then(|_| fs::set_permissions(&file, Permissions::from_mode(0o755)))
        .with_context(|| format!("copy the payload to {}", file.display()))?;
    Ok(root)
}

/// Writes a bundle; `arguments` follow the payload's name.
pub(super) fn make(
    bundle: &Path,
    root: &Path,
    cgroup: &str,
    arguments: &[&str],
    seccomp: Option<&Value>,
) -> Result<()> {
    let mut config = config(root, cgroup, arguments);
    if let Some(profile) = seccomp {
        config["linux"]["seccomp"] = profile.clone();
    }
    write(bundle, &config)
}

/// The same for an ordinary user, as `runc spec --rootless` has it but with a network of its own: no
/// cgroup, and no id but the user's.
pub(super) fn make_rootless(bundle: &Path, root: &Path, id: u32) -> Result<()> {
    let mut config = config(root, "", &[]);
    let linux = &mut config["linux"];
    let map = json!([{ "containerID": 0, "hostID": id, "size": 1 }]);
    linux["uidMappings"] = map.clone();
    linux["gidMappings"] = map;
    if let Some(namespaces) = linux["namespaces"].as_array_mut() {
        namespaces.push(json!({ "type": "user" }));
    }
    if let Some(linux) = linux.as_object_mut() {
        linux.remove("cgroupsPath");
        linux.remove("resources");
    }
    if let Some(mounts) = config["mounts"].as_array_mut() {
        mounts.retain(|mount| mount["type"] != "cgroup");
        for options in mounts
            .iter_mut()
            .filter_map(|it| it["options"].as_array_mut())
        {
            options.retain(|option| option != "gid=5");
        }
    }
    write(bundle, &config)
}

fn write(bundle: &Path, config: &Value) -> Result<()> {
    fs::create_dir_all(bundle)
        .and_then(|()| fs::write(bundle.join("config.json"), config.to_string()))
        .with_context(|| format!("write the bundle {}", bundle.display()))
}

fn config(root: &Path, cgroup: &str, arguments: &[&str]) -> Value {
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let kinds = ["pid", "network", "ipc", "uts", "mount", "cgroup"];
    let words = [&["/true"], arguments].concat();
    let namespaces: Vec<Value> = kinds.iter().map(|kind| json!({ "type": kind })).collect();
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": words,
            "env": ["PATH=/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true,
        },
        "root": { "path": root, "readonly": true },
        "hostname": "bench",
        "mounts": mounts(),
        "linux": {
            "cgroupsPath": cgroup,
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "namespaces": namespaces,
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware",
                "/proc/scsi",
            ],
            "readonlyPaths": [
                "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
            ],
        },
    })
}

fn mounts() -> Value {
    let mount = |destination: &str, kind: &str, options: &str| {
        let options: Vec<&str> = options.split(',').filter(|word| !word.is_empty()).collect();
        json!({ "destination": destination, "type": kind, "source": kind, "options": options })
    };
    json!([
        mount("/proc", "proc", ""),
        mount("/dev", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
        mount(
            "/dev/pts",
            "devpts",
            "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"
        ),
        mount(
            "/dev/shm",
            "tmpfs",
            "nosuid,noexec,nodev,mode=1777,size=65536k"
        ),
        mount("/dev/mqueue", "mqueue", "nosuid,noexec,nodev"),
        mount("/sys", "sysfs", "nosuid,noexec,nodev,ro"),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            "nosuid,noexec,nodev,relatime,ro"
        ),
    ])
}

/// The engines' profile as an engine would hand it to a runtime for an ordinary container.
pub(super) fn engine_profile() -> Result<Option<Value>> {
    let text = match fs::read(ENGINE_PROFILE) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.with_context(|| format!("read {ENGINE_PROFILE}"))?,
    };
    let profile: Value =
        serde_json::from_slice(&text).with_context(|| format!("read {ENGINE_PROFILE}"))?;
    Ok(Some(resolve(&profile)))
}

/// Leaves out the rules for capabilities and architectures that the container has not.
fn resolve(profile: &Value) -> Value {
    let list = |rule: &Value, side: &str, key: &str| -> Vec<String> {
        let words = rule[side][key].as_array().into_iter().flatten();
        words.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let applies = |rule: &&Value| {
        let arches = list(rule, "includes", "arches");
        list(rule, "includes", "caps").is_empty()
            && (arches.is_empty() || arches.iter().any(|arch| arch == "amd64"))
            && !list(rule, "excludes", "arches")
                .iter()
                .any(|arch| arch == "amd64")
    };
    let rules = profile["syscalls"].as_array().into_iter().flatten();
    let syscalls: Vec<Value> = rules.filter(applies).map(without_nulls).collect();
    json!({
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile.get("defaultErrnoRet").filter(|errno| errno.is_u64()),
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": syscalls,
    })
}

fn without_nulls(rule: &Value) -> Value {
    let keys = ["names", "action", "errnoRet", "args"];
    let present = keys.iter().filter_map(|key| {
        let value = rule.get(*key).filter(|value| !value.is_null())?;
        Some(((*key).to_owned(), value.clone()))
    });
    Value::Object(present.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_other_machines_and_capabilities_are_left_out() {
        let profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            { "names": ["a"], "action": "SCMP_ACT_ALLOW", "args": null },
            { "names": ["b"], "action": "SCMP_ACT_ALLOW", "includes": { "caps": ["CAP_X"] } },
            { "names": ["c"], "action": "SCMP_ACT_ALLOW", "includes": { "arches": ["arm"] } },
            { "names": ["d"], "action": "SCMP_ACT_ALLOW", "excludes": { "arches": ["amd64"] } },
            { "names": ["e"], "action": "SCMP_ACT_ALLOW", "includes": { "arches": ["amd64"] } },
        ] });
        let resolved = resolve(&profile);
        let names: Vec<&Value> = resolved["syscalls"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|rule| &rule["names"][0])
            .collect();
        assert_eq!(names, ["a", "e"]);
        assert_eq!(resolved["syscalls"][0].get("args"), None);
    }
}
