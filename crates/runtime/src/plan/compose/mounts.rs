//! The mounts of a plan, in the specification's order.

use std::borrow::Cow;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crabcan_init::Step;
use crabcan_init::format::Change;
use crabcan_ns::Namespace;
use crabcan_rootfs::device::{self, DevOptions};
use crabcan_rootfs::options::{AttributeChange, Scope};
use crabcan_rootfs::{Bind, MountAttributes, MountOptions, NewMount, Propagation, Remount, Target};

use super::namespaces::id_map;
use super::{Composer, check_absolute, rootfs};
use crate::Error;
use crate::plan::{IdMapping, IdMaps, MountToSend, Provision};
use crate::spec::{Mount, MountPoint};

/// The group that owns terminals, on every distribution.
const TTY_GID: u32 = 5;

/// What is said to a tmpfs, and configurations say to bind mounts too.
const OF_TMPFS: [&str; 6] = ["gid", "mode", "nr_blocks", "nr_inodes", "size", "uid"];

/// File systems that take no SELinux context: their files have labels of their own.
const UNLABELLED: [&str; 6] = ["proc", "sysfs", "mqueue", "cgroup", "cgroup2", "devpts"];

fn options(mount: &Mount) -> MountOptions {
    MountOptions::parse(mount.options.iter().map(String::as_str))
}

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
            self.about(format!("mounts[{index}]"));
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
        let binds = mounts.iter().take_while(|mount| mount.is_bind());
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
        let destination = destination(field, mount)?;
        // As runc has it: a path of the host below the root is the same place.
        let destination = match self.beneath_root(&destination) {
            Some(path) => Cow::from(path),
            None => destination,
        };
        let options = options(mount);
        check_id_map(field, mount, &options)?;
        self.read_only_before(field, &destination)?;
        let mut target = Target::new(destination.as_ref());
        if options.target_no_follow {
            target = target.no_follow();
        }
        if options.remount {
            return self.remount(field, target, &options);
        }
        if mount.create.is_none() || options.bind.is_none() {
            target = target.create();
        }
        if options.bind.is_some() {
            let options = self.without_the_sources(mount, options);
            return self.bind(field, mount, &options, target);
        }
        if options.copy_symlink || options.source_no_follow {
            let reason = "\"copy-symlink\" and \"src-nofollow\" are for bind mounts";
            return Err(Error::invalid(format!("{field}.options"), reason));
        }
        match mount.fstype.as_str() {
            "" => Err(Error::invalid(format!("{field}.type"), "is missing")),
            other if options.tmpcopyup && other != "tmpfs" => {
                let reason = "\"tmpcopyup\" is for tmpfs";
                Err(Error::invalid(format!("{field}.options"), reason))
            }
            "cgroup" | "cgroup2" => self.cgroup_mount(field, mount, &options, target),
            _ => self.new_mount(field, mount, &options, target),
        }
    }

    /// Refuses for a bind mount what would not be done to it: a misspelt `ro` is the file system's
    /// own word, and a bind mount has no file system to say it to. What is known to be a tmpfs' own
    /// can't be meant for anything else.
    fn check_bind(&mut self, field: &str, options: &MountOptions) -> Result<(), Error> {
        let of_tmpfs = |word: &&String| {
            let key = word.split_once('=').map(|(key, _)| key);
            key.is_some_and(|key| OF_TMPFS.contains(&key))
        };
        let of_bundle = self.spec.extension.bundle.is_some();
        let (passed, refused): (Vec<_>, Vec<_>) =
            (options.data.iter()).partition(|word| of_bundle && of_tmpfs(word));
        let without_effect = |word: &str| {
            let reason = format!("\"{}\" is no option of a bind mount", word.escape_debug());
            (format!("{field}.options"), reason)
        };
        let mut words = options.superblock.words();
        let word = words.next().or(refused.first().map(|word| word.as_str()));
        if let Some(word) = word.or(options.tmpcopyup.then_some("tmpcopyup")) {
            let (field, reason) = without_effect(word);
            return Err(Error::invalid(field, reason));
        }
        for word in passed {
            let (field, reason) = without_effect(word);
            self.warnings.push(format!("{field}: {reason}: left out"));
        }
        Ok(())
    }

    fn new_mount(
        &mut self,
        field: &str,
        mount: &Mount,
        options: &MountOptions,
        mut target: Target,
    ) -> Result<(), Error> {
        if matches!(mount.fstype.as_str(), "proc" | "sysfs") {
            // A link there would have what is masked later in a place that nobody looks at.
            target = target.no_symlinks();
        }
        let says_mode = |word: &String| word.starts_with("mode=");
        if mount.fstype == "tmpfs" && !options.data.iter().any(says_mode) {
            // As runc and crun do. A sandbox says it, or means the kernel's 1777.
            target = match self.spec.extension.bundle {
                Some(_) => target.inherit_mode(),
                None => target,
            };
        }
        let source = match mount.source.as_os_str().is_empty() {
            true => Cow::from(&mount.fstype),
            false => mount.source.to_string_lossy(),
        };
        let options = self.without_late_attributes(mount, options, &target);
        let label = self.spec.linux.mount_label.as_deref().unwrap_or_default();
        let labelled = !label.is_empty() && !UNLABELLED.contains(&mount.fstype.as_str());
        let kind = self.kind_of_context()?;
        let context = labelled.then(|| format!("{kind}={label}"));
        NewMount::new(&mount.fstype, target)
            .source(source)
            .parsed(&options)
            .options(context)
            .push(&mut self.writer)
            .map_err(rootfs(field))
    }

    /// By which of SELinux's words a mount gets its label: crun has an annotation for the others.
    fn kind_of_context(&self) -> Result<&str, Error> {
        const NAME: &str = "run.oci.mount_context_type";
        const KINDS: [&str; 4] = ["context", "fscontext", "defcontext", "rootcontext"];
        let wanted = self
            .spec
            .annotations
            .get(NAME)
            .map_or("context", String::as_str);
        let known = KINDS.into_iter().find(|kind| *kind == wanted);
        known.ok_or_else(|| {
            let reason = format!(
                "\"{}\" is none of {}",
                wanted.escape_debug(),
                KINDS.join(", ")
            );
            Error::invalid(format!("annotations[\"{NAME}\"]"), reason)
        })
    }

    /// What is mounted in a tmpfs, the devices among it, needs a place there: read-only it becomes
    /// afterwards.
    fn without_late_attributes<'a>(
        &mut self,
        mount: &Mount,
        options: &'a MountOptions,
        target: &Target,
    ) -> Cow<'a, MountOptions> {
        let read_only = MountAttributes::RDONLY;
        let all = options.attributes.set | options.recursive_attributes.set;
        if mount.fstype != "tmpfs" || !all.contains(read_only) {
            return Cow::Borrowed(options);
        }
        self.read_only_later.push(target.path().to_owned());
        let mut options = options.clone();
        for change in [&mut options.attributes, &mut options.recursive_attributes] {
            change.set = change.set.without(read_only);
        }
        Cow::Owned(options)
    }

    /// What something else is mounted on, or what is changed, is read-only by then.
    fn read_only_before(&mut self, field: &str, destination: &Path) -> Result<(), Error> {
        let place = self.read_only_later.iter();
        let mut place = place.enumerate().filter(|(_, place)| *place == destination);
        let Some(index) = place.next().map(|(index, _)| index) else {
            return Ok(());
        };
        let place = self.read_only_later.remove(index);
        let remount = Remount::read_only(place);
        remount.push(&mut self.writer).map_err(rootfs(field))
    }

    /// Everything is mounted, and every device is there, or at least its place.
    pub(super) fn read_only_at_last(&mut self) -> Result<(), Error> {
        let is_dev = |place: &PathBuf| place == Path::new("/dev");
        if self.spec.process.terminal && self.read_only_later.iter().any(is_dev) {
            self.push(&Step::MountPoint {
                target: c"/dev/console",
                directory: false,
            })?;
        }
        self.about("mounts");
        for place in std::mem::take(&mut self.read_only_later) {
            let remount = Remount::read_only(place);
            remount.push(&mut self.writer).map_err(rootfs("mounts"))?;
        }
        Ok(())
    }

    /// In a bundle the first word about an attribute is a word about all of them, as with
    /// mount(2)'s remount and all of the peers: what it does not set is cleared, where the kernel
    /// lets the container's user namespace do so (ADR 11).
    fn without_the_sources(&self, mount: &Mount, mut options: MountOptions) -> MountOptions {
        use MountAttributes as A;
        let attributes = &mut options.attributes;
        if self.spec.extension.bundle.is_none() || *attributes == AttributeChange::default() {
            return options;
        }
        let locked = !self.host.privileged || self.spec.linux.separates(Namespace::User);
        let unlocked = match locked {
            true => A::NOSYMFOLLOW,
            false => A::RDONLY | A::NOSUID | A::NODEV | A::NOEXEC | A::NOSYMFOLLOW,
        };
        let wanted = attributes.set | options.recursive_attributes.set;
        attributes.clear |= unlocked.without(wanted);
        let access_times = A::ATIME_FIELD | A::NODIRATIME;
        attributes.clear = attributes.clear.without(access_times);
        if says_access_times(mount) {
            attributes.clear |= access_times.without(attributes.set) | A::ATIME_FIELD;
        }
        options
    }

    pub(super) fn bind(
        &mut self,
        field: &str,
        mount: &Mount,
        options: &MountOptions,
        target: Target,
    ) -> Result<(), Error> {
        self.check_bind(field, options)?;
        let source = self.of_bundle(&format!("{field}.source"), &mount.source)?;
        let mut bind = Bind::new(&source, target).parsed(options);
        let recursive = bind.recursive;
        let idmap = self.id_mapping(field, mount, options)?;
        let looks_at_links = options.source_no_follow || options.copy_symlink;
        let in_root = self.beneath_root(&source);
        if idmap.is_some() || self.parent_mounts && !looks_at_links && in_root.is_none() {
            let attributes = options.recursive_attributes.set;
            let mount = MountToSend {
                source,
                recursive,
                change: Change {
                    propagation: parents_propagation(options).flag(),
                    ..Change::set(attributes.bits(), recursive)
                },
                idmap,
            };
            self.provisions.push(match in_root {
                None => Provision::Mount(mount),
                Some(_) => Provision::MapTree(mount),
            });
            bind = bind.received();
        }
        if let Some(path) = in_root {
            bind = bind.in_root();
            bind.source = path;
        }
        bind.push(&mut self.writer).map_err(rootfs(field))
    }

    /// A path of the host below the bundle's root as a path beneath the container's, which has all
    /// that was mounted there before.
    fn beneath_root(&self, path: &Path) -> Option<PathBuf> {
        let bundle = self.spec.extension.bundle.as_ref()?;
        let root = bundle.join(&self.spec.root.path);
        let plain = |path: &Path| !path.components().any(|part| part == Component::ParentDir);
        let beneath = path.strip_prefix(&root).ok()?;
        (root != Path::new("/") && plain(beneath)).then(|| Path::new("/").join(beneath))
    }

    /// Changes what an earlier mount has made.
    fn remount(
        &mut self,
        field: &str,
        target: Target,
        options: &MountOptions,
    ) -> Result<(), Error> {
        if options.bind.is_some() {
            // The others would be said to the file system, and so to the host.
            self.check_bind(field, options)?;
        }
        let remount = Remount::parsed(target, options);
        remount.push(&mut self.writer).map_err(rootfs(field))
    }

    /// With whose ids a mount is seen. Only who may do everything on the host may map ids of its
    /// file systems.
    fn id_mapping(
        &self,
        field: &str,
        mount: &Mount,
        options: &MountOptions,
    ) -> Result<Option<(IdMapping, Scope)>, Error> {
        let mapped = (!mount.uid_mappings.is_empty()).then_some(Scope::Mount);
        let Some(scope) = options.id_map.or(mapped) else {
            return Ok(None);
        };
        let refused = |reason| Err(Error::invalid(format!("{field}.options"), reason));
        if !self.host.privileged {
            return refused("an ordinary user can't map the ids of a mount");
        }
        if mount.uid_mappings.is_empty() {
            return match self.parent_mounts {
                true => Ok(Some((IdMapping::Container, scope))),
                false => refused("there are no ids to map to: neither here nor the container's"),
            };
        }
        let maps = IdMaps {
            uid: id_map(&format!("{field}.uidMappings"), &mount.uid_mappings)?,
            gid: id_map(&format!("{field}.gidMappings"), &mount.gid_mappings)?,
            writer: crabcan_ns::IdMapWriter::Direct,
        };
        Ok(Some((IdMapping::Own(maps), scope)))
    }
}

/// Where, absolute; a relative destination is deprecated and means the same below the root.
fn destination<'a>(field: &str, mount: &'a Mount) -> Result<Cow<'a, Path>, Error> {
    let field = format!("{field}.destination");
    let path = &mount.destination;
    if path.as_os_str().is_empty() {
        return Err(Error::invalid(field, "is missing"));
    }
    let path = match path.is_absolute() {
        true => Cow::from(path),
        false => Cow::from(PathBuf::from("/").join(path)),
    };
    check_absolute(&field, &path)?;
    Ok(path)
}

/// Both maps or none, and only for a bind mount. With maps a mount is id-mapped, whether or not its
/// options say so.
fn check_id_map(field: &str, mount: &Mount, options: &MountOptions) -> Result<(), Error> {
    let (uids, gids) = (
        !mount.uid_mappings.is_empty(),
        !mount.gid_mappings.is_empty(),
    );
    let mapped = uids || options.id_map.is_some();
    let (name, reason) = match (uids, gids) {
        (true, false) => ("gidMappings", "missing beside uidMappings"),
        (false, true) => ("uidMappings", "missing beside gidMappings"),
        _ if mapped && options.bind.is_none() => ("options", "only a bind mount can be id-mapped"),
        _ => return Ok(()),
    };
    Err(Error::invalid(format!("{field}.{name}"), reason))
}

/// Whether access times are to be kept in a certain way. Words that take one back say nothing of the
/// source's.
fn says_access_times(mount: &Mount) -> bool {
    let ways = [
        ("noatime", "atime"),
        ("strictatime", "nostrictatime"),
        ("relatime", "norelatime"),
        ("nodiratime", "diratime"),
    ];
    let last = |word: &str| mount.options.iter().rposition(|option| option == word);
    ways.iter().any(|(word, back)| last(word) > last(back))
}

/// What is to hear of the host's later mounts can't be cut off by the parent. It can't share its
/// own with the host either: the container's user namespace has no say there.
fn parents_propagation(options: &MountOptions) -> Propagation {
    let hears = |kind| matches!(kind, Propagation::Slave | Propagation::Shared);
    match options.propagation.iter().any(|(kind, _)| hears(*kind)) {
        true => Propagation::Slave,
        false => Propagation::Private,
    }
}
