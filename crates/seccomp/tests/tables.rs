//! The numbers against those of an independent crate, and of the C library for this machine.

use std::collections::BTreeMap;

use crabcan_seccomp::{Architecture, syscalls::all};

/// Calls that both know must have one number. What only one of them knows is counted.
fn compare<'a>(architecture: Architecture, theirs: impl Iterator<Item = (&'a str, u32)>) {
    let ours: BTreeMap<&str, u32> = all(architecture).collect();
    let mut common = 0;
    let mut missing = Vec::new();
    for (name, number) in theirs {
        match ours.get(name) {
            Some(ours) => assert_eq!(*ours, number, "{architecture} {name}"),
            None => missing.push(name),
        }
        common += u32::from(ours.contains_key(name));
    }
    assert!(common > 300, "{architecture}: {common} in common");
    // It lists calls of 32-bit machines for 64-bit ones, too, and of all generic machines for
    // loongarch64; the kernel does not. Unused numbers have no name here.
    let not_there = [
        "fstatat",
        "renameat",
        "getrlimit",
        "setrlimit",
        "memfd_secret",
    ];
    missing.retain(|name| {
        let unused = name.starts_with("unused") || name.starts_with("reserved");
        !(unused || name.ends_with("64") || not_there.contains(name))
    });
    assert!(
        missing.is_empty(),
        "{architecture}: {missing:?} are missing"
    );
}

macro_rules! compare {
    ($architecture:ident, $module:ident) => {
        compare(
            Architecture::$architecture,
            ::syscalls::$module::Sysno::iter()
                .map(|one| (one.name().trim_start_matches("r#"), one.id() as u32)),
        );
    };
}

#[test]
fn an_independent_crate_has_the_same_numbers() {
    compare!(X86_64, x86_64);
    compare!(X86, x86);
    compare!(Aarch64, aarch64);
    compare!(Arm, arm);
    compare!(Mips, mips);
    compare!(Mips64, mips64);
    compare!(Ppc, powerpc);
    compare!(Ppc64, powerpc64);
    compare!(S390x, s390x);
    compare!(Riscv64, riscv64);
    compare!(Loongarch64, loongarch64);
}

#[test]
fn names_and_numbers_lead_to_each_other() {
    for architecture in Architecture::all() {
        for (name, number) in all(architecture) {
            assert_eq!(
                crabcan_seccomp::syscalls::number(architecture, name),
                Some(number)
            );
            let back = crabcan_seccomp::syscalls::name(architecture, number);
            assert!(
                back.is_some_and(|back| back <= name),
                "{architecture} {name}"
            );
        }
    }
}

#[test]
fn x32_has_its_bit_and_its_own_calls() {
    use crabcan_seccomp::syscalls::number;
    assert_eq!(number(Architecture::X32, "read"), Some(0x4000_0000));
    assert_eq!(number(Architecture::X32, "execve"), Some(0x4000_0000 + 520));
    assert_eq!(number(Architecture::Arm, "set_tls"), Some(0x0f_0005));
    assert_eq!(number(Architecture::Mips64N32, "read"), Some(6000));
    assert_eq!(number(Architecture::X86_64, "socketcall"), None);
}

/// Since Linux 5.1 a new call has one number on all architectures, counted from their first.
#[test]
fn the_newest_calls_have_one_number() {
    let newest = [
        ("open_tree_attr", 467),
        ("file_getattr", 468),
        ("file_setattr", 469),
        ("listns", 470),
        ("rseq_slice_yield", 471),
        ("fchroot", 472),
    ];
    for architecture in Architecture::all() {
        let first = match architecture {
            Architecture::X32 => 0x4000_0000,
            Architecture::Mips | Architecture::Mipsel => 4000,
            Architecture::Mips64 | Architecture::Mipsel64 => 5000,
            Architecture::Mips64N32 | Architecture::Mipsel64N32 => 6000,
            _ => 0,
        };
        for (name, number) in newest {
            // Linux 6.18 was the last to run 31-bit programs of s390.
            let gone = architecture == Architecture::S390 && number > 469;
            let expected = (!gone).then_some(first + number);
            let found = crabcan_seccomp::syscalls::number(architecture, name);
            assert_eq!(found, expected, "{architecture} {name}");
        }
    }
}
