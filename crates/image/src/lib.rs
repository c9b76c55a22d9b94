//! Container images on disk, unpacked safely beneath a file descriptor.
//!
//! [`Image::open`] reads what `podman save`, `docker save`, `skopeo copy` and `buildah push` write:
//! an OCI image layout as a directory or as a tar archive, or docker's own archive. [`Cache::unpack`]
//! unpacks its layers, each into a directory of its own, as the lower layers of an overlay, and
//! leaves them there for the next time. Nothing is fetched: there is no network here.
//!
//! An image is hostile ground: it chooses every name, link and size in it. So no name of a layer is
//! resolved but one component at a time, beneath a descriptor, never through a link; what is read is
//! bounded; and nothing is used whose digests were not compared.
//!
//! ```
//! use crabcan_image::{Cache, Image, Owners};
//! # use crabcan_image::Digest;
//! # use std::fs;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let place = std::env::temp_dir().join(format!("crabcan-image-doc-{}", std::process::id()));
//! # let (layout, cache) = (place.join("layout"), place.join("cache"));
//! # fs::create_dir_all(layout.join("blobs/sha256"))?;
//! # let blob = |bytes: &[u8]| -> std::io::Result<Digest> {
//! #     let digest = Digest::of(bytes);
//! #     fs::write(layout.join("blobs/sha256").join(digest.hex()), bytes).map(|()| digest)
//! # };
//! # let layer = blob(&[0; 1024])?;
//! # let config = blob(format!(r#"{{"os":"linux","rootfs":{{"diff_ids":["{layer}"]}},"config":{{"Cmd":["/bin/sh"]}}}}"#).as_bytes())?;
//! # let manifest = blob(format!(r#"{{"config":{{"digest":"{config}","size":1}},"layers":[{{"digest":"{layer}","size":1}}]}}"#).as_bytes())?;
//! # fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
//! # fs::write(layout.join("index.json"), format!(r#"{{"manifests":[{{"digest":"{manifest}","size":1}}]}}"#))?;
//! // podman save --format oci-dir -o layout alpine
//! let image = Image::open(&layout)?;
//! assert_eq!(image.config().command(), ["/bin/sh"]);
//!
//! let cache = Cache::open(&cache, Owners::OfTheCaller)?;
//! let lowers = cache.unpack(&image, &mut |progress| println!("{progress:?}"))?;
//! assert_eq!(lowers.len(), 1);
//! let user = crabcan_image::user(&lowers, image.config().user())?;
//! assert_eq!((user.uid, user.gid), (0, 0));
//! # fs::remove_dir_all(place)?;
//! # Ok(())
//! # }
//! ```
//!
//! # What of a layer is kept
//! Files, directories, symbolic and hard links, named pipes, their permissions and times, and
//! attributes that begin with `user.`. Not kept are set-user-ID, set-group-ID and sticky bits (that
//! last one stays on directories), devices, all other attributes (`security.capability` too), and
//! the times of directories; directories always have `rwx` for their owner. What is hidden of lower
//! layers is marked as overlayfs does: devices 0:0, and `user.overlay.opaque`, which needs the mount
//! option `userxattr`.
//!
//! # Limits
//! Layers are tar archives, plain or by gzip; zstd is refused. One image in an archive, or one for
//! this machine. 127 layers, [`Limits`] for each, files below 8 GiB, documents of 8 MiB. Signatures
//! are not looked at: who has the image decides what is in it.
//!
//! # Kernel versions and privileges
//! openat2(2), Linux 5.6; whiteouts by an ordinary user, 5.8. [`Owners::OfTheImage`] needs
//! `CAP_CHOWN`; all else needs nothing. Several lower layers in an overlay need Linux 6.5 if they
//! are named one by one.
//!
//! # Errors
//! [`Error`] names the file, field or member, and has the kernel's answer as its source.

mod cache;
mod digest;
mod documents;
#[cfg(test)]
#[path = "../../../xtask/fuzz/driver.rs"]
#[allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a target says what it did, and fails by panicking"
)]
mod driver;
mod error;
mod image;
mod layer;
mod members;
mod source;
mod tree;
mod user;

pub use cache::{Cache, Limits, Owners, Progress};
pub use digest::Digest;
pub use error::Error;
pub use image::{Config, Image, Layer};
pub use user::{User, user};

/// The fuzz target of what is private, for `fuzz/`: see docs/CONTRIBUTING.md.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod targets {
    pub fn documents(bytes: &[u8]) {
        crate::documents::tests::target(bytes);
    }
}
