//! The inside of the enclosure: its mounts, its users, and the file that podman reads.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};

use super::enclosure::pass_controllers;
use super::hierarchy::{Hierarchy, Layout};
use crate::cargo::succeed;
use crate::scratch::ORDINARY_ID;

/// Where the harness keeps what it makes.
pub(crate) const WORK: &str = "/run/clients";

/// The home of the ordinary user, who is called `can` in here.
pub(crate) const HOME: &str = "/home/can";

/// The ordinary user's `XDG_RUNTIME_DIR`.
pub(crate) const RUNTIME_DIR: &str = "/run/user/61234";

/// What the machine has for the runtime under test.
#[derive(Debug)]
pub(crate) struct Machine {
    /// The runtime, where every user can execute it.
    pub(crate) runtime: PathBuf,
    /// Its file name, by which the clients are told of it.
    pub(crate) name: String,
    /// Whether cgroup2 is all there is.
    pub(crate) unified: bool,
    pub(crate) layout: Layout,
}

impl Machine {
    /// Turns the fresh namespaces into a machine. What is written from here on is on tmpfs.
    pub(crate) fn set_up(runtime: &Path, layout: Layout) -> Result<Machine> {
        // At once: what it stands in may be covered below.
        let program = fs::read(runtime).with_context(|| format!("read {}", runtime.display()))?;
        let hierarchies = Hierarchy::mounted()?;
        if layout != Layout::Systemd {
            mount_at(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), "")?;
            cgroups(&hierarchies, layout)?;
            devices()?;
            for (dir, mode) in WRITABLE {
                tmpfs(dir, mode)?;
            }
        }
        configuration()?;
        // As on a machine that systemd has booted; rootless podman asks for it. Last of all: what
        // is mounted over a shared mount would be mounted over its copies too.
        mount_at(None, "/", None, MsFlags::MS_SHARED | MsFlags::MS_REC, "")?;
        succeed(Command::new("ip").args(["link", "set", "lo", "up"]))?;
        let name = runtime.file_name().context("a runtime without a name")?;
        let name = name.to_string_lossy().into_owned();
        let copy = Path::new(WORK).join("bin").join(&name);
        directory(&Path::new(WORK).join("bin"), 0o755)?;
        fs::write(&copy, program)
            .and_then(|()| fs::set_permissions(&copy, Permissions::from_mode(0o755)))
            .with_context(|| format!("write {}", copy.display()))?;
        let machine = Machine {
            runtime: copy,
            name,
            unified: Hierarchy::is_unified(&hierarchies),
            layout,
        };
        machine.containers_conf()?;
        Ok(machine)
    }

    /// The file that `CONTAINERS_CONF` names.
    pub(crate) fn containers_conf_path() -> PathBuf {
        Path::new(WORK).join("containers.conf")
    }

    fn containers_conf(&self) -> Result<()> {
        let Machine { runtime, name, .. } = self;
        let manager = match self.layout {
            Layout::Systemd => "systemd",
            Layout::AsMounted | Layout::V1 => "cgroupfs",
        };
        // podman's own default of ulimits raises hard limits, which needs CAP_SYS_RESOURCE; that of
        // logs is the journal where there is one, which does not go with events in a file.
        let text = format!(
            r#"[containers]
default_ulimits = ["nofile=1024:4096", "nproc=4096:4096"]
netns = "none"
log_driver = "k8s-file"
[engine]
runtime = "{name}"
runtime_supports_json = ["{name}"]
cgroup_manager = "{manager}"
events_logger = "file"
init_path = "/usr/bin/tini-static"
[engine.runtimes]
{name} = ["{}"]
"#,
            runtime.display()
        );
        fs::write(Machine::containers_conf_path(), text).context("write containers.conf")
    }
}

/// The directories that clients write to. All of them are empty at first.
const WRITABLE: &[(&str, &str)] = &[
    ("/run", "mode=755"),
    ("/tmp", "mode=1777"),
    ("/var/lib", "mode=755"),
    ("/var/tmp", "mode=1777"),
    ("/home", "mode=755"),
];

/// The hierarchies once more: a mount made inside the cgroup namespace shows our cgroup as root.
fn cgroups(hierarchies: &[Hierarchy], layout: Layout) -> Result<()> {
    if !Hierarchy::is_unified(hierarchies) {
        tmpfs("/sys/fs/cgroup", "mode=755")?;
    }
    for hierarchy in hierarchies.iter().filter(|one| layout.shows(one)) {
        let at = hierarchy.mount_point.display().to_string();
        directory(&hierarchy.mount_point, 0o755)?;
        match &hierarchy.controllers {
            Some(controllers) => mount_at(
                Some("cgroup"),
                &at,
                Some("cgroup"),
                MsFlags::empty(),
                controllers,
            )?,
            None => mount_at(Some("cgroup2"), &at, Some("cgroup2"), MsFlags::empty(), "")?,
        }
    }
    if Hierarchy::is_unified(hierarchies) {
        pass_controllers(Path::new("/sys/fs/cgroup")).context("delegate the controllers")?;
    }
    Ok(())
}

/// A `/dev` of our own: two peers change the owner of its `null`, which must not be the host's.
fn devices() -> Result<()> {
    let new = Path::new("/tmp");
    tmpfs("/tmp", "mode=755")?;
    for name in ["null", "zero", "full", "random", "urandom", "tty", "fuse"] {
        succeed(
            Command::new("cp")
                .arg("-a")
                .arg(Path::new("/dev").join(name))
                .arg(new),
        )?;
    }
    for name in ["mqueue", "net", "pts", "shm"] {
        directory(&new.join(name), 0o755)?;
    }
    succeed(Command::new("cp").args(["-a", "/dev/net/tun", "/tmp/net/tun"]))?;
    for (target, name) in [
        ("pts/ptmx", "ptmx"),
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
        ("/proc/self/fd/2", "stderr"),
    ] {
        symlink(target, new.join(name)).with_context(|| format!("link /dev/{name}"))?;
    }
    mount_at(Some("/tmp"), "/dev", None, MsFlags::MS_MOVE, "")?;
    let options = "newinstance,ptmxmode=0666,mode=620,gid=5";
    mount_at(
        Some("devpts"),
        "/dev/pts",
        Some("devpts"),
        MsFlags::empty(),
        options,
    )?;
    mount_at(
        Some("mqueue"),
        "/dev/mqueue",
        Some("mqueue"),
        MsFlags::empty(),
        "",
    )?;
    tmpfs("/dev/shm", "mode=1777")
}

/// `/etc` as the machine's, and over it what we write: a user with subordinate ids.
fn configuration() -> Result<()> {
    let layer = Path::new(WORK).join("etc");
    directory(&layer.join("upper"), 0o755)?;
    directory(&layer.join("work"), 0o755)?;
    let options = format!(
        "lowerdir=/etc,upperdir={0}/upper,workdir={0}/work",
        layer.display()
    );
    mount_at(
        Some("overlay"),
        "/etc",
        Some("overlay"),
        MsFlags::empty(),
        &options,
    )?;
    append(
        "/etc/passwd",
        &format!("can:x:{ORDINARY_ID}:{ORDINARY_ID}::{HOME}:/bin/sh"),
    )?;
    append("/etc/group", &format!("can:x:{ORDINARY_ID}:"))?;
    append("/etc/subuid", "can:200000:65536")?;
    append("/etc/subgid", "can:200000:65536")?;
    // Users of `podman run --userns=auto` and the like.
    append("/etc/subuid", "containers:400000:262144")?;
    append("/etc/subgid", "containers:400000:262144")?;
    directory(Path::new("/run/user"), 0o755)?;
    for dir in [HOME, RUNTIME_DIR] {
        directory(Path::new(dir), 0o700)?;
        chown(dir, Some(ORDINARY_ID), Some(ORDINARY_ID))
            .with_context(|| format!("give {dir} to uid {ORDINARY_ID}"))?;
    }
    Ok(())
}

fn append(path: &str, line: &str) -> Result<()> {
    let mut file: File = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .with_context(|| format!("open {path}"))?;
    writeln!(file, "{line}").with_context(|| format!("write {path}"))
}

fn directory(path: &Path, mode: u32) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .with_context(|| format!("create {}", path.display()))
}

fn tmpfs(at: &str, options: &str) -> Result<()> {
    mount_at(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), options)
}

fn mount_at(
    source: Option<&str>,
    at: &str,
    kind: Option<&str>,
    flags: MsFlags,
    options: &str,
) -> Result<()> {
    mount(source, at, kind, flags, Some(options)).with_context(|| {
        format!(
            "mount {} on {at} ({options})",
            kind.or(source).unwrap_or("nothing")
        )
    })
}
