//! The steps of a sandbox that is put together piece by piece, in words.

use core::fmt::{self, Formatter};

use super::Details;
use super::words::{Attributes, FileRights, List, Text};
use crate::step::Step;

impl Step<'_> {
    pub(super) fn sandbox_in_words(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Directory { target, mode } => {
                write!(f, "make the directory {} (mode {mode:04o})", Text(target))
            }
            Self::File { target, mode } => write!(
                f,
                "write the file {} (mode {mode:04o}; contents received from the parent)",
                Text(target)
            ),
            Self::BindFile {
                target,
                mode,
                attributes,
            } => {
                write!(f, "bind a new file on {}", Text(target))?;
                Details::new(f)
                    .add_if(attributes != 0, Attributes(attributes))
                    .add_if(true, format_args!("mode {mode:04o}"))
                    .add_if(true, "contents received from the parent")
                    .end()
            }
            Self::Permissions { target, mode } => {
                write!(f, "change the mode of {} to {mode:04o}", Text(target))
            }
            Self::SameFile {
                target,
                device,
                inode,
            } => write!(
                f,
                "check that {} is the file that was opened (device {device:#x}; inode {inode})",
                Text(target)
            ),
            Self::LockFile { target } => write!(f, "hold a shared lock on {}", Text(target)),
            Self::FirstDirectory { candidates } => {
                write!(f, "go to the first directory of {}", List(candidates, ", "))
            }
            Self::Timings { descriptor } => {
                write!(f, "note when each step has ended (descriptor {descriptor})")
            }
            Self::Landlock { access } => write!(
                f,
                "receive a Landlock ruleset from the parent (descriptors 0, 1, 2: {})",
                FileRights(access)
            ),
            Self::LandlockRule { target, access } => {
                write!(f, "allow beneath {} {}", Text(target), FileRights(access))
            }
            Self::HookOutput { number } => {
                write!(f, "receive what hooks have as descriptor {number}")
            }
            Self::LandlockRestrict {} => f.write_str("refuse all other access (Landlock)"),
            _ => self.overlay_in_words(f),
        }
    }

    fn overlay_in_words(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self::Overlay {
            lowers,
            received,
            upper,
            private,
            attributes,
            target,
            ..
        } = *self
        else {
            return f.write_str(self.name());
        };
        write!(f, "overlay {} on {}", List(lowers, ", "), Text(target))?;
        Details::new(f)
            .add_if(attributes != 0, Attributes(attributes))
            .add_if(
                !upper.is_empty(),
                format_args!("changes go to {}", Text(upper)),
            )
            .add_if(private, "changes are thrown away")
            .add_if(received, "received from the parent")
            .end()
    }
}
