//! Images made on the spot, good and bad ones.
#![allow(dead_code, reason = "each test program uses its own part of this")]
#![allow(unreachable_pub, reason = "the tests of crabcan-cli use it too")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crabcan_image::{Cache, Digest, Error, Image, Limits, Owners};
use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{EntryType, Header};

/// A tar archive, member by member, with any name in it.
#[derive(Clone, Default)]
pub struct Tar(Vec<u8>);

impl Tar {
    pub fn new() -> Self {
        Self::default()
    }

    /// Any member at all.
    pub fn member(
        mut self,
        kind: EntryType,
        name: &str,
        link: &str,
        mode: u32,
        data: &[u8],
    ) -> Self {
        let mut header = Header::new_gnu();
        let raw = header.as_old_mut();
        raw.name[..name.len()].copy_from_slice(name.as_bytes());
        raw.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(1_000_000_000);
        header.set_size(data.len() as u64);
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.0.extend(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn file(self, name: &str, data: &[u8]) -> Self {
        self.member(EntryType::Regular, name, "", 0o644, data)
    }

    pub fn directory(self, name: &str) -> Self {
        self.member(EntryType::Directory, name, "", 0o755, b"")
    }

    pub fn symlink(self, name: &str, text: &str) -> Self {
        self.member(EntryType::Symlink, name, text, 0o777, b"")
    }

    pub fn link(self, name: &str, target: &str) -> Self {
        self.member(EntryType::Link, name, target, 0o644, b"")
    }

    /// A record of the pax format about the next member.
    pub fn pax(self, key: &str, value: &str) -> Self {
        let rest = format!(" {key}={value}\n");
        let mut length = rest.len() + 1;
        while length != rest.len() + length.to_string().len() {
            length = rest.len() + length.to_string().len();
        }
        let record = format!("{length}{rest}");
        self.member(EntryType::XHeader, "pax", "", 0o644, record.as_bytes())
    }

    /// Bytes as they are.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A directory of a test's own.
pub struct Place(PathBuf);

impl Place {
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("crabcan-image-{}-{count}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0)
            && !std::thread::panicking()
        {
            panic!("remove {}: {error}", self.0.display());
        }
    }
}

/// An OCI image layout that is written file by file.
pub struct Layout(pub PathBuf);

impl Layout {
    pub fn new(path: PathBuf) -> Self {
        fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self(path)
    }

    pub fn blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        fs::write(self.blob_path(digest), bytes).unwrap();
        digest
    }

    pub fn blob_path(&self, digest: Digest) -> PathBuf {
        self.0.join("blobs/sha256").join(digest.hex())
    }

    /// The configuration of an image with these layers, uncompressed.
    pub fn config(diff_ids: &[Digest], config: &str) -> String {
        let ids: Vec<String> = diff_ids.iter().map(|id| format!("\"{id}\"")).collect();
        let ids = ids.join(",");
        format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[{ids}]}},"config":{config}}}"#
        )
    }

    /// A manifest of these blobs.
    pub fn manifest(&self, config: &str, layers: &[Digest]) -> Digest {
        let config = self.blob(config.as_bytes());
        let layers: Vec<String> = layers.iter().map(|layer| descriptor(*layer)).collect();
        let layers = layers.join(",");
        let config = descriptor(config);
        let text = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layers}]}}"#);
        self.blob(text.as_bytes())
    }

    /// The index, of these descriptors.
    pub fn index(&self, descriptors: &[String]) {
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
            descriptors.join(",")
        );
        fs::write(self.0.join("index.json"), text).unwrap();
    }

    /// All of an image with these layers, each an archive.
    pub fn image(path: PathBuf, layers: &[Vec<u8>], config: &str) -> Self {
        let layout = Self::new(path);
        let blobs: Vec<Digest> = layers.iter().map(|layer| layout.blob(layer)).collect();
        let config = Self::config(&blobs, config);
        let manifest = layout.manifest(&config, &blobs);
        layout.index(&[descriptor(manifest)]);
        layout
    }

    /// The same files as a tar archive.
    pub fn archive(&self) -> Vec<u8> {
        let read = |name: &str| fs::read(self.0.join(name)).unwrap();
        let mut tar = Tar::new().directory("blobs/");
        for name in ["oci-layout", "index.json"] {
            tar = tar.file(name, &read(name));
        }
        for entry in fs::read_dir(self.0.join("blobs/sha256")).unwrap() {
            let name = format!(
                "blobs/sha256/{}",
                entry.unwrap().file_name().to_str().unwrap()
            );
            tar = tar.file(&name, &read(&name));
        }
        tar.finish()
    }
}

pub fn descriptor(digest: Digest) -> String {
    format!(r#"{{"digest":"{digest}","size":1}}"#)
}

/// What `docker save` writes of an image with these layers.
pub fn docker_archive(layers: &[Vec<u8>], config: &str) -> Vec<u8> {
    let ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let config = Layout::config(&ids, config);
    let name = format!("{}.json", Digest::of(config.as_bytes()).hex());
    let mut tar = Tar::new().file(&name, config.as_bytes());
    let mut names = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        names.push(format!("\"{number}/layer.tar\""));
        tar = tar.file(&format!("{number}/layer.tar"), layer);
    }
    let names = names.join(",");
    let manifest = format!(r#"[{{"Config":"{name}","RepoTags":["x:1"],"Layers":[{names}]}}]"#);
    tar.file("manifest.json", manifest.as_bytes()).finish()
}

/// Unpacks an image of one layer; the layer's directory.
pub fn unpack(place: &Place, layer: Vec<u8>) -> Result<PathBuf, Error> {
    unpack_within(place, layer, Limits::default())
}

pub fn unpack_within(place: &Place, layer: Vec<u8>, limits: Limits) -> Result<PathBuf, Error> {
    let layout = Layout::image(place.join("layout"), &[layer], "null");
    let image = Image::open(&layout.0)?;
    let cache = Cache::open(place.join("cache"), Owners::OfTheCaller)?.limits(limits);
    let mut layers = cache.unpack(&image, &mut |_| {})?;
    Ok(layers.pop().unwrap())
}

/// The causes of an error in one line.
pub fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The names that a cache has, of what is whole and of what is not.
pub fn cached(place: &Place) -> Vec<String> {
    let names = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten();
    let entries = names(place.join("cache")).chain(names(place.join("cache/layers")));
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}
