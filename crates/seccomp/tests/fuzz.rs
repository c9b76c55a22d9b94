//! Fuzz targets: a profile in JSON, compiled, and run by the interpreter. See docs/CONTRIBUTING.md.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test fails by panicking and says what it did"
)]

#[path = "../../../xtask/fuzz/driver.rs"]
mod driver;
mod fuzzing;
mod interpreter;
mod plain;
mod targets;

use plain::Random;

const CORPUS: [&[u8]; 4] = [
    include_bytes!("corpus/allow.json"),
    include_bytes!("corpus/engine.json"),
    include_bytes!("corpus/notify.json"),
    include_bytes!("corpus/masks.json"),
];
const WORDS: [&str; 29] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_AARCH64",
    "clone",
    "socket",
    "read",
    "ioctl",
    "\"index\":",
    "\"value\":",
    "\"valueTwo\":",
    "\"errnoRet\":",
    "{",
    "}",
    "[",
    "]",
    ",",
];

#[test]
fn profile() {
    driver::fuzz("profile", &CORPUS, &WORDS, targets::profile);
}

#[test]
fn document() {
    driver::fuzz("document", &[b"a number"], &[], targets::document);
}

#[test]
fn documents_of_the_formats_words_get_far() {
    let mut random = Random(0xf022);
    let compiled = (0..100)
        .filter(|_| fuzzing::examine(&fuzzing::input(&mut random)) > 0)
        .count();
    assert!(compiled > 35, "only {compiled} got far");
}
