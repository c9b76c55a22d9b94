//! The engines' real profiles, and a reading of them that uses none of ours.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

use crabcan_seccomp::{Action, Comparison, Operator};
use serde_json::Value;

use super::beside::{Line, missing};

/// podman's, from the package golang-github-containers-common.
const PODMAN: &str = "/usr/share/containers/seccomp.json";
/// docker's is built into dockerd. As a file it is in a package for developers only, which would
/// bring 245 others: it is unpacked here, not installed.
const DOCKER: &str = "usr/share/gocode/src/github.com/docker/docker/profiles/seccomp/default.json";
const DOCKER_PACKAGE: &str = "golang-github-docker-docker-dev";
/// More of them, as `PATH` has directories.
const MORE: &str = "CRABCAN_TEST_PROFILES";

/// All profiles that can be had, with what to call them.
pub(crate) fn profiles() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    match fs::read(PODMAN) {
        Ok(text) => all.push((format!("podman's ({PODMAN})"), text)),
        Err(error) => missing(&format!("{PODMAN}: {error}")),
    }
    match docker() {
        Ok(text) => all.push((format!("docker's ({DOCKER_PACKAGE})"), text)),
        Err(error) => missing(&format!("profile of docker's: {error}")),
    }
    let more = env::var_os(MORE).unwrap_or_default();
    for path in env::split_paths(&more).filter(|path| !path.as_os_str().is_empty()) {
        all.push((path.display().to_string(), fs::read(&path).unwrap()));
    }
    all
}

/// docker's profile: installed, or out of its package.
fn docker() -> io::Result<Vec<u8>> {
    let installed = Path::new("/").join(DOCKER);
    if installed.exists() {
        return fs::read(installed);
    }
    let directory = env::temp_dir().join(format!("crabcan-profiles-{}", std::process::id()));
    fs::create_dir(&directory)?;
    let text = unpacked(&directory);
    fs::remove_dir_all(&directory)?;
    text
}

fn unpacked(directory: &Path) -> io::Result<Vec<u8>> {
    run(Command::new("apt-get")
        .args(["-q", "download", DOCKER_PACKAGE])
        .current_dir(directory))?;
    let files = fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path()));
    let files: Vec<PathBuf> = files.collect::<io::Result<_>>()?;
    run(Command::new("dpkg-deb")
        .arg("-x")
        .args(files)
        .arg(directory))?;
    fs::read(directory.join(DOCKER))
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{command:?}: {}", text.trim())))
}

fn word<T: std::str::FromStr<Err: std::fmt::Debug>>(value: &Value) -> T {
    value.as_str().unwrap().parse().unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// Whether a rule of the file is for a container with these capabilities.
fn is_for(entry: &Value, machine: &str, capabilities: &[&str]) -> bool {
    let has = |list: &Value| -> Vec<bool> {
        let words = list.as_array().into_iter().flatten();
        words
            .map(|word| capabilities.contains(&word.as_str().unwrap()))
            .collect()
    };
    let arch = |list: &Value| {
        let words: Vec<&str> = list
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        (!words.is_empty()).then(|| words.contains(&machine))
    };
    let (includes, excludes) = (&entry["includes"], &entry["excludes"]);
    has(&includes["caps"]).iter().all(|has| *has)
        && !has(&excludes["caps"]).contains(&true)
        && arch(&includes["arches"]) != Some(false)
        && arch(&excludes["arches"]) != Some(true)
}

/// The rules of a file of the engines' format, with their default action.
pub(crate) fn lines_of(text: &[u8], machine: &str, capabilities: &[&str]) -> (Action, Vec<Line>) {
    let document: Value = serde_json::from_slice(text).unwrap();
    let action = |entry: &Value, field: &str, errno: &str| {
        let action: Action = word(&entry[field]);
        let errno = entry[errno].as_u64().map(|errno| errno as u32);
        errno
            .and_then(|errno| action.with_errno(errno))
            .unwrap_or(action)
    };
    let default = action(&document, "defaultAction", "defaultErrnoRet");
    let mut lines = Vec::new();
    let entries = document["syscalls"].as_array().unwrap();
    let entries = entries
        .iter()
        .filter(|entry| is_for(entry, machine, capabilities));
    for entry in entries {
        let conditions: Vec<(u32, Comparison)> = entry["args"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|arg| {
                let operator: Operator = word(&arg["op"]);
                let comparison = operator.with(number(&arg["value"]), number(&arg["valueTwo"]));
                (number(&arg["index"]) as u32, comparison)
            })
            .collect();
        for name in entry["names"].as_array().unwrap() {
            lines.push(Line {
                action: action(entry, "action", "errnoRet"),
                name: name.as_str().unwrap().to_owned(),
                conditions: conditions.clone(),
            });
        }
    }
    (default, lines)
}
