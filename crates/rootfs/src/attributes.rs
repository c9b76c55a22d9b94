//! The attributes of a mount.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// What holds for everything that is reached through a mount: `MOUNT_ATTR_*` of
/// [mount_setattr(2)](https://man7.org/linux/man-pages/man2/mount_setattr.2.html).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MountAttributes(u64);

impl MountAttributes {
    /// Nothing but the kernel's defaults.
    pub const NONE: Self = Self(0);
    /// Nothing can be changed.
    pub const RDONLY: Self = Self(0x1);
    /// Set-ID bits and capabilities of files give nothing.
    pub const NOSUID: Self = Self(0x2);
    /// Device files can't be opened.
    pub const NODEV: Self = Self(0x4);
    /// Programs can't be executed.
    pub const NOEXEC: Self = Self(0x8);
    /// Reading never changes an access time.
    pub const NOATIME: Self = Self(0x10);
    /// Reading always changes the access time.
    pub const STRICTATIME: Self = Self(0x20);
    /// Reading a directory never changes its access time.
    pub const NODIRATIME: Self = Self(0x80);
    /// Symbolic links are not followed (Linux 5.14).
    pub const NOSYMFOLLOW: Self = Self(0x20_0000);

    /// The three values of the access time are one field, in which 0 is the kernel's default.
    pub const ATIME_FIELD: Self = Self(0x70);

    const NAMES: [(Self, &'static str); 8] = [
        (Self::RDONLY, "ro"),
        (Self::NOSUID, "nosuid"),
        (Self::NODEV, "nodev"),
        (Self::NOEXEC, "noexec"),
        (Self::NOATIME, "noatime"),
        (Self::STRICTATIME, "strictatime"),
        (Self::NODIRATIME, "nodiratime"),
        (Self::NOSYMFOLLOW, "nosymfollow"),
    ];

    /// The kernel's bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether nothing is set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together, for constants; elsewhere `|` is shorter.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without those of the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for MountAttributes {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

impl BitOrAssign for MountAttributes {
    fn bitor_assign(&mut self, other: Self) {
        *self = self.with(other);
    }
}

/// The words of mount(8) with commas between them; `defaults` when nothing is set.
impl fmt::Display for MountAttributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("defaults");
        }
        let mut comma = "";
        for (attribute, name) in Self::NAMES {
            if self.contains(attribute) {
                write!(f, "{comma}{name}")?;
                comma = ",";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::MountAttributes as A;

    #[test]
    fn shown_in_the_words_of_mount() {
        let all = A::RDONLY | A::NOSUID | A::NODEV | A::NOEXEC;
        assert_eq!(all.to_string(), "ro,nosuid,nodev,noexec");
        assert_eq!(all.bits(), 0xf);
        assert_eq!(A::NONE.to_string(), "defaults");
        assert_eq!(
            (A::NOATIME | A::NOSYMFOLLOW).to_string(),
            "noatime,nosymfollow"
        );
    }
}
