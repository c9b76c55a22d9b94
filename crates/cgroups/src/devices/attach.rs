//! Attaching a program to a cgroup of v2, in place of the one that was there before.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::devices::DeviceProgram;
use crate::directory::Directory;
use crate::{Error, sys};

/// Puts a program in force, and tells by which id it can be found. Programs of others, such as
/// systemd's, stay: an access must be allowed by all of them.
pub(crate) fn attach(
    directory: &Directory,
    program: &DeviceProgram,
    known: impl IntoIterator<Item = u32>,
) -> Result<u32, Error> {
    let failed = |doing| {
        move |source: io::Error| Error::DeviceProgram {
            doing,
            cgroup: directory.path().to_owned(),
            source,
        }
    };
    let cgroup = directory.as_fd();
    let (loaded, id) = match shared(program, known) {
        Some(shared) => shared,
        None => {
            let loaded =
                sys::load_device_program(program.instructions()).map_err(failed("load"))?;
            let id = sys::id_of_program(loaded.as_fd()).map_err(failed("look at"))?;
            (loaded, id)
        }
    };
    let before = sys::attached_device_programs(cgroup).map_err(failed("look for"))?;
    let mut ours: Vec<OwnedFd> = Vec::new();
    for id in before {
        match sys::own_program(id) {
            Ok(Some(program)) => ours.push(program),
            Ok(None) => {}
            // It has been taken away meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            Err(error) => return Err(failed("look at")(error)),
        }
    }
    // One is exchanged in a single act: there is no moment without rules, and none with both.
    let replaced = ours.pop();
    let replaced = replaced.as_ref().map(AsFd::as_fd);
    sys::attach_device_program(cgroup, loaded.as_fd(), replaced).map_err(failed("attach"))?;
    log::debug!(
        "device program {id} of {} instructions on {}",
        program.instructions().len(),
        directory.path().display()
    );
    for old in ours {
        sys::detach_device_program(cgroup, old.as_fd()).map_err(failed("replace"))?;
    }
    Ok(id)
}

/// The first of these programs that says the same and can still be had: the kernel's checking of a
/// new one takes ten times as long as the look at one that is there.
fn shared(program: &DeviceProgram, known: impl IntoIterator<Item = u32>) -> Option<(OwnedFd, u32)> {
    known.into_iter().find_map(|id| {
        match sys::same_program(id, program.instructions()) {
            Ok(shared) => shared.map(|shared| (shared, id)),
            Err(error) => {
                // Its last cgroup may have gone meanwhile.
                log::debug!("device program {id} is not shared: {error}");
                None
            }
        }
    })
}
