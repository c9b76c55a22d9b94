//! Lists of what the kernel takes as structures or as bits.

use super::{Cursor, Field};

/// A set of small numbers, of CPUs or of memory nodes: bit N of an array of `unsigned long`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits<'a>(&'a [u8]);

impl<'a> Bits<'a> {
    /// A set from its bytes; `None` when they are no whole number of words.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        bytes
            .len()
            .is_multiple_of(size_of::<usize>())
            .then_some(Self(bytes))
    }

    /// The numbers in the set.
    pub fn iter(&self) -> impl Iterator<Item = usize> + use<'a> {
        let words = self.0.as_chunks().0.iter().enumerate();
        words.flat_map(|(index, word)| {
            let word = usize::from_ne_bytes(*word);
            let bits = usize::BITS as usize;
            (0..bits)
                .filter(move |bit| word >> bit & 1 == 1)
                .map(move |bit| index * bits + bit)
        })
    }

    pub(crate) fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Field<'a> for Bits<'a> {
    fn read(from: &mut Cursor<'a>) -> Option<Self> {
        Self::new(from.bytes()?)
    }
    #[cfg(not(crabcan_program))]
    fn write(&self, to: &mut crate::writer::Buffer) {
        to.bytes(self.0);
    }
}

/// One call of mount_setattr(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// `MOUNT_ATTR_*` to set.
    pub set: u64,
    /// `MOUNT_ATTR_*` to clear. Whoever sets a way to keep access times clears the whole field.
    pub clear: u64,
    /// `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE` or `MS_UNBINDABLE`; 0 for as it is.
    pub propagation: u64,
    /// Whether the mounts below are changed too.
    pub recursive: bool,
}

impl Change {
    const LENGTH: usize = 32;
    const ACCESS_TIME_FIELD: u64 = 0x70;

    /// Sets attributes.
    #[must_use]
    pub const fn set(attributes: u64, recursive: bool) -> Self {
        let access_time = attributes & Self::ACCESS_TIME_FIELD != 0;
        Self {
            set: attributes,
            clear: if access_time {
                Self::ACCESS_TIME_FIELD
            } else {
                0
            },
            propagation: 0,
            recursive,
        }
    }

    /// The change as it stands in a list.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LENGTH] {
        let words = [
            self.set,
            self.clear,
            self.propagation,
            u64::from(self.recursive),
        ];
        let mut bytes = [0; Self::LENGTH];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8; Self::LENGTH]) -> Option<Self> {
        let [set, clear, propagation, recursive] = bytes.as_chunks().0 else {
            return None;
        };
        let recursive = match u64::from_ne_bytes(*recursive) {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(Self {
            set: u64::from_ne_bytes(*set),
            clear: u64::from_ne_bytes(*clear),
            propagation: u64::from_ne_bytes(*propagation),
            recursive,
        })
    }
}

/// Changes of a mount, in their order: each as [`Change::to_bytes`] writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changes<'a>(&'a [u8]);

impl<'a> Changes<'a> {
    /// No change.
    pub const NONE: Self = Self(&[]);

    /// A list from its bytes; `None` when they are no whole number of changes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let (changes, rest) = bytes.as_chunks();
        let whole = rest.is_empty()
            && changes
                .iter()
                .all(|change| Change::from_bytes(change).is_some());
        whole.then_some(Self(bytes))
    }

    /// The changes in their order.
    pub fn iter(&self) -> impl Iterator<Item = Change> + use<'a> {
        self.0.as_chunks().0.iter().filter_map(Change::from_bytes)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> Field<'a> for Changes<'a> {
    fn read(from: &mut Cursor<'a>) -> Option<Self> {
        Self::new(from.bytes()?)
    }
    #[cfg(not(crabcan_program))]
    fn write(&self, to: &mut crate::writer::Buffer) {
        to.bytes(self.0);
    }
}
