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
use std::path::{Path, PathBuf};

use crabcan_image::{Cache, Digest, Error, Image, Limits, Owners};
use make::{Layout, Place, Tar, descriptor, gzip};
use tar::EntryType;

/// Unpacks an image of one layer; the layer's directory.
fn unpack(place: &Place, layer: Vec<u8>) -> Result<PathBuf, Error> {
    unpack_within(place, layer, Limits::default())
}

fn unpack_within(place: &Place, layer: Vec<u8>, limits: Limits) -> Result<PathBuf, Error> {
    let layout = Layout::image(place.join("layout"), &[layer], "null");
    let image = Image::open(&layout.0)?;
    let cache = Cache::open(place.join("cache"), Owners::OfTheCaller)?.limits(limits);
    let mut layers = cache.unpack(&image, &mut |_| {})?;
    Ok(layers.pop().unwrap())
}

/// The causes of an error in one line.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The names that a cache has, of what is whole and of what is not.
fn cached(place: &Place) -> Vec<String> {
    let names = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten();
    let entries = names(place.join("cache")).chain(names(place.join("cache/layers")));
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

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

/// Each is refused, with its name, and nothing of it stays: neither in the cache nor outside.
#[test]
fn hostile_layers_are_refused() {
    let place = Place::new("hostile");
    let outside = place.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), b"untouched").unwrap();
    let out = outside.to_str().unwrap();
    let file = format!("{out}/file");
    let t = Tar::new;
    let device = |t: Tar| t.member(EntryType::Char, "null", "", 0o666, b"");
    let cases: Vec<(&str, Tar, &str)> = vec![
        ("dotdot", t().file("a/../../x", b""), "\"..\""),
        ("dotdot at the end", t().directory("a/.."), "\"..\""),
        ("absolute", t().file(&file, b""), "an absolute path"),
        (
            "absolute by pax",
            t().pax("path", &file).file("x", b""),
            "an absolute path",
        ),
        (
            "through a link",
            t().symlink("l", out).file("l/x", b""),
            "\"l\" above it is no directory",
        ),
        (
            "through a link that stays",
            t().directory("d").symlink("l", "d").file("l/x", b""),
            "no directory",
        ),
        (
            "through two links",
            t().symlink("a", "b").symlink("b", "..").file("a/x", b""),
            "no directory",
        ),
        (
            "through a file",
            t().file("f", b"").file("f/x", b""),
            "\"f\" above it is no directory",
        ),
        ("a hard link out", t().link("x", &file), "an absolute path"),
        (
            "a hard link up",
            t().link("x", "../../outside/file"),
            "\"..\"",
        ),
        (
            "a hard link through a link",
            t().symlink("l", out).link("x", "l/file"),
            "has not",
        ),
        (
            "a hard link to a directory",
            t().directory("d").link("x", "d"),
            "no file",
        ),
        (
            "a hard link to a whiteout",
            t().file(".wh.w", b"").link("x", "w"),
            "no file",
        ),
        ("a hard link to nothing", t().link("x", "y"), "has not"),
        ("a hard link to the root", t().link("x", "."), "the root"),
        (
            "a whiteout of up",
            t().file("d/.wh...", b""),
            "a whiteout of no name",
        ),
        (
            "a whiteout of here",
            t().file("d/.wh..", b""),
            "a whiteout of no name",
        ),
        (
            "a whiteout of nothing",
            t().file("d/.wh.", b""),
            "a whiteout of no name",
        ),
        (
            "a whiteout through a link",
            t().symlink("l", out).file("l/.wh.file", b""),
            "no directory",
        ),
        (
            "an opaque link",
            t().symlink("l", out).file("l/.wh..wh..opq", b""),
            "no directory",
        ),
        (
            "a whiteout as directory",
            t().file(".wh.d/x", b""),
            "can't be a directory",
        ),
        (
            "a root of another kind",
            t().symlink("./", out),
            "the layer's root",
        ),
        (
            "a long name",
            t().pax("path", &"n".repeat(256)).file("x", b""),
            "255",
        ),
        (
            "many directories",
            t().pax("path", &"d/".repeat(300)).file("x", b""),
            "256",
        ),
        (
            "no owner",
            t().pax("uid", "4294967295").file("x", b""),
            "owner",
        ),
        (
            "no group",
            t().pax("gid", "99999999999").file("x", b""),
            "group",
        ),
        (
            "another size",
            t().pax("size", "5").file("x", b"1234"),
            "8 GiB",
        ),
        (
            "sparse",
            t().pax("GNU.sparse.major", "1").file("x", b""),
            "this kind",
        ),
        (
            "old sparse",
            t().member(EntryType::GNUSparse, "x", "", 0, b""),
            "this kind",
        ),
        (
            "a malformed record",
            t().member(EntryType::XHeader, "p", "", 0, b"99 path=x\n"),
            "malformed",
        ),
        ("a link that says nothing", t().symlink("x", ""), "make x"),
        ("a bad checksum", t().raw(&[1; 512]), "tar archive"),
        (
            "cut off",
            t().raw(&device(t()).finish()[..300]),
            "tar archive",
        ),
    ];
    for (name, tar, expected) in cases {
        let error = unpack(&place, tar.file("behind", b"").finish()).expect_err(name);
        let text = chain(&error);
        assert!(text.contains(expected), "{name}: {text}");
        assert!(
            text.starts_with("unpack the layer sha256:"),
            "{name}: {text}"
        );
        assert_eq!(cached(&place), ["layers", "lock"], "{name}");
        let seen: Vec<_> = fs::read_dir(&outside).unwrap().collect();
        assert_eq!(seen.len(), 1, "{name}: {seen:?}");
        let metadata = look(&outside.join("file"));
        assert_eq!((metadata.len(), metadata.nlink()), (9, 1), "{name}");
    }
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
fn what_grows_without_end_is_bounded() {
    let place = Place::new("bombs");
    let limits = Limits {
        bytes: 1 << 20,
        members: 100,
    };
    let zeros = vec![0; 8 << 20];
    let bomb = Tar::new().file("zeros", &zeros).finish();
    let in_the_end = Tar::new().file("x", b"").finish();
    let in_the_end = [in_the_end, zeros.clone()].concat();
    let members = (0..101).fold(Tar::new(), |tar, number| tar.file(&number.to_string(), b""));
    let record = Tar::new().member(EntryType::GNULongName, "x", "", 0, &zeros[..(1 << 20) + 1]);
    let mut claims = Tar::new().file("x", b"").finish();
    claims[124..136].copy_from_slice(&[
        0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    ]);
    let sum = tar::Header::from_byte_slice(&claims[..512]).clone();
    let mut sum = sum;
    sum.set_cksum();
    claims[..512].copy_from_slice(sum.as_bytes());
    let refused = |name: &str, contents: &[u8], limits: Limits, expected: &str| {
        let layout = Layout::new(place.join("layout"));
        let blob = layout.blob(&gzip(contents));
        let config = Layout::config(&[Digest::of(contents)], "null");
        layout.index(&[descriptor(layout.manifest(&config, &[blob]))]);
        let cache = Cache::open(place.join("cache"), Owners::OfTheCaller).unwrap();
        let image = Image::open(&layout.0).unwrap();
        let error = cache
            .limits(limits)
            .unpack(&image, &mut |_| {})
            .expect_err(name);
        let text = chain(&error);
        assert!(text.contains(expected), "{name}: {text}");
        assert_eq!(cached(&place), ["layers", "lock"], "{name}");
    };
    let bytes = "its contents: more than 1048576 bytes";
    refused("a bomb", &bomb, limits, bytes);
    refused("behind the end", &in_the_end, limits, bytes);
    refused(
        "members",
        &members.finish(),
        limits,
        "more than 100 members",
    );
    refused(
        "a record",
        &record.finish(),
        Limits::default(),
        "a record of a tar archive",
    );
    refused(
        "a size",
        &claims,
        Limits::default(),
        "write x: unexpected end",
    );
}

#[test]
fn contents_with_another_digest_are_not_used() {
    let place = Place::new("digests");
    let (layer, other) = (Tar::new().file("a", b"").finish(), Tar::new().finish());
    let attempt = |name: &str, blob: Digest, layout: &Layout, expected: &str| {
        let config = Layout::config(&[Digest::of(&layer)], "null");
        layout.index(&[descriptor(layout.manifest(&config, &[blob]))]);
        let image = Image::open(&layout.0).unwrap();
        let cache = Cache::open(place.join("cache"), Owners::OfTheCaller).unwrap();
        let error = chain(&cache.unpack(&image, &mut |_| {}).expect_err(name));
        assert!(error.contains(expected), "{name}: {error}");
        assert!(error.contains("has the digest sha256:"), "{name}: {error}");
        assert_eq!(cached(&place), ["layers", "lock"], "{name}");
    };
    let layout = Layout::new(place.join("layout"));
    attempt(
        "other contents",
        layout.blob(&other),
        &layout,
        "its contents: has",
    );
    attempt(
        "other contents by gzip",
        layout.blob(&gzip(&other)),
        &layout,
        "its contents: has",
    );
    // The same contents in another file, and one byte more behind the archive's end.
    let packed = layout.blob(&gzip(&layer));
    fs::write(layout.blob_path(packed), &layer).unwrap();
    attempt("another file", packed, &layout, "its file: has");
    let longer = layout.blob(&layer);
    fs::write(layout.blob_path(longer), [&layer[..], b"x"].concat()).unwrap();
    attempt("a longer file", longer, &layout, "its contents: has");
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
