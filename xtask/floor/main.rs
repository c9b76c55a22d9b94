//! The floor: what the kernel's own work for a container costs, and nothing else.
//!
//! A static program without libc that does with raw system calls what a runtime has to do for the
//! bundle of `runc spec`, and no checks, no configuration, no error messages: whoever is as fast as
//! this has no cost of its own. `cargo xtask bench` builds it and measures every runtime beside it.
//! Any failure ends it with the line of this file at which it happened as its exit code.
//!
//! ```text
//! floor                                    an empty process, and the payload of every case
//! floor run ROOT CGROUP STATE [FILTER]     run the payload /true of ROOT; FILTER is raw BPF
//! floor create ROOT CGROUP STATE FIFO      the same in three programs
//! floor start FIFO
//! floor delete CGROUP STATE FIFO
//! floor exec PID CGROUP                    run /true in the container of PID
//! floor state STATE                        print the state
//! floor sandbox UIDS PROGRAM               what `bwrap --unshare-all` does; UIDS is "uid uid 1"
//! floor pause                              sleep until it is killed
//! floor rss PROGRAM [ARG]...               print the peak memory of a program in KiB
//! ```
#![no_std]
#![no_main]

mod container;
mod sandbox;
mod sys;

use core::ffi::CStr;
use core::panic::{Location, PanicInfo};

use sys::{address, call, nr, text};

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    exit(255)
}

fn exit(status: usize) -> ! {
    loop {
        call(nr::EXIT_GROUP, [status]);
    }
}

/// Makes a system call that must succeed.
#[track_caller]
fn must<const N: usize>(number: usize, arguments: [usize; N]) -> usize {
    let line = Location::caller().line() as usize;
    usize::try_from(call(number, arguments)).unwrap_or_else(|_| exit(line % 250 + 1))
}

extern "C" fn entry(stack: *const usize) -> ! {
    let argument = |index| sys::argument(stack, index);
    let Some(task) = argument(1) else {
        exit(0);
    };
    match (task.to_bytes(), argument(2), argument(3), argument(4)) {
        (b"run", Some(root), Some(cgroup), Some(state)) => {
            container::run(root, cgroup, state, argument(5));
        }
        (b"create", Some(root), Some(cgroup), Some(state)) => {
            let Some(fifo) = argument(5) else { exit(254) };
            container::create(root, cgroup, state, fifo);
        }
        (b"start", Some(fifo), None, None) => {
            let fifo = open(fifo, O_WRONLY);
            must(nr::WRITE, [fifo, text(c"g"), 1]);
        }
        (b"delete", Some(cgroup), Some(state), Some(fifo)) => {
            must(nr::RMDIR, [text(cgroup)]);
            must(nr::UNLINK, [text(state)]);
            must(nr::UNLINK, [text(fifo)]);
        }
        (b"exec", Some(pid), Some(cgroup), None) => container::exec(number(pid), cgroup),
        (b"state", Some(state), None, None) => {
            let mut buffer = [0u8; 1024];
            let file = open(state, 0);
            let length = must(nr::READ, [file, buffer.as_mut_ptr() as usize, 1024]);
            must(nr::WRITE, [1, address(&buffer), length]);
        }
        (b"pause", None, None, None) => {
            must(nr::PAUSE, []);
        }
        (b"rss", Some(program), _, _) => peak_memory(stack, program),
        (b"sandbox", Some(ids), Some(program), None) => sandbox::run(ids, program),
        _ => exit(254),
    }
    exit(0)
}

const O_WRONLY: usize = 0o1;
const O_CREAT: usize = 0o100;
const O_DIRECTORY: usize = 0o200_000;
const O_CLOEXEC: usize = 0o2_000_000;

#[track_caller]
fn open(path: &CStr, flags: usize) -> usize {
    must(nr::OPEN, [text(path), flags | O_CLOEXEC, 0o600])
}

fn number(digits: &CStr) -> usize {
    let digits = digits.to_bytes().iter();
    digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}

/// Makes a child; 0 in it. `cgroup` is a descriptor of the cgroup that it is born in.
fn clone(flags: u64, cgroup: Option<usize>) -> usize {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    const SIGCHLD: u64 = 17;
    let into = if cgroup.is_some() {
        CLONE_INTO_CGROUP
    } else {
        0
    };
    let cgroup = cgroup.unwrap_or(0) as u64;
    // struct clone_args; with CLONE_PARENT the signal is the caller's own.
    let signal = if flags & CLONE_PARENT == 0 {
        SIGCHLD
    } else {
        0
    };
    let request: [u64; 11] = [flags | into, 0, 0, 0, signal, 0, 0, 0, 0, 0, cgroup];
    must(nr::CLONE3, [address(&request), size_of_val(&request)])
}

const CLONE_PARENT: u64 = 0x8000;
const CLONE_NEWNS: u64 = 0x20000;
const CLONE_NEWCGROUP: u64 = 0x0200_0000;
const CLONE_NEWUTS: u64 = 0x0400_0000;
const CLONE_NEWIPC: u64 = 0x0800_0000;
const CLONE_NEWUSER: u64 = 0x1000_0000;
const CLONE_NEWPID: u64 = 0x2000_0000;
const CLONE_NEWNET: u64 = 0x4000_0000;
const ALL_BUT_USER: u64 =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET;

/// Waits for every child, and ends as the last one did.
fn wait_and_exit_like_it(children: usize) {
    const WALL: usize = 0x4000_0000;
    let mut status = 0u32;
    for _ in 0..children {
        let pointer = core::ptr::from_mut(&mut status) as usize;
        must(nr::WAIT4, [usize::MAX, pointer, WALL]);
    }
    if status != 0 {
        exit((status >> 8 & 0xff) as usize | usize::from(status & 0x7f != 0));
    }
}

/// Here and not in the caller, since what a program was before its exec counts as well.
fn peak_memory(stack: *const usize, program: &CStr) {
    const MAXRSS: usize = 4;
    if clone(0, None) == 0 {
        let mut arguments = [0usize; 64];
        for (index, pointer) in arguments.iter_mut().take(63).enumerate() {
            *pointer = sys::argument(stack, index + 2).map_or(0, text);
        }
        let environment = [text(c"PATH=/usr/sbin:/usr/bin:/sbin:/bin"), 0];
        must(
            nr::EXECVE,
            [text(program), address(&arguments), address(&environment)],
        );
    }
    let mut usage = [0u64; 18];
    let mut status = 0u32;
    let status_address = core::ptr::from_mut(&mut status) as usize;
    must(
        nr::WAIT4,
        [usize::MAX, status_address, 0, usage.as_mut_ptr() as usize],
    );
    if status != 0 {
        exit(252);
    }
    let mut digits = [b'\n'; 21];
    let mut rest = usage[MAXRSS];
    let mut first = 20;
    // So little that the kernel has not counted it yet is zero, and a number as well.
    loop {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    must(nr::WRITE, [1, address(&digits[first..]), 21 - first]);
}

const MS_RDONLY: usize = 0x1;
const MS_NOSUID: usize = 0x2;
const MS_NODEV: usize = 0x4;
const MS_NOEXEC: usize = 0x8;
const MS_REMOUNT: usize = 0x20;
const MS_BIND: usize = 0x1000;
const MS_REC: usize = 0x4000;
const MS_SLAVE: usize = 0x80000;
const MS_STRICTATIME: usize = 0x0100_0000;

#[track_caller]
fn mount(source: &CStr, target: &CStr, kind: &CStr, flags: usize, data: &CStr) {
    let strings = [text(source), text(target), text(kind)];
    must(
        nr::MOUNT,
        [strings[0], strings[1], strings[2], flags, text(data)],
    );
}

/// Makes the working directory the root, and lets the old one go.
fn pivot() {
    const MNT_DETACH: usize = 2;
    must(nr::PIVOT_ROOT, [text(c"."), text(c".")]);
    must(nr::UMOUNT2, [text(c"."), MNT_DETACH]);
    must(nr::CHDIR, [text(c"/")]);
}

/// A network namespace begins with its loopback down.
fn loopback() {
    const SIOCSIFFLAGS: usize = 0x8914;
    let mut request = [0u8; 40];
    request[0] = b'l';
    request[1] = b'o';
    request[16] = 1;
    let socket = must(nr::SOCKET, [2, 2 | O_CLOEXEC, 0]);
    must(nr::IOCTL, [socket, SIOCSIFFLAGS, address(&request)]);
    must(nr::CLOSE, [socket]);
}

/// Installs the raw BPF of an open file. Never inlined: its buffer is for those who have a filter.
#[inline(never)]
fn install(file: usize) {
    let mut bytes = [0u8; 32768];
    let length = must(nr::READ, [file, bytes.as_mut_ptr() as usize, bytes.len()]);
    must(nr::CLOSE, [file]);
    // struct sock_fprog.
    let program: [usize; 2] = [length / 8, address(&bytes)];
    must(nr::SECCOMP, [1, 0, address(&program)]);
}

/// What every case does last in the container.
fn reduce_and_execute(keep: u64, filter: Option<usize>, program: &CStr) -> ! {
    must(nr::SETSID, []);
    reduce(keep);
    if let Some(file) = filter {
        install(file);
    }
    execute(program)
}

/// Leaves these capabilities, and none that a program could give.
fn reduce(keep: u64) {
    for capability in (0..41).filter(|bit| keep >> bit & 1 == 0) {
        must(nr::PRCTL, [24, capability, 0, 0, 0]);
    }
    let header: [u32; 2] = [0x2008_0522, 0];
    let (low, high) = (keep as u32, (keep >> 32) as u32);
    let sets: [u32; 6] = [low, low, 0, high, high, 0];
    must(nr::CAPSET, [address(&header), address(&sets)]);
    must(nr::PRCTL, [38, 1, 0, 0, 0]);
}

fn execute(program: &CStr) -> ! {
    let arguments = [text(program), 0];
    let environment = [text(c"PATH=/bin"), 0];
    must(
        nr::EXECVE,
        [text(program), address(&arguments), address(&environment)],
    );
    exit(253)
}
