//! A fuzz target: a profile in JSON, compiled, and run by the interpreter. See docs/CONTRIBUTING.md.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test fails by panicking and says what it did"
)]
#![cfg(feature = "json")]

#[path = "../../../xtask/fuzz/driver.rs"]
mod driver;
mod interpreter;

use crabcan_seccomp::json::{EngineProfile, Resolved, Seccomp, Target};
use crabcan_seccomp::{Architecture, Case, Comparison, Profile, Route};
use interpreter::{Call, run};

const NAMES: [&str; 6] = [
    "read",
    "clone",
    "clone3",
    "socket",
    "ioctl",
    "open_tree_attr",
];

/// What compiles answers every call as the profile's decisions, evaluated one by one, say.
#[test]
fn profile() {
    let corpus: [&[u8]; 4] = [
        include_bytes!("corpus/allow.json"),
        include_bytes!("corpus/engine.json"),
        include_bytes!("corpus/notify.json"),
        include_bytes!("corpus/masks.json"),
    ];
    let words = [
        "SCMP_ACT_ALLOW",
        "SCMP_ACT_ERRNO",
        "SCMP_ACT_KILL_THREAD",
        "SCMP_ACT_TRACE",
        "SCMP_ACT_LOG",
        "SCMP_ACT_NOTIFY",
        "SCMP_CMP_NE",
        "SCMP_CMP_LT",
        "SCMP_CMP_LE",
        "SCMP_CMP_EQ",
        "SCMP_CMP_GE",
        "SCMP_CMP_GT",
        "SCMP_CMP_MASKED_EQ",
        "SCMP_ARCH_X86",
        "SCMP_ARCH_X32",
        "SCMP_ARCH_AARCH64",
        "clone",
        "socket",
        "read",
        "ioctl",
        "\"index\":",
        "\"value\":",
        "\"valueTwo\":",
        "\"errnoRet\":",
        "{",
        "}",
        "[",
        "]",
        ",",
    ];
    driver::fuzz("profile", &corpus, &words, |bytes| {
        let target = Target {
            architecture: Architecture::X86_64,
            capabilities: vec!["CAP_SYS_ADMIN".into()],
            kernel: (6, 1),
        };
        let engine = EngineProfile::from_json(bytes).and_then(|it| it.resolve(&target));
        let oci = Seccomp::from_json(bytes).and_then(|it| it.resolve(Architecture::X86_64));
        let of =
            |result: &Result<Resolved, _>| result.as_ref().map_or(0, |it| 1 + it.unknown.len());
        let both = (of(&engine) * 64 + of(&oci)) as u64;
        let compiled: Vec<u64> = [engine, oci]
            .into_iter()
            .flatten()
            .map(|resolved| check(&resolved.profile, bytes))
            .collect();
        both * 8192 + compiled.iter().sum::<u64>()
    });
}

/// Compares the program with the decisions; its length.
fn check(profile: &Profile, bytes: &[u8]) -> u64 {
    let Ok(filter) = profile.compile() else {
        return 0;
    };
    // Arguments from the input itself, and numbers around those that it compares with.
    let noise = |index: usize| bytes.get(index).copied().map_or(0, u64::from);
    for name in NAMES {
        for decision in profile.explain(Architecture::X86_64, name) {
            let Route::Direct(number) = decision.route else {
                continue;
            };
            let constants = decision.cases.iter().flat_map(|case| &case.conditions);
            let mut values: Vec<u64> = constants.flat_map(|(_, one)| boundary(*one)).collect();
            values.truncate(24);
            values.extend([0, u64::MAX, noise(0), noise(1) << 32]);
            for (at, value) in values.iter().enumerate() {
                let mut arguments = [*value; 6];
                arguments[at % 6] = noise(at);
                let call = Call {
                    number,
                    audit: Architecture::X86_64.audit(),
                    arguments,
                };
                let first = decision.cases.iter().find(|case| holds(case, &arguments));
                let wanted = first.map_or(decision.otherwise, |case| case.action);
                let (answer, steps) = run(filter.instructions(), &call, true);
                assert_eq!(answer, wanted.to_return(), "{name} {arguments:x?}");
                assert!(steps <= filter.instructions().len());
            }
        }
    }
    filter.instructions().len() as u64
}

fn boundary(comparison: Comparison) -> [u64; 4] {
    let value = match comparison {
        Comparison::Ne(value)
        | Comparison::Lt(value)
        | Comparison::Le(value)
        | Comparison::Eq(value)
        | Comparison::Ge(value)
        | Comparison::Gt(value) => value,
        Comparison::MaskedEq { mask, value } => return [value, value | !mask, mask, !value],
        _ => 0,
    };
    [
        value,
        value.wrapping_add(1),
        value.wrapping_sub(1),
        value ^ 1 << 32,
    ]
}

/// Conditions on one argument by *or*, those on different ones by *and*.
fn holds(case: &Case, arguments: &[u64; 6]) -> bool {
    (0..6).all(|index| {
        let mut of_it = case
            .conditions
            .iter()
            .filter(|(at, _)| *at == index)
            .peekable();
        of_it.peek().is_none() || of_it.any(|(_, one)| one.holds(arguments[index as usize]))
    })
}
