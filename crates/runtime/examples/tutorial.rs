//! The tutorial's container from end to end, as a library call.
//!
//! Run it as anybody: `cargo run -p crabcan-runtime --example tutorial`, or with a root file system
//! of your own and a command for it: `… --example tutorial -- ./rootfs /bin/sh -c 'echo hello'`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example shows what happens"
)]

use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;

use crabcan_runtime::{Process, Sandbox};

/// What the command looks at when the caller names none.
const SCRIPT: &str = "\
echo \"process:    $$\"
echo \"host name:  $(cat /proc/sys/kernel/hostname)\"
echo \"user:       $(id -u)\"
echo \"interfaces: $(sed -n 's/:.*//p' /proc/net/dev | tr -d ' \\n')\"
echo \"privileges: $(grep CapEff /proc/self/status | cut -f 2)\"
exit 7";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprint!("tutorial: {error}");
            let mut cause = error.source();
            while let Some(source) = cause {
                eprint!(": {source}");
                cause = source.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let sandbox = match (arguments.next(), arguments.next()) {
        (Some(root), Some(program)) => Sandbox::new(program).root(root),
        _ => Sandbox::new("/bin/sh").args(["-c", SCRIPT]),
    };
    let sandbox = sandbox
        .args(arguments.collect::<Vec<OsString>>())
        // Step 14 of the tutorial, for the command and not for the caller.
        .resource_limit(RLIMIT_NOFILE, 64, 64)
        .uid(0);

    // Everything is decided here, and nothing is done yet.
    let plan = sandbox.plan()?;
    println!("new namespaces: {}", plan.namespaces());
    for (index, step) in plan.steps().iter().enumerate() {
        println!("{index:3} {step}");
    }

    // All steps up to the program; then the program.
    let mut container = Process::create(&plan)?;
    println!("init waits, process {}", container.pid());
    container.start()?;
    let status = container.wait()?;
    container.remove()?;
    println!("the command {status}");
    Ok(ExitCode::from(u8::try_from(status.shell_code())?))
}

/// The number of `RLIMIT_NOFILE` on x86_64 and aarch64.
const RLIMIT_NOFILE: u32 = 7;
