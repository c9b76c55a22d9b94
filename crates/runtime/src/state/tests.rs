#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A state directory of a test's own.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("crabcan-state-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn root(&self) -> StateRoot {
        StateRoot::at(self.0.join("state"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn id(name: &str) -> Id {
    Id::new(name).unwrap()
}

fn record(name: &str) -> Record {
    Record {
        version: VERSION,
        id: name.into(),
        oci_version: "1.3.0".into(),
        bundle: "/b".into(),
        rootfs: "/b/rootfs".into(),
        annotations: BTreeMap::from([("a".into(), "ü\n".into())]),
        created: timestamp(std::time::SystemTime::now()),
        owner: 0,
        complete: false,
        init: None,
        cgroup: None,
        cgroup_made: false,
        device_program: None,
        scope: None,
        resctrl: Vec::new(),
        root_mount: None,
        manager: None,
        new_keyring: true,
        own_pid_namespace: true,
        poststart_hooks: false,
        poststop_hooks: false,
        late: crate::plan::LateSteps::default(),
    }
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let scratch = Scratch::new();
    let root = scratch.root();
    assert_eq!(root.ids().unwrap(), []);
    let (entry, lock) = root.reserve(&id("one")).unwrap();
    let written = record("one");
    entry.write(&written).unwrap();
    assert_eq!(root.find(&id("one")).unwrap().read().unwrap(), written);
    assert_eq!(root.ids().unwrap(), [id("one")]);
    let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
    assert_eq!(mode(root.path()), 0o700);
    assert_eq!(mode(entry.path()), 0o700);
    assert_eq!(mode(&entry.path().join("state.json")), 0o600);
    drop(lock);
    entry.remove().unwrap();
    assert_eq!(root.ids().unwrap(), []);
    let gone = entry.read_settled();
    assert!(matches!(gone, Err(Error::NotFound { .. })));
    entry.remove().unwrap();
}

#[test]
fn an_id_is_reserved_once() {
    let scratch = Scratch::new();
    let root = scratch.root();
    let _first = root.reserve(&id("one")).unwrap();
    let again = root.reserve(&id("one")).unwrap_err();
    assert!(matches!(again, Error::AlreadyExists { .. }), "{again:?}");
    let unknown = root.find(&id("two")).unwrap_err();
    assert!(matches!(unknown, Error::NotFound { .. }), "{unknown:?}");
}

#[test]
fn a_lock_has_one_holder_and_ends_with_the_container() {
    let scratch = Scratch::new();
    let root = scratch.root();
    let (entry, lock) = root.reserve(&id("one")).unwrap();
    let other = root.find(&id("one")).unwrap();
    assert!(other.try_lock().unwrap().is_none());
    drop(lock);
    let lock = other.try_lock().unwrap();
    assert!(lock.is_some());
    assert!(entry.try_lock().unwrap().is_none());
    other.remove().unwrap();
    drop(lock);
    let error = entry.try_lock().unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    // The same id again is another container, and the old entry's handle does not reach it.
    let _again = root.reserve(&id("one")).unwrap();
    let error = entry.lock().unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
}

#[test]
fn garbage_is_named_and_can_be_removed() {
    let scratch = Scratch::new();
    let root = scratch.root();
    for (name, contents) in [("cut", &b"{\"version\":1,\"id\""[..]), ("empty", b"")] {
        let (entry, _lock) = root.reserve(&id(name)).unwrap();
        fs::write(entry.path().join("state.json"), contents).unwrap();
        let error = entry.read().unwrap_err();
        assert!(matches!(error, Error::StateUnreadable { .. }), "{error:?}");
        entry.remove().unwrap();
    }
    let (entry, _lock) = root.reserve(&id("none")).unwrap();
    let error = entry.read().unwrap_err();
    assert!(matches!(error, Error::StateUnreadable { .. }), "{error:?}");
    entry.remove().unwrap();
    assert_eq!(root.ids().unwrap(), []);
}

#[test]
fn a_directory_that_others_may_change_is_refused() {
    let scratch = Scratch::new();
    let root = scratch.root();
    fs::create_dir(root.path()).unwrap();
    for (mode, good) in [(0o700, true), (0o755, true), (0o770, false), (0o707, false)] {
        fs::set_permissions(root.path(), fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(root.ids().is_ok(), good, "{mode:o}");
        assert_eq!(root.reserve(&id(&format!("m{mode}"))).is_ok(), good);
    }
}

#[test]
fn what_is_no_entry_is_not_listed_or_followed() {
    let scratch = Scratch::new();
    let root = scratch.root();
    let (entry, _lock) = root.reserve(&id("real")).unwrap();
    entry.write(&record("real")).unwrap();
    fs::write(root.path().join("file"), b"").unwrap();
    symlink("real", root.path().join("link")).unwrap();
    fs::create_dir(root.path().join(".hidden")).unwrap();
    assert_eq!(root.ids().unwrap(), [id("real")]);
    for name in ["file", "link"] {
        let error = root.find(&id(name)).unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{name}: {error:?}");
        let error = root.reserve(&id(name)).unwrap_err();
        assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    }
    // A record behind a link is nobody's record.
    let planted = scratch.0.join("planted");
    fs::rename(entry.path().join("state.json"), &planted).unwrap();
    symlink(&planted, entry.path().join("state.json")).unwrap();
    assert!(entry.read().is_err());
}

#[test]
fn a_failed_write_leaves_the_record_as_it_was() {
    let scratch = Scratch::new();
    let (entry, _lock) = scratch.root().reserve(&id("one")).unwrap();
    let before = record("one");
    entry.write(&before).unwrap();
    // In the way of the new file, as a full file system would be.
    fs::create_dir(entry.path().join(".state.json.new")).unwrap();
    let mut after = before.clone();
    after.complete = true;
    assert!(entry.write(&after).is_err());
    assert_eq!(entry.read().unwrap(), before);
}

#[test]
fn a_fifo_tells_whether_somebody_waits_in_it() {
    let scratch = Scratch::new();
    let (entry, _lock) = scratch.root().reserve(&id("one")).unwrap();
    assert_eq!(
        entry.open_fifo(OFlags::WRONLY).unwrap_err(),
        Errno::NOENT,
        "none is there"
    );
    let waiting = entry.make_fifo().unwrap();
    assert!(entry.open_fifo(OFlags::WRONLY).is_ok());
    drop(waiting);
    assert_eq!(entry.open_fifo(OFlags::WRONLY).unwrap_err(), Errno::NXIO);
    entry.remove_fifo().unwrap();
    entry.remove_fifo().unwrap();
}
