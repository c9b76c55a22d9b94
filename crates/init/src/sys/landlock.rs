//! The rules of Landlock, see landlock(7).

use super::{address, call, common_nr, fd};
use crate::errno::Errno;

/// Allows something beneath what is open; of a file, only what is for one.
pub(crate) fn landlock_allow(ruleset: i32, beneath: i32, access: u64) -> Result<(), Errno> {
    const PATH_BENEATH: usize = 1;
    /// `struct landlock_path_beneath_attr`.
    #[repr(C, packed)]
    struct Rule {
        access: u64,
        parent: i32,
    }
    let rule = Rule {
        access,
        parent: beneath,
    };
    call(
        common_nr::LANDLOCK_ADD_RULE,
        [fd(ruleset), PATH_BENEATH, address(&rule), 0],
    )
    .map(drop)
}

pub(crate) fn landlock_restrict(ruleset: i32) -> Result<(), Errno> {
    call(common_nr::LANDLOCK_RESTRICT_SELF, [fd(ruleset), 0]).map(drop)
}
