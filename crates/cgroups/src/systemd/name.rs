//! The names of scopes and slices.

use std::path::PathBuf;

use crate::Error;

/// A scope's name and the slice that it is in, as in `slice:prefix:name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeName {
    slice: String,
    unit: String,
}

impl ScopeName {
    /// Reads the form that the clients of OCI runtimes use for `linux.cgroupsPath` together with
    /// `--systemd-cgroup`. An empty slice is the manager's default; an empty prefix is left out.
    ///
    /// # Errors
    /// [`Error::ScopeName`] for another number of colons, an empty name, or a character that
    /// systemd allows in no name of a unit.
    pub fn parse(path: &str) -> Result<Self, Error> {
        let wrong = |reason| Error::ScopeName {
            name: path.to_owned(),
            reason,
        };
        let parts: Vec<&str> = path.split(':').collect();
        let [slice, prefix, name] = parts[..] else {
            return Err(wrong("is not of the form slice:prefix:name"));
        };
        if name.is_empty() {
            return Err(wrong("has no name of a container"));
        }
        let unit = match prefix {
            "" => format!("{name}.scope"),
            _ => format!("{prefix}-{name}.scope"),
        };
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || "_.-@\\".contains(letter);
        if !unit.chars().all(allowed) {
            return Err(wrong("has a character that no name of a unit may have"));
        }
        if unit.len() > 255 {
            return Err(wrong("has more than 255 characters"));
        }
        if !slice.is_empty() {
            expand(slice).ok_or_else(|| wrong("names no slice"))?;
        }
        Ok(Self {
            slice: slice.to_owned(),
            unit,
        })
    }

    /// The scope: `prefix-name.scope`.
    #[must_use]
    pub fn unit(&self) -> &str {
        &self.unit
    }

    /// The slice; empty for the manager's default.
    #[must_use]
    pub fn slice(&self) -> &str {
        &self.slice
    }

    /// Where the slice is below the manager's own cgroup: `a-b.slice` is in `a.slice`.
    #[must_use]
    pub fn path_of_slice(&self) -> PathBuf {
        expand(&self.slice).unwrap_or_default()
    }
}

/// The path of a slice below its manager's cgroup; see systemd.slice(5).
fn expand(slice: &str) -> Option<PathBuf> {
    let name = slice.strip_suffix(".slice")?;
    if name == "-" {
        return Some(PathBuf::new());
    }
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || ":_.-@\\".contains(letter);
    if slice.len() > 255 || !name.chars().all(allowed) {
        return None;
    }
    let (mut path, mut prefix) = (PathBuf::new(), String::new());
    for part in name.split('-') {
        if part.is_empty() {
            return None;
        }
        prefix.push_str(part);
        path.push(format!("{prefix}.slice"));
        prefix.push('-');
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::path::Path;

    use super::*;

    #[test]
    fn a_path_names_slice_and_scope() {
        let name = ScopeName::parse("machine.slice:libpod:0abc").unwrap();
        assert_eq!(
            (name.slice(), name.unit()),
            ("machine.slice", "libpod-0abc.scope")
        );
        let name = ScopeName::parse("::x").unwrap();
        assert_eq!((name.slice(), name.unit()), ("", "x.scope"));
        assert_eq!(name.path_of_slice(), Path::new(""));
    }

    #[test]
    fn what_is_no_such_name_is_refused() {
        let long = format!("::{}", "x".repeat(255));
        for path in [
            "",
            "/a/b",
            "a.slice:b",
            "a.slice:b:",
            "a.slice:b:c:d",
            "a:b:c",
            "a.slice:b:c/d",
            "a.slice:b:c d",
            "/a.slice:b:c",
            "-a.slice:b:c",
            "a--b.slice:b:c",
            ".slice:b:c",
            &long,
        ] {
            let refused = ScopeName::parse(path);
            assert!(
                matches!(refused, Err(Error::ScopeName { .. })),
                "{path}: {refused:?}"
            );
        }
    }

    #[test]
    fn slices_are_expanded() {
        let path = |slice: &str| expand(slice).unwrap();
        assert_eq!(path("a.slice"), Path::new("a.slice"));
        assert_eq!(
            path("a-b-c.slice"),
            Path::new("a.slice/a-b.slice/a-b-c.slice")
        );
        assert_eq!(path("-.slice"), Path::new(""));
    }
}
