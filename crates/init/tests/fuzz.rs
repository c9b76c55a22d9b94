//! A fuzz target: the flat form of plans. See docs/CONTRIBUTING.md.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test fails by panicking and says what it did"
)]

#[path = "../../../xtask/fuzz/driver.rs"]
mod driver;

use crabcan_init::format::{FlatPlan, Groups, HEADER, Instructions, MAGIC, Strings, VERSION};
use crabcan_init::{PlanWriter, Step};

/// The steps' bytes below a header that fits them: what is read can be written again and is the
/// same, and has words.
#[test]
fn plan() {
    let bodies: Vec<Vec<u8>> = seeds().iter().map(|plan| plan[HEADER..].to_vec()).collect();
    let corpus: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
    driver::fuzz("plan", &corpus, &[], |body| {
        // The first word says how many steps there are: mutations move it along.
        for steps in 0..6 {
            let bytes = with_header(steps, body);
            let Ok(plan) = FlatPlan::parse(&bytes) else {
                continue;
            };
            let mut again = PlanWriter::new();
            let mut words = 0;
            for step in plan.steps() {
                again.push(&step).unwrap();
                words += step.to_string().len();
            }
            assert_eq!(again.finish(None), bytes);
            return 1 + u64::from(steps) * 1000 + words as u64 % 1000;
        }
        0
    });
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

/// A header as the format's page draws it.
fn with_header(steps: u32, body: &[u8]) -> Vec<u8> {
    const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |sum: u64, value: u64| (sum ^ value).wrapping_mul(PRIME).rotate_left(29);
    let sum = mix(mix(PRIME, u64::from(steps)), u64::from(u32::MAX));
    let sum = body.chunks(8).fold(sum, |sum, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        mix(sum, u64::from_le_bytes(word))
    });
    let length = (HEADER + body.len()) as u32;
    let (low, high) = (sum as u32, (sum >> 32) as u32);
    let header = [MAGIC, VERSION, length, steps, low, high, u32::MAX, 0];
    let mut bytes = header.map(u32::to_ne_bytes).concat();
    bytes.extend_from_slice(body);
    bytes
}
