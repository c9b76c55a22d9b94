//! An attacker inside, as root, while process after process is executed beside it: what it reaches
//! of them, in figures.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and prints its figures"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::Leaks;
use support::bundle::Bundle;

/// Looks at every process but its own and the first, and counts what it gets of one that still is
/// crabcan's init when it has got it: a name is looked at afterwards.
const ATTACK: &str = r#"
import os, ctypes
libc = ctypes.CDLL(None, use_errno=True)
names = "looks executable memory traced descriptors written mapped outside stronger".split()
count = dict.fromkeys(names, 0)
own = os.getpid()
root = os.stat("/")
kept = []
report = os.open("/report", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)

def rights(pid):
    with open("/proc/%s/status" % pid) as file:
        return next(int(line.split()[1], 16) for line in file if line.startswith("CapPrm"))

most = rights("self")

def is_init(base):
    return open(base + "/comm").read() == "crabcan-init\n"

def attempt(name, base, get):
    try:
        gained = get(base)
        count[name] += bool(gained and is_init(base))
    except OSError:
        pass

def executable(base):
    file = os.open(base + "/exe", os.O_RDONLY)
    kept.append(file)
    return True

def descriptors(base):
    links = [os.readlink(base + "/fd/" + fd) for fd in os.listdir(base + "/fd") if int(fd) > 2]
    return any(not link.startswith(("socket:", "pipe:", "/memfd:")) for link in links)

def mapped(base):
    paths = [line.split()[-1] for line in open(base + "/maps") if "/" in line]
    return any(not path.startswith("/memfd:") and path != "(deleted)" for path in paths)

def outside(base):
    there = os.stat(base + "/root")
    return (there.st_dev, there.st_ino) != (root.st_dev, root.st_ino)

def traced(base):
    pid = int(base[6:])
    if libc.ptrace(0x4206, pid, 0, 0) != 0:
        return False
    gained = is_init(base)
    # Let go of it, or nobody else could ever reap it.
    libc.ptrace(0x4207, pid, 0, 0)
    try:
        os.waitpid(pid, 0x40000000)
    except OSError:
        pass
    libc.ptrace(17, pid, 0, 0)
    return gained

def write():
    while kept:
        file = kept.pop()
        try:
            again = os.open("/proc/self/fd/%d" % file, os.O_WRONLY)
            try:
                count["written"] += os.write(again, b"overwritten") > 0
            finally:
                os.close(again)
        except OSError:
            pass
        os.close(file)

while True:
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in (1, own):
            continue
        count["looks"] += 1
        base = "/proc/" + name
        attempt("executable", base, executable)
        attempt("memory", base, lambda base: open(base + "/mem", "rb").close() is None)
        attempt("descriptors", base, descriptors)
        attempt("mapped", base, mapped)
        attempt("outside", base, outside)
        attempt("stronger", base, lambda base: rights(base[6:]) & ~most)
        attempt("traced", base, traced)
    write()
    os.pwrite(report, (" ".join("%s=%d" % pair for pair in count.items()) + "\n").encode(), 0)
"#;

/// What is a property of the kernel's and gains nothing, where the attacker may trace everybody.
const INHERENT: [&str; 3] = ["executable", "memory", "traced"];
/// What nobody ever gets.
const NEVER: [&str; 5] = ["descriptors", "written", "mapped", "outside", "stronger"];

fn figures(report: &Path) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(report).unwrap_or_default();
    let words = text.split_whitespace();
    let pairs = words.filter_map(|word| word.split_once('='));
    pairs
        .filter_map(|(name, number)| Some((name.to_owned(), number.parse().ok()?)))
        .collect()
}

/// A container whose program is the attacker, with or without the right to trace everybody.
fn attacked(may_trace: bool, user_namespace: bool) -> Bundle {
    let mut bundle = Bundle::new("attacker", "exec python3 /attack.py");
    if user_namespace {
        bundle = bundle.rootless();
    }
    let all = [
        "CAP_SYS_PTRACE",
        "CAP_DAC_OVERRIDE",
        "CAP_KILL",
        "CAP_SETUID",
    ];
    let capabilities = if may_trace { &all[..] } else { &all[1..] };
    let mut sets = serde_json::Map::new();
    for set in ["bounding", "effective", "permitted"] {
        sets.insert(set.into(), json!(capabilities));
    }
    bundle.config["process"]["capabilities"] = Value::Object(sets);
    let attack = ATTACK.as_bytes();
    bundle.directory.file("rootfs/attack.py", attack, 0o644);
    bundle
}

/// CVE-2016-9962, CVE-2019-5736: root inside looks at every new process for something of the
/// host's: its executable, its memory, its descriptors.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn an_attacker_gains_nothing_from_two_hundred_processes() {
    let _leaks = Leaks::watch();
    if !Path::new("/usr/bin/python3").exists() {
        return support::lacks("python3");
    }
    const LIMIT: Duration = Duration::from_secs(10);
    let program = fs::read(support::program()).unwrap();
    for (may_trace, user_namespace) in [(false, false), (true, false), (false, true), (true, true)]
    {
        let bundle = attacked(may_trace, user_namespace);
        assert_eq!(bundle.leave("run -d one").code(), 0);
        let report = bundle.directory.path().join("rootfs/report");
        let begun = Instant::now();
        while figures(&report).is_empty() {
            assert!(begun.elapsed() < LIMIT, "it does not attack");
            std::thread::sleep(Duration::from_millis(2));
        }
        let mut command = bundle.command(["exec", "one", "/bin/true"]);
        command.stdin(Stdio::null());
        let start = Instant::now();
        let mut rounds = 0;
        // An emulated machine does not come to all of them in the time that a test program has.
        while rounds < 200 && (rounds < 20 || start.elapsed() < LIMIT) {
            assert!(command.status().unwrap().success(), "round {rounds}");
            rounds += 1;
        }
        let figures = figures(&report);
        eprintln!(
            "CAP_SYS_PTRACE {may_trace}, user namespace {user_namespace}, {rounds} executions: {figures:?}"
        );
        assert!(
            figures["looks"] > 0,
            "it has seen nothing: this proves nothing"
        );
        for name in NEVER {
            assert_eq!(figures[name], 0, "{name}: {figures:?}");
        }
        for name in INHERENT {
            let is_open = may_trace && !user_namespace;
            assert!(is_open || figures[name] == 0, "{name}: {figures:?}");
        }
        bundle.run("delete --force one").success();
    }
    assert!(
        fs::read(support::program()).unwrap() == program,
        "crabcan was overwritten"
    );
}
