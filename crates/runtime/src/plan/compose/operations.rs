//! What a sandbox' root is put together of, piece by piece.

use std::path::{Path, PathBuf};

use crabcan_init::Step;
use crabcan_init::format::{Change, Changes, Instructions, Strings};
use crabcan_ns::Namespace;
use crabcan_rootfs::device::{self, DevOptions};
use crabcan_rootfs::options::Scope;
use crabcan_rootfs::{Bind, MountAttributes, NewMount, Propagation, Target, mask};

use super::{Composer, check_absolute, rootfs, strings};
use crate::Error;
use crate::plan::{IdMapping, MountToSend, Provision, c_string};
use crate::spec::{self, Access, Descriptor, Operation};

/// What of a procfs can change the host, where no user namespace keeps its root from that.
const KERNEL_SETTINGS: [&str; 4] = ["sys", "sysrq-trigger", "irq", "bus"];

/// Programs cannot be executed from it either.
const QUIET: MountAttributes = MountAttributes::NOSUID
    .with(MountAttributes::NODEV)
    .with(MountAttributes::NOEXEC);

impl<'a> Composer<'a> {
    pub(super) fn operations(&mut self) -> Result<(), Error> {
        let operations = self.spec.extension.operations.iter();
        let root = usize::from(self.root_operation().is_some());
        operations
            .enumerate()
            .skip(root)
            .try_for_each(|(index, operation)| self.operation(index, operation))
    }

    /// The operation that makes the root itself.
    fn root_operation(&self) -> Option<&'a Operation> {
        let first = self.spec.extension.operations.first();
        first.filter(|first| {
            matches!(first, Operation::Overlay { destination, .. } if destination == Path::new("/"))
        })
    }

    /// Makes the root, if it is not a directory of the host; whether it is made.
    pub(super) fn root_of_pieces(&mut self) -> Result<bool, Error> {
        if let Some(options) = &self.spec.extension.empty_root {
            self.empty_root(options)?;
            return Ok(true);
        }
        let Some(operation) = self.root_operation() else {
            return Ok(false);
        };
        self.operation(0, operation)?;
        Ok(true)
    }

    fn operation(&mut self, index: usize, operation: &Operation) -> Result<(), Error> {
        let destination = operation.destination();
        let field = format!("operation {index} on {}", destination.display());
        check_absolute(&field, destination)?;
        match operation {
            Operation::Bind { source, access, .. } => {
                self.bind_host(&field, source, destination, access.attributes())
            }
            Operation::BindDescriptor { source, access, .. } => {
                self.bind_descriptor(&field, source, destination, *access)
            }
            Operation::Overlay {
                lowers, changes, ..
            } => self.overlay(&field, lowers, changes, destination),
            Operation::Tmpfs {
                mode, size_bytes, ..
            } => NewMount::tmpfs(
                Target::new(destination).create(),
                tmpfs_options(*mode, *size_bytes),
            )
            .push(&mut self.writer)
            .map_err(rootfs(&field)),
            Operation::Proc { .. } => self.proc(&field, destination),
            Operation::Dev { .. } => self.dev(&field, destination),
            Operation::MessageQueues { .. } => NewMount::mqueue(Target::new(destination).create())
                .push(&mut self.writer)
                .map_err(rootfs(&field)),
            _ => self.piece(&field, operation),
        }
    }

    /// What is no mount of a file system of its own.
    fn piece(&mut self, field: &str, operation: &Operation) -> Result<(), Error> {
        let target = &c_string(field, operation.destination())?;
        match operation {
            Operation::Directory { mode, .. } => self.push(&Step::Directory {
                target,
                mode: permissions(field, *mode)?,
            }),
            Operation::Symlink { text, .. } => self.push(&Step::Symlink {
                text: &c_string(field, text)?,
                target,
            }),
            Operation::File { contents, mode, .. } => {
                self.send(contents);
                let mode = permissions(field, *mode)?;
                self.push(&Step::File { target, mode })
            }
            Operation::BindFile {
                contents,
                mode,
                access,
                ..
            } => {
                self.send(contents);
                self.push(&Step::BindFile {
                    target,
                    mode: permissions(field, *mode)?,
                    attributes: access.attributes().bits(),
                })
            }
            Operation::Permissions { mode, .. } => self.push(&Step::Permissions {
                target,
                mode: permissions(field, *mode)?,
            }),
            _ => {
                let change = Change::set(MountAttributes::RDONLY.bits(), false).to_bytes();
                self.push(&Step::Remount {
                    target,
                    changes: Changes::new(&change).ok_or(Error::PlanTooLong)?,
                    options: Strings::new(b"").ok_or(Error::PlanTooLong)?,
                    flags: 0,
                })
            }
        }
    }

    fn send(&mut self, contents: &Descriptor) {
        let provision = Provision::Descriptor(contents.clone());
        self.provisions.push(provision);
    }

    fn bind_host(
        &mut self,
        field: &str,
        source: &Path,
        destination: &Path,
        attributes: MountAttributes,
    ) -> Result<(), Error> {
        let source = self.of_bundle(field, source)?;
        let target = Target::new(destination).create();
        let mut bind = Bind::new(&source, target).attributes(attributes);
        // What is only read is seen as it is; what is written must be the container's.
        let writable = (attributes == Access::Write.attributes()).then_some(());
        if self.parent_mounts {
            self.provisions.push(Provision::Mount(MountToSend {
                source,
                recursive: true,
                change: Change {
                    propagation: Propagation::Private.flag(),
                    ..Change::set(attributes.bits(), true)
                },
                idmap: writable
                    .filter(|_| self.spec.extension.idmap_operations)
                    .map(|_| (IdMapping::Container, Scope::Tree)),
            }));
            bind = bind.received();
        }
        bind.push(&mut self.writer).map_err(rootfs(field))
    }

    fn overlay(
        &mut self,
        field: &str,
        lowers: &[PathBuf],
        changes: &spec::Changes,
        destination: &Path,
    ) -> Result<(), Error> {
        let refused = *changes == spec::Changes::Refused;
        if lowers.is_empty() || refused && lowers.len() < 2 {
            let reason = "too few directories to lie over one another (--overlay-src)";
            return Err(Error::invalid(field, reason));
        }
        let nowhere = PathBuf::new();
        let (upper, work) = match changes {
            spec::Changes::Kept { upper, work } => (upper, work),
            _ => (&nowhere, &nowhere),
        };
        // The ids of such a container are nobody's on the host: it sees these files as its own.
        let received = self.parent_mounts && self.spec.extension.idmap_operations;
        if received && matches!(changes, spec::Changes::Kept { .. }) {
            let reason = "root's sandbox has no ids to keep changes with: add --userns host";
            return Err(Error::invalid(field, reason));
        }
        let top_first: Vec<_> = lowers.iter().rev().collect();
        for lower in top_first.iter().filter(|_| received) {
            self.provisions.push(Provision::Mount(MountToSend {
                source: PathBuf::clone(lower),
                recursive: false,
                change: Change {
                    propagation: Propagation::Private.flag(),
                    ..Change::default()
                },
                idmap: Some((IdMapping::Container, Scope::Mount)),
            }));
        }
        let lowers = strings(field, &top_first)?;
        let attributes = match refused {
            true => Access::ReadOnly.attributes(),
            false => Access::Write.attributes(),
        };
        self.push(&Step::Overlay {
            lowers: Strings::new(&lowers).ok_or(Error::PlanTooLong)?,
            received,
            upper: &c_string(field, upper)?,
            work: &c_string(field, work)?,
            private: *changes == spec::Changes::ThrownAway,
            attributes: attributes.bits(),
            target: &c_string(field, destination)?,
        })
    }

    /// The kernel binds what is in this mount namespace only, so a descriptor is bound by the path
    /// that it had a moment ago; whether that is still the same file is looked at afterwards.
    fn bind_descriptor(
        &mut self,
        field: &str,
        source: &Descriptor,
        destination: &Path,
        access: Access,
    ) -> Result<(), Error> {
        let failed = |source: std::io::Error| Error::Path {
            field: field.to_owned(),
            path: destination.to_owned(),
            source,
        };
        let path = source.path().map_err(failed)?;
        let (device, inode) = source.identity().map_err(failed)?;
        self.bind_host(field, &path, destination, access.attributes())?;
        self.push(&Step::SameFile {
            target: &c_string(field, destination)?,
            device,
            inode,
        })
    }

    fn proc(&mut self, field: &str, destination: &Path) -> Result<(), Error> {
        if !self.spec.linux.separates(Namespace::Pid) {
            return self.bind_host(field, Path::new("/proc"), destination, QUIET);
        }
        NewMount::proc(Target::new(destination).create())
            .push(&mut self.writer)
            .map_err(rootfs(field))?;
        if self.spec.linux.separates(Namespace::User) {
            return Ok(());
        }
        let settings = KERNEL_SETTINGS.map(|name| destination.join(name));
        mask::push_read_only(&mut self.writer, &settings).map_err(rootfs(field))
    }

    fn dev(&mut self, field: &str, destination: &Path) -> Result<(), Error> {
        let mut options = DevOptions::default();
        options.target = destination.to_owned();
        options.mqueue = false;
        options.tty_gid = self.tty_gid();
        device::push_dev(&mut self.writer, &options).map_err(rootfs(field))
    }

    /// The root is a new tmpfs with these options.
    fn empty_root(&mut self, options: &[String]) -> Result<(), Error> {
        let options = strings("root", options)?;
        self.push(&Step::EmptyRoot {
            options: Strings::new(&options).ok_or(Error::PlanTooLong)?,
            attributes: self.spec.extension.root_attributes.bits(),
        })
    }

    /// Filters of system calls that nobody has to compile.
    pub(super) fn raw_filters(&mut self) -> Result<(), Error> {
        for program in &self.spec.extension.raw_filters {
            let wrong = || {
                let reason = "a filter is one to 4096 instructions of eight bytes";
                Error::invalid("--seccomp", reason)
            };
            let fits = (8..=8 * 4096).contains(&program.len());
            let program = Instructions::new(program)
                .filter(|_| fits)
                .ok_or_else(wrong)?;
            self.push(&Step::Seccomp {
                program,
                flags: 0,
                listener: false,
            })?;
        }
        Ok(())
    }

    /// The files that are locked while the sandbox lives.
    pub(super) fn lock_files(&mut self) -> Result<(), Error> {
        for path in &self.spec.extension.lock_files {
            check_absolute("--lock-file", path)?;
            let target = &c_string("--lock-file", path)?;
            self.push(&Step::LockFile { target })?;
        }
        Ok(())
    }
}

impl Access {
    /// The attributes of a mount with which no more can be done.
    pub(crate) fn attributes(self) -> MountAttributes {
        let common = MountAttributes::NOSUID;
        match self {
            Self::ReadOnly => common | MountAttributes::NODEV | MountAttributes::RDONLY,
            Self::Write => common | MountAttributes::NODEV,
            Self::Devices => common,
        }
    }
}

/// The options of a tmpfs.
pub(crate) fn tmpfs_options(mode: Option<u32>, size_bytes: Option<u64>) -> Vec<String> {
    let mode = format!("mode={:o}", mode.unwrap_or(0o755));
    let size = size_bytes.map(|size| format!("size={size}"));
    [mode].into_iter().chain(size).collect()
}

fn permissions(field: &str, mode: u32) -> Result<u32, Error> {
    if mode > 0o7777 {
        return Err(Error::invalid(field, format!("0{mode:o} is no file mode")));
    }
    Ok(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_is_what_the_mount_allows() {
        assert_eq!(Access::ReadOnly.attributes().to_string(), "ro,nosuid,nodev");
        assert_eq!(Access::Write.attributes().to_string(), "nosuid,nodev");
        assert_eq!(Access::Devices.attributes().to_string(), "nosuid");
    }

    #[test]
    fn a_tmpfs_has_a_mode_and_perhaps_a_size() {
        assert_eq!(tmpfs_options(None, None), ["mode=755"]);
        assert_eq!(
            tmpfs_options(Some(0o1777), Some(4096)),
            ["mode=1777", "size=4096"]
        );
    }
}
