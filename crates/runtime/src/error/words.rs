//! What the messages are made of besides what the compiler joins.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

/// A property in front of what is done for it.
pub(super) fn before(property: &str) -> String {
    match property {
        "" => String::new(),
        property => format!("{property}: "),
    }
}

/// What the kernel's answer alone does not say. Container engines look for these words to tell a
/// program that is nowhere in `PATH` from one that can't be executed.
pub(super) fn why(program: &OsStr, interpreter: bool, source: &io::Error) -> &'static str {
    if interpreter {
        return ": its interpreter";
    }
    let named_only = !program.as_bytes().contains(&b'/');
    match source.kind() {
        io::ErrorKind::NotFound if named_only => ": executable file not found in $PATH",
        _ => "",
    }
}
