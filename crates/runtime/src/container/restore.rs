//! A container made again from the images of a checkpoint.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Mutex;

use crabcan_cgroups::Cgroup;
use crabcan_ns::{Child, ExitStatus, Namespace};
use crabcan_rootfs::RootFd;

use super::apart::{apart, bind};
use super::checkpoint::{CriuOptions, DESCRIPTORS, OUTSIDE, Work, failed, joined, outside_key};
use super::make::{Draft, Mode};
use super::placement::Placement;
use super::{Container, Creation, cgroup, root_mount, run_hooks, state_of};
use crate::console::Relay;
use crate::criu::{Criu, Flag, Notice, Options, Request, Text};
use crate::handover::write_pid_file;
use crate::resctrl::{self, Resctrl};
use crate::signals::Signals;
use crate::spec::{Mount, Spec};
use crate::state::{Entry, Identity, Record, Status, hold};
use crate::{Error, foreground};

/// A container to be made from a bundle and the images of a checkpoint.
#[derive(Debug)]
#[must_use]
pub struct Restoration {
    creation: Creation,
    criu: CriuOptions,
    lsm_profile: Option<String>,
    lsm_mount_context: Option<String>,
}

/// What a restore has made.
struct Restored {
    record: Record,
    child: Child,
    cgroup: Option<Cgroup>,
    console: Option<OwnedFd>,
}

impl Restoration {
    /// What `creation` describes, with its processes as they were at the checkpoint.
    pub fn new(creation: Creation, criu: CriuOptions) -> Self {
        Self {
            creation,
            criu,
            lsm_profile: None,
            lsm_mount_context: None,
        }
    }

    /// Another profile of a security module than at the checkpoint, as `TYPE:NAME`.
    pub fn lsm_profile(mut self, profile: impl Into<String>) -> Self {
        self.lsm_profile = Some(profile.into());
        self
    }

    /// Another SELinux context of mounts than at the checkpoint.
    pub fn lsm_mount_context(mut self, context: impl Into<String>) -> Self {
        self.lsm_mount_context = Some(context.into());
        self
    }

    /// Restores the container and returns when it runs.
    ///
    /// # Errors
    /// As [`Creation::create`]; [`Error::CriuMissing`]; [`Error::CriuFailed`]. Nothing is left of a
    /// container that could not be restored.
    pub fn restore_detached(self) -> Result<Container, Error> {
        self.begin(Mode::Detached).map(|(container, _)| container)
    }

    /// Restores the container, hands on the signals and the terminal of the caller until it has
    /// ended, and deletes it.
    ///
    /// # Errors
    /// As [`restore_detached`](Self::restore_detached) and [`wait`](crate::wait()).
    pub fn restore(self, signals: Option<&Signals>) -> Result<ExitStatus, Error> {
        let keep = self.creation.keep;
        let (mut container, console) = self.begin(Mode::Foreground)?;
        let mut relay = console.map(Relay::to_standard_output).transpose()?;
        let child = container.child.as_mut().ok_or(Error::NoContainer)?;
        let status = foreground::wait_for(child, signals, relay.as_mut());
        drop(relay);
        if !keep {
            match container.delete() {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        status
    }

    fn begin(self, mode: Mode) -> Result<(Container, Option<OwnedFd>), Error> {
        let draft = self.creation.draft(mode)?;
        root_mount::refuse_criu(&draft.spec)?;
        let (entry, lock) = self.creation.root.reserve(&self.creation.id)?;
        match self.make(&entry, &draft, mode) {
            Ok(made) => {
                drop(lock);
                let container = Container {
                    entry,
                    record: made.record,
                    child: Some(made.child),
                    cgroup: made.cgroup.map(Cgroup::kept),
                    configuration: Mutex::default(),
                };
                Ok((container, made.console))
            }
            Err(error) => Err(self.creation.undo(&entry, lock, &draft, error)),
        }
    }

    fn make(&self, entry: &Entry, draft: &Draft, mode: Mode) -> Result<Restored, Error> {
        let creation = &self.creation;
        let mut record = creation.record(draft, mode);
        entry.keep_configuration(&draft.configuration)?;
        let mut cgroup = creation.make_cgroup(entry, draft, &mut record)?;
        entry.write(&record)?;
        let (mut work, criu) = self.start(entry, draft, &record.rootfs)?;
        let criu_pid = criu.pid();
        // What criu forks is where criu is.
        enter(entry, draft, criu_pid, &mut cgroup, &mut record)?;
        if cgroup.is_some() {
            cgroup_roots(&mut work.options, criu_pid)?;
        }
        if let Some(wanted) = draft.plan.intel_rdt() {
            let id = creation.id.as_str();
            record.resctrl = Resctrl::join(&resctrl::mounted()?, wanted, id, criu_pid)?.made;
            entry.write(&record)?;
        }
        let mut told = Told::default();
        let asked = criu.ask(Request::Restore, &work.options, &work.log, &mut |notice| {
            told.hear(entry, draft, &mut record, notice)
        });
        let finished = asked.and_then(|()| self.finish(entry, draft, &mut record, &mut told));
        match finished {
            Ok(child) => Ok(Restored {
                record,
                child,
                cgroup,
                console: told.console,
            }),
            Err(error) => {
                // A child that is dropped is killed; its cgroup can be removed when it is empty.
                drop(told);
                if let Some(cgroup) = &cgroup
                    && let Err(unclean) = cgroup.kill(cgroup::PATIENCE)
                {
                    log::warn!("clean up after an error: {unclean}");
                }
                Err(error)
            }
        }
    }

    /// Starts criu where the root is a mount, as criu wants it, and has every mount point.
    fn start(&self, entry: &Entry, draft: &Draft, root: &Path) -> Result<(Work, Criu), Error> {
        apart(entry.path(), |yard| {
            prepare(&draft.spec, root)?;
            let mut work = Work::begin(&self.criu, &draft.spec, "restore.log", yard)?;
            let outside = self.describe(&mut work.options, draft)?;
            Ok((work, Criu::start(outside, true)?))
        })
    }

    fn finish(
        &self,
        entry: &Entry,
        draft: &Draft,
        record: &mut Record,
        told: &mut Told,
    ) -> Result<Child, Error> {
        let child = told.child.take().ok_or_else(|| Error::CriuFailed {
            doing: "restore",
            reason: "it has told of no process".into(),
            log: self.criu.images.clone(),
        })?;
        if let Some(receiver) = &draft.console
            && let Some(master) = told.console.take()
        {
            receiver.send(master.as_fd(), "/dev/ptmx")?;
        }
        if let Some(receiver) = &draft.pidfd {
            receiver.send(child.pidfd(), "pidfd")?;
        }
        record.complete = true;
        entry.write(record)?;
        if let Some(path) = &self.creation.pid_file {
            write_pid_file(path, child.pid().as_raw())?;
        }
        Ok(child)
    }

    /// Tells criu what is to be put in the place of what was outside at the dump; the descriptors
    /// that it is given for that.
    fn describe(&self, options: &mut Options, draft: &Draft) -> Result<Vec<OwnedFd>, Error> {
        let spec = &draft.spec;
        options.flag(Flag::EvasiveDevices, true);
        options.flag(Flag::RestoreSibling, true);
        options.text(Text::Root, draft.bundle.join(&spec.root.path));
        if let Some(profile) = &self.lsm_profile {
            options.text(Text::LsmProfile, profile);
        }
        if let Some(context) = &self.lsm_mount_context {
            options.text(Text::LsmMountContext, context);
        }
        for mount in spec.mounts.iter().filter(|mount| mount.is_bind()) {
            // criu would mount a link itself.
            let source = draft.bundle.join(&mount.source);
            let source = source.canonicalize().map_err(failed("find", &source))?;
            options.external_mount(&mount.destination, &source);
        }
        if !spec.linux.masked_paths.is_empty() {
            options.external_mount(Path::new("/dev/null"), Path::new("/dev/null"));
        }
        self.standard_descriptors(options)?;
        namespaces(options, spec)
    }

    /// The caller's take the place of what led outside at the dump.
    fn standard_descriptors(&self, options: &mut Options) -> Result<(), Error> {
        let path = self.criu.images.join(DESCRIPTORS);
        let text = fs::read(&path).map_err(failed("read", &path))?;
        let names: Vec<String> = serde_json::from_slice(&text)
            .map_err(|error| Error::invalid(path.display().to_string(), error.to_string()))?;
        for (number, name) in (0..3).zip(&names) {
            if name.starts_with("pipe:") || name.starts_with("file[") {
                options.inherited(name, number);
            }
        }
        Ok(())
    }
}

/// What was said during a restore.
#[derive(Default)]
struct Told {
    child: Option<Child>,
    console: Option<OwnedFd>,
}

impl Told {
    fn hear(
        &mut self,
        entry: &Entry,
        draft: &Draft,
        record: &mut Record,
        notice: Notice<'_>,
    ) -> Result<(), Error> {
        match notice.name {
            "setup-namespaces" => {
                let mut state = state_of(record, Status::Creating);
                state.pid = notice.pid;
                run_hooks("prestart", &draft.spec.hooks.prestart, &state)?;
                run_hooks("createRuntime", &draft.spec.hooks.create_runtime, &state)?;
            }
            // Nothing runs yet: whoever finds only the record from here on can end it.
            "post-restore" => {
                let gone = || Error::Identity {
                    pid: notice.pid,
                    source: std::io::Error::from_raw_os_error(libc::ESRCH),
                };
                let pidfd = hold(notice.pid)?.ok_or_else(gone)?;
                record.init = Some(Identity::of(notice.pid, pidfd.as_fd())?);
                let child = Child::from_pidfd(pidfd).map_err(|source| Error::Namespaces {
                    doing: "take over the restored process",
                    source,
                })?;
                self.child = Some(child);
                entry.write(record)?;
            }
            "orphan-pts-master" => self.console = notice.descriptor,
            _ => {}
        }
        Ok(())
    }
}

/// Puts criu into the container's cgroup; a scope is made around it.
fn enter(
    entry: &Entry,
    draft: &Draft,
    pid: i32,
    cgroup: &mut Option<Cgroup>,
    record: &mut Record,
) -> Result<(), Error> {
    if let Placement::Scope(scope) = &draft.placement {
        let made = scope.start(pid, entry, draft, record)?;
        record.cgroup = Some(made.place().to_string());
        record.cgroup_made = true;
        entry.write(record)?;
        *cgroup = Some(made);
    } else if let Some(cgroup) = cgroup {
        let joined = cgroup.join(pid);
        joined.map_err(cgroup::failed("put criu into the container's cgroup"))?;
    }
    Ok(())
}

/// The cgroups in which criu is now are where what it restores begins.
fn cgroup_roots(options: &mut Options, pid: i32) -> Result<(), Error> {
    let path = format!("/proc/{pid}/cgroup");
    let text = fs::read_to_string(&path).map_err(failed("read", Path::new(&path)))?;
    for line in text.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        if let (Some(controllers), Some(path)) = (parts.next(), parts.next()) {
            for controller in controllers.split(',') {
                options.cgroup_root(controller, path);
            }
        }
    }
    Ok(())
}

fn namespaces(options: &mut Options, spec: &Spec) -> Result<Vec<OwnedFd>, Error> {
    let mut descriptors = Vec::new();
    for (kind, name) in OUTSIDE {
        if let Some(path) = joined(spec, kind) {
            let file = fs::File::open(path).map_err(failed("open the namespace", path))?;
            options.inherited(outside_key(name), file.as_raw_fd());
            descriptors.push(file.into());
        }
    }
    let others = [
        (Namespace::Ipc, "ipc"),
        (Namespace::Uts, "uts"),
        (Namespace::Mount, "mnt"),
        (Namespace::User, "user"),
    ];
    for (kind, name) in others {
        if let Some(path) = joined(spec, kind) {
            options.join(name, path);
        }
    }
    for kind in [Namespace::Cgroup, Namespace::Time] {
        if joined(spec, kind).is_some() {
            let reason = format!("criu cannot restore into a {kind} namespace that is there");
            return Err(Error::invalid("linux.namespaces", reason));
        }
    }
    Ok(descriptors)
}

/// Makes the root a mount, and its mount points.
fn prepare(spec: &Spec, root: &Path) -> Result<(), Error> {
    bind(root, root)?;
    let rootfs = |source| Error::Rootfs { source };
    let beneath = RootFd::open(root).map_err(rootfs)?;
    for (index, mount) in spec.mounts.iter().enumerate() {
        let earlier = spec.mounts.get(..index).unwrap_or_default();
        if is_inside_another(mount, earlier) {
            continue;
        }
        if !mount.is_bind() {
            beneath
                .make_directory(&mount.destination, 0o755)
                .map_err(rootfs)?;
            continue;
        }
        match mount.source.is_dir() {
            true => beneath.make_directory(&mount.destination, 0o755),
            false => beneath.make_file(&mount.destination),
        }
        .map_err(rootfs)?;
        // Mount points of others may be in what it shows.
        let place = beneath.resolve(&mount.destination).map_err(rootfs)?;
        let target = format!("/proc/self/fd/{}", place.as_raw_fd());
        bind(&mount.source, Path::new(&target))?;
    }
    Ok(())
}

/// Whether its mount point is in a file system that criu restores, or in one of the kernel's.
fn is_inside_another(mount: &Mount, earlier: &[Mount]) -> bool {
    let mut others = earlier.iter().filter(|other| !other.is_bind());
    others.any(|other| mount.destination.starts_with(&other.destination))
}
