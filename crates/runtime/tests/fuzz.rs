//! A fuzz target: from `config.json` to a plan. See docs/CONTRIBUTING.md.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test fails by panicking and says what it did"
)]

#[path = "../../../xtask/fuzz/driver.rs"]
mod driver;

use crabcan_caps::{Capability, CapabilitySet};
use crabcan_runtime::spec::Spec;
use crabcan_runtime::{Host, Plan};

const FULL: &[u8] = include_bytes!("../src/spec/json/full.json");
const WORDS: [&str; 30] = [
    "\"linux\":",
    "\"namespaces\":",
    "\"type\":",
    "\"path\":",
    "\"user\"",
    "\"pid\"",
    "\"time\"",
    "\"mounts\":",
    "\"options\":",
    "\"rbind\"",
    "\"rslave\"",
    "\"remount\"",
    "\"tmpfs\"",
    "\"cgroup\"",
    "\"sysctl\":",
    "\"net.ipv4.x\":",
    "\"resources\":",
    "\"limit\":",
    "null",
    "-1",
    "18446744073709551615",
    "4294967295",
    "1e400",
    "\"\\u0000\"",
    "\"..\"",
    "{",
    "}",
    "[",
    "]",
    ",",
];

fn host(privileged: bool) -> Host {
    Host {
        uid: 1000,
        gid: 1000,
        privileged,
        capabilities: match privileged {
            true => CapabilitySet::of(Capability::ALL),
            false => CapabilitySet::EMPTY,
        },
        setgroups: true,
        cgroup_trees: vec!["cpu,cpuacct".into(), "name=systemd".into(), String::new()],
        release: "6.1".into(),
    }
}

fn hash(text: &str) -> u64 {
    let of = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    text.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, of)
}

/// Any document is a plan whose steps can all be read, or an error that names a property. The same
/// document is always the same.
#[test]
fn config() {
    let rootless = Spec::rootless_example(&host(false));
    let corpus = [FULL, Spec::example().as_bytes(), rootless.as_bytes()].map(<[u8]>::to_vec);
    let corpus: Vec<&[u8]> = corpus.iter().map(Vec::as_slice).collect();
    driver::fuzz("config", &corpus, &WORDS, |bytes| {
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
    });
}

/// The name in an error, without the indices in it.
fn property(error: &str) -> String {
    let name = error.split(": ").next().unwrap_or_default();
    assert!(!name.is_empty(), "{error}");
    name.chars().filter(|c| !c.is_ascii_digit()).collect()
}
