//! The image of all scenarios: a static busybox and files to fail with.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::machine::WORK;
use crate::cargo::succeed;

/// What the image holds besides busybox: path, mode, text.
const FILES: &[(&str, u32, &str)] = &[
    (
        "etc/passwd",
        0o644,
        "root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000:guest:/home:/bin/sh\n",
    ),
    (
        "etc/group",
        0o644,
        "root:x:0:\nguest:x:1000:\nextra:x:2000:guest\n",
    ),
    ("bin/not-executable", 0o644, "#!/bin/sh\n"),
    ("bin/no-interpreter", 0o755, "#!/bin/missing\n"),
    ("bin/no-program", 0o755, "\u{1}\u{2}\u{3}"),
];

/// Makes `busybox.tar` in the working directory.
pub(crate) fn make(busybox: &Path) -> Result<()> {
    let root = Path::new(WORK).join("image");
    for dir in ["bin", "etc", "home", "proc", "root", "tmp", "var"] {
        let path = root.join(dir);
        fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
    }
    fs::set_permissions(root.join("tmp"), Permissions::from_mode(0o1777))
        .context("set the mode of the image's /tmp")?;
    let program = root.join("bin/busybox");
    fs::copy(busybox, &program).with_context(|| format!("copy {}", busybox.display()))?;
    let list = Command::new(&program)
        .arg("--list")
        .output()
        .context("list busybox's programs")?;
    ensure!(list.status.success(), "busybox --list: {}", list.status);
    for name in String::from_utf8_lossy(&list.stdout).lines() {
        if name != "busybox" {
            symlink("busybox", root.join("bin").join(name))
                .with_context(|| format!("link {name} in the image"))?;
        }
    }
    for (path, mode, text) in FILES {
        let path = root.join(path);
        fs::write(&path, text)
            .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(*mode)))
            .with_context(|| format!("write {}", path.display()))?;
    }
    let tar = Path::new(WORK).join("busybox.tar");
    succeed(
        Command::new("tar")
            .arg("-C")
            .arg(&root)
            .arg("-cf")
            .arg(&tar)
            .arg("."),
    )?;
    fs::remove_dir_all(&root).context("remove the image's tree")
}
