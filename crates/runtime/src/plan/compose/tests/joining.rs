//! A process that joins a container which runs.

use crabcan_init::format::{Bits, FlatPlan};

use super::*;
use crate::spec::CpuAffinity;

fn exec_of(process: &Process, container: &Spec, joined: &[Namespace], privileged: bool) -> Plan {
    let spec = joining_of(process, container);
    exec(&spec, joined, &host(privileged)).unwrap()
}

fn joining_of(process: &Process, container: &Spec) -> Spec {
    Spec {
        process: process.clone(),
        ..container.clone()
    }
}

fn names(plan: &Plan) -> Vec<&'static str> {
    let flat = plan.flatten();
    FlatPlan::parse(&flat)
        .unwrap()
        .steps()
        .map(|step| step.name())
        .collect()
}

fn process() -> Process {
    Process {
        args: vec!["/bin/true".into()],
        cwd: "/".into(),
        no_new_privileges: true,
        ..Process::default()
    }
}

/// Untraceable before anything is joined, everything given up before the fork, and only then a
/// process that the container can see.
#[test]
fn the_order_gives_a_container_nothing_to_take() {
    let mut joining = process();
    joining.oom_score_adj = Some(7);
    joining.terminal = true;
    joining.apparmor_profile = Some("crab".into());
    joining.user.umask = Some(0);
    let plan = exec_of(
        &joining,
        &rootful(),
        &[Namespace::Mount, Namespace::Pid],
        true,
    );
    let expected = [
        "Procfs",
        "OomScoreAdj",
        "NotDumpable",
        "Join",
        "SetIds",
        "Bounding",
        "Capabilities",
        "NoNewPrivileges",
        "WorkingDirectory",
        "Console",
        "FindProgram",
        "ExecLabel",
        "Umask",
        "Fork",
        "Ready",
        "Session",
        "Exec",
    ];
    assert_eq!(names(&plan), expected);
    assert_eq!(plan.namespaces().made().count(), 0);
    assert!(matches!(plan.provisions(), [Provision::Container]));
    let flat = plan.flatten();
    let steps = FlatPlan::parse(&flat).unwrap();
    let flags = 0x0002_0000 | 0x2000_0000;
    assert!(steps.steps().any(|step| step == Step::Join { flags }));
}

#[test]
fn with_its_user_namespace_init_takes_that_ones_root_first() {
    let plan = exec_of(&process(), &rootless(), &ALL, false);
    let names = names(&plan);
    assert_eq!(names[..3], ["NotDumpable", "Join", "SetIds"]);
    // The maps are there: they are not written again.
    assert!(!names.contains(&"AwaitIdMaps"));
    assert_eq!(names.iter().filter(|name| **name == "Fork").count(), 1);
    let mut other = process();
    other.user.uid = 5;
    let error = exec(&joining_of(&other, &rootless()), &ALL, &host(false))
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("process.user.uid: "), "{error}");
}

#[test]
fn without_a_pid_namespace_there_is_no_fork() {
    let names = names(&exec_of(
        &process(),
        &rootful(),
        &[Namespace::Network],
        true,
    ));
    assert!(!names.contains(&"Fork"));
}

#[test]
fn the_containers_filter_holds_for_the_other_process() {
    let mut container = rootful();
    let text = br#"{"defaultAction":"SCMP_ACT_ALLOW"}"#;
    container.linux.seccomp = Some(crabcan_seccomp::json::Seccomp::from_json(text).unwrap());
    let names = names(&exec_of(&process(), &container, &ALL[..6], true));
    assert_eq!(names[names.len() - 3..], ["Session", "Seccomp", "Exec"]);
}

#[test]
fn the_processors_of_a_process_that_joins() {
    let mut joining = process();
    let with = |initial: &str, last: &str| {
        Some(CpuAffinity {
            initial: Some(initial.into()),
            last: Some(last.into()),
        })
    };
    joining.exec_cpu_affinity = with("0", "1,64");
    let plan = exec_of(&joining, &rootful(), &[Namespace::Pid], true);
    assert_eq!(names(&plan)[..3], ["Affinity", "Affinity", "NotDumpable"]);
    let flat = plan.flatten();
    let bytes: Vec<u8> = [2u64, 1]
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect();
    let cpus = Bits::new(&bytes).unwrap();
    let parsed = FlatPlan::parse(&flat).unwrap();
    assert!(parsed.steps().any(|step| step == Step::Affinity { cpus }));
    for (initial, last, field) in [("x", "", "initial"), ("", "1-", "final")] {
        joining.exec_cpu_affinity = with(initial, last);
        let error = exec(&joining_of(&joining, &rootful()), &[], &host(true))
            .unwrap_err()
            .to_string();
        let field = format!("process.execCPUAffinity.{field}: ");
        assert!(error.starts_with(&field), "{error}");
    }
    // A new container's first process is not one that joins.
    let mut spec = rootful();
    spec.process.exec_cpu_affinity = with("0", "0");
    assert!(!names(&compose(&spec, &host(true)).unwrap()).contains(&"Affinity"));
}

/// In a new user namespace init would have no rights over what it joins, and its ids can be mapped
/// only once it is made: that there is a child tells the parent so.
#[test]
fn a_new_user_namespace_comes_after_what_is_joined() {
    let mut spec = rootless();
    let network = NamespaceRequest {
        path: Some("/n".into()),
        ..NamespaceRequest::new(Namespace::Network)
    };
    let requests = &mut spec.linux.namespaces;
    requests.retain(|request| request.namespace() != Some(Namespace::Network));
    requests.push(network);
    let plan = compose(&spec, &host(true)).unwrap();
    let expected = [
        "NotDumpable",
        "Join",
        "Unshare",
        "Fork",
        "AwaitIdMaps",
        "SetIds",
    ];
    assert_eq!(names(&plan)[..6], expected);
    assert_eq!(plan.namespaces().made().count(), 0, "none by the clone");
    assert!(plan.forks());
    assert!(matches!(
        plan.provisions()[..3],
        [
            Provision::Namespace { .. },
            Provision::Fork,
            Provision::IdMaps(_)
        ]
    ));
    let flat = plan.flatten();
    let parsed = FlatPlan::parse(&flat).unwrap();
    let made = parsed.steps().find_map(|step| match step {
        Step::Unshare { flags } => Some(flags),
        _ => None,
    });
    let user = made.unwrap() & 0x1000_0000;
    assert_ne!(user, 0, "together with those that are to belong to it");
    assert_ne!(made.unwrap() & !0x1000_0000, 0);
    // Who is no root of the host could not map the ids of what can't be traced.
    let plan = compose(&spec, &host(false)).unwrap();
    assert_eq!(names(&plan)[..5], expected[1..]);
}

/// Init has no right to it any more when it is on the other side of the fork: the parent says it.
#[test]
fn what_the_fork_would_undo_is_the_parents_to_say() {
    let scheduled = |policy: &str, flag: Option<&str>, kinds: &[Namespace]| {
        let mut joining = process();
        joining.scheduler = Some(crate::spec::Scheduler {
            policy: policy.into(),
            flags: flag.into_iter().map(str::to_owned).collect(),
            ..Default::default()
        });
        let plan = exec(&joining_of(&joining, &rootful()), kinds, &host(true)).unwrap();
        let of_init = names(&plan).contains(&"Scheduler");
        (of_init, plan.schedule_of_child().map(|one| one.flags))
    };
    let reset = Some("SCHED_FLAG_RESET_ON_FORK");
    let (here, both) = ([Namespace::Mount], [Namespace::Mount, Namespace::Pid]);
    assert_eq!(scheduled("SCHED_BATCH", reset, &here), (true, None));
    assert_eq!(scheduled("SCHED_BATCH", None, &both), (true, None));
    assert_eq!(scheduled("SCHED_BATCH", reset, &both), (false, Some(1)));
    assert_eq!(scheduled("SCHED_DEADLINE", None, &both), (false, Some(0)));
}
