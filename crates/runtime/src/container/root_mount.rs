//! The root of a container without a mount namespace: a mount of the host's, which is there as long
//! as the container is.
//!
//! It is the directory once more, mounted on itself, and everything that the container mounts is
//! mounted in it: so one umount2(2) takes all of it away, and nothing that was there before.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crabcan_ns::Namespace;
use crabcan_rootfs::{MountAttributes, MountId, attach_detached, detached_tree, mount_below};

use crate::spec::Spec;
use crate::state::{Entry, Record, RootMount};
use crate::{Error, Plan};

const MOUNT: &str = "mount the container's root";
const UNMOUNT: &str = "unmount the container's root";

/// Mounts it. Which mount it will be is written down before: nobody else would know it after a crash.
pub(super) fn attach(entry: &Entry, plan: &Plan, record: &mut Record) -> Result<(), Error> {
    let place = &record.rootfs;
    if let Some(below) = mount_below(place).map_err(failed(MOUNT))? {
        // It would be out of everybody's sight.
        let reason = format!(
            "{} is mounted below it, and there is no mount namespace",
            below.display()
        );
        return Err(Error::invalid("root.path", reason));
    }
    let tree = detached_tree(place, false, MountAttributes::NONE, None).map_err(failed(MOUNT))?;
    let MountId { id, unique } = MountId::of(&tree).map_err(failed(MOUNT))?;
    record.root_mount = Some(RootMount {
        boot: boot()?,
        namespace: namespace()?,
        id,
        unique,
    });
    entry.write(record)?;
    attach_detached(tree.as_fd(), &record.rootfs).map_err(failed(MOUNT))?;
    plan.attached(tree);
    Ok(())
}

/// Opens it for a process that joins the container, however the container's own root looks by now.
pub(super) fn open(record: &Record) -> Result<OwnedFd, Error> {
    let found = match &record.root_mount {
        Some(mount) if mount.boot == boot()? => mount_id(mount).open_at(&record.rootfs),
        _ => Ok(None),
    };
    found.map_err(failed("enter the container's root"))?.ok_or_else(|| {
        let reason = "the container's root, which has no mount namespace, is not mounted there any \
                      more, or is covered";
        Error::Path {
            field: "enter the container's root".into(),
            path: record.rootfs.clone(),
            source: io::Error::other(reason),
        }
    })
}

/// Unmounts it, with everything that was mounted in it; that it is gone already is no error.
pub(super) fn take_away(record: &Record) -> Result<(), Error> {
    let Some(mount) = &record.root_mount else {
        return Ok(());
    };
    if mount.boot != boot()? {
        return Ok(());
    }
    if mount.namespace != namespace()? {
        log::warn!(
            "the root of {} is mounted on {} in another mount namespace, and stays there",
            record.id,
            record.rootfs.display()
        );
        return Ok(());
    }
    mount_id(mount)
        .detach(&record.rootfs)
        .map_err(failed(UNMOUNT))
}

/// criu keeps mounts by their namespace.
pub(super) fn refuse_criu(spec: &Spec) -> Result<(), Error> {
    if spec.linux.separates(Namespace::Mount) {
        return Ok(());
    }
    let reason = "without a mount namespace a container can be neither checkpointed nor restored";
    Err(Error::invalid("linux.namespaces", reason))
}

fn mount_id(mount: &RootMount) -> MountId {
    MountId {
        id: mount.id,
        unique: mount.unique,
    }
}

fn boot() -> Result<String, Error> {
    let path = "/proc/sys/kernel/random/boot_id";
    let text = fs::read_to_string(path).map_err(unread(path))?;
    Ok(text.trim_end().to_owned())
}

fn namespace() -> Result<u64, Error> {
    let path = "/proc/thread-self/ns/mnt";
    let found = fs::metadata(path).map_err(unread(path))?;
    Ok(found.ino())
}

fn unread(path: &str) -> impl FnOnce(io::Error) -> Error {
    let path = Path::new(path).to_owned();
    move |source| Error::Path {
        field: "read".into(),
        path,
        source,
    }
}

fn failed(doing: &'static str) -> impl FnOnce(crabcan_rootfs::Error) -> Error {
    move |source| Error::RootMount { doing, source }
}
