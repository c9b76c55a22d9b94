//! What the kernel has counted.

use std::collections::BTreeMap;

use crate::cgroup::Member;
use crate::{Cgroup, Controller, Error};

/// What a cgroup uses and has used; `None` for what its controllers here do not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Memory in use, in bytes.
    pub memory_current_bytes: Option<u64>,
    /// The most that it ever was (v2: Linux 5.19).
    pub memory_peak_bytes: Option<u64>,
    /// Its limit; `None` as well where there is none.
    pub memory_max_bytes: Option<u64>,
    /// Swap in use, in bytes; in v1 memory and swap.
    pub swap_current_bytes: Option<u64>,
    /// Every line of `memory.stat`.
    pub memory: BTreeMap<String, u64>,
    /// Processor time, in microseconds.
    pub cpu_usage_us: Option<u64>,
    /// The part of it in user mode.
    pub cpu_user_us: Option<u64>,
    /// The part of it in the kernel.
    pub cpu_system_us: Option<u64>,
    /// Periods of the quota that have gone by.
    pub cpu_periods: Option<u64>,
    /// Those in which the quota was used up.
    pub cpu_throttled_periods: Option<u64>,
    /// How long processes were held back by that, in microseconds.
    pub cpu_throttled_us: Option<u64>,
    /// Processes and threads.
    pub pids_current: Option<u64>,
    /// The most that there may be.
    pub pids_max: Option<u64>,
    /// Block devices.
    pub io: Vec<IoStatistics>,
    /// Huge pages in use in bytes, by their size.
    pub hugepages: BTreeMap<String, u64>,
}

/// What was done with one block device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoStatistics {
    /// Its major number.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
}

/// What has happened to a cgroup, each as often as it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Events {
    /// The limit of memory was reached, and something had to give.
    pub memory_max: u64,
    /// Memory ran out.
    pub oom: u64,
    /// A process was killed because memory ran out.
    pub oom_kill: u64,
    /// A process or thread was refused because of the limit of their number.
    pub pids_max: u64,
}

impl Cgroup {
    /// Reads what the kernel has counted, where it has counted it.
    ///
    /// # Errors
    /// [`Error::Read`] when a file is there and can't be read (ENODEV: the cgroup is gone).
    pub fn statistics(&self) -> Result<Statistics, Error> {
        let mut found = Statistics::default();
        if let Some(member) = self.home(Controller::Memory) {
            memory(member, &mut found)?;
        }
        cpu(self, &mut found)?;
        if let Some(member) = self.home(Controller::Pids) {
            found.pids_current = member.number("pids.current")?;
            found.pids_max = member.number("pids.max")?;
        }
        if let Some(member) = self.home(Controller::Io) {
            found.io = io(member)?;
        }
        if let Some(member) = self.home(Controller::Hugetlb) {
            hugepages(member, &mut found)?;
        }
        Ok(found)
    }

    /// Reads which limits have struck.
    ///
    /// # Errors
    /// [`Error::Read`] when a file is there and can't be read.
    pub fn events(&self) -> Result<Events, Error> {
        let mut events = Events::default();
        if let Some(member) = self.home(Controller::Memory) {
            if member.v2 {
                let found = member.pairs("memory.events")?;
                let get = |key: &str| found.get(key).copied().unwrap_or(0);
                events.memory_max = get("max");
                events.oom = get("oom");
                events.oom_kill = get("oom_kill");
            } else {
                events.memory_max = member.number("memory.failcnt")?.unwrap_or(0);
                let found = member.pairs("memory.oom_control")?;
                events.oom_kill = found.get("oom_kill").copied().unwrap_or(0);
                events.oom = events.oom_kill;
            }
        }
        if let Some(member) = self.home(Controller::Pids) {
            let found = member.pairs("pids.events")?;
            events.pids_max = found.get("max").copied().unwrap_or(0);
        }
        Ok(events)
    }
}

impl Member {
    /// A file's contents, `None` when there is no such file here.
    fn optional(&self, file: &str) -> Result<Option<String>, Error> {
        match self.directory.read(file) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(source) => Err(Error::Read {
                path: self.directory.file(file),
                source,
            }),
        }
    }

    /// A file that holds one number; `None` for `max` as well.
    fn number(&self, file: &str) -> Result<Option<u64>, Error> {
        let text = self.optional(file)?;
        Ok(text.and_then(|text| text.trim().parse().ok()))
    }

    /// A file of lines with a word and a number.
    fn pairs(&self, file: &str) -> Result<BTreeMap<String, u64>, Error> {
        Ok(pairs(&self.optional(file)?.unwrap_or_default()))
    }
}

fn pairs(text: &str) -> BTreeMap<String, u64> {
    let pair = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), value.trim().parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

fn memory(member: &Member, found: &mut Statistics) -> Result<(), Error> {
    let [current, peak, max, swap] = match member.v2 {
        true => [
            "memory.current",
            "memory.peak",
            "memory.max",
            "memory.swap.current",
        ],
        false => [
            "memory.usage_in_bytes",
            "memory.max_usage_in_bytes",
            "memory.limit_in_bytes",
            "memory.memsw.usage_in_bytes",
        ],
    };
    found.memory_current_bytes = member.number(current)?;
    found.memory_peak_bytes = member.number(peak)?;
    // v1 writes no limit as the greatest number of pages that it can count.
    const NONE_IN_V1: u64 = i64::MAX as u64 & !0xffff;
    found.memory_max_bytes = member.number(max)?.filter(|max| *max < NONE_IN_V1);
    found.swap_current_bytes = member.number(swap)?;
    found.memory = member.pairs("memory.stat")?;
    Ok(())
}

fn cpu(cgroup: &Cgroup, found: &mut Statistics) -> Result<(), Error> {
    // v2 counts time in every cgroup, whether the controller is enabled or not.
    let unified = cgroup.members.iter().find(|member| member.v2);
    if let Some(member) = cgroup.home(Controller::Cpu).or(unified) {
        let stat = member.pairs("cpu.stat")?;
        let get = |key: &str| stat.get(key).copied();
        found.cpu_usage_us = get("usage_usec");
        found.cpu_user_us = get("user_usec");
        found.cpu_system_us = get("system_usec");
        found.cpu_periods = get("nr_periods");
        found.cpu_throttled_periods = get("nr_throttled");
        let nanoseconds = get("throttled_time").map(|time| time / 1000);
        found.cpu_throttled_us = get("throttled_usec").or(nanoseconds);
    }
    let account = cgroup.home(Controller::Cpuacct);
    if let Some(member) = account.filter(|member| !member.v2) {
        let get = |file| Ok::<_, Error>(member.number(file)?.map(|time| time / 1000));
        found.cpu_usage_us = get("cpuacct.usage")?;
        found.cpu_user_us = get("cpuacct.usage_user")?;
        found.cpu_system_us = get("cpuacct.usage_sys")?;
    }
    Ok(())
}

fn io(member: &Member) -> Result<Vec<IoStatistics>, Error> {
    if member.v2 {
        return Ok(io_of_v2(&member.optional("io.stat")?.unwrap_or_default()));
    }
    let bytes = member.optional("blkio.throttle.io_service_bytes")?;
    let operations = member.optional("blkio.throttle.io_serviced")?;
    Ok(io_of_v1(
        &bytes.unwrap_or_default(),
        &operations.unwrap_or_default(),
    ))
}

fn device(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Lines such as `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`.
fn io_of_v2(text: &str) -> Vec<IoStatistics> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let (major, minor) = device(words.next()?)?;
        let values: BTreeMap<&str, u64> = words
            .filter_map(|word| {
                let (key, value) = word.split_once('=')?;
                Some((key, value.parse().ok()?))
            })
            .collect();
        let get = |key: &str| values.get(key).copied().unwrap_or(0);
        Some(IoStatistics {
            major,
            minor,
            read_bytes: get("rbytes"),
            written_bytes: get("wbytes"),
            reads: get("rios"),
            writes: get("wios"),
        })
    };
    text.lines().filter_map(line).collect()
}

/// Lines such as `8:0 Read 4096`, in one file for bytes and in another for operations.
fn io_of_v1(bytes: &str, operations: &str) -> Vec<IoStatistics> {
    let mut devices = BTreeMap::<(u32, u32), IoStatistics>::new();
    let mut add =
        |text: &str, field: for<'a> fn(&'a mut IoStatistics, &str) -> Option<&'a mut u64>| {
            for line in text.lines() {
                let mut words = line.split_whitespace();
                let (Some(name), Some(kind), Some(count)) =
                    (words.next(), words.next(), words.next())
                else {
                    continue;
                };
                let (Some((major, minor)), Ok(count)) = (device(name), count.parse()) else {
                    continue;
                };
                let entry = devices.entry((major, minor)).or_insert(IoStatistics {
                    major,
                    minor,
                    ..IoStatistics::default()
                });
                if let Some(field) = field(entry, kind) {
                    *field = count;
                }
            }
        };
    add(bytes, |entry, kind| match kind {
        "Read" => Some(&mut entry.read_bytes),
        "Write" => Some(&mut entry.written_bytes),
        _ => None,
    });
    add(operations, |entry, kind| match kind {
        "Read" => Some(&mut entry.reads),
        "Write" => Some(&mut entry.writes),
        _ => None,
    });
    devices.into_values().collect()
}

/// The sizes are in the names of the files.
fn hugepages(member: &Member, found: &mut Statistics) -> Result<(), Error> {
    let suffix = match member.v2 {
        true => ".current",
        false => ".usage_in_bytes",
    };
    let sizes = std::fs::read_dir("/sys/kernel/mm/hugepages");
    for entry in sizes.into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(size) = name.to_str().and_then(page_size) else {
            continue;
        };
        if let Some(bytes) = member.number(&format!("hugetlb.{size}{suffix}"))? {
            found.hugepages.insert(size, bytes);
        }
    }
    Ok(())
}

/// `hugepages-2048kB` is `2MB` in the names of files.
fn page_size(directory: &str) -> Option<String> {
    let kilobytes = directory.strip_prefix("hugepages-")?.strip_suffix("kB")?;
    let kilobytes: u64 = kilobytes.parse().ok()?;
    Some(match kilobytes {
        kb if kb >= 1 << 20 => format!("{}GB", kb >> 20),
        kb if kb >= 1 << 10 => format!("{}MB", kb >> 10),
        kb => format!("{kb}KB"),
    })
}

#[cfg(test)]
mod tests;
