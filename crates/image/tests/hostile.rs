//! Layers that were made to do harm: nothing of them is kept, and nothing outside is reached.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod make;

use std::fs;
use std::os::unix::fs::MetadataExt;

use crabcan_image::{Cache, Digest, Image, Limits, Owners};
use make::{Layout, Place, Tar, cached, chain, descriptor, gzip, unpack};
use tar::EntryType;

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
        let metadata = outside.join("file").symlink_metadata().unwrap();
        assert_eq!((metadata.len(), metadata.nlink()), (9, 1), "{name}");
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
