//! `ci`: everything that a change must pass.

use anyhow::{Result, ensure};

use crate::cargo::{cargo, succeed, workspace};
use crate::clients;
use crate::external;
use crate::fuzz;
use crate::parts::Parts;
use crate::prerequisites::{self, CLIENTS, MACHINE, SUITES};
use crate::test;
use crate::tidy;
use crate::vm;

pub(crate) fn ci(all: bool) -> Result<()> {
    let mut parts = Parts::new("ci");
    let (mut suites, mut machine, mut clients_are_here) = (false, false, false);
    if all {
        parts.run("packages for the suites", || {
            suites = prerequisites::are_here(SUITES, "what compares crabcan with others")?;
            Ok(())
        });
        parts.run("packages for the clients", || {
            clients_are_here = prerequisites::are_here(CLIENTS, "test-clients")?;
            Ok(())
        });
        parts.run("packages for the virtual machine", || {
            machine = prerequisites::are_here(MACHINE, "the virtual machine")?;
            Ok(())
        });
    }
    parts.run("fmt", || {
        succeed(cargo()?.args(["fmt", "--all", "--check"]))
    });
    parts.run("tidy", tidy::tidy);
    parts.run("clippy", || {
        let args = [
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ];
        succeed(cargo()?.args(args))
    });
    parts.run("each crate alone", each_crate_alone);
    parts.run("doc", || {
        let mut command = cargo()?;
        command.args(["doc", "--workspace", "--no-deps"]);
        succeed(command.env("RUSTDOCFLAGS", "-D warnings"))
    });
    // Its own build script compiles a second program: from the package's files alone.
    parts.run("package crabcan-init", || {
        succeed(cargo()?.args(["package", "--quiet", "-p", "crabcan-init", "--allow-dirty"]))
    });
    parts.run("test", || test::test(&[]));
    parts.run("fuzz", fuzz::brief);
    if suites {
        parts.run("suites that need packages", external::suites);
        parts.run("test-security", || test::test_hardening("security", &[]));
        parts.run("test-faults", || test::test_hardening("faults", &[]));
    }
    if clients_are_here {
        parts.run("test-clients", || clients::test_clients(&[]));
    }
    if machine {
        parts.run("test-vm", || vm::vm(&[]));
    }
    parts.finish()
}

/// In one build of the workspace a crate can live on a feature that only its neighbour asks for.
fn each_crate_alone() -> Result<()> {
    let mut crates = 0;
    for entry in std::fs::read_dir(workspace()?.join("crates"))? {
        let manifest = entry?.path().join("Cargo.toml");
        if manifest.is_file() {
            let mut command = cargo()?;
            command.args(["check", "--quiet", "--manifest-path"]);
            succeed(command.arg(manifest))?;
            crates += 1;
        }
    }
    ensure!(crates > 0, "no crates");
    println!("{crates} crates checked");
    Ok(())
}
