#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::os::unix::ffi::OsStringExt;

use super::*;

/// Words of options that open descriptors: those of the test program are none of their business.
const OPENING: [&str; 5] = ["fd", "data", "args", "seccomp", "file"];

/// What a command line comes to; nothing where it only asks for a text.
fn steps(line: &[OsString]) -> anyhow::Result<Option<Vec<String>>> {
    let mut read = Line::default();
    let rest: Vec<OsString> = read.read(line.to_vec())?.into();
    assert!(line.ends_with(&rest), "what is left are the last words");
    if read.answer.is_some() {
        return Ok(None);
    }
    Ok(Some(read.sandbox(&rest)?.plan()?.steps()))
}

/// A fuzz target: command lines, word by word with NUL bytes between them. They become a plan, or an
/// error with words, and the same line is always the same.
pub(crate) fn target(bytes: &[u8]) -> u64 {
    let line: Vec<OsString> = bytes
        .split(|byte| *byte == 0)
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect();
    let opens = |word: &OsString| {
        let word = word.to_string_lossy();
        word.starts_with("--") && OPENING.iter().any(|part| word.contains(part))
    };
    let joins = |word: &OsString| word == "--userns" || word == "--pidns";
    if line.iter().any(|word| opens(word) || joins(word)) {
        return 0;
    }
    match (steps(&line), steps(&line)) {
        (Ok(one), Ok(other)) => {
            assert_eq!(one, other);
            1000 + one.map_or(0, |steps| steps.len() as u64)
        }
        (Err(one), Err(other)) => {
            let text = one.to_string();
            assert_eq!(text, other.to_string());
            assert!(!text.is_empty());
            let first = text.split(' ').next().unwrap_or_default();
            first.bytes().fold(1, |sum: u64, byte| {
                (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
            }) % 512
        }
        (one, other) => panic!("{one:?} and {other:?}"),
    }
}

#[test]
fn fuzz_bwrap() {
    let corpus: [&[u8]; 4] = [
        b"--ro-bind\0/\0/\0--dev\0/dev\0--proc\0/proc\0--\0true",
        b"--unshare-all\0--share-net\0--uid\x005\0--gid\x006\0--hostname\0h\0--tmpfs\0/tmp\0sh\0-c\0x",
        b"--perms\x000700\0--size\x001024\0--tmpfs\0/a\0--symlink\0/a\0/b\0--dir\0/c\0--chmod\x000755\0/c\0x",
        b"--overlay-src\0/usr\0--tmp-overlay\0/usr\0--setenv\0A\0b\0--unsetenv\0A\0--clearenv\0x",
    ];
    let names: Vec<String> = WORDS
        .iter()
        .map(|word| format!("--{}\0", word.name))
        .collect();
    let mut words: Vec<&str> = names.iter().map(String::as_str).collect();
    words.extend([
        "\0",
        "--",
        "/",
        "..",
        "-1",
        "--cap-add\0ALL\0",
        "--as-pid-1\0",
        "07777",
    ]);
    crate::driver::fuzz("bwrap", &corpus, &words, target);
}
