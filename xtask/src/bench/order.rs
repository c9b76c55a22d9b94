//! `order`: the functions that ordinary commands run, in the order in which they first do, for
//! `crates/cli/build.rs`: the program steps through each command under ptrace(2), one instruction
//! after the other, and takes some minutes.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::MUSL;
use super::cases::{self, Contestant};
use super::sample::{Line, reap};
use super::world::{Runtime, World};
use crate::cargo;

/// What waitpid(2) calls the stop behind an execve(2).
const EXEC: i32 = ptrace::Event::PTRACE_EVENT_EXEC as i32;

const LIST: &str = "crates/cli/order.txt";

/// What is run, the shortest first: what several of them run lies with the first.
const COMMANDS: &[&str] = &[
    "state",
    "kill",
    "delete",
    "start",
    "exec",
    "create",
    "run",
    "run-seccomp",
    "sandbox",
];

/// Steps through the commands and writes the list.
pub(crate) fn order() -> Result<()> {
    ensure!(cfg!(target_arch = "x86_64"), "order: for x86_64 only");
    println!("==> build crabcan (release, with symbols)");
    let target = cargo::workspace()?.join("target/order");
    let target = target.to_str().context("a path that is not UTF-8")?;
    let built = cargo::build(
        &[
            "build",
            "--release",
            "-p",
            "crabcan-cli",
            "--target",
            MUSL,
            "--target-dir",
            target,
            "--config",
            "profile.release.strip=false",
        ],
        None,
    )?;
    let program = cargo::program_crabcan(built)?;
    let functions = Functions::of(&program)?;
    let runtime = Runtime {
        name: "crabcan".into(),
        program,
        options: Vec::new(),
    };
    let world = World::new(vec![runtime], Vec::new())?;
    world.enter()?;
    let mut list = List::default();
    for case in COMMANDS {
        let Some((contestants, running)) = cases::contestants(&world, case)? else {
            bail!("order: what {case} needs is not installed");
        };
        let own = contestants.iter().find(|one| one.name == "crabcan");
        let traced = own
            .context("no crabcan among the programs")
            .and_then(|own| trace(own, &functions, &mut list));
        if let Some(running) = running {
            running.stop()?;
        }
        traced.with_context(|| format!("step through {case}"))?;
        println!("{case}: {} functions", list.names.len());
    }
    let path = cargo::workspace()?.join(LIST);
    fs::write(&path, list.names.join("\n") + "\n")
        .with_context(|| format!("write {}", path.display()))
}

fn trace(own: &Contestant, functions: &Functions, list: &mut List) -> Result<()> {
    own.around(|| {
        for line in &own.timed {
            step_through(line, |address| list.add(functions.at(address)))?;
        }
        reap(own.orphans)
    })
}

/// Where the functions of a program lie.
#[derive(Debug)]
struct Functions(BTreeMap<u64, (u64, Vec<String>)>);

impl Functions {
    fn of(program: &Path) -> Result<Functions> {
        let output = Command::new("nm").arg("--print-size").arg(program).output();
        let output = output.context("run nm (package binutils)")?;
        ensure!(output.status.success(), "nm: {}", output.status);
        let mut all = Functions(BTreeMap::new());
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let words: Vec<&str> = line.split(' ').collect();
            // Those of musl have no sections of their own, and lie together.
            let &[start, size, "t" | "T", name] = words.as_slice() else {
                continue;
            };
            if !name.starts_with("_R") {
                continue;
            }
            let number =
                |text| u64::from_str_radix(text, 16).with_context(|| format!("nm: {line}"));
            let place = all.0.entry(number(start)?).or_default();
            place.0 = place.0.max(number(size)?);
            place.1.push(name.to_owned());
        }
        ensure!(!all.0.is_empty(), "{}: no symbols", program.display());
        Ok(all)
    }

    /// The names of the function in which an instruction lies.
    fn at(&self, address: u64) -> Option<(u64, &[String])> {
        let (&start, (size, names)) = self.0.range(..=address).next_back()?;
        (address - start < *size).then_some((start, names.as_slice()))
    }
}

#[derive(Debug, Default)]
struct List {
    known: HashSet<u64>,
    names: Vec<String>,
}

impl List {
    fn add(&mut self, function: Option<(u64, &[String])>) {
        let Some((start, names)) = function else {
            return;
        };
        if self.known.insert(start) {
            for name in names.iter().map(|name| pattern(name)) {
                if !self.names.contains(&name) {
                    self.names.push(name);
                }
            }
        }
    }
}

/// A name as the linker finds it after other versions of the compiler and of the program, too.
///
/// Mangled names hold numbers of crates, as `Cs7BliBxkEZsN_4core`, and places in themselves, as `B12_`,
/// which depend on how long those are; they end with the crate that a generic function was made for
/// first, or with the number of a copy.
fn pattern(name: &str) -> String {
    let mut pattern = String::new();
    let (name, copy) = name.split_once('.').unwrap_or((name, ""));
    let mut rest = name;
    while let Some(at) = rest.find(['B', 'C']) {
        let (before, behind) = rest.split_at(at);
        pattern.push_str(before);
        let end = behind.find('_').unwrap_or(behind.len());
        let (number, next) = behind.split_at(end);
        let is_number = number.bytes().all(|one| one.is_ascii_alphanumeric());
        if number.starts_with("Cs") && is_number && is_last_crate(next) {
            return pattern + "*";
        }
        let known = match number.len() {
            1..=3 if number.starts_with('B') && is_number => 1,
            _ if number.starts_with("Cs") && is_number => 2,
            _ => 0,
        };
        if known > 0 && !next.is_empty() {
            pattern.push_str(&number[..known]);
            pattern.push('*');
            rest = next;
        } else {
            pattern.push_str(&behind[..1]);
            rest = &behind[1..];
        }
    }
    pattern + rest + if copy.is_empty() { "" } else { "*" }
}

/// Whether nothing stands behind the name of a crate, as `_4core`.
fn is_last_crate(text: &str) -> bool {
    let text = text.trim_start_matches('_');
    let name = text.trim_start_matches(|one: char| one.is_ascii_digit());
    let length = text[..text.len() - name.len()].parse();
    length == Ok(name.trim_start_matches('_').len()) || length == Ok(name.len())
}

/// Where a stopped process goes on.
fn instruction(pid: Pid) -> Result<u64> {
    let registers = ptrace::getregs(pid).context("read the registers")?;
    #[cfg(target_arch = "x86_64")]
    let at = registers.rip;
    #[cfg(target_arch = "aarch64")]
    let at = registers.pc;
    Ok(at)
}

/// Runs a command, and tells of every instruction of its first process.
fn step_through(line: &Line, mut at: impl FnMut(u64)) -> Result<()> {
    let shell = ["/bin/sh", "-c", r#"kill -STOP $$; exec "$@""#, "sh"];
    let child = line.behind(&shell).spawn()?;
    let pid = Pid::from_raw(i32::try_from(child.id()).context("a pid beyond i32")?);
    waitpid(pid, Some(WaitPidFlag::WUNTRACED)).context("wait for the shell")?;
    ptrace::seize(pid, ptrace::Options::PTRACE_O_TRACEEXEC).context("trace the shell")?;
    kill(pid, Signal::SIGCONT).context("continue the shell")?;
    loop {
        match waitpid(pid, None).context("wait for the shell")? {
            WaitStatus::PtraceEvent(_, _, libc_event) if libc_event == EXEC => break,
            WaitStatus::PtraceEvent(..) | WaitStatus::Stopped(..) => {
                ptrace::cont(pid, None).context("continue the shell")?;
            }
            other => bail!("the shell: {other:?}"),
        }
    }
    let mut signal = None;
    loop {
        at(instruction(pid)?);
        ptrace::step(pid, signal).context("step")?;
        signal = match waitpid(pid, None).context("wait for a step")? {
            WaitStatus::Exited(_, 0) => return Ok(()),
            WaitStatus::Stopped(_, Signal::SIGTRAP) | WaitStatus::PtraceEvent(..) => None,
            WaitStatus::Stopped(_, signal) => Some(signal),
            other => bail!("the command: {other:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_every_number_of_a_crate() {
        let name = "_RNvMNtCs7BliBxkEZsN_4core3str4trimCsaL18yR2AWFC_14rustc_demangle";
        let fits = "_RNvMNtCs*_4core3str4trim*";
        assert_eq!(pattern(name), fits);
        let name = "_RNvMs_NtCs9b9pN3FtJ8o_5alloc6BufferB12_E3newB4_.88";
        assert_eq!(pattern(name), "_RNvMs_NtCs*_5alloc6BufferB*_E3newB*_*");
    }

    #[test]
    fn an_address_belongs_to_the_function_around_it() {
        let names = vec!["one".to_owned()];
        let all = Functions(BTreeMap::from([(16, (4, names.clone()))]));
        assert_eq!(all.at(19), Some((16, names.as_slice())));
        assert_eq!(all.at(20), None);
        assert_eq!(all.at(15), None);
    }
}
