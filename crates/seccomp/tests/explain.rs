//! Decisions and programs for people, and of which calls a listener may be asked.
#![allow(clippy::unwrap_used, reason = "tests")]

use crabcan_seccomp::{Action, Architecture, Comparison, Decision, Profile, Route, Rule};

fn said(decisions: &[Decision]) -> Vec<String> {
    decisions.iter().map(ToString::to_string).collect()
}

#[test]
fn a_decision_has_its_conditions_in_their_order() {
    let profile = Profile::new(Action::Errno(1))
        .rule(Rule::new(Action::Trap, ["ioctl"]).argument(1, Comparison::Eq(0x5412)))
        .rule(
            Rule::new(Action::Allow, ["ioctl"])
                .argument(2, Comparison::Lt(16))
                .argument(1, Comparison::Ne(3))
                .argument(2, Comparison::MaskedEq { mask: 6, value: 7 }),
        )
        .rule(Rule::new(Action::Trace(9), ["ioctl", "read"]))
        .rule(Rule::new(Action::KillThread, ["read"]));
    let explain = |name| said(&profile.explain(Architecture::X86_64, name));
    assert_eq!(
        explain("ioctl"),
        [
            "x86_64 ioctl (16): trap if arg1 == 0x5412, else allow if arg1 != 0x3 and \
             (arg2 < 0x10 or arg2 & 0x6 == 0x6), else trace 9"
        ]
    );
    assert_eq!(explain("read"), ["x86_64 read (0): trace 9"]);
    assert_eq!(explain("getpid"), ["x86_64 getpid (39): errno 38"]);
    assert_eq!(explain("write"), ["x86_64 write (1): errno 1"]);
    assert_eq!(explain("waitpid"), Vec::<String>::new());
    assert_eq!(explain("no_such_call"), Vec::<String>::new());
}

#[test]
fn a_multiplexed_call_has_two_decisions() {
    let profile = Profile::new(Action::Errno(1))
        .rule(Rule::new(Action::Allow, ["socket"]).argument(0, Comparison::Ne(40)))
        .rule(Rule::new(
            Action::Allow,
            ["bind", "accept", "shmget", "statx"],
        ))
        .rule(Rule::new(Action::Trap, ["listen"]).argument(0, Comparison::Eq(3)));
    let explain = |name| said(&profile.explain(Architecture::X86, name));
    assert_eq!(
        explain("socket"),
        [
            "x86 socket (359): allow if arg0 != 0x28, else errno 1",
            "x86 socket (socketcall 102, part 1): errno 1",
        ]
    );
    assert_eq!(
        explain("accept"),
        ["x86 accept (socketcall 102, part 5): allow"]
    );
    assert_eq!(explain("shmget")[1], "x86 shmget (ipc 117, part 23): allow");
    assert_eq!(
        explain("listen")[1],
        "x86 listen (socketcall 102, part 4): trap"
    );
    let route = profile.explain(Architecture::S390x, "bind")[1].route;
    let (of, number, part) = ("socketcall", 102, 2);
    assert_eq!(route, Route::Part { of, number, part });
    assert_eq!(profile.explain(Architecture::Aarch64, "bind").len(), 1);
}

#[test]
fn all_calls_are_explained_in_their_order() {
    let profile = Profile::new(Action::Allow);
    let all = profile.explain_all(Architecture::Riscv64);
    assert!(all.len() > 300, "{}", all.len());
    assert!(all.is_sorted_by_key(|decision| decision.name));
    assert!(
        all.iter()
            .all(|decision| decision.otherwise == Action::Allow)
    );
}

#[test]
fn a_listener_is_asked_for_what_is_named() {
    let profile = Profile::new(Action::Allow)
        .rule(Rule::new(Action::Allow, ["write"]))
        .rule(Rule::new(Action::Notify, ["write", "mount"]))
        .rule(Rule::new(Action::Notify, ["ioctl"]).argument(1, Comparison::Eq(5)));
    let filter = profile.compile().unwrap();
    assert!(filter.needs_listener());
    let asked = ["mount", "ioctl"].map(|name| filter.notifies(name));
    assert_eq!(asked, [true, true]);
    let others = ["write", "execve", "no_such_call"].map(|name| filter.notifies(name));
    assert_eq!(others, [false; 3]);
}

#[test]
fn a_default_asks_for_everything_else() {
    let profile = Profile::new(Action::Notify).rule(Rule::new(Action::Allow, ["execve", "close"]));
    let profile = profile.enosys_for_newer(false);
    let filter = profile.compile().unwrap();
    assert!(filter.notifies("sendmsg") && filter.notifies("write"));
    assert!(!filter.notifies("execve") && !filter.notifies("close"));
}

#[test]
fn every_instruction_of_a_program_is_told() {
    let profile = Profile::new(Action::Errno(1))
        .architectures([Architecture::X86_64, Architecture::X86])
        .rule(Rule::new(Action::Allow, ["clone"]).argument(
            0,
            Comparison::MaskedEq {
                mask: 0x7e02_0000,
                value: 0x1000_0000,
            },
        ))
        .rule(Rule::new(Action::Log, ["ioctl"]).argument(1, Comparison::Ge(5)));
    let filter = profile.compile().unwrap();
    let text = filter.disassembly().to_string();
    assert_eq!(text.lines().count(), filter.instructions().len());
    assert!(!text.contains("instruction"), "{text}");
    for line in [
        "load arg0 bytes 0-3",
        "and 0x7e020000",
        "load number",
        "return log",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}
