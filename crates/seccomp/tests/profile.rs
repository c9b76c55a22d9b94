//! Words of the OCI specification, and profiles that make no sense.
#![allow(clippy::unwrap_used, reason = "tests")]

use crabcan_seccomp::{Action, Architecture, Comparison, Flags, Operator, Profile, Rule};

#[test]
fn words_are_read_and_written() {
    for architecture in Architecture::all() {
        assert_eq!(
            architecture.to_string().parse::<Architecture>().unwrap(),
            architecture
        );
    }
    let actions = [
        ("SCMP_ACT_KILL_PROCESS", Action::KillProcess),
        ("SCMP_ACT_KILL_THREAD", Action::KillThread),
        ("SCMP_ACT_TRAP", Action::Trap),
        ("SCMP_ACT_ERRNO", Action::Errno(1)),
        ("SCMP_ACT_TRACE", Action::Trace(1)),
        ("SCMP_ACT_ALLOW", Action::Allow),
        ("SCMP_ACT_LOG", Action::Log),
        ("SCMP_ACT_NOTIFY", Action::Notify),
    ];
    for (word, action) in actions {
        assert_eq!(word.parse::<Action>().unwrap(), action);
        assert_eq!(action.to_string(), word);
    }
    assert_eq!(
        "SCMP_ACT_KILL".parse::<Action>().unwrap(),
        Action::KillThread
    );
    for word in ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"] {
        let word = format!("SCMP_CMP_{word}");
        assert_eq!(word.parse::<Operator>().unwrap().to_string(), word);
    }
    let masked = Comparison::MaskedEq { mask: 7, value: 3 };
    assert_eq!(Operator::MaskedEq.with(7, 3), masked);
    assert_eq!(
        "SECCOMP_FILTER_FLAG_LOG".parse::<Flags>().unwrap(),
        Flags::LOG
    );
}

#[test]
fn other_words_are_errors_with_the_word() {
    let errors = [
        "SCMP_ACT_ALLOWED".parse::<Action>().unwrap_err(),
        "scmp_arch_x86".parse::<Architecture>().unwrap_err(),
        "SCMP_CMP_".parse::<Operator>().unwrap_err(),
        "SECCOMP_FILTER_FLAG_NEW_LISTENER"
            .parse::<Flags>()
            .unwrap_err(),
    ];
    let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "unknown action \"SCMP_ACT_ALLOWED\"",
            "unknown architecture \"scmp_arch_x86\"",
            "unknown operator \"SCMP_CMP_\"",
            "unknown flag \"SECCOMP_FILTER_FLAG_NEW_LISTENER\"",
        ]
    );
}

#[test]
fn an_errno_fits_its_action_alone() {
    assert_eq!(Action::Errno(1).with_errno(38), Some(Action::Errno(38)));
    assert_eq!(
        Action::Trace(1).with_errno(65535),
        Some(Action::Trace(65535))
    );
    assert_eq!(Action::Errno(1).with_errno(4096), None);
    assert_eq!(Action::Allow.with_errno(1), None);
    assert_eq!(Action::Trace(1).with_errno(65536), None);
}

#[test]
fn a_bad_rule_is_named_with_its_field() {
    let fine = || Rule::new(Action::Trap, ["read"]);
    let bad = [
        (
            Rule::new(Action::Trap, Vec::<String>::new()),
            "syscalls[1].names: no system call is named",
        ),
        (
            Rule::new(Action::Trap, ["read", ""]),
            "syscalls[1].names[1]: an empty name",
        ),
        (
            Rule::new(Action::Errno(4096), ["read"]),
            "syscalls[1].action: the errno is above 4095",
        ),
        (
            fine()
                .argument(5, Comparison::Eq(0))
                .argument(6, Comparison::Eq(0)),
            "syscalls[1].args[1].index: a system call has the arguments 0 to 5",
        ),
    ];
    for (rule, expected) in bad {
        let profile = Profile::new(Action::Allow).rule(fine()).rule(rule);
        assert_eq!(profile.compile().unwrap_err().to_string(), expected);
    }
    let default = Profile::new(Action::Errno(4096)).compile();
    let expected = "defaultAction: the errno is above 4095";
    assert_eq!(default.unwrap_err().to_string(), expected);
}
