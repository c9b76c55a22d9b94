//! `events`: what the kernel counts of a container.

use std::io::{Write, stdout};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use crabcan_runtime::{Statistics, Status};
use serde_json::{Value, json};

use super::container::load;
use crate::global::Global;

/// Print statistics of a container as JSON, again and again
#[derive(Parser)]
pub(super) struct Events {
    /// The time between two of them, such as 5s or 500ms
    #[arg(long, value_name = "TIME", default_value = "5s")]
    interval: String,
    /// Print them once
    #[arg(long)]
    stats: bool,
    /// The name of the container
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) fn events(global: &Global, args: &Events) -> anyhow::Result<u8> {
    let interval = interval(&args.interval)?;
    let container = load(global, &args.id)?;
    if container.status()? == Status::Stopped {
        bail!("container not running: {} is stopped", args.id);
    }
    print("stats", &args.id, Some(data(&container.statistics()?)))?;
    if args.stats {
        return Ok(0);
    }
    let mut killed = container.events()?.oom_kill;
    loop {
        std::thread::sleep(interval);
        let events = container.events();
        let counted = events.and_then(|events| Ok((events, container.statistics()?)));
        // Looked at last: who ends meanwhile takes the cgroup along, and what was read of it failed.
        if container.status()? == Status::Stopped {
            return Ok(0);
        }
        let (events, statistics) = counted?;
        if events.oom_kill > killed {
            killed = events.oom_kill;
            print("oom", &args.id, None)?;
        }
        print("stats", &args.id, Some(data(&statistics)))?;
    }
}

fn print(kind: &str, id: &str, data: Option<Value>) -> anyhow::Result<()> {
    writeln!(stdout(), "{}", event(kind, id, data))?;
    Ok(())
}

/// One line, with its type and whose it is first: some look for no more than the line's beginning.
fn event(kind: &str, id: &str, data: Option<Value>) -> String {
    let data = data.map_or_else(String::new, |data| format!(",\"data\":{data}"));
    format!("{{\"type\":{},\"id\":{}{data}}}", json!(kind), json!(id))
}

/// The numbers under the names that runc gives them; times in nanoseconds.
fn data(statistics: &Statistics) -> Value {
    let nanoseconds = |time: Option<u64>| time.unwrap_or(0).saturating_mul(1000);
    let io = |kind: fn(&crabcan_runtime::IoStatistics) -> [(&'static str, u64); 2]| -> Vec<Value> {
        let entries = statistics.io.iter().flat_map(|device| {
            kind(device).map(|(op, value)| {
                json!({"major": device.major, "minor": device.minor, "op": op, "value": value})
            })
        });
        entries.collect()
    };
    json!({
        "cpu": {
            "usage": {
                "total": nanoseconds(statistics.cpu_usage_us),
                "kernel": nanoseconds(statistics.cpu_system_us),
                "user": nanoseconds(statistics.cpu_user_us),
            },
            "throttling": {
                "periods": statistics.cpu_periods.unwrap_or(0),
                "throttledPeriods": statistics.cpu_throttled_periods.unwrap_or(0),
                "throttledTime": nanoseconds(statistics.cpu_throttled_us),
            },
        },
        "memory": {
            "usage": {
                "limit": statistics.memory_max_bytes.unwrap_or(u64::MAX),
                "usage": statistics.memory_current_bytes.unwrap_or(0),
                "max": statistics.memory_peak_bytes.unwrap_or(0),
            },
            "swap": {"usage": statistics.swap_current_bytes.unwrap_or(0)},
            "raw": statistics.memory,
        },
        "pids": {
            "current": statistics.pids_current.unwrap_or(0),
            "limit": statistics.pids_max.unwrap_or(0),
        },
        "blkio": {
            "ioServiceBytesRecursive":
                io(|device| [("Read", device.read_bytes), ("Write", device.written_bytes)]),
            "ioServicedRecursive": io(|device| [("Read", device.reads), ("Write", device.writes)]),
        },
        "hugetlb": statistics
            .hugepages
            .iter()
            .map(|(size, usage)| (size.clone(), json!({"usage": usage})))
            .collect::<serde_json::Map<_, _>>(),
    })
}

/// A number with a unit; without one, seconds.
fn interval(text: &str) -> anyhow::Result<Duration> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: Option<u64> = number.parse().ok();
    let interval = match (number, unit) {
        (Some(number), "ms") => Some(Duration::from_millis(number)),
        (Some(number), "s" | "") => Some(Duration::from_secs(number)),
        (Some(number), "m") => Some(Duration::from_secs(number.saturating_mul(60))),
        _ => None,
    };
    interval
        .filter(|interval| !interval.is_zero())
        .with_context(|| format!("--interval {}: must be like 5s", text.escape_debug()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn an_event_begins_with_its_type_and_the_id() {
        let stats = event("stats", "a\"b", Some(json!({"a": 1})));
        assert_eq!(stats, r#"{"type":"stats","id":"a\"b","data":{"a":1}}"#);
        assert_eq!(event("oom", "one", None), r#"{"type":"oom","id":"one"}"#);
    }

    #[test]
    fn an_interval_has_a_unit_and_is_not_zero() {
        assert_eq!(interval("5s").unwrap(), Duration::from_secs(5));
        assert_eq!(interval("100ms").unwrap(), Duration::from_millis(100));
        assert_eq!(interval("2m").unwrap(), Duration::from_secs(120));
        for wrong in ["", "0s", "s", "-1s", "1h2", "5x"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }
}
