//! The suites that need programs of the distribution, and what they need.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::cargo;
use crate::programs;

/// The line that installs everything; it also stands in README.md and `.ci/run` (tidy compares).
pub(crate) const APT_LINE: &str = "apt-get install -y --no-install-recommends busybox-static bubblewrap sudo strace \
    libseccomp2 golang-github-containers-common";

/// Where the distribution puts libraries.
const LIBRARIES: &str = "/usr/lib64:/usr/lib/x86_64-linux-gnu:/usr/lib/aarch64-linux-gnu";

/// One program, library or file that a suite needs, and how its absence is told.
#[derive(Debug)]
struct Prerequisite {
    program: &'static str,
    package: &'static str,
    /// What is wrong with the program found, if anything.
    fault: fn(&Path) -> Option<String>,
}

const PREREQUISITES: &[Prerequisite] = &[
    Prerequisite {
        program: "busybox",
        package: "busybox-static",
        fault: not_static,
    },
    Prerequisite {
        program: "bwrap",
        package: "bubblewrap",
        fault: |_| None,
    },
    Prerequisite {
        program: "sudo",
        package: "sudo",
        fault: |_| None,
    },
    Prerequisite {
        program: "strace",
        package: "strace",
        fault: |_| None,
    },
    Prerequisite {
        program: "libseccomp.so.2",
        package: "libseccomp2",
        fault: |_| None,
    },
    Prerequisite {
        program: "containers/seccomp.json",
        package: "golang-github-containers-common",
        fault: |_| None,
    },
];

/// Whether everything is here. What is missing is said; under `CRABCAN_TEST_REQUIRE=1` it is a
/// failure.
pub(crate) fn prerequisites() -> Result<bool> {
    let path = env::var("PATH").unwrap_or_default();
    // Not in every ordinary user's PATH, but where the distribution may put them.
    let path = format!("{path}:/usr/sbin:/usr/bin:/sbin:/bin:{LIBRARIES}:/usr/share");
    let missing = missing(&path);
    if missing.is_empty() {
        println!("all programs that the suites need are here");
        return Ok(true);
    }
    for line in &missing {
        println!("missing: {line}");
    }
    println!("hint: {APT_LINE}");
    if env::var_os("CRABCAN_TEST_REQUIRE").is_some_and(|value| value == "1") {
        bail!(
            "missing, and CRABCAN_TEST_REQUIRE=1 is set: {}",
            missing.join("; ")
        );
    }
    println!("what needs them is not run (CRABCAN_TEST_REQUIRE=1 would make this a failure)");
    Ok(false)
}

/// The test targets `tests/external*.rs`: their ignored tests compare us with other programs.
pub(crate) fn suites() -> Result<()> {
    let crabcan = cargo::build_crabcan()?;
    let tests = cargo::build_tests()?;
    let mut suites = tests
        .iter()
        .filter(|test| test.is_suite("external"))
        .peekable();
    if suites.peek().is_none() {
        println!("there is no tests/external*.rs yet");
        return Ok(());
    }
    for suite in suites {
        println!("--> {}", suite.label());
        let mut command = programs::limited(&suite.program);
        programs::without_cargo(&mut command);
        command
            .current_dir(&suite.package)
            .env("CRABCAN_TEST_BIN", &crabcan)
            .args(["--ignored", "--show-output"]);
        let outcome = programs::run(command);
        if let Some(fault) = outcome.fault {
            bail!("{}: {fault}", suite.label());
        }
        if outcome.counts.passed == 0 {
            bail!("{}: not one test was run", suite.label());
        }
    }
    Ok(())
}

fn missing(path: &str) -> Vec<String> {
    let look = |wanted: &Prerequisite| {
        let package = wanted.package;
        match find(wanted.program, path) {
            None => Some(format!("{} (package {package})", wanted.program)),
            Some(found) => (wanted.fault)(&found).map(|fault| {
                format!(
                    "{} (package {package}): {} {fault}",
                    wanted.program,
                    found.display()
                )
            }),
        }
    };
    PREREQUISITES.iter().filter_map(look).collect()
}

fn find(program: &str, path: &str) -> Option<PathBuf> {
    path.split(':')
        .filter(|dir| !dir.is_empty())
        .map(|dir| Path::new(dir).join(program))
        .find(|file| file.is_file())
}

/// A busybox with an interpreter does not start in an empty root.
fn not_static(program: &Path) -> Option<String> {
    match fs::read(program) {
        Err(error) => Some(format!("cannot be read: {error}")),
        Ok(elf) => match interpreter(&elf) {
            None => Some("is no 64-bit ELF program".to_owned()),
            Some(true) => Some("is not statically linked".to_owned()),
            Some(false) => None,
        },
    }
}

/// Whether a little-endian ELF64 program asks for an interpreter (`PT_INTERP`, elf(5)).
fn interpreter(elf: &[u8]) -> Option<bool> {
    const PT_INTERP: u32 = 3;
    let half = |at: usize| Some(u16::from_le_bytes(elf.get(at..at + 2)?.try_into().ok()?));
    if elf.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let table = u64::from_le_bytes(elf.get(32..40)?.try_into().ok()?);
    let (size, count) = (usize::from(half(54)?), usize::from(half(56)?));
    for index in 0..count {
        let at = usize::try_from(table).ok()?.checked_add(index * size)?;
        let kind = elf.get(at..at.checked_add(4)?)?;
        if u32::from_le_bytes(kind.try_into().ok()?) == PT_INTERP {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn an_empty_path_lacks_everything() {
        let missing = missing("/nonexistent");
        assert_eq!(missing.len(), PREREQUISITES.len());
        assert_eq!(missing[0], "busybox (package busybox-static)");
    }

    #[test]
    fn every_package_stands_in_the_line() {
        for wanted in PREREQUISITES {
            assert!(APT_LINE.split(' ').any(|word| word == wanted.package));
        }
    }

    #[test]
    fn a_dynamic_busybox_is_told() {
        let scratch = Scratch::new("crabcan-unit").unwrap();
        // This test program itself: whatever it is, it must be told apart from a text.
        fs::write(scratch.path().join("busybox"), "#!/bin/sh\n").unwrap();
        let missing = missing(scratch.path().to_str().unwrap());
        assert!(
            missing[0].ends_with("is no 64-bit ELF program"),
            "{}",
            missing[0]
        );
    }

    #[test]
    fn the_interpreter_is_found_in_the_program_headers() {
        let mut elf = vec![0; 64 + 56];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[32] = 64;
        elf[54] = 56;
        elf[56] = 1;
        assert_eq!(interpreter(&elf), Some(false));
        elf[64] = 3;
        assert_eq!(interpreter(&elf), Some(true));
        elf.truncate(64);
        assert_eq!(interpreter(&elf), None);
    }
}
