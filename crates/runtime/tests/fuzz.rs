//! Fuzz targets: from `config.json` to a plan, ids, and sysctls. See docs/CONTRIBUTING.md.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test fails by panicking and says what it did"
)]

#[path = "../../../xtask/fuzz/driver.rs"]
mod driver;
mod targets;

use crabcan_runtime::spec::Spec;

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

#[test]
fn config() {
    let rootless = Spec::rootless_example(&targets::host(false));
    let corpus = [FULL, Spec::example().as_bytes(), rootless.as_bytes()].map(<[u8]>::to_vec);
    let corpus: Vec<&[u8]> = corpus.iter().map(Vec::as_slice).collect();
    driver::fuzz("config", &corpus, &WORDS, targets::config);
}

#[test]
fn id() {
    let corpus: [&[u8]; 3] = [b"pod.1_A+b-c", b"..", b"a/b"];
    driver::fuzz("id", &corpus, &["..", "/", "\0", "\n", "."], targets::id);
}

#[test]
fn sysctl() {
    let corpus: [&[u8]; 4] = [
        b"net.ipv4.ip_forward",
        b"net/ipv4/conf/eth0.1/forwarding",
        b"kernel.shm_rmid_forced",
        b"fs.mqueue.msg_max",
    ];
    let words = [
        "..",
        "/",
        ".",
        "net",
        "kernel",
        "core_pattern",
        "\0",
        "\n",
        "+",
        "=",
        "*",
    ];
    driver::fuzz("sysctl", &corpus, &words, targets::sysctl);
}
