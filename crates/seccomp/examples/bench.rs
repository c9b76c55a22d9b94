//! How long a profile like docker's takes to compile, how large it becomes, and how many
//! instructions frequent calls execute.
//!
//! ```text
//! cargo run --release -p crabcan-seccomp --example bench
//! ```
//!
//! The profile has that one's shape: all calls of 6.12 but those below are allowed on three
//! architectures, a few by their arguments.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

#[path = "../tests/interpreter/mod.rs"]
mod interpreter;

use std::collections::BTreeSet;
use std::time::Instant;

use crabcan_seccomp::{Action, Architecture, Comparison, Error, Profile, Rule, syscalls};
use interpreter::{Call, run};

const ARCHITECTURES: [Architecture; 3] =
    [Architecture::X86_64, Architecture::X86, Architecture::X32];

/// Not allowed, or not without conditions.
const HELD_BACK: &str = "_sysctl acct add_key afs_syscall bdflush bpf break clock_adjtime \
    clock_adjtime64 clock_settime clock_settime64 clone clone3 create_module delete_module \
    fanotify_init finit_module fsconfig fsmount fsopen fspick ftime get_kernel_syms get_mempolicy \
    getpmsg gtty idle init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp \
    kexec_file_load kexec_load keyctl lock lookup_dcookie lsm_get_self_attr lsm_list_modules \
    lsm_set_self_attr mbind migrate_pages mount mount_setattr move_mount move_pages mpx \
    name_to_handle_at nfsservctl open_by_handle_at open_tree open_tree_attr perf_event_open \
    personality pivot_root prof profil putpmsg query_module quotactl quotactl_fd reboot request_key \
    security set_mempolicy set_mempolicy_home_node setdomainname sethostname setns settimeofday \
    socket stime stty swapoff swapon sysfs syslog tuxcall ulimit umount umount2 unshare uselib \
    userfaultfd ustat vhangup vm86 vm86old vserver chroot ptrace process_vm_readv process_vm_writev \
    file_getattr file_setattr getxattrat setxattrat listxattrat removexattrat uretprobe uprobe";

const FREQUENT: [&str; 10] = [
    "read",
    "write",
    "futex",
    "openat",
    "close",
    "fstat",
    "mmap",
    "epoll_wait",
    "recvmsg",
    "clock_gettime",
];

fn profile() -> Profile {
    let held_back: BTreeSet<&str> = HELD_BACK.split_whitespace().collect();
    let all: BTreeSet<&str> = ARCHITECTURES
        .iter()
        .flat_map(|one| syscalls::all(*one))
        .map(|(name, _)| name)
        .filter(|name| !held_back.contains(name))
        .collect();
    let namespaces = Comparison::MaskedEq {
        mask: 0x7e02_0000,
        value: 0,
    };
    let personalities = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];
    Profile::new(Action::Errno(1))
        .architectures(ARCHITECTURES)
        .rule(Rule::new(Action::Allow, all))
        .rule(Rule::new(
            Action::Allow,
            ["process_vm_readv", "process_vm_writev", "ptrace"],
        ))
        .rule(Rule::new(Action::Allow, ["socket"]).argument(0, Comparison::Ne(40)))
        .rules(personalities.map(|value| {
            Rule::new(Action::Allow, ["personality"]).argument(0, Comparison::Eq(value))
        }))
        .rule(Rule::new(Action::Allow, ["clone"]).argument(0, namespaces))
        .rule(Rule::new(Action::Errno(38), ["clone3"]))
}

fn main() -> Result<(), Error> {
    let profile = profile();
    let mut times = Vec::new();
    for _ in 0..200 {
        let start = Instant::now();
        std::hint::black_box(profile.compile()?);
        times.push(start.elapsed());
    }
    println!("first compile {:?}", times[0]);
    times.sort_unstable();
    println!("median compile {:?}", times[times.len() / 2]);
    let filter = profile.compile()?;
    println!("instructions {}", filter.instructions().len());
    println!("tree depth {}", filter.depth());
    let mut sum = 0;
    for name in FREQUENT {
        let Some(number) = syscalls::number(Architecture::X86_64, name) else {
            continue;
        };
        let call = Call {
            number,
            audit: Architecture::X86_64.audit(),
            arguments: [0; 6],
        };
        let (answer, steps) = run(filter.instructions(), &call, true);
        println!("{name}: {steps} instructions to {answer:#x}");
        sum += steps;
    }
    println!("average of ten frequent calls {}.{}", sum / 10, sum % 10);
    Ok(())
}
