//! The rules about what explains the code: pages, examples, reasons.

use super::Finding;
use super::tree::{File, Tree};
use crate::prerequisites::APT_LINE;

/// The crates whose step of the tutorial an example shows.
const WITH_EXAMPLE: &[&str] = &["ipc", "ns", "init", "rootfs", "caps"];

/// Each crate has a README and a page; a library's page has an example.
pub(super) fn crate_pages(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in tree.crates() {
        let readme = format!("crates/{name}/README.md");
        if tree.file(&readme).is_none() {
            findings.push(Finding::new(readme, 1, "the crate has no README"));
        }
        let library = tree.file(&format!("crates/{name}/src/lib.rs"));
        let program = tree.file(&format!("crates/{name}/src/main.rs"));
        for file in [library, program].into_iter().flatten() {
            findings.extend(page(file).map(|message| file.finding(1, message)));
        }
        if library.or(program).is_none() {
            let path = format!("crates/{name}/src");
            findings.push(Finding::new(path, 1, "neither lib.rs nor main.rs"));
        }
    }
    findings
}

/// What is wrong with the page of a crate.
fn page(file: &File) -> Option<&'static str> {
    let mut page = file
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .peekable();
    if page.peek().is_none() {
        return Some("the crate has no page (`//!`)");
    }
    // Only these fences are compiled; `ignore` and `text` prove nothing.
    let runs = |line: &str| ["```", "```rust", "```no_run"].contains(&line);
    let opens = page
        .map(str::trim)
        .filter(|line| line.starts_with("```"))
        .step_by(2)
        .any(runs);
    (file.name() == "lib.rs" && !opens).then_some("the crate's page has no example that compiles")
}

/// Each leaf has a program that shows its step of the tutorial.
pub(super) fn examples(tree: &Tree) -> Vec<Finding> {
    let without = |name: &&&str| {
        let dir = format!("crates/{name}/examples/");
        !tree.rust().any(|file| file.path.starts_with(&dir))
    };
    let finding = |name| Finding::new(format!("crates/{name}/examples"), 1, "no example program");
    WITH_EXAMPLE.iter().filter(without).map(finding).collect()
}

/// Each dependency has its reason in the line above it.
pub(super) fn dependency_reasons(tree: &Tree) -> Vec<Finding> {
    let Some(manifest) = tree.file("Cargo.toml") else {
        return vec![Finding::new("Cargo.toml", 1, "missing")];
    };
    let mut findings = Vec::new();
    let (mut inside, mut above) = (false, "");
    for (index, line) in manifest.text.lines().enumerate() {
        if line.starts_with('[') {
            inside = line.starts_with("[workspace.dependencies]");
        }
        let entry = line.starts_with(|c: char| c.is_ascii_alphabetic()) && line.contains('=');
        let own = line.starts_with("crabcan-");
        if inside && entry && !own && !above.starts_with('#') {
            findings.push(manifest.finding(index + 1, "a dependency without its reason above it"));
        }
        above = line;
    }
    findings
}

/// Cargo must build init anew when any of its files changes.
pub(super) fn init_build(tree: &Tree) -> Vec<Finding> {
    let Some(script) = tree.file("crates/init/build.rs") else {
        return vec![Finding::new("crates/init/build.rs", 1, "missing")];
    };
    let text = &script.text;
    if !text.contains("rerun-if-changed") {
        return vec![script.finding(1, "nothing makes cargo run it again (`rerun-if-changed`)")];
    }
    // The script may go over the directory, or name the directory, which cargo then watches.
    if text.contains("read_dir") || text.contains("rerun-if-changed=src\"") {
        return Vec::new();
    }
    let source = |file: &&File| file.path.starts_with("crates/init/src/") && file.is_rust();
    let unnamed = |file: &&File| {
        let path = file.path.trim_start_matches("crates/init/src/");
        !text.contains(path)
    };
    tree.rust()
        .filter(source)
        .filter(unnamed)
        .map(|file| file.finding(1, "build.rs does not watch this file (`rerun-if-changed`)"))
        .collect()
}

/// What a newcomer is told to install is what CI installs and what xtask hints at.
pub(super) fn apt_line(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in ["README.md", ".ci/run"] {
        let lines = tree.file(path).map(|file| file.text.lines().enumerate());
        let mut found = lines.into_iter().flatten().filter_map(|(index, line)| {
            let at = line.find("apt-get install")?;
            Some((index + 1, line[at..].trim_end_matches(['`', ' '])))
        });
        match found.next() {
            None => findings.push(Finding::new(path, 1, format!("no line `{APT_LINE}`"))),
            Some((_, line)) if line == APT_LINE => {}
            Some((line, text)) => {
                let message = format!("`{text}` is not xtask's `{APT_LINE}`");
                findings.push(Finding::new(path, line, message));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(findings: Vec<Finding>) -> Vec<String> {
        findings.iter().map(Finding::to_string).collect()
    }

    #[test]
    fn missing_pages_are_found() {
        let page =
            "//! What it is.\n//!\n//! ```\n//! f();\n//! ```\n//!\n//! ```text\n//! x\n//! ```\n";
        let good = [
            ("crates/ns/README.md", "# x"),
            ("crates/ns/src/lib.rs", page),
        ];
        assert_eq!(messages(crate_pages(&Tree::of(&good))), [""; 0]);
        assert_eq!(crate_pages(&Tree::of(&good[1..])).len(), 1);
        for bad in [
            "fn f() {}",
            "//! No example.",
            "//! ```text\n//! x\n//! ```\n",
            "//! ```ignore\n//! x\n//! ```",
        ] {
            let tree = Tree::of(&[good[0], ("crates/ns/src/lib.rs", bad)]);
            assert_eq!(crate_pages(&tree).len(), 1, "{bad}");
        }
        assert_eq!(crate_pages(&Tree::of(&good[..1])).len(), 1);
        let program = [
            ("crates/cli/README.md", ""),
            ("crates/cli/src/main.rs", "//! A program."),
        ];
        assert_eq!(crate_pages(&Tree::of(&program)).len(), 0);
    }

    #[test]
    fn missing_examples_are_found() {
        let tree = Tree::of(&[("crates/ns/examples/uts.rs", "")]);
        let found = messages(examples(&tree));
        assert_eq!(found.len(), WITH_EXAMPLE.len() - 1);
        assert!(!found.iter().any(|line| line.contains("/ns/")));
    }

    #[test]
    fn a_dependency_without_reason_is_found() {
        let manifest = "[workspace]\nresolver = \"3\"\n[workspace.dependencies]\n\
                        crabcan-ns = { path = \"crates/ns\" }\n# Why.\nlog = \"0.4\"\nlibc = \"0.2\"\n";
        let found = messages(dependency_reasons(&Tree::of(&[("Cargo.toml", manifest)])));
        assert_eq!(
            found,
            ["Cargo.toml:7: a dependency without its reason above it"]
        );
    }

    #[test]
    fn an_unwatched_file_of_init_is_found() {
        let source = ("crates/init/src/steps/mount.rs", "");
        let check =
            |script: &str| init_build(&Tree::of(&[("crates/init/build.rs", script), source])).len();
        assert_eq!(
            check("println!(\"cargo::rerun-if-changed=src/sys.rs\");"),
            1
        );
        assert_eq!(
            check("println!(\"cargo::rerun-if-changed=src/steps/mount.rs\");"),
            0
        );
        assert_eq!(
            check("println!(\"cargo::rerun-if-changed={}\", fs::read_dir(x));"),
            0
        );
        assert_eq!(check("fn main() {}"), 1);
        assert_eq!(init_build(&Tree::of(&[source])).len(), 1);
    }

    #[test]
    fn another_list_of_packages_is_found() {
        let readme = format!("```sh\nsudo {APT_LINE}\n```\n");
        let good = Tree::of(&[("README.md", &readme), (".ci/run", APT_LINE)]);
        assert_eq!(messages(apt_line(&good)), [""; 0]);
        let other = Tree::of(&[
            ("README.md", &readme),
            (".ci/run", "apt-get install -y sudo"),
        ]);
        assert_eq!(apt_line(&other).len(), 1);
        assert_eq!(apt_line(&Tree::of(&[])).len(), 2);
    }
}
