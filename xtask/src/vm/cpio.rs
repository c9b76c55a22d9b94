//! The archive that a kernel unpacks as its first root: cpio in the form `newc`.
//!
//! See Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.

use anyhow::{Context, Result};

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;

/// An archive that grows file by file. Everything in it belongs to root.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    inodes: u32,
}

impl Archive {
    /// Adds a directory, mode 0755. A file's directory must come before the file.
    pub(super) fn directory(&mut self, path: &str) -> Result<()> {
        self.entry(path, DIRECTORY | 0o755, &[])
    }

    /// Adds a file, mode 0755.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.entry(path, FILE | 0o755, content)
    }

    /// The finished archive.
    pub(super) fn finish(mut self) -> Result<Vec<u8>> {
        self.entry("TRAILER!!!", 0, &[])?;
        Ok(self.bytes)
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.inodes += 1;
        let size = u32::try_from(content.len())
            .with_context(|| format!("{path} is too large for an initramfs"))?;
        let name = u32::try_from(path.len() + 1).context("a name in the initramfs")?;
        // Inode, mode, uid, gid, links, mtime, size, device (4 numbers), length of the name,
        // checksum (unused in this form).
        let fields = [self.inodes, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
        Ok(())
    }

    /// Names and contents end at multiples of four bytes.
    fn pad(&mut self) {
        let length = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(length, 0);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn an_entry_is_laid_out_as_the_kernel_reads_it() {
        let mut archive = Archive::default();
        archive.directory("bin").unwrap();
        archive.file("bin/sh", b"hello").unwrap();
        let bytes = archive.finish().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let directory = format!("070701{:08x}{:08x}", 1, 0o040_755);
        assert!(text.starts_with(&directory), "{text}");
        // 6 + 13 * 8 = 110 bytes of header; "bin\0" ends at 114, padded to 116.
        assert_eq!(&text[110..116], "bin\0\0\0");
        let second = &text[116..];
        assert_eq!(&second[..14], "07070100000002");
        assert_eq!(&second[54..62], "00000005");
        assert_eq!(&second[94..102], "00000007");
        assert_eq!(&second[110..120], "bin/sh\0\0\0\0");
        assert_eq!(&second[120..128], "hello\0\0\0");
        assert_eq!(&text[116 + 128 + 110..], "TRAILER!!!\0\0\0\0");
    }
}
