//! How the static release is linked: what every command runs lies together, and tables that nobody
//! reads are left out.
//!
//! The kernel brings in a program's text by 64 KB, at a fault each. `order.txt` names the functions
//! that ordinary commands run, in the order in which they first do (`cargo xtask order` writes it).
//! A name that fits nothing costs nothing, so a list that has become old only orders less.
//!
//! `panic = "abort"` leaves nothing to unwind, and what a backtrace would print of a program without
//! symbols is numbers: the tables for it are a seventh of the file.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

const ORDER: &str = "order.txt";

fn main() -> Result<(), String> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={ORDER}");
    // The debug profile unwinds, and a program that a loader relocates has other sections.
    if variable("PROFILE")? != "release" || variable("CARGO_CFG_TARGET_ENV")? != "musl" {
        return Ok(());
    }
    let order = fs::read_to_string(ORDER).map_err(|error| format!("read {ORDER}: {error}"))?;
    let script = PathBuf::from(variable("OUT_DIR")?).join("order.ld");
    fs::write(&script, layout(&order))
        .map_err(|error| format!("write {}: {error}", script.display()))?;
    println!("cargo::rustc-link-arg-bin=crabcan=-T{}", script.display());
    // Each part of a program with rights of its own is a mapping to make, to fault in and to remove.
    // Nothing here is relocated, and so nothing is to be protected after that.
    println!("cargo::rustc-link-arg-bin=crabcan=-Wl,-z,noseparate-code,-z,norelro");
    Ok(())
}

/// What the linker's own layout (of GNU's and LLVM's linkers) is told besides.
fn layout(order: &str) -> String {
    // What starts and ends every program comes with no name.
    let mut script = String::from(
        "SECTIONS {\n  .text.first : {\n    *crt*.o(.text) KEEP(*(SORT_NONE(.fini)))\n    \
         *libc.a:*(.text .text.*)\n",
    );
    for name in order.lines() {
        let _ = writeln!(script, "    *(.text.{name} .text.unlikely.{name})");
    }
    // The start files of a static program hold an end of the table that they refer to.
    script.push_str(
        "  }\n  /DISCARD/ : {\n    *(EXCLUDE_FILE(*crtbegin*.o *crtend*.o) .eh_frame)\n    \
         *(.gcc_except_table .gcc_except_table.*)\n  }\n} INSERT BEFORE .text;\n",
    );
    // A megabyte of zeros between two small variables would be two pages to bring in.
    script.push_str(
        "SECTIONS {\n  .bss.last (NOLOAD) : { *(.bss.*5PIECE*) }\n} INSERT AFTER .bss;\n",
    );
    script
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}
