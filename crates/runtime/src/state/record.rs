//! What is written down about a container: `state.json` of its entry.
//!
//! Only what can't be asked of the kernel stands in it. Whether the container runs does not.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::Identity;
use crate::plan::LateSteps;

/// The version of the record that this crate writes, and the only one that it reads.
pub(crate) const VERSION: u32 = 1;

/// The record of one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) version: u32,
    pub(crate) id: String,
    /// `ociVersion` of the configuration.
    pub(crate) oci_version: String,
    /// The bundle's directory, absolute.
    pub(crate) bundle: PathBuf,
    /// The root's directory, absolute.
    pub(crate) rootfs: PathBuf,
    pub(crate) annotations: BTreeMap<String, String>,
    /// RFC 3339, in UTC.
    pub(crate) created: String,
    /// The uid of who made it.
    pub(crate) owner: u32,
    /// Whether `create` came to its end.
    pub(crate) complete: bool,
    /// Its first process, from directly after the clone on.
    pub(crate) init: Option<Identity>,
    /// Its cgroup in each tree, as `/proc/PID/cgroup` has it.
    pub(crate) cgroup: Option<String>,
    /// Whether that was made. Before, whatever is there may be somebody else's.
    pub(crate) cgroup_made: bool,
    /// The id of the program that decides about devices there, for newer containers to share. The
    /// kernel has given it to another one perhaps: it is compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) device_program: Option<u32>,
    /// The scope of systemd's that its cgroup is.
    pub(crate) scope: Option<ScopeRecord>,
    /// The groups of caches and memory bandwidth that were made for it, outermost first.
    pub(crate) resctrl: Vec<PathBuf>,
    /// Its root among the host's mounts, where it has no mount namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) root_mount: Option<RootMount>,
    /// The socket of the service manager that is to know when the program is ready.
    pub(crate) manager: Option<PathBuf>,
    /// Whether its processes get session keyrings of their own.
    pub(crate) new_keyring: bool,
    /// Whether the end of its first process is the end of all the others.
    pub(crate) own_pid_namespace: bool,
    /// Which hooks are still to come: without any, nobody has to read the configuration again.
    pub(crate) poststart_hooks: bool,
    pub(crate) poststop_hooks: bool,
    /// What init does after the word of `start`, for its errors.
    pub(crate) late: LateSteps,
}

/// A scope of systemd's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScopeRecord {
    /// As `slice:prefix:name`.
    pub(crate) path: String,
    /// Whether it is one of a user's manager.
    pub(crate) of_user: bool,
}

/// A mount of the host's that goes with the container: written down before it is attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RootMount {
    /// `/proc/sys/kernel/random/boot_id`: its other numbers mean nothing after a restart.
    pub(crate) boot: String,
    /// The inode of its mount namespace.
    pub(crate) namespace: u64,
    /// Its number in mountinfo.
    pub(crate) id: u64,
    /// The number that no other mount gets.
    pub(crate) unique: Option<u64>,
}

/// What a record of any version has.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// What a newer container wants to know of an older one.
#[derive(Deserialize)]
struct Sharing {
    device_program: Option<u32>,
}

/// The device program that a record names, if it is one and names one.
pub(super) fn device_program(bytes: &[u8]) -> Option<u32> {
    let sharing: Sharing = serde_json::from_slice(bytes).ok()?;
    sharing.device_program
}

/// Reads a record; what is wrong with it, in words.
pub(super) fn parse(bytes: &[u8]) -> Result<Record, String> {
    let versioned: Versioned = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if versioned.version != VERSION {
        return Err(format!(
            "version {} of the record, and this program knows {VERSION}",
            versioned.version
        ));
    }
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

/// A point in time as RFC 3339 has it, in UTC, to the nanosecond.
pub(crate) fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:09}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        since.subsec_nanos()
    )
}

/// The date that is so many days after 1970-01-01: counted in years that begin in March, so that a
/// leap day is the last day of one.
fn date(days: u64) -> (u64, u64, u64) {
    // From 0000-03-01.
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March have 31, 30, 31, 30, 31 days, and that again.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(any(test, fuzzing))]
#[cfg_attr(fuzzing, allow(dead_code, unused_imports, reason = "the target alone"))]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> String {
        timestamp(UNIX_EPOCH + Duration::new(seconds, 5))
    }

    /// Expected values from `date -u -d @N`.
    #[test]
    fn times_are_those_of_date() {
        assert_eq!(at(0), "1970-01-01T00:00:00.000000005Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59.000000005Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.000000005Z");
        assert_eq!(at(1_735_689_599), "2024-12-31T23:59:59.000000005Z");
        assert_eq!(at(1_767_225_600), "2026-01-01T00:00:00.000000005Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00.000000005Z");
    }

    /// A fuzz target: a record is what was written, or is refused with a reason.
    pub(crate) fn target(input: &[u8]) -> u64 {
        match parse(input) {
            Ok(record) => {
                let again = serde_json::to_vec(&record).unwrap();
                assert_eq!(parse(&again).as_ref(), Ok(&record));
                assert_eq!(record.version, VERSION);
                1000
            }
            Err(reason) => {
                assert!(!reason.is_empty());
                reason.len() as u64 % 500
            }
        }
    }

    const WHOLE: &[u8] = br#"{"version":1,"id":"one","oci_version":"1.2.0","bundle":"/b","rootfs":"/b/r",
            "annotations":{"a":"b"},"created":"2026-01-01T00:00:00.000000000Z","owner":0,
            "complete":true,"init":{"pid":7,"start_time":9,"pidfd_inode":null},"cgroup":"0::/one","cgroup_made":true,
            "scope":null,"resctrl":[],"manager":null,"new_keyring":true,"own_pid_namespace":true,
            "poststart_hooks":false,"poststop_hooks":false,"late":{"steps":{},"candidates":[],
            "program":"","hooks":false}}"#;

    #[test]
    fn fuzz_record() {
        parse(WHOLE).unwrap();
        let words = [
            "\"version\":",
            "null",
            "-1",
            "{}",
            "[]",
            "true",
            "\"pid\":",
            "1e400",
        ];
        crate::driver::fuzz("record", &[WHOLE, b"{\"version\": 2}"], &words, target);
    }

    #[test]
    fn another_version_is_named() {
        let newer = br#"{"version": 7, "unknown": {"to": "us"}}"#;
        let reason = parse(newer).unwrap_err();
        assert!(reason.starts_with("version 7"), "{reason}");
        for garbage in [&b""[..], b"{", b"[]", b"\xff", br#"{"version": 1}"#] {
            assert!(parse(garbage).is_err(), "{garbage:?}");
        }
    }
}
