//! Steps in words, for `explain` and for the messages of failed ones.

use core::fmt;

use crate::step::Step;

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
