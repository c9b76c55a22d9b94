//! A cgroup of a test's own, in every tree, with the cgroups of the test below it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crabcan_cgroups::{Cgroup, CgroupPath, Controllers, Error, Hierarchy, Place, Resources};

/// Says that a test can't do all it is for; where everything must be there, that is a failure.
pub(crate) fn lacks(what: &str) {
    let required = std::env::var_os("CRABCAN_TEST_REQUIRE").is_some_and(|value| value == "1");
    assert!(
        !required,
        "CRABCAN_TEST_REQUIRE is set, and there is no {what}"
    );
    println!("not tested: there is no {what}");
}

/// As [`lacks`], of cgroup v1: the virtual machine has none on purpose, and others run what needs it.
pub(crate) fn lacks_v1(what: &str) {
    match Path::new("/run/crabcan-vm").exists() {
        true => println!("not tested in the virtual machine: there is no {what}"),
        false => lacks(what),
    }
}

/// No limits but these.
pub(crate) fn resources(change: impl FnOnce(&mut Resources)) -> Resources {
    let mut resources = Resources::default();
    change(&mut resources);
    resources
}

#[derive(Debug)]
pub(crate) struct Below {
    hierarchy: Hierarchy,
    name: String,
    /// What the cgroups of the test are in.
    directories: Vec<PathBuf>,
}

impl Below {
    pub(crate) fn new(name: &str) -> Self {
        let hierarchy = Hierarchy::of_this_process().unwrap();
        let name = format!("crabcan-test-{name}-{}", std::process::id());
        let path = CgroupPath::new(&name).unwrap();
        let place = hierarchy.place(&path).unwrap();
        let directories = hierarchy.directories(&place).unwrap();
        Self {
            hierarchy,
            name,
            directories,
        }
    }

    pub(crate) fn hierarchy(&self) -> &Hierarchy {
        &self.hierarchy
    }

    /// The tree of v2 alone, which has device programs on hybrid hosts too.
    pub(crate) fn unified_only(&self) -> Option<Hierarchy> {
        match &self.hierarchy {
            Hierarchy::Hybrid { unified, .. } => Some(Hierarchy::Unified(unified.clone())),
            _ => None,
        }
    }

    fn place(&self, hierarchy: &Hierarchy) -> Place {
        let unique = CgroupPath::unique();
        let path = Path::new(&self.name).join(unique.below());
        hierarchy.place(&CgroupPath::new(path).unwrap()).unwrap()
    }

    /// A cgroup with these limits in force; `None` when the host lacks a controller for them.
    pub(crate) fn cgroup(&self, limits: &Resources) -> Option<Cgroup> {
        match self.cgroup_in(&self.hierarchy, limits) {
            Ok(cgroup) => {
                cgroup.apply(limits).unwrap();
                Some(cgroup)
            }
            Err(Error::ControllerMissing { controller }) => {
                lacks(&format!("{controller} controller"));
                None
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    /// The same, which this machine must be able to keep.
    #[track_caller]
    pub(crate) fn limited(&self, limits: &Resources) -> Cgroup {
        let cgroup = self.cgroup_in(&self.hierarchy, limits).unwrap();
        cgroup.apply(limits).unwrap();
        cgroup
    }

    pub(crate) fn cgroup_in(
        &self,
        hierarchy: &Hierarchy,
        limits: &Resources,
    ) -> Result<Cgroup, Error> {
        let place = self.place(hierarchy).only_for(limits.controllers());
        Cgroup::create(hierarchy, &place, limits.controllers())
    }

    pub(crate) fn with_controllers(&self, controllers: Controllers) -> Result<Cgroup, Error> {
        let place = self.place(&self.hierarchy).only_for(controllers);
        Cgroup::create(&self.hierarchy, &place, controllers)
    }

    /// Nothing is left, not even what the test's cgroups were made in.
    pub(crate) fn is_gone(&self) -> bool {
        self.directories.iter().all(|directory| !directory.exists())
    }

    /// The one directory of a cgroup of v2 alone.
    pub(crate) fn directory(&self, cgroup: &Cgroup) -> PathBuf {
        self.directories(cgroup).remove(0)
    }

    /// Where a cgroup is, as paths of the host.
    pub(crate) fn directories(&self, cgroup: &Cgroup) -> Vec<PathBuf> {
        self.hierarchy.directories(cgroup.place()).unwrap()
    }
}

/// A file of a cgroup's, without its last line break.
#[track_caller]
pub(crate) fn file(directory: &Path, name: &str) -> String {
    let path = directory.join(name);
    let text = std::fs::read_to_string(&path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.trim_end().to_owned()
}

/// The look for leaks: what the library made is gone. What it was made in is removed here, where a
/// cgroup was kept on purpose.
impl Drop for Below {
    fn drop(&mut self) {
        let mut left = Vec::new();
        for directory in &self.directories {
            left.extend(children(directory));
            remove_all(directory);
        }
        if !std::thread::panicking() {
            assert!(left.is_empty(), "left behind: {left:?}");
        }
    }
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn remove_all(directory: &Path) {
    // What a failed test has left frozen could not end.
    let _ = std::fs::write(directory.join("freezer.state"), "THAWED");
    children(directory)
        .iter()
        .for_each(|child| remove_all(child));
    let _ = std::fs::remove_dir(directory);
}

/// A shell in a cgroup, which does nothing before it is there.
#[derive(Debug)]
pub(crate) struct Shell(Child);

impl Shell {
    pub(crate) fn joined(cgroup: &Cgroup, script: &str) -> Self {
        let mut child = Command::new("/bin/sh")
            .args(["-c", &format!("read go; {script}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let joined = cgroup.join(child.id().try_into().unwrap());
        if joined.is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
        joined.unwrap();
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        Self(child)
    }

    pub(crate) fn pid(&self) -> i32 {
        self.0.id().try_into().unwrap()
    }

    /// Processor time that it has used.
    pub(crate) fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }
}

/// A test that fails leaves no process; one that is frozen ends when its cgroup is let go.
impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.0.kill();
        for _ in 0..200 {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Says to a test that it is run once more, by [`elsewhere`].
const ROLE: &str = "CRABCAN_TEST_ROLE";

/// Whether this process is the test where it was sent, and not the one that sends it.
pub(crate) fn is_elsewhere() -> bool {
    std::env::var_os(ROLE).is_some()
}

/// Runs a test once more, by a shell in a mount namespace of its own: `"$@"` is the test. What the
/// shell has changed before, in mounts, namespaces, cgroups or its own rights, holds there.
#[track_caller]
pub(crate) fn elsewhere(test: &str, script: &str) {
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c"])
        .args([&format!("set -e; {script}"), "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", test])
        .env(ROLE, "elsewhere")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    let one = stdout.contains("test result: ok. 1 passed");
    assert!(output.status.success() && one, "{stdout}{stderr}");
}
