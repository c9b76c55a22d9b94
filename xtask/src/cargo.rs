//! Calls of cargo, and what it says it has built.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// One program that cargo has built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Artifact {
    /// The name of the target: of a library, a binary or a file in `tests/`.
    pub(crate) target: String,
    /// The target's main source file.
    pub(crate) source: PathBuf,
    /// The directory of the package.
    pub(crate) package: PathBuf,
    pub(crate) program: PathBuf,
    /// Built with the test harness.
    pub(crate) test: bool,
}

impl Artifact {
    /// Whether it comes from `tests/<prefix>*.rs` or `tests/<prefix>*/main.rs`.
    pub(crate) fn is_suite(&self, prefix: &str) -> bool {
        let mut parts = match self.source.strip_prefix(&self.package) {
            Ok(path) => path.iter(),
            Err(_) => return false,
        };
        parts.next().is_some_and(|dir| dir == "tests")
            && parts
                .next()
                .is_some_and(|file| file.to_string_lossy().starts_with(prefix))
    }

    /// How the target is called in what we print.
    pub(crate) fn label(&self) -> String {
        let package = self.package.file_name().unwrap_or_default();
        let source = self.source.strip_prefix(&self.package);
        let source = source.unwrap_or(&self.source);
        format!("{}/{}", package.to_string_lossy(), source.display())
    }
}

/// The root of the workspace.
pub(crate) fn workspace() -> Result<PathBuf> {
    // Cargo sets the variable for `cargo run`; the compile-time value serves a direct start.
    let own = env::var_os("CARGO_MANIFEST_DIR")
        .unwrap_or_else(|| OsString::from(env!("CARGO_MANIFEST_DIR")));
    let root = Path::new(&own)
        .parent()
        .context("xtask has no parent directory")?;
    Ok(root.to_owned())
}

/// The cargo that started us.
pub(crate) fn cargo() -> Result<Command> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace()?).stdin(Stdio::null());
    Ok(command)
}

/// Runs a command to its end; anything but success is an error that names the command.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let name = describe(command);
    let status = command.status().with_context(|| format!("run `{name}`"))?;
    ensure!(status.success(), "`{name}`: {status}");
    Ok(())
}

fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut words = vec![program.file_name().unwrap_or_default().to_string_lossy()];
    words.extend(command.get_args().map(|arg| arg.to_string_lossy()));
    words.join(" ")
}

/// Runs a building cargo command and returns the programs that it built or found fresh.
pub(crate) fn build(args: &[&str], rustflags: Option<&str>) -> Result<Vec<Artifact>> {
    let mut command = cargo()?;
    command
        .args(args)
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit());
    if let Some(flags) = rustflags {
        command.env("RUSTFLAGS", flags);
    }
    let name = describe(&command);
    let output = command.output().with_context(|| format!("run `{name}`"))?;
    ensure!(output.status.success(), "`{name}`: {}", output.status);
    Ok(artifacts(&String::from_utf8_lossy(&output.stdout)))
}

/// The `crabcan` program, as `cargo build` makes it.
pub(crate) fn build_crabcan() -> Result<PathBuf> {
    let built = build(&["build", "-p", "crabcan-cli"], None)?;
    program_crabcan(built)
}

/// Picks `crabcan` out of what was built.
pub(crate) fn program_crabcan(built: Vec<Artifact>) -> Result<PathBuf> {
    match built.into_iter().find(|made| made.target == "crabcan") {
        Some(made) => Ok(made.program),
        None => bail!("crates/cli built no program called crabcan"),
    }
}

/// Every test program of the workspace, built once for all the ways to run them.
pub(crate) fn build_tests() -> Result<Vec<Artifact>> {
    let mut built = build(&["test", "--workspace", "--no-run"], None)?;
    built.retain(|made| made.test);
    ensure!(!built.is_empty(), "cargo built no test programs");
    Ok(built)
}

/// The test programs of one package.
pub(crate) fn build_tests_of(package: &str) -> Result<Vec<Artifact>> {
    let mut built = build(&["test", "-p", package, "--no-run"], None)?;
    built.retain(|made| made.test);
    ensure!(!built.is_empty(), "cargo built no test programs");
    Ok(built)
}

/// Reads cargo's messages. A quotation mark inside a JSON string is escaped, so the pattern
/// `"key":"` cannot stand inside a value, and the few fields needed are found without a parser.
fn artifacts(messages: &str) -> Vec<Artifact> {
    messages.lines().filter_map(artifact).collect()
}

fn artifact(line: &str) -> Option<Artifact> {
    if !line.starts_with(r#"{"reason":"compiler-artifact""#) {
        return None;
    }
    // `"test":true` stands in the target too, where it only means that it could be tested.
    let profile = line.split_once(r#""profile":{"#)?.1.split_once('}')?.0;
    Some(Artifact {
        target: field(line.split_once(r#""target":{"#)?.1, "name")?,
        source: field(line, "src_path")?.into(),
        package: Path::new(&field(line, "manifest_path")?).parent()?.into(),
        program: field(line, "executable")?.into(),
        test: profile.contains(r#""test":true"#),
    })
}

/// The value of a JSON field that is a string; `None` if it is absent, null, or damaged.
fn field(line: &str, key: &str) -> Option<String> {
    let start = line.split_once(&format!(r#""{key}":""#))?.1;
    let mut value = String::new();
    let mut rest = start.chars();
    loop {
        match rest.next()? {
            '"' => return Some(value),
            '\\' => value.push(match rest.next()? {
                'n' => '\n',
                't' => '\t',
                'u' => {
                    let digits: String = rest.by_ref().take(4).collect();
                    char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
                }
                other => other,
            }),
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST: &str = r#"{"reason":"compiler-artifact","package_id":"path+file:///w/crates/ns#0.1.0","manifest_path":"/w/crates/ns/Cargo.toml","target":{"kind":["test"],"crate_types":["bin"],"name":"root","src_path":"/w/crates/ns/tests/root.rs","edition":"2024","doc":false,"doctest":false,"test":true},"profile":{"opt_level":"0","debuginfo":2,"debug_assertions":true,"overflow_checks":true,"test":true},"features":[],"filenames":["/w/t/root-1"],"executable":"/w/t/a \"b\" \u00e9/root-1","fresh":true}"#;

    #[test]
    fn a_test_program_is_found_with_its_escapes() {
        let found = artifacts(TEST);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].program, Path::new("/w/t/a \"b\" é/root-1"));
        assert_eq!(found[0].target, "root");
        assert!(found[0].test);
        assert!(found[0].is_suite("root"));
        assert!(!found[0].is_suite("external"));
        assert_eq!(found[0].label(), "ns/tests/root.rs");
    }

    #[test]
    fn a_target_that_could_be_tested_is_not_a_test_program() {
        let plain = TEST.replace(
            r#"checks":true,"test":true"#,
            r#"checks":true,"test":false"#,
        );
        assert!(!artifacts(&plain)[0].test);
    }

    #[test]
    fn other_messages_and_libraries_are_passed_over() {
        let library = TEST.replace(
            r#""executable":"/w/t/a \"b\" \u00e9/root-1""#,
            r#""executable":null"#,
        );
        assert_eq!(artifacts(&library), []);
        assert_eq!(artifacts("{\"reason\":\"build-finished\"}\nnoise"), []);
    }

    #[test]
    fn a_damaged_field_is_none() {
        assert_eq!(field(r#""name":"abc"#, "name"), None);
        assert_eq!(field(r#""name":"\u12"#, "name"), None);
    }

    #[test]
    fn a_unit_test_is_no_suite() {
        let unit = TEST.replace("tests/root.rs", "src/root.rs");
        assert!(!artifacts(&unit)[0].is_suite("root"));
    }
}
