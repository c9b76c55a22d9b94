//! The program's file, its arguments and its environment, as init takes them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::Error;
use crate::plan::c_string;
use crate::spec::Process;

/// Where programs are looked for when the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The paths at which the program may be, as execvp(3) looks for it.
pub(super) fn candidates(process: &Process) -> Vec<OsString> {
    let program = process
        .args
        .first()
        .map_or(OsStr::new(""), OsString::as_os_str);
    if program.as_bytes().contains(&b'/') {
        return vec![program.to_owned()];
    }
    let path = process
        .env
        .iter()
        .find_map(|entry| entry.as_bytes().strip_prefix(b"PATH="));
    let path = path
        .filter(|path| !path.is_empty())
        .unwrap_or(DEFAULT_PATH.as_bytes());
    let directories = path
        .split(|byte| *byte == b':')
        .filter(|directory| !directory.is_empty());
    directories
        .map(|directory| {
            Path::new(OsStr::from_bytes(directory))
                .join(program)
                .into_os_string()
        })
        .collect()
}

/// Strings one behind the other, each with its NUL.
pub(super) fn strings<S: AsRef<OsStr>>(field: &str, list: &[S]) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    for (index, text) in list.iter().enumerate() {
        let text = c_string(&format!("{field}[{index}]"), text.as_ref())?;
        bytes.extend_from_slice(text.as_bytes_with_nul());
    }
    Ok(bytes)
}
