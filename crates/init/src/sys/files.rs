//! Files, by a descriptor and a path beneath it.

use core::ffi::CStr;
use core::mem::{MaybeUninit, size_of};

use super::{
    AT_EMPTY_PATH, AT_FDCWD, Fd, O_CLOEXEC, address, address_mut, call, common_nr, fd, new_fd, nr,
    text,
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
    pub(crate) mode: u32,
    pub(crate) size: u64,
    pub(crate) device: u64,
}

/// `struct statx`, of which four fields are read.
#[repr(C)]
pub(super) struct Statx {
    pub(super) before_mode: [u8; 28],
    pub(super) mode: u16,
    pub(super) between: [u8; 10],
    pub(super) size: u64,
    pub(super) before_device: [u8; 80],
    pub(super) device_major: u32,
    pub(super) device_minor: u32,
    pub(super) rest: [u8; 120],
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
