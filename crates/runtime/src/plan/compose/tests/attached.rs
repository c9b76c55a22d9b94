//! A container without a mount namespace.

use super::oci::{find, in_order, names};
use super::*;

fn among_the_hosts_mounts() -> Spec {
    let mut spec = rootful();
    spec.extension.bundle = Some("/bundle".into());
    spec.root.path = "rootfs".into();
    let namespaces = &mut spec.linux.namespaces;
    namespaces.retain(|request| request.namespace() != Some(Namespace::Mount));
    spec
}

/// The host's mounts stay what they are, and nothing is attached but in the root.
#[test]
fn its_root_is_attached_by_the_parent() {
    let spec = among_the_hosts_mounts();
    assert!(plan(&spec, true).attaches_root());
    assert!(!plan(&rootful(), true).attaches_root());
    in_order(&spec, true, &["AttachedRoot", "EnterRoot", "Ready"]);
    let names = names(&spec, true);
    for other in ["Propagation", "Root", "Pivot", "Chroot"] {
        assert!(!names.contains(&other), "{other} in {names:?}");
    }
}

#[test]
fn what_is_bound_is_cut_off_from_the_hosts() {
    let mut spec = among_the_hosts_mounts();
    let first = |spec: &Spec| {
        find(spec, true, |step| match *step {
            Step::AttachedRoot { propagation } => Some(propagation),
            _ => None,
        })
    };
    assert_eq!(first(&spec), [Propagation::Private.flag()]);
    spec.mounts.push(bind("/data", &["rbind", "rslave"]));
    assert_eq!(first(&spec), [Propagation::Slave.flag()]);
    spec.linux.rootfs_propagation = Some("private".into());
    assert_eq!(first(&spec), [Propagation::Private.flag()]);
}

#[test]
fn what_can_not_be_done_on_the_host_is_refused() {
    let spec = among_the_hosts_mounts;
    refused_of(spec(), true, "linux.namespaces", |spec| {
        spec.extension.bundle = None;
    });
    refused_of(spec(), true, "linux.namespaces", |spec| {
        let namespaces = &mut spec.linux.namespaces;
        namespaces.push(NamespaceRequest::new(Namespace::User));
        spec.linux.uid_mappings = single(0, 100_000);
        spec.linux.gid_mappings = single(0, 100_000);
    });
    refused_of(spec(), true, "linux.rootfsPropagation", |spec| {
        spec.linux.rootfs_propagation = Some("rshared".into());
    });
    refused_of(spec(), true, "root.path", |spec| {
        spec.root.path = "/".into();
    });
}

#[test]
fn who_joins_it_enters_its_root() {
    let spec = among_the_hosts_mounts();
    let plan = exec(&spec, &[Namespace::Pid], &host(true)).unwrap();
    assert!(plan.attaches_root());
    let steps = plan.steps();
    let (join, root) = (position(&steps, "join"), position(&steps, "enter the root"));
    assert!(join < root, "{steps:?}");
}
