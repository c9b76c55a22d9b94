//! The project's own tasks: `cargo xtask TASK`, as `USAGE` lists them.
//!
//! Each task prints one `==>` line for each of its parts, with the time the part took.
//! `docs/CONTRIBUTING.md` says what each of them is for.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer's tool: the terminal is where its results go"
)]

mod bench;
mod cargo;
mod ci;
mod clients;
mod dist;
mod external;
mod fuzz;
mod miri;
mod parts;
mod prerequisites;
mod programs;
mod scratch;
mod syscalls;
mod test;
mod tidy;
mod vm;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask TASK

  ci [--all]            everything a change must pass; --all: also the suites that need packages
  test [ARGS…]          every test that can run here; as root also those of an ordinary user
  test-root [ARGS…]     the privileged tests: built as the caller, run under `sudo -n`
  test-clients [--full] [--runtime PROGRAM] [--cgroups v1] [WORDS…]
                        podman, docker, containerd and buildah with crabcan below them, or with
                        another runtime (crun needs v1); only what has one of the words in its name
  test-clients [--runtime PROGRAM] [--cgroups v1] --exec SCRIPT
                        a script where they run, as root
  test-clients --errors the error texts of crabcan, runc and crun, into docs/engines.md
  test-security [--full] [ARGS…]
                        known holes of container runtimes, tried by real attackers, as root
  test-faults [--full] [ARGS…]
                        kills, failing system calls and races, each followed by a look for leaks
  fuzz [TARGET] [--seconds N] [--seed S]
                        the fuzz targets, each for N seconds (60)
  miri                  formats, parsers and packets under Miri, of a nightly toolchain
  test-vm [--plain | --systemd] [--full] [ARGS…]
                        the privileged tests on Debian's kernel, emulated by QEMU; once without
                        and once with systemd as the first process; --full: the ordinary tests too
  test-vm [--plain | --systemd] --clients [WORDS…]
                        the scenarios of test-clients there: below cgroup2, and podman with systemd
                        as its cgroup manager (half an hour; not in ci)
  test-vm [--systemd] (--shell | --exec COMMAND)
                        a shell there, or a command whose status is the task's
  syscalls TREE…        the tables of crabcan-seccomp from the kernel's sources, the oldest first
  dist                  what is given to others, in target/dist: the program, static where musl's target
                        is installed, completions for bash, fish and zsh, man pages
  tidy                  the invariants of the tree that a program can check
  bench [CASE]... [--rounds N] [--spaced] [--with NAME=PROGRAM]... [--write]
                        every command beside crun, runc, bubblewrap and the kernel's own work, as
                        root; cases: run run-seccomp run-rootless create-start-delete create start exec
                        state list kill delete sandbox binds throughput live memory; --write:
                        docs/performance.md
  order                 which functions the commands run, into crates/cli/order.txt: the release is
                        linked by it; as root, some minutes

ARGS go to the test programs, for instance a part of a test's name, or --nocapture.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result<()> {
    let Some((task, rest)) = args.split_first() else {
        bail!("a task is missing\n{USAGE}");
    };
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        println!("{USAGE}");
        return Ok(());
    }
    match (task.as_str(), rest) {
        ("ci", []) => ci::ci(false),
        ("ci", [all]) if all == "--all" => ci::ci(true),
        ("test", rest) => test::test(rest),
        ("test-root", rest) => test::test_root(rest),
        ("test-vm", rest) => vm::vm(rest),
        (vm::GUEST, rest) => vm::guest(rest),
        ("test-clients", rest) => clients::test_clients(rest),
        (clients::INSIDE, rest) => clients::inside(rest),
        ("test-security", rest) => test::test_hardening("security", rest),
        ("test-faults", rest) => test::test_hardening("faults", rest),
        ("tidy", []) => tidy::tidy(),
        ("dist", []) => dist::dist(),
        (dist::PAGES, [directory]) => dist::pages(directory),
        ("fuzz", rest) => fuzz::fuzz(rest),
        ("miri", []) => miri::miri(),
        ("syscalls", rest) => syscalls::syscalls(rest),
        ("bench", rest) => bench::bench(rest),
        ("order", []) => bench::order(),
        ("help", []) => dispatch(&["--help".to_owned()]),
        _ => bail!("unknown task or option: {}\n{USAGE}", args.join(" ")),
    }
}
