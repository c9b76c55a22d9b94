//! The program's start, in place of the standard library's, which costs as much as a third of an
//! empty process: a stack and two handlers that tell of an overflow, which ends the program either
//! way.

#![allow(unsafe_code)]

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;

// SAFETY: it is the only function of this name, and has the parameters that libc's start gives it.
#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, words: *const *const c_char) -> c_int {
    let word = |index| {
        // SAFETY: there are so many words.
        let word = unsafe { *words.wrapping_add(index) };
        // SAFETY: each is a string of C's, which nobody changes.
        let word = unsafe { CStr::from_ptr(word) };
        OsStr::from_bytes(word.to_bytes()).to_owned()
    };
    let words: Vec<OsString> = (0..count.unsigned_abs() as usize).map(word).collect();
    // The exit of the standard library's writes out what it holds back.
    std::process::exit(crabcan_cli::main(words).into())
}
