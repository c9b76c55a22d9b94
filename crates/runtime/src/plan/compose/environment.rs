//! `process.env`: what the program finds in its environment.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use crabcan_init::Step;

use super::Composer;
use crate::Error;
use crate::plan::c_string;

impl Composer<'_> {
    /// Has the user's home looked up for a container's program whose environment does not say it, as
    /// runc and crun do: by init, who alone sees the container's own `/etc/passwd`.
    pub(super) fn home(&mut self) -> Result<(), Error> {
        if !self.lacks_home() {
            return Ok(());
        }
        self.about("process.env");
        let uid = self.spec.process.user.uid;
        self.push(&Step::Home { uid })
    }

    fn lacks_home(&self) -> bool {
        let home = value(&self.spec.process.env, "HOME");
        self.spec.extension.bundle.is_some() && home.unwrap_or_default().is_empty()
    }

    /// The variables one behind the other, each with its NUL. Of two with one name the last is
    /// meant: programs do not agree on which they take.
    pub(super) fn environment(&self) -> Result<Vec<u8>, Error> {
        let env = &self.spec.process.env;
        let lacks_home = self.lacks_home();
        let mut names: HashSet<&[u8]> = HashSet::new();
        if lacks_home {
            names.insert(b"HOME");
        }
        let mut kept = Vec::with_capacity(env.len());
        for (index, entry) in env.iter().enumerate().rev() {
            // One that is wrong is named although it is not meant.
            let text = c_string(&format!("process.env[{index}]"), entry)?;
            if names.insert(name(entry)) {
                kept.push(text);
            }
        }
        let texts = kept.iter().rev().map(|text| text.as_bytes_with_nul());
        let mut bytes = texts.collect::<Vec<_>>().concat();
        if lacks_home {
            bytes.extend_from_slice(b"HOME=\0");
        }
        Ok(bytes)
    }
}

/// What stands behind the name of a variable, where it stands last.
pub(super) fn value<'a>(env: &'a [OsString], wanted: &str) -> Option<&'a [u8]> {
    let mut entries = env.iter().rev();
    entries.find_map(|entry| {
        let behind = entry.as_bytes().strip_prefix(wanted.as_bytes())?;
        behind.strip_prefix(b"=")
    })
}

/// What stands before the equals sign, or all of it.
fn name(entry: &OsString) -> &[u8] {
    let mut parts = entry.as_bytes().splitn(2, |byte| *byte == b'=');
    parts.next().unwrap_or_default()
}
