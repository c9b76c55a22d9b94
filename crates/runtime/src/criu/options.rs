//! What criu is asked for: `criu_opts` of its `rpc.proto`, by the numbers of its fields.

use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use super::wire::Message;

/// The fields that are written without a method of their own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flag {
    LeaveRunning = 3,
    ExternalUnixSockets = 4,
    TcpEstablished = 5,
    /// Devices are opened by what their paths are now.
    EvasiveDevices = 6,
    ShellJob = 7,
    FileLocks = 8,
    NotifyScripts = 12,
    TrackMemory = 15,
    AutoDedup = 16,
    LinkRemap = 18,
    /// The restored process becomes a child of who asked.
    RestoreSibling = 26,
    TcpSkipInFlight = 46,
    LazyPages = 48,
    /// The other side of a terminal that nobody dumped is sent to who asked.
    OrphanPtsMaster = 50,
}

/// What is a path or a name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Text {
    LogFile = 10,
    Root = 13,
    /// Relative to the images.
    ParentImages = 14,
    External = 37,
    FreezeCgroup = 44,
    ConfigFile = 51,
    LsmProfile = 53,
    /// Where cgroups are mounted.
    CgroupYard = 60,
    LsmMountContext = 63,
}

/// What criu does with the cgroups of what it dumps and restores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ManageCgroups {
    /// Nothing.
    Ignore,
    /// Restores the properties of cgroups that it has to make.
    #[default]
    Soft,
    /// Restores the properties of all.
    Full,
    /// Refuses cgroups that are there already.
    Strict,
}

/// Everything that criu is told besides what to do.
#[derive(Debug, Default)]
pub(crate) struct Options(Message);

impl Options {
    /// The images are in this directory, and the files of the work in that one. Both are told by
    /// their numbers in this process, and stay open until criu has answered.
    pub(crate) fn new(images: &impl AsFd, work: Option<&impl AsFd>) -> Self {
        let mut options = Self::default();
        options.descriptor(1, images);
        if let Some(work) = work {
            options.descriptor(17, work);
        }
        // All but the messages for who debugs criu itself.
        options.0.number(9, 4);
        options.flag(Flag::NotifyScripts, true);
        options.flag(Flag::OrphanPtsMaster, true);
        options
    }

    pub(crate) fn flag(&mut self, flag: Flag, value: bool) {
        self.0.flag(flag as u64, value);
    }

    pub(crate) fn text(&mut self, text: Text, value: impl AsRef<OsStr>) {
        self.0.bytes(text as u64, value.as_ref().as_bytes());
    }

    /// The process whose tree is dumped.
    pub(crate) fn process(&mut self, pid: i32) {
        self.0.number(2, pid.unsigned_abs().into());
    }

    pub(crate) fn page_server(&mut self, address: &str, port: u16) {
        let mut server = Message::default();
        server.bytes(1, address.as_bytes());
        server.number(2, port.into());
        self.0.message(11, &server);
    }

    /// A mount that is not dumped: at the dump its mount point and a name for it, at the restore
    /// that name and what is mounted.
    pub(crate) fn external_mount(&mut self, key: &Path, value: &Path) {
        let mut mount = Message::default();
        mount.bytes(1, key.as_os_str().as_bytes());
        mount.bytes(2, value.as_os_str().as_bytes());
        self.0.message(23, &mount);
    }

    pub(crate) fn manage_cgroups(&mut self, how: ManageCgroups) {
        self.0.flag(24, true);
        let number = match how {
            ManageCgroups::Ignore => 0,
            ManageCgroups::Soft => 3,
            ManageCgroups::Full => 4,
            ManageCgroups::Strict => 5,
        };
        self.0.number(34, number);
    }

    /// The cgroup that takes the place of the dumped one in a hierarchy.
    pub(crate) fn cgroup_root(&mut self, controllers: &str, path: &str) {
        let mut root = Message::default();
        root.bytes(1, controllers.as_bytes());
        root.bytes(2, path.as_bytes());
        self.0.message(25, &root);
    }

    /// A descriptor of criu's own, which takes the place of what had this name at the dump.
    pub(crate) fn inherited(&mut self, name: &str, descriptor: i32) {
        let mut inherited = Message::default();
        inherited.bytes(1, name.as_bytes());
        inherited.number(2, descriptor.unsigned_abs().into());
        self.0.message(27, &inherited);
    }

    /// Namespaces whose contents are not dumped and not restored, as flags of clone(2).
    pub(crate) fn empty_namespaces(&mut self, flags: i32) {
        self.0.number(38, flags.unsigned_abs().into());
    }

    /// A namespace that is there and is entered.
    pub(crate) fn join(&mut self, kind: &str, file: &Path) {
        let mut join = Message::default();
        join.bytes(1, kind.as_bytes());
        join.bytes(2, file.as_os_str().as_bytes());
        self.0.message(39, &join);
    }

    pub(super) fn message(&self) -> &Message {
        &self.0
    }

    fn descriptor(&mut self, field: u64, descriptor: &impl AsFd) {
        let number = descriptor.as_fd().as_raw_fd().unsigned_abs();
        self.0.number(field, number.into());
    }
}
