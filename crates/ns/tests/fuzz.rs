//! Fuzz targets: id maps and the files of subordinate ids. See docs/CONTRIBUTING.md.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test fails by panicking and says what it did"
)]

#[path = "../../../xtask/fuzz/driver.rs"]
mod driver;
mod targets;

#[test]
fn idmap() {
    let one = [0u32, 100_000, 65_536].map(u32::to_ne_bytes).concat();
    let two = [0u32, 1000, 1, 1, 100_000, 65_535]
        .map(u32::to_ne_bytes)
        .concat();
    driver::fuzz("idmap", &[&one, &two], &[], targets::idmap);
}

#[test]
fn subordinate() {
    let corpus: [&[u8]; 3] = [
        b"root:100000:65536\n1000:165536:65536\n",
        b"# comment\n\nalice:1:1\nalice:4294967294:1\n",
        b"\xff\xfe:x:y\n alice:7:0 \n",
    ];
    let words = ["alice", "1000", ":", "\n", "-1", "+5", "4294967295"];
    driver::fuzz("subordinate", &corpus, &words, targets::subordinate);
}
