//! Attaching a program to a cgroup of v2, in place of the one that was there before.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::devices::DeviceProgram;
use crate::directory::Directory;
use crate::{Error, sys};

/// Puts a program in force. Programs of others, such as systemd's, stay: an access must be allowed
/// by all of them.
pub(crate) fn attach(directory: &Directory, program: &DeviceProgram) -> Result<(), Error> {
    let failed = |doing| {
        move |source: io::Error| Error::DeviceProgram {
            doing,
            cgroup: directory.path().to_owned(),
            source,
        }
    };
    let cgroup = directory.as_fd();
    let loaded = sys::load_device_program(program.instructions()).map_err(failed("load"))?;
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
        "device program of {} instructions on {}",
        program.instructions().len(),
        directory.path().display()
    );
    for old in ours {
        sys::detach_device_program(cgroup, old.as_fd()).map_err(failed("replace"))?;
    }
    Ok(())
}
