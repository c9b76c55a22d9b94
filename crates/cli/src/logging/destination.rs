//! Where errors are written to besides standard error.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::{Context, bail};

use super::daemon::Daemon;

const JOURNAL: &str = "/run/systemd/journal/socket";
const SYSLOG: &str = "/dev/log";
/// Who says it, unless the caller has a name for that.
const IDENTIFIER: &str = "crabcan";

/// What `--log` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    File(PathBuf),
    /// systemd's, with who says it.
    Journal(OsString),
    /// As the journal.
    Syslog(OsString),
}

impl Destination {
    /// Reads a path, or crun's `file:PATH`, `journald:IDENTIFIER` and `syslog:IDENTIFIER`.
    pub(crate) fn read(value: &OsStr) -> anyhow::Result<Self> {
        let bytes = value.as_bytes();
        let behind = |word: &str| bytes.strip_prefix(word.as_bytes());
        let identifier = |bytes: &[u8]| match bytes {
            [] => IDENTIFIER.into(),
            name => OsStr::from_bytes(name).to_owned(),
        };
        if let Some(name) = behind("journald:") {
            return Ok(Self::Journal(identifier(name)));
        }
        if let Some(name) = behind("syslog:") {
            return Ok(Self::Syslog(identifier(name)));
        }
        match behind("file:").unwrap_or(bytes) {
            [] => bail!("--log is empty"),
            path => Ok(Self::File(OsStr::from_bytes(path).into())),
        }
    }

    /// What takes one record with each write.
    pub(super) fn open(&self) -> anyhow::Result<Box<dyn Write + Send>> {
        let (path, reads_files) = match self {
            Self::File(path) => {
                let mut options = OpenOptions::new();
                let file = options.append(true).create(true).mode(0o644).open(path);
                let file = file.with_context(|| format!("open the log {}", path.display()))?;
                return Ok(Box::new(file));
            }
            Self::Journal(_) => (JOURNAL, true),
            Self::Syslog(_) => (SYSLOG, false),
        };
        let daemon = Daemon::connect(path, reads_files);
        let daemon = daemon.with_context(|| format!("--log: connect to {path}"))?;
        Ok(Box::new(daemon))
    }
}
