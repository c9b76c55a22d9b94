//! Mounts, devices and the frame around them, as `config.json` has them.

use crabcan_init::format::Change;
use crabcan_init::step::{SOURCE_COPY_SYMLINK, SOURCE_NO_FOLLOW, TARGET_CREATE, TARGET_NO_FOLLOW};

use super::oci::{find, names};
use super::*;

const RO: u64 = 1;
const NOSUID: u64 = 2;
const ACCESS_TIMES: u64 = 0x70;
const NOATIME: u64 = 0x10;
const NODIRATIME: u64 = 0x80;

pub(super) fn mount(fstype: &str, destination: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.into(),
        fstype: fstype.into(),
        source: fstype.into(),
        options: options.iter().map(|option| (*option).into()).collect(),
        ..Mount::default()
    }
}

/// The changes and the flags of the only bind of a plan.
fn bound(mut spec: Spec, privileged: bool, options: &[&str]) -> (Vec<Change>, u32, bool) {
    spec.mounts = vec![Mount {
        create: None,
        ..bind("/x", options)
    }];
    let mut binds = find(&spec, privileged, |step| match *step {
        Step::Bind {
            changes,
            flags,
            received,
            ..
        } => Some((changes.iter().collect(), flags, received)),
        _ => None,
    });
    assert_eq!(binds.len(), 1);
    binds.remove(0)
}

fn change(set: u64, clear: u64, recursive: bool) -> Change {
    Change {
        set,
        clear,
        propagation: 0,
        recursive,
    }
}

/// Whatever the type says; and `ro` is the mount's own, `rro` that of everything below it too.
#[test]
fn the_words_bind_and_rbind_make_a_bind_mount() {
    let (changes, flags, received) = bound(rootful(), true, &["rbind", "ro", "suid"]);
    assert_eq!(changes, [change(RO, NOSUID, false)]);
    assert_eq!((flags, received), (TARGET_CREATE, false));
    let (changes, ..) = bound(rootful(), true, &["bind", "rro", "nosuid", "rrelatime"]);
    assert_eq!(
        changes,
        [change(RO, ACCESS_TIMES, true), change(NOSUID, 0, false)]
    );
    assert_eq!(bound(rootful(), true, &["bind"]).0, []);
    let mut spec = rootful();
    spec.mounts = vec![mount("bind", "/m", &["nosuid"])];
    // Without the words the type is a file system's name.
    assert!(names(&spec, true).contains(&"Mount"));
}

/// Of a bundle's bind mounts, as far as the container may change what the source's owner has set.
#[test]
fn the_first_word_about_an_attribute_is_one_about_all() {
    let of_bundle = |mut spec: Spec| {
        spec.extension.bundle = Some("/b".into());
        spec
    };
    let nosymfollow = 0x20_0000;
    let all = 15 | nosymfollow;
    let times = ACCESS_TIMES | NODIRATIME;
    for (words, set, clear, of_it_locked) in [
        (&["ro"][..], RO, all - RO, 0),
        (&["nosuid", "rw"], NOSUID, all - NOSUID, RO),
        (&["relatime"], 0, all | times, times),
        (&["noatime"], NOATIME, all | times, times),
        (
            &["nodiratime"],
            NODIRATIME,
            all | ACCESS_TIMES,
            ACCESS_TIMES,
        ),
        // These take back what other words have said, and not what the source has.
        (&["atime"], 0, all, 0),
        (&["noatime", "atime", "dev", "diratime"], 0, all, 4),
    ] {
        let words = [&["rbind"], words].concat();
        let changes = |spec, privileged| bound(of_bundle(spec), privileged, &words).0;
        let plain = [change(set, clear, false)];
        assert_eq!(changes(rootful(), true), plain, "{words:?}");
        let locked = [change(set, of_it_locked | nosymfollow, false)];
        assert_eq!(changes(rootless(), true), locked, "{words:?}");
        assert_eq!(changes(rootless(), false), locked, "{words:?}");
    }
    let silent = ["bind", "rprivate", "norelatime"];
    let (changes, ..) = bound(of_bundle(rootful()), true, &silent);
    assert!(changes.iter().all(|change| change.clear == 0));
    // What holds for the whole tree holds for its top.
    let (changes, ..) = bound(of_bundle(rootful()), true, &["rbind", "rro", "nosuid"]);
    let top = change(NOSUID, all - RO - NOSUID, false);
    assert_eq!(changes, [change(RO, 0, true), top]);
}

#[test]
fn propagation_is_changed_word_by_word() {
    let (changes, ..) = bound(rootful(), true, &["rbind", "rslave", "shared"]);
    let propagation = |propagation, recursive| Change {
        propagation,
        recursive,
        ..Change::default()
    };
    assert_eq!(
        changes,
        [propagation(1 << 19, true), propagation(1 << 20, false)]
    );
    let mut spec = rootless();
    spec.mounts = vec![
        bind("/a", &["rbind", "rslave"]),
        bind("/b", &["rbind", "rprivate"]),
    ];
    let plan = plan(&spec, true);
    let sent: Vec<_> = mounts_to_send(&plan)
        .iter()
        .map(|one| one.change.propagation)
        .collect();
    assert_eq!(
        sent,
        [
            Propagation::Private.flag(),
            Propagation::Slave.flag(),
            Propagation::Private.flag()
        ]
    );
}

#[test]
fn links_are_treated_as_the_words_say() {
    let (_, flags, _) = bound(rootful(), true, &["bind", "copy-symlink"]);
    assert_eq!(flags, TARGET_CREATE | SOURCE_COPY_SYMLINK);
    let (_, flags, received) = bound(rootless(), true, &["bind", "src-nofollow", "dest-nofollow"]);
    assert_eq!(flags, TARGET_CREATE | SOURCE_NO_FOLLOW | TARGET_NO_FOLLOW);
    // The parent would follow the link.
    assert!(!received);
    refused("mounts[0].options", |spec| {
        spec.mounts = vec![mount("tmpfs", "/m", &["src-nofollow"])];
    });
}

#[test]
fn a_remount_changes_what_is_there() {
    let mut spec = rootful();
    spec.mounts = vec![
        mount("tmpfs", "/m", &[]),
        mount("tmpfs", "/m", &["remount", "ro", "size=1m", "sync"]),
        mount("none", "/m", &["bind", "remount", "nosuid"]),
    ];
    let remounts = find(&spec, true, |step| match *step {
        Step::Remount {
            target,
            changes,
            options,
            ..
        } => {
            let words: Vec<_> = options.iter().map(|word| word.to_owned()).collect();
            Some((target.to_owned(), changes.iter().collect::<Vec<_>>(), words))
        }
        _ => None,
    });
    let words = vec![c"sync".to_owned(), c"size=1m".to_owned(), c"ro".to_owned()];
    let expected = [
        (c"/m".to_owned(), vec![change(RO, 0, false)], words),
        (c"/m".to_owned(), vec![change(NOSUID, 0, false)], vec![]),
    ];
    assert_eq!(remounts, expected);
    refused("mounts[0].options", |spec| {
        spec.mounts = vec![mount("none", "/m", &["bind", "remount", "size=1m"])];
    });
}

/// In a container with a user namespace somebody may come to the right to change them; in a sandbox
/// its command has it or not.
#[test]
fn mounts_that_are_sent_are_locked_where_somebody_could_change_them() {
    let locks = |spec: &Spec, privileged| plan(spec, privileged).locks_mounts();
    let mut spec = rootless();
    spec.mounts = vec![bind("/a", &["rbind"])];
    assert!(!locks(&spec, true));
    let mut sandbox = spec.clone();
    sandbox.process.capabilities = Some(Capabilities {
        bounding: vec!["CAP_SYS_ADMIN".into()],
        ..Capabilities::default()
    });
    assert!(locks(&sandbox, true));
    spec.extension.bundle = Some("/b".into());
    assert!(locks(&spec, true));
    assert!(!locks(&spec, false));
    spec.linux.namespaces = namespaces_of(&ALL[..6]);
    spec.linux.uid_mappings.clear();
    spec.linux.gid_mappings.clear();
    spec.mounts[0].uid_mappings = single(0, 1000);
    spec.mounts[0].gid_mappings = single(0, 1000);
    assert!(!locks(&spec, true));
}

#[test]
fn a_mount_with_maps_of_its_own_comes_from_the_parent() {
    let mut spec = rootful();
    let mut mapped = bind("/x", &["bind", "idmap"]);
    mapped.uid_mappings = single(0, 1000);
    mapped.gid_mappings = single(0, 1000);
    spec.mounts = vec![mapped];
    let made = plan(&spec, true);
    let sent = mounts_to_send(&made);
    assert!(
        matches!(&sent[0].idmap, Some((crate::plan::IdMapping::Own(maps), _)) if maps.uid.outside(0) == Some(1000))
    );
    refused_of(spec.clone(), true, "mounts[0].gidMappings", |spec| {
        spec.mounts[0].gid_mappings.clear();
    });
    // They are what asks for it; the option says whether what is below is mapped too.
    let mut unsaid = spec.clone();
    unsaid.mounts[0].options = vec!["bind".into()];
    let made = plan(&unsaid, true);
    assert!(matches!(
        &mounts_to_send(&made)[0].idmap,
        Some((_, Scope::Mount))
    ));
    refused_of(spec.clone(), true, "mounts[0].options", |spec| {
        spec.mounts[0].uid_mappings.clear();
        spec.mounts[0].gid_mappings.clear();
    });
    refused_of(spec.clone(), false, "mounts[0].options", |_| {});
    refused_of(spec, true, "mounts[0].options", |spec| {
        spec.mounts = vec![mount("tmpfs", "/m", &["idmap"])];
    });
    // The container's own, where it has any.
    let (.., received) = bound(rootless(), true, &["bind", "idmap"]);
    assert!(received);
}

#[test]
fn destinations_may_be_relative_and_must_be_inside() {
    let mut spec = rootful();
    spec.mounts = vec![mount("tmpfs", "a/b", &[])];
    let targets = find(&spec, true, |step| match *step {
        Step::Mount { target, flags, .. } => Some((target.to_owned(), flags)),
        _ => None,
    });
    assert_eq!(targets, [(c"/a/b".to_owned(), TARGET_CREATE)]);
    refused("mounts[0].destination", |spec| {
        spec.mounts = vec![mount("tmpfs", "", &[])]
    });
    refused("mounts[0].destination", |spec| {
        spec.mounts = vec![mount("tmpfs", "a/../b", &[])]
    });
    refused("mounts[0].type", |spec| {
        spec.mounts = vec![mount("", "/a", &[])]
    });
    refused("mounts[0].source", |spec| {
        spec.mounts = vec![bind("", &["bind"])]
    });
    refused("mounts[0].options", |spec| {
        spec.mounts = vec![mount("proc", "/a", &["tmpcopyup"])];
    });
}

/// A tmpfs' own words can't be meant for anything else; any other word may be a misspelt `ro`.
#[test]
fn words_of_a_tmpfs_are_passed_over_for_a_bind_mount() {
    let mut spec = rootful();
    spec.extension.bundle = Some("/b".into());
    let words = ["bind", "ro", "mode=755", "size=1k", "uid=1"];
    spec.mounts = vec![bind("/x", &words)];
    let expected = ["mode=755", "size=1k", "uid=1"].map(|word| {
        format!("mounts[0].options: \"{word}\" is no option of a bind mount: left out")
    });
    assert_eq!(compose(&spec, &host(true)).unwrap().warnings(), expected);
    for word in ["mod=755", "mode", "rp", "sync", "huge=always"] {
        refused("mounts[0].options", |spec| {
            spec.extension.bundle = Some("/b".into());
            spec.mounts = vec![bind("/x", &["bind", "mode=755", word])];
        });
    }
    // A sandbox' own words are nobody else's.
    spec.extension.bundle = None;
    assert!(compose(&spec, &host(true)).is_err());
}

#[test]
fn labels_are_given_to_file_systems_that_take_them() {
    let mut spec = rootful();
    spec.linux.mount_label = Some("a:b:c:s0:c1,c2".into());
    spec.mounts = vec![
        mount("tmpfs", "/a", &["size=1m"]),
        mount("proc", "/proc", &[]),
        bind("/x", &["bind"]),
    ];
    let options = find(&spec, true, |step| match *step {
        Step::Mount { options, .. } => Some(
            options
                .iter()
                .map(|word| word.to_owned())
                .collect::<Vec<_>>(),
        ),
        _ => None,
    });
    let label = c"context=a:b:c:s0:c1,c2".to_owned();
    assert_eq!(options, [vec![c"size=1m".to_owned(), label], vec![]]);
}

#[test]
fn a_label_is_given_by_the_word_of_an_annotation() {
    let mut spec = rootful();
    let kind = |word: &str| [("run.oci.mount_context_type".to_owned(), word.to_owned())];
    spec.annotations = kind("rootcontext").into_iter().collect();
    spec.linux.mount_label = Some("a:b:c:s0".into());
    spec.mounts = vec![mount("tmpfs", "/a", &[])];
    let steps = compose(&spec, &host(true)).unwrap().steps();
    let labelled = steps
        .iter()
        .filter(|step| step.contains("rootcontext=a:b:c:s0"));
    assert_eq!(labelled.count(), 1, "{steps:?}");
    refused("annotations[\"run.oci.mount_context_type\"]", |spec| {
        spec.annotations = kind("seclabel").into_iter().collect();
        spec.mounts = vec![mount("tmpfs", "/a", &[])];
    });
}

fn cgroup_mounts(trees: &[&str], options: &[&str]) -> Vec<String> {
    let mut spec = rootful();
    spec.mounts = vec![mount("cgroup", "/sys/fs/cgroup", options)];
    let mut host = host(true);
    let trees = trees.iter().map(|tree| (*tree).to_owned());
    host.cgroup_trees = trees.collect::<Vec<_>>().into();
    let steps = compose(&spec, &host).unwrap().steps();
    let about = |step: &&String| step.contains("cgroup");
    steps.iter().filter(about).cloned().collect()
}

#[test]
fn cgroups_are_mounted_as_the_host_has_them() {
    let unified = cgroup_mounts(&[""], &["nosuid", "ro"]);
    assert_eq!(unified.len(), 1);
    assert!(
        unified[0].starts_with("mount cgroup2 cgroup on /sys/fs/cgroup"),
        "{unified:?}"
    );
    assert!(unified[0].contains("ro,nosuid"), "{unified:?}");
    let hybrid = cgroup_mounts(&["cpu,cpuacct", "name=systemd", ""], &["ro"]);
    let starts = [
        "mount tmpfs on /sys/fs/cgroup",
        "mount cgroup on /sys/fs/cgroup/cpu,cpuacct",
        "link",
        "link",
        "mount cgroup on /sys/fs/cgroup/systemd",
        "change the mount on /sys/fs/cgroup",
    ];
    assert_eq!(hybrid.len(), starts.len(), "{hybrid:#?}");
    for (step, start) in hybrid.iter().zip(starts) {
        let same = step.starts_with(start) || start == "link" && step.contains("/cpu");
        assert!(same, "{step} instead of {start}");
    }
    assert!(hybrid[4].contains("none,name=systemd"), "{hybrid:#?}");
}

#[test]
fn the_host_cgroup_namespace_is_bound_in_a_foreign_user_namespace() {
    let options = ["rprivate", "nosuid", "noexec", "nodev", "relatime", "ro"];
    let mut spec = rootful();
    spec.mounts = vec![mount("cgroup", "/sys/fs/cgroup", &options)];
    spec.linux.namespaces.retain(|one| one.kind != "cgroup");
    let mut host = host(false);
    host.cgroup_trees = vec!["memory".to_owned(), String::new()].into();
    let about_cgroups = |spec: &Spec, host: &Host| -> Vec<String> {
        let steps = compose(spec, host).unwrap().steps();
        let about = |step: &&String| step.contains("cgroup");
        steps.iter().filter(about).cloned().collect()
    };
    let bound = about_cgroups(&spec, &host);
    assert_eq!(bound.len(), 1, "{bound:#?}");
    assert!(
        bound[0].starts_with("bind /sys/fs/cgroup on /sys/fs/cgroup"),
        "{bound:#?}"
    );
    host.privileged = true;
    let own = about_cgroups(&spec, &host);
    assert!(
        own.iter().any(|step| step.starts_with("mount cgroup")),
        "{own:#?}"
    );
}
