//! The filter of system calls, and what init can still say when it is on.
#![allow(
    clippy::unwrap_used,
    unsafe_code,
    unreachable_pub,
    reason = "a test fails by panicking; a listener is asked by ioctl(2)"
)]

#[path = "program/launch.rs"]
mod launch;

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;

use crabcan_init::Step;
use crabcan_init::format::Instructions;
use crabcan_init::message::{End, Message};
use launch::{Init, exec, plan, shell};
use nix::errno::Errno;

const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const NOTIFY: u32 = libc::SECCOMP_RET_USER_NOTIF;
/// What ends a process that may not exit.
const EXCEPTION: i32 = if cfg!(target_arch = "x86_64") {
    libc::SIGILL
} else {
    libc::SIGTRAP
};
const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | Errno::EXDEV as u32;

/// A filter that gives these answers to these calls, and another one to all others.
fn filter(default: u32, rules: &[(libc::c_long, u32)]) -> Vec<u8> {
    let mut program = Vec::new();
    let mut instruction = |code: u16, jf: u8, k: u32| {
        program.extend(code.to_ne_bytes());
        program.extend([0, jf]);
        program.extend(k.to_ne_bytes());
    };
    const LOAD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    instruction(LOAD, 0, 0);
    for (number, answer) in rules {
        instruction(JUMP_IF_EQUAL, 1, *number as u32);
        instruction(RETURN, 0, *answer);
    }
    instruction(RETURN, 0, default);
    program
}

/// A plan that executes `program` under a filter.
fn filtered(filter: &[u8], reaper: bool, listener: bool, program: Step<'_>) -> Vec<u8> {
    let seccomp = Step::Seccomp {
        program: Instructions::new(filter).unwrap(),
        flags: 0,
        listener,
    };
    let mut steps = vec![Step::NoNewPrivileges {}];
    steps.extend(reaper.then_some(Step::Reaper {}));
    steps.extend([Step::Session {}, seccomp, program]);
    plan(&steps)
}

/// The index of the step that executes the program.
fn last(reaper: bool) -> u32 {
    3 + u32::from(reaper)
}

fn failed(step: u32, errno: Errno) -> Message {
    Message::Failed {
        step,
        errno: errno as i32,
        detail: 0,
    }
}

fn missing<'a>() -> Step<'a> {
    exec(b"/no/such\0/nor/this\0", b"x\0")
}

#[test]
fn the_program_is_filtered_and_the_reaper_is_not() {
    let filter = filter(
        ALLOW,
        &[(libc::SYS_mkdir, REFUSE), (libc::SYS_mkdirat, REFUSE)],
    );
    let text = "mkdir /x 2>&1; grep -h ^Seccomp: /proc/$$/status /proc/$PPID/status";
    let args = shell(text);
    let mut init = Init::start(&filtered(&filter, true, false, exec(b"/bin/sh\0", &args)));
    let output = init.output();
    assert!(output.contains("Invalid cross-device link"), "{output}");
    assert!(output.ends_with("Seccomp:\t2\nSeccomp:\t0\n"), "{output}");
}

/// The filter allows execve alone; the failure is told all the same, and the process ends, though
/// it may not even call exit_group.
#[test]
fn a_failure_is_told_whatever_the_filter_forbids() {
    for default in [REFUSE, KILL] {
        let only_execve = filter(default, &[(libc::SYS_execve, ALLOW)]);
        let mut init = Init::start(&filtered(&only_execve, true, false, missing()));
        assert_eq!(init.message(), Some(failed(last(true), Errno::ENOENT)));
        // Killed where the filter kills, otherwise ended by an exception.
        let ended = init.message();
        let signal = if default == KILL {
            libc::SIGSYS
        } else {
            EXCEPTION
        };
        assert_eq!(ended, Some(Message::Ended(End::Signal(signal))));
        assert_eq!(init.message(), None);
        assert_eq!(init.code(), Some(0));
    }
}

#[test]
fn a_missing_interpreter_is_told_under_a_filter() {
    let directory = std::env::temp_dir().join(format!("crabcan-filter-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let file = directory.join("script");
    std::fs::write(&file, "#!/no/such/interpreter\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&file, mode).unwrap();
    let candidates = format!("/no/such\0{}\0", file.display());
    let only_execve = filter(KILL, &[(libc::SYS_execve, ALLOW)]);
    let step = exec(candidates.as_bytes(), b"x\0");
    let init = Init::start(&filtered(&only_execve, true, false, step));
    let message = init.message();
    std::fs::remove_dir_all(&directory).unwrap();
    let wanted = Message::Failed {
        step: last(true),
        errno: Errno::ENOENT as i32,
        detail: 1 | Message::NO_INTERPRETER,
    };
    assert_eq!(message, Some(wanted));
}

#[test]
fn without_a_reaper_a_failure_is_one_write() {
    let rules = [(libc::SYS_execve, ALLOW), (libc::SYS_write, ALLOW)];
    let mut init = Init::start(&filtered(&filter(REFUSE, &rules), false, false, missing()));
    assert_eq!(init.message(), Some(failed(last(false), Errno::ENOENT)));
    // It may not exit, so it ends by an exception.
    assert_eq!(init.child.wait().unwrap().signal(), Some(EXCEPTION));
}

#[test]
fn a_filter_that_forbids_the_program_kills_it() {
    let args = shell("echo executed");
    let step = exec(b"/bin/sh\0", &args);
    let mut init = Init::start(&filtered(&filter(KILL, &[]), true, false, step));
    assert_eq!(init.message(), Some(Message::Started));
    let killed = Message::Ended(End::Signal(libc::SIGSYS));
    assert_eq!(init.message(), Some(killed));
    assert_eq!(init.output(), "");
    let mut init = Init::start(&filtered(&filter(REFUSE, &[]), true, false, step));
    assert_eq!(init.message(), Some(failed(last(true), Errno::EXDEV)));
    assert_eq!(init.output(), "");
}

/// Without no_new_privs a filter takes CAP_SYS_ADMIN, and an instruction must be one.
#[test]
fn a_refused_filter_is_a_failed_step() {
    let allow = filter(ALLOW, &[]);
    let seccomp = |program| Step::Seccomp {
        program: Instructions::new(program).unwrap(),
        flags: 0,
        listener: false,
    };
    let init = Init::start(&plan(&[
        Step::NoNewPrivileges {},
        seccomp(&[0xff; 8]),
        missing(),
    ]));
    assert_eq!(init.message(), Some(failed(1, Errno::EINVAL)));
    let init = Init::start(&plan(&[seccomp(&allow), missing()]));
    let expected = match nix::unistd::Uid::effective().is_root() {
        true => failed(1, Errno::ENOENT),
        false => failed(0, Errno::EACCES),
    };
    assert_eq!(init.message(), Some(expected));
}

#[test]
fn the_listener_comes_before_the_program_and_is_asked() {
    let filter = filter(
        ALLOW,
        &[(libc::SYS_mkdir, NOTIFY), (libc::SYS_mkdirat, NOTIFY)],
    );
    for reaper in [true, false] {
        let args = shell("mkdir /x 2>&1");
        let step = exec(b"/bin/sh\0", &args);
        let mut init = Init::start(&filtered(&filter, reaper, true, step));
        let (message, listener) = init.message_with_descriptor();
        assert_eq!(message, Message::Listener);
        answer(&listener, Errno::EXDEV);
        let output = init.output();
        assert!(output.contains("Invalid cross-device link"), "{output}");
    }
}

#[test]
fn a_listener_that_may_not_be_sent_is_a_failure() {
    let filter = filter(ALLOW, &[(libc::SYS_sendmsg, REFUSE)]);
    let init = Init::start(&filtered(&filter, true, true, missing()));
    assert_eq!(init.message(), Some(failed(3, Errno::EXDEV)));
}

/// Answers the next notification with an error number.
fn answer(listener: &OwnedFd, errno: Errno) {
    const SECCOMP_IOCTL_NOTIF_RECV: libc::c_ulong = 0xc050_2100;
    const SECCOMP_IOCTL_NOTIF_SEND: libc::c_ulong = 0xc018_2101;
    // SAFETY: all zeroes is what the kernel wants to be handed.
    let mut notification: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    let number = listener.as_raw_fd();
    // SAFETY: the kernel writes one structure of this type.
    let received = unsafe { libc::ioctl(number, SECCOMP_IOCTL_NOTIF_RECV, &mut notification) };
    assert_eq!(received, 0, "{}", std::io::Error::last_os_error());
    let mut response = libc::seccomp_notif_resp {
        id: notification.id,
        val: 0,
        error: -(errno as i32),
        flags: 0,
    };
    // SAFETY: the kernel reads one structure of this type.
    let sent = unsafe { libc::ioctl(number, SECCOMP_IOCTL_NOTIF_SEND, &mut response) };
    assert_eq!(sent, 0, "{}", std::io::Error::last_os_error());
}
