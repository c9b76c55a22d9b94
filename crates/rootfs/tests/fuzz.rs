//! A fuzz target: mount options in words. See docs/CONTRIBUTING.md.
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
fn options() {
    let corpus: [&[u8]; 3] = [
        b"nosuid,noexec,nodev,ro,relatime",
        b"rbind,rro,rprivate,idmap,size=65536k,mode=755",
        b"remount,rw,rslave,norelatime,strictatime,sync,dirsync,lazytime,unbindable",
    ];
    let words = [
        "ro",
        "rw",
        "rro",
        "rrw",
        "bind",
        "rbind",
        "noatime",
        "nodiratime",
        "ridmap",
        "private",
        "rshared",
        "mand",
        "nosymfollow",
        "tmpcopyup",
        "=",
        ",",
        "silent",
        "defaults",
    ];
    driver::fuzz("options", &corpus, &words, targets::options);
}
