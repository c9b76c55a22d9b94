//! A fuzz target: layers. See docs/CONTRIBUTING.md.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    clippy::panic,
    reason = "a test fails by panicking and says what it did"
)]

#[path = "../../../xtask/fuzz/driver.rs"]
mod driver;
mod make;
mod targets;

use make::{Tar, gzip};
use tar::EntryType;

#[test]
fn layer() {
    let plain = Tar::new()
        .directory("d")
        .file("d/f", b"contents")
        .symlink("l", "d")
        .link("h", "d/f")
        .file("d/.wh.x", b"")
        .file("d/.wh..wh..opq", b"")
        .member(EntryType::Fifo, "p", "", 0o644, b"")
        .pax("path", "e/long")
        .file("x", b"y");
    let escapes = Tar::new()
        .symlink("l", "../../outside")
        .file("l/x", b"x")
        .link("y", "../../outside/file");
    let (plain, escapes) = (plain.finish(), escapes.finish());
    let packed = gzip(&plain);
    let words = [
        "..",
        "/",
        "../../outside/file",
        ".wh.",
        ".wh...",
        "l/x",
        "\0",
        "d/f",
        "path=",
    ];
    driver::fuzz(
        "layer",
        &[&plain, &escapes, &packed],
        &words,
        targets::layer,
    );
}
