//! What `bwrap --unshare-all --ro-bind / / --proc /proc --dev /dev` does, as an ordinary user.

use core::ffi::CStr;

use crate::sys::{address, nr, text};
use crate::*;

pub(crate) fn run(ids: &CStr, program: &CStr) {
    if clone(ALL_BUT_USER | CLONE_NEWUSER, None) == 0 {
        map_ids(ids);
        loopback();
        mount(c"", c"/", c"", MS_SLAVE | MS_REC, c"");
        mount(c"tmpfs", c"/tmp", c"tmpfs", MS_NOSUID | MS_NODEV, c"");
        must(nr::CHDIR, [text(c"/tmp")]);
        must(nr::MKDIR, [text(c"root"), 0o755]);
        mount(c"/", c"root", c"", MS_BIND | MS_REC, c"");
        must(nr::CHDIR, [text(c"root")]);
        read_only_with_all_below();
        let system = MS_NOSUID | MS_NOEXEC | MS_NODEV;
        mount(c"proc", c"proc", c"proc", system, c"");
        devices();
        pivot();
        reduce(0);
        // The first process of a pid namespace reaps; the program is the second.
        if clone(0, None) == 0 {
            execute(program);
        }
        wait_and_exit_like_it(1);
        exit(0);
    }
    wait_and_exit_like_it(1);
}

/// The working directory's mount and those below it, of which bubblewrap changes one by one.
fn read_only_with_all_below() {
    const AT_FDCWD: usize = -100_isize as usize;
    const AT_RECURSIVE: usize = 0x8000;
    // struct mount_attr: MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV to set.
    let attributes: [u64; 4] = [1 | 2 | 4, 0, 0, 0];
    let request = [address(&attributes), size_of_val(&attributes)];
    let path = text(c".");
    must(
        nr::MOUNT_SETATTR,
        [AT_FDCWD, path, AT_RECURSIVE, request[0], request[1]],
    );
}

fn map_ids(ids: &CStr) {
    for (path, value) in [
        (c"/proc/self/uid_map", ids),
        (c"/proc/self/setgroups", c"deny"),
        (c"/proc/self/gid_map", ids),
    ] {
        let file = open(path, O_WRONLY);
        must(nr::WRITE, [file, text(value), value.to_bytes().len()]);
        must(nr::CLOSE, [file]);
    }
}

fn devices() {
    mount(
        c"tmpfs",
        c"dev",
        c"tmpfs",
        MS_NOSUID | MS_NODEV,
        c"mode=755",
    );
    for (device, path) in [
        (c"/dev/null", c"dev/null"),
        (c"/dev/zero", c"dev/zero"),
        (c"/dev/full", c"dev/full"),
        (c"/dev/random", c"dev/random"),
        (c"/dev/urandom", c"dev/urandom"),
        (c"/dev/tty", c"dev/tty"),
    ] {
        let file = open(path, O_WRONLY | O_CREAT);
        must(nr::CLOSE, [file]);
        mount(device, path, c"", MS_BIND, c"");
    }
    for (says, path) in [
        (c"/proc/self/fd", c"dev/fd"),
        (c"/proc/self/fd/0", c"dev/stdin"),
        (c"/proc/self/fd/1", c"dev/stdout"),
        (c"/proc/self/fd/2", c"dev/stderr"),
        (c"/proc/kcore", c"dev/core"),
        (c"pts/ptmx", c"dev/ptmx"),
    ] {
        must(nr::SYMLINK, [text(says), text(path)]);
    }
    for directory in [c"dev/shm", c"dev/pts"] {
        must(nr::MKDIR, [text(directory), 0o755]);
    }
    let options = c"newinstance,ptmxmode=0666,mode=620";
    mount(
        c"devpts",
        c"dev/pts",
        c"devpts",
        MS_NOSUID | MS_NOEXEC,
        options,
    );
}
