//! The logs of the daemons themselves, where systemd is the first process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::bundle::Bundle;
use support::{Leaks, run};

/// What the journal has with this field, one entry a line.
fn journal(field: &str) -> Vec<Value> {
    let mut command = Command::new("journalctl");
    command.args(["--output", "json", "--all", "--quiet", field]);
    let text = run(&mut command).success();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// As [`journal`], once there is something: an entry is written when its sender may have gone.
fn entry(field: &str) -> Value {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        match &journal(field)[..] {
            [] => assert!(Instant::now() < until, "nothing with {field}"),
            [one] => return one.clone(),
            more => panic!("{more:?}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
#[ignore = "needs systemd: cargo xtask test-vm"]
fn both_logs_are_in_the_journal() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("journal", "true");
    let own = std::process::id();
    let before = bundle.before.clone();
    let long = "L".repeat(1 << 20);
    for (daemon, kind) in [("journald", ""), ("syslog", ""), ("journald", "long-")] {
        let name = format!("crabcan-{kind}{daemon}-{own}");
        bundle.before.clone_from(&before);
        bundle.before.push(format!("--log={daemon}:{name}"));
        let outcome = match kind {
            "" => bundle.run("state nobody"),
            _ => {
                // More than a packet can hold.
                let limit = json!([{"type": long, "soft": 1, "hard": 1}]);
                bundle.config["process"]["rlimits"] = limit;
                bundle.run("run one")
            }
        };
        let told = outcome.failure(1);
        let entry = entry(&format!("SYSLOG_IDENTIFIER={name}"));
        assert_eq!(entry["MESSAGE"], told);
        assert_eq!(entry["PRIORITY"], "3");
        let (transport, field) = match daemon {
            "journald" => ("journal", entry["ID"].clone()),
            _ => ("syslog", json!(name)),
        };
        assert_eq!(
            (&entry["_TRANSPORT"], &field),
            (&json!(transport), &json!(name))
        );
    }
    bundle.before = before;
}
