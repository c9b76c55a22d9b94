//! Flags of an installation.

use std::ops::{BitOr, BitOrAssign};
use std::str::FromStr;

use crate::Error;

/// Flags of seccomp(2)'s `SECCOMP_SET_MODE_FILTER`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u32);

impl Flags {
    /// No flag.
    pub const EMPTY: Self = Self(0);
    /// All threads of the process take the filter over, or none does.
    pub const TSYNC: Self = Self(1);
    /// Every action but Allow is logged. Linux 4.14.
    pub const LOG: Self = Self(2);
    /// The mitigation of speculative store bypass stays off. Linux 4.17.
    pub const SPEC_ALLOW: Self = Self(4);
    /// A call that the listener has received is interrupted by fatal signals alone. Linux 5.19;
    /// it has a meaning with a listener only, and is left away without.
    pub const WAIT_KILLABLE_RECV: Self = Self(32);

    /// The kernel's bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of the other's flags are in it.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// The words of the OCI specification, such as `SECCOMP_FILTER_FLAG_LOG`.
impl FromStr for Flags {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        match word {
            "SECCOMP_FILTER_FLAG_TSYNC" => Ok(Self::TSYNC),
            "SECCOMP_FILTER_FLAG_LOG" => Ok(Self::LOG),
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => Ok(Self::SPEC_ALLOW),
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => Ok(Self::WAIT_KILLABLE_RECV),
            _ => Err(Error::Word {
                what: "flag",
                name: word.to_owned(),
            }),
        }
    }
}
