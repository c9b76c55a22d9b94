//! Profiles: options from a file, and what the shipped ones keep and let through.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use support::{Leaks, Outcome, TempDir, crabcan, run};

/// A script in a sandbox with a profile, in a directory.
fn with(profile: &str, more: &[&str], directory: &Path, script: &str) -> Outcome {
    let mut command = crabcan(["--profile", profile]);
    command.args(more).args(["--", "/bin/sh", "-c", script]);
    command.env("HOME", "/no/home").env("SECRET", "x");
    run(command.current_dir(directory))
}

#[test]
fn a_profile_is_flags_and_later_flags_win() {
    let _leaks = Leaks::watch();
    let temp = TempDir::new("profile");
    let text =
        "hostname = \"of-profile\"\nuid = 7\nkeep-env = true\nroot = [[\"dir\", \"/tmp/a\"]]\n";
    let file = temp.file("own.toml", text.as_bytes(), 0o644);
    let file = file.to_str().unwrap();
    let script = "uname -n; id -u; ls -d /tmp/a; echo $SECRET";
    let alone = with(file, &[], "/".as_ref(), script);
    assert_eq!(alone.success(), "of-profile\n7\n/tmp/a\nx\n");
    let more = ["--hostname", "of-flag", "--uid", "8", "--clearenv"];
    let later = with(file, &more, "/".as_ref(), script);
    assert_eq!(later.success(), "of-flag\n8\n/tmp/a\n\n");
    let mut earlier = crabcan(["--uid", "8", &format!("--profile={file}"), "--", "id", "-u"]);
    assert_eq!(run(&mut earlier).success(), "7\n");
}

#[test]
fn what_is_wrong_is_named_by_file_line_and_key() {
    let _leaks = Leaks::watch();
    let temp = TempDir::new("wrong");
    let file = temp.file("wrong.toml", b"uid = 1\n\nmemry = \"1G\"\n", 0o644);
    let outcome = with(file.to_str().unwrap(), &[], "/".as_ref(), "true");
    let expected = format!("{}:3: memry: no such option of a profile", file.display());
    assert_eq!(outcome.failure(125), expected);
    let missing = with("dve", &[], "/".as_ref(), "true");
    let message = missing.failure(125);
    assert!(
        message.starts_with("--profile dve: no file, and none of strict, dev, build, desktop"),
        "{message}"
    );
}

#[test]
fn dev_lets_a_project_be_written_and_keeps_its_git() {
    let _leaks = Leaks::watch();
    let temp = TempDir::new("dev");
    let git = temp.directory(".git");
    temp.directory(".git/hooks");
    fs::write(git.join("config"), "[core]\n").unwrap();
    fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let attacks = [
        "echo evil >.git/hooks/pre-commit",
        "echo evil >>.git/config",
        "rm -rf .git",
        "mv .git .git2",
        "mount -o remount,rw .git",
        "ln -s /tmp .git/commondir",
        "echo >/dev/tcp/127.0.0.1/1",
    ];
    for profile in ["dev", "build"] {
        let made = with(
            profile,
            &[],
            temp.path(),
            "echo made >file; pwd; ls /home; ip link 2>/dev/null | grep -c eth",
        );
        assert_eq!(made.stdout, format!("{}\n0\n", temp.text()), "{made:?}");
        assert_eq!(
            fs::read_to_string(temp.path().join("file")).unwrap(),
            "made\n"
        );
        for attack in attacks {
            let outcome = with(profile, &[], temp.path(), attack);
            assert_ne!(outcome.code(), 0, "{profile}: {attack}");
        }
        assert_eq!(fs::read_to_string(git.join("config")).unwrap(), "[core]\n");
        assert_eq!(fs::read_dir(git.join("hooks")).unwrap().count(), 0);
    }
    let root = with("dev", &[], "/".as_ref(), "true");
    assert!(
        root.failure(125).contains("no directory of a project"),
        "{root:?}"
    );
}

#[test]
fn strict_shows_programs_and_nothing_else() {
    let _leaks = Leaks::watch();
    let temp = TempDir::new("strict");
    temp.file("secret", b"x", 0o644);
    let script = "echo $HOME ${SECRET-unset}; pwd; ls /etc | grep -cv 'ld.so.cache\\|alternatives'; \
                  ls -d /home /root /var /sys 2>/dev/null; ulimit -c; touch /usr/x 2>/dev/null || echo kept";
    let outcome = with("strict", &[], temp.path(), script);
    assert_eq!(
        outcome.stdout, "/tmp unset\n/tmp\n0\n0\nkept\n",
        "{outcome:?}"
    );
}

#[test]
fn desktop_hands_on_what_there_is_of_one() {
    let _leaks = Leaks::watch();
    let temp = TempDir::new("desktop");
    let _wayland = std::os::unix::net::UnixListener::bind(temp.path().join("wayland-7")).unwrap();
    let script = "echo $WAYLAND_DISPLAY ${DISPLAY-none}; ls $XDG_RUNTIME_DIR";
    let mut command = crabcan(["--profile", "desktop", "--", "/bin/sh", "-c", script]);
    command
        .env_remove("DISPLAY")
        .env("WAYLAND_DISPLAY", "wayland-7");
    let outcome = run(command.env("XDG_RUNTIME_DIR", temp.path()));
    assert_eq!(outcome.success(), "wayland-7 none\nwayland-7\n");
    // Without a desktop it is a sandbox like any other.
    let mut bare = crabcan(["--profile", "desktop", "--", "true"]);
    bare.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    assert_eq!(run(bare.env_remove("XDG_RUNTIME_DIR")).success(), "");
}
