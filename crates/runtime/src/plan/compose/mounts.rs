//! The mounts of a plan, in the specification's order.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

use crabcan_init::Step;
use crabcan_ns::Namespace;
use crabcan_rootfs::device::{self, DevOptions};
use crabcan_rootfs::options::Scope;
use crabcan_rootfs::{Bind, MountOptions, NewMount, Target};

use super::{Composer, check_absolute, rootfs};
use crate::Error;
use crate::plan::{IdMapping, MountToSend, Provision};
use crate::spec::{Mount, MountPoint};

/// The group that owns terminals, on every distribution.
const TTY_GID: u32 = 5;

impl Composer<'_> {
    pub(super) fn mounts(&mut self) -> Result<(), Error> {
        if self.spec.extension.default_dev {
            let mut options = DevOptions::default();
            options.tty_gid = self.tty_gid();
            options.mqueue = self.spec.linux.separates(Namespace::Ipc);
            device::push_dev(&mut self.writer, &options).map_err(rootfs("/dev"))?;
        }
        let mounts = &self.spec.mounts;
        let mut prepared = 0;
        for (index, mount) in mounts.iter().enumerate() {
            if index >= prepared {
                prepared = index + self.mount_points(mounts.get(index..).unwrap_or_default())?;
            }
            self.mount(&format!("mounts[{index}]"), mount)?;
        }
        Ok(())
    }

    /// The group of new terminals, where it can be named.
    pub(super) fn tty_gid(&self) -> Option<u32> {
        let mapped = self.id_maps.as_ref().map_or(self.host.privileged, |maps| {
            maps.gid.outside(TTY_GID).is_some()
        });
        mapped.then_some(TTY_GID)
    }

    /// Makes the mount points of the binds at the head of a list, before the first of them: made
    /// later, one that lies in another bind's destination would be made in its source.
    fn mount_points(&mut self, mounts: &[Mount]) -> Result<usize, Error> {
        let binds = mounts
            .iter()
            .take_while(|mount| options(mount).bind.is_some());
        for mount in binds.clone() {
            // A destination that is wrong is named when its turn comes.
            let target = CString::new(mount.destination.as_os_str().as_bytes());
            if let (Some(kind), Ok(target)) = (mount.create, target) {
                self.push(&Step::MountPoint {
                    target: &target,
                    directory: kind == MountPoint::Directory,
                })?;
            }
        }
        Ok(binds.count())
    }

    fn mount(&mut self, field: &str, mount: &Mount) -> Result<(), Error> {
        check_absolute(&format!("{field}.destination"), &mount.destination)?;
        let options = options(mount);
        let mut target = Target::new(&mount.destination);
        if mount.create.is_none() || options.bind.is_none() {
            target = target.create();
        }
        if matches!(mount.fstype.as_str(), "proc" | "sysfs") {
            // A link there would have what is masked later in a place that nobody looks at.
            target = target.no_symlinks();
        }
        let Some(scope) = options.bind else {
            let new = NewMount::new(&mount.fstype, target).source(mount.source.to_string_lossy());
            return new
                .parsed(&options)
                .push(&mut self.writer)
                .map_err(rootfs(field));
        };
        check_bind(field, &options)?;
        let source = self.of_bundle(&format!("{field}.source"), &mount.source)?;
        let mut bind = Bind::new(&source, target).attributes(options.attributes.set);
        if scope == Scope::Mount {
            bind = bind.without_submounts();
        }
        if self.parent_mounts {
            self.provisions.push(Provision::Mount(MountToSend {
                source,
                recursive: scope == Scope::Tree,
                attributes: options.attributes.set,
                idmap: options.id_map.map(|_| IdMapping::Container),
            }));
            bind = bind.received();
        }
        bind.push(&mut self.writer).map_err(rootfs(field))
    }
}

/// Refuses for a bind mount what would not be done to it: a misspelt `ro` is the file system's own
/// word, and a bind mount has no file system to say it to.
fn check_bind(field: &str, options: &MountOptions) -> Result<(), Error> {
    let mut done = MountOptions::default();
    done.bind = options.bind;
    done.attributes = options.attributes;
    done.id_map = options.id_map;
    if *options == done {
        return Ok(());
    }
    let field = format!("{field}.options");
    Err(match options.data.first() {
        Some(word) => Error::invalid(field, format!("\"{word}\" is no option of a bind mount")),
        None => Error::invalid(field, "one of them can't be applied to a bind mount"),
    })
}

fn options(mount: &Mount) -> MountOptions {
    MountOptions::parse(mount.options.iter().map(String::as_str))
}
