//! A container without a mount namespace: what it mounts is mounted on the host, in the place of its
//! root, which is entered by chroot(2).

use std::path::Path;

use crabcan_ns::Namespace;
use crabcan_rootfs::pivot;

use super::{Composer, rootfs};
use crate::Error;
use crate::plan::Provision;

const FIELD: &str = "linux.namespaces";

impl Composer<'_> {
    /// Whether its mounts are the caller's.
    pub(super) fn shares_mounts(&self) -> bool {
        !self.spec.linux.separates(Namespace::Mount)
    }

    /// The parent attaches the root, and takes it away at the end: init could be killed meanwhile.
    pub(super) fn attached_root(&mut self) -> Result<(), Error> {
        let refused = |reason| Err(Error::invalid(FIELD, reason));
        if self.spec.extension.bundle.is_none() {
            return refused("there is no mount namespace");
        }
        if self.spec.linux.separates(Namespace::User) {
            return refused(
                "there is no mount namespace, and a user namespace has no say over the mounts of \
                 the host: add a mount namespace",
            );
        }
        let source = self.of_bundle("root.path", &self.spec.root.path)?;
        if source == Path::new("/") {
            return Err(Error::invalid(
                "root.path",
                "is the host's root, which can't be mounted over itself without a mount namespace",
            ));
        }
        let of_copies = self.first_propagation()?;
        if of_copies.is_none() {
            return Err(Error::invalid(
                "linux.rootfsPropagation",
                "the host's mounts are not to be shared with a root that is one of them: add a \
                 mount namespace",
            ));
        }
        self.provisions.push(Provision::Root);
        pivot::push_attached_root(&mut self.writer, of_copies).map_err(rootfs("root.path"))
    }

    /// For a process that joins: the root is where it was attached.
    pub(super) fn enter_attached_root(&mut self) -> Result<(), Error> {
        self.provisions.push(Provision::Root);
        pivot::push_attached_root(&mut self.writer, None)
            .and_then(|()| pivot::push_enter_root(&mut self.writer))
            .map_err(rootfs("root.path"))
    }
}
