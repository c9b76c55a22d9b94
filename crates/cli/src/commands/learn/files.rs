//! Which files a command has opened.
//!
//! A path in its memory would be what it has asked for, perhaps in vain, and perhaps not what the
//! kernel has read. So the descriptors of the process are looked at before a call that opens something and
//! when its thread makes the next one: what is new then was opened, and `/proc` has its name.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use crabcan_seccomp::Call;

/// What was opened so far.
#[derive(Debug)]
pub(super) struct Files {
    wanted: bool,
    /// By thread: what is to be found out when it makes its next call.
    waiting: HashMap<u32, Waiting>,
    opened: BTreeSet<OsString>,
    /// The first thing that could not be looked at.
    unseen: Option<anyhow::Error>,
}

#[derive(Debug)]
enum Waiting {
    /// It opens something, and had these descriptors.
    Open(BTreeSet<OsString>),
    /// This thread executes something, and then has the number of the first.
    Execute(u32),
}

impl Files {
    pub(super) fn new(wanted: bool) -> Self {
        Self {
            wanted,
            waiting: HashMap::new(),
            opened: BTreeSet::new(),
            unseen: None,
        }
    }

    /// Looks at who makes a call, which waits meanwhile: `is_waiting` says whether it did until now.
    pub(super) fn look(&mut self, call: &Call, name: Option<&str>, is_waiting: &dyn Fn() -> bool) {
        if !self.wanted {
            return;
        }
        let before = match self.waiting.entry(call.thread) {
            Entry::Occupied(before) if before.get().is_over(call.thread) => Some(before.remove()),
            _ => None,
        };
        let found = before.map_or(Ok(BTreeSet::new()), |before| before.found(call.thread));
        let next = waiting(call.thread, name);
        // Else the thread was killed, and its number may be another's already.
        if !is_waiting() {
            return;
        }
        let take = || -> anyhow::Result<()> {
            self.opened.extend(found?);
            self.waiting.extend(next?);
            Ok(())
        };
        if let Err(error) = take() {
            self.unseen.get_or_insert(error);
        }
    }

    /// One name a line, a line's end in a name as `\012`.
    ///
    /// # Errors
    /// When something could not be looked at, since the list would lack it.
    pub(super) fn into_lines(self) -> anyhow::Result<Vec<u8>> {
        if let Some(error) = self.unseen {
            return Err(error.context("--files: the list would not be complete"));
        }
        let mut text = Vec::new();
        for name in self.opened {
            let parts: Vec<_> = name.as_bytes().split(|byte| *byte == b'\n').collect();
            text.extend(parts.join(&b"\\012"[..]));
            text.push(b'\n');
        }
        Ok(text)
    }
}

/// What is to be found out about a call when it is over, and of which thread.
fn waiting(thread: u32, name: Option<&str>) -> anyhow::Result<Option<(u32, Waiting)>> {
    Ok(match name {
        Some("open" | "openat" | "openat2" | "creat" | "open_tree" | "open_by_handle_at") => {
            Some((thread, Waiting::Open(descriptors(thread)?)))
        }
        // Whichever thread executes, it goes on as the first.
        Some("execve" | "execveat") => Some((first_thread(thread)?, Waiting::Execute(thread))),
        _ => None,
    })
}

impl Waiting {
    /// Whether it is, when this thread makes its next call. The first thread of a process may make
    /// several, until another has executed something in its place.
    fn is_over(&self, thread: u32) -> bool {
        match self {
            Self::Execute(other) if *other != thread => {
                !Path::new(&format!("/proc/{thread}/task/{other}")).exists()
            }
            _ => true,
        }
    }

    /// What it has come to.
    fn found(self, thread: u32) -> anyhow::Result<BTreeSet<OsString>> {
        match self {
            Self::Execute(_) => mapped(thread),
            Self::Open(before) => {
                let mut found = BTreeSet::new();
                for number in descriptors(thread)?.difference(&before) {
                    let path = PathBuf::from(format!("/proc/{thread}/fd")).join(number);
                    match fs::read_link(&path) {
                        // Another thread has closed it.
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        link => found.extend(named(
                            link.with_context(|| path.display().to_string())?
                                .as_os_str(),
                        )),
                    }
                }
                Ok(found)
            }
        }
    }
}

fn descriptors(thread: u32) -> anyhow::Result<BTreeSet<OsString>> {
    let path = format!("/proc/{thread}/fd");
    let numbers = fs::read_dir(&path).and_then(|entries| {
        let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
        names.collect()
    });
    numbers.context(path)
}

/// The files that a process which was just executed consists of: its program, and what runs that.
fn mapped(thread: u32) -> anyhow::Result<BTreeSet<OsString>> {
    let path = format!("/proc/{thread}/maps");
    let text = fs::read(&path).context(path)?;
    // The name is the sixth word, and may have blanks.
    let names = text.split(|byte| *byte == b'\n').filter_map(|line| {
        let start = line.iter().position(|byte| *byte == b'/')?;
        line.get(start..)
    });
    Ok(names
        .filter_map(|name| named(OsStr::from_bytes(name)))
        .collect())
}

fn first_thread(thread: u32) -> anyhow::Result<u32> {
    let path = format!("/proc/{thread}/status");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = text.lines().find_map(|line| line.strip_prefix("Tgid:"));
    let number = line.and_then(|number| number.trim().parse().ok());
    number.with_context(|| format!("{path} names no Tgid"))
}

/// The name of a file that has one: no pipe, no socket, nothing that was removed or never had a name.
fn named(link: &OsStr) -> Option<OsString> {
    let bytes = link.as_bytes();
    let is_file = bytes.starts_with(b"/") && !bytes.ends_with(b" (deleted)");
    is_file.then(|| link.to_owned())
}
