//! Profiles that come with the crate.

#[cfg(target_arch = "x86_64")]
mod x86_64;

use crate::{Action, Architecture, Comparison, Error, Filter, Profile, Rule};

const EPERM: Action = Action::Errno(1);
const ENOSYS: Action = Action::Errno(38);

/// What the kernel looks at of an argument that it takes as 32 bits.
const INT: u64 = 0xffff_ffff;
/// Puts a byte into the input of a terminal.
const TIOCSTI: u64 = widened(libc::TIOCSTI as i64);
/// Does so, among others, with the console's selection.
const TIOCLINUX: u64 = widened(libc::TIOCLINUX as i64);
/// The flags of clone(2) and unshare(2) that make namespaces. `CLONE_NEWTIME` is one of unshare(2)
/// alone: for clone(2) the bit belongs to the signal.
const NEW_NAMESPACES: u64 = 0x7e02_0000;
const CLONE_NEWTIME: u64 = 0x80;
const CLONE_NEWUSER: u64 = 0x1000_0000;
const AF_VSOCK: u64 = 40;
const AF_ALG: u64 = 38;
/// The part of `socketcall` that is socket(2).
const SYS_SOCKET: u64 = 1;
const O_CREAT: u64 = libc::O_CREAT as u64;
/// The bit that it has for itself; the other says that it is a directory.
const O_TMPFILE: u64 = (libc::O_TMPFILE & !libc::O_DIRECTORY) as u64;
const S_ISUID: u64 = 0o4000;
const S_ISGID: u64 = 0o2000;

/// A request of ioctl(2), which is of another type with each C library.
const fn widened(request: i64) -> u64 {
    request as u64
}

/// Which programs may run beside the native ones: those of the 32-bit architecture that its kernel
/// serves, too. Not x32, which no distribution uses and whose numbers have confused filters before.
fn architectures() -> Vec<Architecture> {
    use Architecture as A;
    match A::native() {
        Some(A::X86_64) => vec![A::X86_64, A::X86],
        Some(A::Aarch64) => vec![A::Aarch64, A::Arm],
        Some(A::Mips64) => vec![A::Mips64, A::Mips, A::Mips64N32],
        Some(A::Mipsel64) => vec![A::Mipsel64, A::Mipsel, A::Mipsel64N32],
        Some(A::Ppc64) => vec![A::Ppc64, A::Ppc],
        Some(A::S390x) => vec![A::S390x, A::S390],
        other => other.into_iter().collect(),
    }
}

fn names(words: &'static str) -> impl Iterator<Item = &'static str> {
    words.split_ascii_whitespace()
}

/// An argument that the kernel takes as 32 bits is this.
fn int(value: u64) -> Comparison {
    Comparison::MaskedEq { mask: INT, value }
}

/// A list of what a program that is not trusted may do: all that ordinary programs need, threads,
/// just-in-time compilers and sandboxes of their own included, and nothing that reaches for the
/// kernel's administration.
///
/// Refused with EPERM is what is known and not meant for such programs: mounting by the old and the
/// new calls, making and joining namespaces, keyrings, bpf, io_uring, userfaultfd, performance
/// events, looking into other processes (ptrace and its like), NUMA placement, typing into a terminal
/// (TIOCSTI, TIOCLINUX), sockets of the kinds AF_VSOCK and AF_ALG, file handles, modules, clocks,
/// quotas, swap, reboot. ENOSYS is the answer to `clone3`, whose flags a filter can't see, so that
/// programs fall back to `clone`, and to every call
/// that is in neither list, above all to those that do not exist yet.
///
/// It does not depend on capabilities: a program that has some needs another profile.
pub fn sandbox() -> Profile {
    let personalities = [0, 0x8, 0x2_0000, 0x2_0008, INT];
    let mut known = Rule::new(Action::Allow, ["personality"]);
    for value in personalities {
        known = known.argument(0, int(value));
    }
    // The argument that has the flags; the s390 kernel takes the stack first.
    let flags = u32::from(cfg!(target_arch = "s390x"));
    let none = |mask| Comparison::MaskedEq { mask, value: 0 };
    Profile::new(ENOSYS)
        .architectures(architectures())
        .rule(
            Rule::new(EPERM, ["ioctl"])
                .argument(1, int(TIOCSTI))
                .argument(1, int(TIOCLINUX)),
        )
        // A virtual machine's host, and ciphers in the kernel: neither is of the container.
        .rule(
            Rule::new(EPERM, ["socket"])
                .argument(0, int(AF_VSOCK))
                .argument(0, int(AF_ALG)),
        )
        // There the family can't be seen; programs try the call of its own first.
        .rule(Rule::new(EPERM, ["socketcall"]).argument(0, int(SYS_SOCKET)))
        .rule(known)
        .rule(Rule::new(Action::Allow, ["clone"]).argument(flags, none(NEW_NAMESPACES)))
        .rule(
            Rule::new(Action::Allow, ["unshare"]).argument(0, none(NEW_NAMESPACES | CLONE_NEWTIME)),
        )
        // Its flags are behind a pointer; without it programs fall back to clone.
        .rule(Rule::new(ENOSYS, ["clone3"]))
        .rule(Rule::new(EPERM, names(REFUSED)))
        .rule(Rule::new(Action::Allow, names(FILES)))
        .rule(Rule::new(Action::Allow, names(MEMORY)))
        .rule(Rule::new(Action::Allow, names(PROCESSES)))
        .rule(Rule::new(Action::Allow, names(COMMUNICATION)))
        .rule(Rule::new(Action::Allow, names(TIME)))
}

/// The filter of [`sandbox`]: on x86_64 without compiling it, which takes longer than all the rest of
/// a sandbox' plan.
///
/// # Errors
/// As [`Profile::compile`] has them.
#[cfg(target_arch = "x86_64")]
pub fn sandbox_filter() -> Result<Filter, Error> {
    Ok(x86_64::sandbox())
}

/// The filter of [`sandbox`].
///
/// # Errors
/// As [`Profile::compile`] has them.
#[cfg(not(target_arch = "x86_64"))]
pub fn sandbox_filter() -> Result<Filter, Error> {
    sandbox().compile()
}

/// Asks a listener about every call but one: sendmsg(2) with this mark in the upper half of its flags,
/// where the kernel does not look. By that one the listener itself can be sent to who answers.
pub fn asking(mark: u64) -> Profile {
    let marked = Comparison::MaskedEq {
        mask: !INT,
        value: mark,
    };
    let x32 = (Architecture::native() == Some(Architecture::X86_64)).then_some(Architecture::X32);
    Profile::new(Action::Notify)
        .enosys_for_newer(false)
        .architectures(architectures())
        .architectures(x32)
        .rule(Rule::new(Action::Allow, ["sendmsg"]).argument(2, marked))
}

/// What step 13 of the tutorial refuses, as it was meant: everything else is allowed.
///
/// Its own filter compared under masks that were the values themselves. So `TIOCSTI` also hit 31
/// other requests of terminals, and its rules knew neither `clone3` nor the newer ways to change a
/// mode.
pub fn tutorial() -> Profile {
    let bit = |bit| Comparison::MaskedEq {
        mask: bit,
        value: bit,
    };
    // The place of the mode differs. Each bit is a condition of its own: either is refused.
    let set_id = |rule: Rule, mode| {
        rule.argument(mode, bit(S_ISUID))
            .argument(mode, bit(S_ISGID))
    };
    // There the mode only counts when a file is made.
    let making = |rule: Rule, flags| {
        rule.argument(flags, bit(O_CREAT))
            .argument(flags, bit(O_TMPFILE))
    };
    let refused = |words| Rule::new(EPERM, names(words));
    let modes = [
        set_id(refused("chmod fchmod mknod creat"), 1),
        set_id(refused("fchmodat fchmodat2 mknodat"), 2),
        set_id(making(refused("open"), 1), 2),
        set_id(making(refused("openat"), 2), 3),
    ];
    Profile::new(Action::Allow)
        .architectures(architectures())
        .rules(modes)
        .rule(
            Rule::new(EPERM, ["clone"])
                .argument(u32::from(cfg!(target_arch = "s390x")), bit(CLONE_NEWUSER)),
        )
        .rule(Rule::new(EPERM, ["unshare"]).argument(0, bit(CLONE_NEWUSER)))
        // What they are asked for is behind a pointer; without them programs use the older ones.
        .rule(Rule::new(ENOSYS, ["clone3", "openat2"]))
        .rule(Rule::new(EPERM, ["ioctl"]).argument(1, int(TIOCSTI)))
        .rule(Rule::new(
            EPERM,
            names(
                "keyctl add_key request_key mbind migrate_pages move_pages set_mempolicy \
                 userfaultfd perf_event_open",
            ),
        ))
}

/// Known, and not for a program that is not trusted; what is left of calls that are allowed with
/// conditions.
const REFUSED: &str = "\
    clone unshare setns personality mount umount umount2 pivot_root chroot fsopen fsconfig fsmount \
    fspick move_mount open_tree open_tree_attr mount_setattr statmount listmount add_key keyctl \
    request_key bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register \
    fanotify_init fanotify_mark ptrace process_vm_readv process_vm_writev process_madvise kcmp \
    pidfd_getfd open_by_handle_at lookup_dcookie get_mempolicy set_mempolicy \
    set_mempolicy_home_node mbind migrate_pages move_pages init_module finit_module delete_module \
    kexec_load kexec_file_load reboot swapon swapoff acct quotactl quotactl_fd syslog vhangup \
    sethostname setdomainname uselib settimeofday stime clock_settime clock_settime64 iopl ioperm \
    modify_ldt vm86 vm86old pciconfig_iobase pciconfig_read pciconfig_write rtas \
    s390_pci_mmio_read s390_pci_mmio_write spu_create spu_run";

/// Files, directories, descriptors.
const FILES: &str = "\
    read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek _llseek open \
    openat openat2 creat close close_range dup dup2 dup3 fcntl fcntl64 ioctl pipe pipe2 splice tee \
    vmsplice sendfile sendfile64 copy_file_range stat stat64 lstat lstat64 fstat fstat64 \
    newfstatat fstatat64 statx oldstat oldlstat oldfstat access faccessat faccessat2 statfs \
    statfs64 fstatfs fstatfs64 getdents getdents64 readdir getcwd chdir fchdir mkdir mkdirat rmdir \
    mknod mknodat link linkat symlink symlinkat unlink unlinkat rename renameat renameat2 readlink \
    readlinkat name_to_handle_at chmod fchmod fchmodat fchmodat2 chown chown32 fchown fchown32 \
    lchown lchown32 fchownat umask utime utimes utimensat utimensat_time64 futimesat truncate \
    truncate64 ftruncate ftruncate64 fallocate flock fsync fdatasync sync syncfs sync_file_range \
    sync_file_range2 arm_sync_file_range fadvise64 fadvise64_64 arm_fadvise64_64 readahead \
    cachestat getxattr lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr setxattrat \
    listxattr llistxattr flistxattr listxattrat removexattr lremovexattr fremovexattr \
    removexattrat file_getattr file_setattr select _newselect pselect6 pselect6_time64 poll ppoll \
    ppoll_time64 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_wait epoll_wait_old \
    epoll_pwait epoll_pwait2 eventfd eventfd2 signalfd signalfd4 inotify_init inotify_init1 \
    inotify_add_watch inotify_rm_watch io_setup io_destroy io_submit io_cancel io_getevents \
    io_pgetevents io_pgetevents_time64";

/// Memory, and what just-in-time compilers need beside it.
const MEMORY: &str = "\
    brk mmap mmap2 munmap mremap mprotect pkey_alloc pkey_free pkey_mprotect madvise mincore msync \
    mlock mlock2 mlockall munlock munlockall mseal remap_file_pages map_shadow_stack memfd_create \
    memfd_secret membarrier cacheflush cachectl riscv_flush_icache riscv_hwprobe sysmips \
    atomic_barrier atomic_cmpxchg_32 subpage_prot swapcontext";

/// Processes, threads, signals, ids and limits.
const PROCESSES: &str = "\
    fork vfork execve execveat exit exit_group wait4 waitid waitpid kill tkill tgkill pidfd_open \
    pidfd_send_signal process_mrelease set_tid_address set_robust_list get_robust_list rseq futex \
    futex_time64 futex_waitv futex_wait futex_wake futex_requeue restart_syscall arch_prctl \
    set_thread_area get_thread_area set_tls get_tls uprobe uretprobe breakpoint switch_endian \
    s390_guarded_storage s390_runtime_instr rt_sigaction rt_sigprocmask rt_sigpending \
    rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_sigqueueinfo rt_tgsigqueueinfo \
    rt_sigreturn sigaction sigprocmask sigpending sigsuspend sigreturn sigaltstack signal sgetmask \
    ssetmask pause getpid getppid gettid getpgid getpgrp setpgid getsid setsid getuid getuid32 \
    geteuid geteuid32 getgid getgid32 getegid getegid32 getresuid getresuid32 getresgid \
    getresgid32 getgroups getgroups32 setuid setuid32 setgid setgid32 setreuid setreuid32 setregid \
    setregid32 setresuid setresuid32 setresgid setresgid32 setgroups setgroups32 setfsuid \
    setfsuid32 setfsgid setfsgid32 capget capset prctl seccomp landlock_create_ruleset \
    landlock_add_rule landlock_restrict_self sched_yield sched_getaffinity sched_setaffinity \
    sched_getparam sched_setparam sched_getscheduler sched_setscheduler sched_getattr \
    sched_setattr sched_get_priority_max sched_get_priority_min sched_rr_get_interval \
    sched_rr_get_interval_time64 getcpu getpriority setpriority nice ioprio_get ioprio_set \
    getrlimit ugetrlimit setrlimit prlimit64 getrusage times sysinfo uname olduname oldolduname \
    getrandom";

/// Sockets and System V's and POSIX's communication.
const COMMUNICATION: &str = "\
    socket socketcall socketpair bind connect listen accept accept4 getsockname getpeername \
    getsockopt setsockopt shutdown send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg \
    recvmmsg_time64 ipc semget semctl semop semtimedop semtimedop_time64 shmget shmctl shmat shmdt \
    msgget msgctl msgsnd msgrcv mq_open mq_unlink mq_timedsend mq_timedsend_time64 mq_timedreceive \
    mq_timedreceive_time64 mq_notify mq_getsetattr";

/// Clocks and timers; what sets them asks for a capability.
const TIME: &str = "\
    time gettimeofday clock_gettime clock_gettime64 clock_getres clock_getres_time64 adjtimex \
    clock_adjtime clock_adjtime64 nanosleep clock_nanosleep clock_nanosleep_time64 alarm getitimer \
    setitimer timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 \
    timer_settime timer_settime64 timerfd timerfd_create timerfd_gettime timerfd_gettime64 \
    timerfd_settime timerfd_settime64";
