//! Who may know whom.

use super::Finding;
use super::source::{line_of, words};
use super::tree::{File, Tree};

/// The crates that each crate may use, by directory. Nothing upwards, nothing sideways.
const LAYERS: &[(&str, &[&str])] = &[
    ("ipc", &[]),
    ("ns", &[]),
    ("init", &[]),
    ("image", &[]),
    ("rootfs", &["init"]),
    ("cgroups", &["init"]),
    ("caps", &["init"]),
    ("seccomp", &["init"]),
    ("runtime", BELOW_RUNTIME),
    (
        "cli",
        &[
            "ipc", "ns", "init", "image", "rootfs", "cgroups", "caps", "seccomp", "runtime",
        ],
    ),
];

const BELOW_RUNTIME: &[&str] = &["ipc", "ns", "init", "rootfs", "cgroups", "caps", "seccomp"];

/// What the tests of a crate above `init` may use besides: they need children in namespaces.
const FOR_TESTS: &[&str] = &["ns", "ipc"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Build,
    Dev,
}

#[derive(Debug)]
struct Dependency {
    kind: Kind,
    name: String,
    line: usize,
}

/// The dependencies that a manifest names. Only the forms that this project writes are known:
/// a table, or `[dependencies.NAME]`, each also below `target.…`.
fn dependencies_of(manifest: &str) -> Vec<Dependency> {
    let mut found = Vec::new();
    let mut table = None;
    for (index, line) in manifest.lines().enumerate() {
        let line = line.trim();
        let mut add = |kind, name: &str| {
            let name = renamed(line).unwrap_or(name).to_owned();
            found.push(Dependency {
                kind,
                name,
                line: index + 1,
            });
        };
        if let Some(header) = line.strip_prefix('[').and_then(|line| line.split_once(']')) {
            let (kind, name) = header_of(header.0);
            table = kind.filter(|_| name.is_none());
            if let (Some(kind), Some(name)) = (kind, name) {
                add(kind, name);
            }
        } else if let Some(kind) = table {
            let end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
            let name = &line[..end.unwrap_or(0)];
            if !name.is_empty() {
                add(kind, name);
            }
        }
    }
    found
}

/// The kind of the table `[header]`, and the name if the table is that of one dependency.
fn header_of(header: &str) -> (Option<Kind>, Option<&str>) {
    let (table, name) = match header.rsplit_once("dependencies.") {
        Some((table, name)) => (table, Some(name)),
        None => match header.strip_suffix("dependencies") {
            Some(table) => (table, None),
            None => return (None, None),
        },
    };
    let kind = match table {
        _ if table.ends_with("dev-") => Kind::Dev,
        _ if table.ends_with("build-") => Kind::Build,
        _ if table.is_empty() || table.ends_with('.') => Kind::Normal,
        _ => return (None, None),
    };
    (Some(kind), name)
}

/// The `package = "…"` of a renamed dependency.
fn renamed(line: &str) -> Option<&str> {
    let value = &line[words(line, "package").next()?..];
    value.split('"').nth(1)
}

fn manifests(tree: &Tree) -> impl Iterator<Item = (&File, &str)> {
    let manifest =
        |file: &&File| file.path.matches('/').count() == 2 && file.name() == "Cargo.toml";
    tree.files()
        .iter()
        .filter(manifest)
        .filter_map(|file| Some((file, file.crate_name()?)))
}

/// Nothing depends upwards or sideways.
pub(super) fn dependencies(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, name) in manifests(tree) {
        let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == name) else {
            findings.push(file.finding(1, "a crate without a place in the layers (layers.rs)"));
            continue;
        };
        for dependency in dependencies_of(&file.text) {
            let Some(other) = dependency.name.strip_prefix("crabcan-") else {
                continue;
            };
            let for_tests = dependency.kind == Kind::Dev
                && (other == name || !allowed.is_empty() && FOR_TESTS.contains(&other));
            if !allowed.contains(&other) && !for_tests {
                let message = format!("the layers do not let `{name}` use `{other}`");
                findings.push(file.finding(dependency.line, message));
            }
        }
    }
    findings
}

/// A library has an error type of its own, no command line, and no say about the logger.
pub(super) fn programs_only(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, name) in manifests(tree).filter(|(_, name)| *name != "cli") {
        for dependency in dependencies_of(&file.text) {
            if ["anyhow", "clap", "env_logger"].contains(&dependency.name.as_str()) {
                let message = format!(
                    "`{}` is for cli and xtask, not for `{name}`",
                    dependency.name
                );
                findings.push(file.finding(dependency.line, message));
            }
        }
    }
    findings
}

/// Only `runtime` and `cli` know the OCI types.
pub(super) fn oci(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let below = |file: &&File| {
        file.crate_name()
            .is_some_and(|name| BELOW_RUNTIME.contains(&name))
    };
    for file in tree.files().iter().filter(below) {
        let message = "nothing below `runtime` knows OCI types";
        if file.name() == "Cargo.toml" {
            let found = dependencies_of(&file.text);
            let oci = found
                .iter()
                .filter(|dependency| dependency.name == "oci-spec");
            findings.extend(oci.map(|dependency| file.finding(dependency.line, message)));
        }
        let code = words(&file.code, "oci_spec");
        findings.extend(code.map(|at| file.finding(line_of(&file.code, at), message)));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches(path: &str, manifest: &str) -> Vec<usize> {
        dependencies(&Tree::of(&[(path, manifest)]))
            .iter()
            .map(|found| found.line)
            .collect()
    }

    #[test]
    fn upwards_and_sideways_are_found() {
        let up = "[dependencies]\nnix.workspace = true\ncrabcan-ns.workspace = true\n";
        assert_eq!(breaches("crates/ipc/Cargo.toml", up), [3]);
        assert_eq!(breaches("crates/rootfs/Cargo.toml", up), [3]);
        assert_eq!(breaches("crates/runtime/Cargo.toml", up), [0usize; 0]);
        let own = "[dependencies]\ncrabcan-init = { workspace = true }\n";
        assert_eq!(breaches("crates/caps/Cargo.toml", own), [0usize; 0]);
        assert_eq!(breaches("crates/ns/Cargo.toml", own), [2]);
    }

    #[test]
    fn other_forms_are_found() {
        for manifest in [
            "[dependencies.crabcan-cli]\npath = 'x'",
            "[target.'cfg(target_os = \"linux\")'.dependencies]\ncrabcan-cli = '1'",
            "[build-dependencies]\ncrabcan-cli = '1'",
            "[dev-dependencies]\ncrabcan-cli = '1'",
            "[dependencies]\nother = { package = \"crabcan-cli\", path = 'x' }",
        ] {
            assert_eq!(
                breaches("crates/runtime/Cargo.toml", manifest).len(),
                1,
                "{manifest}"
            );
        }
    }

    #[test]
    fn tests_of_upper_crates_may_clone_children() {
        let dev = "[dev-dependencies]\ncrabcan-ns.workspace = true\n";
        assert_eq!(breaches("crates/caps/Cargo.toml", dev), [0usize; 0]);
        assert_eq!(breaches("crates/init/Cargo.toml", dev), [2]);
    }

    #[test]
    fn an_unknown_crate_is_found() {
        assert_eq!(breaches("crates/new/Cargo.toml", ""), [1]);
    }

    #[test]
    fn anyhow_in_a_library_is_found() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\nanyhow.workspace = true\n";
        let tree = Tree::of(&[
            ("crates/ns/Cargo.toml", manifest),
            ("crates/cli/Cargo.toml", manifest),
        ]);
        let findings = programs_only(&tree);
        assert_eq!(findings.len(), 1);
        assert_eq!(
            (findings[0].path.as_str(), findings[0].line),
            ("crates/ns/Cargo.toml", 4)
        );
    }

    #[test]
    fn oci_types_below_runtime_are_found() {
        let code = "// oci_spec may be spoken of\nuse oci_spec::runtime::Spec;\n";
        let tree = Tree::of(&[
            ("crates/caps/src/set.rs", code),
            ("crates/runtime/src/plan.rs", code),
            (
                "crates/caps/Cargo.toml",
                "[dependencies]\noci-spec.workspace = true",
            ),
        ]);
        let lines: Vec<_> = oci(&tree).iter().map(|found| found.to_string()).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("crates/caps/src/set.rs:2:"));
    }
}
