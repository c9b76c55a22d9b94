//! `test` and `test-root`: one build, three ways to run it.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use nix::unistd::Uid;

use crate::cargo::{self, Artifact};
use crate::parts::Parts;
use crate::programs::{self, Counts, Outcome};
use crate::scratch::{ORDINARY_ID, Scratch};

/// Where the tests find the program.
const BIN: &str = "CRABCAN_TEST_BIN";

/// What an ordinary user's login would search, without the caller's own directories.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What was built once and is run in several ways.
#[derive(Debug, Clone)]
pub(crate) struct Built {
    pub(crate) crabcan: PathBuf,
    pub(crate) tests: Vec<Artifact>,
}

impl Built {
    pub(crate) fn build() -> Result<Built> {
        Ok(Built {
            crabcan: cargo::build_crabcan()?,
            tests: cargo::build_tests()?,
        })
    }
}

/// Everything that can run here.
pub(crate) fn test(args: &[String]) -> Result<()> {
    let mut parts = Parts::new("test");
    let mut built = None;
    parts.run("build crabcan and the tests", || {
        built = Some(Built::build()?);
        Ok(())
    });
    if let Some(built) = &built {
        run_built(&mut parts, built, args);
    }
    // A filter for test programs means nothing to the doc tests.
    if args.is_empty() {
        parts.run("doc tests", || {
            cargo::succeed(cargo::cargo()?.args(["test", "--doc", "--workspace"]))
        });
    }
    parts.finish()
}

fn run_built(parts: &mut Parts, built: &Built, args: &[String]) {
    let mut passed = 0;
    let mut part = |name: &str, run: &dyn Fn() -> Result<u32>| {
        parts.run(name, || {
            let count = run()?;
            passed += count;
            // A name given by hand may belong to one of the parts only.
            ensure!(count > 0 || !args.is_empty(), NO_TEST);
            Ok(())
        });
    };
    part("ordinary tests", &|| as_caller(built, args));
    if Uid::effective().is_root() {
        let name = format!("ordinary tests as uid {ORDINARY_ID}");
        part(&name, &|| as_ordinary_user(built, args));
        part("privileged tests", &|| {
            ignored(built, "root", Extent::Quick, args, Privilege::Root)
        });
    } else {
        println!("==> privileged tests: not run, they need root: `cargo xtask test-root`");
    }
    // What has failed has said so itself, and its tests are not counted.
    if passed == 0 && parts.are_ok() {
        parts.run("all tests", || bail!(NO_TEST));
    }
}

/// The privileged tests: built as the caller, run as root.
pub(crate) fn test_root(args: &[String]) -> Result<()> {
    let privilege = Privilege::find()?;
    let mut parts = Parts::new("test-root");
    let mut built = None;
    parts.run("build crabcan and the tests", || {
        built = Some(Built::build()?);
        Ok(())
    });
    if let Some(built) = &built {
        parts.run("privileged tests", || {
            ensure!(
                ignored(built, "root", Extent::Quick, args, privilege)? > 0,
                NO_TEST
            );
            Ok(())
        });
    }
    parts.finish()
}

/// The suites of attackers and of faults: `tests/security*.rs` and `tests/faults*.rs`, run as root.
/// `--full` takes the long forms of their races.
pub(crate) fn test_hardening(suite: &'static str, args: &[String]) -> Result<()> {
    let privilege = Privilege::find()?;
    let (full, args): (Vec<String>, Vec<String>) =
        args.iter().cloned().partition(|arg| arg == "--full");
    let extent = match full.is_empty() {
        true => Extent::Quick,
        false => Extent::Full,
    };
    let mut parts = Parts::new(match suite {
        "security" => "test-security",
        _ => "test-faults",
    });
    let mut built = None;
    parts.run("build crabcan and the tests", || {
        built = Some(Built {
            crabcan: cargo::build_crabcan()?,
            tests: cargo::build_tests_of("crabcan-cli")?,
        });
        Ok(())
    });
    if let Some(built) = &built {
        parts.run(suite, || {
            ensure!(
                ignored(built, suite, extent, &args, privilege)? > 0,
                NO_TEST
            );
            Ok(())
        });
    }
    parts.finish()
}

/// How long the races of a suite are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    Quick,
    Full,
}

/// Tells the tests that they are to take their time.
const FULL: &str = "CRABCAN_TEST_FULL";
/// How long a program of faults may run: a minute or two, and more where others are at work.
const FAULTS_LIMIT_S: u64 = 600;
/// How long a program of a full suite may run, in seconds.
const FULL_LIMIT_S: u64 = 7200;

/// A suite that finds nothing to run can't fail, so it must not pass either.
pub(crate) const NO_TEST: &str = "not one test was run";

/// How we come to root's rights.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Privilege {
    Root,
    Sudo,
}

impl Privilege {
    pub(crate) fn find() -> Result<Privilege> {
        if Uid::effective().is_root() {
            return Ok(Privilege::Root);
        }
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "true"])
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        match sudo.status() {
            Ok(status) if status.success() => Ok(Privilege::Sudo),
            Ok(_) => bail!(
                "the privileged tests need root, and `sudo -n true` is refused: \
                 run them as root, or call `sudo -v` first"
            ),
            Err(error) => bail!("the privileged tests need root, and there is no sudo: {error}"),
        }
    }

    /// The command that starts a program with root's rights.
    pub(crate) fn command(self, program: &str) -> Command {
        match self {
            Privilege::Root => Command::new(program),
            Privilege::Sudo => {
                let mut sudo = Command::new("sudo");
                sudo.args(["-n", program]);
                sudo
            }
        }
    }
}

/// The ignored tests in `tests/<suite>*.rs`, with root's rights.
pub(crate) fn ignored(
    built: &Built,
    suite: &str,
    extent: Extent,
    args: &[String],
    privilege: Privilege,
) -> Result<u32> {
    let suites = built.tests.iter().filter(|test| test.is_suite(suite));
    run_all(&format!("{suite} tests"), suites, |test| {
        let mut command = match privilege {
            Privilege::Root => here(test, &built.crabcan, extent),
            Privilege::Sudo => under_sudo(test, &built.crabcan, extent, env::vars_os()),
        };
        // One thread: the tests count processes and mounts of the whole machine. The output of a
        // test that passed may say that it could not do all it is for.
        let fixed = ["--ignored", "--test-threads=1", "--show-output"];
        command.args(fixed).args(args);
        Ok(programs::run(command))
    })
}

fn as_caller(built: &Built, args: &[String]) -> Result<u32> {
    run_all("ordinary tests", built.tests.iter(), |test| {
        let mut command = here(test, &built.crabcan, Extent::Quick);
        command.args(args);
        Ok(programs::run(command))
    })
}

/// The command that runs a test as `cargo test` would.
fn here(test: &Artifact, crabcan: &Path, extent: Extent) -> Command {
    let mut command = limited(test, extent);
    programs::without_cargo(&mut command);
    command.current_dir(&test.package).env(BIN, crabcan);
    match extent {
        Extent::Quick => command.env_remove(FULL),
        Extent::Full => command.env(FULL, "1"),
    };
    command
}

fn limited(test: &Artifact, extent: Extent) -> Command {
    match extent {
        Extent::Quick if test.is_suite("faults") => {
            programs::limited_to(&test.program, FAULTS_LIMIT_S)
        }
        Extent::Quick => programs::limited(&test.program),
        Extent::Full => programs::limited_to(&test.program, FULL_LIMIT_S),
    }
}

/// sudo clears the environment, so the variables go through `env`.
fn under_sudo(
    test: &Artifact,
    crabcan: &Path,
    extent: Extent,
    caller: impl Iterator<Item = (OsString, OsString)>,
) -> Command {
    let mut command = Command::new("sudo");
    command.args(["-n", "env"]).current_dir(&test.package);
    for (name, value) in caller {
        let shown = name.to_string_lossy();
        let ours = shown.starts_with("CRABCAN_") && shown != BIN && shown != FULL;
        if ours || shown == "RUST_BACKTRACE" {
            command.arg(assignment(&name, &value));
        }
    }
    command.arg(assignment(BIN.as_ref(), crabcan.as_os_str()));
    if extent == Extent::Full {
        command.arg(assignment(FULL.as_ref(), "1".as_ref()));
    }
    let limited = limited(test, extent);
    command.arg(limited.get_program()).args(limited.get_args());
    command
}

fn assignment(name: &std::ffi::OsStr, value: &std::ffi::OsStr) -> OsString {
    let mut word = name.to_owned();
    word.push("=");
    word.push(value);
    word
}

/// The same programs once more, far from the source tree and with nobody's rights.
fn as_ordinary_user(built: &Built, args: &[String]) -> Result<u32> {
    from_copies(built, args, ORDINARY_ID)
}

/// The same programs once more, from copies that stand by themselves, as a user and group.
pub(crate) fn from_copies(built: &Built, args: &[String], id: u32) -> Result<u32> {
    let scratch = Scratch::new("crabcan-test")?;
    let crabcan = scratch.copy_program(&built.crabcan)?;
    let home = scratch.owned_directory("home", id)?;
    let tmpdir = scratch.owned_directory("tmp", id)?;
    run_all("ordinary tests", built.tests.iter(), |test| {
        let copy = scratch.copy_program(&test.program)?;
        let mut command = programs::limited(&copy);
        // Not the scratch directory: a sandbox would show it, closed to the ids of root's containers.
        command.args(args).current_dir("/").env_clear();
        command
            .env("PATH", PATH)
            .env("HOME", &home)
            .env("TMPDIR", &tmpdir);
        command.env(BIN, &crabcan).env("RUST_BACKTRACE", "1");
        if let Some(value) = env::var_os("CRABCAN_TEST_REQUIRE") {
            command.env("CRABCAN_TEST_REQUIRE", value);
        }
        // std drops the supplementary groups when root sets another uid.
        command.uid(id).gid(id);
        Ok(programs::run(command))
    })
}

/// Runs the given programs, all of them, and returns how many tests passed; fails if one did.
fn run_all<'a>(
    what: &str,
    tests: impl Iterator<Item = &'a Artifact>,
    run: impl Fn(&'a Artifact) -> Result<Outcome>,
) -> Result<u32> {
    let mut sum = Counts::default();
    let mut figures = BTreeMap::<String, u64>::new();
    let mut failed = Vec::new();
    for test in tests {
        println!("--> {}", test.label());
        let start = Instant::now();
        let outcome = run(test)?;
        let seconds = start.elapsed().as_secs_f32();
        sum += outcome.counts;
        for (what, number) in outcome.figures {
            *figures.entry(what).or_default() += number;
        }
        match outcome.fault {
            None => println!("--> {}: ok, {seconds:.1} s", test.label()),
            Some(fault) => {
                println!("--> {}: FAILED, {seconds:.1} s: {fault}", test.label());
                failed.push(format!("{}: {fault}\n{}", test.label(), outcome.failures));
            }
        }
    }
    println!("{what}: {sum}");
    for (figure, number) in &figures {
        println!("{what}: {number} {figure}");
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(sum.passed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn artifact() -> Artifact {
        Artifact {
            target: "root".into(),
            source: "/w/crates/ns/tests/root.rs".into(),
            package: "/w/crates/ns".into(),
            program: "/w/target/root-1".into(),
            test: true,
        }
    }

    #[test]
    fn sudo_gets_the_variables_as_words() {
        let caller = [
            ("CRABCAN_TEST_REQUIRE", "1"),
            (BIN, "/old"),
            ("LD_PRELOAD", "/x"),
        ];
        let caller = caller.map(|(name, value)| (name.into(), value.into()));
        let command = under_sudo(
            &artifact(),
            Path::new("/w/crabcan"),
            Extent::Quick,
            caller.into_iter(),
        );
        let words: Vec<_> = command
            .get_args()
            .map(|arg| arg.to_str().unwrap())
            .collect();
        let start = [
            "-n",
            "env",
            "CRABCAN_TEST_REQUIRE=1",
            "CRABCAN_TEST_BIN=/w/crabcan",
        ];
        assert_eq!(words[..4], start);
        assert_eq!(words[4], "timeout");
        assert_eq!(words.last(), Some(&"/w/target/root-1"));
    }

    #[test]
    fn ignored_tests_do_not_count_as_run() {
        let counts = Counts {
            programs: 1,
            passed: 0,
            ignored: 4,
            ..Counts::default()
        };
        let test = artifact();
        let result = run_all("ignored", [&test].into_iter(), |_| {
            Ok(Outcome {
                counts,
                ..Outcome::default()
            })
        });
        assert_eq!(result.unwrap(), 0);
    }

    #[test]
    fn a_failed_program_is_named() {
        let counts = Counts {
            programs: 1,
            passed: 4,
            ..Counts::default()
        };
        let test = artifact();
        let result = run_all("broken", [&test].into_iter(), |_| {
            Ok(Outcome {
                counts,
                fault: Some("exit status: 101".to_owned()),
                failures: "why".to_owned(),
                ..Outcome::default()
            })
        });
        let expected = "ns/tests/root.rs: exit status: 101\nwhy";
        assert_eq!(result.unwrap_err().to_string(), expected);
    }
}
