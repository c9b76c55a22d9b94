//! How the program is scheduled and where its memory comes from: words as numbers.

use super::list;
use crate::Error;
use crate::spec::{IoPriority, MemoryPolicy, Personality, Scheduler};

/// `struct sched_attr` of sched_setattr(2), as far as the specification speaks of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SchedulerNumbers {
    pub(crate) policy: u32,
    pub(crate) flags: u64,
    pub(crate) nice: i32,
    pub(crate) priority: u32,
    pub(crate) runtime: u64,
    pub(crate) deadline: u64,
    pub(crate) period: u64,
}

impl SchedulerNumbers {
    /// Whether fork(2) takes it from the child, or is refused because of it (EAGAIN).
    pub(super) fn is_lost_in_fork(&self) -> bool {
        self.policy == DEADLINE || self.flags & RESET_ON_FORK != 0
    }
}

const OTHER: u32 = 0;
const FIFO: u32 = 1;
const RR: u32 = 2;
const BATCH: u32 = 3;
const DEADLINE: u32 = 6;

const RESET_ON_FORK: u64 = 0x01;

const POLICIES: [(&str, u32); 6] = [
    ("SCHED_OTHER", OTHER),
    ("SCHED_FIFO", FIFO),
    ("SCHED_RR", RR),
    ("SCHED_BATCH", BATCH),
    ("SCHED_IDLE", 5),
    ("SCHED_DEADLINE", DEADLINE),
];

const SCHEDULER_FLAGS: [(&str, u64); 7] = [
    ("SCHED_FLAG_RESET_ON_FORK", RESET_ON_FORK),
    ("SCHED_FLAG_RECLAIM", 0x02),
    ("SCHED_FLAG_DL_OVERRUN", 0x04),
    ("SCHED_FLAG_KEEP_POLICY", 0x08),
    ("SCHED_FLAG_KEEP_PARAMS", 0x10),
    ("SCHED_FLAG_UTIL_CLAMP_MIN", 0x20),
    ("SCHED_FLAG_UTIL_CLAMP_MAX", 0x40),
];

const IO_CLASSES: [(&str, u32); 3] = [
    ("IOPRIO_CLASS_RT", 1),
    ("IOPRIO_CLASS_BE", 2),
    ("IOPRIO_CLASS_IDLE", 3),
];

const MEMORY_MODES: [(&str, u32); 7] = [
    ("MPOL_DEFAULT", 0),
    ("MPOL_PREFERRED", 1),
    ("MPOL_BIND", 2),
    ("MPOL_INTERLEAVE", 3),
    ("MPOL_LOCAL", 4),
    ("MPOL_PREFERRED_MANY", 5),
    ("MPOL_WEIGHTED_INTERLEAVE", 6),
];

const MEMORY_FLAGS: [(&str, u32); 3] = [
    ("MPOL_F_STATIC_NODES", 1 << 15),
    ("MPOL_F_RELATIVE_NODES", 1 << 14),
    ("MPOL_F_NUMA_BALANCING", 1 << 13),
];

/// The modes and flags that [`memory_policy`] knows, for `features`.
pub(crate) fn memory_words() -> (Vec<&'static str>, Vec<&'static str>) {
    let modes = MEMORY_MODES.iter().map(|(word, _)| *word);
    let flags = MEMORY_FLAGS.iter().map(|(word, _)| *word);
    (modes.collect(), flags.collect())
}

fn number<T: Copy>(field: &str, words: &[(&str, T)], word: &str) -> Result<T, Error> {
    let found = words.iter().find(|(known, _)| *known == word);
    found.map(|(_, number)| *number).ok_or_else(|| {
        let word = word.escape_debug();
        Error::invalid(field, format!("\"{word}\" is not known"))
    })
}

/// What the kernel would take in silence, or refuse without saying which part, is refused here.
pub(super) fn scheduler(scheduler: &Scheduler) -> Result<SchedulerNumbers, Error> {
    let field = |name: &str| format!("process.scheduler.{name}");
    let policy = number(&field("policy"), &POLICIES, &scheduler.policy)?;
    let mut flags = 0;
    for (index, flag) in scheduler.flags.iter().enumerate() {
        flags |= number(&field(&format!("flags[{index}]")), &SCHEDULER_FLAGS, flag)?;
    }
    let unfit = |name: &str, policies: &str| {
        Err(Error::invalid(
            field(name),
            format!("is for {policies} only"),
        ))
    };
    let nice = scheduler.nice.unwrap_or(0);
    if !(-20..=19).contains(&nice) {
        return Err(Error::invalid(
            field("nice"),
            format!("{nice} is not between -20 and 19"),
        ));
    }
    let priority = scheduler.priority.unwrap_or(0);
    let Ok(static_priority) = u32::try_from(priority) else {
        return Err(Error::invalid(
            field("priority"),
            format!("{priority} is negative"),
        ));
    };
    if priority != 0 && ![FIFO, RR].contains(&policy) {
        return unfit("priority", "SCHED_FIFO and SCHED_RR");
    }
    for (name, value) in [
        ("runtime", scheduler.runtime),
        ("deadline", scheduler.deadline),
        ("period", scheduler.period),
    ] {
        if value.is_some_and(|value| value != 0) && policy != DEADLINE {
            return unfit(name, "SCHED_DEADLINE");
        }
    }
    Ok(SchedulerNumbers {
        policy,
        flags,
        nice,
        priority: static_priority,
        runtime: scheduler.runtime.unwrap_or(0),
        deadline: scheduler.deadline.unwrap_or(0),
        period: scheduler.period.unwrap_or(0),
    })
}

/// The class and the level that ioprio_set(2) takes.
pub(super) fn io_priority(wanted: &IoPriority) -> Result<(u32, u32), Error> {
    let class = number("process.ioPriority.class", &IO_CLASSES, &wanted.class)?;
    let priority = wanted.priority;
    match u32::try_from(priority)
        .ok()
        .filter(|priority| *priority < 8)
    {
        Some(level) => Ok((class, level)),
        None => {
            let reason = format!("{priority} is not between 0 and 7");
            Err(Error::invalid("process.ioPriority.priority", reason))
        }
    }
}

/// The mode with its flags, and the mask of nodes, as set_mempolicy(2) takes them.
pub(super) fn memory_policy(policy: &MemoryPolicy) -> Result<(u32, Vec<u8>), Error> {
    let mut mode = number("linux.memoryPolicy.mode", &MEMORY_MODES, &policy.mode)?;
    for (index, flag) in policy.flags.iter().enumerate() {
        let field = format!("linux.memoryPolicy.flags[{index}]");
        mode |= number(&field, &MEMORY_FLAGS, flag)?;
    }
    let nodes = list::mask(&policy.nodes).ok_or_else(|| {
        let nodes = policy.nodes.escape_debug();
        let reason = format!("\"{nodes}\" is no list of nodes");
        Error::invalid("linux.memoryPolicy.nodes", reason)
    })?;
    Ok((mode, nodes))
}

/// The value that personality(2) takes.
pub(super) fn personality(personality: &Personality) -> Result<u32, Error> {
    if let Some(flag) = personality.flags.first() {
        let reason = format!("\"{}\" is not known", flag.escape_debug());
        return Err(Error::invalid("linux.personality.flags[0]", reason));
    }
    let domains = [("LINUX", 0), ("LINUX32", 8)];
    number("linux.personality.domain", &domains, &personality.domain)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn named<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
        let text = result.unwrap_err().to_string();
        text.split(": ").next().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_scheduler_is_in_the_kernels_numbers() {
        let mut wanted = Scheduler {
            policy: "SCHED_BATCH".into(),
            nice: Some(-5),
            flags: vec![
                "SCHED_FLAG_RESET_ON_FORK".into(),
                "SCHED_FLAG_KEEP_PARAMS".into(),
            ],
            ..Scheduler::default()
        };
        let expected = SchedulerNumbers {
            policy: 3,
            nice: -5,
            flags: 0x11,
            ..SchedulerNumbers::default()
        };
        assert_eq!(scheduler(&wanted).unwrap(), expected);
        // The kernel keeps it for the time when the policy is another one, as for runc.
        wanted.policy = "SCHED_DEADLINE".into();
        assert_eq!(scheduler(&wanted).unwrap().nice, -5);
        (wanted.runtime, wanted.deadline, wanted.period) = (Some(1), Some(2), Some(3));
        let numbers = scheduler(&wanted).unwrap();
        assert_eq!(
            (
                numbers.policy,
                numbers.runtime,
                numbers.deadline,
                numbers.period
            ),
            (6, 1, 2, 3)
        );
        wanted.policy = "SCHED_FIFO".into();
        assert_eq!(named(scheduler(&wanted)), "process.scheduler.runtime");
    }

    #[test]
    fn what_fits_no_scheduler_is_named() {
        let with = |change: fn(&mut Scheduler)| {
            let mut wanted = Scheduler {
                policy: "SCHED_OTHER".into(),
                ..Scheduler::default()
            };
            change(&mut wanted);
            named(scheduler(&wanted))
        };
        assert_eq!(
            with(|one| one.policy = "SCHED_ISO".into()),
            "process.scheduler.policy"
        );
        assert_eq!(
            with(|one| one.flags = vec!["X".into()]),
            "process.scheduler.flags[0]"
        );
        assert_eq!(with(|one| one.nice = Some(20)), "process.scheduler.nice");
        assert_eq!(
            with(|one| one.priority = Some(1)),
            "process.scheduler.priority"
        );
        assert_eq!(
            with(|one| one.priority = Some(-1)),
            "process.scheduler.priority"
        );
        assert_eq!(
            with(|one| one.deadline = Some(1)),
            "process.scheduler.deadline"
        );
    }

    #[test]
    fn an_io_priority_is_a_class_and_a_level() {
        let with = |class: &str, priority| {
            let class = class.into();
            io_priority(&IoPriority { class, priority })
        };
        assert_eq!(with("IOPRIO_CLASS_BE", 4).unwrap(), (2, 4));
        assert_eq!(with("IOPRIO_CLASS_RT", 0).unwrap(), (1, 0));
        assert_eq!(with("IOPRIO_CLASS_IDLE", 7).unwrap(), (3, 7));
        assert_eq!(
            named(with("IOPRIO_CLASS_NONE", 0)),
            "process.ioPriority.class"
        );
        for bad in [-1, 8, i64::MAX] {
            assert_eq!(
                named(with("IOPRIO_CLASS_BE", bad)),
                "process.ioPriority.priority"
            );
        }
    }

    #[test]
    fn a_memory_policy_is_a_mode_and_a_mask() {
        let mut policy = MemoryPolicy {
            mode: "MPOL_INTERLEAVE".into(),
            nodes: "0,2".into(),
            flags: vec!["MPOL_F_STATIC_NODES".into()],
        };
        let mask = 0b101u64.to_ne_bytes().to_vec();
        assert_eq!(memory_policy(&policy).unwrap(), (3 | 1 << 15, mask));
        policy.nodes.clear();
        assert_eq!(memory_policy(&policy).unwrap().1, [0; 0]);
        policy.nodes = "all".into();
        assert_eq!(named(memory_policy(&policy)), "linux.memoryPolicy.nodes");
        policy.flags[0].clear();
        assert_eq!(named(memory_policy(&policy)), "linux.memoryPolicy.flags[0]");
        policy.mode.clear();
        assert_eq!(named(memory_policy(&policy)), "linux.memoryPolicy.mode");
        assert_eq!(memory_words().0.len(), 7);
    }

    #[test]
    fn personalities_are_two() {
        let with = |domain: &str, flags: &[&str]| {
            let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
            let domain = domain.into();
            personality(&Personality { domain, flags })
        };
        assert_eq!(with("LINUX", &[]).unwrap(), 0);
        assert_eq!(with("LINUX32", &[]).unwrap(), 8);
        assert_eq!(named(with("BSD", &[])), "linux.personality.domain");
        assert_eq!(named(with("LINUX", &["X"])), "linux.personality.flags[0]");
    }
}
