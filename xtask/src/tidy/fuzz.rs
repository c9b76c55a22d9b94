//! The fuzz targets, which two drivers run: our own, and by hand cargo-fuzz.

use std::collections::BTreeSet;

use super::Finding;
use super::tree::Tree;

/// What a target is handed to our own driver by.
const DRIVEN: &str = "driver::fuzz(";

/// Each target of a crate has its program in the crate's `fuzz/`, and each program there its target.
pub(super) fn targets(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut known = BTreeSet::new();
    for file in tree.rust() {
        let Some(name) = file.crate_name() else {
            continue;
        };
        for call in file.text.split(DRIVEN).skip(1) {
            let Some(target) = call.split('"').nth(1) else {
                continue;
            };
            let program = format!("fuzz_targets/{target}.rs");
            let manifest = tree.file(&format!("crates/{name}/fuzz/Cargo.toml"));
            let named = format!("path = \"{program}\"");
            if !manifest.is_some_and(|manifest| manifest.text.contains(&named)) {
                let message = format!("crates/{name}/fuzz/Cargo.toml names no {program}");
                findings.push(file.finding(1, message));
            }
            known.insert(format!("crates/{name}/fuzz/{program}"));
        }
    }
    let is_program = |path: &str| path.contains("/fuzz/fuzz_targets/");
    let there: BTreeSet<String> = tree.rust().map(|file| file.path.clone()).collect();
    for missing in known.difference(&there) {
        findings.push(Finding::new(
            missing,
            1,
            "a fuzz target without its program",
        ));
    }
    for stray in there.difference(&known).filter(|path| is_program(path)) {
        findings.push(Finding::new(stray, 1, "no fuzz target has this name"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_has_a_program_and_each_program_a_target() {
        let found = |targets: &str, manifest: &str, program: &str| {
            let program = format!("crates/ns/fuzz/fuzz_targets/{program}.rs");
            targets_of(&[
                ("crates/ns/tests/fuzz.rs", targets),
                ("crates/ns/fuzz/Cargo.toml", manifest),
                (&program, ""),
            ])
        };
        let call = "driver::fuzz(\n    \"idmap\", &corpus);";
        let manifest = "[[bin]]\npath = \"fuzz_targets/idmap.rs\"\n";
        assert_eq!(found(call, manifest, "idmap"), 0);
        assert_eq!(found(call, "", "idmap"), 1);
        assert_eq!(found(call, manifest, "other"), 2);
        assert_eq!(found("", manifest, "idmap"), 1);
    }

    fn targets_of(files: &[(&str, &str)]) -> usize {
        targets(&Tree::of(files)).len()
    }
}
