//! Numbers as text, without a heap.

use core::ffi::CStr;

use crate::errno::Errno;

/// Room for the longest number, its sign and its NUL.
pub(super) const DIGITS: usize = 12;

/// A number in decimal digits.
pub(super) fn decimal(number: i32, buffer: &mut [u8; DIGITS]) -> Result<&CStr, Errno> {
    let mut start = digits(number.unsigned_abs(), 10, buffer);
    if number < 0 {
        start -= 1;
        buffer[start] = b'-';
    }
    CStr::from_bytes_with_nul(&buffer[start..]).map_err(|_| Errno::EINVAL)
}

/// A number in octal digits.
pub(super) fn octal(number: u32, buffer: &mut [u8; DIGITS]) -> Result<&CStr, Errno> {
    let start = digits(number, 8, buffer);
    CStr::from_bytes_with_nul(&buffer[start..]).map_err(|_| Errno::EINVAL)
}

/// Writes digits and a NUL at the end of a buffer; where they begin.
fn digits(mut rest: u32, base: u32, buffer: &mut [u8; DIGITS]) -> usize {
    let mut start = DIGITS - 1;
    buffer[start] = 0;
    loop {
        start -= 1;
        buffer[start] = b'0' + (rest % base) as u8;
        rest /= base;
        if rest == 0 {
            return start;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::{DIGITS, decimal, octal};

    #[test]
    fn permissions_are_written_in_octal() {
        for (number, text) in [(0, c"0"), (0o755, c"755"), (u32::MAX, c"37777777777")] {
            assert_eq!(octal(number, &mut [b'x'; DIGITS]), Ok(text));
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
