//! `test` and `test-root`: one build, three ways to run it.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

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

/// Everything that can run here.
pub(crate) fn test(args: &[String]) -> Result<()> {
    let mut parts = Parts::new("test");
    let mut built = None;
    parts.run("build crabcan and the tests", || {
        built = Some((cargo::build_crabcan()?, cargo::build_tests()?));
        Ok(())
    });
    if let Some((crabcan, tests)) = &built {
        run_built(&mut parts, crabcan, tests, args);
    }
    // A filter for test programs means nothing to the doc tests.
    if args.is_empty() {
        parts.run("doc tests", || {
            cargo::succeed(cargo::cargo()?.args(["test", "--doc", "--workspace"]))
        });
    }
    parts.finish()
}

fn run_built(parts: &mut Parts, crabcan: &Path, tests: &[Artifact], args: &[String]) {
    parts.run("ordinary tests", || {
        run_all("ordinary tests", tests.iter(), |test| {
            Ok(programs::run(as_caller(test, crabcan, args)))
        })
    });
    if Uid::effective().is_root() {
        parts.run(&format!("ordinary tests as uid {ORDINARY_ID}"), || {
            as_ordinary_user(crabcan, tests, args)
        });
        parts.run("privileged tests", || {
            run_privileged(crabcan, tests, args, Privilege::Root)
        });
    } else {
        println!("==> privileged tests: not run, they need root: `cargo xtask test-root`");
    }
}

/// The privileged tests: built as the caller, run as root.
pub(crate) fn test_root(args: &[String]) -> Result<()> {
    let privilege = Privilege::find()?;
    let mut parts = Parts::new("test-root");
    let mut built = None;
    parts.run("build crabcan and the tests", || {
        built = Some((cargo::build_crabcan()?, cargo::build_tests()?));
        Ok(())
    });
    if let Some((crabcan, tests)) = &built {
        parts.run("privileged tests", || {
            run_privileged(crabcan, tests, args, privilege)
        });
    }
    parts.finish()
}

/// How we come to root's rights.
#[derive(Debug, Clone, Copy)]
enum Privilege {
    Root,
    Sudo,
}

impl Privilege {
    fn find() -> Result<Privilege> {
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
}

fn run_privileged(
    crabcan: &Path,
    tests: &[Artifact],
    args: &[String],
    privilege: Privilege,
) -> Result<()> {
    let suites = tests.iter().filter(|test| test.is_suite("root"));
    run_all("privileged tests", suites, |test| {
        let mut command = match privilege {
            Privilege::Root => as_caller(test, crabcan, &[]),
            Privilege::Sudo => under_sudo(test, crabcan, env::vars_os()),
        };
        // One thread: the tests count processes and mounts of the whole machine.
        command.args(["--ignored", "--test-threads=1"]).args(args);
        Ok(programs::run(command))
    })
}

fn as_caller(test: &Artifact, crabcan: &Path, args: &[String]) -> Command {
    let mut command = programs::limited(&test.program);
    programs::without_cargo(&mut command);
    command
        .current_dir(&test.package)
        .env(BIN, crabcan)
        .args(args);
    command
}

/// sudo clears the environment, so the variables go through `env`.
fn under_sudo(
    test: &Artifact,
    crabcan: &Path,
    caller: impl Iterator<Item = (OsString, OsString)>,
) -> Command {
    let mut command = Command::new("sudo");
    command.args(["-n", "env"]).current_dir(&test.package);
    for (name, value) in caller {
        let shown = name.to_string_lossy();
        if (shown.starts_with("CRABCAN_") && shown != BIN) || shown == "RUST_BACKTRACE" {
            command.arg(assignment(&name, &value));
        }
    }
    command.arg(assignment(BIN.as_ref(), crabcan.as_os_str()));
    let limited = programs::limited(&test.program);
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
fn as_ordinary_user(crabcan: &Path, tests: &[Artifact], args: &[String]) -> Result<()> {
    let scratch = Scratch::new("crabcan-test")?;
    let crabcan = scratch.copy_program(crabcan)?;
    let home = scratch.owned_directory("home")?;
    let tmpdir = scratch.owned_directory("tmp")?;
    run_all("ordinary tests", tests.iter(), |test| {
        let copy = scratch.copy_program(&test.program)?;
        let mut command = programs::limited(&copy);
        command.args(args).current_dir(scratch.path()).env_clear();
        command
            .env("PATH", PATH)
            .env("HOME", &home)
            .env("TMPDIR", &tmpdir);
        command.env(BIN, &crabcan).env("RUST_BACKTRACE", "1");
        if let Some(value) = env::var_os("CRABCAN_TEST_REQUIRE") {
            command.env("CRABCAN_TEST_REQUIRE", value);
        }
        // std drops the supplementary groups when root sets another uid.
        command.uid(ORDINARY_ID).gid(ORDINARY_ID);
        Ok(programs::run(command))
    })
}

/// Runs the given programs, all of them, and fails if one did or if no test was run at all.
fn run_all<'a>(
    what: &str,
    tests: impl Iterator<Item = &'a Artifact>,
    run: impl Fn(&'a Artifact) -> Result<Outcome>,
) -> Result<()> {
    let mut sum = Counts::default();
    let mut failed = Vec::new();
    for test in tests {
        println!("--> {}", test.label());
        let outcome = run(test)?;
        sum += outcome.counts;
        if let Some(fault) = outcome.fault {
            println!("--> {} FAILED: {fault}", test.label());
            failed.push(test.label());
        }
    }
    println!("{what}: {sum}");
    ensure!(failed.is_empty(), "{}", failed.join(", "));
    // A suite that finds nothing to run can't fail, so it must not pass either.
    ensure!(sum.passed > 0, "not one test was run");
    Ok(())
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
        let command = under_sudo(&artifact(), Path::new("/w/crabcan"), caller.into_iter());
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
    fn no_test_at_all_is_a_failure() {
        let none = run_all("none", [].into_iter(), |_| bail!("never called"));
        assert_eq!(none.unwrap_err().to_string(), "not one test was run");
    }

    #[test]
    fn a_suite_whose_tests_are_all_ignored_is_a_failure() {
        let counts = Counts {
            programs: 1,
            ignored: 4,
            ..Counts::default()
        };
        let test = artifact();
        let result = run_all("ignored", [&test].into_iter(), |_| {
            Ok(Outcome {
                counts,
                fault: None,
            })
        });
        assert_eq!(result.unwrap_err().to_string(), "not one test was run");
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
            })
        });
        assert_eq!(result.unwrap_err().to_string(), "ns/tests/root.rs");
    }
}
