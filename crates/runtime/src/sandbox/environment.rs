//! The environment of a sandbox: what a program needs to run, and nothing that is a secret.

use std::ffi::{OsStr, OsString};

use std::os::unix::ffi::OsStrExt;

use crate::Error;

const KEPT: [&str; 5] = ["PATH", "HOME", "TERM", "LANG", "USER"];

/// One change of the environment. Without any, a sandbox has what [`is_kept`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// There is nothing.
    Clear,
    /// There is all that the caller has.
    Keep,
    /// There is this variable, with this value.
    Set(OsString, OsString),
    /// There is no such variable.
    Unset(OsString),
}

/// The environment after these changes, each entry `NAME=value`.
pub(super) fn of(
    changes: &[Change],
    caller: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<OsString>, Error> {
    let caller: Vec<_> = caller.collect();
    let safe = caller.iter().filter(|(name, _)| is_kept(name));
    let mut variables: Vec<(OsString, OsString)> = safe.cloned().collect();
    for change in changes {
        match change {
            Change::Clear => variables.clear(),
            Change::Keep => {
                variables.clone_from(&caller);
            }
            Change::Set(name, value) => {
                if name.is_empty() || name.as_bytes().contains(&b'=') {
                    let reason = format!("{name:?} is no name of a variable");
                    return Err(Error::invalid("--setenv", reason));
                }
                variables.retain(|(other, _)| other != name);
                variables.push((name.clone(), value.clone()));
            }
            Change::Unset(name) => variables.retain(|(other, _)| other != name),
        }
    }
    let entry = |(mut entry, value): (OsString, OsString)| {
        entry.push("=");
        entry.push(value);
        entry
    };
    Ok(variables.into_iter().map(entry).collect())
}

fn is_kept(name: &OsStr) -> bool {
    KEPT.iter().any(|kept| name == *kept) || name.as_bytes().starts_with(b"LC_")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const GIVEN: [(&str, &str); 6] = [
        ("PATH", "/bin"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("LC_ALL", "C"),
        ("LD_PRELOAD", "y"),
        ("PATHS", "z"),
        ("HOME", "/home/me"),
    ];

    fn after(changes: &[Change]) -> Result<Vec<OsString>, Error> {
        let given = GIVEN.into_iter();
        of(
            changes,
            given.map(|(name, value)| (name.into(), value.into())),
        )
    }

    #[test]
    fn secrets_stay_outside() {
        let kept = after(&[]).unwrap();
        assert_eq!(kept, ["PATH=/bin", "LC_ALL=C", "HOME=/home/me"]);
    }

    #[test]
    fn changes_are_made_in_their_order() {
        let set = |name: &str, value: &str| Change::Set(name.into(), value.into());
        let changed = after(&[
            set("A", "1"),
            Change::Unset("HOME".into()),
            set("PATH", "/x=y"),
        ]);
        assert_eq!(changed.unwrap(), ["LC_ALL=C", "A=1", "PATH=/x=y"]);
        let cleared = after(&[set("A", "1"), Change::Clear, set("B", "")]);
        assert_eq!(cleared.unwrap(), ["B="]);
        assert_eq!(after(&[Change::Keep]).unwrap().len(), GIVEN.len());
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for name in ["", "A=B", "="] {
            let error = after(&[Change::Set(name.into(), "x".into())]).unwrap_err();
            assert!(error.to_string().starts_with("--setenv: "), "{error}");
        }
    }
}
