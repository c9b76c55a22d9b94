//! What `bwrap --unshare-all --ro-bind / / --proc /proc --dev /dev` does, as an ordinary user.

use core::ffi::CStr;

use crate::sys::{nr, text};
use crate::*;

pub(crate) fn run(ids: &CStr, program: &CStr) {
    if clone(ALL_BUT_USER | CLONE_NEWUSER, None) == 0 {
        map_ids(ids);
        mount(c"", c"/", c"", MS_SLAVE | MS_REC, c"");
        mount(c"tmpfs", c"/tmp", c"tmpfs", MS_NOSUID | MS_NODEV, c"");
        must(nr::CHDIR, [text(c"/tmp")]);
        must(nr::MKDIR, [text(c"root"), 0o755]);
        mount(c"/", c"root", c"", MS_BIND | MS_REC, c"");
        must(nr::CHDIR, [text(c"root")]);
        let flags = MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV;
        mount(c"", c".", c"", flags, c"");
        let system = MS_NOSUID | MS_NOEXEC | MS_NODEV;
        mount(c"proc", c"proc", c"proc", system, c"");
        devices();
        pivot();
        reduce_and_execute(0, None, program);
    }
    wait_and_exit_like_it(1);
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
