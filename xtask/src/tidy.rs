//! `tidy`: the invariants of the tree that a program can check.
//!
//! A rule is a function of the whole [`Tree`], so that its test can hand it a bad one.

mod code;
mod docs;
mod evidence;
mod fuzz;
mod layers;
mod source;
mod tree;

use std::fmt;

use anyhow::{Result, bail};

use crate::cargo::workspace;
use tree::Tree;

/// One breach of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// Counted from 1.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: impl Into<String>, line: usize, message: impl Into<String>) -> Finding {
        Finding {
            path: path.into(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

type Rule = fn(&Tree) -> Vec<Finding>;

const RULES: &[(&str, Rule)] = &[
    ("layers", layers::dependencies),
    ("programs-only crates", layers::programs_only),
    ("oci types in runtime and above", layers::oci),
    ("unsafe in sys.rs only", code::unsafe_place),
    ("SAFETY comments", code::safety_comments),
    ("no RawFd in public", code::raw_fd),
    ("file names", tree::file_names),
    ("top level", tree::top_level),
    ("file length", code::file_length),
    ("function length", code::function_length),
    ("unfinished work", code::unfinished),
    ("tests find the program by variable", code::test_paths),
    ("reasons of ignored tests", code::ignore_reasons),
    ("crate pages", docs::crate_pages),
    ("examples", docs::examples),
    ("reasons of dependencies", docs::dependency_reasons),
    ("init's build script", docs::init_build),
    ("packages of the tests", docs::apt_line),
    ("properties in docs/oci.md", evidence::properties),
    ("evidence in tables", evidence::tests),
    ("tests of what was tried", evidence::tried),
    ("fuzz targets", fuzz::targets),
];

pub(crate) fn tidy() -> Result<()> {
    let tree = Tree::read(&workspace()?)?;
    let mut count = 0;
    for (name, rule) in RULES {
        let mut findings = rule(&tree);
        findings.sort();
        count += findings.len();
        for finding in findings {
            println!("{finding} [{name}]");
        }
    }
    if count > 0 {
        bail!("{count} breaches of the rules");
    }
    println!("{} rules hold in {} files", RULES.len(), tree.files().len());
    Ok(())
}
