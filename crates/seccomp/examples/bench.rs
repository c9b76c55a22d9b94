//! How long a container engine's profile takes to compile, how large it becomes, and how many
//! instructions frequent calls execute.
//!
//! ```text
//! cargo run --release -p crabcan-seccomp --features json --example bench -- [FILE]
//! ```
//!
//! Without a file, the one that podman's packages install is taken.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

#[path = "../tests/interpreter/mod.rs"]
mod interpreter;

use std::time::{Duration, Instant};

use crabcan_seccomp::json::{EngineProfile, Target};
use crabcan_seccomp::{Architecture, Error, Filter, Profile, builtin, syscalls};
use interpreter::{Call, run};

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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args_os().nth(1);
    let file = file.unwrap_or_else(|| "/usr/share/containers/seccomp.json".into());
    let text = std::fs::read(&file)?;
    let target = Target {
        architecture: Architecture::native().ok_or(Error::Native)?,
        capabilities: CAPABILITIES.split_whitespace().map(str::to_owned).collect(),
        kernel: (6, 1),
    };
    let read = || EngineProfile::from_json(&text)?.resolve(&target);
    let profile = read()?.profile;
    println!(
        "{}: {} us to read",
        file.display(),
        micros(|| read().map(drop))?
    );
    show(&profile)?;
    println!("built-in sandbox:");
    show(&builtin::sandbox())
}

fn show(profile: &Profile) -> Result<(), Box<dyn std::error::Error>> {
    let filter = profile.compile()?;
    println!(
        "  {} us to compile",
        micros(|| profile.compile().map(drop))?
    );
    println!("  {} instructions", filter.instructions().len());
    let mut sum = 0;
    for name in FREQUENT {
        let steps = steps(&filter, name)?;
        println!("  {steps:3} executed for {name}");
        sum += steps;
    }
    println!("  {}.{} on average", sum / 10, sum % 10);
    Ok(())
}

/// The median of many rounds, in microseconds.
fn micros(mut work: impl FnMut() -> Result<(), Error>) -> Result<u128, Error> {
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..501 {
        let start = Instant::now();
        work()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2].as_micros())
}

/// How many instructions a native call executes.
fn steps(filter: &Filter, name: &str) -> Result<usize, Error> {
    let native = Architecture::native().ok_or(Error::Native)?;
    let call = Call {
        // Some of them are not there on newer architectures: any number does then.
        number: syscalls::number(native, name).unwrap_or_default(),
        audit: native.audit(),
        arguments: [0; 6],
    };
    let little_endian = cfg!(target_endian = "little");
    Ok(run(filter.instructions(), &call, little_endian).1)
}
