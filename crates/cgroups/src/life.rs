//! What happens to the processes of a cgroup, and to itself in the end.

mod patience;

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use self::patience::Patience;
use crate::cgroup::Member;
use crate::directory::Directory;
use crate::{Cgroup, Controller, Error};

impl Cgroup {
    /// Its processes and those of its children, each once; 0 for one that this process can't see.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn processes(&self) -> Result<Vec<i32>, Error> {
        let mut all = Vec::new();
        for member in &self.members {
            processes_below(&member.directory, &mut all)?;
        }
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    /// Whether there is a process in it or in its children.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn is_populated(&self) -> Result<bool, Error> {
        for member in &self.members {
            if member.is_populated()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Stops every process in it, and waits until all of them stand still.
    ///
    /// # Errors
    /// [`Error::ControllerMissing`] for v1 without a freezer, [`Error::Control`], and
    /// [`Error::Deadline`] when a process can't be stopped, as in a system call that waits for a
    /// device.
    pub fn freeze(&self, timeout: Duration) -> Result<(), Error> {
        let member = self.freezer()?;
        let mut patience = Patience::new(timeout);
        loop {
            // v1 may hang half way between the two states; asking again helps.
            if member.v2 {
                member.control("cgroup.freeze", "1")?;
            } else {
                member.control("freezer.state", "FROZEN")?;
            }
            if member.is_frozen()? {
                return Ok(());
            }
            if member.v2 {
                member.wait_for_event(&mut patience, "frozen 1", "frozen")?;
                return Ok(());
            }
            if !patience.pause() {
                let _ = member.control("freezer.state", "THAWED");
                return Err(member.late("frozen"));
            }
        }
    }

    /// Lets every process in it go on.
    ///
    /// # Errors
    /// [`Error::ControllerMissing`] for v1 without a freezer, [`Error::Control`].
    pub fn thaw(&self) -> Result<(), Error> {
        let member = self.freezer()?;
        if member.v2 {
            member.control("cgroup.freeze", "0")
        } else {
            member.control("freezer.state", "THAWED")
        }
    }

    /// Whether it was asked to stand still by [`Cgroup::freeze`], and does.
    ///
    /// # Errors
    /// [`Error::ControllerMissing`] for v1 without a freezer, [`Error::Read`].
    pub fn is_frozen(&self) -> Result<bool, Error> {
        self.freezer()?.is_frozen()
    }

    fn freezer(&self) -> Result<&Member, Error> {
        let controller = Controller::Freezer;
        self.home(controller)
            .ok_or(Error::ControllerMissing { controller })
    }

    /// Kills every process in it and in its children, frozen ones too, and waits until it is empty.
    ///
    /// At once where the kernel can (`cgroup.kill`, Linux 5.14); otherwise process by process, as
    /// often as new ones are found. For a cgroup that stays there is [`Self::kill_each`].
    ///
    /// # Errors
    /// [`Error::Kill`] (EPERM), [`Error::Deadline`], [`Error::Control`], [`Error::Read`].
    pub fn kill(&self, timeout: Duration) -> Result<(), Error> {
        self.kill_until_empty(timeout, Member::kill_at_once)
    }

    /// As [`kill`](Self::kill), but always process by process, so that others can be born there
    /// afterwards: since Linux 6.14 `CLONE_INTO_CGROUP` makes a process that is killed at once where
    /// `cgroup.kill` was written more often than in its parent's cgroup (`kill_seq`).
    ///
    /// # Errors
    /// As [`kill`](Self::kill).
    pub fn kill_each(&self, timeout: Duration) -> Result<(), Error> {
        self.kill_until_empty(timeout, |member| member.kill_each(&member.directory))
    }

    fn kill_until_empty(
        &self,
        timeout: Duration,
        kill: impl Fn(&Member) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut patience = Patience::new(timeout);
        loop {
            for member in &self.members {
                kill(member)?;
            }
            if self.freezer().is_ok_and(|member| !member.v2) {
                // A frozen process of v1 dies only when it is let go.
                match self.thaw() {
                    // Somebody else was quicker, and has removed it too.
                    Err(Error::Control { source, .. }) if is_gone(&source) => {}
                    thawed => thawed?,
                }
            }
            if !self.is_populated()? {
                return Ok(());
            }
            if !patience.pause() {
                return Err(self.late("empty"));
            }
        }
    }

    /// Waits until no process is in it or in its children.
    ///
    /// # Errors
    /// [`Error::Deadline`], [`Error::Read`].
    pub fn wait_until_empty(&self, timeout: Duration) -> Result<(), Error> {
        let mut patience = Patience::new(timeout);
        for member in self.members.iter().filter(|member| member.v2) {
            member.wait_for_event(&mut patience, "populated 0", "empty")?;
        }
        while self.is_populated()? {
            if !patience.pause() {
                return Err(self.late("empty"));
            }
        }
        Ok(())
    }

    /// Has it stay when this is dropped; [`remove`](Self::remove) still removes it.
    pub fn kept(mut self) -> Self {
        self.removed_on_drop = false;
        self
    }

    /// Removes it with its children, and what was made above it if nothing else is there. A cgroup
    /// is busy for a moment after its last process has ended: that is waited for.
    ///
    /// That somebody else has removed it already is no error.
    ///
    /// # Errors
    /// [`Error::Remove`], with EBUSY when there still are processes after that time.
    pub fn remove(mut self, timeout: Duration) -> Result<(), Error> {
        self.removed_on_drop = false;
        self.remove_members(timeout)
    }

    pub(crate) fn remove_members(&self, timeout: Duration) -> Result<(), Error> {
        let mut patience = Patience::new(timeout);
        let mut first = Ok(());
        for member in self.members.iter().rev() {
            let removed = remove_tree(&member.parent, &member.name, &mut patience);
            let removed = removed.map_err(|source| Error::Remove {
                cgroup: member.path(),
                source,
            });
            if removed.is_ok() {
                for (parent, name) in member.made_above.iter().rev() {
                    // It may be in use by now, and is not ours alone then.
                    if parent.remove(name).is_err() {
                        break;
                    }
                }
            }
            first = first.and(removed);
        }
        first
    }

    fn late(&self, state: &'static str) -> Error {
        let cgroup = self.members.first().map(Member::path).unwrap_or_default();
        Error::Deadline { cgroup, state }
    }
}

impl Member {
    fn late(&self, state: &'static str) -> Error {
        Error::Deadline {
            cgroup: self.path(),
            state,
        }
    }

    fn is_populated(&self) -> Result<bool, Error> {
        if self.v2 {
            return match self.directory.read("cgroup.events") {
                Err(error) if is_gone(&error) => Ok(false),
                other => other
                    .map(|events| events.contains("populated 1"))
                    .map_err(|source| Error::Read {
                        path: self.directory.file("cgroup.events"),
                        source,
                    }),
            };
        }
        let mut processes = Vec::new();
        processes_below(&self.directory, &mut processes)?;
        Ok(!processes.is_empty())
    }

    pub(crate) fn is_frozen(&self) -> Result<bool, Error> {
        if self.v2 {
            Ok(self.read("cgroup.events")?.contains("frozen 1"))
        } else {
            Ok(self.read("freezer.state")?.trim() == "FROZEN")
        }
    }

    /// Waits for a line of `cgroup.events`; the kernel tells when one changes.
    fn wait_for_event(
        &self,
        patience: &mut Patience,
        line: &str,
        state: &'static str,
    ) -> Result<(), Error> {
        const FILE: &str = "cgroup.events";
        let failed = |source: io::Error| Error::Read {
            path: self.directory.file(FILE),
            source,
        };
        let events = match self.directory.open_for_reading(FILE) {
            // Nothing is in a cgroup that is gone.
            Err(error) if is_gone(&error) && state == "empty" => return Ok(()),
            other => other.map_err(failed)?,
        };
        loop {
            let mut text = [0u8; 256];
            let length = match rustix::io::pread(&events, &mut text[..], 0) {
                Err(rustix::io::Errno::NODEV) if state == "empty" => return Ok(()),
                other => other.map_err(|errno| failed(errno.into()))?,
            };
            let text = String::from_utf8_lossy(text.get(..length).unwrap_or_default());
            if text.lines().any(|found| found == line) {
                return Ok(());
            }
            let left = patience.left();
            if left.is_zero() {
                return Err(self.late(state));
            }
            let left = Timespec::try_from(left).ok();
            let mut polled = [PollFd::new(&events, PollFlags::PRI)];
            match poll(&mut polled, left.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(failed(errno.into())),
            }
        }
    }

    fn kill_at_once(&self) -> Result<(), Error> {
        if self.v2 {
            match self.directory.write("cgroup.kill", "1") {
                Ok(()) => return Ok(()),
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(()),
                // Before Linux 5.14, or in a threaded cgroup.
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EOPNOTSUPP)) => {}
                Err(source) => {
                    return Err(Error::Control {
                        path: self.directory.file("cgroup.kill"),
                        value: "1".into(),
                        source,
                    });
                }
            }
        }
        self.kill_each(&self.directory)
    }

    fn kill_each(&self, directory: &Directory) -> Result<(), Error> {
        let found = listed(directory)?;
        let opened = found.into_iter().filter_map(|number| {
            let pid = Pid::from_raw(number)?;
            // One that has ended in the meantime needs no killing.
            let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
            Some((number, pidfd))
        });
        let opened: Vec<_> = opened.collect();
        // A number may have become another process' between the list and its opening: only what is
        // listed again is certainly the process that was opened.
        let again = listed(directory)?;
        for (number, pidfd) in opened {
            if !again.contains(&number) {
                continue;
            }
            match pidfd_send_signal(&pidfd, Signal::KILL) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(errno) => {
                    return Err(Error::Kill {
                        pid: number,
                        cgroup: directory.path().to_owned(),
                        source: errno.into(),
                    });
                }
            }
        }
        for child in children(directory)? {
            self.kill_each(&child)?;
        }
        Ok(())
    }
}

/// Whether an answer means that the cgroup was removed meanwhile.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV))
}

/// The processes of one directory; none when it is gone.
fn listed(directory: &Directory) -> Result<Vec<i32>, Error> {
    match directory.processes() {
        Err(error) if is_gone(&error) => Ok(Vec::new()),
        other => other.map_err(|source| Error::Read {
            path: directory.file("cgroup.procs"),
            source,
        }),
    }
}

/// The directories below one, as far as they are still there.
fn children(directory: &Directory) -> Result<Vec<Directory>, Error> {
    let names = match directory.children() {
        Err(error) if is_gone(&error) => Vec::new(),
        other => other.map_err(|source| Error::Read {
            path: directory.path().to_owned(),
            source,
        })?,
    };
    let mut opened = Vec::new();
    for name in names {
        match directory.open(&name) {
            Ok(child) => opened.push(child),
            Err(error) if is_gone(&error) => {}
            Err(source) => {
                return Err(Error::Open {
                    cgroup: directory.path().join(name),
                    source,
                });
            }
        }
    }
    Ok(opened)
}

fn processes_below(directory: &Directory, all: &mut Vec<i32>) -> Result<(), Error> {
    all.extend(listed(directory)?);
    for child in children(directory)? {
        processes_below(&child, all)?;
    }
    Ok(())
}

/// Removes a directory and those in it, the innermost first.
fn remove_tree(parent: &Directory, name: &Path, patience: &mut Patience) -> io::Result<()> {
    loop {
        let error = match parent.remove(name) {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        match error.raw_os_error() {
            Some(libc::EBUSY | libc::ENOTEMPTY) => {}
            _ if is_gone(&error) => return Ok(()),
            _ => return Err(error),
        }
        match parent.open(name).and_then(|directory| {
            for child in directory.children()? {
                remove_tree(&directory, &child, patience)?;
            }
            Ok(())
        }) {
            Ok(()) => {}
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
        if !patience.pause() {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests;
