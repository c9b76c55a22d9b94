//! Sets of capabilities.

use std::fmt;

use crate::Capability;

/// A set of capabilities, as the kernel keeps it: bit N stands for capability N.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct CapabilitySet(u64);

impl CapabilitySet {
    /// No capability.
    pub const EMPTY: Self = Self(0);

    /// The set of just these, for constants.
    #[must_use]
    pub const fn of(capabilities: &[Capability]) -> Self {
        let mut bits = 0;
        let mut rest = capabilities;
        while let [first, others @ ..] = rest {
            bits |= 1 << *first as u8;
            rest = others;
        }
        Self(bits)
    }

    /// A set from the kernel's bits; it may hold capabilities that this crate has no name for.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The kernel's bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether nothing is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds a capability.
    pub const fn insert(&mut self, capability: Capability) {
        self.0 |= 1 << capability as u8;
    }

    /// Takes a capability out.
    pub const fn remove(&mut self, capability: Capability) {
        self.0 &= !(1 << capability as u8);
    }

    /// Whether a capability is in it.
    #[must_use]
    pub const fn contains(self, capability: Capability) -> bool {
        self.0 >> capability as u8 & 1 == 1
    }

    /// What is in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this one and not in the other.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The capabilities in it that have a name, in the kernel's order.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL
            .iter()
            .copied()
            .filter(move |one| self.contains(*one))
    }
}

impl FromIterator<Capability> for CapabilitySet {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        let mut set = Self::EMPTY;
        set.extend(capabilities);
        set
    }
}

impl Extend<Capability> for CapabilitySet {
    fn extend<I: IntoIterator<Item = Capability>>(&mut self, capabilities: I) {
        for one in capabilities {
            self.insert(one);
        }
    }
}

/// The names with commas between them, a number where there is no name, `none` for an empty set.
impl fmt::Display for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let mut comma = "";
        for number in (0..64u8).filter(|number| self.0 >> number & 1 == 1) {
            match Capability::ALL.get(usize::from(number)) {
                Some(one) => write!(f, "{comma}{one}")?,
                None => write!(f, "{comma}{number}")?,
            }
            comma = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Capability::{Chown, Kill, SysAdmin};

    #[test]
    fn insert_remove_contains() {
        let mut set: CapabilitySet = [Kill, Chown].into_iter().collect();
        assert_eq!(set.bits(), 0b10_0001);
        set.insert(SysAdmin);
        set.remove(Kill);
        assert!(set.contains(SysAdmin) && set.contains(Chown) && !set.contains(Kill));
        assert_eq!(set.iter().collect::<Vec<_>>(), [Chown, SysAdmin]);
        assert_eq!(set, CapabilitySet::of(&[SysAdmin, Chown]));
    }

    #[test]
    fn shown_by_name_and_by_number() {
        assert_eq!(CapabilitySet::EMPTY.to_string(), "none");
        assert_eq!(
            CapabilitySet::of(&[Kill, Chown]).to_string(),
            "CAP_CHOWN,CAP_KILL"
        );
        assert_eq!(
            CapabilitySet::from_bits(1 | 1 << 50).to_string(),
            "CAP_CHOWN,50"
        );
    }
}
