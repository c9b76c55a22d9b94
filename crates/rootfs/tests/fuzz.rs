//! A fuzz target: mount options in words. See docs/CONTRIBUTING.md.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test fails by panicking and says what it did"
)]

#[path = "../../../xtask/fuzz/driver.rs"]
mod driver;

use crabcan_init::PlanWriter;
use crabcan_init::format::FlatPlan;
use crabcan_rootfs::{MountOptions, NewMount};

/// Words with commas between them: what they come to contradicts itself in nothing, and becomes a
/// step that can be read, or an error.
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
    driver::fuzz("options", &corpus, &words, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let options = MountOptions::parse(text.split(','));
        assert_eq!(options, MountOptions::parse(text.split(',')));
        let mut plan = PlanWriter::new();
        let mount = NewMount::new("tmpfs", "/mnt").parsed(&options);
        let pushed = mount.push(&mut plan);
        let flat = plan.finish(None);
        let steps = FlatPlan::parse(&flat).unwrap().steps().count();
        assert_eq!(steps > 0, pushed.is_ok());
        // Every combination of what words set is a behaviour of its own.
        let shown = format!("{options:?}");
        let data = shown.find("data").unwrap_or(shown.len());
        let of = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        shown.as_bytes()[..data]
            .iter()
            .fold(u64::from(pushed.is_ok()), of)
            % 1024
    });
}
