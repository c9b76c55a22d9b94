//! Where everything is measured: a directory with the programs and bundles, and a mount namespace
//! in which cgroup2 alone is at `/sys/fs/cgroup`, since not every runtime takes a hybrid layout.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_child_subreaper;

use super::bundle;
use crate::cargo;
use crate::scratch::Scratch;

const CGROUPS: &str = "/sys/fs/cgroup";

/// The payload of sandboxes of the host's root.
pub(super) const PAYLOAD: &str = "/usr/bin/true";

/// A runtime with the command line of runc.
#[derive(Debug, Clone)]
pub(super) struct Runtime {
    pub(super) name: String,
    pub(super) program: PathBuf,
    /// What stands before every command.
    pub(super) options: Vec<String>,
}

impl Runtime {
    /// Whether it is not one that is measured without them.
    pub(super) fn has_cgroups(&self) -> bool {
        self.options.is_empty()
    }
}

/// The prepared place.
#[derive(Debug)]
pub(super) struct World {
    pub(super) scratch: Scratch,
    pub(super) floor: PathBuf,
    pub(super) root: PathBuf,
    /// On a tmpfs, as `/run` is.
    pub(super) state: PathBuf,
    pub(super) runtimes: Vec<Runtime>,
    /// Programs with the command line of bubblewrap.
    pub(super) bubblewraps: Vec<Runtime>,
}

impl World {
    pub(super) fn new(mut runtimes: Vec<Runtime>, bubblewraps: Vec<Runtime>) -> Result<World> {
        let scratch = Scratch::new("crabcan-bench")?;
        if let Some(built) = runtimes.first().map(|crabcan| crabcan.program.clone()) {
            let installed = install(&built, scratch.path())?;
            let own = runtimes.iter_mut().filter(|it| it.program == built);
            own.for_each(|crabcan| crabcan.program.clone_from(&installed));
        }
        let floor = build_floor(scratch.path())?;
        let root = bundle::make_root(scratch.path(), &floor)?;
        let state = Path::new("/run").join(scratch.path().file_name().context("no name")?);
        Ok(World {
            scratch,
            floor,
            root,
            state,
            runtimes,
            bubblewraps,
        })
    }

    /// Goes, for good, where only cgroup2 is mounted, and where orphans become this one's children.
    pub(super) fn enter(&self) -> Result<()> {
        set_child_subreaper(true).context("become a subreaper")?;
        unshare(CloneFlags::CLONE_NEWNS).context("unshare the mount namespace")?;
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none)
            .context("make all mounts slaves")?;
        // What is mounted there twice is taken away twice.
        while umount2(CGROUPS, MntFlags::MNT_DETACH).is_ok() {}
        mount(
            Some("cgroup2"),
            CGROUPS,
            Some("cgroup2"),
            MsFlags::empty(),
            none,
        )
        .context("mount cgroup2")?;
        // What all sandboxes can see, at a path that none of them hides: here it is the payload.
        mount(Some(&self.floor), PAYLOAD, none, MsFlags::MS_BIND, none)
            .with_context(|| format!("mount the payload on {PAYLOAD}"))?;
        fs::create_dir(&self.state).with_context(|| format!("make {}", self.state.display()))?;
        mount(
            Some("tmpfs"),
            &self.state,
            Some("tmpfs"),
            MsFlags::empty(),
            none,
        )
        .with_context(|| format!("mount a tmpfs on {}", self.state.display()))
    }

    /// The engines' profile as raw BPF, for the floor program: compiled by crabcan itself.
    pub(super) fn filter(&self, profile: &serde_json::Value) -> Result<()> {
        let crabcan = self.runtimes.first().context("no runtime to compile it")?;
        let path = self.scratch.path().join("seccomp.json");
        fs::write(&path, profile.to_string())
            .with_context(|| format!("write {}", path.display()))?;
        let mut compile = Command::new(&crabcan.program);
        compile
            .args(["seccomp", "compile"])
            .arg(&path)
            .arg("--output");
        compile.arg(self.scratch.path().join("filter.bpf"));
        cargo::succeed(compile.stdout(Stdio::null()))
    }

    /// A bundle of its own for a runtime, whose container has the cgroup of the same name.
    pub(super) fn bundle(
        &self,
        name: &str,
        arguments: &[&str],
        seccomp: Option<&serde_json::Value>,
    ) -> Result<PathBuf> {
        let bundle = self.scratch.path().join(format!("bundle-{name}"));
        bundle::make(
            &bundle,
            &self.root,
            &format!("/{}", group(name)),
            arguments,
            seccomp,
        )?;
        Ok(bundle)
    }

    /// The bundle of an ordinary user.
    pub(super) fn rootless_bundle(&self, name: &str, id: u32) -> Result<PathBuf> {
        let bundle = self.scratch.path().join(format!("rootless-{name}"));
        bundle::make_rootless(&bundle, &self.root, id)?;
        Ok(bundle)
    }

    /// Where a runtime keeps the containers of an ordinary user.
    pub(super) fn state_of_user(&self, name: &str, id: u32) -> Result<PathBuf> {
        let state = self.state.join(format!("rootless-{name}"));
        fs::create_dir_all(&state)
            .and_then(|()| chown(&state, Some(id), Some(id)))
            .with_context(|| format!("make {}", state.display()))?;
        Ok(state)
    }

    pub(super) fn cgroup(&self, name: &str) -> PathBuf {
        Path::new(CGROUPS).join(group(name))
    }
}

/// Copies a program, as it is installed: the pages of a file that a linker wrote lie one by one in
/// the kernel's cache, and every start from them takes a tenth longer.
fn install(program: &Path, directory: &Path) -> Result<PathBuf> {
    let installed = directory.join("crabcan");
    fs::copy(program, &installed)
        .with_context(|| format!("copy {} to {}", program.display(), installed.display()))?;
    Ok(installed)
}

fn group(name: &str) -> String {
    format!("crabcan-bench-{name}")
}

impl Drop for World {
    fn drop(&mut self) {
        // Outside of the mount namespace it is an empty directory; inside, its tmpfs goes first.
        let _ = umount2(&self.state, MntFlags::MNT_DETACH);
        if let Err(error) = fs::remove_dir(&self.state)
            && self.state.exists()
        {
            eprintln!("bench: remove {}: {error}", self.state.display());
        }
    }
}

/// Compiles the floor program, as `crabcan-init` is compiled: without libc and start files.
fn build_floor(directory: &Path) -> Result<PathBuf> {
    ensure!(
        cfg!(target_arch = "x86_64"),
        "the floor program is for x86_64 only"
    );
    let source = cargo::workspace()?.join("xtask/floor/main.rs");
    let program = directory.join("floor");
    let mut rustc = Command::new("rustc");
    rustc
        .args([
            "--edition=2024",
            "--crate-type=bin",
            "--crate-name=floor",
            "-Cpanic=abort",
        ])
        .args([
            "-Copt-level=s",
            "-Coverflow-checks=no",
            "-Ccodegen-units=1",
            "-Clto=fat",
        ])
        .args([
            "-Cstrip=symbols",
            "-Crelocation-model=static",
            "-Clinker=cc",
        ])
        .args([
            "-Clink-arg=-nostartfiles",
            "-Clink-arg=-static",
            "-Clink-arg=-nostdlib",
        ])
        .args(["-Clink-arg=-Wl,--build-id=none", "-o"])
        .arg(&program)
        .arg(source);
    cargo::succeed(&mut rustc)?;
    Ok(program)
}
