//! Samples of the steps that an OCI container has more than a sandbox.

use alloc::vec;

use super::{Samples, strings};
use crate::format::{Bits, Change, Changes};
use crate::step::{Step, TARGET_NO_FOLLOW};

pub(super) fn mounts() -> Samples {
    vec![
        (
            Step::Remount {
                target: c"/srv",
                changes: Changes::new(&CHANGE).unwrap(),
                options: strings(b"size=1m\0"),
                flags: TARGET_NO_FOLLOW,
            },
            "change the mount on /srv (ro,suid,relatime,slave and all below; size=1m)",
        ),
        (
            Step::MakeNode {
                target: c"/dev/fuse",
                mode: 0o020_660,
                device: 0x0ae5,
                uid: 0,
                gid: 5,
            },
            "make the character device /dev/fuse (device 10:229; mode 0660; owner 0:5)",
        ),
        (Step::Chroot {}, "enter the root (chroot)"),
        (
            Step::AttachedRoot {
                propagation: 1 << 18,
            },
            "take the root that is attached among the host's mounts (private)",
        ),
        (Step::EnterRoot {}, "enter the root (chroot)"),
        (
            Step::ConsoleDevice { uid: 1000 },
            "bind the terminal on /dev/console (owner 1000)",
        ),
    ]
}

pub(super) fn namespaces() -> Samples {
    vec![
        (Step::Procfs {}, "open a procfs to write to"),
        (
            Step::Join { flags: 0x1002_0000 },
            "join namespaces (user,mount)",
        ),
        (Step::Unshare { flags: 0x80 }, "make namespaces (time)"),
        (
            Step::TimeOffsets {
                offsets: strings(b"monotonic 86400 0\0boottime 7 5\0"),
            },
            "offset the clocks (monotonic 86400 0; boottime 7 5)",
        ),
        (Step::Fork {}, "go on in a child in the pid namespace"),
    ]
}

pub(super) fn life() -> Samples {
    vec![
        (
            Step::AwaitStart { descriptor: 5 },
            "wait for the start (descriptor 5)",
        ),
        (
            Step::FindProgram {
                candidates: strings(b"/usr/bin/echo\0/bin/echo\0"),
            },
            "look for /usr/bin/echo, /bin/echo",
        ),
        (Step::RuntimeHooks {}, "have the parent run its hooks"),
        (
            Step::Hook {
                path: c"/usr/bin/hook",
                args: strings(b"hook\0--now\0"),
                env: strings(b"A=b\0"),
                timeout_ms: 1500,
                state: c"{\"pid\":\x01}",
            },
            "run the hook /usr/bin/hook (at most 1500 ms)",
        ),
        (
            Step::Domainname {
                name: c"example.org",
            },
            "set domain name example.org",
        ),
        (
            Step::Sysctl {
                key: c"net/ipv4/ip_forward",
                value: c"1",
            },
            "set /proc/sys/net/ipv4/ip_forward to 1",
        ),
        (
            Step::OomScoreAdj { score: -500 },
            "set oom_score_adj to -500",
        ),
        (Step::Umask { mask: 0o027 }, "set the umask 0027"),
    ]
}

pub(super) fn resources() -> Samples {
    vec![
        (
            Step::Scheduler {
                policy: 6,
                flags: 1,
                nice: 0,
                priority: 0,
                runtime: 1,
                deadline: 2,
                period: 3,
            },
            "schedule by SCHED_DEADLINE (1 ns by 2 of 3; flags 0x1)",
        ),
        (
            Step::IoPriority { class: 2, level: 4 },
            "set the I/O priority IOPRIO_CLASS_BE 4",
        ),
        (
            Step::Affinity {
                cpus: Bits::new(&BITS).unwrap(),
            },
            "run on the CPUs 0,2-4,64",
        ),
        (Step::Personality { persona: 8 }, "set the personality 0x8"),
        (
            Step::MemoryPolicy {
                mode: 0x8002,
                nodes: Bits::new(b"").unwrap(),
            },
            "take memory by policy 0x8002 (nodes none)",
        ),
        (
            Step::ExecLabel {
                attribute: c"apparmor/exec",
                label: c"exec crabcan",
            },
            "execute with the label exec crabcan (attr/apparmor/exec)",
        ),
        (
            Step::PreserveDescriptors { first: 6, count: 2 },
            "hand 2 descriptors on (from 6)",
        ),
        (Step::Home { uid: 1000 }, "look up the home of user 1000"),
    ]
}

/// Read-only, set-user-ID bits mean something, access times as usual, a slave: with all below.
static CHANGE: [u8; 32] = words([1, 0x72, 1 << 19, 1]);

/// The numbers 0, 2 to 4, and 64.
static BITS: [u8; 16] = {
    let words: [u8; 32] = words([0b11101, 1, 0, 0]);
    let (bits, _) = words.as_chunks::<16>().0.split_at(1);
    bits[0]
};

/// A change as it stands in a list.
pub(super) const fn change(change: Change) -> [u8; 32] {
    let recursive = change.recursive as u64;
    words([change.set, change.clear, change.propagation, recursive])
}

/// Four words of eight bytes.
const fn words(words: [u64; 4]) -> [u8; 32] {
    let mut bytes = [0; 32];
    let mut index = 0;
    while index < bytes.len() {
        bytes[index] = words[index / 8].to_ne_bytes()[index % 8];
        index += 1;
    }
    bytes
}

#[test]
fn a_change_is_written_as_it_is_read() {
    let change = Change {
        set: 1,
        clear: 0x72,
        propagation: 1 << 19,
        recursive: true,
    };
    assert_eq!(change.to_bytes(), CHANGE);
    assert!(Changes::new(&CHANGE).unwrap().iter().eq([change]));
    assert_eq!(Change::set(0x10, false).clear, 0x70, "access times");
    assert_eq!(Change::set(0x1, false).clear, 0);
    assert_eq!(Changes::new(&CHANGE[..31]), None);
    assert_eq!(Changes::new(&words([0, 0, 0, 2])), None);
    assert_eq!(Bits::new(&BITS[..15]), None);
    assert!(Bits::new(&BITS).unwrap().iter().eq([0, 2, 3, 4, 64]));
}
