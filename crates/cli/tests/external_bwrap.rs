//! The bubblewrap-compatible front beside bubblewrap itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use support::{Leaks, Outcome, TempDir, program, run};

/// bubblewrap, and crabcan in its place.
fn both() -> [Command; 2] {
    let mut ours = Command::new(program());
    ours.arg("bwrap");
    [Command::new("/usr/bin/bwrap"), ours]
}

/// What both make of the same words, from the same place with the same environment.
fn outcomes<S: AsRef<OsStr>>(words: &[S]) -> [Outcome; 2] {
    both().map(|mut command| {
        command.args(words).current_dir("/usr").env_clear();
        command.env("PATH", "/usr/bin:/bin").env("HOME", "/usr/lib");
        run(command.env("SECRET", "kept"))
    })
}

fn words<'a>(options: &'a str, script: &'a str) -> Vec<&'a str> {
    let options = options.split(' ').filter(|word| !word.is_empty());
    options.chain(["/bin/sh", "-c", script]).collect()
}

/// A root of the host's programs.
const SMALL: &str = "--ro-bind /usr /usr --ro-bind-try /lib64 /lib64 --ro-bind-try /lib /lib \
                     --ro-bind /bin /bin";

#[test]
#[ignore = "needs packages: bubblewrap"]
fn it_does_what_bubblewrap_does() {
    let _leaks = Leaks::watch();
    let everything = "--ro-bind / / --dev /dev --proc /proc --unshare-all";
    let own_user = "--unshare-user --uid 5 --gid 6 --ro-bind / /";
    let names = "readlink /proc/self/ns/net /proc/self/ns/ipc /proc/self/ns/pid";
    let capabilities = "grep -e ^Cap -e ^NoNew -e ^Seccomp: /proc/self/status";
    let pieces = format!(
        "{SMALL} --dir /a/b --perms 0700 --dir /c --symlink x /d --tmpfs /t --chmod 1777 /t"
    );
    let cases = [
        ("--dev-bind / /", names),
        ("--dev-bind / /", "id -u; id -g; pwd; env | sort; exit 9"),
        ("--dev-bind / /", "kill -9 $$"),
        ("--dev-bind / /", capabilities),
        (everything, "id -u; id -g; pwd; echo $$; kill -TERM $$"),
        (everything, capabilities),
        (
            everything,
            "ls /proc | grep '^[0-9]' | head -1; cat /proc/net/dev | wc -l",
        ),
        (own_user, "id -u; id -g; touch /x"),
        ("--unshare-uts --ro-bind / / --hostname other", "uname -n"),
        (
            &pieces,
            "cd /; echo *; stat -c '%a %F' a a/b c t; readlink d",
        ),
        (&pieces, "pwd; touch /new && ls /new; touch /usr/new"),
        ("--ro-bind / / --chdir /usr/lib", "pwd; echo $PWD"),
        ("--ro-bind / / --chdir /absent", "true"),
        (
            "--ro-bind / / --clearenv --setenv A b --setenv B c --unsetenv A",
            "env | sort",
        ),
        ("--ro-bind / / --tmpfs /usr/lib", "ls /usr/lib"),
        ("--ro-bind /usr /usr", "true"),
        ("--ro-bind /absent /x", "true"),
        ("--ro-bind-try /absent /x --ro-bind / /", "ls -d /x"),
        ("--ro-bind / / --remount-ro /", "true"),
        ("--bogus", "true"),
        ("--ro-bind /", ""),
        ("--ro-bind / / --hostname x", "true"),
        ("--ro-bind / / --as-pid-1", "true"),
        (
            "--ro-bind / / --unshare-pid --as-pid-1 --proc /proc",
            "echo $$",
        ),
        ("--ro-bind / / --perms 700", "true"),
        ("--ro-bind / / --perms 700 --proc /proc", "true"),
        ("--ro-bind / / --share-net", "true"),
        ("--ro-bind / / --seccomp 77", "true"),
        ("--ro-bind / / --add-seccomp-fd 77", "true"),
        (
            "--unshare-user-try --unshare-cgroup-try --dev-bind / / --dev-bind-try /absent /x",
            "id -u; ls -d /x; echo x >/dev/null",
        ),
        ("--ro-bind / / --userns-block-fd 0 --info-fd 1", "true"),
        ("--ro-bind / / --unshare-user --userns-block-fd 0", "true"),
        (
            "--ro-bind / / --unshare-user --disable-userns",
            "unshare -U true 2>/dev/null",
        ),
    ];
    for (options, script) in cases {
        let [theirs, ours] = outcomes(&words(options, script));
        let same = (ours.code(), &ours.stdout) == (theirs.code(), &theirs.stdout);
        assert!(same, "{options}: {script}: {ours:#?}, not {theirs:#?}");
        let says = |outcome: &Outcome| outcome.stderr.starts_with("bwrap: ");
        assert_eq!(
            says(&ours),
            says(&theirs),
            "{options}: {ours:#?}, not {theirs:#?}"
        );
        // Of options that need others, word for word.
        if theirs.stderr.contains(" requires --") {
            let first = |outcome: &Outcome| outcome.stderr.lines().next().map(str::to_owned);
            assert_eq!(first(&ours), first(&theirs), "{options}");
        }
        let silent = |outcome: &Outcome| outcome.stderr.is_empty();
        assert_eq!(silent(&ours), silent(&theirs), "{options}: {ours:#?}");
    }
}

#[test]
#[ignore = "needs packages: bubblewrap"]
fn its_callers_are_told_the_same() {
    let _leaks = Leaks::watch();
    let temp = TempDir::new("bwrap-status");
    let script = r#"dir=$1; shift
        "$@" --ro-bind / / --dev /dev --unshare-pid --unshare-net --info-fd 5 --json-status-fd 6 \
        --file 7 /dev/written --ro-bind-data 8 /dev/bound --args 9 cat /dev/written /dev/bound \
        5>"$dir/info" 6>"$dir/status" 7</etc/passwd 8</etc/group 9<"$dir/args"; echo $?"#;
    fs::write(temp.path().join("args"), "--dir\0/dev/x\0--chdir\0/dev/x\0").unwrap();
    let said = both().map(|command| {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", script, "sh", temp.text()]);
        shell.arg(command.get_program()).args(command.get_args());
        let stdout = run(&mut shell).success();
        let documents = ["info", "status"].map(|name| {
            let text = fs::read_to_string(temp.path().join(name)).unwrap();
            let values = serde_json::Deserializer::from_str(&text).into_iter();
            let keys = values.map(|value: Result<serde_json::Value, _>| {
                let value = value.unwrap();
                let mut keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
                keys.sort();
                keys
            });
            keys.collect::<Vec<_>>()
        });
        (stdout, documents)
    });
    let [theirs, ours] = said;
    assert!(ours.0.ends_with("0\n"), "{ours:?}");
    assert_eq!(ours, theirs);
}

/// What both say when a script of the shell's runs them as `"$@"`.
fn by_script(script: &str) -> [String; 2] {
    both().map(|command| {
        let place = TempDir::new("bwrap-script");
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", script, "sh"]).arg(command.get_program());
        shell.args(command.get_args()).current_dir(place.path());
        run(&mut shell).success()
    })
}

/// Somebody else maps the ids, told by `--info-fd` of which process; until then it waits.
#[test]
#[ignore = "needs packages: bubblewrap"]
fn ids_are_mapped_by_the_caller() {
    let _leaks = Leaks::watch();
    let said = by_script(
        r#"mkfifo block
        "$@" --ro-bind / / --unshare-user --uid 0 --gid 0 --info-fd 5 --json-status-fd 7 \
            --userns-block-fd 6 \
            sh -c 'cat /proc/self/uid_map /proc/self/gid_map; id -u' 5>info 6<>block 7>status &
        until grep -q '}' info 2>/dev/null; do sleep 0.05; done; pid=$(grep -o '[0-9]*' info | head -n 1)
        sleep 0.2; cat /proc/$pid/uid_map | wc -l
        [ "$(id -u)" = 0 ] || echo deny >/proc/$pid/setgroups
        echo "0 $(id -u) 1" >/proc/$pid/uid_map; echo "0 $(id -g) 1" >/proc/$pid/gid_map
        echo go >block; wait $!; echo "ended $?"; grep -c child-pid status; grep -c exit-code status"#,
    );
    let [theirs, ours] = said;
    assert!(
        ours.starts_with("0\n") && ours.ends_with("0\nended 0\n1\n1\n"),
        "{ours}"
    );
    assert_eq!(ours, theirs);
}

/// The command's user namespace is one below that of its mounts.
#[test]
#[ignore = "needs packages: bubblewrap"]
fn a_second_user_namespace_is_entered_at_last() {
    let _leaks = Leaks::watch();
    let said = by_script(
        r#"map() {
            [ "$(id -u)" = 0 ] || echo deny >/proc/$1/setgroups
            echo "$2 $2 1" >/proc/$1/uid_map; echo "$3 $3 1" >/proc/$1/gid_map
        }
        uid=$(id -u); gid=$(id -g)
        unshare -U sh -c 'echo $$ >first; exec sleep 60' & until [ -s first ]; do sleep 0.05; done
        first=$(cat first); map $first $uid $gid
        inside="nsenter -U -t $first --preserve-credentials"
        $inside unshare -U sh -c 'echo $$ >second; exec sleep 60' &
        until [ -s second ]; do sleep 0.05; done
        second=$(cat second)
        [ $uid = 0 ] || $inside sh -c "echo deny >/proc/$second/setgroups"
        $inside sh -c "echo $uid $uid 1 >/proc/$second/uid_map; echo $gid $gid 1 >/proc/$second/gid_map"
        "$@" --ro-bind / / --userns 7 --userns2 8 \
            sh -c 'test "$(readlink /proc/self/ns/user)" = "$0" && echo "in it: $(id -u) $(id -g)"
                touch /x 2>&1 | grep -o Read-only' \
            "$(readlink /proc/$second/ns/user)" 7</proc/$first/ns/user 8</proc/$second/ns/user
        echo "ended $?"; kill $first $second"#,
    );
    let [theirs, ours] = said;
    assert!(
        ours.starts_with("in it: ") && ours.contains("\nRead-only\n"),
        "{ours}"
    );
    assert_eq!(ours, theirs);
}

/// What the caller has open is handed on by bubblewrap, and not by crabcan.
#[test]
#[ignore = "needs packages: bubblewrap"]
fn descriptors_of_the_caller_stay_outside() {
    let _leaks = Leaks::watch();
    let [theirs, ours] = by_script(
        r#""$@" --ro-bind / / --dev /dev --proc /proc sh -c 'test -e /proc/self/fd/7 && head -n 1 /proc/self/fd/7; ls /proc/self/fd | wc -l' 7</etc/passwd"#,
    );
    assert!(theirs.contains("root:"), "{theirs}");
    // The directory that is listed is the fourth.
    assert_eq!(ours, "4\n");
}

#[test]
#[ignore = "needs packages: bubblewrap"]
fn its_name_is_enough() {
    let _leaks = Leaks::watch();
    let temp = TempDir::new("bwrap-name");
    let link = temp.path().join("bwrap");
    symlink(program(), &link).unwrap();
    let mut command = Command::new(&link);
    command.args(words("--ro-bind / /", "echo inside"));
    assert_eq!(run(&mut command).success(), "inside\n");
    let version = run(Command::new(&link).arg("--version")).success();
    assert!(version.starts_with("bubblewrap 0."), "{version}");
}

/// How many system calls a sandbox with so many binds takes, in all of its processes.
fn system_calls(binds: usize, directory: &TempDir) -> usize {
    let log = directory.path().join("strace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(&log).arg(program());
    command.args(["bwrap", "--ro-bind", "/", "/", "--tmpfs", "/tmp"]);
    for index in 0..binds {
        command.args(["--ro-bind", "/usr/bin", &format!("/tmp/{index}")]);
    }
    run(command.args(["--", "/bin/true"])).success();
    let text = fs::read_to_string(&log).unwrap();
    fs::remove_file(&log).unwrap();
    text.lines().count()
}

#[test]
#[ignore = "needs packages: strace"]
fn the_system_calls_of_binds_are_linear_in_their_number() {
    let _leaks = Leaks::watch();
    let temp = TempDir::new("strace");
    let [few, more, many] = [100, 200, 400].map(|binds| system_calls(binds, &temp));
    let (first, second) = (more - few, many - more);
    // The packets of the parent and reads of the plan come in whole pieces.
    let twice = 2 * first;
    assert!(second.abs_diff(twice) * 20 < twice, "{few}, {more}, {many}");
    let each = second / 200;
    assert!(each <= 12, "{each} system calls for each bind");
}

/// Without SELinux a label can't be had, and nothing is executed without it.
#[test]
#[ignore = "needs packages: cargo xtask ci --all"]
fn a_label_is_had_or_nothing_runs() {
    let _leaks = Leaks::watch();
    let label = "system_u:object_r:none:s0";
    for option in ["--exec-label", "--file-label"] {
        let words = ["--ro-bind", "/", "/", option, label, "/bin/echo", "ran"];
        for outcome in outcomes(&words) {
            let said = (outcome.code(), outcome.stdout.as_str());
            assert_eq!(said, (1, ""), "{outcome:?}");
        }
    }
}
