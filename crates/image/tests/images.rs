//! Images: each form, and what is wrong with one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod make;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crabcan_image::{Cache, Digest, Error, Image, Owners, Progress};
use make::{Layout, Place, Tar, descriptor, docker_archive, gzip};

const CONFIG: &str =
    r#"{"User":"7:8","Env":["A=b"],"Entrypoint":["/e"],"Cmd":["c","d"],"WorkingDir":"/w"}"#;

fn layers() -> [Vec<u8>; 2] {
    [
        Tar::new().file("a", b"a").finish(),
        Tar::new().file("b", b"b").finish(),
    ]
}

fn check(path: &Path, cache: &Path) {
    let image = Image::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let config = image.config();
    assert_eq!(config.command(), ["/e", "c", "d"]);
    assert_eq!((config.user(), config.working_dir()), ("7:8", "/w"));
    assert_eq!(config.env(), ["A=b"]);
    let ids: Vec<Digest> = image.layers().iter().map(|layer| layer.diff_id()).collect();
    assert_eq!(ids, layers().map(|layer| Digest::of(&layer)));
    let cache = Cache::open(cache, Owners::OfTheCaller).unwrap();
    let mut last = Progress { done: 0, total: 1 };
    let lowers = cache
        .unpack(&image, &mut |progress| last = progress)
        .unwrap();
    assert_eq!(last.done, last.total);
    assert_eq!(fs::read(lowers[0].join("a")).unwrap(), b"a");
    assert_eq!(fs::read(lowers[1].join("b")).unwrap(), b"b");
    // The second time there is nothing to do.
    let again = cache.unpack(&image, &mut |_| panic!("unpacked again"));
    assert_eq!(again.unwrap(), lowers);
}

#[test]
fn every_form_is_read() {
    let place = Place::new("forms");
    let layout = Layout::image(place.join("layout"), &layers(), CONFIG);
    check(&layout.0, &place.join("of-directory"));
    fs::write(place.join("oci.tar"), layout.archive()).unwrap();
    check(&place.join("oci.tar"), &place.join("of-archive"));
    fs::write(place.join("docker.tar"), docker_archive(&layers(), CONFIG)).unwrap();
    check(&place.join("docker.tar"), &place.join("of-docker"));

    // By gzip, below an index that is below the index, beside other platforms and attestations.
    let layout = Layout::new(place.join("nested"));
    let blobs = layers().map(|layer| layout.blob(&gzip(&layer)));
    let ids = layers().map(|layer| Digest::of(&layer));
    let manifest = layout.manifest(&Layout::config(&ids, CONFIG), &blobs);
    let here = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        "x86_64" => "amd64",
        other => other,
    };
    let absent = Digest::of(b"absent");
    let on = |digest, os, architecture| {
        format!(
            r#"{{"digest":"{digest}","size":1,"platform":{{"os":"{os}","architecture":"{architecture}"}}}}"#
        )
    };
    let below = [
        on(absent, "windows", here),
        on(absent, "linux", "s390x"),
        on(manifest, "linux", here),
        on(absent, "unknown", "unknown"),
    ];
    let below = layout.blob(format!(r#"{{"manifests":[{}]}}"#, below.join(",")).as_bytes());
    let kind = "application/vnd.oci.image.index.v1+json";
    layout.index(&[format!(
        r#"{{"mediaType":"{kind}","digest":"{below}","size":1}}"#
    )]);
    check(&layout.0, &place.join("of-nested"));
}

/// The same layer twice is one directory: the kernel takes none twice.
#[test]
fn a_layer_that_comes_again_is_used_once() {
    let place = Place::new("twice");
    let [a, b] = layers();
    let opaque = Tar::new().file(".wh..wh..opq", b"").finish();
    let all = [a.clone(), b.clone(), a.clone()];
    let lowers = |name: &str, layers: &[Vec<u8>]| {
        let layout = Layout::image(place.join(name), layers, "null");
        let cache = Cache::open(place.join("cache"), Owners::OfTheCaller).unwrap();
        let lowers = cache.unpack(&Image::open(&layout.0).unwrap(), &mut |_| {});
        let names = lowers.unwrap();
        let names = names
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let name = |layer: &[u8]| Digest::of(layer).hex();
    assert_eq!(lowers("again", &all), [name(&b), name(&a)]);
    // Nothing below an opaque root is seen; the kernel does not look at a root's mark.
    let all = [a.clone(), opaque.clone(), b.clone()];
    assert_eq!(lowers("opaque", &all), [name(&opaque), name(&b)]);
}

#[track_caller]
fn refused(path: &Path, expected: &str) {
    let error = Image::open(path).expect_err(expected).to_string();
    assert!(error.contains(expected), "{error}\nand not {expected}");
}

#[test]
fn what_is_no_image_is_told_why() {
    let place = Place::new("none");
    let write = |name: &str, bytes: &[u8]| {
        let path = place.join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    refused(&place.join("absent"), "open the image");
    refused(Path::new("/dev/null"), "neither a directory nor an archive");
    refused(place.path(), "is no image: it has neither index.json");
    refused(&write("empty", b""), "is no image");
    refused(&write("text", &[b'x'; 2000]), "read a tar archive");
    let docker = docker_archive(&layers(), CONFIG);
    refused(
        &write("gz", &gzip(&docker)),
        "is compressed by gzip: decompress",
    );
    refused(
        &write("zst", b"\x28\xb5\x2f\xfd0000"),
        "is compressed by zstd",
    );
    let two = Tar::new().file(
        "manifest.json",
        br#"[{"Config":"a","RepoTags":["x:1"],"Layers":[]},{"Config":"b","Layers":[]}]"#,
    );
    refused(
        &write("two", &two.finish()),
        "one image is needed, and these are here: x:1, b",
    );
    let lacks = Tar::new().file(
        "manifest.json",
        br#"[{"Config":"../../etc/passwd","Layers":[]}]"#,
    );
    refused(
        &write("lacks", &lacks.finish()),
        "../../etc/passwd: is not there",
    );
    let none = Tar::new()
        .file("manifest.json", br#"[{"Layers":[]}]"#)
        .finish();
    refused(
        &write("field", &none),
        "manifest.json: [0]: missing field `Config`",
    );
    let members = (0..10_001).fold(Tar::new(), |tar, number| tar.file(&number.to_string(), b""));
    refused(
        &write("members", &members.finish()),
        "more than 10000 members",
    );
}

#[test]
fn what_is_wrong_in_a_layout_is_named() {
    let place = Place::new("wrong");
    let layout = Layout::image(place.join("layout"), &layers(), CONFIG);
    let absent = Digest::of(b"absent");
    let index = |text: &str| fs::write(layout.0.join("index.json"), text).unwrap();
    let outside = r#"{"manifests":[{"digest":"sha256:../../../outside","size":1}]}"#;
    index(outside);
    refused(
        &layout.0,
        "index.json: manifests[0].digest: \"sha256:../../../outside\" is not",
    );
    index(&format!(r#"{{"manifests":[{}]}}"#, descriptor(absent)));
    refused(&layout.0, "is not there");
    index(r#"{"manifests":[]}"#);
    refused(&layout.0, "no image for linux/");
    index(&" ".repeat(9 << 20));
    refused(&layout.0, "index.json: more than 8388608 bytes");
    let other = layout.manifest(&Layout::config(&[], CONFIG), &[]);
    let manifests = [r#""a""#, r#""b\u001b""#].map(|name| {
        let digest = if name == r#""a""# { other } else { absent };
        format!(r#"{{"digest":"{digest}","size":1,"annotations":{{"org.opencontainers.image.ref.name":{name}}}}}"#)
    });
    layout.index(&manifests);
    refused(
        &layout.0,
        "one image is needed, and these are here: a, b\\u{1b}",
    );
    layout.index(&[descriptor(other)]);
    refused(&layout.0, "rootfs.diff_ids: no layer");
    let uneven = layout.manifest(&Layout::config(&[absent], CONFIG), &[]);
    layout.index(&[descriptor(uneven)]);
    refused(&layout.0, "1 digests for 0 layers");
    let many = vec![absent; 128];
    let many = layout.manifest(&Layout::config(&many, CONFIG), &many);
    layout.index(&[descriptor(many)]);
    refused(&layout.0, "more than 127 layers");
    let windows = Layout::config(&[], CONFIG).replace("linux", "windows");
    layout.index(&[descriptor(layout.manifest(&windows, &[]))]);
    refused(&layout.0, "os: is windows");
    fs::write(
        layout.0.join("oci-layout"),
        r#"{"imageLayoutVersion":"2.0.0"}"#,
    )
    .unwrap();
    refused(&layout.0, "oci-layout: imageLayoutVersion");
    fs::remove_file(layout.0.join("oci-layout")).unwrap();
    refused(&layout.0, "oci-layout: is not there");
}

/// A blob is a file of the layout and has the digest by which it is named.
#[test]
fn blobs_lead_nowhere_else_and_are_compared() {
    let place = Place::new("blobs");
    let make = |name: &str| Layout::image(place.join(name), &layers(), CONFIG);
    let index = |layout: &Layout| fs::read_to_string(layout.0.join("index.json")).unwrap();
    let manifest = |layout: &Layout| {
        let text = index(layout);
        let from = text.find("sha256:").unwrap();
        Digest::parse(&text[from..from + 71]).unwrap()
    };
    let changed = make("changed");
    let path = changed.blob_path(manifest(&changed));
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, [&bytes[..], b" "].concat()).unwrap();
    refused(&changed.0, "has the digest sha256:");
    // The very same contents, by way of links.
    let linked = make("linked");
    let path = linked.blob_path(manifest(&linked));
    fs::write(place.join("outside"), fs::read(&path).unwrap()).unwrap();
    fs::remove_file(&path).unwrap();
    symlink(place.join("outside"), &path).unwrap();
    let error = Image::open(&linked.0).unwrap_err();
    let is_loop = |error: &Error| matches!(error, Error::Io { source, .. } if source.raw_os_error() == Some(40));
    assert!(is_loop(&error), "{error:?}");
    let directory = make("directory");
    fs::rename(directory.0.join("blobs"), place.join("blobs")).unwrap();
    symlink(place.join("blobs"), directory.0.join("blobs")).unwrap();
    assert!(is_loop(&Image::open(&directory.0).unwrap_err()));
    // An archive whose configuration is not what its name says.
    let docker = docker_archive(&layers(), CONFIG);
    let at = docker.windows(4).position(|part| part == b"A=b\"").unwrap();
    let mut docker = docker;
    docker[at + 2] = b'c';
    fs::write(place.join("docker.tar"), docker).unwrap();
    refused(&place.join("docker.tar"), "has the digest sha256:");
}

#[test]
fn users_are_numbers_or_names_of_the_uppermost_passwd() {
    let place = Place::new("users");
    let passwd =
        "root:x:0:0::/root:\nguest:x:1000:1001::/home/guest:\n1000:x:0:0::/:\nbad:x:-1:x::home:\n";
    let low = Tar::new()
        .file("etc/passwd", passwd.as_bytes())
        .file("etc/group", b"staff:x:50:\n");
    let high = Tar::new()
        .file("etc/passwd", b"guest:x:7:8::/h:\n")
        .finish();
    let hidden = Tar::new().file("etc/.wh.passwd", b"").finish();
    let opaque = Tar::new().file("etc/.wh..wh..opq", b"").finish();
    let none = Tar::new().file(".wh.etc", b"").finish();
    let link = Tar::new().symlink("etc/passwd", "/etc/passwd").finish();
    let low = low.finish();
    let user = |layers: &[&Vec<u8>], text: &str| {
        let layers: Vec<Vec<u8>> = layers.iter().map(|layer| layer.to_vec()).collect();
        let layout = Layout::image(place.join("layout"), &layers, "null");
        let cache = Cache::open(place.join("cache"), Owners::OfTheCaller).unwrap();
        let image = Image::open(&layout.0).unwrap();
        let lowers = cache.unpack(&image, &mut |_| {}).unwrap();
        let found = crabcan_image::user(&lowers, text).map_err(|error| error.to_string());
        found.map(|user| (user.uid, user.gid, user.home))
    };
    let is = |uid, gid, home: &str| Ok((uid, gid, home.to_owned()));
    let low = [&low];
    assert_eq!(user(&low, ""), is(0, 0, "/root"));
    assert_eq!(user(&low, "guest"), is(1000, 1001, "/home/guest"));
    // A number is never a name (CVE-2016-3697).
    assert_eq!(user(&low, "1000"), is(1000, 1001, "/home/guest"));
    assert_eq!(user(&low, "1000:5"), is(1000, 5, "/home/guest"));
    assert_eq!(user(&low, "guest:staff"), is(1000, 50, "/home/guest"));
    assert_eq!(user(&low, ":staff"), is(0, 50, "/root"));
    assert_eq!(user(&low, "33"), is(33, 0, "/"));
    assert_eq!(user(&[low[0], &high], "guest"), is(7, 8, "/h"));
    for (layers, text, expected) in [
        (
            vec![low[0]],
            "nobody",
            "config.User \"nobody\": is not in the image's /etc/passwd",
        ),
        (vec![low[0]], "bad", "/etc/passwd"),
        (vec![low[0]], "guest:none", "/etc/group"),
        (vec![low[0]], "4294967295", "/etc/passwd"),
        (vec![low[0]], "+1", "/etc/passwd"),
        (vec![low[0], &hidden], "guest", "/etc/passwd"),
        (vec![low[0], &opaque], "guest", "/etc/passwd"),
        (vec![low[0], &none], "guest", "/etc/passwd"),
        (vec![low[0], &link], "guest", "is not a file"),
    ] {
        let error = user(&layers, text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}
