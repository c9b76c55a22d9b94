//! The process of `config.json` and its hooks: each property and its step.

use crabcan_init::format::{Bits, FlatPlan, Groups};

use super::oci::{find, in_order, names};
use super::*;
use crate::spec::{Hook, IoPriority, MemoryPolicy, Personality, Scheduler};

#[test]
fn a_score_for_the_oom_killer_is_written_while_that_is_possible() {
    let mut spec = rootless();
    assert!(!names(&spec, false).contains(&"OomScoreAdj"));
    for score in [-1000, 0, 1000] {
        spec.process.oom_score_adj = Some(score);
        in_order(
            &spec,
            true,
            &["Procfs", "OomScoreAdj", "NotDumpable", "AwaitIdMaps"],
        );
        let scores = find(&spec, true, |step| match step {
            Step::OomScoreAdj { score } => Some(i64::from(*score)),
            _ => None,
        });
        assert_eq!(scores, [score]);
    }
    for bad in [-1001, 1001, i64::MAX] {
        refused("process.oomScoreAdj", |spec| {
            spec.process.oom_score_adj = Some(bad)
        });
    }
}

/// By crun's annotation: others are not asked for.
#[test]
fn the_groups_of_the_caller_stay_if_that_is_wanted() {
    const NAME: &str = "run.oci.keep_original_groups";
    let mut spec = rootful();
    spec.process.user.additional_gids = vec![10];
    spec.annotations = [(NAME, "1".to_owned())].into_iter().collect();
    let kept = find(&spec, true, |step| match *step {
        Step::SetIds {
            set_groups, groups, ..
        } => Some(!set_groups && groups == Groups::new(&[]).unwrap()),
        _ => None,
    });
    assert_eq!(kept, [true]);
    let mut denied = host(true);
    denied.setgroups = false.into();
    assert!(compose(&spec, &denied).is_ok());
    spec.annotations = [(NAME, "yes".to_owned())].into_iter().collect();
    let error = compose(&spec, &denied).unwrap_err().to_string();
    let wanted = "annotations[\"run.oci.keep_original_groups\"]: \"yes\" is neither 0 nor 1";
    assert_eq!(error, wanted);
}

#[test]
fn groups_are_set_in_the_hosts_user_namespace_only_with_the_right_to() {
    let mut spec = rootful();
    spec.process.user.additional_gids = vec![10, 10, 20];
    let bytes: Vec<u8> = [10u32, 10, 20]
        .iter()
        .flat_map(|gid| gid.to_ne_bytes())
        .collect();
    let groups = Groups::new(&bytes).unwrap();
    let set = find(&spec, true, |step| {
        let (uid, gid, set_groups) = (0, 0, true);
        let expected = Step::SetIds {
            uid,
            gid,
            set_groups,
            groups,
        };
        (*step == expected).then_some(())
    });
    assert_eq!(set.len(), 1);
    let mut denied = host(true);
    denied.setgroups = false.into();
    let error = compose(&spec, &denied).unwrap_err().to_string();
    assert!(
        error.starts_with("process.user.additionalGids: "),
        "{error}"
    );
    spec.process.user.additional_gids.clear();
    assert!(compose(&spec, &denied).is_ok());
    // A user namespace of its own is of no help: it inherits the refusal.
    let mut nested = rootful();
    nested.linux.namespaces = namespaces_of(&Namespace::ALL);
    nested.linux.uid_mappings = single(0, 0);
    nested.linux.gid_mappings = single(0, 0);
    nested.process.user.additional_gids = vec![0];
    assert!(compose(&nested, &denied).is_err());
    assert!(compose(&nested, &host(true)).is_ok());
    for field in ["process.user.uid", "process.user.gid"] {
        refused_of(rootful(), true, field, |spec| match field {
            "process.user.uid" => spec.process.user.uid = u32::MAX,
            _ => spec.process.user.gid = u32::MAX,
        });
    }
}

#[test]
fn how_the_program_is_scheduled_and_labelled() {
    let mut spec = rootful();
    spec.process.scheduler = Some(Scheduler {
        policy: "SCHED_BATCH".into(),
        nice: Some(5),
        ..Scheduler::default()
    });
    spec.process.io_priority = Some(IoPriority {
        class: "IOPRIO_CLASS_IDLE".into(),
        priority: 0,
    });
    spec.linux.memory_policy = Some(MemoryPolicy {
        mode: "MPOL_BIND".into(),
        nodes: "0".into(),
        flags: vec![],
    });
    spec.linux.personality = Some(Personality {
        domain: "LINUX32".into(),
        flags: vec![],
    });
    spec.process.apparmor_profile = Some("crab".into());
    spec.process.selinux_label = Some("a:b:c:s0".into());
    spec.process.user.umask = Some(0o27);
    in_order(&spec, true, &["Procfs", "Pivot", "Scheduler", "SetIds"]);
    in_order(
        &spec,
        true,
        &["Capabilities", "ExecLabel", "Umask", "Ready"],
    );
    let words = find(&spec, true, |step| match *step {
        Step::Scheduler {
            policy: 3, nice: 5, ..
        } => Some("scheduler".to_owned()),
        Step::IoPriority { class: 3, level: 0 } => Some("io".into()),
        Step::MemoryPolicy { mode: 2, nodes } => {
            assert_eq!(Some(nodes), Bits::new(&1u64.to_ne_bytes()));
            Some("memory".into())
        }
        Step::Personality { persona: 8 } => Some("personality".into()),
        Step::ExecLabel { attribute, label } => Some(format!("{attribute:?} {label:?}")),
        Step::Umask { mask: 0o27 } => Some("umask".into()),
        _ => None,
    });
    let expected = [
        "scheduler",
        "io",
        "memory",
        "personality",
        "\"apparmor/exec\" \"exec crab\"",
        "\"exec\" \"a:b:c:s0\"",
        "umask",
    ];
    assert_eq!(words, expected);
    refused("process.user.umask", |spec| {
        spec.process.user.umask = Some(0o1000)
    });
    refused("process.apparmorProfile", |spec| {
        spec.process.apparmor_profile = Some("a\0".into());
    });
}

#[test]
fn a_terminals_size_counts_only_with_a_terminal() {
    let mut spec = rootless();
    let size = |height, width| Some(crate::spec::ConsoleSize { height, width });
    spec.process.console_size = size(1 << 20, 80);
    assert!(!names(&spec, false).contains(&"Console"));
    spec.process.terminal = true;
    let error = compose(&spec, &host(false)).unwrap_err().to_string();
    assert!(error.starts_with("process.consoleSize.height: "), "{error}");
    spec.process.console_size = size(25, 80);
    let sizes = find(&spec, false, |step| match *step {
        Step::Console {
            descriptors,
            rows,
            columns,
        } => Some((descriptors, rows, columns)),
        _ => None,
    });
    assert_eq!(sizes, [(7, 25, 80)]);
}

#[test]
fn hooks_are_run_at_their_points() {
    let hook = |path: &str| Hook {
        path: path.into(),
        args: vec!["h".into(), "x".into()],
        env: vec!["A=1".into()],
        timeout: Some(2),
    };
    let mut spec = rootful();
    spec.oci_version = "1.3.0".into();
    spec.extension.id = "c1".into();
    spec.extension.bundle = Some("/b".into());
    spec.extension.await_start = true;
    spec.annotations = [("a\u{1}b", "c\"".to_owned())].into_iter().collect();
    spec.hooks.create_runtime = vec![hook("/r")];
    spec.hooks.create_container = vec![hook("/c"), hook("/d")];
    spec.hooks.start_container = vec![hook("/s")];
    spec.hooks.poststop = vec![hook("/p")];
    in_order(
        &spec,
        true,
        &["Root", "RuntimeHooks", "Hook", "Hook", "Pivot"],
    );
    in_order(
        &spec,
        true,
        &["Pivot", "Session", "Ready", "AwaitStart", "Hook", "Exec"],
    );
    let hooks = find(&spec, true, |step| match *step {
        Step::Hook {
            path,
            args,
            env,
            timeout_ms,
            state,
        } => {
            assert_eq!(
                (args.iter().count(), env.iter().count(), timeout_ms),
                (2, 1, 2000)
            );
            Some((path.to_owned(), state.to_str().unwrap().to_owned()))
        }
        _ => None,
    });
    let paths = hooks.iter().map(|(path, _)| path.to_str().unwrap());
    assert_eq!(paths.collect::<Vec<_>>(), ["/c", "/d", "/s"]);
    for ((_, state), status) in hooks.iter().zip(["creating", "creating", "created"]) {
        // One place for the pid, whatever the configuration's own strings hold.
        assert_eq!(state.matches('\u{1}').count(), 1);
        let state = state.replace('\u{1}', "42");
        let state: serde_json::Value = serde_json::from_str(&state).unwrap();
        let expected = serde_json::json!({
            "ociVersion": "1.3.0", "id": "c1", "status": status, "pid": 42, "bundle": "/b",
            "annotations": {"a\u{1}b": "c\""},
        });
        assert_eq!(state, expected);
    }
}

#[test]
fn a_start_container_hook_has_the_programs_environment_or_its_own() {
    let mut spec = rootful();
    spec.process.env = vec!["A=program".into()];
    let hook = |path: &str, env: &[&str]| Hook {
        path: path.into(),
        env: env.iter().map(|pair| (*pair).into()).collect(),
        ..Hook::default()
    };
    spec.hooks.create_container = vec![hook("/early", &[])];
    spec.hooks.start_container = vec![hook("/bare", &[]), hook("/own", &["B=hook"])];
    let environments = find(&spec, true, |step| match *step {
        Step::Hook { env, .. } => Some(env.iter().map(ToOwned::to_owned).collect::<Vec<_>>()),
        _ => None,
    });
    assert_eq!(
        environments,
        [
            vec![],
            vec![c"A=program".to_owned()],
            vec![c"B=hook".to_owned()]
        ]
    );
}

#[test]
fn what_is_wrong_with_hooks_is_named() {
    let with = |field: &str, change: fn(&mut Hook)| {
        refused(field, |spec| {
            let mut hook = Hook {
                path: "/h".into(),
                ..Hook::default()
            };
            change(&mut hook);
            spec.hooks.poststart = vec![
                Hook {
                    path: "/ok".into(),
                    ..Hook::default()
                },
                hook,
            ];
        });
    };
    with("hooks.poststart[1].path", |hook| hook.path = "h".into());
    with("hooks.poststart[1].timeout", |hook| hook.timeout = Some(0));
    with("hooks.poststart[1].timeout", |hook| hook.timeout = Some(-1));
    with("hooks.poststart[1].args[0]", |hook| {
        hook.args = vec!["\0".into()]
    });
    with("hooks.poststart[1].env[0]", |hook| {
        hook.env = vec!["\0".into()]
    });
}

#[test]
fn a_container_of_create_waits_at_its_fifo() {
    let mut spec = rootful();
    spec.extension.await_start = true;
    spec.extension.preserved_descriptors = 2;
    let order = [
        "Capabilities",
        "FindProgram",
        // The terminal is there when `create` ends.
        "Session",
        "Ready",
        "AwaitStart",
        "PreserveDescriptors",
        "Exec",
    ];
    in_order(&spec, true, &order);
    let numbers = find(&spec, true, |step| match *step {
        Step::AwaitStart { descriptor } => Some((descriptor, 1)),
        Step::PreserveDescriptors { first, count } => Some((first, count)),
        _ => None,
    });
    assert_eq!(numbers, [(5, 1), (6, 2)]);
    spec.extension.await_start = false;
    let numbers = find(&spec, true, |step| match *step {
        Step::PreserveDescriptors { first, count } => Some((first, count)),
        _ => None,
    });
    assert_eq!(numbers, [(5, 2)]);
}

#[test]
fn resources_are_limited_once_and_by_name() {
    let mut spec = rootless();
    spec.process.rlimits = vec![
        ResourceLimit::of(7, 1, 2),
        ResourceLimit::of(15, 3, u64::MAX),
    ];
    let limits = find(&spec, false, |step| match *step {
        Step::ResourceLimit {
            resource,
            soft,
            hard,
        } => Some((resource, soft, hard)),
        _ => None,
    });
    assert_eq!(limits, [(7, 1, 2), (15, 3, u64::MAX)]);
    refused("process.rlimits[0].type", |spec| {
        spec.process.rlimits = vec![ResourceLimit::of(16, 1, 1)];
    });
    refused("process.rlimits[2].type", |spec| {
        spec.process.rlimits = [7, 8, 7].map(|one| ResourceLimit::of(one, 1, 1)).into();
    });
}

/// The specification wants warnings, and the rest to go on.
#[test]
fn capabilities_that_cannot_be_granted_are_warned_of() {
    let list = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    let mut spec = rootful();
    spec.process.capabilities = Some(Capabilities {
        bounding: list(&["CAP_KILL", "CAP_MOON", "CAP_CHOWN"]),
        permitted: list(&["CAP_KILL", "CAP_SYS_ADMIN"]),
        effective: list(&["CAP_KILL", "CAP_CHOWN"]),
        inheritable: list(&["CAP_KILL", "CAP_BPF"]),
        ambient: list(&["CAP_KILL", "cap_chown"]),
    });
    let mut weak = host(true);
    weak.capabilities.remove(Capability::SysAdmin);
    let plan = compose(&spec, &weak).unwrap();
    let fields: Vec<_> = plan
        .warnings()
        .iter()
        .map(|text| {
            text.split(": ")
                .next()
                .unwrap()
                .trim_start_matches("process.capabilities.")
        })
        .collect();
    let expected = [
        "bounding[1]",
        "permitted[1]",
        "effective[1]",
        "inheritable[1]",
        "ambient[1]",
    ];
    assert_eq!(fields, expected);
    let flat = plan.flatten();
    let parsed = FlatPlan::parse(&flat).unwrap();
    let set = parsed
        .steps()
        .find(|step| step.name() == "Capabilities")
        .unwrap();
    let kill = 1 << 5;
    let only = Step::Capabilities {
        effective: kill,
        permitted: kill,
        inheritable: kill,
        ambient: kill,
    };
    assert_eq!(set, only);
}

/// Whatever the caller has itself.
#[test]
fn in_a_user_namespace_of_its_own_every_capability_can_be_granted() {
    let mut spec = rootless();
    spec.process.capabilities = Some(Capabilities {
        bounding: vec!["CAP_SYS_ADMIN".into()],
        ..Capabilities::default()
    });
    assert_eq!(compose(&spec, &host(false)).unwrap().warnings(), [""; 0]);
}

/// Init takes the first word that comes: that to start may not come before another that it waits for.
#[test]
fn who_waits_for_another_word_is_not_given_that_to_start() {
    let stops = |spec: &Spec| Plan::new(spec, &host(false)).unwrap().stops();
    let plain = rootless();
    assert!(!stops(&plain));
    let mut hooked = rootless();
    hooked.hooks.create_runtime = vec![Hook {
        path: "/r".into(),
        args: Vec::new(),
        env: Vec::new(),
        timeout: None,
    }];
    assert!(stops(&hooked));
    let mut waiting = rootless();
    waiting.extension.await_start = true;
    assert!(stops(&waiting));
}
