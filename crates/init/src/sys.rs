//! Raw system calls: the only unsafe code of the program, without libc, errno or locks.
//!
//! Each wrapper takes references and descriptor numbers, so that it is safe to call: the kernel
//! checks numbers, and a reference is valid for as long as the call lasts.
//!
//! Addresses are references cast to numbers, which exposes their provenance, and the assembly is
//! neither `pure` nor `nomem`: so the compiler must assume that the kernel reads and writes all
//! that was ever cast. What the kernel writes to is always cast from `&mut`.
#![allow(unsafe_code)]

use core::ffi::CStr;
use core::mem::{MaybeUninit, size_of};
use core::ptr;

use crate::errno::Errno;

#[cfg(test)]
mod tests;

#[cfg_attr(target_arch = "x86_64", path = "sys/x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "sys/aarch64.rs")]
mod arch;
pub(crate) use arch::nr;

/// The numbers that every architecture shares, from `asm-generic/unistd.h`.
mod common_nr {
    pub(crate) const OPEN_TREE: usize = 428;
    pub(crate) const MOVE_MOUNT: usize = 429;
    pub(crate) const FSOPEN: usize = 430;
    pub(crate) const FSCONFIG: usize = 431;
    pub(crate) const FSMOUNT: usize = 432;
    pub(crate) const OPENAT2: usize = 437;
    pub(crate) const MOUNT_SETATTR: usize = 442;
}

/// `AT_FDCWD` of open(2).
pub(crate) const AT_FDCWD: i32 = -100;
pub(crate) const AT_EMPTY_PATH: u32 = 0x1000;
pub(crate) const AT_RECURSIVE: u32 = 0x8000;
pub(crate) const O_RDWR: u64 = 0o2;
pub(crate) const O_NOCTTY: u64 = 0o400;
pub(crate) const O_CLOEXEC: u64 = 0o2_000_000;
pub(crate) const O_PATH: u64 = 0o10_000_000;
#[cfg(target_arch = "x86_64")]
pub(crate) const O_DIRECTORY: u64 = 0o200_000;
#[cfg(target_arch = "x86_64")]
pub(crate) const O_NOFOLLOW: u64 = 0o400_000;
#[cfg(target_arch = "aarch64")]
pub(crate) const O_DIRECTORY: u64 = 0o40_000;
#[cfg(target_arch = "aarch64")]
pub(crate) const O_NOFOLLOW: u64 = 0o100_000;

/// A descriptor that is closed when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Fd(pub(crate) i32);

impl Drop for Fd {
    fn drop(&mut self) {
        close(self.0);
    }
}

/// Makes a system call whose arguments are numbers, or addresses of live references.
///
/// Always inlined: the arguments go straight into registers, which is smaller than a call.
#[inline(always)]
fn call<const N: usize>(number: usize, args: [usize; N]) -> Result<usize, Errno> {
    let arg = |index| args.get(index).copied().unwrap_or(0);
    // SAFETY: every caller in this file passes as addresses only references that outlive the
    // call, with the lengths of what they refer to.
    let answer = unsafe { arch::call(number, [arg(0), arg(1), arg(2), arg(3), arg(4), arg(5)]) };
    if answer < 0 {
        Err(Errno(-answer as i32))
    } else {
        Ok(answer as usize)
    }
}

fn address<T: ?Sized>(value: &T) -> usize {
    ptr::from_ref(value).cast::<u8>() as usize
}

fn address_mut<T: ?Sized>(value: &mut T) -> usize {
    ptr::from_mut(value).cast::<u8>() as usize
}

fn text(value: &CStr) -> usize {
    value.as_ptr() as usize
}

fn fd(number: i32) -> usize {
    number as isize as usize
}

fn new_fd(answer: usize) -> Fd {
    Fd(answer as i32)
}

// Descriptors and memory

// Not inlined: every scope that owns a descriptor has a call of it.
#[inline(never)]
pub(crate) fn close(number: i32) {
    // The descriptor is gone whatever close(2) answers, so there is nothing to do about an error.
    let _ = call(nr::CLOSE, [fd(number)]);
}

pub(crate) fn dup_onto(from: i32, to: i32) -> Result<(), Errno> {
    call(nr::DUP3, [fd(from), fd(to), 0]).map(drop)
}

/// Sets close-on-exec.
pub(crate) fn close_on_exec(number: i32) -> Result<(), Errno> {
    const F_SETFD: usize = 2;
    call(nr::FCNTL, [fd(number), F_SETFD, 1]).map(drop)
}

/// Maps a whole file read-only, for the rest of the process' life or until [`unmap`].
pub(crate) fn map_file(number: i32, length: usize) -> Result<&'static [u8], Errno> {
    const MAP_PRIVATE_POPULATE: usize = 0x8002;
    const PROT_READ: usize = 1;
    let start = call(
        nr::MMAP,
        [0, length, PROT_READ, MAP_PRIVATE_POPULATE, fd(number), 0],
    )?;
    // SAFETY: the kernel has just mapped `length` readable bytes at `start`, the file behind
    // them is sealed against writing and shrinking, and nothing else knows the mapping.
    Ok(unsafe { core::slice::from_raw_parts(start as *const u8, length) })
}

/// Zeroed memory for `length` words, never given back: it holds the vectors of execve(2).
pub(crate) fn map_words(length: usize) -> Result<&'static mut [usize], Errno> {
    const MAP_PRIVATE_ANONYMOUS: usize = 0x22;
    const PROT_READ_WRITE: usize = 3;
    let bytes = length * size_of::<usize>();
    let start = call(
        nr::MMAP,
        [
            0,
            bytes,
            PROT_READ_WRITE,
            MAP_PRIVATE_ANONYMOUS,
            usize::MAX,
            0,
        ],
    )?;
    // SAFETY: the kernel has just mapped that many zeroed, page-aligned bytes for us alone.
    Ok(unsafe { core::slice::from_raw_parts_mut(start as *mut usize, length) })
}

/// Takes the plan's mapping away, so that the reaper remembers nothing of the host.
pub(crate) fn forget_plan(bytes: &'static [u8]) {
    // An error is not possible for a mapping of our own, and would only leave it there. The walker
    // calls this last: the reaper touches nothing of the plan, a stray access would end it.
    let _ = call(nr::MUNMAP, [bytes.as_ptr() as usize, bytes.len()]);
}

// Files beneath a descriptor

#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

pub(crate) fn openat2(
    dir: i32,
    path: &CStr,
    flags: u64,
    mode: u64,
    resolve: u64,
) -> Result<Fd, Errno> {
    let how = OpenHow {
        flags: flags | O_CLOEXEC,
        mode,
        resolve,
    };
    let args = [fd(dir), text(path), address(&how), size_of::<OpenHow>()];
    // EAGAIN: a rename raced with the walk; the kernel asks to try again. Whoever renames for ever
    // gets an error and no endless loop.
    const TRIES: u32 = 128;
    let mut answer = Err(Errno::EAGAIN);
    for _ in 0..TRIES {
        answer = call(common_nr::OPENAT2, args);
        if !matches!(answer, Err(Errno::EAGAIN | Errno::EINTR)) {
            break;
        }
    }
    answer.map(new_fd)
}

pub(crate) fn openat(dir: i32, path: &CStr, flags: u64) -> Result<Fd, Errno> {
    call(
        nr::OPENAT,
        [fd(dir), text(path), (flags | O_CLOEXEC) as usize, 0],
    )
    .map(new_fd)
}

pub(crate) fn mkdirat(dir: i32, name: &CStr, mode: u32) -> Result<(), Errno> {
    call(nr::MKDIRAT, [fd(dir), text(name), mode as usize]).map(drop)
}

pub(crate) fn mknodat(dir: i32, name: &CStr, mode: u32, device: u64) -> Result<(), Errno> {
    call(
        nr::MKNODAT,
        [fd(dir), text(name), mode as usize, device as usize],
    )
    .map(drop)
}

pub(crate) fn symlinkat(target: &CStr, dir: i32, name: &CStr) -> Result<(), Errno> {
    call(nr::SYMLINKAT, [text(target), fd(dir), text(name)]).map(drop)
}

/// Whether anything is there, symbolic links followed.
pub(crate) fn exists(path: &CStr) -> bool {
    call(nr::FACCESSAT, [fd(AT_FDCWD), text(path), 0]).is_ok()
}

/// What statx(2) says of an open file, as far as it is asked for here.
pub(crate) struct Stat {
    pub(crate) mode: u32,
    pub(crate) size: u64,
    pub(crate) device: u64,
}

/// `struct statx`, of which four fields are read.
#[repr(C)]
struct Statx {
    before_mode: [u8; 28],
    mode: u16,
    between: [u8; 10],
    size: u64,
    before_device: [u8; 80],
    device_major: u32,
    device_minor: u32,
    rest: [u8; 120],
}

pub(crate) fn stat(number: i32) -> Result<Stat, Errno> {
    const STATX_BASIC_STATS: usize = 0x7ff;
    let mut stat = MaybeUninit::<Statx>::zeroed();
    let args = [
        fd(number),
        text(c""),
        AT_EMPTY_PATH as usize,
        STATX_BASIC_STATS,
        address_mut(&mut stat),
    ];
    call(nr::STATX, args)?;
    // SAFETY: zeroed at birth and filled by the kernel; every bit pattern of its fields is valid.
    let stat = unsafe { stat.assume_init() };
    let device = make_device(stat.device_major, stat.device_minor);
    Ok(Stat {
        mode: u32::from(stat.mode),
        size: stat.size,
        device,
    })
}

/// A device number as makedev(3) composes it.
pub(crate) const fn make_device(major: u32, minor: u32) -> u64 {
    ((major & 0xfff) as u64) << 8 | (minor & 0xff) as u64 | ((minor & !0xff) as u64) << 12
}

/// The magic number of the file system that holds an open file, from statfs(2).
pub(crate) fn file_system_magic(number: i32) -> Result<u64, Errno> {
    let mut buffer = [0u64; 32];
    call(nr::FSTATFS, [fd(number), address_mut(&mut buffer)])?;
    Ok(buffer[0])
}

// Mounts

pub(crate) fn open_tree(dir: i32, path: &CStr, flags: u32) -> Result<Fd, Errno> {
    const OPEN_TREE_CLONE: u32 = 1;
    let flags = flags | OPEN_TREE_CLONE | O_CLOEXEC as u32;
    call(common_nr::OPEN_TREE, [fd(dir), text(path), flags as usize]).map(new_fd)
}

/// Moves the mount behind `from` onto `path` beneath `dir`, or onto `dir` itself for an empty path.
pub(crate) fn move_mount(from: i32, dir: i32, path: &CStr) -> Result<(), Errno> {
    const F_EMPTY_PATH: usize = 0x4;
    const T_EMPTY_PATH: usize = 0x40;
    let flags = if path.is_empty() {
        F_EMPTY_PATH | T_EMPTY_PATH
    } else {
        F_EMPTY_PATH
    };
    call(
        common_nr::MOVE_MOUNT,
        [fd(from), text(c""), fd(dir), text(path), flags],
    )
    .map(drop)
}

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

pub(crate) fn mount_setattr(mount: i32, set: u64, recursive: bool) -> Result<(), Errno> {
    /// One field of three values, which the kernel sets only where it is cleared too.
    const MOUNT_ATTR_ATIME_FIELD: u64 = 0x70;
    let access_time = set & MOUNT_ATTR_ATIME_FIELD != 0;
    let attr = MountAttr {
        set,
        clear: if access_time {
            MOUNT_ATTR_ATIME_FIELD
        } else {
            0
        },
        propagation: 0,
        user_namespace: 0,
    };
    let flags = if recursive {
        AT_EMPTY_PATH | AT_RECURSIVE
    } else {
        AT_EMPTY_PATH
    };
    let args = [
        fd(mount),
        text(c""),
        flags as usize,
        address(&attr),
        size_of::<MountAttr>(),
    ];
    call(common_nr::MOUNT_SETATTR, args).map(drop)
}

pub(crate) fn fsopen(name: &CStr) -> Result<Fd, Errno> {
    const FSOPEN_CLOEXEC: usize = 1;
    call(common_nr::FSOPEN, [text(name), FSOPEN_CLOEXEC]).map(new_fd)
}

/// What fsconfig(2) is to set.
pub(crate) enum Config<'a> {
    Flag(&'a CStr),
    String(&'a CStr, &'a CStr),
    Descriptor(&'a CStr, i32),
    Create,
}

pub(crate) fn fsconfig(context: i32, config: &Config<'_>) -> Result<(), Errno> {
    let args = match config {
        Config::Flag(key) => [fd(context), 0, text(key), 0, 0],
        Config::String(key, value) => [fd(context), 1, text(key), text(value), 0],
        Config::Descriptor(key, number) => [fd(context), 5, text(key), 0, fd(*number)],
        Config::Create => [fd(context), 6, 0, 0, 0],
    };
    call(common_nr::FSCONFIG, args).map(drop)
}

pub(crate) fn fsmount(context: i32, attributes: u64) -> Result<Fd, Errno> {
    const FSMOUNT_CLOEXEC: usize = 1;
    call(
        common_nr::FSMOUNT,
        [fd(context), FSMOUNT_CLOEXEC, attributes as usize],
    )
    .map(new_fd)
}

/// Changes the propagation of everything at and below the root, as mount(2) can on any kernel.
pub(crate) fn propagation_of_root(flags: u64) -> Result<(), Errno> {
    call(nr::MOUNT, [0, text(c"/"), 0, flags as usize, 0]).map(drop)
}

/// pivot_root(2) with the working directory as both the new root and the place of the old one.
pub(crate) fn pivot_to_working_directory() -> Result<(), Errno> {
    call(nr::PIVOT_ROOT, [text(c"."), text(c".")]).map(drop)
}

const MNT_DETACH: usize = 2;

/// Takes away what was mounted last over the root directory.
pub(crate) fn detach_cover_of_root() -> Result<(), Errno> {
    call(nr::UMOUNT2, [text(c"/"), MNT_DETACH]).map(drop)
}

pub(crate) fn detach_working_directory() -> Result<(), Errno> {
    call(nr::UMOUNT2, [text(c"."), MNT_DETACH]).map(drop)
}

pub(crate) fn fchdir(number: i32) -> Result<(), Errno> {
    call(nr::FCHDIR, [fd(number)]).map(drop)
}

pub(crate) fn chdir(path: &CStr) -> Result<(), Errno> {
    call(nr::CHDIR, [text(path)]).map(drop)
}

/// The length of getcwd(2)'s answer, its NUL counted, and the answer itself in `buffer`.
pub(crate) fn getcwd(buffer: &mut [u8]) -> Result<usize, Errno> {
    call(nr::GETCWD, [buffer.as_mut_ptr() as usize, buffer.len()])
}

// The process

pub(crate) fn exit(status: i32) -> ! {
    loop {
        // exit_group(2) does not return; the loop is what its type can't say.
        let _ = call(nr::EXIT_GROUP, [status as usize]);
    }
}

/// Sets the mask of file modes and gives the one before.
pub(crate) fn umask(mask: u32) -> u32 {
    // umask(2) has no errors.
    call(nr::UMASK, [mask as usize]).unwrap_or(0) as u32
}

pub(crate) fn prctl(option: i32, args: [usize; 4]) -> Result<usize, Errno> {
    call(
        nr::PRCTL,
        [option as usize, args[0], args[1], args[2], args[3]],
    )
}

/// Names the calling thread, as `ps -o comm` shows it.
pub(crate) fn set_name(name: &CStr) -> Result<(), Errno> {
    const PR_SET_NAME: i32 = 15;
    prctl(PR_SET_NAME, [text(name), 0, 0, 0]).map(drop)
}

pub(crate) fn setresuid(uid: u32) -> Result<(), Errno> {
    let uid = uid as usize;
    call(nr::SETRESUID, [uid, uid, uid]).map(drop)
}

pub(crate) fn setresgid(gid: u32) -> Result<(), Errno> {
    let gid = gid as usize;
    call(nr::SETRESGID, [gid, gid, gid]).map(drop)
}

/// `groups` holds one gid in four bytes of native order each.
pub(crate) fn setgroups(groups: &[u8]) -> Result<(), Errno> {
    call(nr::SETGROUPS, [groups.len() / 4, groups.as_ptr() as usize]).map(drop)
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

impl CapabilityHeader {
    /// Version 3, the calling thread. The kernel writes to it when it knows no such version.
    const OWN: Self = Self {
        version: 0x2008_0522,
        pid: 0,
    };
}

/// Effective, permitted and inheritable sets of the calling thread.
pub(crate) fn capget() -> Result<[u64; 3], Errno> {
    let mut header = CapabilityHeader::OWN;
    let mut data = [[0u32; 3]; 2];
    call(
        nr::CAPGET,
        [address_mut(&mut header), address_mut(&mut data)],
    )?;
    let [low, high] = data;
    let join = |index: usize| u64::from(low[index]) | u64::from(high[index]) << 32;
    Ok([join(0), join(1), join(2)])
}

/// Sets effective, permitted and inheritable capabilities of the calling thread.
pub(crate) fn capset(sets: [u64; 3]) -> Result<(), Errno> {
    let mut header = CapabilityHeader::OWN;
    let data = [
        sets.map(|set| set as u32),
        sets.map(|set| (set >> 32) as u32),
    ];
    call(nr::CAPSET, [address_mut(&mut header), address(&data)]).map(drop)
}

pub(crate) fn setrlimit(resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = [soft, hard];
    call(nr::PRLIMIT64, [0, resource as usize, address(&limit), 0]).map(drop)
}

pub(crate) fn setsid() -> Result<(), Errno> {
    call(nr::SETSID, []).map(drop)
}

pub(crate) fn sethostname(name: &CStr) -> Result<(), Errno> {
    call(nr::SETHOSTNAME, [text(name), name.to_bytes().len()]).map(drop)
}

/// A copy of this process; the caller sleeps until the copy has executed a program or is gone.
/// `Ok(0)` in the copy.
pub(crate) fn fork_and_wait_for_exec() -> Result<i32, Errno> {
    const CLONE_VFORK: usize = 0x4000;
    const SIGCHLD: usize = 17;
    // Without CLONE_VM the memory is copied, so the copy may do whatever it likes in its frames.
    call(nr::CLONE, arch::clone_arguments(CLONE_VFORK | SIGCHLD)).map(|pid| pid as i32)
}

/// Executes a program; returns only when that failed.
///
/// `argv` and `envp` hold addresses of NUL-terminated strings and end with a zero.
pub(crate) fn execve(path: &CStr, argv: &[usize], envp: &[usize]) -> Errno {
    let args = [text(path), argv.as_ptr() as usize, envp.as_ptr() as usize];
    match call(nr::EXECVE, args) {
        Err(errno) => errno,
        // execve(2) returns only with an error.
        Ok(_) => Errno::EINVAL,
    }
}

/// Reaps one child that has ended: its pid and wait status, or `None` when none has.
pub(crate) fn reap_one() -> Result<Option<(i32, i32)>, Errno> {
    const WNOHANG: usize = 1;
    let mut status = 0i32;
    let pid = call(
        nr::WAIT4,
        [usize::MAX, address_mut(&mut status), WNOHANG, 0],
    )?;
    Ok((pid != 0).then_some((pid as i32, status)))
}

pub(crate) fn kill(pid: i32, signal: i32) -> Result<(), Errno> {
    call(nr::KILL, [fd(pid), signal as usize]).map(drop)
}

// Signals

/// Blocks just the signals whose bits are set; bit 0 is signal 1.
pub(crate) fn set_blocked_signals(signals: u64) -> Result<(), Errno> {
    const SIG_SETMASK: usize = 2;
    call(
        nr::RT_SIGPROCMASK,
        [SIG_SETMASK, address(&signals), 0, size_of::<u64>()],
    )
    .map(drop)
}

/// Gives every signal its default action.
pub(crate) fn default_signal_actions() {
    // `struct kernel_sigaction`: handler (0 is SIG_DFL), flags, restorer, mask.
    let default = [0usize; 4];
    for signal in 1..=64 {
        // SIGKILL and SIGSTOP refuse with EINVAL, which is what they should do.
        let _ = call(
            nr::RT_SIGACTION,
            [signal, address(&default), 0, size_of::<u64>()],
        );
    }
}

/// A descriptor from which every signal can be read; all are blocked already.
pub(crate) fn signalfd() -> Result<Fd, Errno> {
    let all = u64::MAX;
    let args = [
        usize::MAX,
        address(&all),
        size_of::<u64>(),
        O_CLOEXEC as usize,
    ];
    call(nr::SIGNALFD4, args).map(new_fd)
}

#[repr(C)]
struct PollFd {
    fd: i32,
    events: i16,
    revents: i16,
}

/// Waits until one of two descriptors can be read or its peer is gone; which of them is so.
pub(crate) fn poll_two(first: i32, second: i32) -> Result<(bool, bool), Errno> {
    const POLLIN: i16 = 1;
    let watch = |fd| PollFd {
        fd,
        events: POLLIN,
        revents: 0,
    };
    let mut fds = [watch(first), watch(second)];
    loop {
        match call(nr::PPOLL, [address_mut(&mut fds), 2, 0, 0, 0]) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
            Ok(_) => return Ok((fds[0].revents != 0, fds[1].revents != 0)),
        }
    }
}

/// Whether the other end of a socket is closed, without waiting.
pub(crate) fn peer_is_gone(socket: i32) -> Result<bool, Errno> {
    const POLLHUP: i16 = 0x10;
    let mut polled = PollFd {
        fd: socket,
        events: 0,
        revents: 0,
    };
    // The kernel may write to it how much is left.
    let mut at_once = [0u64; 2];
    call(
        nr::PPOLL,
        [address_mut(&mut polled), 1, address_mut(&mut at_once), 0, 0],
    )?;
    Ok(polled.revents & POLLHUP != 0)
}

/// `struct signalfd_siginfo`, of which one field is read.
#[repr(C)]
struct SignalInfo {
    signal: u32,
    rest: [u8; 124],
}

/// Reads one signal's number from a signal descriptor.
pub(crate) fn read_signal(signals: i32) -> Result<i32, Errno> {
    let mut info = SignalInfo {
        signal: 0,
        rest: [0; 124],
    };
    call(
        nr::READ,
        [fd(signals), address_mut(&mut info), size_of::<SignalInfo>()],
    )?;
    Ok(info.signal as i32)
}

// Terminals and sockets

/// An ioctl(2) whose argument is a number.
pub(crate) fn ioctl(number: i32, request: usize, argument: usize) -> Result<usize, Errno> {
    call(nr::IOCTL, [fd(number), request, argument])
}

/// An ioctl(2) whose argument is a structure that the kernel reads or writes.
pub(crate) fn ioctl_with<T>(number: i32, request: usize, argument: &mut T) -> Result<usize, Errno> {
    call(nr::IOCTL, [fd(number), request, address_mut(argument)])
}

pub(crate) fn datagram_socket() -> Result<Fd, Errno> {
    const AF_INET: usize = 2;
    const SOCK_DGRAM: usize = 2;
    call(nr::SOCKET, [AF_INET, SOCK_DGRAM | O_CLOEXEC as usize, 0]).map(new_fd)
}

#[repr(C)]
struct IoVec {
    base: usize,
    length: usize,
}

#[repr(C)]
struct MsgHdr {
    name: usize,
    name_length: u32,
    iov: usize,
    iov_count: usize,
    control: usize,
    control_length: usize,
    flags: i32,
}

/// `struct cmsghdr` with room for one descriptor.
#[repr(C)]
#[derive(Default)]
struct Control {
    length: usize,
    level: i32,
    kind: i32,
    fd: i32,
    padding: i32,
}

const SOL_SOCKET: i32 = 1;
const SCM_RIGHTS: i32 = 1;
// Exactly one descriptor: with the trailing padding the kernel would install a second one.
const CONTROL_LENGTH: usize = 20;

fn message(iov: &IoVec, control: Option<&mut Control>) -> MsgHdr {
    let (control, control_length) = control.map_or((0, 0), |c| (address_mut(c), CONTROL_LENGTH));
    let iov = address(iov);
    MsgHdr {
        name: 0,
        name_length: 0,
        iov,
        iov_count: 1,
        control,
        control_length,
        flags: 0,
    }
}

/// Sends one packet, with a descriptor when one is given.
pub(crate) fn send(socket: i32, bytes: &[u8], descriptor: Option<i32>) -> Result<(), Errno> {
    const MSG_NOSIGNAL: usize = 0x4000;
    let iov = IoVec {
        base: bytes.as_ptr() as usize,
        length: bytes.len(),
    };
    let mut control = Control {
        length: CONTROL_LENGTH,
        level: SOL_SOCKET,
        kind: SCM_RIGHTS,
        ..Control::default()
    };
    let header = match descriptor {
        Some(number) => {
            control.fd = number;
            message(&iov, Some(&mut control))
        }
        None => message(&iov, None),
    };
    loop {
        match call(nr::SENDMSG, [fd(socket), address(&header), MSG_NOSIGNAL]) {
            Err(Errno::EINTR) => {}
            other => return other.map(drop),
        }
    }
}

/// Receives one packet of one byte, and the descriptor that came with it.
///
/// The peer's end is [`Errno::EPIPE`], a packet of another length [`Errno::EPROTO`].
pub(crate) fn receive(socket: i32) -> Result<(u8, Option<Fd>), Errno> {
    const MSG_CMSG_CLOEXEC: usize = 0x4000_0000;
    let mut bytes = [0u8; 2];
    let iov = IoVec {
        base: address_mut(&mut bytes),
        length: bytes.len(),
    };
    let mut control = Control::default();
    let mut header = message(&iov, Some(&mut control));
    let length = loop {
        match call(
            nr::RECVMSG,
            [fd(socket), address_mut(&mut header), MSG_CMSG_CLOEXEC],
        ) {
            Err(Errno::EINTR) => {}
            other => break other?,
        }
    };
    let came = header.control_length >= CONTROL_LENGTH
        && (control.level, control.kind) == (SOL_SOCKET, SCM_RIGHTS);
    let descriptor = came.then(|| Fd(control.fd));
    match length {
        0 => Err(Errno::EPIPE),
        1 => Ok((bytes[0], descriptor)),
        _ => Err(Errno::EPROTO),
    }
}
