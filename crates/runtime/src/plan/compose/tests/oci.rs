//! What `config.json` has and the sandbox does not ask for: each property and its step.

use std::ffi::CString;

use crabcan_init::format::FlatPlan;

use super::*;
use crate::spec::{IntelRdt, TimeOffset};

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
fn an_empty_path_of_a_namespace_is_none() {
    let mut spec = rootful();
    for request in &mut spec.linux.namespaces {
        request.path = Some("".into());
    }
    let without = plan(&rootful(), true);
    let with = plan(&spec, true);
    assert_eq!(with.steps(), without.steps());
    assert_eq!(with.namespaces().made().count(), 6);
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

fn with_device(spec: &mut Spec, device: &str, name: Option<&str>) {
    let wanted = crate::spec::NetDevice {
        name: name.map(str::to_owned),
    };
    spec.linux.net_devices = [(device, wanted)].into_iter().collect();
}

#[test]
fn network_devices_are_given_when_init_waits_for_the_parent() {
    let mut spec = rootful();
    assert!(!names(&spec, true).contains(&"RuntimeHooks"));
    for (name, becomes) in [
        (None, "eth0"),
        (Some(""), "eth0"),
        (Some("lan%d"), "lan%d"),
        (Some("fifteen-letters"), "fifteen-letters"),
    ] {
        with_device(&mut spec, "eth0", name);
        let plan = plan(&spec, true);
        let [device] = plan.net_devices() else {
            panic!("{:?}", plan.net_devices());
        };
        assert_eq!(
            (device.name.as_str(), device.becomes.as_str()),
            ("eth0", becomes)
        );
        assert!(
            plan.changed()
                .contains(&(Namespace::Network, "linux.netDevices"))
        );
    }
    in_order(&spec, true, &["RuntimeHooks", "Pivot"]);
}

#[test]
fn what_is_wrong_with_network_devices_is_named() {
    for name in [
        "sixteen-letters.",
        "a/b",
        "a b",
        ".",
        "a:1",
        "%s",
        "a%",
        "%d%d",
        "a\u{b}b",
    ] {
        refused_of(rootful(), true, "linux.netDevices.eth0.name", |spec| {
            with_device(spec, "eth0", Some(name));
        });
    }
    for device in ["sixteen-letters.", "a/b", "..", ""] {
        refused_of(
            rootful(),
            true,
            &format!("linux.netDevices.{device}"),
            |spec| {
                with_device(spec, device, None);
            },
        );
    }
    // The devices would be moved to where they are.
    refused_of(rootful(), true, "linux.netDevices.eth0", |spec| {
        with_device(spec, "eth0", None);
        let namespaces = &mut spec.linux.namespaces;
        namespaces.retain(|request| request.namespace() != Some(Namespace::Network));
    });
    // An ordinary user has no rights over the devices of the host.
    refused("linux.netDevices.eth0", |spec| {
        with_device(spec, "eth0", None)
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
