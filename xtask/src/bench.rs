//! `bench`: what each command costs beside other runtimes and beside the kernel's own work, in one
//! interleaved run.
//!
//! The method is the one of `docs/performance.md`: the programs take turns, medians and the 10th
//! percentile of the wall clock, CPU time, and ratios to the floor program, which does with raw
//! system calls what a runtime must do. A hot loop hides the waits for RCU grace periods: `--spaced`
//! measures 100 ms apart.

mod binds;
mod bundle;
mod cases;
mod memory;
mod order;
mod report;
mod sample;
mod throughput;
mod world;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::Uid;

pub(crate) use self::order::order;

use self::cases::{CASES, Contestant};
use self::sample::{Series, measure};
use self::world::{Runtime, World};
use crate::cargo;

const MUSL: &str = "x86_64-unknown-linux-musl";

/// The pause of the spaced form.
const PAUSE: Duration = Duration::from_millis(100);

const WARM_UP: usize = 3;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Options {
    cases: Vec<String>,
    rounds: usize,
    spaced: bool,
    with: Vec<(String, PathBuf)>,
    write: bool,
}

impl Options {
    fn parse(args: &[String]) -> Result<Options> {
        let mut options = Options {
            cases: Vec::new(),
            rounds: 0,
            spaced: false,
            with: Vec::new(),
            write: false,
        };
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            match arg.as_str() {
                "--spaced" => options.spaced = true,
                "--write" => options.write = true,
                "--rounds" => {
                    let value = rest.next().context("bench: --rounds needs a number")?;
                    options.rounds = value
                        .parse()
                        .with_context(|| format!("bench: --rounds {value}"))?;
                    ensure!(options.rounds > 0, "bench: --rounds needs a number above 0");
                }
                "--with" => {
                    let value = rest.next().context("bench: --with needs NAME=PROGRAM")?;
                    let (name, path) = value
                        .split_once('=')
                        .context("bench: --with needs NAME=PROGRAM")?;
                    options.with.push((name.to_owned(), path.into()));
                }
                case if is_case(case) => options.cases.push(arg.clone()),
                other => bail!("bench: unknown option or case {other}"),
            }
        }
        if options.rounds == 0 {
            options.rounds = if options.spaced { 40 } else { 200 };
        }
        Ok(options)
    }

    fn wants(&self, case: &str) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|one| one == case)
    }
}

fn is_case(name: &str) -> bool {
    const OTHER: &[&str] = &["binds", "throughput", "live", "memory"];
    CASES.iter().any(|(case, _)| *case == name) || OTHER.contains(&name)
}

/// Builds the programs and measures.
pub(crate) fn bench(args: &[String]) -> Result<()> {
    let options = Options::parse(args)?;
    ensure!(
        Uid::effective().is_root(),
        "bench: containers of all runtimes need root"
    );
    println!("==> build crabcan (release)");
    let crabcan = release_build()?;
    println!("==> measure");
    let world = World::new(runtimes(crabcan, &options.with), bubblewraps(&options.with))?;
    world.enter()?;
    let mut report = report::Report::new(&world, options.rounds, options.spaced)?;
    for (case, words) in CASES.iter().filter(|(case, _)| options.wants(case)) {
        match cases::contestants(&world, case)? {
            Some((contestants, running)) => {
                let series = rounds(&contestants, &options);
                if let Some(running) = running {
                    running.stop()?;
                }
                report.case(case, words, &series?);
            }
            None => report.left_out(case, "the engines' profile is not installed"),
        }
    }
    if options.wants("binds") {
        report.binds(&binds::many(&world)?);
    }
    if options.wants("throughput") {
        report.throughput(&throughput::at_once(&world)?);
    }
    if options.wants("live") {
        report.live(&throughput::beside_running(&world, options.rounds)?);
    }
    if options.wants("memory") {
        report.memory(&memory::peaks(&world)?);
    }
    if options.write {
        report.write()?;
    }
    Ok(())
}

/// Lets the contestants take turns.
fn rounds(contestants: &[Contestant], options: &Options) -> Result<Vec<Series>> {
    let empty = |one: &Contestant| Series {
        name: one.name.clone(),
        samples: Vec::new(),
    };
    let mut all: Vec<Series> = contestants.iter().map(empty).collect();
    for round in 0..options.rounds + WARM_UP {
        for (one, series) in contestants.iter().zip(&mut all) {
            let sample = one.around(|| {
                if options.spaced {
                    thread::sleep(PAUSE);
                }
                measure(&one.timed, one.orphans)
            })?;
            if round >= WARM_UP {
                series.samples.push(sample);
            }
        }
    }
    Ok(all)
}

/// crabcan, the packaged runtimes that are here, and those named on the command line.
fn runtimes(crabcan: PathBuf, with: &[(String, PathBuf)]) -> Vec<Runtime> {
    let mut all = vec![Runtime {
        name: "crabcan".into(),
        program: crabcan.clone(),
        options: Vec::new(),
    }];
    // Like beside like, where crun has no cgroup.
    let options = options_of("crun");
    if !options.is_empty() {
        println!("note: crun may not raise RLIMIT_MEMLOCK here: it is measured without a cgroup");
        all.push(Runtime {
            name: "crabcan-without-cgroup".into(),
            program: crabcan,
            options,
        });
    }
    for name in ["crun", "runc"] {
        let program = ["/usr/bin", "/usr/sbin"].map(|directory| Path::new(directory).join(name));
        match program.into_iter().find(|program| program.is_file()) {
            Some(program) => all.push(Runtime {
                name: name.into(),
                program,
                options: options_of(name),
            }),
            None => println!("note: no {name} here (package {name})"),
        }
    }
    let others = with.iter().filter(|(name, _)| !is_bubblewrap(name));
    all.extend(others.map(named));
    all
}

/// The packaged bubblewrap, and those named on the command line.
fn bubblewraps(with: &[(String, PathBuf)]) -> Vec<Runtime> {
    let packaged = ("bwrap".to_owned(), PathBuf::from("/usr/bin/bwrap"));
    let others = with.iter().filter(|(name, _)| is_bubblewrap(name));
    std::iter::once(&packaged)
        .chain(others)
        .map(named)
        .collect()
}

fn is_bubblewrap(name: &str) -> bool {
    name.starts_with("bwrap")
}

fn named((name, program): &(String, PathBuf)) -> Runtime {
    Runtime {
        name: name.clone(),
        program: program.clone(),
        options: options_of(name),
    }
}

/// crun raises `RLIMIT_MEMLOCK` before it loads a device program, and fails where it may not: then it
/// is measured without any cgroup, which is less than the others do, and crabcan once more so.
fn options_of(name: &str) -> Vec<String> {
    let unlimited = getrlimit(Resource::RLIMIT_MEMLOCK)
        .is_ok_and(|(_, hard)| hard == nix::sys::resource::RLIM_INFINITY);
    if unlimited || !name.starts_with("crun") {
        return Vec::new();
    }
    vec!["--cgroup-manager=disabled".to_owned()]
}

/// Static with musl where that target is installed: that is what a release is. All that tunes it
/// stands in `[profile.release]` and `.cargo/config.toml`.
pub(crate) fn release_build() -> Result<PathBuf> {
    let release = ["build", "--release", "-p", "crabcan-cli"];
    let built = if musl_is_installed()? {
        cargo::build(&[&release[..], &["--target", MUSL]].concat(), None)?
    } else {
        println!("note: not static: `rustup target add {MUSL}` is missing");
        cargo::build(&release, None)?
    };
    cargo::program_crabcan(built)
}

fn musl_is_installed() -> Result<bool> {
    let list = Command::new("rustup")
        .args(["target", "list", "--installed"])
        .current_dir(cargo::workspace()?)
        .output();
    // A toolchain without rustup is as good; it only cannot be asked.
    Ok(list.is_ok_and(|list| {
        String::from_utf8_lossy(&list.stdout)
            .lines()
            .any(|line| line == MUSL)
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn options(line: &str) -> Result<Options> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&args)
    }

    #[test]
    fn the_options() {
        let all = options("").unwrap();
        assert_eq!((all.rounds, all.spaced), (200, false));
        assert!(all.wants("exec"));
        assert_eq!(options("--spaced").unwrap().rounds, 40);
        let some = options("run exec --rounds 7 --with new=/x/crun").unwrap();
        assert!(some.wants("exec") && !some.wants("state"));
        assert_eq!((some.rounds, some.with[0].0.as_str()), (7, "new"));
        for bad in [
            "--rounds",
            "--rounds x",
            "--rounds 0",
            "--round 1",
            "--with x",
            "walk",
        ] {
            assert!(options(bad).is_err(), "{bad}");
        }
    }
}
