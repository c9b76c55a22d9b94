//! Files, by a descriptor and a path beneath it.

use core::ffi::CStr;
use core::mem::{MaybeUninit, size_of};

use super::{
    AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, Fd, O_CLOEXEC, address, address_mut, call,
    common_nr, fd, new_fd, nr, text,
};
use crate::errno::Errno;

#[repr(C)]
pub(super) struct OpenHow {
    pub(super) flags: u64,
    pub(super) mode: u64,
    pub(super) resolve: u64,
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
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u32,
    pub(crate) links: u32,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    pub(crate) device: u64,
    /// The device of its file system.
    pub(crate) device_below: u64,
}

/// `struct statx`, of which eight fields are read.
#[repr(C)]
pub(super) struct Statx {
    pub(super) before_links: [u8; 16],
    pub(super) links: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u16,
    pub(super) spare: u16,
    pub(super) inode: u64,
    pub(super) size: u64,
    pub(super) before_device: [u8; 80],
    pub(super) device_major: u32,
    pub(super) device_minor: u32,
    pub(super) below_major: u32,
    pub(super) below_minor: u32,
    pub(super) rest: [u8; 112],
}

pub(crate) fn stat(number: i32) -> Result<Stat, Errno> {
    stat_at(number, c"", AT_EMPTY_PATH)
}

/// What a name in an open directory is; a symbolic link is not followed.
pub(crate) fn stat_name(directory: i32, name: &CStr) -> Result<Stat, Errno> {
    stat_at(directory, name, AT_SYMLINK_NOFOLLOW)
}

fn stat_at(number: i32, name: &CStr, flags: u32) -> Result<Stat, Errno> {
    const STATX_BASIC_STATS: usize = 0x7ff;
    let mut stat = MaybeUninit::<Statx>::zeroed();
    let args = [
        fd(number),
        text(name),
        flags as usize,
        STATX_BASIC_STATS,
        address_mut(&mut stat),
    ];
    call(nr::STATX, args)?;
    // SAFETY: zeroed at birth and filled by the kernel; every bit pattern of its fields is valid.
    let stat = unsafe { stat.assume_init() };
    let device = make_device(stat.device_major, stat.device_minor);
    Ok(Stat {
        uid: stat.uid,
        gid: stat.gid,
        mode: u32::from(stat.mode),
        links: stat.links,
        inode: stat.inode,
        size: stat.size,
        device,
        device_below: make_device(stat.below_major, stat.below_minor),
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

/// Whether the caller may execute a file, symbolic links followed. No on a mount that is `noexec`.
pub(crate) fn check_executable(path: &CStr) -> Result<(), Errno> {
    const X_OK: usize = 1;
    call(nr::FACCESSAT, [fd(AT_FDCWD), text(path), X_OK]).map(drop)
}

/// `struct flock` of a lock on a whole file.
#[repr(C)]
pub(super) struct Lock {
    kind: i16,
    whence: i16,
    start: i64,
    pub(super) length: i64,
    pid: i32,
}

/// Takes a shared lock on an open file for this process, without waiting.
pub(crate) fn lock_shared(number: i32) -> Result<(), Errno> {
    const F_SETLK: usize = 6;
    const F_RDLCK: i16 = 0;
    let lock = Lock {
        kind: F_RDLCK,
        whence: 0,
        start: 0,
        length: 0,
        pid: 0,
    };
    call(nr::FCNTL, [fd(number), F_SETLK, address(&lock)]).map(drop)
}

/// Changes the owner of an open file.
pub(crate) fn chown(number: i32, uid: u32, gid: u32) -> Result<(), Errno> {
    let args = [
        fd(number),
        text(c""),
        uid as usize,
        gid as usize,
        AT_EMPTY_PATH as usize,
    ];
    call(nr::FCHOWNAT, args).map(drop)
}

/// What a symbolic link says that is open as a place; `buffer` holds it with a NUL behind it.
pub(crate) fn readlink(link: i32, buffer: &mut [u8]) -> Result<&CStr, Errno> {
    let room = buffer.len() - 1;
    let args = [fd(link), text(c""), buffer.as_mut_ptr() as usize, room];
    let length = call(nr::READLINKAT, args)?;
    buffer[length] = 0;
    CStr::from_bytes_with_nul(&buffer[..=length]).map_err(|_| Errno::ENAMETOOLONG)
}

pub(crate) fn read(number: i32, buffer: &mut [u8]) -> Result<usize, Errno> {
    let args = [fd(number), buffer.as_mut_ptr() as usize, buffer.len()];
    loop {
        match call(nr::READ, args) {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// Writes all, in one call.
pub(crate) fn write_whole(number: i32, bytes: &[u8]) -> Result<(), Errno> {
    let args = [fd(number), bytes.as_ptr() as usize, bytes.len()];
    match call(nr::WRITE, args)? {
        length if length == bytes.len() => Ok(()),
        _ => Err(Errno::EIO),
    }
}

/// Goes to the beginning of a file.
pub(crate) fn rewind(number: i32) -> Result<(), Errno> {
    call(nr::LSEEK, [fd(number), 0, 0]).map(drop)
}

/// A pipe: its end for reading and its end for writing.
pub(crate) fn pipe() -> Result<[Fd; 2], Errno> {
    let mut ends = [0i32; 2];
    call(nr::PIPE2, [address_mut(&mut ends), O_CLOEXEC as usize])?;
    Ok(ends.map(Fd))
}

/// A file in memory that nobody can execute.
pub(crate) fn memory_file(name: &CStr) -> Result<Fd, Errno> {
    const MFD_CLOEXEC: usize = 1;
    const MFD_NOEXEC_SEAL: usize = 8;
    let create = |flags| call(nr::MEMFD_CREATE, [text(name), flags]).map(new_fd);
    match create(MFD_CLOEXEC | MFD_NOEXEC_SEAL) {
        // Before Linux 6.3 there is no choice.
        Err(Errno::EINVAL) => create(MFD_CLOEXEC),
        other => other,
    }
}

/// Reads entries of a directory, each a `struct linux_dirent64`; how many bytes.
pub(crate) fn getdents(directory: i32, buffer: &mut [u8]) -> Result<usize, Errno> {
    let args = [fd(directory), buffer.as_mut_ptr() as usize, buffer.len()];
    call(nr::GETDENTS64, args)
}

/// Copies as much as the kernel likes from where a file stands; 0 at its end.
pub(crate) fn sendfile(to: i32, from: i32) -> Result<usize, Errno> {
    const MANY: usize = 1 << 30;
    call(nr::SENDFILE, [fd(to), fd(from), 0, MANY])
}

pub(crate) fn fchmod(number: i32, mode: u32) -> Result<(), Errno> {
    call(nr::FCHMOD, [fd(number), mode as usize]).map(drop)
}
