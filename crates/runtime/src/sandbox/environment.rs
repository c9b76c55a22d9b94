//! The environment of a sandbox: what a program needs to run, and nothing that is a secret.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

const KEPT: [&str; 5] = ["PATH", "HOME", "TERM", "LANG", "USER"];

/// The caller's variables that a sandbox keeps, each `NAME=value`.
pub(super) fn safe(variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<OsString> {
    variables
        .filter(|(name, _)| is_kept(name))
        .map(|(mut entry, value)| {
            entry.push("=");
            entry.push(value);
            entry
        })
        .collect()
}

fn is_kept(name: &OsStr) -> bool {
    KEPT.iter().any(|kept| name == *kept) || name.as_bytes().starts_with(b"LC_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stay_outside() {
        let given = [
            ("PATH", "/bin"),
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("LC_ALL", "C"),
            ("LD_PRELOAD", "y"),
            ("PATHS", "z"),
            ("HOME", "/home/me"),
        ];
        let kept = safe(
            given
                .into_iter()
                .map(|(name, value)| (name.into(), value.into())),
        );
        assert_eq!(kept, ["PATH=/bin", "LC_ALL=C", "HOME=/home/me"]);
    }
}
