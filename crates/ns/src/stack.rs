//! The memory on which a cloned child runs until it executes a program.

use std::io;

use crate::{Error, sys};

/// A stack on the heap, with a guard page below it: a child that overflows it dies by SIGSEGV
/// instead of writing into its neighbour's memory.
///
/// The pages are private, zero, and taken only when touched. They are given back on drop.
#[derive(Debug)]
pub struct Stack(sys::Mapping);

impl Stack {
    /// Maps a stack of at least `size_bytes`, rounded up to whole pages, plus the guard page.
    ///
    /// See [mmap(2)](https://man7.org/linux/man-pages/man2/mmap.2.html).
    ///
    /// # Errors
    /// [`Error::Stack`]: ENOMEM when there is no memory or address space left, EINVAL for a size of
    /// zero or one that no address space can hold.
    pub fn new(size_bytes: usize) -> Result<Self, Error> {
        let page = rustix::param::page_size();
        let invalid = || Error::Stack {
            size_bytes,
            source: io::Error::from_raw_os_error(libc::EINVAL),
        };
        if size_bytes == 0 {
            return Err(invalid());
        }
        let usable = size_bytes
            .checked_next_multiple_of(page)
            .ok_or_else(invalid)?;
        let total = usable.checked_add(page).ok_or_else(invalid)?;
        sys::Mapping::with_guard(total, page)
            .map(Self)
            .map_err(|source| Error::Stack { size_bytes, source })
    }

    /// How many bytes can be used, without the guard page.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.0.usable().1
    }

    /// The lowest usable address and the size, as `clone3` takes them.
    pub(crate) fn usable(&self) -> (usize, usize) {
        self.0.usable()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_page_below_is_inaccessible_and_all_above_can_be_written() {
        let stack = Stack::new(100_000).unwrap();
        let (start, size) = stack.usable();
        let page = rustix::param::page_size();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let permissions = |address: usize| {
            let line = maps.lines().find(|line| {
                let (low, high) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
                let bound = |text| usize::from_str_radix(text, 16).unwrap();
                (bound(low)..bound(high)).contains(&address)
            });
            line.unwrap().split(' ').nth(1).unwrap()
        };
        assert_eq!(permissions(start - page), "---p");
        assert_eq!(permissions(start - 1), "---p");
        assert_eq!(permissions(start), "rw-p");
        assert_eq!(permissions(start + size - 1), "rw-p");
    }
}
