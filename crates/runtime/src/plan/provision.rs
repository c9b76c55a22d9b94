//! What only the parent can do or open for init, and hands to it while it makes the container.

use std::path::PathBuf;

use crabcan_init::format::Change;
use crabcan_ns::{IdMap, IdMapWriter, Namespace};
use crabcan_rootfs::options::Scope;

use crate::landlock::Landlock;
use crate::spec::Descriptor;

/// The ids of a new user namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdMaps {
    pub(crate) uid: IdMap,
    pub(crate) gid: IdMap,
    pub(crate) writer: IdMapWriter,
}

/// One thing that the parent hands to init.
#[derive(Clone, Debug)]
pub(crate) enum Provision {
    /// The id maps are written, and init is told so.
    IdMaps(IdMaps),
    /// The same, but the caller writes them.
    IdMapsOfCaller,
    /// Nothing before init goes on in a child: what follows is for that one.
    Fork,
    /// The files of a cgroup of v1 that init writes itself into.
    TaskFiles,
    /// Init was moved into the cgroup, and is told so.
    Moved,
    /// A namespace that is there already.
    Namespace { kind: Namespace, path: PathBuf },
    /// The container that is joined: its first process' pidfd.
    Container,
    /// The root that is attached among the host's mounts.
    Root,
    /// A mount.
    Mount(MountToSend),
    /// A mount that init makes, since it alone sees what is mounted in the root, and whose ids only
    /// the parent can map: it goes there and back.
    MapTree(MountToSend),
    /// A descriptor of the caller's, to be read.
    Descriptor(Descriptor),
    /// A ruleset, which init adds rules to.
    Landlock(Landlock),
    /// The file that the output of hooks is added to.
    HookOutput {
        annotation: &'static str,
        path: PathBuf,
    },
}

impl Provision {
    /// Whether it is the answer to something that init has to say first.
    pub(crate) fn answers_init(&self) -> bool {
        matches!(self, Self::Fork | Self::MapTree(_))
    }
}

/// A mount that the parent makes, since the container's own ids could not, and sends to init.
#[derive(Clone, Debug)]
pub(crate) struct MountToSend {
    pub(crate) source: PathBuf,
    pub(crate) recursive: bool,
    pub(crate) change: Change,
    /// With whose ids it is seen, and whether what is mounted below it is too.
    pub(crate) idmap: Option<(IdMapping, Scope)>,
}

/// With whose ids the files of a mount are seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IdMapping {
    /// The container's own.
    Container,
    /// Those of the mount alone.
    Own(IdMaps),
}
