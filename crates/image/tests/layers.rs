//! Layers: what of them is kept, and what none of them can do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod make;

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use crabcan_image::{Cache, Owners};
use make::{Place, Tar, chain, unpack};
use tar::EntryType;

fn look(path: &Path) -> Metadata {
    path.symlink_metadata()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn is_whiteout(path: &Path) -> bool {
    let metadata = look(path);
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = [0; 64];
    let length = rustix::fs::lgetxattr(path, name, &mut value).ok()?;
    Some(value[..length].to_vec())
}

fn is_opaque(path: &Path) -> bool {
    xattr(path, "user.overlay.opaque").is_some()
}

#[test]
fn what_a_layer_has_is_unpacked() {
    let place = Place::new("kept");
    let long = format!("d/{}", "n".repeat(200));
    let gnu = format!("{}/g", "m".repeat(150));
    let layer = Tar::new()
        .member(EntryType::Directory, "./", "", 0o755, b"")
        .member(EntryType::Directory, "d", "", 0o1555, b"")
        .member(EntryType::Regular, "./d/su", "", 0o6755, b"program")
        .symlink("d/link", "../../etc/passwd")
        .link("d/same", "d/su")
        .link("d/same-link", "d/link")
        .member(EntryType::Fifo, "fifo", "", 0o640, b"")
        .file("implied/below/file", b"")
        .pax("SCHILY.xattr.user.note", "a\nb=c")
        .member(EntryType::Regular, "read-only", "", 0o400, b"x")
        .pax("path", &long)
        .file("short", b"long")
        .member(
            EntryType::GNULongName,
            "././@LongLink",
            "",
            0o644,
            format!("{gnu}\0").as_bytes(),
        )
        .file("short", b"gnu")
        .finish();
    let root = unpack(&place, layer).unwrap();
    let mode = |name: &str| look(&root.join(name)).permissions().mode() & 0o7777;
    // Open to the owner, and with the bit that says whose files may be removed.
    assert_eq!(mode("d"), 0o1755);
    assert_eq!(
        mode("d/su"),
        0o755,
        "a set-user-ID bit would count on the host"
    );
    assert_eq!(fs::read(root.join("d/same")).unwrap(), b"program");
    assert_eq!(
        look(&root.join("d/same")).ino(),
        look(&root.join("d/su")).ino()
    );
    assert_eq!(look(&root.join("d/su")).mtime(), 1_000_000_000);
    let text = Path::new("../../etc/passwd");
    assert_eq!(fs::read_link(root.join("d/link")).unwrap(), text);
    assert_eq!(fs::read_link(root.join("d/same-link")).unwrap(), text);
    assert_eq!(look(&root.join("d/link")).mtime(), 1_000_000_000);
    assert!(look(&root.join("fifo")).file_type().is_fifo());
    assert_eq!(mode("fifo") & 0o600, 0o600);
    assert!(look(&root.join("implied/below")).is_dir());
    assert_eq!(mode("read-only"), 0o400);
    assert_eq!(
        xattr(&root.join("read-only"), "user.note").unwrap(),
        b"a\nb=c"
    );
    assert_eq!(fs::read(root.join(long)).unwrap(), b"long");
    assert_eq!(fs::read(root.join(gnu)).unwrap(), b"gnu");
    assert_eq!(fs::read_dir(&root).unwrap().count(), 5);
}

#[test]
fn what_lower_layers_have_is_hidden_as_the_kernel_reads_it() {
    let place = Place::new("whiteouts");
    let layer = Tar::new()
        .file("a/.wh.gone", b"")
        .file("opaque/.wh..wh..opq", b"")
        .file("opaque/new", b"")
        // Hidden first, and then there again: nothing of below is to be seen in it.
        .file(".wh.again", b"")
        .directory("again")
        .file(".wh.implied", b"")
        .file("implied/file", b"")
        // There first: the whiteout is of what is below.
        .directory("both")
        .file(".wh.both", b"")
        .file("file", b"new")
        .file(".wh.file", b"")
        .file("was-file", b"")
        .directory("was-file")
        // What other storage drivers keep for themselves.
        .file(".wh..wh.aufs", b"")
        .file(".wh..wh.plnk/1.2", b"")
        .finish();
    let root = unpack(&place, layer).unwrap();
    assert!(is_whiteout(&root.join("a/gone")));
    assert!(!is_opaque(&root.join("a")));
    for opaque in ["opaque", "again", "implied", "both", "was-file"] {
        assert!(is_opaque(&root.join(opaque)), "{opaque}");
    }
    assert_eq!(fs::read(root.join("file")).unwrap(), b"new");
    assert!(look(&root.join("implied/file")).is_file());
    assert_eq!(fs::read_dir(&root).unwrap().count(), 7);
    assert_eq!(fs::read_dir(root.join("opaque")).unwrap().count(), 1);
}

/// The last one of a name counts, but for a directory with something in it.
#[test]
fn a_name_may_come_again() {
    let place = Place::new("again");
    let layer = Tar::new()
        .file("a", b"first")
        .link("b", "a")
        .file("a", b"second")
        .symlink("c", "/")
        .file("c", b"no link")
        .directory("empty")
        .symlink("empty", "a")
        .directory("d")
        .file("d/kept", b"")
        .directory("d")
        .finish();
    let root = unpack(&place, layer).unwrap();
    assert_eq!(fs::read(root.join("a")).unwrap(), b"second");
    assert_eq!(fs::read(root.join("b")).unwrap(), b"first");
    assert!(look(&root.join("c")).is_file());
    assert!(look(&root.join("empty")).is_symlink());
    assert!(root.join("d/kept").exists());
    let full = Tar::new().file("d/kept", b"").file("d", b"").finish();
    let error = chain(&unpack(&place, full).unwrap_err());
    assert!(error.contains("make d: Directory not empty"), "{error}");
}

/// Neither for root nor for anybody else is there a device or what the kernel's overlay obeys.
#[test]
fn what_is_not_a_layers_to_say_is_left_away() {
    let place = Place::new("left");
    let layer = Tar::new()
        .member(EntryType::Char, "null", "", 0o666, b"")
        .member(EntryType::Block, "disk", "", 0o666, b"")
        .pax("SCHILY.xattr.user.overlay.redirect", "/etc")
        .directory("d")
        .pax("SCHILY.xattr.user.overlay.opaque", "y")
        .directory("e")
        .pax("SCHILY.xattr.security.capability", "x")
        .pax("SCHILY.xattr.trusted.overlay.redirect", "/etc")
        .file("f", b"")
        .finish();
    let root = unpack(&place, layer).unwrap();
    assert_eq!(fs::read_dir(&root).unwrap().count(), 3);
    for (name, attribute) in [
        ("d", "user.overlay.redirect"),
        ("e", "user.overlay.opaque"),
        ("f", "security.capability"),
        ("f", "trusted.overlay.redirect"),
    ] {
        assert_eq!(xattr(&root.join(name), attribute), None, "{attribute}");
    }
}

#[test]
fn a_cache_is_the_callers_alone() {
    let place = Place::new("private");
    let cache = place.join("above/cache");
    Cache::open(&cache, Owners::OfTheCaller).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    Cache::open(&cache, Owners::OfTheCaller).unwrap();
    assert_eq!(look(&cache).permissions().mode() & 0o7777, 0o700);
    let link = place.join("link");
    symlink(&cache, &link).unwrap();
    let error = Cache::open(&link, Owners::OfTheCaller).unwrap_err();
    assert!(chain(&error).contains("open the cache"), "{error}");
    if !rustix::process::geteuid().is_root() {
        let error = Cache::open("/usr", Owners::OfTheCaller).unwrap_err();
        assert!(error.to_string().contains("belongs to uid 0"), "{error}");
    }
}
