//! Step 10 of the tutorial, without its hole (defect 16): a root whose links point at the host is
//! resolved beneath a descriptor, and everything stays inside. Run it as any user:
//!
//! ```text
//! cargo run -p crabcan-rootfs --example resolve
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crabcan_rootfs::RootFd;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let top = std::env::temp_dir().join(format!("crabcan-resolve-{}", std::process::id()));
    fs::create_dir(&top)?;
    let shown = show(&top.join("root"));
    fs::remove_dir_all(&top)?;
    shown
}

fn show(directory: &Path) -> Result<(), Box<dyn std::error::Error>> {
    fs::create_dir(directory)?;
    symlink("/etc", directory.join("evil"))?;
    symlink("../../../../etc/shadow", directory.join("up"))?;
    let root = RootFd::open(directory)?;

    println!("evil -> /etc, up -> ../../../../etc/shadow, and no /etc in the root:");
    for path in ["evil/passwd", "up", "../../../etc/passwd"] {
        println!("  {path}: {:?}", root.kind(path)?);
    }
    println!("with an /etc of its own, the same link leads to that one:");
    root.make_directory("/etc", 0o755)?;
    root.make_directory("/evil/made", 0o755)?;
    println!("  evil: {:?}", root.kind("evil")?);
    println!("  evil/made is {}", inside(directory, "etc/made"));
    println!("where no link is to be followed, it is told as what it is:");
    println!("  evil: {:?}", root.kind_no_symlinks("evil")?);
    println!("a link of /proc that leads anywhere is refused:");
    if let Err(error) = RootFd::open("/proc")?.resolve("self/root/etc") {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        println!("  {error}: {}", cause.unwrap_or_default());
    }
    Ok(())
}

fn inside(directory: &Path, path: &str) -> &'static str {
    if directory.join(path).exists() {
        "in the root's own /etc"
    } else {
        "not in the root"
    }
}
