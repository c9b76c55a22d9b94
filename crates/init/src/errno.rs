//! The kernel's error numbers.

/// An error number of the kernel, as in errno(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

#[allow(missing_docs, reason = "the names of errno(3)")]
impl Errno {
    pub const EPERM: Self = Self(1);
    pub const ENOENT: Self = Self(2);
    pub const EINTR: Self = Self(4);
    pub const EIO: Self = Self(5);
    pub const ECHILD: Self = Self(10);
    pub const EAGAIN: Self = Self(11);
    pub const EACCES: Self = Self(13);
    pub const EEXIST: Self = Self(17);
    pub const ENODEV: Self = Self(19);
    pub const ENOTDIR: Self = Self(20);
    pub const EINVAL: Self = Self(22);
    pub const ENAMETOOLONG: Self = Self(36);
    pub const ELOOP: Self = Self(40);
    pub const ENOSYS: Self = Self(38);
    pub const EPROTO: Self = Self(71);
    pub const ETIMEDOUT: Self = Self(110);
    pub const ESTALE: Self = Self(116);
    pub const EOPNOTSUPP: Self = Self(95);
    pub const EBADF: Self = Self(9);
    pub const EBADFD: Self = Self(77);
    pub const EPIPE: Self = Self(32);
}
