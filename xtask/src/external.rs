//! The suites that need programs of the distribution.

use anyhow::{Result, bail};

use crate::cargo;
use crate::programs;

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
            bail!("{}: {fault}\n{}", suite.label(), outcome.failures);
        }
        if outcome.counts.passed == 0 {
            bail!("{}: not one test was run", suite.label());
        }
    }
    Ok(())
}
