//! The five capability sets of the calling thread.

use crate::errno::Errno;
use crate::sys;

const PR_CAPBSET_READ: i32 = 23;
const PR_CAPBSET_DROP: i32 = 24;
const PR_CAP_AMBIENT: i32 = 47;
const PR_CAP_AMBIENT_RAISE: usize = 2;
const PR_CAP_AMBIENT_CLEAR_ALL: usize = 4;

/// Drops every capability whose bit is not in `keep` from the bounding set.
///
/// # Errors
/// EPERM without `CAP_SETPCAP`, if there is anything to drop. A capability that this kernel does not
/// know can't be held either.
pub fn bounding(keep: u64) -> Result<(), Errno> {
    for capability in (0..64).filter(|bit| keep >> bit & 1 == 0) {
        match sys::prctl(PR_CAPBSET_DROP, [capability, 0, 0, 0]) {
            Ok(_) => {}
            // The first number above the kernel's last capability: there are no more.
            Err(Errno::EINVAL) if capability > 0 => return Ok(()),
            // The kernel looks at the privilege first, even for what is not there any more.
            Err(errno) => match sys::prctl(PR_CAPBSET_READ, [capability, 0, 0, 0]) {
                Ok(0) | Err(Errno::EINVAL) => {}
                _ => return Err(errno),
            },
        }
    }
    Ok(())
}

/// Sets the effective, permitted, inheritable and ambient sets to just what is given.
///
/// # Errors
/// EPERM when `permitted` or `inheritable` names what the thread does not have, or `ambient` what
/// is not both permitted and inheritable.
pub fn set(effective: u64, permitted: u64, inheritable: u64, ambient: u64) -> Result<(), Errno> {
    sys::prctl(PR_CAP_AMBIENT, [PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0])?;
    sys::capset([effective, permitted, inheritable])?;
    for capability in (0..64).filter(|bit| ambient >> bit & 1 == 1) {
        sys::prctl(PR_CAP_AMBIENT, [PR_CAP_AMBIENT_RAISE, capability, 0, 0])?;
    }
    Ok(())
}

/// The effective, permitted and inheritable sets of the calling thread.
///
/// # Errors
/// None that a kernel of this century gives.
pub fn get() -> Result<[u64; 3], Errno> {
    sys::capget()
}
