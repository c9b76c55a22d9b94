//! `bench`: what the start of a sandbox costs beside bubblewrap's, in one interleaved run.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::unistd::Uid;

use crate::cargo;
use crate::prerequisites::APT_LINE;
use crate::scratch::{ORDINARY_ID, Scratch};

/// The hidden task that measures, started again as the ordinary user.
pub(crate) const MEASURE: &str = "bench-measure";

const MUSL: &str = "x86_64-unknown-linux-musl";
const STATIC: &str = "-C target-feature=+crt-static -C relocation-model=static";

/// The pause of the spaced form: a hot loop hides the waits for RCU grace periods.
const PAUSE: Duration = Duration::from_millis(100);

const WARM_UP: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Options {
    rounds: usize,
    spaced: bool,
}

impl Options {
    fn parse(args: &[String]) -> Result<Options> {
        let spaced = args.iter().any(|arg| arg == "--spaced");
        let mut rounds = if spaced { 40 } else { 200 };
        let mut rest = args.iter().filter(|arg| *arg != "--spaced");
        while let Some(arg) = rest.next() {
            ensure!(arg == "--rounds", "bench: unknown option {arg}");
            let value = rest.next().context("bench: --rounds needs a number")?;
            rounds = value
                .parse()
                .with_context(|| format!("bench: --rounds {value}"))?;
            ensure!(rounds > 0, "bench: --rounds needs a number above 0");
        }
        Ok(Options { rounds, spaced })
    }
}

/// Builds the program and starts the measuring process.
pub(crate) fn bench(args: &[String]) -> Result<()> {
    Options::parse(args)?;
    println!("==> build crabcan (release)");
    let built = release_build()?;
    println!("==> measure");
    if !Uid::effective().is_root() {
        return measure(&with_program(built, args)?);
    }
    let scratch = Scratch::new("crabcan-bench")?;
    let own = std::env::current_exe().context("find xtask's own program")?;
    let program = scratch.copy_program(&built)?;
    let home = scratch.owned_directory("home")?;
    let mut command = Command::new(scratch.copy_program(&own)?);
    command.arg(MEASURE).args(with_program(program, args)?);
    command.current_dir("/").env_clear().env("HOME", home);
    command
        .env("PATH", "/usr/bin:/bin")
        .uid(ORDINARY_ID)
        .gid(ORDINARY_ID);
    cargo::succeed(&mut command)
}

fn with_program(program: PathBuf, args: &[String]) -> Result<Vec<String>> {
    let Ok(program) = program.into_os_string().into_string() else {
        bail!("the path of the program is not UTF-8");
    };
    Ok([&[program], args].concat())
}

/// Static with musl where that target is installed: that is what a release is.
fn release_build() -> Result<PathBuf> {
    let release = ["build", "--release", "-p", "crabcan-cli"];
    let built = if musl_is_installed()? {
        let args = [&release[..], &["--target", MUSL]].concat();
        cargo::build(&args, Some(STATIC))?
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

/// Measures; `args` are the path of `crabcan` and the options of `bench`.
pub(crate) fn measure(args: &[String]) -> Result<()> {
    let (crabcan, args) = args
        .split_first()
        .context("the path of crabcan is missing")?;
    let options = Options::parse(args)?;
    let bwrap = "bwrap --unshare-all --ro-bind / / --proc /proc --dev /dev /bin/true";
    let lines = [
        ("crabcan", vec![crabcan.as_str(), "--", "/bin/true"]),
        ("bwrap", bwrap.split(' ').collect()),
        ("bare", vec!["/bin/true"]),
    ];
    let mut series: Vec<Series> = lines.iter().map(|(name, _)| Series::new(name)).collect();
    for round in 0..options.rounds + WARM_UP {
        for ((_, line), series) in lines.iter().zip(&mut series) {
            if options.spaced {
                thread::sleep(PAUSE);
            }
            let sample = once(line)?;
            if round >= WARM_UP {
                series.samples.push(sample);
            }
        }
    }
    let pause = if options.spaced {
        "100 ms apart"
    } else {
        "hot loop"
    };
    println!(
        "{} rounds, interleaved, {pause}, uid {}",
        options.rounds,
        Uid::effective()
    );
    print!("{}", table(&series));
    Ok(())
}

/// The wall and the CPU time (user and system, with all waited-for descendants) of one run, in µs.
#[derive(Debug, Clone, Copy)]
struct Sample {
    wall: i64,
    cpu: i64,
}

fn once(line: &[&str]) -> Result<Sample> {
    let (program, args) = line.split_first().context("an empty command")?;
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    let before = cpu_of_children()?;
    // std's Instant is CLOCK_MONOTONIC.
    let start = Instant::now();
    let status = match command.status() {
        Ok(status) => status,
        Err(error) if *program == "bwrap" => bail!("bwrap: {error}\nhint: {APT_LINE}"),
        Err(error) => return Err(error).context(format!("run {program}")),
    };
    let wall = i64::try_from(start.elapsed().as_micros()).context("a run without end")?;
    ensure!(status.success(), "`{}`: {status}", line.join(" "));
    Ok(Sample {
        wall,
        cpu: cpu_of_children()? - before,
    })
}

/// All that is added between two calls comes from the one child waited for between them.
fn cpu_of_children() -> Result<i64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("getrusage")?;
    let micros = |time: TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    Ok(micros(usage.user_time()) + micros(usage.system_time()))
}

#[derive(Debug)]
struct Series {
    name: &'static str,
    samples: Vec<Sample>,
}

impl Series {
    fn new(name: &'static str) -> Series {
        Series {
            name,
            samples: Vec::new(),
        }
    }

    /// The sample below which `percent` of them lie, in milliseconds.
    fn percentile(&self, percent: usize, value: impl Fn(&Sample) -> i64) -> f64 {
        let mut values: Vec<i64> = self.samples.iter().map(value).collect();
        values.sort_unstable();
        let index = values.len().saturating_sub(1) * percent / 100;
        values
            .get(index)
            .map_or(f64::NAN, |&micros| micros as f64 / 1000.0)
    }
}

fn table(series: &[Series]) -> String {
    let mut text = format!(
        "{:10}{:>12}{:>12}{:>12}\n",
        "ms", "median", "10th", "CPU median"
    );
    for one in series {
        let (median, low) = (
            one.percentile(50, |s| s.wall),
            one.percentile(10, |s| s.wall),
        );
        let cpu = one.percentile(50, |s| s.cpu);
        text += &format!("{:10}{median:12.3}{low:12.3}{cpu:12.3}\n", one.name);
    }
    if let [crabcan, bwrap, ..] = series {
        let ratio =
            |value: fn(&Sample) -> i64| crabcan.percentile(50, value) / bwrap.percentile(50, value);
        let (wall, cpu) = (ratio(|s| s.wall), ratio(|s| s.cpu));
        text += &format!("crabcan : bwrap = {wall:.3} (wall), {cpu:.3} (CPU), of medians\n");
    }
    text
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
        assert_eq!(
            options("").unwrap(),
            Options {
                rounds: 200,
                spaced: false
            }
        );
        assert_eq!(
            options("--spaced").unwrap(),
            Options {
                rounds: 40,
                spaced: true
            }
        );
        assert_eq!(
            options("--rounds 7 --spaced").unwrap(),
            Options {
                rounds: 7,
                spaced: true
            }
        );
        for bad in ["--rounds", "--rounds x", "--rounds 0", "--round 1"] {
            assert!(options(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn percentiles_and_ratio() {
        let series = |name, factor| Series {
            name,
            samples: (1..=101)
                .rev()
                .map(|n| Sample {
                    wall: n * factor,
                    cpu: n,
                })
                .collect(),
        };
        let (a, b) = (series("crabcan", 1000), series("bwrap", 2000));
        assert!((a.percentile(50, |s| s.wall) - 51.0).abs() < 1e-9);
        assert!((a.percentile(10, |s| s.wall) - 11.0).abs() < 1e-9);
        assert!(table(&[a, b]).contains("= 0.500 (wall), 1.000 (CPU)"));
    }

    #[test]
    fn a_failing_payload_is_no_sample() {
        assert!(once(&["/bin/false"]).is_err());
        assert!(once(&["/bin/true"]).unwrap().wall > 0);
    }
}
