//! Compiles `src/main.rs` into the static program that the library carries as bytes.
//!
//! Nothing is needed but the `rustc` that builds everything else and its linker. RUSTFLAGS are
//! ignored on purpose: the program has no libc, no start files and one fixed set of options.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo::rustc-check-cfg=cfg(crabcan_program)");
    println!("cargo::rerun-if-changed=build.rs");
    if let Err(message) = build() {
        println!("cargo::error={message}");
    }
}

fn build() -> Result<(), String> {
    let source = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("src");
    watch(&source)?;
    let target = variable("TARGET")?;
    if variable("CARGO_CFG_TARGET_OS")? != "linux" {
        return Err(format!("crabcan runs on Linux only, not on {target}"));
    }
    if !["x86_64", "aarch64"].contains(&variable("CARGO_CFG_TARGET_ARCH")?.as_str()) {
        return Err(format!(
            "crabcan-init has no system call table for {target} (x86_64 and aarch64 only)"
        ));
    }
    let out = PathBuf::from(variable("OUT_DIR")?).join("crabcan-init");
    let mut rustc = Command::new(variable("RUSTC")?);
    rustc
        .args([
            "--crate-name",
            "crabcan_init",
            "--crate-type",
            "bin",
            "--edition",
            "2024",
        ])
        .args(["--cfg", "crabcan_program", "--target", &target])
        .args([
            "-C",
            "panic=abort",
            "-C",
            "opt-level=s",
            "-C",
            "codegen-units=1",
            "-C",
            "lto=fat",
        ])
        .args([
            "-C",
            "relocation-model=static",
            "-C",
            "strip=symbols",
            "-C",
            "overflow-checks=no",
        ])
        .args(linker(&target)?)
        .arg("-o")
        .arg(&out)
        .arg(source.join("main.rs"));
    if target.contains("musl") {
        rustc.args(["-C", "link-self-contained=no"]);
    }
    let output = rustc
        .output()
        .map_err(|error| format!("run {rustc:?}: {error}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).replace('\n', "%0A");
        return Err(format!("crabcan-init does not build: {text}"));
    }
    Ok(())
}

/// The linker and what it is told: no start files, no library, a static program of small pages.
fn linker(target: &str) -> Result<Vec<String>, String> {
    let configured = env::var("RUSTC_LINKER").ok();
    let bare = configured.is_none() && target != variable("HOST")?;
    let options: &[&str] = if bare {
        &[
            "-static",
            "-nostdlib",
            "-z",
            "max-page-size=4096",
            "--build-id=none",
            "-z",
            "noseparate-code",
        ]
    } else {
        &[
            "-static",
            "-nostdlib",
            "-nostartfiles",
            "-Wl,-z,max-page-size=4096",
            "-Wl,--build-id=none",
            "-Wl,-z,noseparate-code",
        ]
    };
    let mut args: Vec<String> = match (configured, bare) {
        (_, true) => vec!["-Clinker=rust-lld".into(), "-Clinker-flavor=ld.lld".into()],
        (Some(linker), _) => vec![format!("-Clinker={linker}")],
        (None, false) => vec!["-Clinker=cc".into()],
    };
    args.extend(options.iter().map(|option| format!("-Clink-arg={option}")));
    Ok(args)
}

/// Names every source file, so that cargo builds the program anew when one changes.
fn watch(directory: &Path) -> Result<(), String> {
    let failed = |error| format!("read {}: {error}", directory.display());
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        println!("cargo::rerun-if-changed={}", path.display());
        if path.is_dir() {
            watch(&path)?;
        }
    }
    Ok(())
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}
