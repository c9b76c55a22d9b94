//! The files of the project, read once, and the rules about their names.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Finding;
use super::source::code_only;

/// One text file.
#[derive(Debug)]
pub(super) struct File {
    /// Relative to the workspace, with `/`.
    pub(super) path: String,
    pub(super) text: String,
    /// For Rust: the text with comments and literals blanked, line for line. Else empty.
    pub(super) code: String,
}

impl File {
    fn new(path: String, text: String) -> File {
        let code = if path.ends_with(".rs") {
            code_only(&text)
        } else {
            String::new()
        };
        File { path, text, code }
    }

    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// The directory `NAME` of `crates/NAME/…`.
    pub(super) fn crate_name(&self) -> Option<&str> {
        Some(self.path.strip_prefix("crates/")?.split_once('/')?.0)
    }

    /// In `tests/`, `examples/` or `benches/` of a package.
    pub(super) fn is_beside_src(&self) -> bool {
        let dirs = ["/tests/", "/examples/", "/benches/"];
        dirs.iter().any(|dir| self.path.contains(dir)) && !self.path.contains("/src/")
    }

    pub(super) fn finding(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding::new(&self.path, line, message)
    }
}

/// The tree as the rules see it.
#[derive(Debug, Default)]
pub(super) struct Tree {
    files: Vec<File>,
    top_level: Vec<String>,
}

impl Tree {
    /// Reads all text below `crates`, `xtask`, `docs` and `.ci`, and that of the top level.
    pub(super) fn read(root: &Path) -> Result<Tree> {
        let mut tree = Tree::default();
        for (name, is_dir) in entries(root)? {
            // `target` is ignored by git and may be anything, a link to elsewhere too.
            if name == "target" {
                continue;
            }
            match (is_dir, name.as_str()) {
                (true, "crates" | "xtask" | "docs" | ".ci") => tree.read_dir(root, &name)?,
                (false, _) => tree.read_file(root, &name)?,
                (true, _) => {}
            }
            tree.top_level.push(name);
        }
        Ok(tree)
    }

    fn read_dir(&mut self, root: &Path, dir: &str) -> Result<()> {
        for (name, is_dir) in entries(&root.join(dir))? {
            let path = format!("{dir}/{name}");
            match is_dir {
                true if name == "target" => {}
                true => self.read_dir(root, &path)?,
                false => self.read_file(root, &path)?,
            }
        }
        Ok(())
    }

    fn read_file(&mut self, root: &Path, path: &str) -> Result<()> {
        let bytes = fs::read(root.join(path)).with_context(|| format!("read {path}"))?;
        // A file that is no text (a picture, a corpus of the fuzzer) has nothing to check.
        if let Ok(text) = String::from_utf8(bytes) {
            self.files.push(File::new(path.to_owned(), text));
        }
        Ok(())
    }

    pub(super) fn files(&self) -> &[File] {
        &self.files
    }

    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    pub(super) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.is_rust())
    }

    /// The names of the directories in `crates/`, in order.
    pub(super) fn crates(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.files.iter().filter_map(File::crate_name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Tree {
        let file = |&(path, text): &(&str, &str)| File::new(path.to_owned(), text.to_owned());
        let mut top_level: Vec<String> = files
            .iter()
            .map(|(path, _)| path.split('/').next().unwrap_or_default().to_owned())
            .collect();
        top_level.dedup();
        Tree {
            files: files.iter().map(file).collect(),
            top_level,
        }
    }
}

/// The names in a directory, sorted, and whether each is a directory. Links count as neither.
fn entries(dir: &Path) -> Result<Vec<(String, bool)>> {
    let mut entries = Vec::new();
    let list = fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))?;
    for entry in list {
        let entry = entry.with_context(|| format!("list {}", dir.display()))?;
        let kind = entry.file_type().context("the type of a directory entry")?;
        if kind.is_dir() || kind.is_file() {
            entries.push((
                entry.file_name().to_string_lossy().into_owned(),
                kind.is_dir(),
            ));
        }
    }
    entries.sort();
    Ok(entries)
}

/// A helper lives beside its only caller.
pub(super) fn file_names(tree: &Tree) -> Vec<Finding> {
    let drawers = [
        "utils.rs",
        "util.rs",
        "common.rs",
        "types.rs",
        "helpers.rs",
        "misc.rs",
    ];
    tree.rust()
        .filter(|file| drawers.contains(&file.name()))
        .map(|file| {
            file.finding(
                1,
                "a drawer for everything: a helper lives beside its caller",
            )
        })
        .collect()
}

/// What a newcomer sees first stays short.
pub(super) fn top_level(tree: &Tree) -> Vec<Finding> {
    let known = [
        "Cargo.toml",
        "Cargo.lock",
        "crates",
        "xtask",
        "docs",
        "README.md",
    ];
    tree.top_level
        .iter()
        .filter(|name| !known.contains(&name.as_str()) && *name != "rust-toolchain.toml")
        .filter(|name| !name.starts_with('.') && !name.starts_with("LICENSE"))
        .map(|name| Finding::new(name, 1, "does not belong into the top level"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawer_is_found() {
        let tree = Tree::of(&[
            ("crates/ns/src/utils.rs", ""),
            ("crates/ns/src/clone.rs", ""),
        ]);
        assert_eq!(file_names(&tree).len(), 1);
    }

    #[test]
    fn a_stray_top_level_entry_is_found() {
        let tree = Tree::of(&[
            ("notes.txt", ""),
            ("LICENSE-MIT", ""),
            (".ci/run", ""),
            ("docs/a.md", ""),
        ]);
        let findings = top_level(&tree);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].path, "notes.txt");
    }

    #[test]
    fn the_place_of_a_file() {
        let tree = Tree::of(&[
            ("crates/ns/tests/root.rs", ""),
            ("crates/ns/src/tests/root.rs", ""),
            ("xtask/src/main.rs", ""),
        ]);
        let beside: Vec<bool> = tree.rust().map(File::is_beside_src).collect();
        assert_eq!(beside, [true, false, false]);
        assert_eq!(tree.crates(), ["ns"]);
    }
}
