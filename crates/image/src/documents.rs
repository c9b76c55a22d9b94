//! The JSON documents of images: OCI's, docker's, and the archive's of `docker save`.
//!
//! What is not used here is not read. `null` is what is not there, as Go writes it.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Config, Digest, Error};

/// `oci-layout`.
#[derive(Debug, Deserialize)]
pub(crate) struct Layout {
    #[serde(rename = "imageLayoutVersion")]
    pub(crate) version: String,
}

/// `index.json`, or an index that it leads to.
#[derive(Debug, Deserialize)]
pub(crate) struct Index {
    pub(crate) manifests: Vec<Descriptor>,
}

/// A manifest: a configuration and layers, the lowest first.
#[derive(Debug, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// Where a blob is, and what it is.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    #[serde(deserialize_with = "digest")]
    pub(crate) digest: Digest,
    pub(crate) platform: Option<Platform>,
    #[serde(default)]
    pub(crate) annotations: Option<Annotations>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Annotations {
    #[serde(rename = "org.opencontainers.image.ref.name")]
    pub(crate) name: Option<String>,
}

/// What an image runs on.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Platform {
    pub(crate) architecture: String,
    pub(crate) os: String,
}

/// An entry of `manifest.json` in an archive of `docker save`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Saved {
    pub(crate) config: String,
    #[serde(default)]
    pub(crate) repo_tags: Option<Vec<String>>,
    pub(crate) layers: Vec<String>,
}

/// The configuration.
#[derive(Debug, Deserialize)]
pub(crate) struct Document {
    pub(crate) os: String,
    pub(crate) rootfs: Rootfs,
    #[serde(default)]
    pub(crate) config: Option<Config>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Rootfs {
    #[serde(deserialize_with = "digests")]
    pub(crate) diff_ids: Vec<Digest>,
}

/// Reads a document; an error names the file and the field.
pub(crate) fn read<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, Error> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let document = serde_path_to_error::deserialize(&mut reader);
    let document = document.map_err(|error| {
        let field = error.path().to_string();
        let reason = error.into_inner().to_string();
        match field.as_str() {
            "." => Error::invalid(what, reason),
            field => Error::invalid(format!("{what}: {field}"), reason),
        }
    })?;
    reader
        .end()
        .map_err(|error| Error::invalid(what, error.to_string()))?;
    Ok(document)
}

fn digest<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Digest, D::Error> {
    let text = String::deserialize(from)?;
    Digest::parse(&text).ok_or_else(|| {
        let text = text.escape_debug();
        serde::de::Error::custom(format!("\"{text}\" is not sha256: and 64 digits"))
    })
}

fn digests<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Digest>, D::Error> {
    #[derive(Deserialize)]
    struct One(#[serde(deserialize_with = "digest")] Digest);
    let digests = Vec::<One>::deserialize(from)?;
    Ok(digests.into_iter().map(|one| one.0).collect())
}

#[cfg(any(test, fuzzing))]
#[cfg_attr(fuzzing, allow(dead_code, unused_imports, reason = "the target alone"))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
pub(crate) mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn an_error_names_the_field() {
        let text = format!(
            r#"{{"manifests":[{{"digest":"{DIGEST}","size":1}},{{"digest":"sha256:../x","size":1}}]}}"#
        );
        let error = read::<Index>("index.json", text.as_bytes()).unwrap_err();
        let expected = "index.json: manifests[1].digest: \"sha256:../x\" is not sha256: and 64";
        assert!(error.to_string().starts_with(expected), "{error}");
        let error = read::<Index>("index.json", br#"{"manifests":[]} x"#).unwrap_err();
        assert!(error.to_string().contains("trailing characters"), "{error}");
    }

    #[test]
    fn null_is_what_is_not_there() {
        let text = format!(
            r#"{{"os":"linux","rootfs":{{"diff_ids":["{DIGEST}"]}},"config":{{"Env":null,"User":null,"Cmd":["a"]}}}}"#
        );
        let document: Document = read("config", text.as_bytes()).unwrap();
        let config = document.config.unwrap();
        assert_eq!((config.env(), config.user()), (&[][..], ""));
        assert_eq!(config.command(), ["a"]);
        assert_eq!(document.rootfs.diff_ids, [Digest::of(b"")]);
    }

    /// A fuzz target: a document that says only what it may, or an error that names the file.
    pub(crate) fn target(bytes: &[u8]) -> u64 {
        let named = |error: Error| assert!(error.to_string().starts_with("x: "), "{error}");
        let mut seen = 0;
        seen += read::<Index>("x", bytes)
            .map_err(named)
            .map_or(0, |it| 1 + it.manifests.len() as u64);
        seen += read::<Manifest>("x", bytes)
            .map_err(named)
            .map_or(0, |it| 100 + it.layers.len() as u64);
        seen += read::<Vec<Saved>>("x", bytes)
            .map_err(named)
            .map_or(0, |it| 200 + it.len() as u64);
        seen + read::<Document>("x", bytes).map_err(named).map_or(0, |it| {
            let config = it.config.unwrap_or_default();
            300 + (it.rootfs.diff_ids.len() + config.env().len() + config.command().len()) as u64
        })
    }

    #[test]
    fn fuzz_documents() {
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{DIGEST}","size":7,"platform":{{"architecture":"amd64","os":"linux"}},"annotations":{{"org.opencontainers.image.ref.name":"a"}}}}]}}"#
        );
        let manifest = format!(
            r#"{{"config":{{"digest":"{DIGEST}","size":7}},"layers":[{{"digest":"{DIGEST}","size":8}}]}}"#
        );
        let config = format!(
            r#"{{"os":"linux","rootfs":{{"type":"layers","diff_ids":["{DIGEST}"]}},"config":{{"User":"1:2","Env":["A=b"],"Entrypoint":null,"Cmd":["sh"],"WorkingDir":"/x"}}}}"#
        );
        let saved = r#"[{"Config":"c.json","RepoTags":null,"Layers":["a/layer.tar"]}]"#;
        let corpus = [
            index.as_bytes(),
            manifest.as_bytes(),
            config.as_bytes(),
            saved.as_bytes(),
        ];
        let words = [
            "null", "[", "{", "\"", DIGEST, "sha512:", "..", "/", "-1", "1e99",
        ];
        crate::driver::fuzz("documents", &corpus, &words, target);
    }
}
