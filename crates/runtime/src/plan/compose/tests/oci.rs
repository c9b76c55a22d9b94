//! What `config.json` has and the sandbox does not ask for: each property and its step.

use std::ffi::CString;

use crabcan_init::format::{Bits, FlatPlan, Groups};

use super::*;
use crate::spec::{Hook, IntelRdt, IoPriority, MemoryPolicy, Personality, Scheduler, TimeOffset};

/// What a step of the plan is, for every step that `pick` wants to see.
pub(super) fn find<T>(
    spec: &Spec,
    privileged: bool,
    pick: impl Fn(&Step<'_>) -> Option<T>,
) -> Vec<T> {
    let flat = plan(spec, privileged).flatten();
    let parsed = FlatPlan::parse(&flat).unwrap();
    parsed.steps().filter_map(|step| pick(&step)).collect()
}

/// The names of the steps, in their order.
pub(super) fn names(spec: &Spec, privileged: bool) -> Vec<&'static str> {
    find(spec, privileged, |step| Some(step.name()))
}

/// The steps of these names are there, in this order.
pub(super) fn in_order(spec: &Spec, privileged: bool, expected: &[&str]) {
    let names = names(spec, privileged);
    let mut rest = names.iter();
    for name in expected {
        assert!(
            rest.any(|other| other == name),
            "no {name} in its place in {names:?}"
        );
    }
}

fn join(spec: &mut Spec, kind: Namespace, path: &str) {
    spec.linux
        .namespaces
        .retain(|request| request.namespace() != Some(kind));
    spec.linux.namespaces.push(NamespaceRequest {
        path: Some(path.into()),
        ..NamespaceRequest::new(kind)
    });
}

fn joined(plan: &Plan) -> Vec<(Namespace, &str)> {
    let joins = plan
        .provisions()
        .iter()
        .filter_map(|provision| match provision {
            Provision::Namespace { kind, path } => Some((*kind, path.to_str().unwrap())),
            _ => None,
        });
    joins.collect()
}

#[test]
fn root_joins_namespaces_by_path_before_anything_else() {
    let mut spec = rootful();
    join(&mut spec, Namespace::Network, "/run/netns/a");
    join(&mut spec, Namespace::Ipc, "/proc/7/ns/ipc");
    let plan = plan(&spec, true);
    let expected = [
        (Namespace::Network, "/run/netns/a"),
        (Namespace::Ipc, "/proc/7/ns/ipc"),
    ];
    assert_eq!(joined(&plan), expected);
    assert!(!plan.namespaces().makes(Namespace::Network));
    assert!(plan.namespaces().makes(Namespace::Pid));
    in_order(&spec, true, &["NotDumpable", "Join", "Join", "Propagation"]);
    let flags = find(&spec, true, |step| match step {
        Step::Join { flags } => Some(*flags),
        _ => None,
    });
    assert_eq!(flags, [0x4000_0000, 0x0800_0000]);
    // The loopback interface of another's network is not ours to set up.
    assert!(!names(&spec, true).contains(&"LoopbackUp"));
    assert!(!names(&spec, true).contains(&"Fork"));
}

#[test]
fn a_pid_namespace_that_is_joined_is_entered_by_a_child() {
    let mut spec = rootful();
    join(&mut spec, Namespace::Pid, "/proc/7/ns/pid");
    in_order(
        &spec,
        true,
        &["NotDumpable", "Join", "Fork", "Propagation", "Ready"],
    );
    assert!(!plan(&spec, true).namespaces().makes(Namespace::Pid));
}

/// An ordinary user has rights in its user namespace only, so that comes first; root last.
#[test]
fn with_a_joined_user_namespace_everything_else_is_made_in_it() {
    let mut spec = rootless();
    spec.linux.uid_mappings.clear();
    spec.linux.gid_mappings.clear();
    join(&mut spec, Namespace::Network, "/n");
    join(&mut spec, Namespace::User, "/u");
    let ordinary = plan(&spec, false);
    assert_eq!(
        joined(&ordinary),
        [(Namespace::User, "/u"), (Namespace::Network, "/n")]
    );
    assert_eq!(ordinary.namespaces().made().count(), 0);
    assert!(ordinary.id_map_lines().is_none());
    let order = [
        "NotDumpable",
        "Join",
        "Join",
        "Unshare",
        "Fork",
        "SetIds",
        "Propagation",
    ];
    in_order(&spec, false, &order);
    let flags = find(&spec, false, |step| match step {
        Step::Unshare { flags } => Some(*flags),
        _ => None,
    });
    // Mount, cgroup, uts, ipc, pid.
    assert_eq!(
        flags,
        [0x0002_0000 | 0x0200_0000 | 0x0400_0000 | 0x0800_0000 | 0x2000_0000]
    );
    let root = plan(&spec, true);
    assert_eq!(
        joined(&root),
        [(Namespace::Network, "/n"), (Namespace::User, "/u")]
    );
}

#[test]
fn what_is_wrong_with_namespaces_is_named() {
    refused("linux.namespaces[7].type", |spec| {
        spec.linux
            .namespaces
            .push(NamespaceRequest::new(Namespace::Pid));
    });
    refused("linux.namespaces[0].type", |spec| {
        spec.linux.namespaces[0].kind = "net".into();
    });
    refused("linux.namespaces[2].path", |spec| {
        spec.linux.namespaces[2].path = Some("proc/1/ns/pid".into());
    });
    refused("linux.namespaces", |spec| {
        join(spec, Namespace::Network, "/n")
    });
    refused("linux.timeOffsets", |spec| {
        spec.linux.time_offsets = [("boottime", TimeOffset::default())].into_iter().collect();
    });
}

#[test]
fn clocks_are_set_before_anything_is_joined_or_hidden() {
    let mut spec = rootful();
    spec.linux
        .namespaces
        .push(NamespaceRequest::new(Namespace::Time));
    let offset = |secs, nanosecs| TimeOffset { secs, nanosecs };
    let offsets = [
        ("monotonic", offset(-7, 5)),
        ("boottime", offset(86_400, 0)),
    ];
    spec.linux.time_offsets = offsets.into_iter().collect();
    in_order(
        &spec,
        true,
        &["Procfs", "Unshare", "TimeOffsets", "NotDumpable"],
    );
    let lines = find(&spec, true, |step| match step {
        Step::TimeOffsets { offsets } => {
            Some(offsets.iter().map(CString::from).collect::<Vec<_>>())
        }
        _ => None,
    });
    assert_eq!(
        lines,
        [[c"boottime 86400 0".to_owned(), c"monotonic -7 5".to_owned()]]
    );
    assert!(!plan(&spec, true).namespaces().makes(Namespace::Time));
    for (clock, bad, field) in [
        ("realtime", offset(1, 0), "linux.timeOffsets[\"realtime\"]"),
        (
            "boottime",
            offset(1, 1_000_000_000),
            "linux.timeOffsets.boottime.nanosecs",
        ),
    ] {
        refused_of(spec.clone(), true, field, |spec| {
            spec.linux.time_offsets = [(clock, bad.clone())].into_iter().collect();
        });
    }
}

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

#[test]
fn several_ranges_of_an_ordinary_user_are_written_by_the_helpers() {
    let writer = |spec: &Spec, privileged| {
        let plan = plan(spec, privileged);
        let maps = plan.provisions().iter().find_map(|one| match one {
            Provision::IdMaps(maps) => Some(maps.writer),
            _ => None,
        });
        maps.unwrap()
    };
    let mut spec = rootless();
    use crabcan_ns::IdMapWriter::{Direct, Helpers};
    assert_eq!(writer(&spec, false), Direct);
    spec.linux.uid_mappings.extend(single(1, 100_000));
    assert_eq!(writer(&spec, false), Helpers);
    assert_eq!(writer(&spec, true), Direct);
    // With their maps groups can be set.
    spec.process.user.additional_gids = vec![0];
    plan(&spec, false);
    spec.linux.uid_mappings = single(0, 1234);
    assert_eq!(writer(&spec, false), Helpers);
    refused("process.user.additionalGids[0]", |spec| {
        spec.linux.uid_mappings = single(0, 1234);
        spec.process.user.additional_gids = vec![7];
    });
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
    denied.setgroups = false;
    let error = compose(&spec, &denied).unwrap_err().to_string();
    assert!(
        error.starts_with("process.user.additionalGids: "),
        "{error}"
    );
    spec.process.user.additional_gids.clear();
    assert!(compose(&spec, &denied).is_ok());
    for field in ["process.user.uid", "process.user.gid"] {
        refused_of(rootful(), true, field, |spec| match field {
            "process.user.uid" => spec.process.user.uid = u32::MAX,
            _ => spec.process.user.gid = u32::MAX,
        });
    }
}

#[test]
fn names_and_settings_of_the_containers_namespaces() {
    let mut spec = rootful();
    spec.domainname = Some("reef".into());
    spec.linux.sysctl = [("net.ipv4.ip_forward", "1".to_owned())]
        .into_iter()
        .collect();
    in_order(
        &spec,
        true,
        &[
            "Procfs",
            "NotDumpable",
            "Domainname",
            "LoopbackUp",
            "Sysctl",
            "Root",
        ],
    );
    let pairs = find(&spec, true, |step| match step {
        Step::Sysctl { key, value } => Some(((*key).to_owned(), (*value).to_owned())),
        Step::Domainname { name } => Some((c"domain".to_owned(), (*name).to_owned())),
        _ => None,
    });
    let expected = [(c"domain", c"reef"), (c"net/ipv4/ip_forward", c"1")];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(pairs, expected);
    let changed = [
        (Namespace::Uts, "domainname"),
        (Namespace::Network, "linux.sysctl"),
    ];
    assert_eq!(plan(&spec, true).changed(), changed);
    refused("domainname", |spec| spec.domainname = Some("x".repeat(65)));
    refused("domainname", |spec| spec.domainname = Some(String::new()));
    refused("linux.sysctl[\"vm.swappiness\"]", |spec| {
        spec.linux.sysctl = [("vm.swappiness", "1".to_owned())].into_iter().collect();
    });
    refused("linux.sysctl[\"kernel.sem\"]", |spec| {
        spec.linux.sysctl = [("kernel.sem", "1\0".to_owned())].into_iter().collect();
    });
}

#[test]
fn propagation_follows_what_the_mounts_need() {
    let flags = |change: fn(&mut Spec)| {
        let mut spec = rootful();
        change(&mut spec);
        let flags = find(&spec, true, |step| match step {
            Step::Propagation { flags } => Some(*flags),
            _ => None,
        });
        flags[0]
    };
    const PRIVATE: u64 = 1 << 18;
    const SLAVE: u64 = 1 << 19;
    const WHOLE: u64 = 0x4000;
    assert_eq!(flags(|_| {}), PRIVATE | WHOLE);
    assert_eq!(
        flags(|spec| spec.linux.rootfs_propagation = Some("slave".into())),
        SLAVE | WHOLE
    );
    assert_eq!(
        flags(|spec| spec.linux.rootfs_propagation = Some("private".into())),
        PRIVATE | WHOLE
    );
    assert_eq!(
        flags(|spec| spec.linux.rootfs_propagation = Some("shared".into())),
        PRIVATE
    );
    assert_eq!(
        flags(|spec| spec.mounts = vec![bind("/x", &["rbind", "rslave"])]),
        SLAVE | WHOLE
    );
    refused("linux.rootfsPropagation", |spec| {
        spec.linux.rootfs_propagation = Some("peer".into());
    });
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
    let order = [
        "Procfs",
        "Pivot",
        "Scheduler",
        "IoPriority",
        "MemoryPolicy",
        "Personality",
        "SetIds",
        "Capabilities",
        "ExecLabel",
        "ExecLabel",
        "Umask",
        "Ready",
    ];
    in_order(&spec, true, &order);
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
    let order = [
        "Root",
        "RuntimeHooks",
        "Hook",
        "Hook",
        "Pivot",
        "Ready",
        "AwaitStart",
        "Hook",
        "Session",
    ];
    in_order(&spec, true, &order);
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
    let paths: Vec<_> = hooks
        .iter()
        .map(|(path, _)| path.to_str().unwrap())
        .collect();
    assert_eq!(paths, ["/c", "/d", "/s"]);
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
        "Ready",
        "AwaitStart",
        "Session",
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
    // In a user namespace of its own it is root's to give, whatever the caller has.
    let mut rootless = rootless();
    rootless.process.capabilities = Some(Capabilities {
        bounding: list(&["CAP_SYS_ADMIN"]),
        ..Capabilities::default()
    });
    assert_eq!(
        compose(&rootless, &host(false)).unwrap().warnings(),
        [""; 0]
    );
}

#[test]
fn what_is_for_other_platforms_is_refused() {
    for field in ["vm", "windows", "solaris", "zos", "freebsd"] {
        let text = format!("{{\"ociVersion\":\"1.0.0\",\"{field}\":{{}}}}");
        let foreign = Spec::from_json(text.as_bytes()).unwrap();
        refused(field, |spec| {
            (spec.vm, spec.windows, spec.solaris) = (foreign.vm, foreign.windows, foreign.solaris);
            (spec.zos, spec.freebsd) = (foreign.zos, foreign.freebsd);
        });
    }
    refused("linux.intelRdt.closID", |spec| {
        spec.linux.intel_rdt = Some(IntelRdt {
            clos_id: Some("..".into()),
            ..IntelRdt::default()
        });
    });
}

#[test]
fn relative_paths_of_the_host_are_the_bundles() {
    let mut spec = rootful();
    spec.root.path = "rootfs".into();
    spec.mounts = vec![bind("data", &["bind"])];
    refused_of(spec.clone(), true, "root.path", |_| {});
    spec.extension.bundle = Some("/bundle".into());
    let sources = find(&spec, true, |step| match *step {
        Step::Root { source, .. } | Step::Bind { source, .. } => {
            Some(source.to_str().unwrap().to_owned())
        }
        _ => None,
    });
    assert_eq!(sources, ["/bundle/rootfs", "/bundle/data"]);
    refused_of(spec, true, "root.path", |spec| spec.root.path = "".into());
}
