//! What a sandbox may use: the flags, and the limits that the tutorial's form has by itself.

use std::fmt;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use crabcan_runtime::cgroups::{Events, Limit, Resources};
use crabcan_runtime::{ExitStatus, Plan, Process, Sandbox};

use crate::rlimits::{self, RLIMIT_CPU, RLIMIT_NOFILE};

/// The period that a number of processors is counted in.
const PERIOD_US: u64 = 100_000;
/// The kernel takes no quota below a millisecond.
const SMALLEST_QUOTA_US: u64 = 1000;

/// The flags.
#[derive(Args, Default)]
#[command(next_help_heading = "Limits (each must be enforced, or nothing is started)")]
pub(crate) struct Limits {
    /// How much memory: bytes, or with K, M, G; who needs more is killed
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    memory: Option<String>,
    /// How many processes and threads
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pids: Option<u64>,
    /// How much processor time, in processors: 0.5 is half of one
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    cpus: Option<String>,
    /// The share of processor time beside others, 1 to 10000 [default: 100]
    #[arg(long, value_name = "WEIGHT", allow_negative_numbers = true)]
    cpu_weight: Option<u64>,
    /// The share of block devices beside others, 10 to 1000 [default: 100]
    #[arg(long, value_name = "WEIGHT", allow_negative_numbers = true)]
    io_weight: Option<u16>,
    /// Which processors, such as 0-3,7
    #[arg(long, value_name = "LIST")]
    cpuset: Option<String>,
    /// How long the command may run: seconds, or with ms, s, m, h; then everything is killed
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
    /// How many seconds of processor time each process may use; then SIGXCPU ends it
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    cpu_time: Option<u64>,
    /// A resource limit of each process: as, core, cpu, data, fsize, memlock, msgqueue, nice, nofile,
    /// nproc, rtprio, rttime, sigpending, stack; a number, with K, M, G, or unlimited
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    rlimit: Vec<String>,
    /// What happens when a limit can't be enforced: required, an error, or best-effort, a warning
    #[arg(
        long,
        value_name = "HOW",
        default_value = "required",
        hide_possible_values = true
    )]
    limits: Enforcement,
}

/// What happens when a limit can't be enforced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Enforcement {
    #[default]
    Required,
    BestEffort,
}

impl Limits {
    /// Shows what was given, and nothing of what was not.
    pub(crate) fn debug(&self, args: &mut fmt::DebugStruct<'_, '_>) {
        for (name, value) in [
            ("memory", &self.memory),
            ("cpus", &self.cpus),
            ("cpuset", &self.cpuset),
            ("time", &self.time),
        ] {
            if let Some(value) = value {
                args.field(name, value);
            }
        }
        for (name, value) in [
            ("pids", self.pids),
            ("cpu_weight", self.cpu_weight),
            ("cpu_time", self.cpu_time),
            ("io_weight", self.io_weight.map(u64::from)),
        ] {
            if let Some(value) = value {
                args.field(name, &value);
            }
        }
        if !self.rlimit.is_empty() {
            args.field("rlimit", &self.rlimit);
        }
        if self.limits != Enforcement::Required {
            args.field("limits", &self.limits);
        }
    }

    /// Puts the limits on a sandbox; the tutorial's form has some by itself, as far as they can be
    /// enforced, and one that always can.
    pub(crate) fn apply(&self, sandbox: Sandbox, tutorial: bool) -> anyhow::Result<Sandbox> {
        let mut given = Resources::default();
        if let Some(memory) = &self.memory {
            let bytes = bytes(memory).with_context(|| format!("--memory {memory}"))?;
            given.memory.max_bytes = Some(Limit::Of(bytes));
        }
        given.pids_max = self.pids.map(Limit::Of);
        if let Some(cpus) = &self.cpus {
            let quota = quota_us(cpus).with_context(|| format!("--cpus {cpus}"))?;
            given.cpu.quota_us = Some(Limit::Of(quota));
            given.cpu.period_us = Some(PERIOD_US);
        }
        given.cpu.weight = self.cpu_weight;
        given.io.weight = self.io_weight;
        given.cpu.cpus = self.cpuset.clone();
        let mut optional = if tutorial {
            tutorial_limits()
        } else {
            Resources::default()
        };
        let mut sandbox = sandbox;
        if tutorial {
            sandbox = sandbox.resource_limit(RLIMIT_NOFILE, 64, 64);
        }
        sandbox = self.each_process(sandbox)?;
        match self.limits {
            Enforcement::Required => {
                sandbox = sandbox.limit(given);
            }
            Enforcement::BestEffort => {
                // What was given takes the place of the tutorial's.
                optional = given.or(&optional);
            }
        }
        Ok(sandbox.limit_if_possible(optional))
    }
}

impl Limits {
    /// The limits that need no cgroup.
    fn each_process(&self, mut sandbox: Sandbox) -> anyhow::Result<Sandbox> {
        if let Some(text) = &self.time {
            let time = rlimits::duration(text).with_context(|| format!("--time {text}"))?;
            sandbox = sandbox.time_limit(time);
        }
        if let Some(seconds) = self.cpu_time {
            // The soft limit's signal can be told from others; the hard one ends who ignores it.
            let hard = seconds.saturating_add(1);
            sandbox = sandbox.resource_limit(RLIMIT_CPU, seconds, hard);
        }
        for text in &self.rlimit {
            let limit = rlimits::read(text).with_context(|| format!("--rlimit {text}"))?;
            let (resource, soft, hard) = limit;
            sandbox = sandbox.resource_limit(resource, soft, hard);
        }
        Ok(sandbox)
    }

    /// Says which limit of a process has ended the command, or a process whose end it told of as
    /// its own, as a shell does.
    pub(crate) fn tell_what_ended(&self, status: ExitStatus) {
        let limited = |name: &str| {
            let mut given = self.rlimit.iter();
            given.any(|text| text.to_ascii_lowercase().starts_with(name))
        };
        match status.shell_code() - 128 {
            SIGXCPU if self.cpu_time.is_some() || limited("cpu=") => {
                log::warn!("the limit of processor time was reached: SIGXCPU (--cpu-time)");
            }
            SIGXFSZ if limited("fsize=") => {
                log::warn!("the limit of a file's size was reached: SIGXFSZ (--rlimit fsize)");
            }
            _ => {}
        }
    }
}

/// What who reaches `RLIMIT_CPU` and `RLIMIT_FSIZE` is ended by, see setrlimit(2).
const SIGXCPU: i32 = 24;
const SIGXFSZ: i32 = 25;

/// The limits of the tutorial: 1 GiB of memory, 64 processes, a quarter of everybody's processor
/// time, half of everybody's share of block devices.
fn tutorial_limits() -> Resources {
    let mut limits = Resources::default();
    limits.memory.max_bytes = Some(Limit::Of(1 << 30));
    limits.pids_max = Some(Limit::Of(64));
    limits.cpu.shares = Some(256);
    limits.io.weight = Some(50);
    limits
}

/// Warns of what was to be limited if possible, and is not: one line each.
pub(crate) fn warn_of_unenforced(container: &Process<'_>) {
    for unenforced in container.unenforced() {
        log::warn!("{unenforced}");
    }
}

/// Says that the time is over.
pub(crate) fn tell_of_time(container: &Process<'_>, plan: &Plan) {
    if let (true, Some(limit)) = (container.ran_out_of_time(), plan.time_limit()) {
        log::warn!("the time limit of {limit:?} was reached: everything was killed");
    }
}

/// Says which limits have struck.
pub(crate) fn tell_what_struck(plan: &Plan, events: Events) {
    let Some(limits) = plan.limits() else {
        return;
    };
    let all = limits.required.clone().or(&limits.optional);
    if let (1.., Some(max)) = (events.oom_kill, all.memory.max_bytes) {
        log::warn!(
            "the memory limit of {max} bytes was reached: {} killed",
            counted(events.oom_kill, "process was", "processes were")
        );
    }
    if let (1.., Some(max)) = (events.pids_max, all.pids_max) {
        log::warn!(
            "the limit of {max} processes and threads was reached: {} refused",
            counted(events.pids_max, "one was", "were")
        );
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    match count {
        1 if one.starts_with("one") => one.to_owned(),
        1 => format!("1 {one}"),
        _ => format!("{count} {many}"),
    }
}

/// `512M` in bytes.
pub(crate) fn bytes(text: &str) -> anyhow::Result<u64> {
    let units = [('K', 10), ('M', 20), ('G', 30), ('T', 40)];
    let last = text.chars().last().map(|last| last.to_ascii_uppercase());
    let unit = units.iter().find(|(letter, _)| Some(*letter) == last);
    let (digits, shift) = match unit {
        Some((_, shift)) => (text.get(..text.len() - 1).unwrap_or_default(), *shift),
        None => (text, 0),
    };
    let number: u64 = digits
        .parse()
        .context("must be a number of bytes, or one with K, M, G or T")?;
    number.checked_mul(1 << shift).context("is too much")
}

/// `1.5` processors in microseconds of each period.
fn quota_us(text: &str) -> anyhow::Result<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 5 {
        bail!("must be a number such as 1.5, with at most five digits behind the point");
    }
    let whole: u64 = whole.parse().context("is too much")?;
    let fraction: u64 = format!("{fraction:0<5}").parse()?;
    let quota = whole
        .checked_mul(PERIOD_US)
        .and_then(|quota| quota.checked_add(fraction))
        .context("is too much")?;
    if quota < SMALLEST_QUOTA_US {
        bail!("must be at least 0.01");
    }
    Ok(quota)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, expected) in [("0", 0), ("4096", 4096), ("1k", 1024), ("2M", 2 << 20)] {
            assert_eq!(bytes(text).unwrap(), expected);
        }
        for wrong in ["", "M", "-1", "1.5G", "1MB", "99999999999T", "ä"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn processors_are_read_exactly() {
        for (text, expected) in [
            ("1", 100_000),
            ("0.5", 50_000),
            ("1.25", 125_000),
            ("0.01", 1000),
        ] {
            assert_eq!(quota_us(text).unwrap(), expected);
        }
        for wrong in ["", ".5", "0", "0.001", "1e3", "-1", "1.234567", "inf"] {
            assert!(quota_us(wrong).is_err(), "{wrong}");
        }
    }
}
