//! Id maps of user namespaces: their ranges, and the two ways to write them.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::process::{Command, Stdio};

use nix::unistd::Pid;
use rustix::thread::CapabilitySet;

use crate::Error;

/// The kernel's UID_GID_MAP_MAX_EXTENTS, since Linux 4.15.
const MOST_RANGES: usize = 340;

/// How much of what a helper says is kept.
const MOST_STDERR_BYTES: u64 = 4096;

/// Consecutive ids inside a user namespace and the ids outside that they stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdRange {
    /// The first id inside.
    pub inside: u32,
    /// The first id outside, as the process sees it that writes the map.
    pub outside: u32,
    /// How many ids.
    pub count: u32,
}

impl fmt::Display for IdRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {}", self.inside, self.outside, self.count)
    }
}

/// A valid id map: what the kernel would refuse cannot be made.
///
/// ```
/// use crabcan_ns::{IdMap, IdRange};
///
/// let map = IdMap::new([
///     IdRange { inside: 0, outside: 1000, count: 1 },
///     IdRange { inside: 1, outside: 100_000, count: 65_536 },
/// ])?;
/// assert_eq!(map.to_string(), "0 1000 1\n1 100000 65536\n");
/// # Ok::<(), crabcan_ns::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdMap(Vec<IdRange>);

impl IdMap {
    /// Checks the ranges, from 1 to 340 of them, and keeps their order.
    ///
    /// # Errors
    /// [`Error::InvalidIdMap`] says which rule is broken: no range, too many, a count of zero, a
    /// range beyond the last valid id (4294967294), two ranges that overlap inside or outside, or a
    /// text longer than the page that the kernel reads.
    pub fn new(ranges: impl IntoIterator<Item = IdRange>) -> Result<Self, Error> {
        let map = Self(ranges.into_iter().collect());
        match map.broken_rule() {
            Some(reason) => Err(Error::InvalidIdMap { reason }),
            None => Ok(map),
        }
    }

    /// The map of a single id, the only one that a process may write without privilege.
    ///
    /// # Errors
    /// [`Error::InvalidIdMap`] for the id 4294967295, which is not valid.
    pub fn single(inside: u32, outside: u32) -> Result<Self, Error> {
        Self::new([IdRange {
            inside,
            outside,
            count: 1,
        }])
    }

    /// The ranges, in their order.
    #[must_use]
    pub fn ranges(&self) -> &[IdRange] {
        &self.0
    }

    /// The id outside that an id inside stands for.
    #[must_use]
    pub fn outside(&self, inside: u32) -> Option<u32> {
        self.0.iter().find_map(|range| {
            let offset = inside.checked_sub(range.inside)?;
            if offset < range.count {
                range.outside.checked_add(offset)
            } else {
                None
            }
        })
    }

    fn broken_rule(&self) -> Option<String> {
        let ranges = &self.0;
        if ranges.is_empty() {
            return Some("it has no range".to_owned());
        }
        if ranges.len() > MOST_RANGES {
            return Some(format!(
                "it has {} ranges, more than {MOST_RANGES}",
                ranges.len()
            ));
        }
        for range in ranges {
            if range.count == 0 {
                return Some(format!("the count of the range \"{range}\" is zero"));
            }
            // The end may be u32::MAX, which itself is no valid id.
            let fits = |first: u32| first.checked_add(range.count).is_some();
            if !fits(range.inside) || !fits(range.outside) {
                return Some(format!(
                    "the range \"{range}\" goes beyond the last valid id"
                ));
            }
        }
        let length = self.to_string().len();
        let page = rustix::param::page_size();
        if length >= page {
            return Some(format!(
                "its text has {length} bytes, and the kernel reads {}",
                page - 1
            ));
        }
        overlap(ranges, "inside", |range| range.inside)
            .or_else(|| overlap(ranges, "outside", |range| range.outside))
    }
}

/// The lines of `/proc/PID/uid_map`.
impl fmt::Display for IdMap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|range| writeln!(formatter, "{range}"))
    }
}

/// The sorted neighbours that overlap; the ranges themselves are known not to overflow.
fn overlap(ranges: &[IdRange], side: &str, first: impl Fn(&IdRange) -> u32) -> Option<String> {
    let mut sorted = ranges.to_vec();
    sorted.sort_by_key(&first);
    sorted
        .iter()
        .zip(sorted.iter().skip(1))
        .find_map(|(low, high)| {
            let end = first(low).saturating_add(low.count);
            (first(high) < end)
                .then(|| format!("the ranges \"{low}\" and \"{high}\" overlap {side}"))
        })
}

/// How id maps are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdMapWriter {
    /// By this process, to `/proc/PID/uid_map` and `gid_map`. Without privilege, a map can only be
    /// the caller's own id.
    Direct,
    /// By the setuid helpers `newuidmap` and `newgidmap`, found through `PATH`. They allow what
    /// `/etc/subuid` and `/etc/subgid` grant to the caller, besides the caller's own id.
    Helpers,
}

/// Whether processes of the user namespace may call `setgroups`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Setgroups {
    /// They may.
    Allowed,
    /// They never may: the price of a group map without privilege, as leaving a group could give
    /// access to a file that denies it to that group.
    Denied,
}

/// Writes both maps of the user namespace in which the process `pid` is, each once and whole, and
/// says whether `setgroups` had to be denied for it.
///
/// With [`IdMapWriter::Direct`] it is denied exactly when this process lacks CAP_SETGID. The
/// process must be a child that is not yet reaped, or its pid could be another's. See
/// [user_namespaces(7)](https://man7.org/linux/man-pages/man7/user_namespaces.7.html).
///
/// # Errors
/// [`Error::WriteIdMap`] names the file: EPERM when a map exists already, when this process lacks
/// the capability (CAP_SETUID, CAP_SETGID in the parent namespace) for more than its own id, or when
/// it maps the id 0 of the parent namespace without CAP_SETFCAP (Linux 5.12); EACCES when the process
/// is not dumpable; ENOENT when it is gone. [`Error::IdMapHelper`] when a helper is missing or
/// refuses, with what it said and the lines that it wants to see.
pub fn write_id_maps(
    pid: Pid,
    uids: &IdMap,
    gids: &IdMap,
    writer: IdMapWriter,
) -> Result<Setgroups, Error> {
    match writer {
        IdMapWriter::Direct => write_directly(pid, uids, gids),
        IdMapWriter::Helpers => {
            let uid = rustix::process::getuid().as_raw();
            let gid = rustix::process::getgid().as_raw();
            run_helper(
                &Helper {
                    program: "newuidmap",
                    grants: "/etc/subuid",
                    own: uid,
                },
                pid,
                uids,
            )?;
            run_helper(
                &Helper {
                    program: "newgidmap",
                    grants: "/etc/subgid",
                    own: gid,
                },
                pid,
                gids,
            )?;
            let path = format!("/proc/{pid}/setgroups");
            let text = std::fs::read_to_string(&path)
                .map_err(|source| Error::WriteIdMap { path, source })?;
            Ok(if text.trim() == "deny" {
                Setgroups::Denied
            } else {
                Setgroups::Allowed
            })
        }
    }
}

fn write_directly(pid: Pid, uids: &IdMap, gids: &IdMap) -> Result<Setgroups, Error> {
    write_file(format!("/proc/{pid}/uid_map"), &uids.to_string())?;
    let capabilities =
        rustix::thread::capabilities(None).map_err(|errno| Error::ReadCapabilities {
            source: errno.into(),
        })?;
    let setgroups = if capabilities.effective.contains(CapabilitySet::SETGID) {
        Setgroups::Allowed
    } else {
        write_file(format!("/proc/{pid}/setgroups"), "deny")?;
        Setgroups::Denied
    };
    write_file(format!("/proc/{pid}/gid_map"), &gids.to_string())?;
    Ok(setgroups)
}

fn write_file(path: String, text: &str) -> Result<(), Error> {
    log::debug!("write {path}: {}", text.trim_end().replace('\n', ", "));
    let written = OpenOptions::new()
        .write(true)
        .open(&path)
        // The kernel takes the whole text at once or refuses it, so this is one write.
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| Error::WriteIdMap { path, source })
}

struct Helper {
    program: &'static str,
    grants: &'static str,
    own: u32,
}

impl Helper {
    fn failed(&self, map: &IdMap, said: String, source: Option<io::Error>) -> Error {
        let user = rustix::process::getuid().as_raw();
        let wanted = map
            .ranges()
            .iter()
            .filter(|range| !(range.count == 1 && range.outside == self.own))
            .map(|range| format!("{user}:{}:{}", range.outside, range.count))
            .collect();
        Error::IdMapHelper {
            program: self.program,
            said,
            grants: self.grants,
            wanted,
            source,
        }
    }
}

fn run_helper(helper: &Helper, pid: Pid, map: &IdMap) -> Result<(), Error> {
    let mut command = Command::new(helper.program);
    command.arg(pid.to_string());
    for IdRange {
        inside,
        outside,
        count,
    } in map.ranges()
    {
        command.args([inside, outside, count].map(ToString::to_string));
    }
    log::debug!("run {command:?}");
    let failed = |source| helper.failed(map, String::new(), Some(source));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let mut said = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        // What is lost here is only a part of the explanation.
        let _ = stderr.take(MOST_STDERR_BYTES).read_to_end(&mut said);
    }
    let success = match child.wait() {
        Ok(status) => status.success(),
        // SIGCHLD is ignored: the status is lost, so the result has to be looked at.
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => is_written(helper, pid),
        Err(source) => return Err(failed(source)),
    };
    if success {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said).trim().replace('\n', "; ");
    Err(helper.failed(map, said, None))
}

/// The kernel takes a map whole or not at all, and only once: one that is there is the helper's.
fn is_written(helper: &Helper, pid: Pid) -> bool {
    let file = if helper.program == "newuidmap" {
        "uid_map"
    } else {
        "gid_map"
    };
    std::fs::read_to_string(format!("/proc/{pid}/{file}")).is_ok_and(|text| !text.is_empty())
}
