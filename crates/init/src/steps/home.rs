//! `HOME`, where the environment does not say it: as login(1) has it, from the container's own
//! passwd(5), by the container's own rights.

use core::ffi::CStr;

use super::process::keep;
use super::{S_IFMT, S_IFREG};
use crate::errno::Errno;
use crate::sys::{self, AT_FDCWD, Fd, O_NOCTTY, O_NONBLOCK};

/// In an environment: stands for the variable with the home behind it.
pub(super) const UNSAID: &CStr = c"HOME=";
const USERS: &CStr = c"/etc/passwd";
/// What is further behind in the file is not looked at: a container may have made it endless.
const FILE_LIMIT: usize = 1 << 20;
/// The variable with its NUL: no path is longer than this (`PATH_MAX`).
const LENGTH: usize = 4096;

/// The address of `HOME=` with the user's home behind it: `/` for who has none.
#[inline(never)]
pub(super) fn variable(uid: u32) -> Result<usize, Errno> {
    let mut text = [0; LENGTH];
    let mut search = Search::new(uid, &mut text);
    let found = users().is_ok_and(|file| search.read(&file).unwrap_or(false));
    if !found {
        search.length = 0;
        search.push(b'/');
    }
    keep(search.variable())
}

/// The file, which is anything: it is not waited for, and it becomes nobody's terminal.
fn users() -> Result<Fd, Errno> {
    let file = sys::openat(AT_FDCWD, USERS, O_NONBLOCK | O_NOCTTY)?;
    match sys::stat(file.0)?.mode & S_IFMT {
        S_IFREG => Ok(file),
        _ => Err(Errno::EINVAL),
    }
}

/// The field of a line that has the user id, and the one that has the home.
const ID: u8 = 2;
const HOME: u8 = 5;

/// The look for a user's line, byte by byte.
#[derive(Debug)]
struct Search<'b> {
    uid: u32,
    /// Which field of the line is being read.
    field: u8,
    /// The line's user id as far as it is read; no number, or too large a one, is none.
    id: Option<u32>,
    digits: usize,
    /// The variable, and the line's home behind its name.
    text: &'b mut [u8; LENGTH],
    /// How long the home is; more than [`ROOM`] has no room.
    length: usize,
}

/// Where the home begins, and how long it may be: behind it is the NUL.
const NAME: usize = UNSAID.to_bytes().len();
const ROOM: usize = LENGTH - NAME - 1;
const WORD: usize = size_of::<usize>();

impl<'b> Search<'b> {
    fn new(uid: u32, text: &'b mut [u8; LENGTH]) -> Self {
        text[..NAME].copy_from_slice(UNSAID.to_bytes());
        Self {
            uid,
            field: 0,
            id: Some(0),
            digits: 0,
            text,
            length: 0,
        }
    }

    /// Reads until the user's line has been read; whether there is one.
    fn read(&mut self, file: &Fd) -> Result<bool, Errno> {
        let mut buffer = [0; 1024];
        let mut left = FILE_LIMIT;
        while left > 0 {
            let length = sys::read(file.0, &mut buffer)?;
            if length == 0 {
                // The last line may have no end.
                return Ok(self.take(b'\n'));
            }
            if buffer[..length].iter().any(|byte| self.take(*byte)) {
                return Ok(true);
            }
            left = left.saturating_sub(length);
        }
        Ok(false)
    }

    /// Takes the next byte of the file; whether it ends the user's line.
    fn take(&mut self, byte: u8) -> bool {
        match (byte, self.field) {
            (b'\n', _) => {
                if self.is_the_users() {
                    return true;
                }
                (self.field, self.id, self.digits, self.length) = (0, Some(0), 0, 0);
            }
            (b':', _) => self.field = self.field.saturating_add(1),
            (_, ID) => {
                let digit = byte.wrapping_sub(b'0');
                let id = self.id.filter(|_| digit < 10);
                let id = id.and_then(|id| id.checked_mul(10));
                self.id = id.and_then(|id| id.checked_add(digit.into()));
                self.digits += 1;
            }
            (_, HOME) => self.push(byte),
            _ => {}
        }
        false
    }

    fn push(&mut self, byte: u8) {
        if self.length < ROOM {
            self.text[NAME + self.length] = byte;
        }
        self.length += 1;
    }

    /// A home that is no absolute path, or too long a one, is none.
    fn is_the_users(&self) -> bool {
        let is_id = self.digits > 0 && self.id == Some(self.uid);
        is_id && self.length <= ROOM && self.length > 0 && self.text[NAME] == b'/'
    }

    /// `HOME=` and the home, with a NUL and up to the end of a word.
    fn variable(&mut self) -> &[u8] {
        let end = NAME + self.length.min(ROOM);
        self.text[end] = 0;
        &self.text[..(end + 1).next_multiple_of(WORD)]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[track_caller]
    fn check(uid: u32, text: &str, expected: Option<&str>) {
        let mut buffer = [0; LENGTH];
        let mut search = Search::new(uid, &mut buffer);
        let found = text.bytes().chain(*b"\n").any(|byte| search.take(byte));
        let variable = CStr::from_bytes_until_nul(search.variable()).unwrap();
        let home = variable.to_bytes().strip_prefix(b"HOME=").unwrap();
        let home = found.then_some(home);
        assert_eq!(home, expected.map(str::as_bytes), "{uid}: {text}");
    }

    #[test]
    fn the_home_is_that_of_the_users_line() {
        let text = "root:x:0:0:root:/root:/bin/sh\n\n# a word\nme:x:1000:7:A, B:/home/me:/bin/sh\n\
            none:x:5:5::::\nshort:x:6\nrelative:x:8:8::home:\nlast:x:9:9::/last";
        check(0, text, Some("/root"));
        check(1000, text, Some("/home/me"));
        check(9, text, Some("/last"));
        for nobody in [1, 5, 6, 7, 8, 10, 100, 10_000, u32::MAX] {
            check(nobody, text, None);
        }
        // No number is not 0, and what does not fit is not what would be left of it.
        check(0, "a:x::0::/a:", None);
        check(0, "a:x:0x0:0::/a:\nb:x:+0:0::/b:", None);
        check(0, "a:x:4294967296:0::/a:", None);
        check(705_032_704, "a:x:5000000000:0::/a:", None);
        check(72, "a:x:x:0::/a:", None);
        check(4_294_967_294, "a:x:4294967294:0::/a:", Some("/a"));
        // The first line counts, and one that is too long is no home.
        check(1, "a:x:1:1::/a:\nb:x:1:1::/b:", Some("/a"));
        let long = "/".repeat(LENGTH);
        check(
            1,
            &std::format!("a:x:1:1::{long}:\nb:x:1:1::/b:"),
            Some("/b"),
        );
    }
}
