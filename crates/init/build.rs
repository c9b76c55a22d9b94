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
        for line in message.lines().filter(|line| !line.is_empty()) {
            println!("cargo::error={line}");
        }
    }
}

fn build() -> Result<(), String> {
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let (source, layout) = (package.join("src"), package.join("program.ld"));
    println!("cargo::rerun-if-changed={}", layout.display());
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
    let mut rustc = Command::new(variable("RUSTC")?);
    rustc
        .args(["--crate-name=crabcan_init", "--crate-type=bin"])
        .args(["--edition=2024", "--cfg=crabcan_program"])
        .arg(format!("--target={target}"))
        // For size: each of its lines is walked once, and the pages of it are what costs time.
        .args(["-Cpanic=abort", "-Copt-level=z", "-Coverflow-checks=no"])
        .args(["-Ccodegen-units=1", "-Clto=fat", "-Cstrip=symbols"])
        .arg("-Crelocation-model=static")
        .args(linker(&target, &layout)?)
        .arg("-o")
        .arg(PathBuf::from(variable("OUT_DIR")?).join("crabcan-init"))
        .arg(source.join("main.rs"));
    let output = rustc
        .output()
        .map_err(|error| format!("run {rustc:?}: {error}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("crabcan-init does not build: {text}"));
    }
    Ok(())
}

/// The linker and what it is told: no start files, no library, the layout of `program.ld`.
fn linker(target: &str, layout: &Path) -> Result<Vec<String>, String> {
    let layout = layout
        .to_str()
        .ok_or("the path of the sources is not UTF-8")?;
    let configured = env::var("RUSTC_LINKER").ok();
    let mut args = match configured {
        None if target != variable("HOST")? => {
            vec!["-Clinker=rust-lld".into(), "-Clinker-flavor=ld.lld".into()]
        }
        configured => {
            let linker = configured.unwrap_or_else(|| "cc".into());
            vec![
                format!("-Clinker={linker}"),
                "-Clink-arg=-nostartfiles".into(),
                // What follows is for the linker behind the compiler.
                "-Clink-arg=-Wl,--build-id=none".into(),
            ]
        }
    };
    for option in ["-static", "-nostdlib", &format!("-T{layout}")] {
        args.push(format!("-Clink-arg={option}"));
    }
    if target.contains("musl") {
        args.push("-Clink-self-contained=no".into());
    }
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
