//! A mount namespace for criu alone: what it needs to have mounted goes with it.

use std::path::{Path, PathBuf};

use crabcan_cgroups::Hierarchy;
use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;

use super::cgroup;
use super::checkpoint::failed;
use crate::Error;

const NONE: Option<&Path> = None;

/// Calls `start` on a thread that has a mount namespace of its own, with the directory in which
/// criu finds the hierarchies of cgroup v2. What is started there stays there; the caller's other
/// threads, which run hooks, are not concerned.
///
/// criu would mount cgroup2 anew, and the kernel takes that for a change of the options of the
/// machine's own mount: `nsdelegate` would be gone. So it gets that mount, in a file system in memory
/// over a directory of this container's.
pub(super) fn apart<T: Send>(
    over: &Path,
    start: impl FnOnce(Option<PathBuf>) -> Result<T, Error> + Send,
) -> Result<T, Error> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let flags = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS;
            let left = nix::sched::unshare(flags);
            left.map_err(|errno| failed("leave the mounts of", Path::new("/"))(errno.into()))?;
            let slave = MsFlags::MS_SLAVE | MsFlags::MS_REC;
            mounted(mount(NONE, "/", NONE, slave, NONE), Path::new("/"))?;
            start(yard(over)?)
        });
        let lost = |_| Error::CriuLost {
            doing: "start",
            source: std::io::Error::from_raw_os_error(libc::ECHILD),
        };
        thread.join().map_err(lost)?
    })
}

/// Where cgroup v2 is the only one, its directory by the name that criu looks for.
fn yard(over: &Path) -> Result<Option<PathBuf>, Error> {
    let hierarchy = Hierarchy::of_this_process();
    let hierarchy = hierarchy.map_err(cgroup::failed("find the cgroups"))?;
    let (Some(tree), []) = (hierarchy.unified(), hierarchy.legacy()) else {
        return Ok(None);
    };
    let empty = MsFlags::empty();
    mounted(mount(Some("tmpfs"), over, Some("tmpfs"), empty, NONE), over)?;
    let unified = over.join("unified");
    std::fs::create_dir(&unified).map_err(failed("make", &unified))?;
    bind(tree.mount_point(), &unified)?;
    Ok(Some(over.to_owned()))
}

/// Shows a path and everything below it at another one.
pub(super) fn bind(source: &Path, target: &Path) -> Result<(), Error> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mounted(mount(Some(source), target, NONE, flags, NONE), source)
}

fn mounted(done: nix::Result<()>, what: &Path) -> Result<(), Error> {
    done.map_err(|errno| failed("mount for criu", what)(errno.into()))
}
