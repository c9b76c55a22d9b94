//! What the fuzz target does with bytes: run by `../fuzz.rs`, and under cargo-fuzz by `../../fuzz`.

use std::fs;
use std::io::Read;

use crabcan_image::{Cache, Digest, Error, Image, Limits, Owners};

use crate::make::{Layout, Place, descriptor};

/// Any bytes as a layer: it is unpacked whole, or an error and nothing; and nothing is ever written
/// outside its own directory.
pub(crate) fn layer(bytes: &[u8]) -> u64 {
    let place = Place::new("fuzz");
    let outside = place.join("cache/outside");
    let bytes = with_checksums(bytes);
    let layout = Layout::new(place.join("layout"));
    let diff_id = Digest::of(unpacked(&bytes).as_deref().unwrap_or(&bytes));
    let manifest = layout.manifest(&Layout::config(&[diff_id], "null"), &[layout.blob(&bytes)]);
    layout.index(&[descriptor(manifest)]);
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("file"), b"untouched").unwrap();
    let cache = Cache::open(place.join("cache"), Owners::OfTheCaller).unwrap();
    let limits = Limits {
        bytes: 1 << 20,
        members: 100,
    };
    let result = cache
        .limits(limits)
        .unpack(&Image::open(&layout.0).unwrap(), &mut |_| {});
    let names = |path| {
        fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
    };
    assert_eq!(names(outside.clone()).count(), 1);
    assert_eq!(fs::read(outside.join("file")).unwrap(), b"untouched");
    assert_eq!(
        names(place.join("cache")).count(),
        3,
        "layers, lock, outside"
    );
    let whole = names(place.join("cache/layers")).count();
    assert_eq!(whole, usize::from(result.is_ok()));
    match result {
        Ok(layers) => 1 + names(layers[0].clone()).count() as u64,
        Err(Error::Layer { source, .. }) => {
            let text: String = source
                .to_string()
                .chars()
                .filter(char::is_ascii_lowercase)
                .collect();
            let of = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            100 + text.bytes().fold(7, of) % 4096
        }
        Err(error) => panic!("{error}"),
    }
}

/// What is in a compressed layer, as far as a test goes along with it.
fn unpacked(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let read = flate2::read::MultiGzDecoder::new(bytes)
        .take(2 << 20)
        .read_to_end(&mut plain);
    read.is_ok().then_some(plain)
}

/// A wrong sum would end nearly every attempt at its first header.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return bytes;
    }
    for block in bytes.chunks_exact_mut(512) {
        if block[257..262] == *b"ustar" {
            let mut header = tar::Header::from_byte_slice(block).clone();
            header.set_cksum();
            block.copy_from_slice(header.as_bytes());
        }
    }
    bytes
}
