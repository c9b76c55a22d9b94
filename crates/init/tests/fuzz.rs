//! A fuzz target: the flat form of plans. See docs/CONTRIBUTING.md.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test fails by panicking and says what it did"
)]

#[path = "../../../xtask/fuzz/driver.rs"]
mod driver;
mod targets;

use crabcan_init::format::{Groups, HEADER, Instructions, Strings};
use crabcan_init::{PlanWriter, Step};

#[test]
fn plan() {
    let bodies: Vec<Vec<u8>> = seeds().iter().map(|plan| plan[HEADER..].to_vec()).collect();
    let corpus: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
    driver::fuzz("plan", &corpus, &[], targets::plan);
}

fn seeds() -> Vec<Vec<u8>> {
    let exec = Step::Exec {
        candidates: Strings::new(b"/bin/echo\0/usr/bin/echo\0").unwrap(),
        args: Strings::new(b"echo\0\0hello\0").unwrap(),
        env: Strings::new(b"").unwrap(),
    };
    let ids = Step::SetIds {
        uid: 0,
        gid: 7,
        set_groups: true,
        groups: Groups::new(&[1, 0, 0, 0, 2, 0, 0, 0]).unwrap(),
    };
    let mount = Step::Mount {
        fstype: c"tmpfs",
        source: c"tmpfs",
        options: Strings::new(b"mode=755\0").unwrap(),
        attributes: 6,
        propagation: 0,
        target: c"/dev",
        flags: 1,
    };
    let filter = Step::Seccomp {
        program: Instructions::new(&[6, 0, 0, 0, 0, 0, 0xff, 0x7f]).unwrap(),
        flags: 2,
        listener: false,
    };
    let plans: [&[Step<'_>]; 4] = [&[ids, mount], &[filter, exec], &[Step::Ready {}], &[mount]];
    plans
        .map(|steps| {
            let mut writer = PlanWriter::new();
            for step in steps {
                writer.push(step).unwrap();
            }
            writer.finish(None)
        })
        .into()
}
