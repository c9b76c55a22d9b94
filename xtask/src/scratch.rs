//! A directory below `/var/tmp` in which programs run that cannot read the source tree.

use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

/// The ordinary user of the tests: nothing on the machine knows this number.
pub(crate) const ORDINARY_ID: u32 = 61234;

/// A fresh directory, mode 0755, that is removed at the end whatever happens.
///
/// A small shell waits on a pipe that only we hold. It removes the directory when the pipe
/// closes, so an interrupt or SIGKILL leaves no more behind than an ordinary return.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    cleaner: Child,
}

impl Scratch {
    pub(crate) fn new(prefix: &str) -> Result<Scratch> {
        let path = fresh_directory(Path::new("/var/tmp"), prefix)?;
        // A process group of its own: Ctrl-C must not end the cleaner with us.
        let cleaner = Command::new("/bin/sh")
            .args(["-c", r#"read -r _; exec rm -rf -- "$1""#, "cleaner"])
            .arg(&path)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("start the shell that removes the scratch directory")?;
        Ok(Scratch { path, cleaner })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes an empty directory that belongs to a user and group.
    pub(crate) fn owned_directory(&self, name: &str, id: u32) -> Result<PathBuf> {
        let path = self.path.join(name);
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("create {}", path.display()))?;
        chown(&path, Some(id), Some(id))
            .with_context(|| format!("give {} to uid {id}", path.display()))?;
        Ok(path)
    }

    /// Copies a program in, readable and executable by everybody.
    pub(crate) fn copy_program(&self, program: &Path) -> Result<PathBuf> {
        let name = program.file_name().context("a program without a name")?;
        let copy = self.path.join(name);
        fs::copy(program, &copy)
            .and_then(|_| fs::set_permissions(&copy, Permissions::from_mode(0o755)))
            .with_context(|| format!("copy {} to {}", program.display(), copy.display()))?;
        Ok(copy)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(self.cleaner.stdin.take());
        match self.cleaner.wait() {
            Ok(status) if status.success() => {}
            result => eprintln!("xtask: {} may be left: {result:?}", self.path.display()),
        }
    }
}

fn fresh_directory(parent: &Path, prefix: &str) -> Result<PathBuf> {
    for _ in 0..100 {
        let path = parent.join(format!("{prefix}-{}", six_letters()));
        match DirBuilder::new().mode(0o755).create(&path) {
            Ok(()) => {
                // The umask has taken its part of the mode above.
                fs::set_permissions(&path, Permissions::from_mode(0o755))
                    .with_context(|| format!("set the mode of {}", path.display()))?;
                return Ok(path);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).context(format!("create {}", path.display())),
        }
    }
    bail!("no free name {prefix}-* in {}", parent.display())
}

fn six_letters() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = now.map_or(0, |time| u64::from(time.subsec_nanos()) ^ time.as_secs());
    let mut number = nanos.wrapping_mul(u64::from(std::process::id()) | 1);
    let letter = |number: &mut u64| {
        let digit = (*number % 26) as u8;
        *number /= 26;
        char::from(b'a' + digit)
    };
    (0..6).map(|_| letter(&mut number)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_directory_is_readable_and_is_gone_after_the_drop() {
        let scratch = Scratch::new("crabcan-unit").unwrap();
        let path = scratch.path().to_owned();
        assert_eq!(
            path.metadata().unwrap().permissions().mode() & 0o7777,
            0o755
        );
        let copy = scratch.copy_program(Path::new("/bin/true")).unwrap();
        assert_eq!(
            copy.metadata().unwrap().permissions().mode() & 0o7777,
            0o755
        );
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn two_directories_differ() {
        let (a, b) = (
            Scratch::new("crabcan-unit").unwrap(),
            Scratch::new("crabcan-unit").unwrap(),
        );
        assert_ne!(a.path(), b.path());
    }
}
