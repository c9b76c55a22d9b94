//! The container of `runc spec`, with a cgroup namespace: made, run, deleted, executed into.

use core::ffi::CStr;

use crate::sys::{address, call, nr, text};
use crate::*;

/// CAP_AUDIT_WRITE, CAP_KILL, CAP_NET_BIND_SERVICE.
const KEEP: u64 = 1 << 29 | 1 << 5 | 1 << 10;

/// A state as a runtime writes it.
const STATE: &CStr = c"{\"version\":1,\"id\":\"bench\",\"pid\":12345,\"start\":123456789,\"bundle\":\"/tmp/bench\",\"cgroup\":\"/bench\",\"created\":\"2026-01-01T00:00:00Z\",\"annotations\":{}}";

pub(crate) fn run(root: &CStr, cgroup: &CStr, state: &CStr, filter: Option<&CStr>) {
    let cgroup_fd = make_cgroup(cgroup);
    if clone(ALL_BUT_USER, Some(cgroup_fd)) == 0 {
        // Before the pivot, as long as its path means the host's.
        let filter = filter.map(|path| open(path, 0));
        prepare(root);
        reduce_and_execute(KEEP, filter, c"/true");
    }
    write_state(state);
    wait_and_exit_like_it(1);
    must(nr::RMDIR, [text(cgroup)]);
    must(nr::UNLINK, [text(state)]);
}

pub(crate) fn create(root: &CStr, cgroup: &CStr, state: &CStr, fifo: &CStr) {
    const S_IFIFO: usize = 0o10_000;
    const O_RDWR: usize = 0o2;
    let cgroup_fd = make_cgroup(cgroup);
    must(nr::MKNOD, [text(fifo), S_IFIFO | 0o600, 0]);
    let fifo = open(fifo, O_RDWR);
    let mut ends = [0u32; 2];
    let both = ends.as_mut_ptr() as usize;
    must(nr::PIPE2, [both, O_CLOEXEC]);
    let [reader, writer] = ends.map(|end| end as usize);
    let mut byte = [0u8; 1];
    if clone(ALL_BUT_USER, Some(cgroup_fd)) == 0 {
        prepare(root);
        must(nr::WRITE, [writer, text(c"r"), 1]);
        must(nr::READ, [fifo, byte.as_mut_ptr() as usize, 1]);
        reduce_and_execute(KEEP, None, c"/true");
    }
    must(nr::CLOSE, [writer]);
    must(nr::READ, [reader, byte.as_mut_ptr() as usize, 1]);
    write_state(state);
}

pub(crate) fn exec(pid: usize, cgroup: &CStr) {
    let pidfd = must(nr::PIDFD_OPEN, [pid, 0]);
    let cgroup = open(cgroup, O_DIRECTORY);
    if clone(0, Some(cgroup)) == 0 {
        must(nr::SETNS, [pidfd, ALL_BUT_USER as usize]);
        if clone(CLONE_PARENT, None) == 0 {
            reduce_and_execute(KEEP, None, c"/true");
        }
        exit(0);
    }
    wait_and_exit_like_it(2);
}

/// A cgroup with a program that decides on devices, as cgroup2 wants it.
fn make_cgroup(path: &CStr) -> usize {
    must(nr::MKDIR, [text(path), 0o755]);
    let cgroup = open(path, O_DIRECTORY);
    // A chain of comparisons as long as that of the default devices, which allows everything.
    let mut program = [0u64; 64];
    for instruction in program.iter_mut().take(62) {
        // r0 = 1
        *instruction = 0x0000_0001_0000_00b7;
    }
    program[62] = 0x0000_0001_0000_00b7;
    program[63] = 0x95;
    // union bpf_attr: BPF_PROG_TYPE_CGROUP_DEVICE, 64 instructions, "GPL".
    let load: [u64; 9] = [
        15 | 64 << 32,
        address(&program) as u64,
        text(c"GPL") as u64,
        0,
        0,
        0,
        0,
        0,
        0,
    ];
    let loaded = must(nr::BPF, [5, address(&load), size_of_val(&load)]);
    // BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI.
    let attach: [u32; 4] = [cgroup as u32, loaded as u32, 6, 2];
    must(nr::BPF, [8, address(&attach), size_of_val(&attach)]);
    cgroup
}

fn write_state(path: &CStr) {
    let file = open(path, O_WRONLY | O_CREAT);
    must(nr::WRITE, [file, text(STATE), STATE.to_bytes().len()]);
    must(nr::CLOSE, [file]);
}

/// Everything between the clone and the last reduction of rights.
fn prepare(root: &CStr) {
    mount(c"", c"/", c"", MS_SLAVE | MS_REC, c"");
    mount(root, root, c"", MS_BIND | MS_REC, c"");
    must(nr::CHDIR, [text(root)]);
    must(nr::UMASK, [0]);
    let system = MS_NOSUID | MS_NOEXEC | MS_NODEV;
    mount(c"proc", c"proc", c"proc", 0, c"");
    let dev = MS_NOSUID | MS_STRICTATIME;
    mount(c"tmpfs", c"dev", c"tmpfs", dev, c"mode=755,size=65536k");
    for directory in [c"dev/pts", c"dev/shm", c"dev/mqueue"] {
        must(nr::MKDIR, [text(directory), 0o755]);
    }
    let options = c"newinstance,ptmxmode=0666,mode=0620,gid=5";
    mount(
        c"devpts",
        c"dev/pts",
        c"devpts",
        MS_NOSUID | MS_NOEXEC,
        options,
    );
    mount(
        c"shm",
        c"dev/shm",
        c"tmpfs",
        system,
        c"mode=1777,size=65536k",
    );
    mount(c"mqueue", c"dev/mqueue", c"mqueue", system, c"");
    mount(c"sysfs", c"sys", c"sysfs", system | MS_RDONLY, c"");
    mount(
        c"cgroup",
        c"sys/fs/cgroup",
        c"cgroup2",
        system | MS_RDONLY,
        c"",
    );
    devices();
    covers();
    must(nr::SETHOSTNAME, [text(c"runc"), 4]);
    loopback();
    let limit: [u64; 2] = [1024, 1024];
    must(nr::SETRLIMIT, [7, address(&limit)]);
    mount(c"", c".", c"", MS_REMOUNT | MS_BIND | MS_RDONLY, c"");
    pivot();
    must(nr::UMASK, [0o22]);
}

fn devices() {
    const S_IFCHR: usize = 0o20_000;
    for (path, minor) in [
        (c"dev/null", 3),
        (c"dev/zero", 5),
        (c"dev/full", 7),
        (c"dev/random", 8),
        (c"dev/urandom", 9),
    ] {
        must(nr::MKNOD, [text(path), S_IFCHR | 0o666, 0x100 | minor]);
    }
    must(nr::MKNOD, [text(c"dev/tty"), S_IFCHR | 0o666, 0x500]);
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
}

/// The masked and the read-only paths of `runc spec`; what this kernel has not is passed over.
fn covers() {
    for file in [c"proc/kcore", c"proc/keys", c"proc/timer_list"] {
        let strings = [text(c"/dev/null"), text(file), text(c"")];
        call(nr::MOUNT, [strings[0], strings[1], strings[2], MS_BIND, 0]);
    }
    for directory in [c"proc/acpi", c"proc/scsi", c"sys/firmware"] {
        let strings = [text(c"tmpfs"), text(directory), text(c"tmpfs")];
        call(
            nr::MOUNT,
            [strings[0], strings[1], strings[2], MS_RDONLY, 0],
        );
    }
    let paths = [
        c"proc/bus",
        c"proc/fs",
        c"proc/irq",
        c"proc/sys",
        c"proc/sysrq-trigger",
    ];
    for path in paths {
        let bind = [text(path), text(path), text(c""), MS_BIND | MS_REC, 0];
        if call(nr::MOUNT, bind) >= 0 {
            let flags = MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
            mount(c"", path, c"", flags, c"");
        }
    }
}
