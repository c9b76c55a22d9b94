//! The name of a container.

use std::fmt;

use crate::Error;

/// The longest name. A file system may allow less; then making the entry is refused.
const MAX_BYTES: usize = 1024;

/// The id of a container: unique below a state directory, and the name of its entry there.
///
/// It begins with an ASCII letter, a digit or one of `_+-`; dots may follow. So it is never `.` or
/// `..`, never a path, and never one of the names that the state directory has for itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(String);

impl Id {
    /// Checks a name.
    ///
    /// # Errors
    /// [`Error::InvalidId`] with what is wrong with it.
    pub fn new(name: &str) -> Result<Self, Error> {
        let invalid = |reason| Error::InvalidId {
            id: name.chars().take(64).collect(),
            reason,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "_+-".contains(c);
        match name.chars().next() {
            None => Err(invalid("is empty")),
            Some(_) if name.len() > MAX_BYTES => Err(invalid("is longer than 1024 bytes")),
            Some(first) if !plain(first) => Err(invalid(
                "must begin with a letter, a digit or one of \"_+-\"",
            )),
            Some(_) if !name.chars().all(|c| plain(c) || c == '.') => {
                Err(invalid("may hold letters, digits and \"_+-.\" only"))
            }
            Some(_) => Ok(Self(name.to_owned())),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_a_path_is_no_id() {
        let long = "a".repeat(MAX_BYTES);
        for good in ["a", "0", "_x", "+1", "-", "pod.1_A+b-c", "a..b", &long] {
            assert!(Id::new(good).is_ok(), "{good}");
        }
        let longer = "a".repeat(MAX_BYTES + 1);
        for bad in [
            "", ".", "..", ".hidden", "a/b", "../a", "a b", "a\n", "a\0", "é", "a:b", &longer,
        ] {
            assert!(
                matches!(Id::new(bad), Err(Error::InvalidId { .. })),
                "{bad}"
            );
        }
    }
}
