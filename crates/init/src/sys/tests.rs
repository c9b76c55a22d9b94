//! The kernel's interface, compared with what the crate `libc` says of it.

use core::mem::{offset_of, size_of};

use super::files::{Lock, OpenHow, Statx};
use super::mounts::MountAttr;
use super::process::{CloneArgs, FilterProgram};
use super::signals::{PollFd, SignalInfo};
use super::sockets::{CONTROL_LENGTH, Control, IoVec, MsgHdr};
use super::{common_nr, nr};
use crate::format::Instructions;

macro_rules! same_numbers {
    ($($module:ident::$name:ident = $theirs:ident),* $(,)?) => {
        $(assert_eq!($module::$name, libc::$theirs as usize, stringify!($name));)*
    };
}

#[test]
fn the_numbers_of_system_calls() {
    same_numbers!(
        nr::READ = SYS_read,
        nr::WRITE = SYS_write,
        nr::CLOSE = SYS_close,
        nr::MMAP = SYS_mmap,
        nr::MUNMAP = SYS_munmap,
        nr::RT_SIGACTION = SYS_rt_sigaction,
        nr::RT_SIGPROCMASK = SYS_rt_sigprocmask,
        nr::IOCTL = SYS_ioctl,
        nr::SOCKET = SYS_socket,
        nr::SENDMSG = SYS_sendmsg,
        nr::RECVMSG = SYS_recvmsg,
        nr::CLONE = SYS_clone,
        nr::EXECVE = SYS_execve,
        nr::WAIT4 = SYS_wait4,
        nr::KILL = SYS_kill,
        nr::FCNTL = SYS_fcntl,
        nr::UMASK = SYS_umask,
        nr::KEYCTL = SYS_keyctl,
        nr::GETCWD = SYS_getcwd,
        nr::CHDIR = SYS_chdir,
        nr::FCHDIR = SYS_fchdir,
        nr::SETSID = SYS_setsid,
        nr::SETGROUPS = SYS_setgroups,
        nr::SETRESUID = SYS_setresuid,
        nr::SETRESGID = SYS_setresgid,
        nr::CAPGET = SYS_capget,
        nr::CAPSET = SYS_capset,
        nr::CLOCK_GETTIME = SYS_clock_gettime,
        nr::FSTATFS = SYS_fstatfs,
        nr::PIVOT_ROOT = SYS_pivot_root,
        nr::PRCTL = SYS_prctl,
        nr::MOUNT = SYS_mount,
        nr::UMOUNT2 = SYS_umount2,
        nr::SETHOSTNAME = SYS_sethostname,
        nr::EXIT_GROUP = SYS_exit_group,
        nr::OPENAT = SYS_openat,
        nr::MKDIRAT = SYS_mkdirat,
        nr::MKNODAT = SYS_mknodat,
        nr::SYMLINKAT = SYS_symlinkat,
        nr::FACCESSAT = SYS_faccessat,
        nr::PPOLL = SYS_ppoll,
        nr::SIGNALFD4 = SYS_signalfd4,
        nr::DUP3 = SYS_dup3,
        nr::PRLIMIT64 = SYS_prlimit64,
        nr::SECCOMP = SYS_seccomp,
        nr::STATX = SYS_statx,
        common_nr::OPEN_TREE = SYS_open_tree,
        common_nr::MOVE_MOUNT = SYS_move_mount,
        common_nr::FSOPEN = SYS_fsopen,
        common_nr::FSCONFIG = SYS_fsconfig,
        common_nr::FSMOUNT = SYS_fsmount,
        common_nr::FSPICK = SYS_fspick,
        common_nr::CLONE3 = SYS_clone3,
        common_nr::CLOSE_RANGE = SYS_close_range,
        common_nr::OPENAT2 = SYS_openat2,
        common_nr::MOUNT_SETATTR = SYS_mount_setattr,
    );
}

#[test]
fn the_numbers_that_only_oci_containers_need() {
    same_numbers!(
        nr::UNSHARE = SYS_unshare,
        nr::SETNS = SYS_setns,
        nr::SETDOMAINNAME = SYS_setdomainname,
        nr::GETPID = SYS_getpid,
        nr::PIPE2 = SYS_pipe2,
        nr::MEMFD_CREATE = SYS_memfd_create,
        nr::LSEEK = SYS_lseek,
        nr::FCHOWNAT = SYS_fchownat,
        nr::SCHED_SETATTR = SYS_sched_setattr,
        nr::IOPRIO_SET = SYS_ioprio_set,
        nr::SCHED_SETAFFINITY = SYS_sched_setaffinity,
        nr::PERSONALITY = SYS_personality,
        nr::SET_MEMPOLICY = SYS_set_mempolicy,
        nr::CHROOT = SYS_chroot,
        nr::READLINKAT = SYS_readlinkat,
        nr::FCHMOD = SYS_fchmod,
        nr::GETDENTS64 = SYS_getdents64,
        nr::SENDFILE = SYS_sendfile,
    );
}

#[test]
fn the_flags_of_open() {
    let theirs = |flag: i32| flag as u64;
    assert_eq!(super::O_RDWR, theirs(libc::O_RDWR));
    assert_eq!(super::O_NOCTTY, theirs(libc::O_NOCTTY));
    assert_eq!(super::O_CREAT, theirs(libc::O_CREAT));
    assert_eq!(super::O_EXCL, theirs(libc::O_EXCL));
    assert_eq!(super::O_NONBLOCK, theirs(libc::O_NONBLOCK));
    assert_eq!(super::O_CLOEXEC, theirs(libc::O_CLOEXEC));
    assert_eq!(super::O_PATH, theirs(libc::O_PATH));
    assert_eq!(super::O_DIRECTORY, theirs(libc::O_DIRECTORY));
    assert_eq!(super::O_NOFOLLOW, theirs(libc::O_NOFOLLOW));
}

#[test]
fn the_structures() {
    assert_eq!(size_of::<Statx>(), size_of::<libc::statx>());
    assert_eq!(offset_of!(Statx, links), offset_of!(libc::statx, stx_nlink));
    assert_eq!(offset_of!(Statx, mode), offset_of!(libc::statx, stx_mode));
    assert_eq!(offset_of!(Statx, uid), offset_of!(libc::statx, stx_uid));
    assert_eq!(offset_of!(Statx, gid), offset_of!(libc::statx, stx_gid));
    assert_eq!(offset_of!(Statx, inode), offset_of!(libc::statx, stx_ino));
    assert_eq!(offset_of!(Statx, size), offset_of!(libc::statx, stx_size));
    let major = offset_of!(libc::statx, stx_rdev_major);
    assert_eq!(offset_of!(Statx, device_major), major);
    let minor = offset_of!(libc::statx, stx_rdev_minor);
    assert_eq!(offset_of!(Statx, device_minor), minor);
    let below = offset_of!(libc::statx, stx_dev_major);
    assert_eq!(offset_of!(Statx, below_major), below);
    let below = offset_of!(libc::statx, stx_dev_minor);
    assert_eq!(offset_of!(Statx, below_minor), below);
    assert_eq!(size_of::<Lock>(), size_of::<libc::flock>());
    assert_eq!(offset_of!(Lock, length), offset_of!(libc::flock, l_len));
    assert_eq!(size_of::<CloneArgs>(), 64, "CLONE_ARGS_SIZE_VER0");
    assert_eq!(super::SchedAttr::SIZE, 48, "SCHED_ATTR_SIZE_VER0");
    assert_eq!(size_of::<OpenHow>(), size_of::<libc::open_how>());
    assert_eq!(size_of::<MountAttr>(), size_of::<libc::mount_attr>());
    assert_eq!(size_of::<PollFd>(), size_of::<libc::pollfd>());
    assert_eq!(size_of::<SignalInfo>(), size_of::<libc::signalfd_siginfo>());
    assert_eq!(size_of::<IoVec>(), size_of::<libc::iovec>());
    assert_eq!(size_of::<MsgHdr>(), size_of::<libc::msghdr>());
    let control = offset_of!(libc::msghdr, msg_control);
    assert_eq!(offset_of!(MsgHdr, control), control);
    let flags = offset_of!(libc::msghdr, msg_flags);
    assert_eq!(offset_of!(MsgHdr, flags), flags);
    assert_eq!(
        offset_of!(Control, fd),
        size_of::<libc::cmsghdr>(),
        "no padding before the descriptor"
    );
    assert_eq!(size_of::<FilterProgram>(), size_of::<libc::sock_fprog>());
    assert_eq!(Instructions::LENGTH, size_of::<libc::sock_filter>());
    assert_eq!(CONTROL_LENGTH, size_of::<libc::cmsghdr>() + 4);
}

#[test]
fn device_numbers() {
    for (major, minor) in [(1, 3), (5, 2), (259, 0x8_0001), (0xfff, 0xf_ffff)] {
        let ours = super::make_device(major, minor);
        assert_eq!(ours, libc::makedev(major, minor), "{major}:{minor}");
    }
}
