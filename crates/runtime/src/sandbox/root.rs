//! What a sandbox has as its root, and what is mounted in it by itself.

use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};

use crabcan_ns::Namespace;
use crabcan_rootfs::RootFd;

use super::{Sandbox, hidden, wall};
use crate::Error;
use crate::spec::{Mount, MountPoint, Operation, Root, Spec, User};

impl Sandbox {
    /// Every source must be there, every destination a place in the sandbox.
    pub(super) fn check_added(&self) -> Result<(), Error> {
        for (source, destination) in &self.added {
            let field = || format!("--add {}:{}", source.display(), destination.display());
            if !destination.is_absolute() {
                return Err(Error::invalid(field(), "the destination must be absolute"));
            }
            if destination
                .components()
                .any(|part| part == Component::ParentDir)
            {
                return Err(Error::invalid(
                    field(),
                    "the destination must not contain \"..\"",
                ));
            }
            if destination.components().count() < 2 {
                return Err(Error::invalid(
                    field(),
                    "the destination is the root itself: use --mount",
                ));
            }
            source.metadata().map_err(|source_error| Error::Path {
                field: "--add".into(),
                path: source.clone(),
                source: source_error,
            })?;
        }
        Ok(())
    }

    pub(super) fn added_mounts(&self, idmap: bool) -> Result<Vec<Mount>, Error> {
        let mut options = vec!["rbind", "rnosuid", "rnodev"];
        options.extend(idmap.then_some("ridmap"));
        let added = self.added.iter().map(|(source, destination)| {
            let source = std::path::absolute(source).map_err(|error| Error::Path {
                field: "--add".into(),
                path: source.clone(),
                source: error,
            })?;
            let directory = source.is_dir();
            let kind = if directory {
                MountPoint::Directory
            } else {
                MountPoint::File
            };
            Ok(Mount {
                create: Some(kind),
                ..mount(destination, "none", source.as_os_str(), &options)
            })
        });
        added.collect()
    }

    /// `/proc`, never through a symbolic link of the root's: the host's own when its processes are
    /// shared.
    pub(super) fn proc_mount(&self) -> Mount {
        let shared = !self
            .namespaces()
            .iter()
            .any(|one| one.namespace() == Some(Namespace::Pid));
        let quiet = ["nosuid", "noexec", "nodev"];
        let proc = match shared {
            false => mount("/proc", "proc", OsStr::new("proc"), &quiet),
            true => {
                let options = [&["rbind"], &quiet[..]].concat();
                mount("/proc", "proc", OsStr::new("/proc"), &options)
            }
        };
        Mount {
            create: Some(MountPoint::Directory),
            ..proc
        }
    }

    /// A directory as the root: written through if nothing must be made in it.
    pub(super) fn own_root(&self, spec: &mut Spec, directory: &Path) -> Result<(), Error> {
        let failed = |source: io::Error| Error::Path {
            field: "--mount".into(),
            path: directory.to_owned(),
            source,
        };
        let path = directory.canonicalize().map_err(failed)?;
        let root = RootFd::open(&path).map_err(|source| Error::Rootfs { source })?;
        let system = ["/proc", "/dev"].map(Path::new);
        let added = self.added.iter().map(|(_, destination)| destination);
        let pieces = self.operations.iter().map(Operation::destination);
        let added = added.chain(pieces).map(PathBuf::as_path);
        for point in system.into_iter().chain(added) {
            let kind = root
                .kind(point)
                .map_err(|source| Error::Rootfs { source })?;
            if kind.is_none() && !spec.extension.overlay_root {
                log::debug!(
                    "{} has no {}: it is not changed, what is written in the sandbox is thrown away",
                    directory.display(),
                    point.display()
                );
                spec.extension.overlay_root = true;
                spec.extension.recursive_root = false;
            }
        }
        spec.root = Root {
            path,
            readonly: false,
        };
        Ok(())
    }
}

fn mount(destination: impl Into<PathBuf>, fstype: &str, source: &OsStr, options: &[&str]) -> Mount {
    Mount {
        destination: destination.into(),
        fstype: fstype.into(),
        source: source.into(),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    }
}

/// The host's own root, read-only, without what is somebody's own.
pub(super) fn host_root(spec: &mut Spec, user: &User) -> Result<(), Error> {
    spec.root = Root {
        path: "/".into(),
        readonly: true,
    };
    let view = hidden::of_this_process();
    if let Some(landlock) = &mut spec.extension.landlock {
        landlock.visible = Some(wall::visible(&view.places));
    }
    for place in view.places {
        let shown = mount(place.path(), "tmpfs", OsStr::new("tmpfs"), &[]);
        let owner = [format!("uid={}", user.uid), format!("gid={}", user.gid)];
        spec.mounts.push(match place {
            hidden::Place::Hide { mode, own, .. } => {
                let mut options = vec!["nosuid".into(), "nodev".into(), format!("mode={mode:o}")];
                options.extend(own.then_some(owner).into_iter().flatten());
                Mount {
                    options,
                    create: Some(MountPoint::Directory),
                    ..shown
                }
            }
            hidden::Place::Show(path) => {
                let options = ["rbind", "rro", "rnosuid", "rnodev"]
                    .map(String::from)
                    .into();
                Mount {
                    options,
                    create: Some(MountPoint::Directory),
                    source: path,
                    ..shown
                }
            }
        });
    }
    spec.process.cwd = view.working_directory;
    Ok(())
}
