//! What only root can do. Nothing is left behind: the one cgroup that is made is removed.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says when it cannot run"
)]

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crabcan_ns::{
    Child, CloneOptions, ExitStatus, IdMap, IdMapWriter, IdRange, Namespace, NamespaceFd,
    Namespaces, Program, Setgroups, clone_program, write_id_maps,
};

fn shell(
    script: &str,
    descriptors: &[BorrowedFd<'_>],
    options: &CloneOptions<'_>,
) -> Result<Child, crabcan_ns::Error> {
    let executable = File::open("/bin/sh").unwrap();
    let script = CString::new(script).unwrap();
    let program = Program {
        executable: executable.as_fd(),
        args: &[c"sh", c"-c", &script],
        env: &[c"PATH=/usr/bin:/bin"],
        descriptors,
    };
    clone_program(&program, options)
}

fn output_of(script: &str, options: &CloneOptions<'_>) -> String {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut child = shell(script, &[writer.as_fd()], options).unwrap();
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap(), ExitStatus::Exited(0), "{text}");
    text
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn namespaces_without_a_user_namespace() {
    let namespaces = [
        Namespace::Mount,
        Namespace::Cgroup,
        Namespace::Uts,
        Namespace::Ipc,
        Namespace::Pid,
        Namespace::Network,
    ]
    .into_iter()
    .fold(Namespaces::new(), Namespaces::make);
    // The host name is changed in the new namespace only, or this would be seen.
    let before = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let script = "echo $$ >&3; echo crabcan-test > /proc/sys/kernel/hostname; \
                  cat /proc/sys/kernel/hostname >&3; id -u >&3";
    let text = output_of(script, &CloneOptions::new(&namespaces));
    assert_eq!(text, "1\ncrabcan-test\n0\n");
    assert_eq!(
        fs::read_to_string("/proc/sys/kernel/hostname").unwrap(),
        before
    );
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn killing_the_first_process_ends_its_pid_namespace() {
    let namespaces = Namespaces::new().make(Namespace::Pid);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let options = CloneOptions::new(&namespaces);
    let child = shell(
        "sleep 1000 & sleep 1000 & echo >&3; wait",
        &[writer.as_fd()],
        &options,
    );
    drop(writer);
    reader.read_exact(&mut [0]).unwrap();
    drop(child.unwrap());
    // The sleeping processes held the pipe: its end shows that they are gone.
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn root_writes_many_ranges() {
    let ranges = |first: u32| {
        (0..170).map(move |index| IdRange {
            inside: index * 10,
            outside: first + index * 20,
            count: 10,
        })
    };
    let uids = IdMap::new(ranges(200_000)).unwrap();
    let gids = IdMap::new(ranges(300_000)).unwrap();
    let namespaces = Namespaces::new().make(Namespace::User);
    let (mut answer, answer_writer) = std::io::pipe().unwrap();
    let (wait, mut go_on) = std::io::pipe().unwrap();
    let script = "read x <&3; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups >&4";
    let descriptors = [wait.as_fd(), answer_writer.as_fd()];
    let mut child = shell(script, &descriptors, &CloneOptions::new(&namespaces)).unwrap();
    drop(answer_writer);
    let setgroups = write_id_maps(child.pid(), &uids, &gids, IdMapWriter::Direct).unwrap();
    assert_eq!(setgroups, Setgroups::Allowed);
    go_on.write_all(b"\n").unwrap();
    let mut text = String::new();
    answer.read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap(), ExitStatus::Exited(0));
    let words: Vec<_> = text.split_whitespace().collect();
    let expected = format!("{uids}{gids}allow");
    assert_eq!(words, expected.split_whitespace().collect::<Vec<_>>());
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_thread_joins_namespaces_by_path_and_by_pidfd() {
    let namespaces = Namespaces::new()
        .make(Namespace::Uts)
        .make(Namespace::Network);
    let child = shell("read x < /dev/zero", &[], &CloneOptions::new(&namespaces)).unwrap();
    let link = |of: &str, kind: Namespace| fs::read_link(format!("/proc/{of}/ns/{kind}")).unwrap();
    let pid = child.pid().to_string();
    let path = format!("/proc/{pid}/ns/net");
    let network = NamespaceFd::open_path(path, Namespace::Network).unwrap();
    let pidfd = child.pidfd().try_clone_to_owned().unwrap();
    let both = NamespaceFd::from_pidfd(pidfd, &[Namespace::Uts, Namespace::Network]);
    for (target, kinds) in [
        (&network, &[Namespace::Network][..]),
        (&both, &[Namespace::Uts, Namespace::Network]),
    ] {
        // A thread of its own, which takes the namespace with it when it ends.
        std::thread::scope(|scope| {
            let joined = scope.spawn(|| {
                target.join().unwrap();
                kinds
                    .iter()
                    .all(|kind| link("thread-self", *kind) == link(&pid, *kind))
            });
            assert!(joined.join().unwrap());
        });
    }
    assert_ne!(
        link("thread-self", Namespace::Network),
        link(&pid, Namespace::Network)
    );
}

/// The one cgroup of this process, below the place where the machine has its unified hierarchy.
struct TestCgroup {
    path: PathBuf,
    _one_at_a_time: MutexGuard<'static, ()>,
}

impl TestCgroup {
    /// Says so when there is none, and fails where everything is required to run.
    fn new() -> Option<Self> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let root = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
            .into_iter()
            .map(Path::new)
            .find(|path| path.join("cgroup.procs").exists());
        let path = root.map(|root| root.join(format!("crabcan-test-{}", std::process::id())));
        if let Some(path) = path.filter(|path| fs::create_dir(path).is_ok()) {
            return Some(Self {
                path,
                _one_at_a_time: guard,
            });
        }
        let required = std::env::var_os("CRABCAN_TEST_REQUIRE").is_some();
        assert!(!required, "no writable unified cgroup hierarchy here");
        eprintln!("skipped: no writable unified cgroup hierarchy here");
        None
    }

    fn name(&self) -> &OsStr {
        self.path.file_name().unwrap()
    }
}

impl Drop for TestCgroup {
    fn drop(&mut self) {
        fs::remove_dir(&self.path).unwrap();
    }
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_child_is_born_in_its_cgroup() {
    let Some(cgroup) = TestCgroup::new() else {
        return;
    };
    let directory = File::open(&cgroup.path).unwrap();
    let namespaces = Namespaces::new();
    let options = CloneOptions::new(&namespaces).cgroup(directory.as_fd());
    let text = output_of("cat /proc/self/cgroup >&3", &options);
    let own = text
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .unwrap();
    assert!(own.ends_with(cgroup.name().to_str().unwrap()), "{text}");
    // With a cgroup namespace, the cgroup is its root: the child never was anywhere else.
    let namespaces = Namespaces::new().make(Namespace::Cgroup);
    let options = CloneOptions::new(&namespaces).cgroup(directory.as_fd());
    let text = output_of("cat /proc/self/cgroup >&3", &options);
    assert!(text.lines().any(|line| line == "0::/"), "{text}");
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_removed_cgroup_is_refused() {
    let Some(cgroup) = TestCgroup::new() else {
        return;
    };
    let directory = File::open(&cgroup.path).unwrap();
    drop(cgroup);
    let namespaces = Namespaces::new();
    let options = CloneOptions::new(&namespaces).cgroup(directory.as_fd());
    let error = shell("exit 0", &[], &options).unwrap_err();
    assert_eq!(
        error.to_string(),
        "clone a process with no new namespaces into a cgroup"
    );
    // Which of the two depends on how far the kernel is with the removal.
    assert!(matches!(error.errno(), Some(libc::ENODEV | libc::ENOENT)));
}
