//! `features` and `spec` say what is true: what is listed is honoured, what is not is refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;

use serde_json::{Value, json};
use support::bundle::Bundle;
use support::{Leaks, Outcome, crabcan, is_root, run};

fn features() -> Value {
    let text = run(&mut crabcan(["features"])).success();
    serde_json::from_str(&text).unwrap()
}

fn words(features: &Value, pointer: &str) -> Vec<String> {
    let list = features.pointer(pointer).unwrap().as_array().unwrap();
    list.iter()
        .map(|word| word.as_str().unwrap().to_owned())
        .collect()
}

/// A container that ends at once, as an ordinary user's or as root's.
fn bundle(name: &str) -> Bundle {
    let plain = Bundle::new(name, "exit 0");
    match is_root() {
        true => plain,
        false => plain.rootless(),
    }
}

/// What comes of a changed configuration.
fn with(name: &str, change: impl FnOnce(&mut Bundle)) -> Outcome {
    let mut bundle = bundle(name);
    change(&mut bundle);
    bundle.run("run --no-new-keyring one")
}

#[track_caller]
fn is_honoured(outcome: &Outcome, what: &str) {
    assert_eq!(
        (outcome.code(), outcome.stderr.as_str()),
        (0, ""),
        "{what}: {outcome:?}"
    );
}

#[track_caller]
fn is_refused(outcome: &Outcome, property: &str, word: &str) {
    assert_eq!(outcome.code(), 1, "{word}: {outcome:?}");
    let named = outcome.stderr.contains(property) && outcome.stderr.contains(word);
    assert!(named, "{word}: {outcome:?}");
}

#[test]
fn every_version_between_the_two_is_accepted() {
    let _leaks = Leaks::watch();
    let features = features();
    let ends = ["ociVersionMin", "ociVersionMax"].map(|name| features[name].as_str().unwrap());
    for version in [ends[0], "1.0.2-dev", "1.1.0", "1.2.1", ends[1]] {
        let outcome = with("version", |it| it.config["ociVersion"] = json!(version));
        is_honoured(&outcome, version);
    }
    for version in ["0.9.0", "1.4.0", "2.0.0", "1", "x"] {
        let outcome = with("version", |it| it.config["ociVersion"] = json!(version));
        is_refused(&outcome, "ociVersion", version);
    }
}

/// What a mount with this option is, where it makes sense.
fn mount_with(word: &str) -> Value {
    let (fstype, options) = match word {
        "bind" | "rbind" => ("none", vec![word]),
        "idmap" | "ridmap" => ("none", vec!["rbind", word]),
        "remount" => ("tmpfs", vec![word]),
        "copy-symlink" | "src-nofollow" => ("none", vec!["bind", word]),
        _ => ("tmpfs", vec![word]),
    };
    let source = match fstype {
        "none" => "data",
        _ => "tmpfs",
    };
    json!({"destination": "/data", "type": fstype, "source": source, "options": options})
}

#[test]
fn the_mount_options_that_are_listed_are_known() {
    let _leaks = Leaks::watch();
    let listed = words(&features(), "/mountOptions");
    let mut sorted = listed.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(listed, sorted);
    for word in &listed {
        let outcome = with("option", |bundle| {
            bundle.directory.directory("data");
            bundle.directory.directory("rootfs/data");
            let mut mount = mount_with(word);
            if word.ends_with("idmap") && is_root() {
                let map = json!([{"containerID": 0, "hostID": 1, "size": 1}]);
                mount["uidMappings"] = map.clone();
                mount["gidMappings"] = map;
            }
            if word == "remount" {
                bundle.mount(mount_with("nosuid"));
            }
            bundle.mount(mount);
        });
        if word.ends_with("idmap") && !is_root() {
            is_refused(&outcome, "mounts[", "ordinary user");
        } else {
            is_honoured(&outcome, word);
        }
    }
    // A word of another kind is the file system's, and of a bind mount nobody's.
    for word in ["moon", "rmoon", "nobind", "rsync", "Ro", "acl"] {
        assert!(!listed.iter().any(|known| known == word));
        let outcome = with("option", |bundle| {
            bundle.directory.directory("data");
            let mut mount = mount_with("bind");
            mount["options"] = json!(["bind", word]);
            bundle.mount(mount);
        });
        is_refused(&outcome, "].options", word);
    }
}

/// Every attribute that there is, alone and of a whole tree, is listed.
#[test]
fn no_mount_option_is_left_out() {
    let _leaks = Leaks::watch();
    let listed = words(&features(), "/mountOptions");
    let attributes = [
        "ro",
        "suid",
        "dev",
        "exec",
        "atime",
        "diratime",
        "relatime",
        "strictatime",
        "symfollow",
    ];
    for word in attributes {
        let opposite = match word {
            "ro" => "rw".to_owned(),
            word => format!("no{word}"),
        };
        for word in [word, &*opposite] {
            for word in [word.to_owned(), format!("r{word}")] {
                assert!(listed.contains(&word), "{word}");
            }
        }
    }
    for word in ["private", "slave", "shared", "unbindable", "bind", "idmap"] {
        for word in [word.to_owned(), format!("r{word}")] {
            assert!(listed.contains(&word), "{word}");
        }
    }
    for word in [
        "async",
        "copy-symlink",
        "defaults",
        "dest-nofollow",
        "dirsync",
        "iversion",
        "lazytime",
        "loud",
        "mand",
        "noiversion",
        "nolazytime",
        "nomand",
        "remount",
        "silent",
        "src-nofollow",
        "sync",
        "tmpcopyup",
    ] {
        assert!(listed.iter().any(|known| known == word), "{word}");
    }
    assert_eq!(listed.len(), 2 * 2 * attributes.len() + 2 * 6 + 17);
}

#[test]
fn the_hooks_that_are_listed_are_run() {
    let _leaks = Leaks::watch();
    let listed = words(&features(), "/hooks");
    let mut bundle = bundle("hook");
    let directory = bundle.directory.path().to_owned();
    let hook = |kind: &str, place: &str| {
        let script = format!("echo {kind} >> {place}/log");
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}])
    };
    bundle.directory.file("rootfs/log", b"", 0o666);
    let outside = directory.join("rootfs");
    let mut hooks: serde_json::Map<String, Value> = listed
        .iter()
        .map(|kind| {
            let place = match kind.as_str() {
                "startContainer" => "",
                _ => outside.to_str().unwrap(),
            };
            (kind.clone(), hook(kind, place))
        })
        .collect();
    // What the specification does not know is ignored as any property is.
    hooks.insert(
        "prepareMoon".into(),
        hook("prepareMoon", outside.to_str().unwrap()),
    );
    bundle.config["hooks"] = Value::Object(hooks);
    is_honoured(&bundle.run("run --no-new-keyring one"), "hooks");
    let log = fs::read_to_string(outside.join("log")).unwrap();
    let run: Vec<&str> = log.lines().collect();
    assert_eq!(run, listed);
    assert_eq!(run.len(), 6);
}

#[test]
fn the_namespaces_that_are_listed_are_made() {
    let _leaks = Leaks::watch();
    let listed = words(&features(), "/linux/namespaces");
    assert_eq!(listed.len(), 8);
    let script =
        "for i in pid net mnt ipc uts user cgroup time; do readlink /proc/self/ns/$i; done";
    let mut bundle = Bundle::new("kinds", script).rootless();
    bundle.config["linux"]["namespaces"] =
        listed.iter().map(|kind| json!({"type": kind})).collect();
    let made = bundle.lines();
    let own = run(std::process::Command::new("/bin/sh").args(["-c", script])).success();
    for (made, own) in made.iter().zip(own.lines()) {
        assert_ne!(made, own);
    }
    let kinds = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    kinds.push(json!({"type": "moon"}));
    let outcome = bundle.run("run one");
    is_refused(&outcome, "linux.namespaces[8].type", "moon");
}

#[test]
fn the_capabilities_that_are_listed_are_known() {
    let _leaks = Leaks::watch();
    let listed = words(&features(), "/linux/capabilities");
    // All that this kernel has, and in its order.
    let last = fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap();
    assert!(listed.len() > last.trim().parse().unwrap());
    let script = "grep CapBnd /proc/self/status | cut -f2";
    let mut bundle = Bundle::new("capabilities", script).rootless();
    bundle.before.insert(0, "--debug".into());
    for (index, name) in listed.iter().enumerate() {
        bundle.config["process"]["capabilities"] = json!({"bounding": [name]});
        let outcome = bundle.run("run --no-new-keyring one");
        let set = u64::from_str_radix(outcome.stdout.trim(), 16).unwrap();
        assert_eq!(set, 1 << index, "{name}: {outcome:?}");
        assert!(!outcome.stderr.contains("is no capability"), "{outcome:?}");
    }
    bundle.config["process"]["capabilities"] = json!({"bounding": ["CAP_MOON", "chown"]});
    let outcome = bundle.run("run --no-new-keyring one");
    assert_eq!(outcome.stdout.trim(), "0000000000000000");
    assert_eq!(
        outcome.stderr.matches("is no capability").count(),
        2,
        "{outcome:?}"
    );
}

/// What becomes of a filter with one rule.
fn filtered(change: impl FnOnce(&mut Value)) -> Outcome {
    with("filter", |bundle| {
        let mut filter = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO",
                "args": [{"index": 0, "value": 1, "valueTwo": 1, "op": "SCMP_CMP_EQ"}]}],
        });
        change(&mut filter);
        bundle.config["linux"]["seccomp"] = filter;
    })
}

#[test]
fn the_words_of_filters_that_are_listed_are_known() {
    let _leaks = Leaks::watch();
    let features = features();
    let listed = |list: &str| words(&features, &format!("/linux/seccomp/{list}"));
    for action in listed("actions") {
        let outcome = filtered(|filter| filter["syscalls"][0]["action"] = json!(action));
        match action.as_str() {
            // Somebody must be there to be asked.
            "SCMP_ACT_NOTIFY" => is_refused(&outcome, "linux.seccomp", "listenerPath"),
            _ => is_honoured(&outcome, &action),
        }
    }
    for operator in listed("operators") {
        let outcome = filtered(|filter| filter["syscalls"][0]["args"][0]["op"] = json!(operator));
        is_honoured(&outcome, &operator);
    }
    for architecture in listed("archs") {
        let native = match cfg!(target_arch = "x86_64") {
            true => "SCMP_ARCH_X86_64",
            false => "SCMP_ARCH_AARCH64",
        };
        let outcome = filtered(|filter| filter["architectures"] = json!([native, architecture]));
        is_honoured(&outcome, &architecture);
    }
    let supported = listed("supportedFlags");
    for flag in listed("knownFlags") {
        let outcome = filtered(|filter| filter["flags"] = json!([flag]));
        // One is for filters that ask alone.
        let is_for_listeners = flag == "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV";
        if supported.contains(&flag) && !is_for_listeners {
            is_honoured(&outcome, &flag);
        }
    }
    for (what, outcome) in [
        (
            "SCMP_ACT_MOON",
            filtered(|it| it["defaultAction"] = json!("SCMP_ACT_MOON")),
        ),
        (
            "SCMP_CMP_MOON",
            filtered(|it| it["syscalls"][0]["args"][0]["op"] = json!("SCMP_CMP_MOON")),
        ),
        (
            "SECCOMP_FILTER_FLAG_MOON",
            filtered(|it| it["flags"] = json!(["SECCOMP_FILTER_FLAG_MOON"])),
        ),
    ] {
        is_refused(&outcome, "linux.seccomp", what);
    }
    // What may just be newer than this runtime is told, and no failure (ADR 7).
    let outcome = with("filter", |bundle| {
        bundle.before.insert(0, "--debug".into());
        bundle.config["linux"]["seccomp"] =
            json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_MOON"]});
    });
    assert_eq!(outcome.code(), 0, "{outcome:?}");
    let told = "linux.seccomp.architectures[0]";
    assert!(outcome.stderr.contains(told), "{outcome:?}");
}

#[test]
fn the_policies_of_memory_that_are_listed_are_known() {
    let _leaks = Leaks::watch();
    let features = features();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let kernel = (numbers.next().unwrap(), numbers.next().unwrap());
    let modes = words(&features, "/linux/memoryPolicy/modes");
    assert_eq!(modes.len(), 7);
    let policy = |mode: &str, flags: Value| {
        let nodes = match mode {
            "MPOL_DEFAULT" | "MPOL_LOCAL" => "",
            _ => "0",
        };
        with("memory", |bundle| {
            bundle.config["linux"]["memoryPolicy"] =
                json!({"mode": mode, "nodes": nodes, "flags": flags});
        })
    };
    for mode in modes {
        let since = match mode.as_str() {
            "MPOL_WEIGHTED_INTERLEAVE" => (6, 9),
            "MPOL_PREFERRED_MANY" => (5, 15),
            _ => (0, 0),
        };
        if kernel >= since {
            is_honoured(&policy(&mode, json!([])), &mode);
        }
    }
    for flag in words(&features, "/linux/memoryPolicy/flags") {
        is_honoured(&policy("MPOL_BIND", json!([flag])), &flag);
    }
    is_refused(
        &policy("MPOL_MOON", json!([])),
        "linux.memoryPolicy.mode",
        "MPOL_MOON",
    );
    let outcome = policy("MPOL_BIND", json!(["MPOL_F_MOON"]));
    is_refused(&outcome, "linux.memoryPolicy.flags[0]", "MPOL_F_MOON");
}

/// Nothing that an image could bring along as an annotation changes what the runtime does, but
/// for what is listed.
#[test]
fn annotations_that_may_be_unsafe_are_listed() {
    let _leaks = Leaks::watch();
    let features = features();
    let listed = words(&features, "/potentiallyUnsafeConfigAnnotations");
    let expected = [
        "org.criu.config",
        "org.systemd.property.",
        "run.oci.hooks.stderr",
        "run.oci.hooks.stdout",
        "run.oci.keep_original_groups",
        "run.oci.mount_context_type",
        "run.oci.seccomp.receiver",
    ];
    assert_eq!(listed, expected);
    assert_eq!(
        features["annotations"]["org.crabcan.version"],
        env!("CARGO_PKG_VERSION")
    );
}

/// What the specification knows of the document, and no more.
#[test]
fn the_document_has_the_specifications_properties() {
    let _leaks = Leaks::watch();
    let features = features();
    let keys = |pointer: &str| {
        let object = features.pointer(pointer).unwrap().as_object().unwrap();
        let mut keys: Vec<&str> = object.keys().map(String::as_str).collect();
        keys.sort_unstable();
        keys.join(" ")
    };
    assert_eq!(
        keys(""),
        "annotations hooks linux mountOptions ociVersionMax ociVersionMin \
         potentiallyUnsafeConfigAnnotations"
    );
    assert_eq!(
        keys("/linux"),
        "apparmor capabilities cgroup intelRdt memoryPolicy mountExtensions namespaces netDevices \
         seccomp selinux"
    );
    assert_eq!(keys("/linux/cgroup"), "rdma systemd systemdUser v1 v2");
    assert_eq!(
        keys("/linux/seccomp"),
        "actions archs enabled knownFlags operators supportedFlags"
    );
    assert_eq!(keys("/linux/intelRdt"), "enabled monitoring schemata");
}
