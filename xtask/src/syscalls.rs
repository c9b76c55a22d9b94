//! `syscalls`: the tables of system calls in `crabcan-seccomp`, made from the kernel's own.
//!
//! ```text
//! cargo xtask syscalls linux-6.12 linux-7.3
//! ```
//!
//! The trees are unpacked sources of Linux, the oldest first; nothing of them but the tables and
//! what selects among their lines is read. What an older kernel has and a newer one dropped stays:
//! the number is not used again, and the older kernel is still there. Two trees that give a call
//! two numbers are an error, as is a tree older than 6.11, which has no common table yet.
//!
//! The result is in the tree; nobody needs the kernel's sources to build.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// Where the tables go.
const TARGET: &str = "crates/seccomp/src/syscalls";
/// How long a line of numbers becomes.
const WIDTH: usize = 98;
/// Stands in the tables where an architecture has no such call.
const NONE: &str = "O";

/// The lines of a table that belong to an architecture.
enum Lines {
    /// Those of these ABIs.
    Abis(&'static [&'static str]),
    /// Those of these ABIs, the last of which a table without 32-bit calls does not have at all.
    Compat(&'static [&'static str]),
    /// `common`, `64` and what this file adds to them.
    Makefile(&'static str),
}

/// An architecture's table in the kernel's sources.
struct Source {
    /// The module of `TARGET` that it goes to, and its name there.
    module: &'static str,
    name: &'static str,
    table: &'static str,
    lines: Lines,
    /// What the kernel adds to the numbers of the table.
    base: u16,
}

const fn source(
    module: &'static str,
    name: &'static str,
    table: &'static str,
    lines: Lines,
) -> Source {
    Source {
        module,
        name,
        table,
        lines,
        base: 0,
    }
}

impl Source {
    const fn from(mut self, base: u16) -> Self {
        self.base = base;
        self
    }
}

const X86_64: &str = "arch/x86/entry/syscalls/syscall_64.tbl";
const X86: &str = "arch/x86/entry/syscalls/syscall_32.tbl";
const GENERIC: &str = "scripts/syscall.tbl";
const ARM: &str = "arch/arm/tools/syscall.tbl";
const O32: &str = "arch/mips/kernel/syscalls/syscall_o32.tbl";
const N32: &str = "arch/mips/kernel/syscalls/syscall_n32.tbl";
const N64: &str = "arch/mips/kernel/syscalls/syscall_n64.tbl";
const POWER: &str = "arch/powerpc/kernel/syscalls/syscall.tbl";
const S390: &str = "arch/s390/kernel/syscalls/syscall.tbl";
const PARISC: &str = "arch/parisc/kernel/syscalls/syscall.tbl";
const M68K: &str = "arch/m68k/kernel/syscalls/syscall.tbl";
const SH: &str = "arch/sh/kernel/syscalls/syscall.tbl";

const AARCH64: Lines = Lines::Makefile("arch/arm64/kernel/Makefile.syscalls");
const RISCV: Lines = Lines::Makefile("arch/riscv/kernel/Makefile.syscalls");
const LOONGARCH: Lines = Lines::Makefile("arch/loongarch/kernel/Makefile.syscalls");
const COMMON: Lines = Lines::Abis(&["common"]);

/// All of them, those of a module together.
const SOURCES: [Source; 18] = [
    source("x86", "X86_64", X86_64, Lines::Abis(&["common", "64"])),
    source("x86", "X86", X86, Lines::Abis(&["i386"])),
    source("x86", "X32", X86_64, Lines::Abis(&["common", "x32"])),
    source("arm", "AARCH64", GENERIC, AARCH64),
    source("arm", "ARM", ARM, COMMON),
    source("mips", "MIPS", O32, Lines::Abis(&["o32"])).from(4000),
    source("mips", "MIPS64", N64, Lines::Abis(&["common", "n64"])).from(5000),
    source("mips", "MIPS64N32", N32, Lines::Abis(&["n32"])).from(6000),
    source(
        "power",
        "PPC",
        POWER,
        Lines::Abis(&["common", "nospu", "32"]),
    ),
    source(
        "power",
        "PPC64",
        POWER,
        Lines::Abis(&["common", "nospu", "64"]),
    ),
    source("s390", "S390", S390, Lines::Compat(&["common", "32"])),
    source("s390", "S390X", S390, Lines::Abis(&["common", "64"])),
    source("parisc", "PARISC", PARISC, Lines::Abis(&["common", "32"])),
    source("parisc", "PARISC64", PARISC, Lines::Abis(&["common", "64"])),
    source("others", "RISCV64", GENERIC, RISCV),
    source("others", "LOONGARCH64", GENERIC, LOONGARCH),
    source("others", "M68K", M68K, COMMON),
    source("others", "SH", SH, COMMON),
];

/// The private calls of 32-bit ARM, and second names, are in no table.
const ARM_PRIVATE: &str = "arch/arm/include/uapi/asm/unistd.h";
/// Where they are kept among numbers of 16 bits.
const ARM_KEPT: u16 = 0xf000;

/// What s390 got for its 31-bit programs, too, between 6.12 and 6.18, the last kernel that runs any:
/// the lines are `common` in its table there. No tree that distributions still carry has them.
const S390_LAST: [(&str, u16); 7] = [
    ("setxattrat", 463),
    ("getxattrat", 464),
    ("listxattrat", 465),
    ("removexattrat", 466),
    ("open_tree_attr", 467),
    ("file_getattr", 468),
    ("file_setattr", 469),
];

/// Calls by name.
type Table = BTreeMap<String, u16>;

/// Makes the tables from these trees.
pub(crate) fn syscalls(trees: &[String]) -> Result<()> {
    ensure!(!trees.is_empty(), "syscalls TREE…, the oldest first");
    let mut tables: Vec<Table> = SOURCES.iter().map(|_| Table::new()).collect();
    let mut versions = Vec::new();
    for tree in trees {
        let tree = Path::new(tree);
        versions.push(version(tree)?);
        for (source, table) in SOURCES.iter().zip(&mut tables) {
            let read = read(tree, source).with_context(|| {
                format!("{} of {}", source.name, tree.join(source.table).display())
            })?;
            join(table, read).with_context(|| format!("{}: {}", tree.display(), source.name))?;
        }
    }
    for (source, table) in SOURCES.iter().zip(&mut tables) {
        if source.name == "S390" {
            let last = S390_LAST.map(|(name, number)| (name.to_owned(), number));
            join(table, last.into_iter().collect()).context("S390_LAST")?;
        }
        println!("{}: {} calls", source.name, table.len());
    }
    write(&tables, &versions.join(" and "))
}

/// `6.12`, of the tree's Makefile.
fn version(tree: &Path) -> Result<String> {
    let path = tree.join("Makefile");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let value = line.and_then(|line| line.trim_start().strip_prefix("= "));
        value.with_context(|| format!("{}: no {name}", path.display()))
    };
    Ok(format!("{}.{}", field("VERSION")?, field("PATCHLEVEL")?))
}

/// One architecture's calls in a tree.
fn read(tree: &Path, source: &Source) -> Result<Table> {
    let text = fs::read_to_string(tree.join(source.table))?;
    let own = |path: &str| -> Result<String> {
        let path = tree.join(path);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    };
    let abis: BTreeSet<String> = match source.lines {
        Lines::Abis(abis) | Lines::Compat(abis) => abis.iter().map(|&abi| abi.to_owned()).collect(),
        Lines::Makefile(path) => added(&own(path)?)
            .chain(["common", "64"])
            .map(str::to_owned)
            .collect(),
    };
    let mut table = Table::new();
    let mut found = BTreeSet::new();
    for line in text.lines() {
        let Some((number, abi, name)) = entry(line)? else {
            continue;
        };
        found.insert(abi);
        if abis.contains(abi) && !is_placeholder(name) {
            join(&mut table, [(name.to_owned(), number + source.base)].into())?;
        }
    }
    if let Lines::Compat(abis) = source.lines
        && !abis.iter().all(|abi| found.contains(abi))
    {
        return Ok(Table::new());
    }
    if source.name == "ARM" {
        let private = private(&own(ARM_PRIVATE)?, &table)?;
        join(&mut table, private)?;
    }
    ensure!(table.len() > 300, "only {} calls", table.len());
    Ok(table)
}

/// A line of a table: number, ABI and name; what follows are the kernel's functions.
fn entry(line: &str) -> Result<Option<(u16, &str, &str)>> {
    let mut words = line.split_whitespace();
    let first = words.next().unwrap_or("#");
    if first.starts_with('#') {
        return Ok(None);
    }
    match (first.parse(), words.next(), words.next()) {
        (Ok(number), Some(abi), Some(name)) => Ok(Some((number, abi, name))),
        _ => bail!("not a line of a table: {line:?}"),
    }
}

/// Numbers that were given out and never used have a line as well.
fn is_placeholder(name: &str) -> bool {
    name.starts_with("unused") || name.starts_with("reserved")
}

/// The ABIs that a `Makefile.syscalls` adds for 64-bit programs.
fn added(makefile: &str) -> impl Iterator<Item = &str> {
    let lines = makefile.lines();
    lines
        .filter_map(|line| line.strip_prefix("syscall_abis_64 +="))
        .flat_map(str::split_whitespace)
}

/// `#define __ARM_NR_set_tls (__ARM_NR_BASE+5)`, and second names of calls of the table:
/// `#define __NR_sync_file_range2 __NR_arm_sync_file_range`.
fn private(header: &str, table: &Table) -> Result<Table> {
    let mut more = Table::new();
    for line in header.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["#define", name, value] = words[..] else {
            continue;
        };
        let offset = value.strip_prefix("(__ARM_NR_BASE+");
        let offset = offset.and_then(|value| value.strip_suffix(')'));
        let first = value.strip_prefix("__NR_").and_then(|call| table.get(call));
        match (name.strip_prefix("__ARM_NR_"), name.strip_prefix("__NR_")) {
            (Some(name), _) if offset.is_some() => {
                let number: u16 = offset
                    .unwrap_or_default()
                    .parse()
                    .context(line.to_owned())?;
                more.insert(name.to_owned(), ARM_KEPT + number);
            }
            (_, Some(name)) => more.extend(first.map(|number| (name.to_owned(), *number))),
            _ => {}
        }
    }
    ensure!(!more.is_empty(), "no private calls");
    Ok(more)
}

/// Adds calls to those that are known.
fn join(table: &mut Table, more: Table) -> Result<()> {
    for (name, number) in more {
        let known = *table.entry(name.clone()).or_insert(number);
        ensure!(known == number, "{name} is {known} and {number}");
    }
    Ok(())
}

fn write(tables: &[Table], versions: &str) -> Result<()> {
    let names: BTreeSet<&String> = tables.iter().flat_map(Table::keys).collect();
    let target = crate::cargo::workspace()?.join(TARGET);
    put(&target, "names", &names_module(&names, versions))?;
    let modules: BTreeSet<&str> = SOURCES.iter().map(|source| source.module).collect();
    for module in modules {
        let of_it = SOURCES.iter().zip(tables);
        let of_it: Vec<(&Source, &Table)> = of_it.filter(|(one, _)| one.module == module).collect();
        put(&target, module, &numbers_module(&of_it, &names, versions))?;
    }
    Ok(())
}

fn put(target: &Path, module: &str, text: &str) -> Result<()> {
    let path: PathBuf = target.join(module).with_extension("rs");
    fs::write(&path, text).with_context(|| path.display().to_string())
}

fn names_module(names: &BTreeSet<&String>, versions: &str) -> String {
    let mut starts = vec![0];
    for name in names {
        starts.push(starts.last().unwrap_or(&0) + name.len() + 1);
    }
    let words: Vec<String> = names.iter().map(|name| (*name).clone()).collect();
    let text = filled(&words, "", WIDTH - 6).join(" \\\n");
    let starts: Vec<String> = starts.iter().map(usize::to_string).collect();
    format!(
        "//! Every name that some architecture has a system call of, in byte order.\n//!\n{}\n\
         /// How many names there are.\npub(super) const COUNT: usize = {};\n\n\
         /// The names one after another: one string needs no relocation when the program starts.\n\
         pub(super) static TEXT: &str = \"\\\n{text} \\\n    \";\n\n\
         /// Where each name begins in [`TEXT`]; one blank ends it.\n#[rustfmt::skip]\n\
         pub(super) static STARTS: [u16; COUNT + 1] = [\n{}\n];\n",
        origin(versions),
        names.len(),
        filled(&starts, ",", WIDTH - 4).join("\n"),
    )
}

fn origin(versions: &str) -> String {
    format!(
        "//! Made by `cargo xtask syscalls` from the tables of Linux {versions}; not by hand.\n"
    )
}

fn numbers_module(
    of_it: &[(&Source, &Table)],
    names: &BTreeSet<&String>,
    versions: &str,
) -> String {
    let listed: Vec<String> = of_it
        .iter()
        .map(|(source, _)| source.name.to_lowercase())
        .collect();
    let listed = match listed.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    };
    let mut text = format!(
        "//! The numbers of {listed}, in the order of the names;\n\
         //! `{NONE}` where there is no such call.\n//!\n{}\nuse super::names::COUNT;\n\n\
         /// No such call.\nconst {NONE}: u16 = super::ABSENT;\n",
        origin(versions),
    );
    for (source, table) in of_it {
        let numbers = names.iter().map(|name| match table.get(*name) {
            Some(number) => number.to_string(),
            None => NONE.to_owned(),
        });
        let numbers: Vec<String> = numbers.collect();
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "\n/// `{}`.\n#[rustfmt::skip]\npub(super) static {}: [u16; COUNT] = [\n{}\n];\n",
            source.name.to_lowercase(),
            source.name,
            filled(&numbers, ",", WIDTH - 4).join("\n"),
        );
    }
    text
}

/// Words in indented lines, each word with what ends it.
fn filled(words: &[String], end: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words {
        let word = format!("{word}{end}");
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
        .iter()
        .map(|line| format!("    {}", line.trim_start()))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn lines_of_tables() {
        let line = "435\tcommon\tclone3\t\tsys_clone3";
        assert_eq!(entry(line).unwrap(), Some((435, "common", "clone3")));
        assert_eq!(entry("# 436 is next").unwrap(), None);
        assert_eq!(entry("").unwrap(), None);
        assert!(entry("435 common").is_err() && entry("x common read").is_err());
    }

    #[test]
    fn two_numbers_for_one_call_are_refused() {
        let one: Table = [("read".to_owned(), 0)].into();
        let mut table = one.clone();
        join(&mut table, one).unwrap();
        let error = join(&mut table, [("read".to_owned(), 1)].into()).unwrap_err();
        assert_eq!(error.to_string(), "read is 0 and 1");
    }

    #[test]
    fn private_calls_of_arm() {
        let header = "#define __ARM_NR_BASE (__NR_SYSCALL_BASE+0x0f0000)\n\
                      #define __ARM_NR_set_tls\t\t(__ARM_NR_BASE+5)\n\
                      #define __NR_sync_file_range2\t__NR_arm_sync_file_range\n";
        let table = [("arm_sync_file_range".to_owned(), 341)].into();
        let expected = [("set_tls", 0xf005), ("sync_file_range2", 341)];
        let expected = expected.map(|(name, number)| (name.to_owned(), number));
        assert_eq!(private(header, &table).unwrap(), expected.into());
    }

    #[test]
    fn what_a_makefile_adds() {
        let text = "syscall_abis_32 += a\nsyscall_abis_64 += riscv rlimit\n";
        assert_eq!(added(text).collect::<Vec<_>>(), ["riscv", "rlimit"]);
    }

    #[test]
    fn lines_are_filled() {
        let words: Vec<String> = ["1", "22", "333"].map(str::to_owned).into();
        assert_eq!(filled(&words, ",", 7), ["    1, 22,", "    333,"]);
    }
}
