//! Roots and additions that try to lead out of the root: nothing of the host's is changed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use support::roots::{BashRoot, listing};
use support::{Leaks, Outcome, TempDir, crabcan, run, shell};

/// Both kinds of root: one that is written through, and one below an overlay.
fn roots() -> [BashRoot; 2] {
    [BashRoot::with_mount_points(), BashRoot::new()]
}

/// A directory of the host's that nobody may change.
fn host_directory() -> TempDir {
    let host = TempDir::new("host");
    host.file("file", b"the host's\n", 0o666);
    host
}

fn bash(root: &BashRoot, options: &[&str], script: &str) -> Outcome {
    let mut command: Command = crabcan(&root.options);
    command.args(["--uid", "0"]).args(options);
    command.args(["--", "/bash", "-c", script]);
    run(command.current_dir(root.above.path()))
}

/// Defect 16 of the tutorial: a link of the root's was followed on the host.
#[test]
fn a_destination_behind_a_link_is_in_the_root() {
    let _leaks = Leaks::watch();
    let (host, source) = (host_directory(), host_directory());
    let add = format!("{}:/evil/pwn", source.text());
    let climbing = format!(
        "{}{}",
        "../".repeat(20),
        host.text().trim_start_matches('/')
    );
    for root in roots() {
        for text in [host.text(), &climbing, "/proc/self/root", "/proc/1/cwd"] {
            let link = root.directory().join("evil");
            symlink(text, &link).unwrap();
            let before = (listing(host.path()), listing(&root.directory()));
            let outcome = bash(&root, &["-a", &add], "echo started");
            let message = outcome.failure(125);
            assert!(message.contains("/evil/pwn"), "{message}");
            assert_eq!(
                (listing(host.path()), listing(&root.directory())),
                before,
                "{text}"
            );
            fs::remove_file(link).unwrap();
        }
    }
}

/// The host's directory has the mount point, the root has not: it must not be seen, nor mounted on.
#[test]
fn a_mount_point_on_the_host_is_none_in_the_root() {
    let _leaks = Leaks::watch();
    let (host, source) = (host_directory(), host_directory());
    host.directory("pwn");
    let add = format!("{}:/evil/pwn", source.text());
    for root in roots() {
        symlink(host.path(), root.directory().join("evil")).unwrap();
        let before = (listing(host.path()), listing(&root.directory()));
        let message = bash(&root, &["-a", &add], "echo started");
        let message = message.failure(125);
        assert!(message.contains("/evil/pwn"), "{message}");
        assert_eq!((listing(host.path()), listing(&root.directory())), before);
    }
}

#[test]
fn links_lead_to_places_in_the_root() {
    let _leaks = Leaks::watch();
    let source = host_directory();
    for root in roots() {
        let inside = root.directory().join("inside/place");
        fs::create_dir_all(&inside).unwrap();
        symlink("/inside", root.directory().join("absolute")).unwrap();
        symlink("../../../inside", root.directory().join("climbing")).unwrap();
        for link in ["/absolute/place", "/climbing/place"] {
            let add = format!("{}:{link}", source.text());
            let script = "read -r line < /inside/place/file; echo \"$line\"";
            let outcome = bash(&root, &["-a", &add], script);
            assert_eq!(outcome.success(), "the host's\n");
        }
        assert_eq!(fs::read_dir(&inside).unwrap().count(), 0);
    }
}

#[test]
fn the_systems_mount_points_are_no_links() {
    let _leaks = Leaks::watch();
    let host = host_directory();
    for name in ["proc", "dev"] {
        for text in [host.text(), "/", "elsewhere", "/elsewhere"] {
            for root in roots() {
                root.above.directory("mountdir/elsewhere");
                let link = root.directory().join(name);
                let _ = fs::remove_dir(&link);
                symlink(text, &link).unwrap();
                let before = (listing(host.path()), listing(&root.directory()));
                let outcome = bash(&root, &[], "echo started");
                let message = outcome.failure(125);
                assert!(message.contains("(ELOOP)"), "{name} to {text}: {message}");
                assert_eq!((listing(host.path()), listing(&root.directory())), before);
            }
        }
    }
}

#[test]
fn the_systems_mount_points_are_no_files() {
    let _leaks = Leaks::watch();
    for name in ["proc", "dev"] {
        for root in roots() {
            let place = root.directory().join(name);
            let _ = fs::remove_dir(&place);
            fs::write(&place, "a file\n").unwrap();
            let message = bash(&root, &[], "echo started").failure(125).to_owned();
            assert!(message.contains(&format!(" on /{name} (")), "{message}");
            assert_eq!(fs::read_to_string(&place).unwrap(), "a file\n");
        }
    }
}

/// A mount point below another addition would have to be made in its source.
#[test]
fn nothing_is_made_in_the_source_of_another_addition() {
    let _leaks = Leaks::watch();
    let (host, other) = (host_directory(), host_directory());
    let first = format!("{}:/tmp/data", host.text());
    let before = listing(host.path());
    for (source, destination) in [
        ("", "/tmp/data/new"),
        ("/file", "/tmp/data/new"),
        ("", "/tmp/data/./x/y"),
    ] {
        let second = format!("{}{source}:{destination}", other.text());
        let outcome = run(&mut shell(&["-a", &first, "-a", &second], "echo started"));
        let message = outcome.failure(125);
        assert!(message.contains("(ENOENT)"), "{message}");
        assert_eq!(listing(host.path()), before, "{second}");
    }
    let first_in_root = format!("{}:/data", host.text());
    let second_at = |place: &str| format!("{}:{place}", other.text());
    for root in roots() {
        let options = ["-a", &first_in_root, "-a", &second_at("/data/new")];
        let outcome = bash(&root, &options, "echo started");
        assert!(outcome.failure(125).contains("(ENOENT)"), "{outcome:?}");
        assert_eq!(listing(host.path()), before);
    }
    // Nor by a detour: the link leads to the first destination once that is there.
    let [_, root] = &roots();
    symlink("data", root.directory().join("link")).unwrap();
    let options = ["-a", &first_in_root, "-a", &second_at("/link/new")];
    bash(root, &options, "echo started").failure(125);
    assert_eq!(listing(host.path()), before);
    // Where it is there already, it is mounted on and not changed.
    host.directory("new");
    let before = listing(host.path());
    let options = ["-a", &first, "-a", &second_at("/tmp/data/new")];
    let outcome = run(&mut shell(&options, "cat /tmp/data/new/file"));
    assert_eq!(outcome.success(), "the host's\n");
    assert_eq!(listing(host.path()), before);
}

/// The order on the command line does not matter for what the caller meant to be writable.
#[test]
fn what_is_added_can_be_written_and_nothing_else() {
    let _leaks = Leaks::watch();
    let (out, secret) = (TempDir::new("out"), host_directory());
    let add = format!("{}:/tmp/out", out.text());
    let script = format!(
        "echo kept > /tmp/out/new && echo lost > /tmp/new && ls {}",
        secret.text()
    );
    let outcome = run(shell(&["-a", &add], &script).current_dir("/usr"));
    assert_eq!(outcome.stdout, "", "{outcome:?}");
    assert_eq!(
        fs::read_to_string(out.path().join("new")).unwrap(),
        "kept\n"
    );
    assert!(!Path::new("/tmp/new").exists());
    // A file is added as a file.
    let file = out.file("one", b"before\n", 0o666);
    let add = format!("{}:/tmp/deep/below/one", file.display());
    let outcome = run(&mut shell(
        &["-a", &add],
        "echo after > /tmp/deep/below/one",
    ));
    assert_eq!(outcome.success(), "");
    assert_eq!(fs::read_to_string(&file).unwrap(), "after\n");
}
