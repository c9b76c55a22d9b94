//! The rules about Rust code.

use super::Finding;
use super::source::{line_of, words};
use super::tree::{File, Tree};

const FILE_LINES: usize = 450;
const FUNCTION_LINES: usize = 60;

/// What is unsafe stands in the one file of a crate that wraps system calls.
pub(super) fn unsafe_place(tree: &Tree) -> Vec<Finding> {
    let elsewhere = |file: &&File| {
        file.name() != "sys.rs" && !file.path.contains("/src/sys/") && !file.is_beside_src()
    };
    let mut findings = Vec::new();
    for file in tree.rust().filter(elsewhere) {
        for at in words(&file.code, "unsafe") {
            let line = line_of(&file.code, at);
            findings.push(file.finding(line, "`unsafe` stands in a file `sys.rs` only"));
        }
    }
    findings
}

/// Each unsafe block and implementation says which fact makes it sound.
pub(super) fn safety_comments(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        for at in words(&file.code, "unsafe") {
            let after = file.code[at + "unsafe".len()..].trim_start();
            let needed = after.starts_with('{') || words(after, "impl").next() == Some(0);
            let line = line_of(&file.code, at);
            if needed && !has_safety_comment(file, line) {
                findings.push(file.finding(line, "an unsafe block without a SAFETY comment above"));
            }
        }
    }
    findings
}

/// Looks upwards from a line, over the earlier lines of its statement, for the comment.
fn has_safety_comment(file: &File, line: usize) -> bool {
    let (text, code): (Vec<_>, Vec<_>) = file
        .text
        .lines()
        .zip(file.code.lines())
        .take(line - 1)
        .unzip();
    for (text, code) in text.iter().zip(code).rev() {
        let code = code.trim();
        let comment = text.trim().starts_with("//");
        if comment && text.contains("SAFETY:") {
            return true;
        }
        if !comment && (code.is_empty() || code.ends_with([';', '{', '}', ','])) {
            return false;
        }
    }
    false
}

/// A number that may be closed by somebody else is no part of an interface.
pub(super) fn raw_fd(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust().filter(|file| !file.is_beside_src()) {
        for function in functions(&file.code) {
            let head = &file.code[function.start..function.body];
            let before = file.code[..function.start]
                .rsplit([';', '{', '}', ']'])
                .next();
            let public =
                before.is_some_and(|words| words.split_whitespace().any(|word| word == "pub"));
            if public && words(head, "RawFd").next().is_some() {
                let line = line_of(&file.code, function.start);
                findings
                    .push(file.finding(line, "`RawFd` in a public signature: OwnedFd, BorrowedFd"));
            }
        }
    }
    findings
}

pub(super) fn file_length(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust().filter(|file| !file.is_beside_src()) {
        let lines = file.text.lines().count();
        if lines > FILE_LINES {
            let message = format!("{lines} lines, more than {FILE_LINES}: divide the file");
            findings.push(file.finding(FILE_LINES + 1, message));
        }
    }
    findings
}

pub(super) fn function_length(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust().filter(|file| !file.is_beside_src()) {
        for function in functions(&file.code) {
            let first = line_of(&file.code, function.start);
            let lines = line_of(&file.code, function.end) - first + 1;
            if lines > FUNCTION_LINES {
                let message = format!("a function of {lines} lines, more than {FUNCTION_LINES}");
                findings.push(file.finding(first, message));
            }
        }
    }
    findings
}

/// Where a function's `fn`, its body's `{` (or the `;` in its place) and its last byte stand.
#[derive(Debug)]
struct Function {
    start: usize,
    body: usize,
    end: usize,
}

fn functions(code: &str) -> Vec<Function> {
    words(code, "fn")
        .filter_map(|start| function(code, start))
        .collect()
}

fn function(code: &str, start: usize) -> Option<Function> {
    let bytes = code.as_bytes();
    // `fn(u8) -> u8` is a type.
    let name = code.get(start + 2..)?.trim_start().bytes().next()?;
    if !(name == b'_' || name.is_ascii_alphabetic()) {
        return None;
    }
    let (mut depth, mut body) = (0_i32, None);
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        match byte {
            b'{' if depth == 0 && body.is_none() => {
                body = Some(at);
                depth = 1;
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            b';' if depth == 0 => {
                return Some(Function {
                    start,
                    body: at,
                    end: at,
                });
            }
            _ => {}
        }
        if let (0, Some(body)) = (depth, body) {
            return Some(Function {
                start,
                body,
                end: at,
            });
        }
    }
    None
}

/// What is not finished is not merged.
pub(super) fn unfinished(tree: &Tree) -> Vec<Finding> {
    // Taken apart, for this file is looked through too.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("X", "XX"),
    ];
    let mut findings = Vec::new();
    for file in tree.files() {
        for mark in marks {
            let found = words(&file.text, mark).map(|at| line_of(&file.text, at));
            findings.extend(found.map(|line| file.finding(line, format!("`{mark}`"))));
        }
        for at in words(&file.code, "dbg").filter(|at| file.code[at + 3..].starts_with('!')) {
            findings.push(file.finding(line_of(&file.code, at), "`dbg!`"));
        }
    }
    findings
}

/// The tests also run where there is neither cargo nor the source tree.
pub(super) fn test_paths(tree: &Tree) -> Vec<Finding> {
    let forbidden = [
        concat!("CARGO_BIN_", "EXE"),
        concat!("CARGO_", "MANIFEST_DIR"),
    ];
    let mut findings = Vec::new();
    for file in tree.rust().filter(|file| file.path.contains("/tests/")) {
        for name in forbidden {
            for (at, _) in file.text.match_indices(name) {
                let message = format!("a test uses {name}: the program is in CRABCAN_TEST_BIN");
                findings.push(file.finding(line_of(&file.text, at), message));
            }
        }
    }
    findings
}

/// An ignored test is one that xtask runs elsewhere, so its reason must be one that xtask knows.
pub(super) fn ignore_reasons(tree: &Tree) -> Vec<Finding> {
    let suites = [
        ("root", "needs root"),
        ("external", "needs packages"),
        ("vm", "needs the virtual machine"),
        ("systemd", "needs systemd"),
        ("security", "needs root: cargo xtask test-security"),
        ("faults", "needs root: cargo xtask test-faults"),
    ];
    let mut findings = Vec::new();
    for file in tree.rust() {
        let place = file
            .path
            .split_once("/tests/")
            .map_or("", |(_, place)| place);
        let suite = suites.iter().find(|(prefix, _)| place.starts_with(prefix));
        for (at, _) in file.code.match_indices("#[ignore") {
            let start = format!("#[ignore = \"{}", suite.map_or("", |(_, reason)| reason));
            if suite.is_none() || !file.text[at..].starts_with(&start) {
                let message = "an ignored test stands in tests/root*.rs with the reason `needs root…`, \
                    in tests/external*.rs with `needs packages…`, in tests/vm*.rs with `needs the \
                    virtual machine…`, in tests/systemd*.rs with `needs systemd…`, or in \
                    tests/security*.rs or tests/faults*.rs with the task that runs it";
                findings.push(file.finding(line_of(&file.code, at), message));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(rule: fn(&Tree) -> Vec<Finding>, path: &str, text: &str) -> Vec<usize> {
        rule(&Tree::of(&[(path, text)]))
            .iter()
            .map(|found| found.line)
            .collect()
    }

    const SRC: &str = "crates/ns/src/clone.rs";
    const SYS: &str = "crates/ns/src/sys.rs";

    #[test]
    fn unsafe_elsewhere_is_found() {
        let text = "#![deny(unsafe_code)]\n// unsafe\nfn f() {\n unsafe { g() }\n}\n";
        assert_eq!(lines(unsafe_place, SRC, text), [4]);
        assert_eq!(lines(unsafe_place, SYS, text), [0usize; 0]);
        assert_eq!(
            lines(unsafe_place, "crates/ns/src/sys/x86_64.rs", text),
            [0usize; 0]
        );
        assert_eq!(
            lines(unsafe_place, "crates/ns/tests/root.rs", text),
            [0usize; 0]
        );
        assert_eq!(lines(unsafe_place, "crates/ns/src/tests/a.rs", text), [4]);
    }

    #[test]
    fn a_missing_safety_comment_is_found() {
        let bad = "fn f() {\n    // It is fine.\n    let a = unsafe { g() };\n}\n";
        assert_eq!(lines(safety_comments, SYS, bad), [3]);
        let far = "// SAFETY: another block's.\nlet a = 1;\nlet b = unsafe { g() };\n";
        assert_eq!(lines(safety_comments, SYS, far), [3]);
        let string = "let s = \"// SAFETY: no\";\nlet b = unsafe { g() };\n";
        assert_eq!(lines(safety_comments, SYS, string), [2]);
        assert_eq!(
            lines(safety_comments, SYS, "unsafe impl Send for S {}\n"),
            [1]
        );
    }

    #[test]
    fn a_safety_comment_above_the_statement_is_enough() {
        let good = "// SAFETY: two\n// lines.\nlet a =\n    unsafe { g() };\nunsafe fn h() {}\n";
        assert_eq!(lines(safety_comments, SYS, good), [0usize; 0]);
    }

    #[test]
    fn a_public_raw_fd_is_found() {
        let text = "/// x\npub fn f(\n    fd: RawFd,\n) -> u8 {\n}\npub(crate) fn g(fd: RawFd) {}\n\
                    fn h(fd: RawFd) {}\n#[inline]\npub const unsafe fn i() -> Option<RawFd> {}\n\
                    pub fn j(fd: OwnedFd) { let x: RawFd; }\n";
        assert_eq!(lines(raw_fd, SYS, text), [2, 9]);
    }

    #[test]
    fn long_files_and_functions_are_found() {
        let long =
            |body: usize| format!("fn f(a: [u8; 2]) {{\n{}}}\n", "    g('{');\n".repeat(body));
        assert_eq!(lines(function_length, SRC, &long(58)), [0usize; 0]);
        assert_eq!(lines(function_length, SRC, &long(59)), [1]);
        assert_eq!(lines(file_length, SRC, &"\n".repeat(450)), [0usize; 0]);
        assert_eq!(lines(file_length, SRC, &"\n".repeat(451)), [451]);
        assert_eq!(
            lines(file_length, "crates/ns/tests/all.rs", &"\n".repeat(451)),
            [0usize; 0]
        );
    }

    #[test]
    fn types_and_declarations_are_no_functions() {
        assert_eq!(
            functions("type F = fn(u8); trait T { fn f(&self); fn g() {} }").len(),
            2
        );
    }

    #[test]
    fn unfinished_work_is_found() {
        let text = format!(
            "// {}: later\nlet a = {}!(1);\n",
            concat!("TO", "DO"),
            "dbg"
        );
        assert_eq!(lines(unfinished, SRC, &text), [1, 2]);
        assert_eq!(
            lines(unfinished, "docs/a.md", concat!("a FIX", "ME b")),
            [1]
        );
        assert_eq!(
            lines(unfinished, "docs/a.md", "mktemp a-XXXXXX"),
            [0usize; 0]
        );
    }

    #[test]
    fn tests_that_look_for_the_build_tree_are_found() {
        let text = concat!("let a = env!(\"CARGO_BIN_", "EXE_crabcan\");\n");
        assert_eq!(lines(test_paths, "crates/cli/tests/cli.rs", text), [1]);
        assert_eq!(lines(test_paths, SRC, text), [0usize; 0]);
    }

    #[test]
    fn an_ignored_test_that_nobody_runs_is_found() {
        let root = "#[ignore = \"needs root: cargo xtask test-root\"]\n";
        assert_eq!(
            lines(ignore_reasons, "crates/ns/tests/root.rs", root),
            [0usize; 0]
        );
        assert_eq!(lines(ignore_reasons, "crates/ns/tests/all.rs", root), [1]);
        assert_eq!(lines(ignore_reasons, SRC, root), [1]);
        assert_eq!(
            lines(ignore_reasons, "crates/ns/tests/root.rs", "\n#[ignore]\n"),
            [2]
        );
        assert_eq!(
            lines(
                ignore_reasons,
                "crates/ns/tests/root.rs",
                "#[ignore = \"slow\"]"
            ),
            [1]
        );
        let systemd = "#[ignore = \"needs systemd: cargo xtask test-vm\"]";
        let path = "crates/cgroups/tests/systemd.rs";
        assert_eq!(lines(ignore_reasons, path, systemd), [0; 0]);
        assert_eq!(lines(ignore_reasons, path, root), [1]);
        let external = "#[ignore = \"needs packages: bwrap\"]";
        assert_eq!(
            lines(ignore_reasons, "crates/cli/tests/external.rs", external),
            [0usize; 0]
        );
    }
}
