//! What the distribution has to provide for the suites, the clients and the virtual machine.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::vm::Kernel;

/// The line that installs everything; it also stands in README.md and `.ci/run` (tidy compares).
pub(crate) const APT_LINE: &str = "apt-get install -y --no-install-recommends busybox-static \
    bubblewrap sudo strace libseccomp2 golang-github-containers-common qemu-system-x86 \
    qemu-system-common linux-image-cloud-amd64 e2fsprogs systemd libpam-systemd dbus \
    dbus-user-session passwd podman buildah containerd docker.io uidmap tini iproute2 \
    python3-minimal slirp4netns passt tmux criu";

/// One thing that a suite needs, and how its absence is told.
#[derive(Debug)]
pub(crate) struct Prerequisite {
    what: &'static str,
    package: &'static str,
    /// Whether it is here and good, or what is wrong with it.
    state: fn(what: &str, path: &str) -> Result<(), String>,
}

/// What the suites in `tests/external*.rs` need.
pub(crate) const SUITES: &[Prerequisite] = &[
    program("busybox", "busybox-static", static_program),
    program("bwrap", "bubblewrap", any_program),
    program("sudo", "sudo", any_program),
    program("strace", "strace", any_program),
    program("python3", "python3-minimal", any_program),
    program("slirp4netns", "slirp4netns", any_program),
    program("pasta", "passt", any_program),
    program("tmux", "tmux", any_program),
    program("podman", "podman", any_program),
    program("libseccomp.so.2", "libseccomp2", any_program),
    program(
        "containers/seccomp.json",
        "golang-github-containers-common",
        any_program,
    ),
];

/// What the virtual machine needs.
pub(crate) const MACHINE: &[Prerequisite] = &[
    program("busybox", "busybox-static", static_program),
    program("qemu-system-x86_64", "qemu-system-x86", any_program),
    program("virtiofsd", "qemu-system-common", any_program),
    program("a kernel in /boot", "linux-image-cloud-amd64", kernel),
    program("mkfs.ext4", "e2fsprogs", any_program),
    program("systemd", "systemd", any_program),
    program("pam_systemd.so", "libpam-systemd", any_program),
    program("dbus-daemon", "dbus", any_program),
    program("dbus.socket", "dbus-user-session", any_program),
    program("useradd", "passwd", any_program),
    program("criu", "criu", any_program),
];

/// What `test-clients` needs.
pub(crate) const CLIENTS: &[Prerequisite] = &[
    program("busybox", "busybox-static", static_program),
    program("podman", "podman", any_program),
    program("conmon", "podman", any_program),
    program("buildah", "buildah", any_program),
    program("containerd", "containerd", any_program),
    program("dockerd", "docker.io", any_program),
    program("newuidmap", "uidmap", any_program),
    program("tini-static", "tini", any_program),
    program("ip", "iproute2", any_program),
];

const fn program(
    what: &'static str,
    package: &'static str,
    state: fn(&str, &str) -> Result<(), String>,
) -> Prerequisite {
    Prerequisite {
        what,
        package,
        state,
    }
}

/// Whether everything is here. What is missing is said; under `CRABCAN_TEST_REQUIRE=1` it is a
/// failure.
pub(crate) fn are_here(wanted: &[Prerequisite], whose: &str) -> Result<bool> {
    let missing = missing(wanted, &search_path());
    if missing.is_empty() {
        println!("all that {whose} needs is here");
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
    println!("{whose} is not run (CRABCAN_TEST_REQUIRE=1 would make this a failure)");
    Ok(false)
}

/// The path of a program of the distribution.
pub(crate) fn find(program: &str) -> Result<PathBuf> {
    find_in(program, &search_path()).with_context(|| format!("there is no {program}"))
}

/// Not all of it is in every ordinary user's PATH, but where the distribution may put it.
fn search_path() -> String {
    let path = env::var("PATH").unwrap_or_default();
    let more = [
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
        "/usr/lib/qemu",
        "/usr/libexec",
        "/lib/systemd",
        "/usr/lib/systemd/user",
        "/lib/x86_64-linux-gnu/security",
        "/usr/lib64",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/share",
    ];
    format!("{path}:{}", more.join(":"))
}

fn missing(wanted: &[Prerequisite], path: &str) -> Vec<String> {
    let look = |one: &Prerequisite| {
        let fault = (one.state)(one.what, path).err()?;
        let colon = if fault.is_empty() { "" } else { ": " };
        Some(format!(
            "{} (package {}){colon}{fault}",
            one.what, one.package
        ))
    };
    wanted.iter().filter_map(look).collect()
}

fn find_in(program: &str, path: &str) -> Option<PathBuf> {
    path.split(':')
        .filter(|dir| !dir.is_empty())
        .map(|dir| Path::new(dir).join(program))
        .find(|file| file.is_file())
}

fn any_program(name: &str, path: &str) -> Result<(), String> {
    find_in(name, path).map(|_| ()).ok_or_else(String::new)
}

fn kernel(_: &str, _: &str) -> Result<(), String> {
    match Kernel::find() {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err("or its modules in /lib/modules".to_owned()),
        Err(error) => Err(format!("{error:#}")),
    }
}

/// A busybox with an interpreter does not start in an empty root.
fn static_program(name: &str, path: &str) -> Result<(), String> {
    let program = find_in(name, path).ok_or_else(String::new)?;
    let fault = match fs::read(&program) {
        Err(error) => format!("cannot be read: {error}"),
        Ok(elf) => match interpreter(&elf) {
            None => "is no 64-bit ELF program".to_owned(),
            Some(true) => "is not statically linked".to_owned(),
            Some(false) => return Ok(()),
        },
    };
    Err(format!("{} {fault}", program.display()))
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
        let missing = missing(SUITES, "/nonexistent");
        assert_eq!(missing.len(), SUITES.len());
        assert_eq!(missing[0], "busybox (package busybox-static)");
    }

    #[test]
    fn every_package_stands_in_the_line() {
        for wanted in SUITES.iter().chain(MACHINE).chain(CLIENTS) {
            assert!(APT_LINE.split(' ').any(|word| word == wanted.package));
        }
    }

    #[test]
    fn a_dynamic_busybox_is_told() {
        let scratch = Scratch::new("crabcan-unit").unwrap();
        // This test program itself: whatever it is, it must be told apart from a text.
        fs::write(scratch.path().join("busybox"), "#!/bin/sh\n").unwrap();
        let missing = missing(SUITES, scratch.path().to_str().unwrap());
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
