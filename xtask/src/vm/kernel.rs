//! The kernel that the machine boots, and the modules that it needs to reach its root.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};

/// What the initramfs loads, without what these need in turn: the bus, the results' port, the
/// disk, and the two file systems that make the root.
const WANTED: &[&str] = &[
    "virtio_pci",
    "virtio_console",
    "virtio_blk",
    "virtiofs",
    "overlay",
];

/// A kernel of the distribution with its modules.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(super) image: PathBuf,
    modules: PathBuf,
}

impl Kernel {
    /// The cloud kernel that was installed last, if there is one with its modules.
    pub(crate) fn find() -> Result<Option<Kernel>> {
        find(Path::new("/boot"), Path::new("/lib/modules"))
    }

    /// The modules' names and contents, each after those that it needs.
    pub(super) fn modules(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let list = self.modules.join("modules.dep");
        let list = fs::read_to_string(&list).with_context(|| format!("read {}", list.display()))?;
        let mut modules = Vec::new();
        for path in load_order(&list, WANTED)? {
            let file = self.modules.join(path);
            let content = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
            let name = file.file_name().unwrap_or_default();
            modules.push((name.to_string_lossy().into_owned(), content));
        }
        Ok(modules)
    }
}

fn find(boot: &Path, modules: &Path) -> Result<Option<Kernel>> {
    let mut newest: Option<(SystemTime, Kernel)> = None;
    let Ok(entries) = fs::read_dir(boot) else {
        return Ok(None);
    };
    for entry in entries {
        let entry = entry.with_context(|| format!("read {}", boot.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(release) = name.strip_prefix("vmlinuz-") else {
            continue;
        };
        let modules = modules.join(release);
        if !release.contains("cloud") || !modules.join("modules.dep").is_file() {
            continue;
        }
        let time = entry.metadata().and_then(|data| data.modified())?;
        if newest.as_ref().is_none_or(|(other, _)| time > *other) {
            let image = entry.path();
            newest = Some((time, Kernel { image, modules }));
        }
    }
    Ok(newest.map(|(_, kernel)| kernel))
}

/// The paths of the wanted modules and of all that they need, in the order to load them in.
///
/// A line of `modules.dep` names a module and all it needs, directly or not, the deepest last. A
/// module that is missing there may be built into the kernel: the guest sees whether it is.
fn load_order<'a>(list: &'a str, wanted: &[&str]) -> Result<Vec<&'a str>> {
    let mut order = Vec::new();
    for name in wanted {
        let line = list.lines().find_map(|line| {
            let (path, needs) = line.split_once(':')?;
            let file = path.rsplit('/').next()?;
            (file.split_once('.')?.0.replace('-', "_") == *name).then_some((path, needs))
        });
        let Some((path, needs)) = line else { continue };
        for path in needs.split_whitespace().rev().chain([path]) {
            if !order.contains(&path) {
                order.push(path);
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn what_a_module_needs_comes_first_and_once() {
        let list = "k/virtio.ko: k/virtio_ring.ko\n\
                    k/virtio_pci.ko: k/legacy.ko k/virtio.ko k/virtio_ring.ko\n\
                    k/virtio-blk.ko: k/virtio.ko k/virtio_ring.ko\n\
                    k/overlay.ko:\n";
        let order = load_order(list, &["virtio_pci", "virtio_blk", "builtin", "overlay"]).unwrap();
        let expected = [
            "k/virtio_ring.ko",
            "k/virtio.ko",
            "k/legacy.ko",
            "k/virtio_pci.ko",
            "k/virtio-blk.ko",
            "k/overlay.ko",
        ];
        assert_eq!(order, expected);
    }

    #[test]
    fn only_a_cloud_kernel_with_modules_is_taken() {
        let scratch = Scratch::new("crabcan-unit").unwrap();
        let (boot, modules) = (scratch.path().join("boot"), scratch.path().join("modules"));
        fs::create_dir(&boot).unwrap();
        for release in ["6.1-amd64", "6.1-cloud-amd64", "6.2-cloud-amd64"] {
            fs::write(boot.join(format!("vmlinuz-{release}")), "").unwrap();
        }
        assert!(find(&boot, &modules).unwrap().is_none());
        for release in ["6.1-amd64", "6.1-cloud-amd64"] {
            fs::create_dir_all(modules.join(release)).unwrap();
            fs::write(modules.join(release).join("modules.dep"), "").unwrap();
        }
        let found = find(&boot, &modules).unwrap().unwrap();
        assert!(
            found.image.ends_with("vmlinuz-6.1-cloud-amd64"),
            "{found:?}"
        );
        assert!(
            find(&scratch.path().join("none"), &modules)
                .unwrap()
                .is_none()
        );
    }
}
