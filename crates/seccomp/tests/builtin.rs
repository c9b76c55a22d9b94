//! The profiles that come with the crate, by what their filters answer.
#![allow(clippy::unwrap_used, reason = "tests")]

mod interpreter;

use crabcan_seccomp::{Action, Architecture, Filter, Profile, builtin, syscalls};
use interpreter::{Call, run};

const ALLOW: Action = Action::Allow;
const EPERM: Action = Action::Errno(1);
const ENOSYS: Action = Action::Errno(38);

fn compile(profile: Profile) -> Filter {
    let filter = profile.compile().unwrap();
    assert!(filter.unknown().is_empty(), "{:?}", filter.unknown());
    assert!(!filter.needs_listener());
    filter
}

/// A request of ioctl(2), which is of another type with each C library.
fn request(request: i64) -> u64 {
    request as u64
}

fn native() -> Architecture {
    Architecture::native().unwrap()
}

/// What happens to a native call.
fn answer(filter: &Filter, name: &str, arguments: &[u64]) -> u32 {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    let number = syscalls::number(native(), name).unwrap();
    answer_to(filter, native(), number, all)
}

fn answer_to(filter: &Filter, one: Architecture, number: u32, arguments: [u64; 6]) -> u32 {
    let call = Call {
        number,
        audit: one.audit(),
        arguments,
    };
    run(filter.instructions(), &call, cfg!(target_endian = "little")).0
}

/// Asserts what happens to native calls, given by name and arguments.
fn expect(filter: &Filter, cases: &[(&str, &[u64], Action)]) {
    for (name, arguments, action) in cases {
        let found = answer(filter, name, arguments);
        assert_eq!(
            found,
            action.to_return(),
            "{name} {arguments:x?}: {found:#x}"
        );
    }
}

#[test]
fn the_sandbox_allows_what_ordinary_programs_do() {
    let filter = compile(builtin::sandbox());
    for name in [
        "read",
        "openat",
        "mmap",
        "mprotect",
        "futex",
        "execve",
        "wait4",
        "socketpair",
        "connect",
        "epoll_ctl",
        "prctl",
        "seccomp",
        "landlock_restrict_self",
        "memfd_create",
        "rseq",
        "pidfd_open",
        "getrandom",
        "clock_gettime",
        "setresuid",
        "capset",
        "io_setup",
        "mseal",
    ] {
        expect(&filter, &[(name, &[], ALLOW)]);
    }
    // A thread and a process of glibc's, all bits above 31 are for nobody.
    let flags = u32::from(cfg!(target_arch = "s390x")) as usize;
    for value in [0x3d_0f00, 0x0120_0011, 17, 0x80 | 17, 0x4111] {
        let mut arguments = [0; 2];
        arguments[flags] = value;
        expect(&filter, &[("clone", &arguments, ALLOW)]);
    }
    expect(
        &filter,
        &[
            ("personality", &[0xffff_ffff], ALLOW),
            ("personality", &[u64::MAX], ALLOW),
            ("personality", &[0x4_0000], EPERM),
            ("unshare", &[0x200], ALLOW),
            ("ioctl", &[0, request(libc::TIOCGWINSZ as i64)], ALLOW),
            ("socket", &[1, 1, 0], ALLOW),
        ],
    );
}

#[test]
fn the_sandbox_refuses_what_reaches_for_the_kernel() {
    let filter = compile(builtin::sandbox());
    for name in [
        "mount",
        "umount2",
        "pivot_root",
        "fsopen",
        "open_tree",
        "move_mount",
        "mount_setattr",
        "setns",
        "keyctl",
        "add_key",
        "bpf",
        "perf_event_open",
        "userfaultfd",
        "io_uring_setup",
        "ptrace",
        "process_vm_readv",
        "kexec_load",
        "init_module",
        "finit_module",
        "reboot",
        "open_by_handle_at",
        "clock_settime",
        "swapon",
        "chroot",
        "move_pages",
        "pidfd_getfd",
    ] {
        expect(&filter, &[(name, &[], EPERM)]);
    }
    expect(&filter, &[("clone3", &[], ENOSYS)]);
    let flags = u32::from(cfg!(target_arch = "s390x")) as usize;
    for bit in [17, 25, 26, 27, 28, 29, 30] {
        let mut arguments = [0; 2];
        arguments[flags] = 17 | 1 << bit;
        expect(
            &filter,
            &[
                ("clone", &arguments, EPERM),
                ("unshare", &[1 << bit], EPERM),
            ],
        );
    }
    expect(&filter, &[("unshare", &[0x80], EPERM)]);
    // Set upper bits reach the kernel as if they were not there.
    for value in [libc::TIOCSTI as i64, libc::TIOCLINUX as i64].map(request) {
        for upper in [0, 1 << 32, 1 << 63] {
            expect(&filter, &[("ioctl", &[0, value | upper], EPERM)]);
        }
    }
    for family in [40, 38, 40 | 1 << 32] {
        expect(&filter, &[("socket", &[family], EPERM)]);
    }
}

#[test]
fn the_sandbox_does_not_know_the_future() {
    let filter = compile(builtin::sandbox());
    // Nor what neither of its lists has, though older than the newest call that one of them has.
    expect(&filter, &[("lsm_set_self_attr", &[], ENOSYS)]);
    for number in [470, 600, 5000] {
        if syscalls::name(native(), number).is_none() {
            assert_eq!(
                answer_to(&filter, native(), number, [0; 6]),
                ENOSYS.to_return()
            );
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_sandbox_serves_x86_and_refuses_x32() {
    let filter = compile(builtin::sandbox());
    let x86 = |name, first| {
        let number = syscalls::number(Architecture::X86, name).unwrap();
        answer_to(&filter, Architecture::X86, number, [first, 0, 0, 0, 0, 0])
    };
    assert_eq!(x86("mmap2", 0), ALLOW.to_return());
    assert_eq!(x86("mount", 0), EPERM.to_return());
    assert_eq!(x86("socketcall", 3), ALLOW.to_return());
    assert_eq!(x86("socketcall", 1), EPERM.to_return());
    let x32 = answer_to(&filter, Architecture::X32, 0x4000_0000, [0; 6]);
    assert_eq!(x32, Action::KillProcess.to_return());
}

#[test]
fn the_tutorial_refuses_what_it_meant() {
    let filter = compile(builtin::tutorial());
    let sti = request(libc::TIOCSTI as i64);
    expect(
        &filter,
        &[
            ("fchmod", &[3, 0o755], ALLOW),
            ("fchmod", &[3, 0o4755], EPERM),
            ("fchmod", &[3, 0o2755], EPERM),
            ("fchmod", &[3, 0o1777], ALLOW),
            ("fchmodat", &[3, 0, 0o6755], EPERM),
            ("fchmodat2", &[3, 0, 0o4000], EPERM),
            ("openat", &[3, 0, libc::O_CREAT as u64, 0o4700], EPERM),
            ("openat", &[3, 0, libc::O_TMPFILE as u64, 0o2700], EPERM),
            ("openat", &[3, 0, libc::O_DIRECTORY as u64, 0o4700], ALLOW),
            (
                "openat",
                &[3, 0, libc::O_CREAT as u64 | 0o4000, 0o700],
                ALLOW,
            ),
            ("openat2", &[], ENOSYS),
            ("mknodat", &[3, 0, 0o2644], EPERM),
            ("unshare", &[0x1000_0000], EPERM),
            ("unshare", &[0x2_0000], ALLOW),
            ("clone3", &[], ENOSYS),
            ("ioctl", &[0, sti], EPERM),
            ("ioctl", &[0, sti | 1 << 32], EPERM),
            ("keyctl", &[], EPERM),
            ("mbind", &[], EPERM),
            ("userfaultfd", &[], EPERM),
            ("perf_event_open", &[], EPERM),
            ("mount", &[], ALLOW),
            ("read", &[], ALLOW),
        ],
    );
    // The tutorial's own filter took all of these for TIOCSTI.
    for value in 0x5400..0x5480 {
        let expected = if value == sti { EPERM } else { ALLOW };
        expect(&filter, &[("ioctl", &[0, value], expected)]);
    }
}
