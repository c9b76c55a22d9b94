//! What runs in a container, written into files by criu.

use std::fs::{self, DirBuilder, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crabcan_cgroups::{Hierarchy, Place};
use crabcan_ns::Namespace;
use crabcan_rootfs::RootFd;

use super::apart::apart;
use super::{Container, cgroup, root_mount};
use crate::Error;
use crate::criu::{Criu, Flag, ManageCgroups, Notice, Options, Request, Text};
use crate::spec::Spec;
use crate::state::Status;

/// Where the program's standard descriptors led, in the images.
pub(super) const DESCRIPTORS: &str = "descriptors.json";

/// How criu is to dump and to restore.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CriuOptions {
    /// The directory of the images.
    pub images: PathBuf,
    /// The directory of logs and other files of the work: that of the images if there is none.
    pub work: Option<PathBuf>,
    /// Whether TCP connections may be open.
    pub tcp_established: bool,
    /// Whether Unix sockets may be connected to somebody outside.
    pub external_unix_sockets: bool,
    /// Whether the program may belong to a session of somebody outside.
    pub shell_job: bool,
    /// Whether files may be locked.
    pub file_locks: bool,
    /// Whether the same page is kept once in a row of images.
    pub auto_dedup: bool,
    /// Whether pages are carried over when they are needed (userfaultfd).
    pub lazy_pages: bool,
    /// What is done with cgroups.
    pub manage_cgroups: ManageCgroups,
}

impl CriuOptions {
    /// The usual options, with the images in a directory.
    #[must_use]
    pub fn new(images: impl Into<PathBuf>) -> Self {
        Self {
            images: images.into(),
            work: None,
            tcp_established: false,
            external_unix_sockets: false,
            shell_job: false,
            file_locks: false,
            auto_dedup: false,
            lazy_pages: false,
            manage_cgroups: ManageCgroups::default(),
        }
    }

    /// Where criu writes its log.
    fn log(&self, name: &str) -> PathBuf {
        self.work.as_deref().unwrap_or(&self.images).join(name)
    }
}

/// What a dump and a restore have in common: the directories, and criu's options so far.
pub(super) struct Work {
    pub(super) options: Options,
    pub(super) log: PathBuf,
    // Told to criu by their numbers: open until it has answered.
    _images: File,
    _work: Option<File>,
}

impl Work {
    pub(super) fn begin(
        asked: &CriuOptions,
        spec: &Spec,
        log: &str,
        yard: Option<PathBuf>,
    ) -> Result<Self, Error> {
        let images = open_directory(&asked.images)?;
        let work = asked.work.as_deref().map(made_directory).transpose()?;
        let mut options = Options::new(&images, work.as_ref());
        options.text(Text::LogFile, log);
        options.flag(Flag::TcpEstablished, asked.tcp_established);
        options.flag(Flag::ExternalUnixSockets, asked.external_unix_sockets);
        options.flag(Flag::ShellJob, asked.shell_job);
        options.flag(Flag::FileLocks, asked.file_locks);
        options.flag(Flag::AutoDedup, asked.auto_dedup);
        options.flag(Flag::LazyPages, asked.lazy_pages);
        options.manage_cgroups(asked.manage_cgroups);
        if let Some(yard) = yard {
            options.text(Text::CgroupYard, yard);
        }
        // Network devices are who made them's to give again.
        options.empty_namespaces(libc::CLONE_NEWNET);
        match spec.annotations.get("org.criu.config").map(String::as_str) {
            Some("") => {}
            Some(file) => options.text(Text::ConfigFile, file),
            None => options.text(Text::ConfigFile, "/etc/criu/crabcan.conf"),
        }
        Ok(Self {
            options,
            log: asked.log(log),
            _images: images,
            _work: work,
        })
    }
}

/// A checkpoint to be made of a running container.
#[derive(Debug)]
#[non_exhaustive]
pub struct Checkpoint {
    /// What a restore has too.
    pub criu: CriuOptions,
    /// The images of an earlier dump, relative to these: only what has changed is written.
    pub parent: Option<PathBuf>,
    /// Whether the container runs on.
    pub leave_running: bool,
    /// Whether only the memory is written, in advance; the container runs on.
    pub pre_dump: bool,
    /// Whether connections that are just being made are left away.
    pub tcp_skip_in_flight: bool,
    /// Whether files that were unlinked are linked again.
    pub link_remap: bool,
    /// Who takes the pages of the memory.
    pub page_server: Option<(String, u16)>,
    /// Is sent a zero byte when lazy pages can be fetched.
    pub status: Option<OwnedFd>,
}

impl Checkpoint {
    /// A checkpoint with the usual options.
    #[must_use]
    pub fn new(criu: CriuOptions) -> Self {
        Self {
            criu,
            parent: None,
            leave_running: false,
            pre_dump: false,
            tcp_skip_in_flight: false,
            link_remap: false,
            page_server: None,
            status: None,
        }
    }
}

impl Container {
    /// Writes what runs in it into images, from which [`Restoration`](crate::Restoration) makes it
    /// again. It is deleted then, unless it is to run on.
    ///
    /// # Errors
    /// [`Error::WrongStatus`] when it does not run; [`Error::CriuMissing`]; [`Error::CriuFailed`]:
    /// it runs on as before.
    pub fn checkpoint(mut self, wanted: &Checkpoint) -> Result<(), Error> {
        let _lock = self.entry.lock()?;
        self.record = self.entry.read()?;
        match self.status()? {
            Status::Running | Status::Paused => {}
            status => return Err(self.refused("cannot checkpoint a container", status)),
        }
        let pid = self.record.init.map_or(0, |init| init.pid);
        let spec = self.spec()?;
        root_mount::refuse_criu(&spec)?;
        drop(made_directory(&wanted.criu.images)?);
        if let Some(parent) = &wanted.parent {
            check_parent(&wanted.criu.images, parent)?;
        }
        let (mut work, criu) = apart(self.entry.path(), |yard| {
            let work = Work::begin(&wanted.criu, &spec, "dump.log", yard)?;
            Ok((work, Criu::start(Vec::new(), false)?))
        })?;
        self.describe(&mut work.options, &spec, wanted, pid)?;
        if !wanted.pre_dump {
            external_mounts(&mut work.options, &spec, pid)?;
            keep_descriptors(&mut work.options, &wanted.criu.images, pid)?;
        }
        let request = match wanted.pre_dump {
            true => Request::PreDump,
            false => Request::Dump,
        };
        criu.ask(request, &work.options, &work.log, &mut |notice| {
            tell(wanted, &notice)
        })?;
        if wanted.pre_dump || wanted.leave_running {
            return Ok(());
        }
        self.destroy()
    }

    fn describe(
        &self,
        options: &mut Options,
        spec: &Spec,
        wanted: &Checkpoint,
        pid: i32,
    ) -> Result<(), Error> {
        options.process(pid);
        options.text(Text::Root, &self.record.rootfs);
        options.flag(Flag::LeaveRunning, wanted.leave_running);
        options.flag(Flag::TcpSkipInFlight, wanted.tcp_skip_in_flight);
        options.flag(Flag::LinkRemap, wanted.link_remap);
        if let Some(parent) = &wanted.parent {
            options.text(Text::ParentImages, parent);
            options.flag(Flag::TrackMemory, true);
        }
        if let Some((address, port)) = &wanted.page_server {
            options.page_server(address, *port);
        }
        if let Some(directory) = self.freezer()? {
            options.text(Text::FreezeCgroup, directory);
        }
        for (kind, name) in OUTSIDE {
            if let Some(file) = joined(spec, kind) {
                let inode = fs::metadata(file).map_err(failed("look at", file))?.ino();
                let external = format!("{name}[{inode}]:{}", outside_key(name));
                options.text(Text::External, external);
            }
        }
        Ok(())
    }

    /// The directory of its cgroup in the tree that can freeze it.
    fn freezer(&self) -> Result<Option<PathBuf>, Error> {
        let Some(place) = self
            .record
            .cgroup
            .as_ref()
            .filter(|_| self.record.cgroup_made)
        else {
            return Ok(None);
        };
        let directories =
            || Hierarchy::of_this_process()?.directories(&Place::parse(place.as_bytes())?);
        let directories = directories().map_err(cgroup::failed("find the container's freezer"))?;
        let freezes = |path: &PathBuf| {
            ["cgroup.freeze", "freezer.state"]
                .iter()
                .any(|file| path.join(file).exists())
        };
        Ok(directories.into_iter().find(freezes))
    }
}

/// Namespaces that are not dumped where they were joined: they are given to the restore.
pub(super) const OUTSIDE: [(Namespace, &str); 2] =
    [(Namespace::Network, "net"), (Namespace::Pid, "pid")];

/// The name by which such a namespace is found again.
pub(super) fn outside_key(name: &str) -> &'static str {
    match name {
        "net" => "extRootNetNS",
        _ => "extRootPidNS",
    }
}

/// The file of a namespace that the container has joined.
pub(super) fn joined(spec: &Spec, kind: Namespace) -> Option<&Path> {
    let mut namespaces = spec.linux.namespaces.iter();
    let wanted = namespaces.find(|one| one.namespace() == Some(kind));
    wanted.and_then(|one| one.joined())
}

/// Names the mounts that come from outside: they are not dumped.
fn external_mounts(options: &mut Options, spec: &Spec, pid: i32) -> Result<(), Error> {
    let rootfs = |source| Error::Rootfs { source };
    let root = RootFd::open(format!("/proc/{pid}/root")).map_err(rootfs)?;
    for mount in spec.mounts.iter().filter(|mount| mount.is_bind()) {
        // The kernel knows it by its own path, behind all links.
        let place = root.resolve(&mount.destination).map_err(rootfs)?;
        let link = format!("/proc/self/fd/{}", place.as_raw_fd());
        let point = fs::read_link(&link).map_err(failed("look at", &mount.destination))?;
        options.external_mount(&point, &mount.destination);
    }
    for path in &spec.linux.masked_paths {
        // A directory is covered by an empty file system, which is dumped.
        if root.kind(path).map_err(rootfs)? == Some(crabcan_rootfs::Kind::CharacterDevice) {
            options.external_mount(path, Path::new("/dev/null"));
        }
    }
    Ok(())
}

/// Writes down what the program's standard descriptors are, and names those that lead outside: who
/// restores it gives it others.
fn keep_descriptors(options: &mut Options, images: &Path, pid: i32) -> Result<(), Error> {
    let path = format!("/proc/{pid}/mountinfo");
    let mounts = fs::read_to_string(&path).map_err(failed("read", Path::new(&path)))?;
    let inside = |id: &str| {
        mounts
            .lines()
            .any(|line| line.split(' ').next() == Some(id))
    };
    let mut names = Vec::new();
    for number in 0..3 {
        let link = PathBuf::from(format!("/proc/{pid}/fd/{number}"));
        let Ok(name) = fs::read_link(&link) else {
            // It is closed.
            names.push("/dev/null".to_owned());
            continue;
        };
        let mut name = name.display().to_string();
        let information = format!("/proc/{pid}/fdinfo/{number}");
        let information =
            fs::read_to_string(&information).map_err(failed("read", Path::new(&information)))?;
        let mount = information
            .lines()
            .find_map(|line| line.strip_prefix("mnt_id:"));
        let mount = mount.unwrap_or_default().trim();
        if name.starts_with('/') && !inside(mount) {
            let inode = fs::metadata(&link).map_err(failed("look at", &link))?.ino();
            name = format!("file[{:x}:{inode:x}]", mount.parse().unwrap_or(0u32));
            options.text(Text::External, &name);
        }
        names.push(name);
    }
    let path = images.join(DESCRIPTORS);
    let text = serde_json::to_vec(&names).map_err(|error| failed("write", &path)(error.into()))?;
    fs::write(&path, text).map_err(failed("write", &path))
}

fn tell(wanted: &Checkpoint, notice: &Notice<'_>) -> Result<(), Error> {
    if notice.name == "status-ready"
        && let Some(status) = &wanted.status
    {
        rustix::io::write(status, &[0])
            .map_err(|errno| failed("write to", Path::new("--status-fd"))(errno.into()))?;
    }
    Ok(())
}

fn check_parent(images: &Path, parent: &Path) -> Result<(), Error> {
    if parent.is_absolute() {
        return Err(Error::invalid(
            "--parent-path",
            "must be relative to the images",
        ));
    }
    let directory = images.join(parent);
    match directory.is_dir() {
        true => Ok(()),
        false => {
            let reason = format!("{} is no directory", directory.display());
            Err(Error::invalid("--parent-path", reason))
        }
    }
}

/// Opens a directory, which is made if it is not there.
fn made_directory(path: &Path) -> Result<File, Error> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(path).map_err(failed("make", path))?;
    open_directory(path)
}

fn open_directory(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(failed("open", path))
}

pub(super) fn failed(
    doing: &'static str,
    path: &Path,
) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Path {
        field: doing.into(),
        path,
        source,
    }
}
