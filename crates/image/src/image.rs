//! An image that is opened: its configuration and its layers.

use std::fmt;
use std::path::Path;

use serde::Deserialize;

use crate::documents::{self, Descriptor, Document, Index, Layout, Manifest, Saved};
use crate::source::{Blob, Source, blob_name};
use crate::{Digest, Error};

/// As many as container engines allow.
const MOST_LAYERS: usize = 127;
/// An index leads to an index, and that to manifests: no deeper.
const DEEPEST: usize = 3;
/// More than all platforms of many tags.
const MOST_MANIFESTS: usize = 1000;

/// An image on disk: an OCI image layout, or what `docker save` and `podman save` write.
#[derive(Debug)]
pub struct Image {
    source: Source,
    config: Config,
    layers: Vec<Layer>,
}

/// A layer of an image.
#[derive(Clone, PartialEq, Eq)]
pub struct Layer {
    /// The file that has it.
    name: String,
    /// Of the file as it is; the archive of `docker save` does not say it.
    digest: Option<Digest>,
    diff_id: Digest,
}

impl Layer {
    /// The digest of the layer's tar archive, decompressed.
    #[must_use]
    pub fn diff_id(&self) -> Digest {
        self.diff_id
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn digest(&self) -> Option<Digest> {
        self.digest
    }
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.diff_id, self.name)
    }
}

/// What an image says about the command that runs in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Config {
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    env: Option<Vec<String>>,
    #[serde(default)]
    entrypoint: Option<Vec<String>>,
    #[serde(default)]
    cmd: Option<Vec<String>>,
    #[serde(default)]
    working_dir: Option<String>,
}

impl Config {
    /// The variables of the environment, each `NAME=VALUE`.
    #[must_use]
    pub fn env(&self) -> &[String] {
        self.env.as_deref().unwrap_or_default()
    }

    /// The command with its arguments: `Entrypoint` and then `Cmd`. Empty when there is none.
    #[must_use]
    pub fn command(&self) -> Vec<&str> {
        let words = [&self.entrypoint, &self.cmd]
            .into_iter()
            .flatten()
            .flatten();
        words.map(String::as_str).collect()
    }

    /// Where it starts; empty when nothing is said.
    #[must_use]
    pub fn working_dir(&self) -> &str {
        self.working_dir.as_deref().unwrap_or_default()
    }

    /// Who runs it, as `USER[:GROUP]`, each a number or a name; empty when nothing is said. See
    /// [`user`](crate::user).
    #[must_use]
    pub fn user(&self) -> &str {
        self.user.as_deref().unwrap_or_default()
    }
}

impl Image {
    /// Opens an image: a directory with an OCI image layout, a tar archive of one, or an archive of
    /// `docker save`. Its documents are read and their digests compared; its layers are not read yet.
    ///
    /// # Errors
    /// [`Error::Io`] (ENOENT, EACCES; ELOOP and EXDEV for a blob that is a link or leads out),
    /// [`Error::Invalid`] with the file and the field, also where several images are in one archive
    /// and where none is for this machine, [`Error::Digest`], [`Error::TooMuch`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let source = Source::open(path)?;
        let shown = path.display().to_string();
        if let Some(index) = source.document("index.json")? {
            return Self::of_layout(source, &index);
        }
        match source.document("manifest.json")? {
            Some(manifest) => Self::of_docker(source, &manifest),
            None => Err(Error::invalid(
                shown,
                "is no image: it has neither index.json (an OCI image layout) nor manifest.json \
                 (an archive of docker save)",
            )),
        }
    }

    /// What the image says about its command.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The layers, the lowest first.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The file of a layer.
    pub(crate) fn blob(&self, layer: &Layer) -> Result<Blob, Error> {
        let blob = self.source.file(&layer.name)?;
        blob.ok_or_else(|| Error::invalid(&layer.name, "is not there"))
    }

    fn of_layout(source: Source, index: &[u8]) -> Result<Self, Error> {
        let layout = source.document("oci-layout")?;
        let layout = layout.ok_or_else(|| Error::invalid("oci-layout", "is not there"))?;
        let layout: Layout = documents::read("oci-layout", &layout)?;
        if !layout.version.starts_with("1.") {
            let reason = format!("{} is not known", layout.version.escape_debug());
            return Err(Error::invalid("oci-layout: imageLayoutVersion", reason));
        }
        let index: Index = documents::read("index.json", index)?;
        let mut found = Vec::new();
        collect(&source, index, None, DEEPEST, &mut found)?;
        let chosen = choose(found)?;
        let (name, bytes) = source.by_digest(chosen.digest)?;
        let manifest: Manifest = documents::read(&name, &bytes)?;
        let (name, bytes) = source.by_digest(manifest.config.digest)?;
        let layers = manifest.layers.iter();
        let layers = layers.map(|layer| (blob_name(layer.digest), Some(layer.digest)));
        Self::new(source, &name, &bytes, layers.collect())
    }

    fn of_docker(source: Source, manifest: &[u8]) -> Result<Self, Error> {
        let saved: Vec<Saved> = documents::read("manifest.json", manifest)?;
        let [image] = saved.as_slice() else {
            let names = saved.iter().map(|image| {
                let tags = image.repo_tags.as_deref().unwrap_or_default();
                tags.first().map_or(image.config.as_str(), String::as_str)
            });
            return Err(not_one("manifest.json", &names.collect::<Vec<_>>()));
        };
        let bytes = source.document(&image.config)?;
        let bytes = bytes.ok_or_else(|| Error::invalid(&image.config, "is not there"))?;
        // Its name is its digest, where the archive is not an old one.
        let name = image.config.trim_end_matches(".json");
        let hex = name.rsplit_once('/').map_or(name, |(_, hex)| hex);
        if let Some(digest) = Digest::parse(&format!("sha256:{hex}")) {
            digest.expect(&image.config, Digest::of(&bytes))?;
        }
        let layers = image.layers.iter().map(|name| (name.clone(), None));
        let (layers, config) = (layers.collect(), image.config.clone());
        Self::new(source, &config, &bytes, layers)
    }

    fn new(
        source: Source,
        name: &str,
        config: &[u8],
        layers: Vec<(String, Option<Digest>)>,
    ) -> Result<Self, Error> {
        let document: Document = documents::read(name, config)?;
        if document.os != "linux" {
            let os = document.os.escape_debug();
            return Err(Error::invalid(
                format!("{name}: os"),
                format!("is {os}, and not linux"),
            ));
        }
        let diff_ids = document.rootfs.diff_ids;
        if diff_ids.len() != layers.len() {
            let reason = format!("{} digests for {} layers", diff_ids.len(), layers.len());
            return Err(Error::invalid(format!("{name}: rootfs.diff_ids"), reason));
        }
        if layers.is_empty() {
            return Err(Error::invalid(
                format!("{name}: rootfs.diff_ids"),
                "no layer",
            ));
        }
        if layers.len() > MOST_LAYERS {
            return Err(Error::TooMuch {
                what: name.to_owned(),
                limit: format!("{MOST_LAYERS} layers"),
            });
        }
        let layer = |((name, digest), diff_id)| Layer {
            name,
            digest,
            diff_id,
        };
        Ok(Self {
            source,
            config: document.config.unwrap_or_default(),
            layers: layers.into_iter().zip(diff_ids).map(layer).collect(),
        })
    }
}

/// The manifests that an index leads to, each with the name that it has there.
fn collect(
    source: &Source,
    index: Index,
    name: Option<&str>,
    depth: usize,
    found: &mut Vec<Descriptor>,
) -> Result<(), Error> {
    for mut one in index.manifests {
        let annotations = one.annotations.take().unwrap_or_default();
        let name = annotations.name.or(name.map(str::to_owned));
        if one.media_type.ends_with(".image.index.v1+json")
            || one.media_type.ends_with(".manifest.list.v2+json")
        {
            let Some(depth) = depth.checked_sub(1) else {
                return Err(Error::invalid("index.json", "an index in too many others"));
            };
            let (file, bytes) = source.by_digest(one.digest)?;
            let below = documents::read(&file, &bytes)?;
            collect(source, below, name.as_deref(), depth, found)?;
        } else {
            one.annotations = Some(documents::Annotations { name });
            found.push(one);
        }
        if found.len() > MOST_MANIFESTS {
            return Err(Error::TooMuch {
                what: "index.json".into(),
                limit: format!("{MOST_MANIFESTS} manifests"),
            });
        }
    }
    Ok(())
}

/// The one that runs here.
fn choose(mut found: Vec<Descriptor>) -> Result<Descriptor, Error> {
    let all: Vec<String> = found.iter().map(shown).collect();
    found.retain(|one| match &one.platform {
        Some(platform) => platform.os == "linux" && platform.architecture == architecture(),
        None => true,
    });
    // Several names of one image are no choice.
    found.sort_by_key(|one| one.digest);
    found.dedup_by_key(|one| one.digest);
    match found.len() {
        1 => Ok(found.swap_remove(0)),
        0 => {
            let here = architecture();
            let reason = format!("no image for linux/{here} among: {}", all.join(", "));
            Err(Error::invalid("index.json", reason))
        }
        _ => Err(not_one(
            "index.json",
            &found.iter().map(shown).collect::<Vec<_>>(),
        )),
    }
}

fn not_one(what: &str, names: &[impl AsRef<str>]) -> Error {
    let names: Vec<_> = names.iter().map(AsRef::as_ref).collect();
    let names = names.join(", ");
    let names = names.escape_debug();
    Error::invalid(
        what,
        format!("one image is needed, and these are here: {names}"),
    )
}

fn shown(one: &Descriptor) -> String {
    let name = one.annotations.as_ref().and_then(|all| all.name.clone());
    let name = name.unwrap_or_else(|| one.digest.to_string());
    match &one.platform {
        Some(platform) => format!("{name} ({}/{})", platform.os, platform.architecture),
        None => name,
    }
}

/// This machine's, as Go and with it OCI calls it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
