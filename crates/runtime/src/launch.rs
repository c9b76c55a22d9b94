//! The launch: init and its plan in sealed memory, a child that executes it, and what only the
//! parent may do for it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crabcan_cgroups::Cgroup;
use crabcan_ipc::ChildEnd;
use crabcan_ns::{
    Child, CloneOptions, Namespace, NamespaceFd, Program, clone_program, write_id_maps,
};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use crate::protocol::Protocol;
use crate::{Error, Plan, limits};

/// What init is given besides the plan.
#[derive(Debug, Default)]
pub(crate) struct Surroundings<'a> {
    /// From descriptor 5 on, as the plan says.
    pub(crate) descriptors: Vec<BorrowedFd<'a>>,
    /// The cgroup of the unified hierarchy that it is born in.
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
}

/// Clones a child that executes init with its end of the channel as 3, the plan as 4, and what it
/// is handed besides behind them.
pub(crate) fn launch(
    plan: &Plan,
    channel: ChildEnd,
    surroundings: &Surroundings<'_>,
) -> Result<Child, Error> {
    // A fresh file for each launch: one that is kept could be opened for writing by a container,
    // and then never be executed again (ETXTBSY).
    let program = sealed("crabcan-init", MemfdFlags::EXEC, crabcan_init::PROGRAM)?;
    if plan.hides_init() {
        hide(&program)?;
    }
    let flat = sealed("crabcan-plan", MemfdFlags::NOEXEC_SEAL, &plan.flatten())?;
    let mut descriptors = vec![channel.as_fd(), flat.as_fd()];
    descriptors.extend(&surroundings.descriptors);
    let program = Program {
        executable: program.as_fd(),
        args: &[c"crabcan-init"],
        env: &[],
        descriptors: &descriptors,
    };
    let mut options = CloneOptions::new(plan.namespaces());
    if let Some(cgroup) = surroundings.cgroup {
        options = options.cgroup(cgroup);
    }
    clone_program(&program, &options).map_err(|source| Error::Namespaces {
        doing: "start init",
        source,
    })
}

/// Does for init what needs the parent's privilege or place: files of its cgroup, id maps, and mounts
/// that the container's own ids could not reach. Returns when all is sent.
pub(crate) fn provide(
    plan: &Plan,
    child: &Child,
    cgroup: Option<&Cgroup>,
    protocol: &Protocol,
) -> Result<(), Error> {
    let sent = |source| Error::Channel {
        doing: "send init on its way",
        source,
    };
    if let Some(cgroup) = cgroup {
        for file in cgroup.task_files().map_err(limits::failed)? {
            protocol.send_descriptor(file.as_fd()).map_err(sent)?;
        }
    }
    let Some(maps) = plan.id_maps() else {
        return Ok(());
    };
    write_id_maps(child.pid(), &maps.uid, &maps.gid, maps.writer).map_err(|source| {
        Error::Namespaces {
            doing: "map the ids of the container",
            source,
        }
    })?;
    protocol.proceed().map_err(sent)?;
    if plan.mounts_to_send().is_empty() {
        return Ok(());
    }
    let path = format!("/proc/{}/ns/user", child.pid());
    let user_namespace =
        NamespaceFd::open_path(path, Namespace::User).map_err(|source| Error::Namespaces {
            doing: "open the user namespace",
            source,
        })?;
    for mount in plan.mounts_to_send() {
        let idmap = mount.idmap.then(|| user_namespace.as_fd());
        let source = &mount.source;
        let tree = crabcan_rootfs::detached_tree(source, mount.recursive, mount.attributes, idmap)
            .map_err(|source| match source {
                crabcan_rootfs::Error::IdMapUnsupported { .. } => {
                    Error::IdMapUnsupported { source }
                }
                _ => Error::Rootfs { source },
            })?;
        protocol.send_descriptor(tree.as_fd()).map_err(sent)?;
    }
    Ok(())
}

/// A memory file with these contents that nobody can change any more.
fn sealed(name: &'static str, kind: MemfdFlags, contents: &[u8]) -> Result<OwnedFd, Error> {
    let failed = |source: io::Error| Error::MemoryFile { name, source };
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = match memfd_create(name, flags | kind) {
        // Before Linux 6.3 there is no choice: every memory file can be executed.
        Err(rustix::io::Errno::INVAL) => memfd_create(name, flags),
        other => other,
    };
    let mut file = File::from(memory.map_err(|errno| failed(errno.into()))?);
    file.write_all(contents).map_err(failed)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&file, seals).map_err(|errno| failed(errno.into()))?;
    Ok(file.into())
}

/// Makes init unreadable: whoever executes what it can't read gives the new memory to the user
/// namespace that owns the file, so that the container's capabilities are worth nothing against it.
fn hide(program: &OwnedFd) -> Result<(), Error> {
    rustix::fs::fchmod(program, rustix::fs::Mode::from_raw_mode(0o111)).map_err(|errno| {
        Error::MemoryFile {
            name: "crabcan-init",
            source: errno.into(),
        }
    })
}
