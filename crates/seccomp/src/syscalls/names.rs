//! Every name that some architecture has a system call of, in byte order.
//!
//! Generated from the tables of Linux 6.12 (`syscall*.tbl` beneath `arch/` and `scripts/`), with the
//! calls that 6.13 to 6.18 added.

/// How many names there are.
pub(super) const COUNT: usize = 506;

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
    fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr file_getattr \
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
    landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr \
    listxattrat llistxattr lock lookup_dcookie lremovexattr lseek lsetxattr lsm_get_self_attr \
    lsm_list_modules lsm_set_self_attr lstat lstat64 madvise map_shadow_stack mbind membarrier \
    memfd_create memfd_secret migrate_pages mincore mkdir mkdirat mknod mknodat mlock mlock2 \
    mlockall mmap mmap2 modify_ldt mount mount_setattr move_mount move_pages mprotect mpx \
    mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend \
    mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync multiplexer \
    munlock munlockall munmap name_to_handle_at nanosleep newfstatat nfsservctl nice oldfstat \
    oldlstat oldolduname oldstat olduname open open_by_handle_at open_tree open_tree_attr openat \
    openat2 pause pciconfig_iobase pciconfig_read pciconfig_write perf_event_open personality \
    pidfd_getfd pidfd_open pidfd_send_signal pipe pipe2 pivot_root pkey_alloc pkey_free \
    pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_madvise \
    process_mrelease process_vm_readv process_vm_writev prof profil pselect6 pselect6_time64 \
    ptrace putpmsg pwrite64 pwritev pwritev2 query_module quotactl quotactl_fd read readahead \
    readdir readlink readlinkat readv reboot recv recvfrom recvmmsg recvmmsg_time64 recvmsg \
    remap_file_pages removexattr removexattrat rename renameat renameat2 request_key \
    restart_syscall riscv_flush_icache riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending \
    rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait \
    rt_sigtimedwait_time64 rt_tgsigqueueinfo rtas s390_guarded_storage s390_pci_mmio_read \
    s390_pci_mmio_write s390_runtime_instr s390_sthyi sched_get_priority_max \
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
    806, 816, 823, 832, 841, 847, 855, 865, 875, 888, 901, 914, 925, 931, 936, 949, 958, 968, 976,
    983, 990, 996, 1004, 1014, 1022, 1032, 1038, 1044, 1054, 1066, 1072, 1086, 1099, 1110, 1122,
    1133, 1143, 1159, 1173, 1189, 1205, 1213, 1220, 1227, 1236, 1247, 1255, 1265, 1273, 1283,
    1290, 1299, 1309, 1321, 1331, 1343, 1355, 1363, 1371, 1378, 1386, 1394, 1406, 1416, 1426,
    1438, 1448, 1460, 1470, 1480, 1487, 1499, 1510, 1517, 1530, 1537, 1546, 1555, 1566, 1571,
    1576, 1588, 1606, 1619, 1633, 1650, 1660, 1671, 1684, 1698, 1719, 1728, 1738, 1753, 1771,
    1786, 1792, 1799, 1804, 1815, 1826, 1830, 1835, 1851, 1862, 1869, 1874, 1892, 1916, 1939,
    1946, 1955, 1965, 1970, 1977, 1984, 1994, 2004, 2016, 2027, 2032, 2047, 2060, 2066, 2076,
    2094, 2111, 2129, 2135, 2143, 2151, 2168, 2174, 2185, 2198, 2211, 2225, 2233, 2239, 2247,
    2253, 2261, 2267, 2274, 2283, 2288, 2294, 2305, 2311, 2325, 2336, 2347, 2356, 2360, 2374,
    2384, 2392, 2408, 2431, 2444, 2464, 2474, 2481, 2487, 2494, 2501, 2508, 2515, 2521, 2533,
    2541, 2552, 2559, 2577, 2587, 2598, 2609, 2614, 2623, 2632, 2644, 2652, 2661, 2666, 2684,
    2694, 2709, 2716, 2724, 2730, 2747, 2762, 2778, 2794, 2806, 2818, 2829, 2847, 2852, 2858,
    2869, 2880, 2890, 2904, 2909, 2915, 2928, 2934, 2942, 2949, 2957, 2967, 2983, 3000, 3017,
    3035, 3040, 3047, 3056, 3072, 3079, 3087, 3096, 3104, 3113, 3126, 3135, 3147, 3152, 3162,
    3170, 3179, 3190, 3196, 3203, 3208, 3217, 3226, 3242, 3250, 3267, 3279, 3293, 3300, 3309,
    3319, 3331, 3347, 3366, 3380, 3386, 3391, 3404, 3418, 3433, 3449, 3462, 3476, 3492, 3515,
    3533, 3538, 3559, 3578, 3598, 3617, 3628, 3651, 3674, 3692, 3706, 3721, 3740, 3762, 3791,
    3809, 3823, 3838, 3857, 3869, 3877, 3886, 3893, 3900, 3907, 3913, 3924, 3942, 3947, 3956,
    3967, 3976, 3984, 3991, 4005, 4029, 4045, 4061, 4077, 4085, 4099, 4108, 4119, 4128, 4139,
    4146, 4155, 4165, 4177, 4189, 4199, 4205, 4213, 4225, 4234, 4245, 4255, 4267, 4277, 4289,
    4298, 4309, 4319, 4326, 4337, 4350, 4357, 4366, 4375, 4386, 4395, 4401, 4408, 4414, 4421,
    4430, 4440, 4452, 4459, 4468, 4478, 4489, 4501, 4511, 4522, 4529, 4540, 4551, 4558, 4569,
    4577, 4586, 4591, 4598, 4605, 4614, 4624, 4630, 4636, 4641, 4654, 4666, 4674, 4681, 4695,
    4703, 4713, 4718, 4734, 4751, 4758, 4779, 4787, 4793, 4801, 4808, 4816, 4820, 4827, 4832,
    4845, 4858, 4875, 4889, 4905, 4919, 4935, 4943, 4958, 4974, 4992, 5008, 5026, 5032, 5038,
    5047, 5058, 5066, 5077, 5084, 5090, 5097, 5105, 5111, 5118, 5127, 5135, 5142, 5152, 5159,
    5171, 5177, 5183, 5189, 5195, 5205, 5222, 5229, 5235, 5243, 5248, 5256, 5265, 5273, 5279,
    5286, 5294, 5300, 5307,
];
