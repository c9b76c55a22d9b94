//! The steps on the process that an OCI container has more than a sandbox, in words.

use core::fmt::{self, Formatter};

use super::Details;
use super::words::{List, Namespaces, Numbers, Text};
use crate::step::Step;

/// `SCHED_*` by their numbers.
const POLICIES: [&str; 8] = [
    "OTHER", "FIFO", "RR", "BATCH", "ISO", "IDLE", "DEADLINE", "EXT",
];
/// `IOPRIO_CLASS_*` by their numbers.
const IO_CLASSES: [&str; 4] = ["NONE", "RT", "BE", "IDLE"];

impl Step<'_> {
    pub(super) fn container_in_words(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Procfs {} => f.write_str("open a procfs to write to"),
            Self::Join { flags } => {
                write!(f, "join namespaces ({})", Namespaces(flags))
            }
            Self::Unshare { flags } => {
                write!(f, "make namespaces ({})", Namespaces(flags))
            }
            Self::TimeOffsets { offsets } => {
                write!(f, "offset the clocks ({})", List(offsets, "; "))
            }
            Self::Fork {} => f.write_str("go on in a child in the pid namespace"),
            Self::AwaitStart { descriptor } => {
                write!(f, "wait for the start (descriptor {descriptor})")
            }
            Self::FindProgram { candidates } => {
                write!(f, "look for {}", List(candidates, ", "))
            }
            Self::AttachedRoot { .. } | Self::EnterRoot {} => self.root_in_words(f),
            Self::RuntimeHooks {} => f.write_str("have the parent run its hooks"),
            Self::Hook { .. } => self.hook_in_words(f),
            Self::Domainname { name } => write!(f, "set domain name {}", Text(name)),
            Self::Sysctl { key, value } => {
                write!(f, "set /proc/sys/{} to {}", Text(key), Text(value))
            }
            Self::OomScoreAdj { score } => write!(f, "set oom_score_adj to {score}"),
            Self::Home { uid } => write!(f, "look up the home of user {uid}"),
            Self::Umask { mask } => write!(f, "set the umask {mask:04o}"),
            Self::ExecLabel { attribute, label } => write!(
                f,
                "execute with the label {} (attr/{})",
                Text(label),
                Text(attribute)
            ),
            Self::PreserveDescriptors { first, count } => {
                write!(f, "hand {count} descriptors on (from {first})")
            }
            Self::ConsoleDevice { uid } => {
                write!(f, "bind the terminal on /dev/console (owner {uid})")
            }
            _ => self.schedule_in_words(f),
        }
    }

    fn hook_in_words(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self::Hook {
            path, timeout_ms, ..
        } = *self
        else {
            return f.write_str(self.name());
        };
        write!(f, "run the hook {}", Text(path))?;
        Details::new(f)
            .add_if(timeout_ms != 0, format_args!("at most {timeout_ms} ms"))
            .end()
    }

    fn schedule_in_words(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Scheduler {
                policy,
                flags,
                nice,
                priority,
                runtime,
                deadline,
                period,
            } => {
                write!(f, "schedule by SCHED_{}", Name(&POLICIES, policy))?;
                let [of, by, every] = [runtime, deadline, period];
                Details::new(f)
                    .add_if(nice != 0, format_args!("nice {nice}"))
                    .add_if(priority != 0, format_args!("priority {priority}"))
                    .add_if(runtime != 0, format_args!("{of} ns by {by} of {every}"))
                    .add_if(flags != 0, format_args!("flags {flags:#x}"))
                    .end()
            }
            Self::IoPriority { class, level } => {
                let class = Name(&IO_CLASSES, class);
                write!(f, "set the I/O priority IOPRIO_CLASS_{class} {level}")
            }
            Self::Affinity { cpus } => write!(f, "run on the CPUs {}", Numbers(cpus)),
            Self::Personality { persona } => write!(f, "set the personality {persona:#x}"),
            Self::MemoryPolicy { mode, nodes } => write!(
                f,
                "take memory by policy {mode:#x} (nodes {})",
                Numbers(nodes)
            ),
            _ => self.sandbox_in_words(f),
        }
    }
}

/// A name by its number, or the number.
struct Name(&'static [&'static str], u32);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = usize::try_from(self.1)
            .ok()
            .and_then(|number| self.0.get(number));
        match name {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.1),
        }
    }
}
