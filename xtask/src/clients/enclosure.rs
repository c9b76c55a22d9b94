//! The enclosure: a machine inside the machine, in which the clients run.
//!
//! Namespaces of its own (mount, pid, network, IPC, host name, cgroup) hold everything that a
//! client or its daemon does: whatever goes wrong, the end of the enclosure's first process is the
//! end of all of them, and what they mounted and configured was never the host's. It is also what
//! makes the search for leaks complete: all that is in the enclosure is the harness's.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::hierarchy::Hierarchy;
use crate::programs;

/// The programs between us and the harness inside, the outermost first.
///
/// `setpriv` and `--kill-child` tie the enclosure's life to ours; `tini`, as its pid 1, reaps what
/// the clients leave to it.
const OUTER: &[&str] = &["setpriv", "--pdeathsig", "KILL", "unshare", "--cgroup"];

/// The rest of them.
const INNER: &[&str] = &[
    "unshare",
    "--mount",
    "--propagation",
    "private",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--net",
    "--ipc",
    "--uts",
    "tini",
    "--",
];

/// Joins the cgroups named before `--`, then becomes what is named after it.
const JOIN: &str = r#"
while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit 125; shift; done
shift
exec "$@"
"#;

/// Leaves the root of the cgroup namespace, named first, for a cgroup below it: a cgroup2 with
/// processes of its own can't pass controllers on.
const LEAVE: &str = r#"
if [ -n "$1" ]; then mkdir "$1/harness" && echo $$ >"$1/harness/cgroup.procs" || exit 125; fi
shift
exec "$@"
"#;

/// Runs this program again inside an enclosure, with the given arguments.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let cgroups = Cgroups::new()?;
    let ended = programs::watch(command(&cgroups, args)?)?;
    match ended.fault() {
        None => Ok(()),
        Some(fault) => bail!("{fault}\n{}", ended.failures()),
    }
}

/// The same, for what it prints on standard output.
pub(crate) fn output(args: &[String]) -> Result<String> {
    let cgroups = Cgroups::new()?;
    let mut command = command(&cgroups, args)?;
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.context("start the enclosure")?;
    ensure!(
        output.status.success(),
        "{}: {}",
        args.join(" "),
        output.status
    );
    String::from_utf8(output.stdout).context("what the enclosure printed")
}

fn command(cgroups: &Cgroups, args: &[String]) -> Result<Command> {
    let own = std::env::current_exe().context("find this program")?;
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", JOIN, "join"])
        .args(&cgroups.dirs)
        .arg("--")
        .args(OUTER)
        .args(["/bin/sh", "-c", LEAVE, "leave"])
        .arg(cgroups.unified.as_deref().unwrap_or(Path::new("")))
        .args(INNER)
        .arg(own)
        .args(args)
        .stdin(Stdio::null());
    Ok(command)
}

/// One cgroup of ours in each hierarchy, removed at the end whatever happens.
///
/// As with a scratch directory a small shell waits on a pipe that only we hold, so that even
/// SIGKILL leaves nothing.
#[derive(Debug)]
struct Cgroups {
    dirs: Vec<PathBuf>,
    /// The one of them, where cgroup2 is all there is.
    unified: Option<PathBuf>,
    cleaner: Child,
}

/// Removes the cgroups below the given directories, the innermost first. The kernel may need a
/// moment to let go of the last process.
const REMOVE: &str = r#"
read -r _
for dir; do
    for try in 1 2 3 4 5 6 7 8 9 10; do
        find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null
        [ -d "$dir" ] || continue 2
        sleep 0.2
    done
    echo "xtask: $dir is left" >&2
done
"#;

impl Cgroups {
    fn new() -> Result<Cgroups> {
        let name = format!("crabcan-clients-{}", std::process::id());
        let hierarchies = Hierarchy::mounted()?;
        let dirs: Vec<_> = hierarchies
            .iter()
            .map(|hierarchy| hierarchy.mount_point.join(&name))
            .collect();
        // A process group of its own: Ctrl-C must not end the cleaner with us.
        let cleaner = Command::new("/bin/sh")
            .args(["-c", REMOVE, "remove"])
            .args(&dirs)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("start the shell that removes the cgroups")?;
        let unified = Hierarchy::is_unified(&hierarchies)
            .then(|| dirs.first().cloned())
            .flatten();
        let cgroups = Cgroups {
            dirs,
            unified,
            cleaner,
        };
        for hierarchy in &hierarchies {
            hierarchy.make(&name)?;
        }
        if let Some(parent) = cgroups.unified.as_deref().and_then(Path::parent) {
            pass_controllers(parent).context("let the enclosure have controllers")?;
        }
        Ok(cgroups)
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        drop(self.cleaner.stdin.take());
        match self.cleaner.wait() {
            Ok(status) if status.success() => {}
            result => eprintln!("xtask: cgroups may be left: {result:?}"),
        }
    }
}

/// Lets the cgroups below one of the unified hierarchy have all controllers that it has.
pub(crate) fn pass_controllers(cgroup: &Path) -> io::Result<()> {
    for controller in fs::read_to_string(cgroup.join("cgroup.controllers"))?.split_whitespace() {
        fs::write(
            cgroup.join("cgroup.subtree_control"),
            format!("+{controller}"),
        )?;
    }
    Ok(())
}
