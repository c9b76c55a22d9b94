//! Numbers as text, without a heap.

use core::ffi::CStr;

use crate::errno::Errno;

/// Room for the longest number, its sign and its NUL.
pub(super) const DIGITS: usize = 12;

/// A number in decimal digits.
pub(super) fn decimal(number: i32, buffer: &mut [u8; DIGITS]) -> Result<&CStr, Errno> {
    let mut rest = number.unsigned_abs();
    let mut start = DIGITS - 1;
    buffer[start] = 0;
    loop {
        start -= 1;
        buffer[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        start -= 1;
        buffer[start] = b'-';
    }
    CStr::from_bytes_with_nul(&buffer[start..]).map_err(|_| Errno::EINVAL)
}

/// Permissions as an option of a file system: in four octal digits.
pub(super) fn mode_option(mode: u32) -> [u8; 10] {
    let mut option = *b"mode=0000\0";
    for (place, digit) in (0..4).zip(option[5..9].iter_mut().rev()) {
        *digit = b'0' + (mode >> (3 * place) & 7) as u8;
    }
    option
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::{DIGITS, decimal, mode_option};

    #[test]
    fn permissions_are_written_in_octal() {
        for (mode, text) in [
            (0, b"mode=0000\0"),
            (0o755, b"mode=0755\0"),
            (0o7654, b"mode=7654\0"),
        ] {
            assert_eq!(&mode_option(mode), text);
        }
    }

    #[test]
    fn numbers_are_written_in_full() {
        for number in [0, 7, 10, -1, -1000, i32::MAX, i32::MIN] {
            let mut buffer = [b'x'; DIGITS];
            let text = decimal(number, &mut buffer).map(|text| text.to_str().map(str::to_string));
            assert_eq!(text, Ok(Ok(number.to_string())));
        }
    }
}
