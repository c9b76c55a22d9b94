//! `process` of `config.json`, and what else says how the program runs, as the kernel tells it
//! inside of containers that root makes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::Leaks;
use support::bundle::{Bundle, seen};

/// What a script prints in a container whose process has these properties.
#[track_caller]
fn with_process(script: &str, properties: &Value) -> Vec<String> {
    seen("process", script, |bundle| {
        let process = bundle.config["process"].as_object_mut().unwrap();
        process.extend(properties.as_object().unwrap().clone());
    })
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn policies_priorities_and_deadlines_are_the_kernels() {
    let _leaks = Leaks::watch();
    let script = "chrt -p $$ | sed 's/.*: //'; cut -d' ' -f19 /proc/$$/stat";
    let reset = json!(["SCHED_FLAG_RESET_ON_FORK"]);
    let deadline = json!({"policy": "SCHED_DEADLINE", "runtime": 1_000_000,
        "deadline": 20_000_000, "period": 30_000_000, "flags": reset});
    for (wanted, policy, more) in [
        (
            json!({"policy": "SCHED_OTHER", "nice": -3}),
            "SCHED_OTHER",
            "-3",
        ),
        (
            json!({"policy": "SCHED_BATCH", "nice": 7, "flags": reset}),
            "SCHED_BATCH|SCHED_RESET_ON_FORK",
            "7",
        ),
        (json!({"policy": "SCHED_IDLE"}), "SCHED_IDLE", "0"),
        (
            json!({"policy": "SCHED_FIFO", "priority": 5}),
            "SCHED_FIFO",
            "5",
        ),
        (
            json!({"policy": "SCHED_RR", "priority": 9, "flags": reset}),
            "SCHED_RR|SCHED_RESET_ON_FORK",
            "9",
        ),
        (
            deadline,
            "SCHED_DEADLINE|SCHED_RESET_ON_FORK",
            "1000000/20000000/30000000",
        ),
    ] {
        let lines = seen("policy", script, |bundle| {
            bundle.config["process"]["scheduler"] = wanted.clone();
            // Without a share of it no process of a cgroup of v1 has real time.
            if Path::new("/sys/fs/cgroup/cpu/cpu.rt_runtime_us").exists() {
                let share =
                    json!({"cpu": {"realtimePeriod": 1_000_000, "realtimeRuntime": 10_000}});
                bundle.config["linux"]["resources"] = share;
            }
        });
        assert_eq!(lines[0], policy, "{wanted}");
        // The priority, the three times, or the nice value at last.
        assert!(lines.iter().any(|line| line == more), "{wanted}: {lines:?}");
    }
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn input_and_output_have_their_priority() {
    let _leaks = Leaks::watch();
    for (class, priority, expected) in [
        ("IOPRIO_CLASS_RT", 2, "realtime: prio 2"),
        ("IOPRIO_CLASS_BE", 6, "best-effort: prio 6"),
        ("IOPRIO_CLASS_IDLE", 0, "idle"),
    ] {
        let wanted = json!({"ioPriority": {"class": class, "priority": priority}});
        assert_eq!(with_process("ionice -p $$", &wanted), [expected]);
    }
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn memory_comes_from_the_nodes_that_are_named() {
    let _leaks = Leaks::watch();
    let script = "cut -d' ' -f2 /proc/self/numa_maps | sort -u";
    if !Path::new("/proc/self/numa_maps").exists() {
        return support::lacks("numa_maps in procfs");
    }
    for (mode, nodes, flags, expected) in [
        ("MPOL_DEFAULT", "", &[][..], "default"),
        ("MPOL_BIND", "0", &[], "bind:0"),
        ("MPOL_BIND", "0", &["MPOL_F_STATIC_NODES"], "bind=static:0"),
        (
            "MPOL_BIND",
            "0",
            &["MPOL_F_RELATIVE_NODES"],
            "bind=relative:0",
        ),
        ("MPOL_PREFERRED", "0", &[], "prefer:0"),
        ("MPOL_PREFERRED", "", &[], "local"),
        ("MPOL_LOCAL", "", &[], "local"),
        ("MPOL_INTERLEAVE", "0", &[], "interleave:0"),
        ("MPOL_PREFERRED_MANY", "0-0", &[], "prefer (many):0"),
    ] {
        let lines = seen("memory", script, |bundle| {
            bundle.config["linux"]["memoryPolicy"] =
                json!({"mode": mode, "nodes": nodes, "flags": flags});
        });
        // Cut at the first blank.
        let expected = expected.split(' ').next().unwrap();
        assert_eq!(lines, [expected], "{mode} {nodes} {flags:?}");
    }
}

/// Every kind of limit, with the name that the kernel has for it.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn every_resource_is_limited() {
    let _leaks = Leaks::watch();
    let kinds = [
        (
            "AS",
            "Max address space",
            8_000_000_000_u64,
            8_000_000_001_u64,
        ),
        ("CORE", "Max core file size", 1, 2),
        ("CPU", "Max cpu time", 101, 102),
        ("DATA", "Max data size", 7_000_000_000, 7_000_000_001),
        ("FSIZE", "Max file size", 5, 6),
        ("LOCKS", "Max file locks", 7, 8),
        ("MEMLOCK", "Max locked memory", 9, 10),
        ("MSGQUEUE", "Max msgqueue size", 11, 12),
        ("NICE", "Max nice priority", 0, 0),
        ("NOFILE", "Max open files", 60, 61),
        ("NPROC", "Max processes", 1001, 1002),
        ("RSS", "Max resident set", 13, 14),
        ("RTPRIO", "Max realtime priority", 0, 0),
        ("RTTIME", "Max realtime timeout", 15, 16),
        ("SIGPENDING", "Max pending signals", 17, 18),
        ("STACK", "Max stack size", 1_000_000, 1_000_001),
    ];
    let wanted: Vec<Value> = kinds
        .iter()
        .map(|(kind, _, soft, hard)| {
            json!({"type": format!("RLIMIT_{kind}"), "soft": soft, "hard": hard})
        })
        .collect();
    let lines = with_process("cat /proc/self/limits", &json!({"rlimits": wanted}));
    for (kind, name, soft, hard) in kinds {
        let line = lines.iter().find_map(|line| line.strip_prefix(name));
        let words: Vec<&str> = line.unwrap().split_whitespace().take(2).collect();
        assert_eq!(words, [soft.to_string(), hard.to_string()], "{kind}");
    }
    assert_eq!(lines.len(), kinds.len() + 1, "{lines:#?}");
}

/// The sets behind execve(2), in the kernel's order.
const SETS: &str = "grep -E 'Cap(Inh|Bnd|Amb|Prm|Eff)' /proc/self/status | cut -f2 | sed 's/^0*//'";

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn each_set_of_capabilities_is_its_own() {
    let _leaks = Leaks::watch();
    // Inheritable, permitted, effective, bounding, ambient: nothing that is not given.
    assert_eq!(with_process(SETS, &json!({})), [""; 5]);
    let kill = 1 << 5;
    let (chown, raw) = (1 << 0, 1 << 13);
    let wanted = json!({
        "bounding": ["CAP_KILL", "CAP_CHOWN", "CAP_NET_RAW"],
        "permitted": ["CAP_KILL", "CAP_CHOWN"],
        "inheritable": ["CAP_KILL", "CAP_CHOWN"],
        "effective": ["CAP_KILL"],
        "ambient": ["CAP_KILL"],
    });
    let hex = |set: u64| format!("{set:x}");
    // execve(2) makes everything effective for root, and for a user what is ambient.
    let lines = with_process(SETS, &json!({"capabilities": wanted}));
    let all = hex(kill | chown | raw);
    let both = hex(kill | chown);
    let few = hex(kill);
    assert_eq!(lines, [&*both, &both, &both, &all, &few]);
    let user = json!({"uid": 7, "gid": 8});
    let lines = with_process(SETS, &json!({"capabilities": wanted, "user": user}));
    assert_eq!(lines, [&*both, &few, &few, &all, &few]);
}

/// The specification wants a warning, and the container.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn capabilities_that_there_are_not_are_warned_of() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("unknown-cap", SETS);
    // Engines show all of standard error, and always ask for some that there are not.
    bundle.before.insert(0, "--debug".into());
    let names = json!(["CAP_KILL", "CAP_MOON"]);
    bundle.config["process"]["capabilities"] = json!({"bounding": names, "permitted": names,
        "effective": ["CAP_KILL", "CAP_CHOWN"]});
    let outcome = bundle.run("run --no-new-keyring c");
    assert_eq!(outcome.code(), 0, "{outcome:?}");
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines, ["", "20", "20", "20", ""], "{outcome:?}");
    for words in [
        "process.capabilities.bounding[1]: \"CAP_MOON\" is no capability",
        "process.capabilities.permitted[1]: \"CAP_MOON\" is no capability",
        "process.capabilities.effective[1]: \"CAP_CHOWN\" is not permitted",
    ] {
        assert!(outcome.stderr.contains(words), "{words}: {outcome:?}");
    }
}

/// Of a process that joins; of the first one it is not.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn who_joins_runs_on_the_processors_that_are_named() {
    let _leaks = Leaks::watch();
    let script = "grep Cpus_allowed_list /proc/self/status | cut -f2";
    let online = fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
    if online.trim() == "0" {
        return support::lacks("second processor");
    }
    let mut bundle = Bundle::new("affinity", "exec sleep 600");
    bundle.config["process"]["execCPUAffinity"] = json!({"initial": "0", "final": "1"});
    bundle.directory.file("script", script.as_bytes(), 0o755);
    bundle.mount(json!({"destination": "/script", "source": "script", "options": ["bind"]}));
    assert_eq!(bundle.leave("run -d one").code(), 0);
    let pid = bundle.state("one")["pid"].clone();
    let of_first = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(!of_first.contains("Cpus_allowed_list:\t1\n"), "{of_first}");
    assert_eq!(bundle.run("exec one sh /script").success(), "1\n");
    bundle.run("delete --force one").success();
    for (affinity, expected) in [
        (json!({"initial": "1"}), "1"),
        (json!({"final": "0-1"}), "0-1"),
        (json!({"initial": "0", "final": "0,1"}), "0-1"),
    ] {
        bundle.config["process"]["execCPUAffinity"] = affinity.clone();
        assert_eq!(bundle.leave("run -d one").code(), 0);
        let seen = bundle.run("exec one sh /script").success();
        assert_eq!(seen.trim(), expected, "{affinity}");
        bundle.run("delete --force one").success();
    }
}

/// Also what fork(2) would undo, by which a process enters the pid namespace.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn who_joins_is_scheduled_as_asked_for() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("joins", "exec sleep 600");
    bundle.leave("run -d one").success();
    let reset = json!(["SCHED_FLAG_RESET_ON_FORK"]);
    let deadline = json!({"policy": "SCHED_DEADLINE", "runtime": 1_000_000,
        "deadline": 20_000_000, "period": 30_000_000});
    let mut deadline_and_reset = deadline.clone();
    deadline_and_reset["flags"] = reset.clone();
    for (scheduler, expected) in [
        (json!({"policy": "SCHED_BATCH"}), "SCHED_BATCH"),
        (
            json!({"policy": "SCHED_BATCH", "nice": 3, "flags": reset}),
            "SCHED_BATCH|SCHED_RESET_ON_FORK",
        ),
        (deadline, "SCHED_DEADLINE"),
        (deadline_and_reset, "SCHED_DEADLINE|SCHED_RESET_ON_FORK"),
    ] {
        let args = ["/bin/sh", "-c", "exec chrt -p $$"];
        let process = json!({"args": args, "cwd": "/", "scheduler": scheduler});
        let text = process.to_string();
        bundle.directory.file("process", text.as_bytes(), 0o644);
        let told = bundle.run("exec --process process one").success();
        let policy = told.lines().next().and_then(|line| line.split(": ").nth(1));
        assert_eq!(policy, Some(expected), "{scheduler}: {told}");
    }
    // A period that is shorter than the deadline.
    let impossible = json!({"args": ["/bin/true"], "cwd": "/", "scheduler": {
        "policy": "SCHED_DEADLINE", "runtime": 1_000_000, "deadline": 2_000_000, "period": 1_500_000}});
    let text = impossible.to_string();
    bundle.directory.file("process", text.as_bytes(), 0o644);
    let refused = bundle.run("exec --process process one");
    assert_eq!(refused.code(), 255, "{refused:?}");
    let told = "process.scheduler: set the scheduling policy: Invalid argument";
    assert!(refused.stderr.contains(told), "{refused:?}");
    bundle.run("delete --force one").success();
}

/// What is not asked for is the caller's own.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn what_is_absent_is_untouched() {
    let _leaks = Leaks::watch();
    let script = "umask; cat /proc/self/oom_score_adj; ulimit -n; nice; chrt -p $$ | head -1 \
        | sed 's/.*: //'; grep NoNewPrivs /proc/self/status | cut -f2; id -G";
    let own = std::process::Command::new("/bin/sh")
        .args(["-c", script])
        .output()
        .unwrap();
    let own = String::from_utf8(own.stdout).unwrap();
    let mut own: Vec<&str> = own.lines().collect();
    // Groups are the container's: none.
    *own.last_mut().unwrap() = "0";
    let lines = with_process(script, &json!({"noNewPrivileges": false}));
    assert_eq!(lines, own);
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn the_label_of_a_security_module_is_set_or_refused() {
    let _leaks = Leaks::watch();
    let script = "cat /proc/self/attr/apparmor/current 2>/dev/null || echo none";
    let mut bundle = Bundle::new("label", script);
    let enabled = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    let has_apparmor = enabled.is_ok_and(|text| text.trim() == "Y");
    bundle.config["process"]["apparmorProfile"] = json!("unconfined");
    let outcome = bundle.run("run --no-new-keyring c");
    if has_apparmor {
        assert_eq!(outcome.success(), "unconfined\n");
        bundle.config["process"]["apparmorProfile"] = json!("there-is-none");
    }
    let outcome = bundle.run("run --no-new-keyring c");
    assert_eq!(outcome.code(), 1, "{outcome:?}");
    assert!(
        outcome.stderr.contains("process.apparmorProfile"),
        "{outcome:?}"
    );
    assert_eq!(bundle.entries(), [""; 0]);
    let process = bundle.config["process"].as_object_mut().unwrap();
    process.remove("apparmorProfile");
    process.insert("selinuxLabel".into(), json!("a:b:c:s0"));
    let outcome = bundle.run("run --no-new-keyring c");
    assert_eq!(outcome.code(), 1, "{outcome:?}");
    assert!(
        outcome.stderr.contains("process.selinuxLabel"),
        "{outcome:?}"
    );
    assert_eq!(bundle.entries(), [""; 0]);
}

/// As with crun: whoever may read something by a group of theirs may do so in the container.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn the_callers_groups_stay_if_an_annotation_says_so() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("groups", "id -G; exec sleep 600");
    bundle.config["process"]["user"]["additionalGids"] = json!([7]);
    let groups = |bundle: &Bundle| {
        let crabcan = bundle.command(["run", "--pid-file", "pid", "--detach", "one"]);
        let mut command = Command::new("setpriv");
        command
            .args(["--groups", "4321,4322"])
            .arg(crabcan.get_program())
            .args(crabcan.get_args())
            .current_dir(bundle.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        assert!(command.status().unwrap().success());
        let pid = fs::read_to_string(bundle.directory.path().join("pid")).unwrap();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        bundle.run("delete --force one").success();
        let line = status.lines().find_map(|line| line.strip_prefix("Groups:"));
        line.unwrap().trim().to_owned()
    };
    assert_eq!(groups(&bundle), "7");
    for (value, expected) in [("0", "7"), ("1", "4321 4322")] {
        bundle.config["annotations"]["run.oci.keep_original_groups"] = json!(value);
        assert_eq!(groups(&bundle), expected, "{value}");
    }
}

/// As runc has it: first by the rights of who makes the container, and where those do not suffice,
/// by the program's own.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn the_program_begins_where_it_may_not_go() {
    let _leaks = Leaks::watch();
    let closed = |bundle: &mut Bundle, owner: u32| {
        let path = bundle.directory.directory("rootfs/closed");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        chown(&path, Some(owner), Some(owner)).unwrap();
        bundle.config["process"]["cwd"] = json!("/closed");
    };
    let script = "readlink /proc/self/cwd; ls / >/dev/null && ls . 2>&1 | grep -o denied";
    let lines = seen("closed", script, |bundle| {
        closed(bundle, 0);
        bundle.config["process"]["user"]["uid"] = json!(1000);
    });
    assert_eq!(lines, ["/closed", "denied"]);
    // Root without CAP_DAC_OVERRIDE, by `run` and by `exec`.
    let mut bundle = Bundle::new("closed", "sleep 1000");
    closed(&mut bundle, 1000);
    bundle.leave("run --detach c").success();
    let told = bundle.run("exec c /bin/readlink /proc/self/cwd").success();
    assert_eq!(told, "/closed\n");
    // What is closed to root of the user namespace and open to the program.
    let lines = seen("theirs", "readlink /proc/self/cwd", |bundle| {
        closed(bundle, 101_000);
        bundle.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
        bundle.config["linux"]["uidMappings"] = json!([{"containerID": 1000, "hostID": 101_000, "size": 1},
            {"containerID": 0, "hostID": 100_000, "size": 1}]);
        bundle.config["linux"]["gidMappings"] = json!([
            {"containerID": 0, "hostID": 100_000, "size": 1},
            {"containerID": 1000, "hostID": 102_000, "size": 1}]);
        let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.push(json!({"type": "user"}));
    });
    assert_eq!(lines, ["/closed"]);
}
