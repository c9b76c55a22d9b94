//! How long a container engine's profile takes to compile, how large it becomes, and how many
//! instructions frequent calls execute: ours beside libseccomp's, as runc and crun use it.
//!
//! ```text
//! cargo run --release -p crabcan-seccomp --features json --example bench
//! ```
//!
//! The profiles are podman's and docker's, from Debian's packages; without libseccomp.so.2 its
//! columns are missing.
#![allow(
    unreachable_pub,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example shows what it does"
)]

#[path = "../tests/interpreter/mod.rs"]
mod interpreter;
#[path = "../tests/libseccomp/mod.rs"]
mod libseccomp;

use std::time::{Duration, Instant};

use crabcan_seccomp::json::{EngineProfile, Target};
use crabcan_seccomp::{Architecture, Error, Instruction, Profile, builtin, syscalls};
use interpreter::{Call, run};
use libseccomp::Library;
use libseccomp::beside::Theirs;
use libseccomp::files::{lines_of, profiles};

const FREQUENT: [&str; 10] = [
    "read",
    "write",
    "futex",
    "openat",
    "close",
    "fstat",
    "mmap",
    "epoll_wait",
    "recvmsg",
    "clock_gettime",
];

/// What containers have unless they ask for more.
const CAPABILITIES: &str = "CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_FSETID CAP_KILL \
    CAP_NET_BIND_SERVICE CAP_SETFCAP CAP_SETGID CAP_SETPCAP CAP_SETUID CAP_SYS_CHROOT";

/// What the profiles come to on the machine that they are measured for.
const MACHINE: (&str, [Architecture; 3]) = (
    "amd64",
    [Architecture::X86_64, Architecture::X86, Architecture::X32],
);

fn main() -> Result<(), Error> {
    let library = Library::load();
    for (name, text) in profiles() {
        println!("{name}");
        engines(library.as_ref(), &text)?;
    }
    println!("built-in sandbox");
    ours("crabcan", &builtin::sandbox())
}

/// One profile, by us and by the library in its two ways.
fn engines(library: Option<&Library>, text: &[u8]) -> Result<(), Error> {
    let capabilities: Vec<&str> = CAPABILITIES.split_whitespace().collect();
    let target = Target {
        architecture: MACHINE.1[0],
        capabilities: capabilities.iter().map(|&word| word.to_owned()).collect(),
        kernel: (6, 1),
    };
    let read = || EngineProfile::from_json(text)?.resolve(&target);
    let profile = read()?.profile;
    println!("  JSON read and resolved in {}", micros(501, read));
    ours("crabcan", &profile)?;
    let Some(library) = library else {
        return Ok(());
    };
    let (default, lines) = lines_of(text, MACHINE.0, &capabilities);
    for (level, label) in [(1, "libseccomp"), (2, "libseccomp, its tree")] {
        let make = || Theirs::of(library, default, &MACHINE.1, &lines, level);
        row(label, &micros(51, make), &make().program);
    }
    Ok(())
}

fn ours(label: &str, profile: &Profile) -> Result<(), Error> {
    let filter = profile.compile()?;
    row(
        label,
        &micros(501, || profile.compile()),
        filter.instructions(),
    );
    Ok(())
}

fn row(label: &str, time: &str, program: &[Instruction]) {
    let steps = FREQUENT.map(|name| steps(program, name));
    let average = steps.iter().sum::<usize>() as f64 / FREQUENT.len() as f64;
    println!(
        "  {label:28} {time:>12}  {:5} instructions  {average:6.1} executed, on average of {steps:?}",
        program.len()
    );
}

/// The median of many rounds.
fn micros<T>(rounds: usize, mut work: impl FnMut() -> T) -> String {
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..rounds {
        let start = Instant::now();
        let made = work();
        times.push(start.elapsed());
        drop(made);
    }
    times.sort_unstable();
    format!("{} us", times[times.len() / 2].as_micros())
}

/// How many instructions a call of x86_64 executes.
fn steps(program: &[Instruction], name: &str) -> usize {
    let call = Call {
        number: syscalls::number(MACHINE.1[0], name).unwrap_or_default(),
        audit: MACHINE.1[0].audit(),
        arguments: [0; 6],
    };
    run(program, &call, true).1
}
