//! What a command in a sandbox sees of the host, and what it has: as little as is said here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use nix::unistd::{Uid, gethostname};
use support::roots::{BashRoot, libraries};
use support::{Leaks, TempDir, crabcan, program, run, shell};

/// Runs a line of shell in a sandbox of the host's root, from a directory that everybody sees.
#[track_caller]
fn output(options: &[&str], script: &str) -> String {
    run(shell(options, script).current_dir("/usr")).success()
}

/// The value of a line `Name:` of `/proc/self/status`.
fn status(text: &str, name: &str) -> String {
    let value = |line: &str| {
        Some(
            line.strip_prefix(name)?
                .strip_prefix(':')?
                .trim()
                .to_owned(),
        )
    };
    text.lines()
        .find_map(value)
        .unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[test]
fn only_the_containers_processes_are_there() {
    let _leaks = Leaks::watch();
    let script = "echo $$; cat /proc/1/comm; for p in /proc/[0-9]*; do echo ${p#/proc/}; done";
    let text = output(&[], script);
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        ["2", "crabcan-init", "1", "2"]
    );
    let text = output(&["--as-pid-1"], script);
    assert_eq!(text.lines().collect::<Vec<_>>(), ["1", "sh", "1"]);
}

#[test]
fn the_host_name_is_the_containers_own() {
    let _leaks = Leaks::watch();
    let host = gethostname().unwrap();
    let names: BTreeSet<String> = (0..3).map(|_| output(&[], "uname -n")).collect();
    assert!(names.len() > 1, "a name is generated for each: {names:?}");
    for name in names {
        let name = name.trim_end();
        assert_ne!(name, host.to_str().unwrap());
        let parts: Vec<&str> = name.split('-').collect();
        let [adjective, noun, number] = parts[..] else {
            panic!("{name}: not word-word-number")
        };
        for word in [adjective, noun] {
            let letters = word.chars().all(|letter| letter.is_ascii_lowercase());
            assert!(!word.is_empty() && letters, "{name}");
        }
        assert!(number.parse::<u32>().is_ok(), "{name}");
    }
    assert_eq!(
        output(&["--hostname", "my.own-name"], "uname -n"),
        "my.own-name\n"
    );
    assert_eq!(gethostname().unwrap(), host);
}

#[test]
fn the_network_is_a_loopback_that_is_up() {
    let _leaks = Leaks::watch();
    let text = output(&[], "cat /proc/net/dev");
    let names: Vec<&str> = text
        .lines()
        .skip(2)
        .filter_map(|line| line.split(':').next())
        .map(str::trim)
        .collect();
    assert_eq!(names, ["lo"], "{text}");
    // Nobody listens. Were the interface down, the network would be unreachable.
    let script = "LC_ALL=C exec 3<> /dev/tcp/127.0.0.1/9";
    let outcome = run(&mut crabcan(["--", "bash", "-c", script]));
    assert!(outcome.stderr.contains("Connection refused"), "{outcome:?}");
}

/// Defect 1 of the tutorial: the sets were changed in memory only, and never applied.
#[test]
fn the_capabilities_are_dropped() {
    let _leaks = Leaks::watch();
    // CHOWN, FOWNER, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, NET_RAW, SYS_CHROOT.
    let kept: u64 = [0, 3, 5, 6, 7, 8, 10, 13, 18]
        .iter()
        .map(|bit| 1u64 << bit)
        .sum();
    for form in [None, Some("--as-pid-1")] {
        for (uid, sets) in [("0", [kept, kept, kept, 0, 0]), ("1000", [0; 5])] {
            let options: Vec<&str> = ["--uid", uid].into_iter().chain(form).collect();
            let text = output(&options, "cat /proc/self/status");
            let names = ["CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb"];
            let found = names.map(|name| u64::from_str_radix(&status(&text, name), 16).unwrap());
            assert_eq!(found, sets, "{uid} {form:?}: {names:?}");
        }
    }
}

#[test]
fn the_ids_are_those_asked_for() {
    let _leaks = Leaks::watch();
    // Defect 14 of the tutorial: ids from 2000 on did not work.
    for uid in ["0", "1000", "5000", "100000", "4294967294"] {
        let text = output(&["--uid", uid], "cat /proc/self/status; id -u; id -g");
        let all = [uid; 4].join("\t");
        assert_eq!(status(&text, "Uid"), all);
        assert_eq!(status(&text, "Gid"), all);
        assert!(text.ends_with(&format!("\n{uid}\n{uid}\n")), "{text}");
    }
    let own = Uid::effective().to_string();
    assert_eq!(output(&[], "id -u").trim_end(), own);
}

#[test]
fn new_privileges_are_refused_and_signals_are_as_at_birth() {
    let _leaks = Leaks::watch();
    for form in [&[][..], &["--as-pid-1"]] {
        let text = output(form, "cat /proc/self/status");
        assert_eq!(status(&text, "NoNewPrivs"), "1");
        for set in ["SigBlk", "SigIgn"] {
            assert_eq!(status(&text, set), "0".repeat(16), "{set}");
        }
    }
}

#[test]
fn the_environment_is_a_short_list() {
    let _leaks = Leaks::watch();
    let home = TempDir::new("home");
    let kept = [
        ("PATH", "/usr/bin:/bin"),
        ("HOME", home.text()),
        ("TERM", "dumb"),
        ("LANG", "C"),
        ("LC_MESSAGES", "C"),
        ("USER", "somebody"),
    ];
    let secret = [
        ("AWS_SECRET_ACCESS_KEY", "hush"),
        ("SSH_AUTH_SOCK", "/run/agent"),
        ("LD_LIBRARY_PATH", "/nowhere"),
        ("XDG_RUNTIME_DIR", "/run/user/0"),
        ("RUST_LOG", "error"),
        ("PATHOLOGY", "x"),
    ];
    let mut command = crabcan(["--", "/usr/bin/env", "-0"]);
    command.env_clear().envs(kept).envs(secret);
    let said = run(&mut command).success();
    let mut found: Vec<&str> = said.split_terminator('\0').collect();
    found.sort_unstable();
    let mut wanted: Vec<String> = kept
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
}

/// Defect 15 of the tutorial: what the caller had open was open in the container.
#[test]
fn no_descriptor_of_the_callers_is_there() {
    let _leaks = Leaks::watch();
    let directory = TempDir::new("secret");
    let secret = directory.file("secret", b"hush\n", 0o600);
    let open = "for i in {3..99}; do eval \"exec $i< $0\"; done; exec \"$@\"";
    let look = "i=3; while [ $i -lt 200 ]; do [ -e /proc/$$/fd/$i ] && echo $i; i=$((i+1)); done; \
                cat <&9 2> /dev/null; echo end";
    for form in [None, Some("--as-pid-1")] {
        let mut command = Command::new("bash");
        command.args(["-c", open]).arg(&secret).arg(program());
        command.args(form).args(["--", "/bin/bash", "-c", look]);
        let outcome = run(&mut command);
        assert_eq!(outcome.stdout, "end\n", "{outcome:?}");
    }
    // The test itself can see them.
    let mut command = Command::new("bash");
    command
        .args(["-c", open])
        .arg(&secret)
        .args(["bash", "-c", look]);
    assert!(run(&mut command).stdout.starts_with("3\n4\n"));
}

#[test]
fn homes_and_temporary_directories_are_empty() {
    let _leaks = Leaks::watch();
    let places = [
        "/home", "/root", "/tmp", "/var/tmp", "/run", "/mnt", "/media", "/srv",
    ];
    for place in places {
        if fs::metadata(place).is_ok() {
            // A home that lies in one of these would be shown, as an empty directory.
            let mut command = shell(&["--uid", "0"], &format!("ls -A {place}"));
            let outcome = run(command.env("HOME", "/usr/share").current_dir("/usr"));
            assert_eq!(outcome.success(), "", "{place}");
        }
    }
    // By $HOME, wherever that is; and it can be written, though nothing of it stays.
    let look =
        "ls -A /usr/share; echo x > /usr/share/crabcan-was-here && cat /usr/share/crabcan-was-here";
    let mut command = shell(&[], look);
    let outcome = run(command.env("HOME", "/usr/share").current_dir("/usr"));
    assert_eq!(outcome.success(), "x\n");
    assert!(fs::metadata("/usr/share/crabcan-was-here").is_err());
    assert_ne!(output(&[], "ls -A /usr/share"), "");
}

#[test]
fn the_working_directory_is_shown_read_only() {
    let _leaks = Leaks::watch();
    let (project, other) = (TempDir::new("project"), TempDir::new("other"));
    project.file("source", b"text\n", 0o644);
    other.file("secret", b"hush\n", 0o644);
    let script = format!(
        "pwd; cat source; ls -A ..; (: > file) 2>&1; ls {} 2> /dev/null; [ . -ef {} ] && echo same",
        other.text(),
        project.text()
    );
    let text = run(shell(&[], &script)
        .current_dir(project.path())
        .env("LC_ALL", "C"))
    .stdout;
    let name = project.path().file_name().unwrap().to_str().unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..3], [project.text(), "text", name], "{text}");
    assert!(lines[3].contains("Read-only file system"), "{text}");
    assert_eq!(lines[4..], ["same"], "{text}");
    assert!(!project.path().join("file").exists());
}

#[test]
fn a_hidden_place_as_working_directory_stays_hidden() {
    let _leaks = Leaks::watch();
    let home = TempDir::new("home");
    home.file("secret", b"hush\n", 0o644);
    for place in ["/tmp", "/var/tmp", home.text()] {
        let mut command = shell(&["--debug"], "pwd; ls -A; : > file && echo writable");
        command.current_dir(place).env("HOME", home.path());
        let outcome = run(&mut command);
        let lines: Vec<&str> = outcome.stdout.lines().collect();
        assert_eq!(
            (lines[0], lines.last()),
            (place, Some(&"writable")),
            "{outcome:?}"
        );
        assert!(!outcome.stdout.contains("secret"), "{outcome:?}");
        assert!(outcome.stderr.contains("not shown"), "{outcome:?}");
    }
}

#[test]
fn the_hosts_root_can_not_be_written() {
    let _leaks = Leaks::watch();
    let places = [
        "/",
        "/usr",
        "/etc",
        "/var",
        "/sys",
        "/boot",
        "/opt",
        "/proc/sys",
    ];
    let places: Vec<&str> = places
        .into_iter()
        .filter(|it| fs::metadata(it).is_ok())
        .collect();
    let script = format!("for d in {}; do (: > $d/file) 2>&1; done", places.join(" "));
    for uid in ["0", "1000"] {
        let mut command = shell(&["--uid", uid], &script);
        let outcome = run(command.env("LC_ALL", "C").current_dir("/usr"));
        let lines: Vec<&str> = outcome.stdout.lines().collect();
        assert_eq!(lines.len(), places.len(), "{outcome:?}");
        for (place, line) in places.iter().zip(lines) {
            // The container's own /proc is no read-only mount, but its files are the host's root's.
            let refused = line.contains("Read-only file system") || place.starts_with("/proc");
            assert!(refused, "{line}");
        }
    }
}

/// One mount as `/proc/self/mountinfo` tells.
#[derive(Debug)]
struct Mount {
    place: String,
    options: Vec<String>,
    fstype: String,
}

impl Mount {
    fn has(&self, option: &str) -> bool {
        self.options.iter().any(|it| it == option)
    }
}

fn mounts(text: &str) -> Vec<Mount> {
    let parse = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let words: Vec<&str> = left.split(' ').collect();
        Some(Mount {
            place: (*words.get(4)?).to_owned(),
            options: words.get(5)?.split(',').map(str::to_owned).collect(),
            fstype: right.split(' ').next()?.to_owned(),
        })
    };
    text.lines().map(|line| parse(line).unwrap()).collect()
}

const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

#[test]
fn every_mount_of_the_hosts_is_read_only() {
    let _leaks = Leaks::watch();
    let text = output(&["--uid", "0"], "cat /proc/self/mountinfo");
    for mount in mounts(&text) {
        assert!(mount.has("nosuid"), "{mount:?}");
        let device = DEVICES
            .iter()
            .any(|name| mount.place == format!("/dev/{name}"));
        assert!(
            mount.has("nodev") || device || mount.fstype == "devpts",
            "{mount:?}"
        );
        let own = ["tmpfs", "devpts", "mqueue", "proc"].contains(&mount.fstype.as_str());
        assert!(mount.has("ro") || own, "{mount:?}");
    }
}

#[test]
fn with_a_root_of_its_own_no_mount_of_the_hosts_is_there() {
    let _leaks = Leaks::watch();
    for root in [BashRoot::new(), BashRoot::with_mount_points()] {
        let mut command = crabcan(&root.options);
        let script = "while read -r line; do echo \"$line\"; done < /proc/self/mountinfo";
        command.args(["--uid", "0", "--", "/bash", "-c", script]);
        let text = run(command.current_dir(root.above.path())).success();
        let mut wanted: BTreeSet<String> =
            ["/", "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"]
                .map(str::to_owned)
                .into();
        wanted.extend(DEVICES.map(|name| format!("/dev/{name}")));
        wanted.extend(libraries().into_iter().map(str::to_owned));
        let mounts = mounts(&text);
        let mut found = BTreeSet::new();
        for mount in &mounts {
            // What is mounted below a source comes with it.
            let below = |library: &&str| mount.place.starts_with(&format!("{library}/"));
            if !libraries().iter().any(below) {
                assert!(found.insert(mount.place.clone()), "twice: {text}");
            }
        }
        assert_eq!(found, wanted);
    }
}

#[test]
fn nothing_is_above_the_root() {
    let _leaks = Leaks::watch();
    let script = "cd -P /../../.. && pwd && [ . -ef / ] && [ /.. -ef / ] && echo same; \
                  [ /proc/self/root/.. -ef / ] && echo root";
    assert_eq!(output(&["--uid", "0"], script), "/\nsame\nroot\n");
    // A second mount on the same place could be uncovered again.
    let text = output(&[], "cat /proc/self/mountinfo");
    let roots = mounts(&text)
        .iter()
        .filter(|mount| mount.place == "/")
        .count();
    assert_eq!(roots, 1, "{text}");
}

#[test]
fn init_can_not_be_looked_into() {
    let _leaks = Leaks::watch();
    let before = fs::read(program()).unwrap();
    let script = "for f in mem environ auxv maps; do head -c 1 /proc/1/$f && echo $f; done; \
                  for d in map_files root/ cwd/; do ls /proc/1/$d && echo $d; done; \
                  readlink /proc/1/exe /proc/1/fd/*; readlink /proc/1/ns/mnt; \
                  (: > /proc/1/exe) && echo written; (: >> /proc/1/mem) && echo memory; \
                  kill -0 1; echo end";
    for uid in ["0", "1000"] {
        let outcome = run(shell(&["--uid", uid], script).current_dir("/usr"));
        assert_eq!(outcome.stdout, "end\n", "{outcome:?}");
    }
    assert!(fs::read(program()).unwrap() == before);
}

/// The way of CVE-2019-5736: the command is whatever executes it, which it then writes to.
#[test]
fn the_hosts_program_is_never_executed_inside() {
    let _leaks = Leaks::watch();
    let name = program();
    for form in [&[][..], &["--as-pid-1"]] {
        let mut command = crabcan(form);
        let outcome = run(command.args(["--", "/proc/self/exe"]));
        assert_ne!(outcome.code(), 0, "{outcome:?}");
        let text = output(
            form,
            "for p in /proc/[0-9]*; do readlink $p/exe; done; true",
        );
        assert!(!text.contains(name.to_str().unwrap()), "{text}");
    }
}

/// Defect 10 of the tutorial: the limit was set for the caller and not for the command.
#[test]
fn the_callers_resource_limits_stay_and_are_the_commands() {
    let _leaks = Leaks::watch();
    let script = "ulimit -n 777; cat /proc/self/limits; echo cut; \"$0\" -- cat /proc/self/limits; \
                  echo cut; cat /proc/self/limits";
    let mut command = Command::new("sh");
    let text = run(command.args(["-c", script]).arg(program())).success();
    let parts: Vec<&str> = text.split("cut\n").collect();
    assert_eq!(parts.len(), 3, "{text}");
    assert!(parts[0].contains("777"), "{text}");
    assert_eq!(parts[0], parts[1]);
    assert_eq!(parts[0], parts[2]);
}
