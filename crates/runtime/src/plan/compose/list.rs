//! Lists of processors and memory nodes.

/// The highest number that is taken: far above what any kernel can be built for, and low enough
/// that no list is a burden.
const HIGHEST: usize = 65_535;

/// Reads a list such as `0-3,7` into the bytes of a mask of `unsigned long`s, as the kernel takes it:
/// bit N of the whole is set when N is in the list. An empty list is an empty mask. `None` when it is
/// no such list.
pub(super) fn mask(list: &str) -> Option<Vec<u8>> {
    let words = words(list)?;
    Some(words.iter().flat_map(|word| word.to_ne_bytes()).collect())
}

fn words(list: &str) -> Option<Vec<u64>> {
    let mut words = Vec::new();
    let list = list.trim();
    if list.is_empty() {
        return Some(words);
    }
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| {
            let text = text.trim();
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = digits.then(|| text.parse::<usize>().ok()).flatten();
            number.filter(|number| *number <= HIGHEST)
        };
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return None;
        }
        if words.len() <= last / 64 {
            words.resize(last / 64 + 1, 0);
        }
        for bit in first..=last {
            if let Some(word) = words.get_mut(bit / 64) {
                *word |= 1 << (bit % 64);
            }
        }
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_masks() {
        assert_eq!(words(""), Some(vec![]));
        assert_eq!(words("0"), Some(vec![1]));
        assert_eq!(words("1-3,5"), Some(vec![0b10_1110]));
        assert_eq!(words(" 0-1, 63-64 "), Some(vec![1 << 63 | 3, 1]));
        // More than the 1024 that the C library's own type holds.
        let many = words("1500").unwrap_or_default();
        assert_eq!(
            (many.len(), many.last()),
            (24, Some(&(1 << (1500 - 23 * 64))))
        );
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for bad in [
            "a", "1-", "-1", "3-1", "1,,2", "1-2-3", "0x1", "65536", "+1", ",", "1 2",
        ] {
            assert_eq!(words(bad), None, "{bad}");
        }
    }
}
