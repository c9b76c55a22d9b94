//! Profiles from JSON: what is read, what is refused, and in which field.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use crabcan_seccomp::json::{EngineProfile, Resolved, Seccomp, Target, UnknownKind};
use crabcan_seccomp::{Action, Architecture, Comparison, Error, Flags, Profile, Rule};

fn target() -> Target {
    Target {
        architecture: Architecture::X86_64,
        capabilities: vec!["CAP_CHOWN".to_owned(), "CAP_SYS_TIME".to_owned()],
        kernel: (5, 10),
    }
}

fn engine(text: &str) -> Result<Resolved, Error> {
    EngineProfile::from_json(text.as_bytes())?.resolve(&target())
}

fn oci(text: &str) -> Result<Resolved, Error> {
    Seccomp::from_json(text.as_bytes())?.resolve(Architecture::X86_64)
}

#[test]
fn every_field_of_the_specification_is_read() {
    let text = r#"{
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 13,
        "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_ZUSE"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
        "listenerPath": "/run/agent.sock",
        "listenerMetadata": "pod 7",
        "ignored": true,
        "syscalls": [
            { "names": ["getcwd", "no_such_call"], "action": "SCMP_ACT_TRACE", "errnoRet": 700 },
            { "names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [
                { "index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" },
                { "index": 1, "value": 18446744073709551615, "op": "SCMP_CMP_NE" } ] },
            { "names": ["no_such_call"], "action": "SCMP_ACT_ALLOW", "args": null }
        ]
    }"#;
    let resolved = oci(text).unwrap();
    let mask = Comparison::MaskedEq {
        mask: 0x7e02_0000,
        value: 0,
    };
    let expected = Profile::new(Action::Errno(13))
        .architectures([Architecture::X86_64, Architecture::X86])
        .flags(Flags::LOG | Flags::SPEC_ALLOW)
        .rule(Rule::new(Action::Trace(700), ["getcwd"]))
        .rule(
            Rule::new(Action::Allow, ["clone"])
                .argument(0, mask)
                .argument(1, Comparison::Ne(u64::MAX)),
        );
    assert_eq!(resolved.profile, expected);
    let listener = resolved.listener.unwrap();
    assert_eq!(listener.path.to_str(), Some("/run/agent.sock"));
    assert_eq!(listener.metadata.as_deref(), Some("pod 7"));
    let unknown: Vec<_> = resolved
        .unknown
        .iter()
        .map(|one| (one.kind, one.field.as_str(), one.word.as_str()))
        .collect();
    assert_eq!(
        unknown,
        [
            (
                UnknownKind::Architecture,
                "architectures[2]",
                "SCMP_ARCH_ZUSE"
            ),
            (
                UnknownKind::SystemCall,
                "syscalls[0].names[1]",
                "no_such_call"
            ),
            (
                UnknownKind::SystemCall,
                "syscalls[2].names[0]",
                "no_such_call"
            ),
        ]
    );
}

#[test]
fn absent_is_not_zero() {
    let read = Seccomp::from_json(b"{}").unwrap();
    assert_eq!(read, Seccomp::default());
    assert_eq!(serde_json(&read), "{}");
    let text = r#"{"defaultAction":"SCMP_ACT_LOG","defaultErrnoRet":0,"flags":[],"syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","errnoRet":0,"args":[{"index":0,"value":0,"valueTwo":0,"op":"SCMP_CMP_EQ"}]}]}"#;
    let read = Seccomp::from_json(text.as_bytes()).unwrap();
    assert_eq!(read.default_errno_ret, Some(0));
    assert_eq!(read.flags.as_deref(), Some(&[][..]));
    assert_eq!(serde_json(&read), text);
}

fn serde_json(read: &Seccomp) -> String {
    ::serde_json::to_string(read).unwrap()
}

#[test]
fn each_bad_field_of_the_specification_is_named() {
    let rule = |entry: &str| {
        format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":["read"],"action":"SCMP_ACT_TRAP"}},{entry}]}}"#
        )
    };
    let arg = |arg: &str| {
        rule(&format!(
            r#"{{"names":["read"],"action":"SCMP_ACT_TRAP","args":[{arg}]}}"#
        ))
    };
    let whole = |fields: &str| format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO"{fields}}}"#);
    let bad = [
        (r#"{}"#.to_owned(), "defaultAction: is missing"),
        (
            r#"{"defaultAction":"ALLOW"}"#.to_owned(),
            "defaultAction: unknown action \"ALLOW\"",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1}"#.to_owned(),
            "defaultErrnoRet: the action SCMP_ACT_ALLOW has no errno",
        ),
        (
            whole(r#","defaultErrnoRet":4096"#),
            "defaultErrnoRet: 4096 is above 4095, the largest errno",
        ),
        (
            whole(r#","flags":["SECCOMP_FILTER_FLAG_LOG","LOG"]"#),
            "flags[1]: unknown flag \"LOG\"",
        ),
        (
            whole(r#","listenerMetadata":"x""#),
            "listenerMetadata: metadata for a listener, and no listenerPath",
        ),
        (
            rule(r#"{"action":"SCMP_ACT_TRAP"}"#),
            "syscalls[1].names: no system call is named",
        ),
        (
            rule(r#"{"names":["read",""],"action":"SCMP_ACT_TRAP"}"#),
            "syscalls[1].names[1]: an empty name",
        ),
        (
            rule(r#"{"names":["read"]}"#),
            "syscalls[1].action: is missing",
        ),
        (
            rule(r#"{"names":["read"],"action":"SCMP_ACT_DENY"}"#),
            "syscalls[1].action: unknown action \"SCMP_ACT_DENY\"",
        ),
        (
            rule(r#"{"names":["read"],"action":"SCMP_ACT_KILL","errnoRet":1}"#),
            "syscalls[1].errnoRet: the action SCMP_ACT_KILL has no errno",
        ),
        (
            rule(r#"{"names":["read"],"action":"SCMP_ACT_TRACE","errnoRet":65536}"#),
            "syscalls[1].errnoRet: 65536 is above 65535, the largest message",
        ),
        (
            arg(r#"{"value":1,"op":"SCMP_CMP_EQ"}"#),
            "syscalls[1].args[0].index: is missing",
        ),
        (
            arg(r#"{"index":6,"value":1,"op":"SCMP_CMP_EQ"}"#),
            "syscalls[1].args[0].index: 6: a system call has the arguments 0 to 5",
        ),
        (
            arg(r#"{"index":0,"op":"SCMP_CMP_EQ"}"#),
            "syscalls[1].args[0].value: is missing",
        ),
        (
            arg(r#"{"index":0,"value":1}"#),
            "syscalls[1].args[0].op: is missing",
        ),
        (
            arg(r#"{"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":0,"value":1,"op":"=="}"#),
            "syscalls[1].args[1].op: unknown operator \"==\"",
        ),
    ];
    for (text, expected) in bad {
        assert_eq!(oci(&text).unwrap_err().to_string(), expected, "{text}");
        assert_eq!(engine(&text).unwrap_err().to_string(), expected, "{text}");
    }
}

#[test]
fn a_wrong_type_is_named_with_its_field() {
    let bad = [
        ("7", "the document"),
        ("", "the document"),
        (r#" ["SCMP_ACT_ALLOW"]"#, "the document"),
        (r#"{""x"#, "the document"),
        ("{", "the document"),
        ("{} {}", "the document"),
        (r#"{"defaultErrnoRet":-1}"#, "defaultErrnoRet"),
        (r#"{"architectures":[1]}"#, "architectures[0]"),
        (
            r#"{"syscalls":[{},{"args":[{},{"value":1.5}]}]}"#,
            "syscalls[1].args[1].value",
        ),
    ];
    for (text, expected) in bad {
        match oci(text) {
            Err(Error::Json { field, .. }) => assert_eq!(field, expected, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn rules_are_chosen_for_the_target() {
    let chosen = [
        (r#""includes":{"caps":["CAP_CHOWN","CAP_SYS_TIME"]}"#, true),
        (
            r#""includes":{"caps":["CAP_CHOWN","CAP_SYS_ADMIN"]}"#,
            false,
        ),
        (
            r#""excludes":{"caps":["CAP_CHOWN","CAP_SYS_ADMIN"]}"#,
            false,
        ),
        (r#""excludes":{"caps":["CAP_SYS_ADMIN"]}"#, true),
        (r#""includes":{"arches":["arm64","amd64"]}"#, true),
        (r#""includes":{"arches":["x86"]}"#, false),
        (r#""excludes":{"arches":["amd64"]}"#, false),
        (r#""includes":{"minKernel":"5.10"}"#, true),
        (r#""includes":{"minKernel":"5.9"}"#, true),
        (r#""includes":{"minKernel":"4.100"}"#, true),
        (r#""includes":{"minKernel":"5.11"}"#, false),
        (r#""excludes":{"minKernel":"5.10"}"#, false),
        (r#""excludes":{"minKernel":"6.0"}"#, true),
        (
            r#""includes":{"caps":[],"arches":null,"minKernel":""},"excludes":{}"#,
            true,
        ),
        (
            r#""includes":{"caps":["CAP_CHOWN"],"arches":["arm"]}"#,
            false,
        ),
        (r#""includes":null,"comment":"for people""#, true),
    ];
    for (selector, is_there) in chosen {
        let text = format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
                {{"name":"mount","action":"SCMP_ACT_ERRNO",{selector}}},
                {{"names":["read"],"action":"SCMP_ACT_LOG"}}]}}"#
        );
        let mut expected = Profile::new(Action::Allow).architecture(Architecture::X86_64);
        if is_there {
            expected = expected.rule(Rule::new(Action::Errno(1), ["mount"]));
        }
        expected = expected.rule(Rule::new(Action::Log, ["read"]));
        assert_eq!(engine(&text).unwrap().profile, expected, "{selector}");
    }
}

#[test]
fn rules_for_one_call_mean_what_libseccomp_makes_of_them() {
    let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
        {"names":["a_new_one","socket"],"action":"SCMP_ACT_ERRNO"},
        {"names":["socket"],"action":"SCMP_ACT_TRAP","args":[{"index":0,"value":2,"op":"SCMP_CMP_EQ"}]},
        {"names":["socket"],"action":"SCMP_ACT_ALLOW"},
        {"names":["socket"],"action":"SCMP_ACT_LOG","args":[{"index":0,"value":2,"op":"SCMP_CMP_NE"}]},
        {"names":["socket"],"action":"SCMP_ACT_TRACE"}]}"#;
    let socket = |action| Rule::new(action, ["socket"]);
    let expected = Profile::new(Action::Errno(1))
        .architecture(Architecture::X86_64)
        .rule(socket(Action::Allow))
        .rule(socket(Action::Trace(1)))
        .rule(socket(Action::Trap).argument(0, Comparison::Eq(2)))
        .rule(socket(Action::Log).argument(0, Comparison::Ne(2)))
        .rule(socket(Action::Errno(1)));
    assert_eq!(oci(text).unwrap().profile, expected);
    assert_eq!(engine(text).unwrap().profile, expected);
}

#[test]
fn architectures_come_with_the_targets_own() {
    let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","archMap":[
        {"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]},
        {"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86","SCMP_ARCH_Z"]}]}"#;
    let resolved = engine(text).unwrap();
    let both = [Architecture::X86_64, Architecture::X86];
    let expected = Profile::new(Action::Allow).architectures(both);
    assert_eq!(resolved.profile, expected);
    assert_eq!(resolved.unknown[0].field, "archMap[1].subArchitectures[1]");
    let target = Target {
        architecture: Architecture::Aarch64,
        ..target()
    };
    let read = EngineProfile::from_json(text.as_bytes()).unwrap();
    let both = [Architecture::Aarch64, Architecture::Arm];
    let expected = Profile::new(Action::Allow).architectures(both);
    assert_eq!(read.resolve(&target).unwrap().profile, expected);
}

#[test]
fn errnos_have_names() {
    let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrno":"ENOSYS","defaultErrnoRet":38,
        "syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","errno":"EINVAL"}]}"#;
    let expected = Profile::new(Action::Errno(libc::ENOSYS as u16))
        .architecture(Architecture::X86_64)
        .rule(Rule::new(Action::Errno(libc::EINVAL as u16), ["read"]));
    assert_eq!(engine(text).unwrap().profile, expected);
}

#[test]
fn each_bad_field_of_the_engines_is_named() {
    let rule = |entry: &str| {
        format!(
            r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"names":["read"],"action":"SCMP_ACT_ALLOW"{entry}}}]}}"#
        )
    };
    let whole = |fields: &str| format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO"{fields}}}"#);
    let bad = [
        (
            rule(r#","name":"write""#),
            "syscalls[0].name: there are names as well",
        ),
        (
            rule(r#","errno":"EPERM""#),
            "syscalls[0].errnoRet: the action SCMP_ACT_ALLOW has no errno",
        ),
        (
            rule(r#","includes":{"minKernel":"new"}"#),
            "syscalls[0].includes.minKernel: \"new\" is no version such as 4.8",
        ),
        (
            rule(r#","excludes":{"minKernel":"5"}"#),
            "syscalls[0].excludes.minKernel: \"5\" is no version such as 4.8",
        ),
        (
            rule(r#","includes":{"caps":["CAP_CHOWN","SYS_ADMIN"]}"#),
            "syscalls[0].includes.caps[1]: a capability is called as in CAP_SYS_ADMIN",
        ),
        (
            whole(r#","defaultErrno":"EWHAT""#),
            "defaultErrno: unknown errno \"EWHAT\"",
        ),
        (
            whole(r#","defaultErrno":"EPERM","defaultErrnoRet":2"#),
            "defaultErrno: EPERM is 1, and defaultErrnoRet says 2",
        ),
        (
            whole(r#","architectures":["SCMP_ARCH_X86"],"archMap":[{}]"#),
            "archMap: there are architectures as well",
        ),
    ];
    for (text, expected) in bad {
        assert_eq!(engine(&text).unwrap_err().to_string(), expected, "{text}");
    }
    for (entry, expected) in [
        (r#","arg":[]"#, "syscalls[0].arg"),
        (
            r#","args":[{"valuetwo":1}]"#,
            "syscalls[0].args[0].valuetwo",
        ),
        (r#","includes":{"cap":[]}"#, "syscalls[0].includes.cap"),
    ] {
        match engine(&rule(entry)) {
            Err(Error::Json { field, .. }) => assert_eq!(field, expected),
            other => panic!("{entry}: {other:?}"),
        }
    }
}

/// A profile that is written is read as the same one.
#[test]
fn what_is_written_is_read_again() {
    let profile = Profile::new(Action::Errno(38))
        .architectures([Architecture::X86_64, Architecture::X86])
        .rule(Rule::new(Action::Allow, ["read", "write"]))
        .rule(Rule::new(Action::Trace(7), ["ptrace"]).argument(0, Comparison::Ge(2)))
        .rule(
            Rule::new(Action::Allow, ["clone"])
                .argument(0, Comparison::MaskedEq { mask: 6, value: 4 })
                .argument(1, Comparison::Ne(u64::MAX)),
        );
    let written = serde_json::to_vec(&Seccomp::from(&profile)).unwrap();
    let read = Seccomp::from_json(&written).unwrap();
    let resolved = read.resolve(Architecture::X86_64).unwrap();
    assert_eq!((&resolved.profile, resolved.unknown.len()), (&profile, 0));
    // An engine's file of the same form.
    let engine = EngineProfile::from_json(&written).unwrap();
    assert_eq!(engine.resolve(&target()).unwrap().profile, profile);
}
