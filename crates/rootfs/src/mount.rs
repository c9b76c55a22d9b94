//! What is mounted where, as steps.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crabcan_init::format::{Change, Changes, Strings};
use crabcan_init::step::{
    SOURCE_COPY_SYMLINK, SOURCE_IN_ROOT, SOURCE_NO_FOLLOW, TARGET_COPY_UP, TARGET_CREATE,
    TARGET_MODE, TARGET_NO_FOLLOW, TARGET_NO_SYMLINKS, TARGET_OPTIONAL,
};
use crabcan_init::{PlanWriter, Step};

use crate::options::{MountOptions, Scope};
use crate::pivot::Propagation;
use crate::{Error, MountAttributes};

/// Attributes of a file system in which there is nothing to execute and no device.
const QUIET: MountAttributes = MountAttributes::NOSUID
    .with(MountAttributes::NODEV)
    .with(MountAttributes::NOEXEC);

pub(crate) fn c_string(text: &OsStr) -> Result<CString, Error> {
    CString::new(text.as_bytes()).map_err(|_| Error::Nul {
        text: text.to_string_lossy().escape_debug().to_string(),
    })
}

pub(crate) fn c_path(path: &Path) -> Result<CString, Error> {
    c_string(path.as_os_str())
}

/// A place in the container: a path beneath its root, and what holds on the way there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Target {
    pub(crate) path: PathBuf,
    pub(crate) flags: u32,
}

impl Target {
    /// A place that must be there already.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            flags: 0,
        }
    }

    /// Gives the permissions of the directory that is there to the file system that covers it.
    pub fn inherit_mode(mut self) -> Self {
        self.flags |= TARGET_MODE;
        self
    }

    /// Makes it when it is missing, and the directories above it: a directory or an empty file,
    /// like what is mounted there.
    pub fn create(mut self) -> Self {
        self.flags |= TARGET_CREATE;
        self
    }

    /// Refuses every symbolic link on the way (ELOOP).
    pub fn no_symlinks(mut self) -> Self {
        self.flags |= TARGET_NO_SYMLINKS;
        self
    }

    /// Does nothing when it is missing: then there is nothing to cover.
    pub fn optional(mut self) -> Self {
        self.flags |= TARGET_OPTIONAL;
        self
    }

    /// Covers a symbolic link at the end of the path instead of what it leads to.
    pub fn no_follow(mut self) -> Self {
        self.flags |= TARGET_NO_FOLLOW;
        self
    }

    /// Its path beneath the root.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `TARGET_*` of [`crabcan_init::step`].
    #[must_use]
    pub fn flags(&self) -> u32 {
        self.flags
    }
}

impl<P: Into<PathBuf>> From<P> for Target {
    fn from(path: P) -> Self {
        Self::new(path)
    }
}

/// A new file system, made detached and then moved to its place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct NewMount {
    /// Its type, as in `/proc/filesystems`.
    pub fstype: String,
    /// What it says of its source in mountinfo.
    pub source: String,
    /// Each `key=value`, or `key` alone.
    pub options: Vec<String>,
    /// What holds for this mount.
    pub attributes: MountAttributes,
    /// How mounts on it spread; the kernel makes it private when this is not said.
    pub propagation: Option<Propagation>,
    /// Whether it begins with a copy of what it covers.
    pub copy_up: bool,
    /// Where.
    pub target: Target,
}

impl NewMount {
    /// A file system without options, whose type is its source's name too.
    pub fn new(fstype: impl Into<String>, target: impl Into<Target>) -> Self {
        let fstype = fstype.into();
        Self {
            source: fstype.clone(),
            fstype,
            options: Vec::new(),
            attributes: MountAttributes::NONE,
            propagation: None,
            copy_up: false,
            target: target.into(),
        }
    }

    /// The processes of this pid namespace (nosuid, nodev, noexec).
    ///
    /// Its target is never reached through a link: a root in which `/proc` leads elsewhere would
    /// have the files that are masked later in a place that nobody looks at.
    pub fn proc(target: impl Into<Target>) -> Self {
        Self::new("proc", target.into().no_symlinks()).attributes(QUIET)
    }

    /// Memory, with options like `size=64m` and `mode=755` (nosuid, nodev).
    pub fn tmpfs<O: Into<String>>(
        target: impl Into<Target>,
        options: impl IntoIterator<Item = O>,
    ) -> Self {
        let attributes = MountAttributes::NOSUID | MountAttributes::NODEV;
        Self::new("tmpfs", target)
            .options(options)
            .attributes(attributes)
    }

    /// Terminals of its own (nosuid, noexec). `tty_gid` is the group of new terminals, for which
    /// 5 is usual: only a group that is mapped in the user namespace can be named.
    pub fn devpts(target: impl Into<Target>, tty_gid: Option<u32>) -> Self {
        Self::new("devpts", target)
            .options(["newinstance", "ptmxmode=0666", "mode=0620"])
            .options(tty_gid.map(|gid| format!("gid={gid}")))
            .attributes(MountAttributes::NOSUID | MountAttributes::NOEXEC)
    }

    /// The message queues of this IPC namespace (nosuid, nodev, noexec).
    pub fn mqueue(target: impl Into<Target>) -> Self {
        Self::new("mqueue", target).attributes(QUIET)
    }

    /// The kernel's devices, with this network namespace's interfaces (ro, nosuid, nodev, noexec).
    /// Like `proc`, never through a link. It needs a network namespace of its own.
    pub fn sysfs(target: impl Into<Target>) -> Self {
        Self::new("sysfs", target.into().no_symlinks()).attributes(QUIET | MountAttributes::RDONLY)
    }

    /// The unified cgroup hierarchy, from this cgroup namespace's root (ro, nosuid, nodev, noexec).
    pub fn cgroup2(target: impl Into<Target>) -> Self {
        Self::new("cgroup2", target).attributes(QUIET | MountAttributes::RDONLY)
    }

    /// Sets what it says of its source.
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.source = source.into();
        self
    }

    /// Appends options.
    pub fn options<O: Into<String>>(mut self, options: impl IntoIterator<Item = O>) -> Self {
        self.options.extend(options.into_iter().map(O::into));
        self
    }

    /// Sets the attributes, in place of what there was.
    pub fn attributes(mut self, attributes: MountAttributes) -> Self {
        self.attributes = attributes;
        self
    }

    /// Takes attributes, flags and data from parsed options, in place of what there was.
    ///
    /// Of a source that is a path, so of a device, not only the mount is read-only but the file
    /// system itself. What a new file system can't have is left out: there is nothing to clear or to
    /// remount, nothing below it yet, and `silent` and `iversion` have no name in fsconfig(2).
    pub fn parsed(mut self, parsed: &MountOptions) -> Self {
        self.attributes = parsed.attributes.set | parsed.recursive_attributes.set;
        let words = parsed.superblock.words().map(str::to_owned);
        self.options = words.chain(parsed.data.iter().cloned()).collect();
        if self.attributes.contains(MountAttributes::RDONLY) && self.source.starts_with('/') {
            // Even a journal would be written to a device otherwise, and what can't be is refused.
            self.options.push("ro".to_owned());
        }
        // Nothing is below it, and each word takes back what the one before said.
        self.propagation = parsed
            .propagation
            .last()
            .map(|(propagation, _)| *propagation);
        self.copy_up = parsed.tmpcopyup;
        self
    }

    /// Appends the step that mounts it.
    ///
    /// # Errors
    /// [`Error::Nul`] and [`Error::TooLong`].
    pub fn push(&self, plan: &mut PlanWriter) -> Result<(), Error> {
        let fstype = c_string(OsStr::new(&self.fstype))?;
        let source = c_string(OsStr::new(&self.source))?;
        plan.push(&Step::Mount {
            fstype: &fstype,
            source: &source,
            options: Strings::new(&lines(&self.options)?).ok_or(Error::TooLong)?,
            attributes: self.attributes.bits(),
            propagation: self.propagation.map_or(0, Propagation::flag),
            target: &c_path(&self.target.path)?,
            flags: self.target.flags | if self.copy_up { TARGET_COPY_UP } else { 0 },
        })?;
        Ok(())
    }
}

/// The change that gives a mount its attributes, if it has any.
pub(crate) fn set_at_birth(attributes: MountAttributes, recursive: bool) -> Vec<u8> {
    if attributes.is_empty() {
        return Vec::new();
    }
    Change::set(attributes.bits(), recursive).to_bytes().into()
}

/// A file or directory of the host that appears at a second place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Bind {
    /// The file or directory.
    pub source: PathBuf,
    /// Whether the parent sends the mount ([`crate::detached_tree`]); then `source` only names it.
    pub received: bool,
    /// Whether the mounts below it come with it.
    pub recursive: bool,
    /// What holds for this mount, and for those below it when they come with it.
    pub attributes: MountAttributes,
    /// What else changes before it is attached, in this order.
    pub changes: Vec<Change>,
    /// `SOURCE_*` of [`crabcan_init::step`]: what is done with a source that is a symbolic link.
    pub source_flags: u32,
    /// Where.
    pub target: Target,
    /// The number of the character device that the source must be; 0 for any file.
    pub device: u64,
}

impl Bind {
    /// A bind with all that is mounted below the source, and no attributes but those it has.
    pub fn new(source: impl Into<PathBuf>, target: impl Into<Target>) -> Self {
        Self {
            source: source.into(),
            received: false,
            recursive: true,
            attributes: MountAttributes::NONE,
            changes: Vec::new(),
            source_flags: 0,
            target: target.into(),
            device: 0,
        }
    }

    /// Sets the attributes, in place of what there was.
    pub fn attributes(mut self, attributes: MountAttributes) -> Self {
        self.attributes = attributes;
        self
    }

    /// Leaves out what is mounted below the source. In a user namespace the kernel refuses that
    /// (EINVAL) when there is anything: it would show what the mounts hide.
    pub fn without_submounts(mut self) -> Self {
        self.recursive = false;
        self
    }

    /// Takes depth, changes and what becomes of links from parsed options. Attributes with names
    /// that the specification has hold for the top of a tree, unless they begin with `r`.
    ///
    /// In a user namespace the kernel refuses (EPERM) to clear what the source's owner has set.
    pub fn parsed(mut self, parsed: &MountOptions) -> Self {
        self.recursive = parsed.bind == Some(Scope::Tree);
        self.changes = parsed.changes();
        for (wanted, flag) in [
            (parsed.source_no_follow, SOURCE_NO_FOLLOW),
            (parsed.copy_symlink, SOURCE_COPY_SYMLINK),
        ] {
            self.source_flags |= if wanted { flag } else { 0 };
        }
        if parsed.target_no_follow {
            self.target = self.target.no_follow();
        }
        self
    }

    /// Says that the source is a path beneath the container's root, where it has what was mounted
    /// before; links lead to places in the root.
    pub fn in_root(mut self) -> Self {
        self.source_flags |= SOURCE_IN_ROOT;
        self
    }

    /// Says that the parent sends the mount.
    pub fn received(mut self) -> Self {
        self.received = true;
        self
    }

    /// Appends the step that mounts it.
    ///
    /// # Errors
    /// [`Error::Nul`] and [`Error::TooLong`].
    pub fn push(&self, plan: &mut PlanWriter) -> Result<(), Error> {
        let mut changes = set_at_birth(self.attributes, self.recursive);
        changes.extend(self.changes.iter().flat_map(|change| change.to_bytes()));
        plan.push(&Step::Bind {
            source: &c_path(&self.source)?,
            received: self.received,
            recursive: self.recursive,
            changes: Changes::new(&changes).ok_or(Error::TooLong)?,
            target: &c_path(&self.target.path)?,
            flags: self.target.flags | self.source_flags,
            device: self.device,
        })?;
        Ok(())
    }
}

/// Strings, each with its NUL.
pub(crate) fn lines(strings: &[String]) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    for string in strings {
        bytes.extend_from_slice(c_string(OsStr::new(string))?.as_bytes_with_nul());
    }
    Ok(bytes)
}
