//! Namespaces that init joins or makes itself, and what is written in them by a procfs that
//! somebody has tampered with.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    unsafe_code,
    unreachable_pub,
    reason = "a test fails by panicking; namespaces are made between fork and exec"
)]

#[path = "program/launch.rs"]
mod launch;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use crabcan_init::Step;
use launch::{Init, exec, failed, plan, shell, strings};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

const TIME: u32 = libc::CLONE_NEWTIME as u32;

/// Init on these steps and then a script, in new namespaces in which `prepare` was called.
fn start(
    flags: CloneFlags,
    prepare: fn() -> nix::Result<()>,
    steps: &[Step<'_>],
    script: &str,
) -> Init {
    let args = shell(script);
    let steps = [steps, &[exec(b"/bin/sh\0", &args)]].concat();
    Init::start_with(&plan(&steps), |command| {
        let make = move || -> std::io::Result<()> {
            unshare(flags)?;
            if flags.contains(CloneFlags::CLONE_NEWNS) {
                let none = None::<&str>;
                mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none)?;
            }
            Ok(prepare()?)
        };
        // SAFETY: the closure makes system calls only.
        unsafe { command.pre_exec(make) };
    })
}

fn nothing() -> nix::Result<()> {
    Ok(())
}

const FORWARD: Step<'static> = Step::Sysctl {
    key: c"net/ipv4/ip_forward",
    value: c"1",
};

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn parameters_and_names_of_new_namespaces() {
    let flags = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS;
    let domain = Step::Domainname {
        name: c"example.org",
    };
    let steps = [Step::Procfs {}, FORWARD, domain];
    let script = "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/domainname";
    let mut init = start(flags, nothing, &steps, script);
    assert_eq!(init.message(), None);
    assert_eq!(init.output(), "1\nexample.org\n");
    // A value that the kernel refuses.
    let wrong = Step::Sysctl {
        key: c"net/ipv4/ip_forward",
        value: c"1+kernel.core_pattern=x",
    };
    let init = start(flags, nothing, &[Step::Procfs {}, wrong], "true");
    assert_eq!(init.message(), failed(1, Errno::EINVAL, 0));
}

fn bind(source: &str, target: &str) -> nix::Result<()> {
    let none = None::<&str>;
    mount(Some(source), target, none, MsFlags::MS_BIND, none)
}

/// CVE-2025-52881 and CVE-2019-16884: another file in the place of the one that is written to.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_procfs_that_is_covered_is_refused() {
    let flags = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET;
    let label = Step::ExecLabel {
        attribute: c"exec",
        label: c"x",
    };
    let adjust = Step::OomScoreAdj { score: 1 };
    let file = || {
        let other = "/proc/sys/net/ipv4/ip_default_ttl";
        bind(other, "/proc/sys/net/ipv4/ip_forward")?;
        bind(other, "/proc/self/oom_score_adj")?;
        bind(other, "/proc/self/attr/exec")
    };
    for step in [FORWARD, adjust, label] {
        let init = start(flags, file, &[Step::Procfs {}, step], "true");
        assert_eq!(init.message(), failed(1, Errno::EXDEV, 0), "{step:?}");
    }
    // A directory on the way, and one of another procfs.
    let directory = || bind("/proc/sys/net/ipv6", "/proc/sys/net/ipv4");
    let init = start(flags, directory, &[Step::Procfs {}, FORWARD], "true");
    assert_eq!(init.message(), failed(1, Errno::EXDEV, 0));
}

/// Where `/proc` is something else, init mounts a procfs that nobody else knows.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_false_procfs_is_not_taken() {
    let flags = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET;
    for source in ["/proc/sys", "/var"] {
        // Covered by init's own hook, since the program is executed by a path in /proc.
        let args = shell(&format!("mount --bind {source} /proc"));
        let cover = Step::Hook {
            path: c"/bin/sh",
            args: strings(&args),
            env: strings(b"PATH=/usr/bin:/bin\0"),
            timeout_ms: 0,
            state: c"{}",
        };
        let script = "mount -t proc proc /mnt 2>&1; cat /mnt/sys/net/ipv4/ip_forward 2>&1";
        let steps = [cover, Step::Procfs {}, FORWARD];
        let mut init = start(flags, nothing, &steps, script);
        assert_eq!(init.message(), None);
        assert_eq!(init.output(), "1\n");
    }
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn clocks_are_offset_at_once() {
    let steps = [
        Step::Procfs {},
        Step::Unshare { flags: TIME },
        Step::TimeOffsets {
            offsets: strings(b"monotonic 5000000 7\0boottime 90000000 0\0"),
        },
    ];
    let script = "cut -d. -f1 /proc/uptime; cat /proc/self/timens_offsets; \
                  test /proc/self/ns/time -ef /proc/self/ns/time_for_children && echo entered";
    let mut init = start(CloneFlags::empty(), nothing, &steps, script);
    assert_eq!(init.message(), None);
    let output = init.output();
    let words: Vec<_> = output.split_whitespace().collect();
    assert!(words[0].parse::<u64>().unwrap() >= 90_000_000, "{output}");
    let expected = [
        "monotonic",
        "5000000",
        "7",
        "boottime",
        "90000000",
        "0",
        "entered",
    ];
    assert_eq!(words[1..], expected);
    let wrong = [
        steps[0],
        steps[1],
        Step::TimeOffsets {
            offsets: strings(b"realtime 1 0\0"),
        },
    ];
    let init = start(CloneFlags::empty(), nothing, &wrong, "true");
    assert_eq!(init.message(), failed(2, Errno::EINVAL, 0));
}

/// A process in namespaces of its own, held until the test is done.
struct Holder(Child);

impl Holder {
    fn new(script: &str) -> Self {
        let mut child = Command::new("unshare")
            .args(["--uts", "--pid", "--fork", "sh", "-c"])
            .arg(format!("{script}; echo made; read _"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut [0; 5])
            .unwrap();
        Self(child)
    }

    fn namespace(&self, name: &str) -> OwnedFd {
        let path = format!("/proc/{}/ns/{name}", self.0.id());
        File::open(path).unwrap().into()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.stdin.take().unwrap().write_all(b"\n");
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn namespaces_are_joined_and_a_child_goes_on_in_them() {
    let holder = Holder::new("hostname joined");
    let uts = libc::CLONE_NEWUTS as u32;
    let pid = libc::CLONE_NEWPID as u32;
    let args = shell("hostname; readlink /proc/self/ns/pid; echo $$");
    let steps = [
        Step::Join { flags: uts },
        Step::Join { flags: pid },
        Step::Fork {},
        Step::Ready {},
        exec(b"/bin/sh\0", &args),
    ];
    let mut init = Init::start(&plan(&steps));
    init.send_descriptor(&holder.namespace("uts"));
    init.send_descriptor(&holder.namespace("pid_for_children"));
    let (pid, _pidfd) = init.forked();
    let theirs = fs::read_link(format!("/proc/{pid}/ns/pid")).unwrap();
    let theirs = theirs.into_os_string().into_string().unwrap();
    init.go_on();
    let output = init.output();
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(lines[..2], ["joined", theirs.as_str()]);
    assert_ne!(lines[2], pid.to_string(), "its own number");
    let pid = nix::unistd::Pid::from_raw(pid);
    nix::sys::wait::waitpid(pid, None).unwrap();
    // A namespace of another kind than the step's.
    let init = Init::start(&plan(&steps[..1]));
    init.send_descriptor(&holder.namespace("net"));
    assert_eq!(init.message(), failed(0, Errno::EINVAL, 0));
}

/// A cgroup of v1 that is made for the test, in the tree that stops processes.
struct Frozen(std::path::PathBuf);

impl Frozen {
    fn new() -> Option<Self> {
        let tree = std::path::Path::new("/sys/fs/cgroup/freezer");
        if !tree.join("cgroup.procs").exists() {
            return None;
        }
        let path = tree.join(format!("crabcan-test-init-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Some(Self(path))
    }

    fn tasks(&self) -> OwnedFd {
        let mut options = fs::OpenOptions::new();
        options
            .write(true)
            .open(self.0.join("tasks"))
            .unwrap()
            .into()
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // It is busy for a moment after the end of the process in it.
        for _ in 0..200 {
            if fs::remove_dir(&self.0).is_ok() || !self.0.exists() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("{} is left", self.0.display());
    }
}

/// The virtual machine has none on purpose; elsewhere that is a failure, where everything must be
/// there.
fn lacks_v1(what: &str) {
    let required = std::env::var_os("CRABCAN_TEST_REQUIRE").is_some_and(|value| value == "1");
    let on_purpose = std::path::Path::new("/run/crabcan-vm").exists();
    assert!(
        !required || on_purpose,
        "CRABCAN_TEST_REQUIRE is set, and there is no {what}"
    );
    println!("not tested: there is no {what}");
}

/// The kernel's own file: init and all that it starts are in the cgroup.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_cgroup_of_v1_is_entered() {
    let Some(cgroup) = Frozen::new() else {
        return lacks_v1("freezer of cgroup v1");
    };
    let args = shell("cat /proc/self/cgroup");
    let steps = [Step::JoinCgroup { count: 1 }, exec(b"/bin/sh\0", &args)];
    let mut init = Init::start(&plan(&steps));
    init.send_descriptor(&cgroup.tasks());
    let seen = init.output();
    let own = format!(":freezer:/crabcan-test-init-{}\n", std::process::id());
    assert!(seen.contains(&own), "{seen}");
    assert_eq!(init.code(), Some(0));
    // One that was removed meanwhile.
    let tasks = cgroup.tasks();
    while fs::remove_dir(&cgroup.0).is_err() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let init = Init::start(&plan(&steps));
    init.send_descriptor(&tasks);
    assert_eq!(init.message(), failed(0, Errno::ENODEV, 0));
}
