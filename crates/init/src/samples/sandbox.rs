//! Samples of the steps of a sandbox that is put together piece by piece.

use alloc::vec;

use super::{Samples, strings};
use crate::step::Step;

pub(super) fn pieces() -> Samples {
    vec![
        (
            Step::EmptyRoot {
                options: strings(b"mode=755\0"),
                attributes: 6,
            },
            "take an empty root (nosuid,nodev; mode=755)",
        ),
        (
            Step::Directory {
                target: c"/run/user",
                mode: 0o700,
            },
            "make the directory /run/user (mode 0700)",
        ),
        (
            Step::File {
                target: c"/etc/passwd",
                mode: 0o644,
            },
            "write the file /etc/passwd (mode 0644; contents received from the parent)",
        ),
        (
            Step::BindFile {
                target: c"/etc/group",
                mode: 0o600,
                attributes: 1,
            },
            "bind a new file on /etc/group (ro; mode 0600; contents received from the parent)",
        ),
        (
            Step::Permissions {
                target: c"/tmp",
                mode: 0o1777,
            },
            "change the mode of /tmp to 1777",
        ),
        (
            Step::SameFile {
                target: c"/data",
                device: 0x801,
                inode: 42,
            },
            "check that /data is the file that was opened (device 0x801; inode 42)",
        ),
    ]
}

pub(super) fn places() -> Samples {
    vec![
        (
            Step::LockFile {
                target: c"/app/.ref",
            },
            "hold a shared lock on /app/.ref",
        ),
        (
            Step::FirstDirectory {
                candidates: strings(b"/work\0/root\0/\0"),
            },
            "go to the first directory of /work, /root, /",
        ),
        (
            Step::Overlay {
                lowers: strings(b"/top\0/bottom\0"),
                received: false,
                upper: c"/changes",
                work: c"/work",
                private: false,
                attributes: 6,
                target: c"/data",
            },
            "overlay /top, /bottom on /data (nosuid,nodev; changes go to /changes)",
        ),
    ]
}

pub(super) fn walls() -> Samples {
    vec![
        (
            Step::Timings { descriptor: 5 },
            "note when each step has ended (descriptor 5)",
        ),
        (
            Step::Landlock { access: 4 },
            "receive a Landlock ruleset from the parent (descriptors 0, 1, 2: read_file)",
        ),
        (
            Step::LandlockRule {
                target: c"/tmp",
                access: 0x800d,
            },
            "allow beneath /tmp execute,read_file,read_dir,ioctl_dev",
        ),
        (
            Step::LandlockRestrict {},
            "refuse all other access (Landlock)",
        ),
        (
            Step::HookOutput { number: 2 },
            "receive what hooks have as descriptor 2",
        ),
    ]
}
