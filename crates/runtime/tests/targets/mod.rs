//! What the fuzz targets do with bytes: run by `../fuzz.rs`, and under cargo-fuzz by `../../fuzz`.

use std::collections::BTreeSet;
use std::path::{Component, Path};
use std::sync::LazyLock;

use crabcan_caps::{Capability, CapabilitySet};
use crabcan_runtime::spec::Spec;
use crabcan_runtime::{Host, Id, Plan};

/// Any document is a plan whose steps can all be read, or an error that names a property. The same
/// document is always the same.
pub(crate) fn config(bytes: &[u8]) -> u64 {
    let mut spec = match Spec::from_json(bytes) {
        Ok(spec) => spec,
        Err(error) => return hash(&property(&error.to_string())),
    };
    assert_eq!(Spec::from_json(bytes).unwrap(), spec);
    spec.extension.bundle = Some("/bundle".into());
    [true, false].into_iter().fold(0, |sum, privileged| {
        let host = host(privileged);
        let behaviour = match Plan::new(&spec, &host) {
            Ok(plan) => {
                let steps = plan.steps();
                assert!(!steps.is_empty());
                assert_eq!(Plan::new(&spec, &host).unwrap().steps(), steps);
                // Which kinds of steps there are, not what they say.
                let words = steps
                    .iter()
                    .map(|step| step.split(' ').next().unwrap_or_default());
                hash(&words.collect::<String>())
            }
            Err(error) => hash(&property(&error.to_string())),
        };
        sum ^ behaviour.rotate_left(u32::from(privileged))
    })
}

/// An id is a name of a file and no path, or refused.
pub(crate) fn id(bytes: &[u8]) -> u64 {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return 0;
    };
    let Ok(id) = Id::new(text) else {
        return 1;
    };
    assert_eq!(id.as_str(), text);
    let mut parts = Path::new(text).components();
    assert!(
        matches!(parts.next(), Some(Component::Normal(_))),
        "{text:?}"
    );
    assert!(parts.next().is_none() && text.len() <= 1024, "{text:?}");
    2 + text.len() as u64 / 64
}

/// A sysctl is one file below `/proc/sys` of a namespace's own, or refused.
pub(crate) fn sysctl(bytes: &[u8]) -> u64 {
    static WITHOUT: LazyLock<BTreeSet<String>> =
        LazyLock::new(|| steps(&Spec::example()).unwrap().into_iter().collect());
    let Ok(key) = std::str::from_utf8(bytes) else {
        return 0;
    };
    let document = serde_json::json!({ key: "1" });
    let mut text: serde_json::Value = serde_json::from_str(&Spec::example()).unwrap();
    text["linux"]["sysctl"] = document;
    match steps(&text.to_string()) {
        Err(error) => hash(&property(&error.to_string())) % 64,
        Ok(steps) => {
            let new = |step: &&String| !WITHOUT.contains(*step) && step.starts_with("set /proc");
            let [step] = steps.iter().filter(new).collect::<Vec<_>>()[..] else {
                panic!("{key:?} is one step: {steps:?}");
            };
            let path = step.split(' ').nth(1).unwrap_or_default();
            let namespaced = ["net/", "kernel/", "fs/mqueue/", "user/"];
            let is_its = |start: &str| path.starts_with(&format!("/proc/sys/{start}"));
            assert!(
                namespaced.iter().any(|start| is_its(start)),
                "{key:?}: {step}"
            );
            assert!(
                !path.contains("/../") && !path.ends_with("/.."),
                "{key:?}: {step}"
            );
            assert!(
                !path.ends_with("/core_pattern") || path.contains("/net/"),
                "{step}"
            );
            1000 + path.matches('/').count() as u64
        }
    }
}

fn steps(text: &str) -> Result<Vec<String>, crabcan_runtime::Error> {
    let mut spec = Spec::from_json(text.as_bytes()).unwrap();
    spec.extension.bundle = Some("/bundle".into());
    Plan::new(&spec, &host(true)).map(|plan| plan.steps())
}

pub(crate) fn host(privileged: bool) -> Host {
    Host {
        uid: 1000,
        gid: 1000,
        privileged,
        capabilities: match privileged {
            true => CapabilitySet::of(Capability::ALL),
            false => CapabilitySet::EMPTY,
        },
        setgroups: true.into(),
        cgroup_trees: vec!["cpu,cpuacct".into(), "name=systemd".into(), String::new()].into(),
        release: "6.1".into(),
    }
}

fn hash(text: &str) -> u64 {
    let of = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    text.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, of)
}

/// The name in an error, without the indices in it.
fn property(error: &str) -> String {
    let name = error.split(": ").next().unwrap_or_default();
    assert!(!name.is_empty(), "{error}");
    name.chars().filter(|c| !c.is_ascii_digit()).collect()
}
