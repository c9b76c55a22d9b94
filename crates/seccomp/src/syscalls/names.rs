//! Every name that some architecture has a system call of, in byte order.
//!
//! Made by `cargo xtask syscalls` from the tables of Linux 6.12 and 7.3; not by hand.

/// How many names there are.
pub(super) const COUNT: usize = 509;

/// The names one after another: one string needs no relocation when the program starts.
pub(super) static TEXT: &str = "\
    _llseek _newselect _sysctl accept accept4 access acct add_key adjtimex afs_syscall alarm \
    arch_prctl arm_fadvise64_64 arm_sync_file_range atomic_barrier atomic_cmpxchg_32 bdflush \
    bind bpf break breakpoint brk cachectl cacheflush cachestat capget capset chdir chmod chown \
    chown32 chroot clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime \
    clock_gettime64 clock_nanosleep clock_nanosleep_time64 clock_settime clock_settime64 clone \
    clone3 close close_range connect copy_file_range creat create_module delete_module dup dup2 \
    dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait \
    epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 \
    fadvise64 fadvise64_64 fallocate fanotify_init fanotify_mark fchdir fchmod fchmodat \
    fchmodat2 fchown fchown32 fchownat fchroot fcntl fcntl64 fdatasync fgetxattr file_getattr \
    file_setattr finit_module flistxattr flock fork fremovexattr fsconfig fsetxattr fsmount \
    fsopen fspick fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftime ftruncate ftruncate64 \
    futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat get_kernel_syms \
    get_mempolicy get_robust_list get_thread_area get_tls getcpu getcwd getdents getdents64 \
    getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer \
    getpagesize getpeername getpgid getpgrp getpid getpmsg getppid getpriority getrandom \
    getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname \
    getsockopt gettid gettimeofday getuid getuid32 getxattr getxattrat gtty idle init_module \
    inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy \
    io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit io_uring_enter \
    io_uring_register io_uring_setup ioctl ioperm iopl ioprio_get ioprio_set ipc kcmp \
    kexec_file_load kexec_load keyctl kill landlock_add_rule landlock_create_ruleset \
    landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listns \
    listxattr listxattrat llistxattr lock lookup_dcookie lremovexattr lseek lsetxattr \
    lsm_get_self_attr lsm_list_modules lsm_set_self_attr lstat lstat64 madvise map_shadow_stack \
    mbind membarrier memfd_create memfd_secret migrate_pages mincore mkdir mkdirat mknod mknodat \
    mlock mlock2 mlockall mmap mmap2 modify_ldt mount mount_setattr move_mount move_pages \
    mprotect mpx mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 \
    mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync \
    multiplexer munlock munlockall munmap name_to_handle_at nanosleep newfstatat nfsservctl nice \
    oldfstat oldlstat oldolduname oldstat olduname open open_by_handle_at open_tree \
    open_tree_attr openat openat2 pause pciconfig_iobase pciconfig_read pciconfig_write \
    perf_event_open personality pidfd_getfd pidfd_open pidfd_send_signal pipe pipe2 pivot_root \
    pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 \
    prlimit64 process_madvise process_mrelease process_vm_readv process_vm_writev prof profil \
    pselect6 pselect6_time64 ptrace putpmsg pwrite64 pwritev pwritev2 query_module quotactl \
    quotactl_fd read readahead readdir readlink readlinkat readv reboot recv recvfrom recvmmsg \
    recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2 \
    request_key restart_syscall riscv_flush_icache riscv_hwprobe rmdir rseq rseq_slice_yield \
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend \
    rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo rtas s390_guarded_storage \
    s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr s390_sthyi sched_get_priority_max \
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler \
    sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr \
    sched_setparam sched_setscheduler sched_yield seccomp security select semctl semget semop \
    semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_mempolicy \
    set_mempolicy_home_node set_robust_list set_thread_area set_tid_address set_tls \
    setdomainname setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 \
    sethostname setitimer setns setpgid setpriority setregid setregid32 setresgid setresgid32 \
    setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt settimeofday setuid \
    setuid32 setxattr setxattrat sgetmask shmat shmctl shmdt shmget shutdown sigaction \
    sigaltstack signal signalfd signalfd4 sigpending sigprocmask sigreturn sigsuspend socket \
    socketcall socketpair splice spu_create spu_run ssetmask stat stat64 statfs statfs64 \
    statmount statx stime stty subpage_prot swapcontext swapoff swapon switch_endian symlink \
    symlinkat sync sync_file_range sync_file_range2 syncfs sys_debug_setcontext syscall sysfs \
    sysinfo syslog sysmips tee tgkill time timer_create timer_delete timer_getoverrun \
    timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd timerfd_create \
    timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate \
    truncate64 tuxcall ugetrlimit ulimit umask umount umount2 uname unlink unlinkat unshare \
    uprobe uretprobe uselib userfaultfd usr26 usr32 ustat utime utimensat utimensat_time64 \
    utimes vfork vhangup vm86 vm86old vmsplice vserver wait4 waitid waitpid write writev \
    ";

/// Where each name begins in [`TEXT`]; one blank ends it.
#[rustfmt::skip]
pub(super) static STARTS: [u16; COUNT + 1] = [
    0, 8, 19, 27, 34, 42, 49, 54, 62, 71, 83, 89, 100, 117, 137, 152, 170, 178, 183, 187, 193,
    204, 208, 217, 228, 238, 245, 252, 258, 264, 270, 278, 285, 299, 315, 328, 348, 362, 378, 394,
    417, 431, 447, 453, 460, 466, 478, 486, 502, 508, 522, 536, 540, 545, 550, 563, 577, 587, 601,
    613, 626, 637, 652, 660, 669, 676, 685, 690, 701, 711, 722, 732, 745, 755, 769, 783, 790, 797,
    806, 816, 823, 832, 841, 849, 855, 863, 873, 883, 896, 909, 922, 933, 939, 944, 957, 966, 976,
    984, 991, 998, 1004, 1012, 1022, 1030, 1040, 1046, 1052, 1062, 1074, 1080, 1094, 1107, 1118,
    1130, 1141, 1151, 1167, 1181, 1197, 1213, 1221, 1228, 1235, 1244, 1255, 1263, 1273, 1281,
    1291, 1298, 1307, 1317, 1329, 1339, 1351, 1363, 1371, 1379, 1386, 1394, 1402, 1414, 1424,
    1434, 1446, 1456, 1468, 1478, 1488, 1495, 1507, 1518, 1525, 1538, 1545, 1554, 1563, 1574,
    1579, 1584, 1596, 1614, 1627, 1641, 1658, 1668, 1679, 1692, 1706, 1727, 1736, 1746, 1761,
    1779, 1794, 1800, 1807, 1812, 1823, 1834, 1838, 1843, 1859, 1870, 1877, 1882, 1900, 1924,
    1947, 1954, 1963, 1973, 1978, 1985, 1992, 2002, 2009, 2019, 2031, 2042, 2047, 2062, 2075,
    2081, 2091, 2109, 2126, 2144, 2150, 2158, 2166, 2183, 2189, 2200, 2213, 2226, 2240, 2248,
    2254, 2262, 2268, 2276, 2282, 2289, 2298, 2303, 2309, 2320, 2326, 2340, 2351, 2362, 2371,
    2375, 2389, 2399, 2407, 2423, 2446, 2459, 2479, 2489, 2496, 2502, 2509, 2516, 2523, 2530,
    2536, 2548, 2556, 2567, 2574, 2592, 2602, 2613, 2624, 2629, 2638, 2647, 2659, 2667, 2676,
    2681, 2699, 2709, 2724, 2731, 2739, 2745, 2762, 2777, 2793, 2809, 2821, 2833, 2844, 2862,
    2867, 2873, 2884, 2895, 2905, 2919, 2924, 2930, 2943, 2949, 2957, 2964, 2972, 2982, 2998,
    3015, 3032, 3050, 3055, 3062, 3071, 3087, 3094, 3102, 3111, 3119, 3128, 3141, 3150, 3162,
    3167, 3177, 3185, 3194, 3205, 3211, 3218, 3223, 3232, 3241, 3257, 3265, 3282, 3294, 3308,
    3315, 3324, 3334, 3346, 3362, 3381, 3395, 3401, 3406, 3423, 3436, 3450, 3465, 3481, 3494,
    3508, 3524, 3547, 3565, 3570, 3591, 3610, 3630, 3649, 3660, 3683, 3706, 3724, 3738, 3753,
    3772, 3794, 3823, 3841, 3855, 3870, 3889, 3901, 3909, 3918, 3925, 3932, 3939, 3945, 3956,
    3974, 3979, 3988, 3999, 4008, 4016, 4023, 4037, 4061, 4077, 4093, 4109, 4117, 4131, 4140,
    4151, 4160, 4171, 4178, 4187, 4197, 4209, 4221, 4231, 4237, 4245, 4257, 4266, 4277, 4287,
    4299, 4309, 4321, 4330, 4341, 4351, 4358, 4369, 4382, 4389, 4398, 4407, 4418, 4427, 4433,
    4440, 4446, 4453, 4462, 4472, 4484, 4491, 4500, 4510, 4521, 4533, 4543, 4554, 4561, 4572,
    4583, 4590, 4601, 4609, 4618, 4623, 4630, 4637, 4646, 4656, 4662, 4668, 4673, 4686, 4698,
    4706, 4713, 4727, 4735, 4745, 4750, 4766, 4783, 4790, 4811, 4819, 4825, 4833, 4840, 4848,
    4852, 4859, 4864, 4877, 4890, 4907, 4921, 4937, 4951, 4967, 4975, 4990, 5006, 5024, 5040,
    5058, 5064, 5070, 5079, 5090, 5098, 5109, 5116, 5122, 5129, 5137, 5143, 5150, 5159, 5167,
    5174, 5184, 5191, 5203, 5209, 5215, 5221, 5227, 5237, 5254, 5261, 5267, 5275, 5280, 5288,
    5297, 5305, 5311, 5318, 5326, 5332, 5339,
];
