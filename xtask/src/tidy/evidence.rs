//! The tables of docs/oci.md and of the page of crabcan-cgroups: each property of the configuration is
//! in one of the first, and each test that is named as evidence is there.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Finding;
use super::tree::{File, Tree};

const PAGE: &str = "docs/oci.md";
/// Which tables name tests.
const PAGES: [&str; 2] = [PAGE, "crates/cgroups/README.md"];
/// A configuration with every property; a test of the runtime sees to it that none is left out.
const FULL: &str = "crates/runtime/src/spec/json/full.json";
/// Objects whose keys are anybody's.
const MAPS: [&str; 6] = [
    "annotations",
    "linux.sysctl",
    "linux.resources.unified",
    "linux.resources.rdma",
    "linux.netDevices",
    "linux.timeOffsets",
];
/// What is for other platforms, whatever is in it.
const FOREIGN: [&str; 5] = ["vm", "windows", "solaris", "zos", "freebsd"];
const KINDS: [&str; 4] = ["native", "VM", "bytes", "refused"];

/// A line of a table whose last two columns are `evidence` and `test`.
struct Row<'a> {
    line: usize,
    /// Whether its table is one of properties.
    is_of_properties: bool,
    subject: &'a str,
    evidence: &'a str,
    tests: &'a str,
}

/// Every property is in a table, and no other.
pub(super) fn properties(tree: &Tree) -> Vec<Finding> {
    let (Some(page), Some(full)) = (tree.file(PAGE), tree.file(FULL)) else {
        return vec![Finding::new(
            PAGE,
            1,
            format!("this page or {FULL} is missing"),
        )];
    };
    let mut known = BTreeSet::new();
    match serde_json::from_str(&full.text) {
        Ok(document) => collect(&document, "", &mut known),
        Err(error) => return vec![full.finding(error.line(), error.to_string())],
    }
    let mut findings = Vec::new();
    let mut told = BTreeSet::new();
    for row in rows(page).iter().filter(|row| row.is_of_properties) {
        for property in quoted(row.subject).flat_map(alternatives) {
            if !known.contains(&property) {
                let message = format!("{FULL} has no property `{property}`");
                findings.push(page.finding(row.line, message));
            }
            told.insert(property);
        }
    }
    let left_out = known.difference(&told);
    findings.extend(
        left_out
            .map(|property| page.finding(1, format!("the property `{property}` is in no table"))),
    );
    findings
}

/// Tables of what was tried: the last column is `test`.
const TRIED: [&str; 2] = ["docs/faults.md", "docs/security.md"];

/// Every row of a table of what was tried names a test, or says with a dash why there is none, and
/// every test that is named is there.
pub(super) fn tried(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in TRIED {
        let Some(page) = tree.file(path) else {
            findings.push(Finding::new(path, 1, "this page is missing"));
            continue;
        };
        let mut in_table = false;
        for (index, line) in page.text.lines().enumerate() {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let &["", .., tests, ""] = cells.as_slice() else {
                in_table = false;
                continue;
            };
            let is_head = tests == "test";
            if in_table && !tests.starts_with("---") && !tests.starts_with('–') {
                let names: Vec<&str> = quoted(tests).collect();
                let mut finding = |message| findings.push(page.finding(index + 1, message));
                if names.is_empty() {
                    finding("no test is named".to_owned());
                }
                for name in names.iter().filter(|name| test(tree, name).is_none()) {
                    finding(format!("there is no test `{name}`"));
                }
            }
            in_table |= is_head;
        }
    }
    findings
}

/// Every test that is named is there, and is what the evidence says.
pub(super) fn tests(tree: &Tree) -> Vec<Finding> {
    let pages = PAGES.iter().filter_map(|page| tree.file(page));
    pages.flat_map(|page| tests_of(tree, page)).collect()
}

fn tests_of(tree: &Tree, page: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for row in rows(page) {
        let mut finding = |message: String| findings.push(page.finding(row.line, message));
        let kinds: Vec<&str> = row.evidence.split(',').map(str::trim).collect();
        for kind in kinds.iter().filter(|kind| !KINDS.contains(kind)) {
            finding(format!("\"{kind}\" is no kind of evidence"));
        }
        let mut found: Vec<&File> = Vec::new();
        for name in quoted(row.tests) {
            match test(tree, name) {
                Some(file) => found.push(file),
                None => finding(format!("there is no test `{name}`")),
            }
        }
        let is_outside = |file: &&File| file.is_beside_src();
        // These are run by `test-vm` too.
        let is_of_machine = |file: &&File| {
            let name = file.name();
            ["root", "vm", "systemd"]
                .iter()
                .any(|start| name.starts_with(start))
        };
        if found.is_empty() {
            finding("no test is named".into());
        } else if kinds.contains(&"native") && !found.iter().any(is_outside) {
            finding("native, and no test looks from outside".into());
        } else if kinds.contains(&"VM") && !found.iter().any(is_of_machine) {
            finding("VM, and no test is run there".into());
        }
    }
    findings
}

/// The file that has a test `FILE::NAME`; `DIRECTORY::NAME` for one in `tests.rs` there.
fn test<'a>(tree: &'a Tree, name: &str) -> Option<&'a File> {
    let (place, function) = name.rsplit_once("::")?;
    let place = place.rsplit("::").next()?;
    let declared = format!("fn {function}(");
    tree.rust().find(|file| {
        let path = file.path.trim_end_matches(".rs").trim_end_matches("/tests");
        let is_there = path.rsplit('/').next() == Some(place);
        let mut before = file.text.split(&declared);
        let attributes = before.next().unwrap_or_default().rsplit("\n\n").next();
        let has_it = before.next().is_some();
        // A program without libtest's harness has a list of its own.
        let has_harness = file.text.contains("#[test]") || !file.is_beside_src();
        let is_test = attributes.is_some_and(|text| text.contains("#[test]")) || !has_harness;
        is_there && has_it && is_test
    })
}

fn rows(page: &File) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    // The title of the first column of the table that is being read.
    let mut title = None;
    for (index, line) in page.text.lines().enumerate() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let &["", subject, .., evidence, tests, ""] = cells.as_slice() else {
            title = None;
            continue;
        };
        match title {
            _ if (evidence, tests) == ("evidence", "test") => title = Some(subject),
            Some(first) if !subject.starts_with("---") => rows.push(Row {
                line: index + 1,
                is_of_properties: first == "property",
                subject,
                evidence,
                tests,
            }),
            _ => {}
        }
    }
    rows
}

/// What stands between backquotes.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// `a.{b,c}[]` is `a.b` and `a.c`.
fn alternatives(text: &str) -> Vec<String> {
    let text = text.replace("[]", "");
    let Some((before, rest)) = text.split_once('{') else {
        return vec![text];
    };
    let (inside, after) = rest.split_once('}').unwrap_or((rest, ""));
    let ends = alternatives(after);
    let each = |one: &str| {
        let start = format!("{before}{}", one.trim());
        ends.iter()
            .map(move |end| format!("{start}{end}"))
            .collect::<Vec<_>>()
    };
    inside.split(',').flat_map(each).collect()
}

/// The paths of all that is no object, with `*` for keys that are anybody's.
fn collect(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    let is_foreign = FOREIGN.contains(&path);
    match value {
        Value::Object(object) if !is_foreign => {
            for (key, value) in object {
                let key = if MAPS.contains(&path) { "*" } else { key };
                let inner = match path {
                    "" => key.to_owned(),
                    path => format!("{path}.{key}"),
                };
                collect(value, &inner, found);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            for value in list {
                collect(value, path, found);
            }
        }
        _ => drop(found.insert(path.trim_end_matches(".*").to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{"hostname": "a", "mounts": [{"type": "b", "options": ["c"]}],
        "linux": {"sysctl": {"x.y": "1"}, "netDevices": {"eth0": {"name": "b"}}}, "vm": {"k": 1}}"#;
    const HEAD: &str = "| property | | evidence | test |\n|---|---|---|---|\n";
    const CODE: &str = "#[test]\nfn works() {}\n\nfn helper() {}\n";

    fn found(rule: fn(&Tree) -> Vec<Finding>, rows: &str) -> Vec<String> {
        let page = format!("# Page\n\n{HEAD}{rows}\n");
        let tree = Tree::of(&[
            (PAGE, &page),
            (FULL, DOCUMENT),
            ("crates/cgroups/README.md", &page),
            ("crates/cli/tests/root_x.rs", CODE),
            ("crates/cli/src/y/tests.rs", CODE),
        ]);
        rule(&tree)
            .iter()
            .map(|finding| finding.message.clone())
            .collect()
    }

    #[test]
    fn a_property_without_a_row_is_found_and_a_row_without_a_property() {
        let good = "| `hostname`, `vm` | | native | |\n| `mounts[].{type,options}` | | native | |\n\
            | `linux.sysctl`, `linux.netDevices.*.name` | | native | |";
        assert_eq!(found(properties, good), [""; 0]);
        let bad = good.replace("{type,options}", "{type,moon}");
        let expected = [
            format!("{FULL} has no property `mounts.moon`"),
            "the property `mounts.options` is in no table".to_owned(),
        ];
        assert_eq!(found(properties, &bad), expected);
    }

    #[test]
    fn what_was_tried_names_a_test_that_is_there() {
        let found = |row: &str| {
            let page = format!("| # | fault | test |\n|---|---|---|\n{row}\n\ntext\n");
            let other = "| a | b |\n|---|---|\n| no | test |\n";
            let tree = Tree::of(&[
                (TRIED[0], &page),
                (TRIED[1], other),
                ("crates/cli/tests/root_x.rs", CODE),
            ]);
            tried(&tree).len()
        };
        assert_eq!(found("| 1 | x | `root_x::works` |"), 0);
        assert_eq!(found("| 1 | x | – (by design) |"), 0);
        assert_eq!(found("| 1 | x | `root_x::works`, `root_x::helper` |"), 1);
        assert_eq!(found("| 1 | x | |"), 1);
        assert_eq!(tried(&Tree::of(&[])).len(), 2);
    }

    #[test]
    fn a_test_that_is_not_there_or_is_of_another_kind_is_found() {
        // The row is on both pages.
        let check = |row: &str| {
            let count = found(tests, row).len();
            assert_eq!(count % 2, 0);
            count / 2
        };
        assert_eq!(check("| x | | native, VM | `root_x::works` |"), 0);
        assert_eq!(check("| x | | bytes | `y::works` |"), 0);
        assert_eq!(check("| x | | native | `y::works` |"), 1);
        assert_eq!(check("| x | | bytes, VM | `y::works` |"), 1);
        assert_eq!(check("| x | | seen | `y::works` |"), 1);
        assert_eq!(check("| x | | bytes | |"), 1);
        for name in ["y::helper", "z::works", "works", "y::nothing"] {
            assert_eq!(
                check(&format!("| x | | bytes | `root_x::works`, `{name}` |")),
                1
            );
        }
    }
}
