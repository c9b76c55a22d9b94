//! Filters: where among the steps they stand, what init needs for them, and what is refused.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use crabcan_ns::{IdRange, Namespace};
use crabcan_seccomp::json::Seccomp;
use crabcan_seccomp::{Action, Profile, Rule};

use crate::spec::{Linux, NamespaceRequest, Process, Root, SandboxFilter, Spec};
use crate::{Error, Host, Plan};

fn spec() -> Spec {
    let kinds = [Namespace::Mount, Namespace::User];
    let own = IdRange {
        inside: 0,
        outside: 1000,
        count: 1,
    };
    let map = || vec![own.into()];
    Spec {
        process: Process {
            args: vec!["/bin/true".into()],
            cwd: "/".into(),
            no_new_privileges: true,
            ..Process::default()
        },
        root: Root {
            path: "/r".into(),
            readonly: false,
        },
        linux: Linux {
            namespaces: kinds.map(NamespaceRequest::new).into(),
            uid_mappings: map(),
            gid_mappings: map(),
            ..Linux::default()
        },
        ..Spec::default()
    }
}

fn filtered(text: &str) -> Spec {
    let mut spec = spec();
    spec.linux.seccomp = Some(Seccomp::from_json(text.as_bytes()).unwrap());
    spec
}

fn plan(spec: &Spec) -> Result<Plan, Error> {
    let host = Host {
        uid: 1000,
        gid: 1000,
        privileged: false,
        capabilities: crabcan_caps::CapabilitySet::EMPTY,
        setgroups: true.into(),
        cgroup_trees: Vec::new().into(),
        release: "6.1".into(),
    };
    Plan::new(spec, &host)
}

/// The last steps, from the one before the filter's neighbours on.
fn steps(spec: &Spec) -> Vec<String> {
    plan(spec).unwrap().steps()
}

fn position(steps: &[String], start: &str) -> usize {
    let found = steps.iter().position(|step| step.starts_with(start));
    found.unwrap_or_else(|| panic!("no step {start:?} in {steps:#?}"))
}

const DENY: &str = r#"{ "defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
    "syscalls": [{ "names": ["bpf"], "action": "SCMP_ACT_ERRNO" }] }"#;

fn asking(name: &str) -> String {
    format!(
        r#"{{ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent",
        "syscalls": [{{ "names": ["{name}"], "action": "SCMP_ACT_NOTIFY" }}] }}"#
    )
}

#[test]
fn the_filter_comes_last() {
    let mut spec = filtered(DENY);
    for reaper in [false, true] {
        spec.extension.reaper = reaper;
        let steps = steps(&spec);
        let at = position(&steps, "filter system calls (");
        assert_eq!(steps[at - 1], "start a new session");
        assert_eq!(at + 2, steps.len());
        // Init has one thread, and nobody listens.
        assert!(steps[at].ends_with("instructions; log)"), "{}", steps[at]);
    }
    assert!(plan(&spec).unwrap().is_filtered());
    assert!(plan(&spec).unwrap().listener().is_none());
}

#[test]
fn without_a_filter_there_is_no_step() {
    let plan = plan(&spec()).unwrap();
    assert!(!plan.is_filtered());
    assert!(!plan.steps().iter().any(|step| step.starts_with("filter")));
}

/// Who hands the listener of a container without a reaper on is there until `Ready`.
#[test]
fn a_listener_comes_while_somebody_is_there_to_hand_it_on() {
    let mut spec = filtered(&asking("mkdir"));
    let early = steps(&spec);
    let at = position(&early, "filter system calls (");
    assert!(early[at].contains("listener sent to the parent"));
    assert_eq!(early[at + 1], "tell the parent that everything is ready");
    let listener = plan(&spec).unwrap().listener().cloned().unwrap();
    assert_eq!(listener.path.to_str(), Some("/run/agent"));
    spec.extension.reaper = true;
    let late = steps(&spec);
    let at = position(&late, "filter system calls (");
    assert_eq!(late[at - 1], "start a new session");
}

/// execve takes it away: it is in none of the sets that decide then.
#[test]
fn without_no_new_privs_the_right_to_filter_is_kept_up_to_execve() {
    let mut spec = filtered(DENY);
    let sets = |spec: &Spec| {
        let steps = steps(spec);
        let bounding = steps[position(&steps, "keep ")].clone();
        (
            bounding,
            steps[position(&steps, "set capabilities")].clone(),
        )
    };
    let (bounding, others) = sets(&spec);
    assert!(!bounding.contains("SYS_ADMIN") && !others.contains("SYS_ADMIN"));
    spec.process.no_new_privileges = false;
    let (bounding, others) = sets(&spec);
    assert_eq!(bounding, "keep no capability in the bounding set");
    assert_eq!(
        others,
        "set capabilities (effective,permitted CAP_SYS_ADMIN; \
         inheritable,ambient no capability)"
    );
    spec.linux.seccomp = None;
    assert!(!sets(&spec).1.contains("SYS_ADMIN"));
}

fn refused(spec: &Spec, wanted: &str) {
    match plan(spec) {
        Err(Error::Invalid { field, reason }) => {
            assert_eq!(format!("{field}: {reason}"), wanted);
        }
        other => panic!("{wanted}: {other:?}"),
    }
}

#[test]
fn a_call_of_inits_own_that_asks_is_refused_by_name() {
    let wanted = |name| {
        format!("linux.seccomp: SCMP_ACT_NOTIFY on {name}, which init calls before anybody listens")
    };
    let mut spec = spec();
    for (reaper, names) in [
        (false, &["sendmsg", "write"][..]),
        (true, &["sendmsg", "execve", "write", "exit_group"]),
    ] {
        for name in names {
            let mut spec = filtered(&asking(name));
            spec.extension.reaper = reaper;
            refused(&spec, &wanted(name));
        }
    }
    // When these are called, whoever answers has the listener; and those init calls before.
    for name in ["execve", "recvmsg", "read", "close", "exit_group"] {
        spec.linux.seccomp = filtered(&asking(name)).linux.seccomp;
        assert!(plan(&spec).is_ok(), "{name}");
    }
    let mut late = filtered(&asking("mmap"));
    late.extension.reaper = true;
    assert!(plan(&late).is_ok());
}

#[test]
fn what_could_never_work_is_refused() {
    let deaf = r#"{ "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" }] }"#;
    refused(
        &filtered(deaf),
        "linux.seccomp.listenerPath: SCMP_ACT_NOTIFY is used, and nobody listens",
    );
    let closed = r#"{ "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_ALLOW" }] }"#;
    let wanted = "linux.seccomp: does not allow execve, so no program could be started";
    refused(&filtered(closed), wanted);
    let mut two = filtered(DENY);
    two.extension.seccomp = Some(SandboxFilter::Of(Profile::new(Action::Allow)));
    refused(&two, "linux.seccomp: there are two filters");
    let wrong = r#"{ "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_DENY" }] }"#;
    let error = plan(&filtered(wrong)).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.starts_with("syscalls[0].action: "), "{source}");
}

#[test]
fn a_profile_made_by_hand() {
    let mut spec = spec();
    let rule = Rule::new(Action::Errno(1), ["bpf"]);
    spec.extension.seccomp = Some(SandboxFilter::Of(Profile::new(Action::Allow).rule(rule)));
    position(&steps(&spec), "filter system calls (");
}
