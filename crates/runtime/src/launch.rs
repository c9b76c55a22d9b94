//! The launch: init and its plan in sealed memory, and a child that executes it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crabcan_ipc::ChildEnd;
use crabcan_ns::{Child, CloneOptions, Program, clone_program};
use crabcan_rootfs::program_on_tmpfs;
use rustix::fs::{MemfdFlags, Mode, SealFlags, fchmod, fcntl_add_seals, memfd_create};

use crate::{Error, Plan};

const UNREADABLE: Mode = Mode::from_raw_mode(0o111);

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
    let program = program(plan)?;
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

/// Where the program of init is while it is executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum InitProgram {
    /// A sealed file in memory: see memfd_create(2).
    #[default]
    Memfd,
    /// A file on a tmpfs of its own, which is attached nowhere: for hosts on which somebody is
    /// alarmed by programs without a file. Needs `CAP_SYS_ADMIN`.
    Tmpfs,
}

/// The program of init, to be executed.
fn program(plan: &Plan) -> Result<OwnedFd, Error> {
    const NAME: &str = "crabcan-init";
    if plan.place_of_init() == InitProgram::Tmpfs {
        let mode = match plan.hides_init() {
            true => UNREADABLE,
            false => Mode::from_raw_mode(0o555),
        };
        return program_on_tmpfs(NAME, crabcan_init::PROGRAM, mode)
            .map_err(|source| Error::Rootfs { source });
    }
    let program = sealed(NAME, MemfdFlags::EXEC, crabcan_init::PROGRAM)?;
    if plan.hides_init() {
        hide(&program)?;
    }
    Ok(program)
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
    fchmod(program, UNREADABLE).map_err(|errno| Error::MemoryFile {
        name: "crabcan-init",
        source: errno.into(),
    })
}
