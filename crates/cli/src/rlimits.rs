//! Limits that need no cgroup: of each process by setrlimit(2), and of time.

use std::time::Duration;

use anyhow::{Context, bail};
use crabcan_runtime::spec::ResourceLimit;

use crate::limits::bytes;

/// Processor time in seconds.
pub(crate) const RLIMIT_CPU: u32 = 0;
/// The number of open files.
pub(crate) const RLIMIT_NOFILE: u32 = 7;

/// `NAME=SOFT[:HARD]`: the resource, its soft and its hard limit. One number is both.
pub(crate) fn read(text: &str) -> anyhow::Result<(u32, u64, u64)> {
    let (name, limits) = text
        .split_once('=')
        .context("must be NAME=SOFT or NAME=SOFT:HARD")?;
    let named = ResourceLimit {
        kind: format!("RLIMIT_{}", name.to_ascii_uppercase()),
        soft: 0,
        hard: 0,
    };
    let resource = named
        .resource()
        .with_context(|| format!("{name} is no resource"))?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let (soft, hard) = (number(soft)?, number(hard)?);
    if soft > hard {
        bail!("the soft limit is above the hard one");
    }
    Ok((resource, soft, hard))
}

/// A limit; the kernel's word for none is the largest number.
fn number(text: &str) -> anyhow::Result<u64> {
    match text {
        "unlimited" => Ok(u64::MAX),
        _ => bytes(text).context("or \"unlimited\""),
    }
}

/// `1.5`, `90s`, `500ms`, `10m`, `2h`.
pub(crate) fn duration(text: &str) -> anyhow::Result<Duration> {
    const UNITS: [(&str, f64); 4] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let unit = UNITS
        .iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, *seconds)));
    let (digits, unit) = unit.unwrap_or((text, 1.0));
    // A float's own grammar knows signs, exponents and names.
    let plain = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    let number = digits.parse::<f64>().ok();
    let number = number.filter(|_| digits.bytes().all(plain));
    let number = number.context("must be a time such as 90, 1.5s, 500ms, 10m or 2h")?;
    let time = Duration::try_from_secs_f64(number * unit).context("is too long")?;
    if time.is_zero() {
        bail!("must be more than nothing");
    }
    Ok(time)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn limits_of_a_process_are_read() {
        assert_eq!(read("nofile=64").unwrap(), (7, 64, 64));
        assert_eq!(read("AS=1G:2G").unwrap(), (9, 1 << 30, 2 << 30));
        assert_eq!(read("core=0:unlimited").unwrap(), (4, 0, u64::MAX));
        for wrong in [
            "nofile",
            "nofile=",
            "files=1",
            "cpu=2:1",
            "cpu=-1",
            "cpu=1:2:3",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_read() {
        for (text, milliseconds) in [
            ("2", 2000),
            ("1.5s", 1500),
            ("250ms", 250),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            let expected = Duration::from_millis(milliseconds);
            assert_eq!(duration(text).unwrap(), expected, "{text}");
        }
        for wrong in ["", "s", "-1", "0", "1e3", "inf", "1d", "1.2.3", "+1"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
