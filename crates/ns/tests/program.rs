//! Children that go straight into a program. Needs no privilege.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod shell;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};

use crabcan_ns::{
    Child, CloneOptions, Error, ExitStatus, Namespace, Namespaces, Program, clone_program,
};
use shell::{output_of, shell, status_of};

fn own_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn the_exit_code_arrives() {
    assert_eq!(status_of("exit 0"), ExitStatus::Exited(0));
    assert_eq!(status_of("exit 3"), ExitStatus::Exited(3));
    assert_eq!(status_of("exit 255"), ExitStatus::Exited(255));
}

#[test]
fn the_signal_arrives() {
    let status = status_of("kill -KILL $$");
    assert_eq!(status, ExitStatus::Signaled(libc::SIGKILL));
    assert_eq!(status.shell_code(), 137);
    assert_eq!(status.to_string(), "killed by signal 9 (SIGKILL)");
    assert!(!status.success());
}

#[test]
fn arguments_and_environment_arrive_and_nothing_else() {
    let text = output_of("echo $0 $MARK >&3; exec env >&3", &Namespaces::new());
    let mut lines: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with("_="))
        .collect();
    lines.sort_unstable();
    lines.retain(|line| !line.starts_with("PWD=") && !line.starts_with("SHLVL="));
    assert_eq!(lines, ["MARK=set", "PATH=/usr/bin:/bin", "sh set"]);
}

#[test]
fn an_empty_argument_list_is_the_kernels_affair() {
    let executable = File::open("/bin/sh").unwrap();
    let program = Program {
        executable: executable.as_fd(),
        args: &[],
        env: &[],
        descriptors: &[],
    };
    match clone_program(&program, &CloneOptions::new(&Namespaces::new())) {
        Ok(mut child) => drop(child.kill().and_then(|()| child.wait())),
        Err(error) => assert!(matches!(error, Error::Execute { .. })),
    }
}

/// The numbers of the descriptors that are open in a child, and where they lead.
fn descriptors_of(child: &Child) -> Vec<(u32, String)> {
    let mut open: Vec<_> = fs::read_dir(format!("/proc/{}/fd", child.pid()))
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let link = fs::read_link(entry.path())
                .unwrap()
                .to_string_lossy()
                .into_owned();
            (entry.file_name().to_str().unwrap().parse().unwrap(), link)
        })
        .collect();
    open.sort_unstable();
    open
}

#[test]
fn descriptors_arrive_in_order_from_three_on_and_nothing_else_is_open() {
    // Open, and not close-on-exec, on a low and on a high number.
    let low = File::open("/dev/zero").unwrap();
    rustix::io::fcntl_setfd(&low, rustix::io::FdFlags::empty()).unwrap();
    let high = rustix::io::dup(&low).unwrap();
    let (mut ready, ready_writer) = std::io::pipe().unwrap();
    let (hold, hold_writer) = std::io::pipe().unwrap();
    let null = File::open("/dev/null").unwrap();
    // The standard input, too, can be a source, and one source can be given twice.
    let stdin = std::io::stdin();
    let given = [
        ready_writer.as_fd(),
        hold.as_fd(),
        null.as_fd(),
        stdin.as_fd(),
        null.as_fd(),
    ];
    // `read` is built in: the shell has nothing else open while it waits.
    let script = "echo >&3; read x <&4; exit 7";
    let mut child = shell(script, &given, &Namespaces::new()).unwrap();
    drop((ready_writer, hold));
    ready.read_exact(&mut [0]).unwrap();
    let open = descriptors_of(&child);
    let numbers: Vec<_> = open
        .iter()
        .map(|(number, _)| *number)
        .filter(|n| *n < 10)
        .collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7], "{open:?}");
    // The shell keeps copies of the standard descriptors above 10 while it redirects them.
    let own = ["0", "1", "2"].map(|number| {
        let link = fs::read_link(format!("/proc/self/fd/{number}")).unwrap();
        link.to_string_lossy().into_owned()
    });
    let extra = open
        .iter()
        .find(|(number, link)| *number > 9 && !own.contains(link));
    assert_eq!(extra, None, "{open:?}");
    assert_eq!(
        (open[5].1.as_str(), open[7].1.as_str()),
        ("/dev/null", "/dev/null")
    );
    assert_eq!(open[6].1, own[0]);
    assert!(open.iter().all(|(_, link)| link != "/dev/zero"), "{open:?}");
    drop((hold_writer, low, high));
    assert_eq!(child.wait().unwrap(), ExitStatus::Exited(7));
}

#[test]
fn descriptors_can_be_given_in_any_order_of_their_numbers() {
    let files: Vec<File> = (0..20).map(|_| File::open("/dev/null").unwrap()).collect();
    let mut pipes = Vec::new();
    let mut writers = Vec::new();
    for _ in 0..8 {
        let (reader, writer) = std::io::pipe().unwrap();
        pipes.push(reader);
        writers.push(OwnedFd::from(writer));
    }
    drop(files);
    writers.reverse();
    pipes.reverse();
    let given: Vec<_> = writers.iter().map(AsFd::as_fd).collect();
    let script =
        "echo 0 >&3; echo 1 >&4; echo 2 >&5; echo 3 >&6; echo 4 >&7; echo 5 >&8; echo 6 >&9";
    let mut child = shell(script, &given, &Namespaces::new()).unwrap();
    drop(writers);
    assert_eq!(child.wait().unwrap(), ExitStatus::Exited(0));
    for (index, mut pipe) in pipes.into_iter().enumerate().take(7) {
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        assert_eq!(text, format!("{index}\n"));
    }
}

#[test]
fn all_signals_are_blocked_and_the_callers_mask_is_kept() {
    let mask = || {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        status
            .lines()
            .find(|line| line.starts_with("SigBlk"))
            .unwrap()
            .to_owned()
    };
    let before = mask();
    let executable = File::open("/bin/sleep").unwrap();
    let program = Program {
        executable: executable.as_fd(),
        args: &[c"sleep", c"1000"],
        env: &[],
        descriptors: &[],
    };
    let child = clone_program(&program, &CloneOptions::new(&Namespaces::new())).unwrap();
    let text = fs::read_to_string(format!("/proc/{}/status", child.pid())).unwrap();
    let blocked = text
        .lines()
        .find_map(|line| line.strip_prefix("SigBlk:\t"))
        .unwrap();
    // SIGKILL (bit 8) and SIGSTOP (bit 18) cannot be blocked.
    let blocked = u64::from_str_radix(blocked, 16).unwrap();
    assert_eq!(blocked | (1 << 8) | (1 << 18), u64::MAX);
    assert_eq!(mask(), before);
}

#[test]
fn what_is_not_a_program_is_refused_and_nothing_is_left() {
    let directory = std::env::temp_dir().join(format!("crabcan-ns-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let text = directory.join("text");
    fs::write(&text, "this is no program").unwrap();
    let cases = [(0o755, libc::ENOEXEC), (0o644, libc::EACCES)];
    for (mode, errno) in cases {
        fs::set_permissions(&text, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let executable = File::open(&text).unwrap();
        let program = Program {
            executable: executable.as_fd(),
            args: &[c"text"],
            env: &[],
            descriptors: &[],
        };
        let namespaces = Namespaces::new();
        let refused = || clone_program(&program, &CloneOptions::new(&namespaces)).unwrap_err();
        // A child of another test, on its way to exec, may hold the file open for writing still.
        let error = std::iter::repeat_with(refused)
            .find(|error| error.errno() != Some(libc::ETXTBSY))
            .unwrap();
        assert!(matches!(error, Error::Execute { .. }), "{error:?}");
        assert_eq!(
            (error.to_string().as_str(), error.errno()),
            ("execute text", Some(errno))
        );
    }
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn dropping_a_child_kills_and_reaps_it() {
    let child = shell("exec sleep 1000", &[], &Namespaces::new()).unwrap();
    let pidfd = child.pidfd().try_clone_to_owned().unwrap();
    drop(child);
    let options = rustix::process::WaitIdOptions::EXITED;
    let waited = rustix::process::waitid(rustix::process::WaitId::PidFd(pidfd.as_fd()), options);
    assert_eq!(waited.unwrap_err(), rustix::io::Errno::CHILD);
}

#[test]
fn a_kept_child_lives_on_and_can_be_taken_back() {
    let child = shell("read x <&3; exit 4", &[], &Namespaces::new());
    drop(child);
    let (hold, mut hold_writer) = std::io::pipe().unwrap();
    let child = shell("read x <&3; exit 4", &[hold.as_fd()], &Namespaces::new()).unwrap();
    drop(hold);
    let pid = child.pid();
    let pidfd = child.pidfd().try_clone_to_owned().unwrap();
    child.keep();
    let mut child = Child::from_pidfd(pidfd).unwrap();
    assert_eq!(child.pid(), pid);
    assert_eq!(child.try_wait().unwrap(), None);
    hold_writer.write_all(b"\n").unwrap();
    assert_eq!(child.wait().unwrap(), ExitStatus::Exited(4));
    assert_eq!(
        child.wait().unwrap(),
        ExitStatus::Exited(4),
        "the status is kept"
    );
    assert_eq!(child.try_wait().unwrap(), Some(ExitStatus::Exited(4)));
}

#[test]
fn other_descriptors_are_not_children() {
    let file = File::open("/dev/null").unwrap();
    assert!(matches!(
        Child::from_pidfd(file.into()),
        Err(Error::NotAPidfd)
    ));
    let own = rustix::process::getpid();
    let flags = rustix::process::PidfdFlags::empty();
    let pidfd = rustix::process::pidfd_open(own, flags).unwrap();
    assert!(matches!(
        Child::from_pidfd(pidfd),
        Err(Error::Reaped { .. })
    ));
}

#[test]
fn signals_reach_the_child() {
    let mut child = shell("exec sleep 1000", &[], &Namespaces::new()).unwrap();
    child.signal(0).unwrap();
    assert_eq!(child.signal(1000).unwrap_err().errno(), Some(libc::EINVAL));
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap(), ExitStatus::Signaled(libc::SIGKILL));
    assert_eq!(child.signal(0).unwrap_err().errno(), Some(libc::ESRCH));
    child.kill().unwrap();
}

#[test]
fn a_child_that_was_reaped_elsewhere_is_a_precise_error() {
    let mut child = shell("exit 0", &[], &Namespaces::new()).unwrap();
    let id = rustix::process::WaitId::PidFd(child.pidfd());
    rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED).unwrap();
    let pid = child.pid().as_raw();
    for _ in 0..2 {
        assert!(matches!(child.wait(), Err(Error::Reaped { pid: other }) if other == pid));
    }
}

#[test]
fn nothing_leaks_over_many_starts_and_failures() {
    let executable = File::open("/dev/null").unwrap();
    let fail = || {
        let program = Program {
            executable: executable.as_fd(),
            args: &[c"x"],
            env: &[],
            descriptors: &[],
        };
        let error = clone_program(&program, &CloneOptions::new(&Namespaces::new())).unwrap_err();
        assert_eq!(error.errno(), Some(libc::EACCES), "{error:?}");
    };
    // Other tests of this process open and close descriptors meanwhile: only growth is a leak.
    let before = own_descriptors();
    for _ in 0..300 {
        assert_eq!(status_of("exit 0"), ExitStatus::Exited(0));
        fail();
    }
    assert!(own_descriptors() < before + 200);
}

#[test]
fn the_stack_of_a_program_is_never_too_small() {
    let executable = File::open("/bin/sh").unwrap();
    let program = Program {
        executable: executable.as_fd(),
        args: &[c"sh", c"-c", c"exit 5"],
        env: &[],
        descriptors: &[],
    };
    let namespaces = Namespaces::new().make(Namespace::User);
    for size in [0, 1, 1 << 20] {
        let options = CloneOptions::new(&namespaces).stack_bytes(size);
        let mut child = clone_program(&program, &options).unwrap();
        assert_eq!(child.wait().unwrap(), ExitStatus::Exited(5));
    }
}
