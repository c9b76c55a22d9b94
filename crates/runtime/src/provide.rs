//! What only the parent may do for init, and what it hands to it: files of its cgroup, id maps,
//! namespaces to be joined, mounts that the container's own ids could not reach.

use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crabcan_caps::Capability;
use crabcan_cgroups::Cgroup;
use crabcan_init::format::Change;
use crabcan_ns::{Child, Namespace, NamespaceFd, Namespaces, write_id_maps};
use crabcan_rootfs::options::Scope;
use crabcan_rootfs::{change_detached_tree, detached_tree_changed};
use rustix::fs::{fstat, stat};

use crate::launch::{self, Surroundings};
use crate::locked::LockedTrees;
use crate::plan::{IdMapping, IdMaps, MountToSend, Provision};
use crate::protocol::Protocol;
use crate::{Error, Plan, hooks, limits};

/// Provides init with some of what its plan takes from the parent, and returns when all is sent.
/// `cgroup` is the one that it enters.
pub(crate) fn provide(
    plan: &Plan,
    which: Range<usize>,
    child: &Child,
    protocol: &Protocol,
    cgroup: Option<&Cgroup>,
    locked: &mut Option<LockedTrees>,
    caller: &mut dyn FnMut(&Child) -> Result<(), Error>,
) -> Result<(), Error> {
    let provisions = plan.provisions().iter().enumerate();
    for (index, provision) in provisions.take(which.end).skip(which.start) {
        if matches!(provision, Provision::IdMapsOfCaller) {
            caller(child)?;
        }
        one(plan, provision, child, protocol, cgroup, locked)
            .map_err(|error| named(plan.provided_for(index), error))?;
    }
    Ok(())
}

/// What could not be had, behind the property that wants it.
fn named(property: &str, error: Error) -> Error {
    match error {
        // Init has failed, and will say why; or it is named already.
        Error::Channel { .. } | Error::Invalid { .. } => error,
        error if property.is_empty() => error,
        error => Error::Provide {
            property: property.to_owned(),
            source: Box::new(error),
        },
    }
}

fn one(
    plan: &Plan,
    provision: &Provision,
    child: &Child,
    protocol: &Protocol,
    cgroup: Option<&Cgroup>,
    locked: &mut Option<LockedTrees>,
) -> Result<(), Error> {
    let sent = |source| Error::Channel {
        doing: "send init on its way",
        source,
    };
    match provision {
        Provision::IdMaps(maps) => {
            map_ids(child, maps)?;
            protocol.proceed().map_err(sent)?;
        }
        Provision::TaskFiles => {
            let files = cgroup.map(Cgroup::task_files).transpose();
            for file in files.map_err(limits::failed)?.into_iter().flatten() {
                protocol.send_descriptor(file.as_fd()).map_err(sent)?;
            }
        }
        // Waited for by who has the process.
        Provision::Fork | Provision::MapTree(_) => {}
        Provision::IdMapsOfCaller | Provision::Moved => protocol.proceed().map_err(sent)?,
        Provision::Namespace { kind, path } => {
            let namespace = NamespaceFd::open_path(path, *kind)
                .map_err(failed("open a namespace to be joined"))?;
            refuse_own(plan, *kind, &namespace)?;
            protocol.send_descriptor(namespace.as_fd()).map_err(sent)?;
        }
        Provision::Descriptor(descriptor) => {
            protocol.send_descriptor(descriptor.as_fd()).map_err(sent)?;
        }
        Provision::HookOutput { annotation, path } => {
            let file = hooks::open_output(annotation, path)?;
            protocol.send_descriptor(file.as_fd()).map_err(sent)?;
        }
        Provision::Landlock(landlock) => {
            let ruleset = landlock.make()?;
            protocol.send_descriptor(ruleset.as_fd()).map_err(sent)?;
        }
        Provision::Container => {
            let container = plan.container().ok_or(Error::NoContainer)?;
            protocol.send_descriptor(container).map_err(sent)?;
        }
        Provision::Root => {
            let root = plan.root().ok_or(Error::NoRoot)?;
            protocol.send_descriptor(root).map_err(sent)?;
        }
        Provision::Mount(mount) => {
            let tree = tree(plan, child, mount, locked)?;
            protocol.send_descriptor(tree.as_fd()).map_err(sent)?;
        }
    }
    Ok(())
}

fn failed(doing: &'static str) -> impl FnOnce(crabcan_ns::Error) -> Error {
    move |source| Error::Namespaces { doing, source }
}

fn map_ids(child: &Child, maps: &IdMaps) -> Result<(), Error> {
    write_id_maps(child.pid(), &maps.uid, &maps.gid, maps.writer)
        .map(drop)
        .map_err(failed("map the ids of the container"))
}

/// Names and settings are the namespace's: a configuration that sets any must not be given the
/// runtime's own namespace by its path.
fn refuse_own(plan: &Plan, kind: Namespace, joined: &NamespaceFd) -> Result<(), Error> {
    let Some((_, field)) = plan.changed().iter().find(|(changed, _)| *changed == kind) else {
        return Ok(());
    };
    let look = |source: rustix::io::Errno| Error::Wait {
        doing: "compare namespaces",
        source: source.into(),
    };
    let own = stat(format!("/proc/self/ns/{}", kind.name()).as_str()).map_err(look)?;
    let joined = fstat(joined).map_err(look)?;
    if (own.st_dev, own.st_ino) == (joined.st_dev, joined.st_ino) {
        let reason = format!("would change the runtime's own {kind} namespace, which is joined");
        return Err(Error::invalid(*field, reason));
    }
    Ok(())
}

/// Maps the ids of a mount that init has made, and sends it back.
pub(crate) fn map_tree(
    plan: &Plan,
    index: usize,
    child: &Child,
    protocol: &Protocol,
    mount: &MountToSend,
    tree: BorrowedFd<'_>,
) -> Result<(), Error> {
    change(plan, child, mount, tree).map_err(|error| named(plan.provided_for(index), error))?;
    protocol
        .send_descriptor(tree)
        .map_err(|source| Error::Channel {
            doing: "send init on its way",
            source,
        })
}

/// The mounts that are sent, locked where they go into a user namespace. All are looked up here,
/// before init goes on.
pub(crate) fn locked(plan: &Plan, child: &Child) -> Result<Option<LockedTrees>, Error> {
    if !plan.locks_mounts() {
        return Ok(None);
    }
    let needed = [Capability::SysChroot, Capability::SysPtrace];
    if !plan.host().has(&needed) {
        log::warn!(
            "without CAP_SYS_CHROOT and CAP_SYS_PTRACE the container's mounts can't be locked: with \
             CAP_SYS_ADMIN it can take back what the host has set on them"
        );
        return Ok(None);
    }
    let provisions = plan.provisions().iter().enumerate();
    let trees = provisions.filter_map(|(index, provision)| match provision {
        Provision::Mount(mount) => {
            Some(copy(mount).map_err(|error| named(plan.provided_for(index), error)))
        }
        _ => None,
    });
    let kinds = [Namespace::User, Namespace::Mount];
    if kinds.into_iter().all(|kind| plan.namespaces().makes(kind)) {
        return LockedTrees::lock(trees, child).map(Some);
    }
    // What it joins or makes later is not there yet, or is somebody else's.
    let kinds = kinds.into_iter().fold(Namespaces::new(), Namespaces::make);
    with_waiting(plan, kinds, |holder| {
        LockedTrees::lock(trees, holder).map(Some)
    })
}

/// The detached mount of a source. It is no peer of the host's any more: on the way to be locked it is
/// attached and unmounted again, and what is mounted in it would be on the host, too.
fn copy(mount: &MountToSend) -> Result<OwnedFd, Error> {
    let spread = Change {
        propagation: mount.change.propagation,
        recursive: mount.recursive,
        ..Change::default()
    };
    detached_tree_changed(&mount.source, mount.recursive, &[spread], None).map_err(of_rootfs)
}

/// The detached mount that init waits for.
fn tree(
    plan: &Plan,
    child: &Child,
    mount: &MountToSend,
    locked: &mut Option<LockedTrees>,
) -> Result<OwnedFd, Error> {
    let tree = match locked {
        Some(locked) => locked.next()?,
        None => copy(mount)?,
    };
    change(plan, child, mount, tree.as_fd()).map(|()| tree)
}

fn change(
    plan: &Plan,
    child: &Child,
    mount: &MountToSend,
    tree: BorrowedFd<'_>,
) -> Result<(), Error> {
    let map = id_map(plan, child, mount)?;
    change_detached_tree(tree, &mount.source, &[mount.change], borrowed(&map)).map_err(of_rootfs)
}

/// With whose ids a mount is seen, and whether those below it are too.
fn id_map(
    plan: &Plan,
    child: &Child,
    mount: &MountToSend,
) -> Result<Option<(NamespaceFd, bool)>, Error> {
    let (namespace, scope) = match &mount.idmap {
        None => return Ok(None),
        Some((IdMapping::Container, scope)) => (user_namespace(plan, child)?, scope),
        Some((IdMapping::Own(maps), scope)) => (namespace_of(plan, maps)?, scope),
    };
    Ok(Some((namespace, *scope == Scope::Tree)))
}

fn borrowed(map: &Option<(NamespaceFd, bool)>) -> Option<(BorrowedFd<'_>, bool)> {
    map.as_ref()
        .map(|(namespace, recursive)| (namespace.as_fd(), *recursive))
}

fn of_rootfs(source: crabcan_rootfs::Error) -> Error {
    match source {
        crabcan_rootfs::Error::IdMapUnsupported { .. } => Error::IdMapUnsupported { source },
        _ => Error::Rootfs { source },
    }
}

/// The container's user namespace: the child's own, or the one that it is about to join.
fn user_namespace(plan: &Plan, child: &Child) -> Result<NamespaceFd, Error> {
    let joined = plan
        .provisions()
        .iter()
        .find_map(|provision| match provision {
            Provision::Namespace { kind, path } if *kind == Namespace::User => Some(path.clone()),
            _ => None,
        });
    let path = joined.unwrap_or_else(|| format!("/proc/{}/ns/user", child.pid()).into());
    NamespaceFd::open_path(path, Namespace::User).map_err(failed("open the user namespace"))
}

/// A user namespace with these maps and nobody in it, for a mount that has maps of its own.
fn namespace_of(plan: &Plan, maps: &IdMaps) -> Result<NamespaceFd, Error> {
    with_waiting(plan, Namespaces::new().make(Namespace::User), |holder| {
        map_ids(holder, maps)?;
        let path = format!("/proc/{}/ns/user", holder.pid());
        NamespaceFd::open_path(path, Namespace::User).map_err(failed("open the user namespace"))
    })
}

/// Does something with namespaces that need a process to be made: an init that waits, and is ended
/// afterwards.
fn with_waiting<T>(
    plan: &Plan,
    kinds: Namespaces,
    done: impl FnOnce(&Child) -> Result<T, Error>,
) -> Result<T, Error> {
    let holder = Plan::waiting_in(kinds, plan.place_of_init())?;
    let (parent, end) = crabcan_ipc::socketpair().map_err(|source| Error::Channel {
        doing: "make the channel to init",
        source,
    })?;
    let mut child = launch::launch(&holder, end, &Surroundings::default())?;
    let done = done(&child);
    drop(parent);
    let ended = child.kill().and_then(|()| match child.wait() {
        Ok(_) | Err(crabcan_ns::Error::Reaped { .. }) => Ok(()),
        Err(error) => Err(error),
    });
    ended.map_err(failed("end the process of a user namespace"))?;
    done
}
