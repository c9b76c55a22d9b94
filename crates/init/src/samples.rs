//! One step of each kind, with what it is called in words: for the tests of the format and of
//! the words. The tests fail when a kind has no sample here.

mod container;
mod sandbox;

use alloc::vec;
use alloc::vec::Vec;

use crate::format::{Change, Changes, Groups, Instructions, Strings};
use crate::step::{Step, TARGET_CREATE, TARGET_NO_SYMLINKS, TARGET_OPTIONAL};

fn strings(bytes: &'static [u8]) -> Strings<'static> {
    Strings::new(bytes).unwrap()
}

/// The samples, in the order of [`Step::NAMES`].
pub(crate) fn samples() -> Samples {
    let parts = [
        isolation(),
        roots(),
        mounts(),
        covers(),
        privileges(),
        program(),
        container::mounts(),
        container::namespaces(),
        container::life(),
        container::resources(),
        sandbox::pieces(),
        sandbox::places(),
        sandbox::walls(),
    ];
    parts.into_iter().flatten().collect()
}

type Samples = Vec<(Step<'static>, &'static str)>;

fn isolation() -> Samples {
    vec![
        (Step::AwaitIdMaps {}, "wait for the id maps"),
        (Step::NotDumpable {}, "make init untraceable (not dumpable)"),
        (
            Step::LeaveGroups {},
            "leave the groups, where that is allowed",
        ),
        (
            Step::SetIds {
                uid: 1000,
                gid: 100,
                set_groups: true,
                groups: Groups::new(&GROUPS).unwrap(),
            },
            "take the ids 1000:100 (groups 1,67305985)",
        ),
        (
            Step::Hostname {
                name: c"brisk-otter-12",
            },
            "set host name brisk-otter-12",
        ),
        (Step::LoopbackUp {}, "set up the loopback interface"),
        (
            Step::Propagation { flags: 0x44000 },
            "make all mounts private",
        ),
    ]
}

fn roots() -> Samples {
    vec![
        (
            Step::Root {
                source: c"/srv/root",
                received: true,
                recursive: true,
                in_place: true,
                changes: Changes::new(&SET).unwrap(),
            },
            "take /srv/root as the root (recursive; in its place; noexec,strictatime; received from the parent)",
        ),
        (
            Step::OverlayRoot {
                lower: c"/srv/root",
                received: false,
                attributes: 2,
            },
            "take an overlay of /srv/root as the root (nosuid)",
        ),
    ]
}

fn mounts() -> Samples {
    vec![
        (
            Step::MountPoint {
                target: c"/srv/data",
                directory: true,
            },
            "make the mount point /srv/data (a directory)",
        ),
        (
            Step::Symlink {
                text: c"/proc/self/fd",
                target: c"/dev/fd",
            },
            "make the symbolic link /dev/fd to /proc/self/fd",
        ),
        (
            Step::Mount {
                fstype: c"tmpfs",
                source: c"tmpfs",
                options: strings(b"mode=755\0size=65536k\0"),
                attributes: 0xe,
                propagation: 1 << 20,
                target: c"/dev",
                flags: TARGET_CREATE,
            },
            "mount tmpfs on /dev (nosuid,noexec,nodev; shared; mode=755,size=65536k)",
        ),
        (
            Step::Bind {
                source: c"/dev/null",
                received: false,
                recursive: false,
                changes: Changes::new(&SET).unwrap(),
                target: c"/dev/null",
                flags: TARGET_OPTIONAL | TARGET_NO_SYMLINKS,
                device: 0x103,
            },
            "bind /dev/null on /dev/null if it is there (noexec,strictatime and all below; device 1:3)",
        ),
    ]
}

fn covers() -> Samples {
    vec![
        (
            Step::Mask {
                target: c"/proc/kcore",
            },
            "mask /proc/kcore",
        ),
        (
            Step::ReadOnly {
                target: c"/proc/sys",
            },
            "make /proc/sys read-only",
        ),
        (
            Step::RootAttributes { attributes: 1 },
            "make the root read-only",
        ),
        (Step::Pivot {}, "enter the root (pivot_root)"),
        (
            Step::Console {
                descriptors: 7,
                rows: 24,
                columns: 80,
            },
            "open a terminal of the container's own (80x24; descriptors 0,1,2)",
        ),
        (
            Step::WorkingDirectory {
                target: c"/x",
                first: false,
            },
            "go to the directory /x",
        ),
    ]
}

fn privileges() -> Samples {
    vec![
        (
            Step::ResourceLimit {
                resource: 7,
                soft: 64,
                hard: u64::MAX,
            },
            "limit RLIMIT_NOFILE to 64:unlimited",
        ),
        (Step::SessionKeyring {}, "take an empty session keyring"),
        (
            Step::NoNewPrivileges {},
            "refuse new privileges (no_new_privs)",
        ),
        (
            Step::Bounding {
                keep: 1 | 1 << 40 | 1 << 41,
            },
            "keep CAP_CHOWN,CAP_CHECKPOINT_RESTORE,capability 41 in the bounding set",
        ),
        (
            Step::Capabilities {
                effective: 1 << 21,
                permitted: 1 << 21,
                inheritable: 0,
                ambient: 0,
            },
            "set capabilities (effective,permitted CAP_SYS_ADMIN; \
             inheritable,ambient no capability)",
        ),
        (
            Step::ParentDeathSignal { signal: 9 },
            "ask for signal 9 at the parent's end",
        ),
    ]
}

fn program() -> Samples {
    vec![
        (Step::Ready {}, "tell the parent that everything is ready"),
        (
            Step::Reaper {},
            "go on in a child, watched over by a reaper",
        ),
        (
            Step::JoinCgroup { count: 3 },
            "enter the cgroup (3 files received from the parent)",
        ),
        (Step::AwaitCgroup {}, "wait to be in the cgroup"),
        (Step::Session {}, "start a new session"),
        (
            Step::Seccomp {
                program: Instructions::new(&FILTER).unwrap(),
                flags: 6,
                listener: true,
            },
            "filter system calls (2 instructions; log,spec_allow; listener sent to the parent)",
        ),
        (
            Step::Exec {
                candidates: strings(b"/usr/bin/echo\0/bin/echo\0"),
                args: strings(b"echo\0hello\0\0"),
                env: strings(b"PATH=/bin\0"),
            },
            "execute the first of /usr/bin/echo, /bin/echo",
        ),
    ]
}

/// No programs, access times always kept: for the mounts below as well.
static SET: [u8; 32] = container::change(Change::set(0x28, true));

/// Any two instructions.
static FILTER: [u8; 16] = *b"\x20\0\0\0\0\0\0\0\x06\0\0\0\0\0\xff\x7f";

/// Two groups: 1, and one whose four bytes all differ.
static GROUPS: [u8; 8] = {
    let (one, other) = (1u32.to_ne_bytes(), 0x0403_0201u32.to_ne_bytes());
    [
        one[0], one[1], one[2], one[3], other[0], other[1], other[2], other[3],
    ]
};

#[test]
fn there_is_a_sample_of_every_step() {
    let names: Vec<_> = samples().iter().map(|(step, _)| step.name()).collect();
    assert_eq!(names, Step::NAMES);
}
