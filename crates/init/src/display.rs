//! Steps in words, for `explain` and for the messages of failed ones.
//!
//! Every string of a plan is shown escaped: a path of a bundle must not be able to move the
//! reader's cursor or to pretend to be another message.

mod container;
mod mount;
mod sandbox;
#[cfg(test)]
mod tests;
mod why;
mod words;

use core::fmt::{self, Display, Formatter};

use self::words::{
    Capabilities, Descriptors, FilterFlags, GroupList, Limit, List, Propagation, Text,
};
use crate::step::Step;

const MS_REC: u64 = 0x4000;
/// `RLIMIT_*` by their numbers on x86_64 and aarch64.
const LIMITS: [&str; 16] = [
    "CPU",
    "FSIZE",
    "DATA",
    "STACK",
    "CORE",
    "RSS",
    "NPROC",
    "NOFILE",
    "MEMLOCK",
    "AS",
    "LOCKS",
    "SIGPENDING",
    "MSGQUEUE",
    "NICE",
    "RTPRIO",
    "RTTIME",
];
impl Display for Step<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::AwaitCgroup {} => f.write_str("wait to be in the cgroup"),
            Self::AwaitIdMaps {} => f.write_str("wait for the id maps"),
            Self::NotDumpable {} => f.write_str("make init untraceable (not dumpable)"),
            Self::LeaveGroups {} => f.write_str("leave the groups, where that is allowed"),
            Self::SetIds {
                uid,
                gid,
                set_groups,
                groups,
            } => {
                write!(f, "take the ids {uid}:{gid}")?;
                Details::new(f).add_if(set_groups, GroupList(groups)).end()
            }
            Self::Hostname { name } => write!(f, "set host name {}", Text(name)),
            Self::LoopbackUp {} => f.write_str("set up the loopback interface"),
            Self::Propagation { flags } => propagation(f, flags),
            Self::Root { .. }
            | Self::OverlayRoot { .. }
            | Self::EmptyRoot { .. }
            | Self::RootAttributes { .. }
            | Self::Pivot {}
            | Self::Chroot {} => self.root_in_words(f),
            Self::MountPoint { .. }
            | Self::Symlink { .. }
            | Self::Mount { .. }
            | Self::Bind { .. }
            | Self::Remount { .. }
            | Self::MakeNode { .. }
            | Self::Mask { .. }
            | Self::ReadOnly { .. } => self.mount_in_words(f),
            Self::SessionKeyring {} => f.write_str("take an empty session keyring"),
            Self::ResourceLimit { .. }
            | Self::NoNewPrivileges {}
            | Self::Bounding { .. }
            | Self::Capabilities { .. } => self.privilege_in_words(f),
            Self::WorkingDirectory { .. }
            | Self::Console { .. }
            | Self::ParentDeathSignal { .. }
            | Self::JoinCgroup { .. }
            | Self::Ready {}
            | Self::Reaper {}
            | Self::Session {}
            | Self::Exec { .. } => self.process_in_words(f),
            Self::Seccomp {
                program,
                flags,
                listener,
            } => {
                f.write_str("filter system calls")?;
                Details::new(f)
                    .add_if(true, format_args!("{} instructions", program.count()))
                    .add_if(flags != 0, FilterFlags(flags))
                    .add_if(listener, "listener sent to the parent")
                    .end()
            }
            _ => self.container_in_words(f),
        }
    }
}

impl Step<'_> {
    fn privilege_in_words(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ResourceLimit {
                resource,
                soft,
                hard,
            } => {
                let name = usize::try_from(resource)
                    .ok()
                    .and_then(|number| LIMITS.get(number));
                match name {
                    Some(name) => write!(f, "limit RLIMIT_{name} to ")?,
                    None => write!(f, "limit resource {resource} to ")?,
                }
                write!(f, "{}:{}", Limit(soft), Limit(hard))
            }
            Self::Bounding { keep } => {
                write!(f, "keep {} in the bounding set", Capabilities(keep))
            }
            Self::Capabilities {
                effective,
                permitted,
                inheritable,
                ambient,
            } => {
                f.write_str("set capabilities")?;
                capability_sets(f, [effective, permitted, inheritable, ambient])
            }
            _ => f.write_str("refuse new privileges (no_new_privs)"),
        }
    }

    fn process_in_words(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::WorkingDirectory { target, first } => {
                let later = if first { " if that is allowed" } else { "" };
                write!(f, "go to the directory {}{later}", Text(target))
            }
            Self::Console {
                descriptors,
                rows,
                columns,
            } => {
                f.write_str("open a terminal of the container's own")?;
                Details::new(f)
                    .add_if(rows != 0 && columns != 0, format_args!("{columns}x{rows}"))
                    .add_if(descriptors != 0, Descriptors(descriptors))
                    .end()
            }
            Self::ParentDeathSignal { signal } => {
                write!(f, "ask for signal {signal} at the parent's end")
            }
            Self::JoinCgroup { count } => {
                f.write_str("enter the cgroup")?;
                Details::new(f)
                    .add_if(true, format_args!("{count} files received from the parent"))
                    .end()
            }
            Self::Ready {} => f.write_str("tell the parent that everything is ready"),
            Self::Reaper {} => f.write_str("go on in a child, watched over by a reaper"),
            Self::Session {} => f.write_str("start a new session"),
            Self::Exec { candidates, .. } => match candidates.iter().count() {
                0 => f.write_str("execute nothing"),
                1 => write!(f, "execute {}", List(candidates, "")),
                _ => write!(f, "execute the first of {}", List(candidates, ", ")),
            },
            _ => f.write_str(self.name()),
        }
    }
}

fn propagation(f: &mut Formatter<'_>, flags: u64) -> fmt::Result {
    let whose = if flags & MS_REC != 0 {
        "all mounts"
    } else {
        "the root mount"
    };
    write!(f, "make {whose} {}", Propagation(flags & !MS_REC))
}

/// The four sets; those that are the same are named together.
fn capability_sets(f: &mut Formatter<'_>, sets: [u64; 4]) -> fmt::Result {
    const NAMES: [&str; 4] = ["effective", "permitted", "inheritable", "ambient"];
    let named = || NAMES.iter().zip(sets);
    let mut separator = " (";
    for (index, (_, set)) in named().enumerate() {
        if named().take(index).any(|(_, earlier)| earlier == set) {
            continue;
        }
        f.write_str(separator)?;
        separator = "; ";
        let mut comma = "";
        for (name, _) in named().filter(|(_, same)| *same == set) {
            write!(f, "{comma}{name}")?;
            comma = ",";
        }
        write!(f, " {}", Capabilities(set))?;
    }
    f.write_str(")")
}

/// What stands in brackets behind a step: several details, or nothing at all.
struct Details<'a, 'b> {
    f: &'a mut Formatter<'b>,
    any: bool,
    result: fmt::Result,
}

impl<'a, 'b> Details<'a, 'b> {
    fn new(f: &'a mut Formatter<'b>) -> Self {
        Self {
            f,
            any: false,
            result: Ok(()),
        }
    }

    fn add_if(mut self, wanted: bool, detail: impl Display) -> Self {
        if wanted {
            let separator = if self.any { "; " } else { " (" };
            self.any = true;
            self.result = self
                .result
                .and_then(|()| write!(self.f, "{separator}{detail}"));
        }
        self
    }

    fn end(self) -> fmt::Result {
        self.result?;
        if self.any {
            self.f.write_str(")")
        } else {
            Ok(())
        }
    }
}
