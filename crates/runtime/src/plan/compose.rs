//! From a specification to the steps, in the order that the security of init needs
//! (docs/architecture.md): identity, mounts, pivot, privileges, and only then the program.

mod attached;
mod cgroup;
mod cgroup_mount;
mod devices;
mod environment;
mod exec;
mod filter;
mod hooks;
mod isolation;
mod landlock;
mod list;
mod mounts;
mod namespaces;
mod net_devices;
mod operations;
mod process;
mod program;
mod rdt;
mod resources;
mod schedule;
mod sysctl;

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use crabcan_caps::Capability;
use crabcan_cgroups::Resources;
use crabcan_init::format::Change;
use crabcan_init::{PlanWriter, Step, TooLong};
use crabcan_ns::{Namespace, Namespaces};
use crabcan_rootfs::options::Scope;
use crabcan_rootfs::{MountAttributes, Propagation, Root, mask, pivot};
use crabcan_seccomp::Learner;

pub(super) use self::exec::exec;
use self::filter::Filter;
pub(crate) use self::hooks::outputs as hook_outputs;
use self::namespaces::{Arrangement, id_maps};
pub(crate) use self::operations::tmpfs_options;
use self::program::strings;
pub(crate) use self::rdt::check as check_intel_rdt;
pub(crate) use self::resources::resources;
pub(crate) use self::schedule::{SchedulerNumbers, memory_words};
use super::{IdMapping, IdMaps, MountToSend, Plan, Properties, Provision};
use crate::launch::InitProgram;
use crate::net_devices::NetDevice;
use crate::spec::{Capabilities, SandboxFilter, Spec};
use crate::{Error, Host};

impl From<TooLong> for Error {
    fn from(_: TooLong) -> Self {
        Self::PlanTooLong
    }
}

/// What is being put together.
struct Composer<'a> {
    spec: &'a Spec,
    host: &'a Host,
    id_maps: Option<IdMaps>,
    /// Whether the parent opens the sources of mounts: it can reach what the container's ids can't.
    parent_mounts: bool,
    provisions: Vec<Provision>,
    filter: Option<Filter>,
    writer: PlanWriter,
    forks: bool,
    stops: bool,
    /// Whether init's rights are gone when a fork takes some ways of scheduling from its child.
    loses_schedule: bool,
    /// The parent's to give, then.
    schedule_of_child: Option<SchedulerNumbers>,
    warnings: Vec<String>,
    properties: Properties,
    /// Where a tmpfs becomes read-only once everything in it is made.
    read_only_later: Vec<PathBuf>,
    /// The kinds of namespaces whose names or settings are changed, and by which property.
    changed: Vec<(Namespace, &'static str)>,
    net_devices: Vec<NetDevice>,
}

pub(super) fn compose(spec: &Spec, host: &Host) -> Result<Plan, Error> {
    let mut composer = Composer::new(spec, host)?;
    refuse_other_platforms(spec)?;
    hooks::check(spec)?;
    composer.net_devices()?;
    if let Some(wanted) = &spec.linux.intel_rdt {
        rdt::check(wanted)?;
    }
    let mut arrangement = Arrangement::of(spec, host)?;
    let limits = spec.linux.resources.as_ref();
    let resources = resources::of_container(limits, host, &mut composer.warnings)?;
    if spec.extension.timings {
        let descriptor = program::FIRST_HANDED;
        composer.push(&Step::Timings { descriptor })?;
    }
    composer.about("linux.cgroupsPath");
    composer.enter_cgroup(&mut arrangement)?;
    composer.identity(&arrangement)?;
    composer.isolation()?;
    composer.about("root.path");
    composer.root()?;
    composer.mounts()?;
    composer.operations()?;
    composer.about("linux.devices");
    composer.devices()?;
    composer.about("");
    composer.hooks_before_pivot()?;
    composer.read_only_at_last()?;
    composer.covers()?;
    composer.console()?;
    composer.first_try_of_directory()?;
    composer.privileges()?;
    composer.program()?;
    Ok(composer.finish(arrangement.cloned, resources))
}

/// A part that is there says that the configuration is for another platform.
fn refuse_other_platforms(spec: &Spec) -> Result<(), Error> {
    let parts = [
        ("vm", spec.vm),
        ("windows", spec.windows),
        ("solaris", spec.solaris),
        ("zos", spec.zos),
        ("freebsd", spec.freebsd),
    ];
    match parts.iter().find(|(_, part)| part.is_some()) {
        Some((field, _)) => Err(Error::invalid(
            *field,
            "this is a runtime for Linux containers",
        )),
        None => Ok(()),
    }
}

impl<'a> Composer<'a> {
    fn new(spec: &'a Spec, host: &'a Host) -> Result<Self, Error> {
        let program = spec.process.args.first();
        if program.is_none_or(|program| program.is_empty()) {
            return Err(Error::invalid("process.args", "names no program"));
        }
        Ok(Self {
            spec,
            host,
            id_maps: id_maps(spec, host)?,
            parent_mounts: host.privileged && spec.linux.separates(Namespace::User),
            provisions: Vec::new(),
            filter: Filter::new(spec)?,
            writer: PlanWriter::new(),
            forks: false,
            stops: false,
            loses_schedule: false,
            schedule_of_child: None,
            warnings: Vec::new(),
            properties: Properties::default(),
            read_only_later: Vec::new(),
            changed: Vec::new(),
            net_devices: Vec::new(),
        })
    }

    /// Whether somebody in the container may have the right to change mounts that are sent. In a
    /// sandbox that is its command or nobody; a container can be joined with more.
    fn locks_mounts(&self) -> bool {
        let may_change = |sets: &Capabilities| {
            let mut names = sets.bounding.iter().chain(&sets.permitted);
            names.any(|name| name == Capability::SysAdmin.name())
        };
        let is_sandbox = self.spec.extension.bundle.is_none();
        let capabilities = self.spec.process.capabilities.as_ref();
        let mut provisions = self.provisions.iter();
        self.parent_mounts
            && provisions.any(|provision| matches!(provision, Provision::Mount(_)))
            && (!is_sandbox || capabilities.is_some_and(may_change))
    }

    fn finish(self, namespaces: Namespaces, resources: Resources) -> Plan {
        let locks_mounts = self.locks_mounts();
        let spec = self.spec;
        Plan {
            host: self.host.clone(),
            namespaces,
            id_maps: self.id_maps,
            provisions: self.provisions,
            locks_mounts,
            writer: self.writer,
            program: spec.process.args.first().cloned().unwrap_or_default(),
            reaper: spec.extension.reaper,
            forks: self.forks,
            stops: self.stops,
            schedule_of_child: self.schedule_of_child,
            limits: spec.extension.limits.clone(),
            unenforced: Vec::new(),
            time_limit: None,
            resources,
            intel_rdt: spec.linux.intel_rdt.clone(),
            changed: self.changed,
            net_devices: self.net_devices,
            warnings: self.warnings,
            properties: self.properties,
            timed: spec.extension.timings,
            filtered: self.filter.is_some(),
            learner: (spec.extension.observed).then(|| {
                let before = spec.extension.seccomp.as_ref();
                Learner::new(before.map(SandboxFilter::profile))
            }),
            listener: self.filter.and_then(|filter| filter.listener),
            fault: None,
            place_of_init: InitProgram::default(),
            container: None,
            root: OnceLock::new(),
            ids: None,
        }
    }
}

impl Composer<'_> {
    fn push(&mut self, step: &Step<'_>) -> Result<(), Error> {
        self.forks |= matches!(step, Step::Fork {});
        self.stops |= matches!(
            step,
            Step::Fork {} | Step::RuntimeHooks {} | Step::AwaitStart { .. }
        );
        self.writer.push(step)?;
        Ok(())
    }

    /// Says which property of `config.json` the next steps are for; a sandbox has none.
    fn about(&mut self, property: impl Into<Cow<'static, str>>) {
        if self.spec.extension.bundle.is_some() {
            let (step, provision) = (self.writer.count(), self.provisions.len());
            self.properties.begin(step, provision, property);
        }
    }

    fn root(&mut self) -> Result<(), Error> {
        let (root, extension) = (&self.spec.root, &self.spec.extension);
        if self.shares_mounts() {
            return self.attached_root();
        }
        if self.root_of_pieces()? {
            return Ok(());
        }
        let source = self.of_bundle("root.path", &root.path)?;
        let mut attributes = extension.root_attributes;
        if root.readonly && extension.recursive_root {
            attributes |= MountAttributes::RDONLY;
        }
        // The host's own root is cloned by init, never id-mapped: there root's files stay root's.
        let received = self.parent_mounts && source != Path::new("/");
        let scope = match extension.recursive_root {
            true => Scope::Tree,
            false => Scope::Mount,
        };
        if received {
            self.provisions.push(Provision::Mount(MountToSend {
                source: source.clone(),
                recursive: extension.recursive_root,
                change: Change {
                    propagation: Propagation::Private.flag(),
                    ..Change::set(attributes.bits(), extension.recursive_root)
                },
                idmap: extension
                    .idmap_root
                    .then_some((IdMapping::Container, scope)),
            }));
        }
        let step = if extension.overlay_root {
            Root::Overlay {
                lower: source,
                received,
                attributes,
            }
        } else {
            Root::Directory {
                source,
                received,
                recursive: extension.recursive_root,
                in_place: self.root_stays_in_place(),
                attributes,
            }
        };
        step.push(&mut self.writer).map_err(rootfs("root.path"))
    }

    /// Whether the root is attached where it is in the bundle, as hooks of the host expect. A mount
    /// that is shared with the host would appear there; and without a pivot, what is below the root
    /// must be out of reach.
    fn root_stays_in_place(&self) -> bool {
        let propagation = self.spec.linux.rootfs_propagation.as_deref();
        let extension = &self.spec.extension;
        extension.bundle.is_some()
            && !extension.no_pivot
            && !matches!(propagation, Some("shared" | "rshared"))
    }

    /// A path of the host: relative ones are the bundle's.
    fn of_bundle(&self, field: &str, path: &Path) -> Result<PathBuf, Error> {
        if path.as_os_str().is_empty() {
            return Err(Error::invalid(field, "is missing"));
        }
        match &self.spec.extension.bundle {
            Some(bundle) => Ok(bundle.join(path)),
            None if path.is_absolute() => Ok(path.to_owned()),
            None => {
                let reason = format!("\"{}\" is not absolute", path.display());
                Err(Error::invalid(field, reason))
            }
        }
    }

    /// What is hidden or made read-only once everything is mounted, and the pivot.
    fn covers(&mut self) -> Result<(), Error> {
        let linux = &self.spec.linux;
        self.about("linux.maskedPaths");
        // The same path again would only be another mount on the first.
        let mut masked: Vec<_> = linux.masked_paths.iter().collect();
        let mut seen = HashSet::new();
        masked.retain(|path| seen.insert(*path));
        mask::push_masked(&mut self.writer, masked).map_err(rootfs("linux.maskedPaths"))?;
        self.about("linux.readonlyPaths");
        mask::push_read_only(&mut self.writer, &linux.readonly_paths)
            .map_err(rootfs("linux.readonlyPaths"))?;
        if self.spec.root.readonly && !self.spec.extension.recursive_root {
            self.about("root.readonly");
            // Not of what is mounted on it: that has attributes of its own.
            pivot::push_root_attributes(&mut self.writer, MountAttributes::RDONLY)
                .map_err(rootfs("root.readonly"))?;
        }
        self.about("root.path");
        if self.shares_mounts() {
            pivot::push_enter_root(&mut self.writer).map_err(rootfs("root.path"))?;
        } else if self.spec.extension.no_pivot {
            pivot::push_chroot(&mut self.writer).map_err(rootfs("root.path"))?;
        } else {
            pivot::push_pivot(&mut self.writer).map_err(rootfs("root.path"))?;
        }
        self.root_propagation()
    }
}

/// What `crabcan-rootfs` says of a field.
fn rootfs(field: &str) -> impl FnOnce(crabcan_rootfs::Error) -> Error + use<> {
    let field = field.to_owned();
    move |error| match error {
        crabcan_rootfs::Error::TooLong => Error::PlanTooLong,
        error => Error::invalid(field, error.to_string()),
    }
}

/// A path in the container is absolute and without `..`.
fn check_absolute(field: &str, path: &Path) -> Result<(), Error> {
    if !path.is_absolute() {
        return Err(Error::invalid(
            field,
            format!("\"{}\" is not absolute", path.display()),
        ));
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(Error::invalid(
            field,
            format!("\"{}\" contains \"..\"", path.display()),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
