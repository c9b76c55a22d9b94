//! Descriptors that the caller was started with and that a container is to have too.

use std::os::fd::OwnedFd;

use crate::{Error, sys};

/// The first descriptor that is not a standard one; LISTEN_FDS and `--preserve-fds` count from it.
const FIRST: i32 = 3;

/// Takes a copy of one descriptor that this program was started with.
///
/// To be called before this program opens anything, as [`inherited`].
///
/// # Errors
/// [`Error::NotInherited`] when it is not open.
pub fn inherited_descriptor(number: i32) -> Result<OwnedFd, Error> {
    copy(number, FIRST)
}

/// Takes copies of descriptors 3, 4, … of this program, so many of them.
///
/// To be called before this program opens anything: a number that was free would not be the
/// caller's any more.
///
/// # Errors
/// [`Error::NotInherited`] names the first that is not open.
pub fn inherited(count: u32) -> Result<Vec<OwnedFd>, Error> {
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    // A copy must not be taken for one that was there before.
    let end = FIRST.saturating_add(count);
    (FIRST..end).map(|number| copy(number, end)).collect()
}

fn copy(number: i32, least: i32) -> Result<OwnedFd, Error> {
    sys::copy_of_inherited(number, least).map_err(|errno| Error::NotInherited {
        number,
        source: errno.into(),
    })
}
