//! Conditions on arguments.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// A comparison of a whole 64-bit argument, unsigned, with a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Comparison {
    /// The argument is not the value.
    Ne(u64),
    /// It is less.
    Lt(u64),
    /// It is less or the same.
    Le(u64),
    /// It is the same.
    Eq(u64),
    /// It is the same or greater.
    Ge(u64),
    /// It is greater.
    Gt(u64),
    /// In the bits of the mask, the argument is the same as the value.
    MaskedEq {
        /// Which bits count.
        mask: u64,
        /// What they are compared with; its bits outside of the mask do not count either.
        value: u64,
    },
}

impl Comparison {
    /// Whether an argument fulfils the condition.
    #[must_use]
    pub fn holds(self, argument: u64) -> bool {
        match self {
            Self::Ne(value) => argument != value,
            Self::Lt(value) => argument < value,
            Self::Le(value) => argument <= value,
            Self::Eq(value) => argument == value,
            Self::Ge(value) => argument >= value,
            Self::Gt(value) => argument > value,
            Self::MaskedEq { mask, value } => argument & mask == value & mask,
        }
    }
}

/// What is said of the argument: `== 0x5412`, `& 0xffffffff == 0x5412`.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ne(value) => write!(f, "!= {value:#x}"),
            Self::Lt(value) => write!(f, "< {value:#x}"),
            Self::Le(value) => write!(f, "<= {value:#x}"),
            Self::Eq(value) => write!(f, "== {value:#x}"),
            Self::Ge(value) => write!(f, ">= {value:#x}"),
            Self::Gt(value) => write!(f, "> {value:#x}"),
            Self::MaskedEq { mask, value } => write!(f, "& {mask:#x} == {:#x}", value & mask),
        }
    }
}

/// The operator of a comparison, as the OCI specification words it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operator {
    /// `SCMP_CMP_NE`
    Ne,
    /// `SCMP_CMP_LT`
    Lt,
    /// `SCMP_CMP_LE`
    Le,
    /// `SCMP_CMP_EQ`
    Eq,
    /// `SCMP_CMP_GE`
    Ge,
    /// `SCMP_CMP_GT`
    Gt,
    /// `SCMP_CMP_MASKED_EQ`
    MaskedEq,
}

impl Operator {
    const WORDS: [(Self, &str); 7] = [
        (Self::Ne, "SCMP_CMP_NE"),
        (Self::Lt, "SCMP_CMP_LT"),
        (Self::Le, "SCMP_CMP_LE"),
        (Self::Eq, "SCMP_CMP_EQ"),
        (Self::Ge, "SCMP_CMP_GE"),
        (Self::Gt, "SCMP_CMP_GT"),
        (Self::MaskedEq, "SCMP_CMP_MASKED_EQ"),
    ];

    /// The comparison with `value` and `valueTwo` of the OCI specification: for the masked one the
    /// first is the mask, and the others have no use for the second.
    #[must_use]
    pub fn with(self, value: u64, value_two: u64) -> Comparison {
        match self {
            Self::Ne => Comparison::Ne(value),
            Self::Lt => Comparison::Lt(value),
            Self::Le => Comparison::Le(value),
            Self::Eq => Comparison::Eq(value),
            Self::Ge => Comparison::Ge(value),
            Self::Gt => Comparison::Gt(value),
            Self::MaskedEq => Comparison::MaskedEq {
                mask: value,
                value: value_two,
            },
        }
    }

    /// The operator of a comparison, with `value` and `valueTwo`.
    #[must_use]
    pub fn of(comparison: Comparison) -> (Self, u64, u64) {
        match comparison {
            Comparison::Ne(value) => (Self::Ne, value, 0),
            Comparison::Lt(value) => (Self::Lt, value, 0),
            Comparison::Le(value) => (Self::Le, value, 0),
            Comparison::Eq(value) => (Self::Eq, value, 0),
            Comparison::Ge(value) => (Self::Ge, value, 0),
            Comparison::Gt(value) => (Self::Gt, value, 0),
            Comparison::MaskedEq { mask, value } => (Self::MaskedEq, mask, value),
        }
    }
}

impl FromStr for Operator {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        let found = Self::WORDS.iter().find(|(_, name)| *name == word);
        found.map(|(one, _)| *one).ok_or_else(|| Error::Word {
            what: "operator",
            name: word.to_owned(),
        })
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Self::WORDS.iter().find(|(one, _)| one == self);
        f.write_str(found.map_or("", |(_, name)| name))
    }
}
