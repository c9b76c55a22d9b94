//! A container's life, seen from the program that makes it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod alone;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use alone::{alone, children, descriptors, is_running, long_time, until};
use crabcan_runtime::{Error, ExitStatus, Process, Sandbox};
use crabcan_seccomp::Listener;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

fn shell(script: &str) -> Sandbox {
    Sandbox::new("/bin/sh").arg("-c").arg(script)
}

/// Runs `body` and sees that it leaves no child and no descriptor.
fn leaves_nothing(body: impl FnOnce()) {
    let before = descriptors();
    body();
    assert_eq!(descriptors(), before);
    assert_eq!(children(), [0; 0]);
}

#[test]
fn a_whole_life() {
    alone("a_whole_life", || {
        leaves_nothing(|| {
            let plan = shell("exit 7").plan().unwrap();
            let mut container = Process::create(&plan).unwrap();
            assert_eq!(children(), [container.pid().as_raw()]);
            container.start().unwrap();
            assert_eq!(container.wait().unwrap(), ExitStatus::Exited(7));
            assert_eq!(container.wait().unwrap(), ExitStatus::Exited(7));
            container.remove().unwrap();
        });
    });
}

#[test]
fn a_plan_makes_more_than_one_container() {
    alone("a_plan_makes_more_than_one_container", || {
        leaves_nothing(|| {
            let plan = shell("exit 4").plan().unwrap();
            for _ in 0..3 {
                let mut container = Process::create(&plan).unwrap();
                container.start().unwrap();
                assert_eq!(container.wait().unwrap(), ExitStatus::Exited(4));
            }
        });
    });
}

#[test]
fn dropped_before_it_starts() {
    alone("dropped_before_it_starts", || {
        leaves_nothing(|| {
            for as_pid_1 in [false, true] {
                let plan = shell("exit 0").as_pid_1(as_pid_1).plan().unwrap();
                let container = Process::create(&plan).unwrap();
                let pid = container.pid();
                drop(container);
                assert_eq!(kill(pid, None), Err(Errno::ESRCH));
            }
        });
    });
}

/// Every call of an observed sandbox asks: without anybody to answer it is not started, and still can
/// be with.
#[test]
fn an_observed_sandbox_needs_answers() {
    alone("an_observed_sandbox_needs_answers", || {
        leaves_nothing(|| {
            let plan = shell("exit 5").observed(true).plan().unwrap();
            let mut container = Process::create(&plan).unwrap();
            let error = container.start().unwrap_err().to_string();
            assert!(error.contains("Process::start_observed"), "{error}");
            let mut supervisor = None;
            let supervise = &mut |listener| {
                let listener = Listener::from(listener);
                supervisor = Some(thread::spawn(move || {
                    let calls = std::iter::from_fn(|| listener.receive().unwrap());
                    calls.map(|call| listener.proceed(&call).unwrap()).count()
                }));
            };
            container.start_observed(supervise).unwrap();
            assert_eq!(container.wait().unwrap(), ExitStatus::Exited(5));
            assert!(supervisor.unwrap().join().unwrap() > 1);
        });
    });
}

fn start_fails(sandbox: &Sandbox) -> Error {
    let plan = sandbox.plan().unwrap();
    let mut container = Process::create(&plan).unwrap();
    container.start().unwrap_err()
}

#[test]
fn a_missing_program_is_not_found_and_leaves_nothing() {
    alone("a_missing_program_is_not_found_and_leaves_nothing", || {
        for as_pid_1 in [false, true] {
            for missing in ["/no/such/program", "no-such-program", "/etc/passwd/x"] {
                leaves_nothing(|| {
                    let error = start_fails(&Sandbox::new(missing).as_pid_1(as_pid_1));
                    assert_eq!(error.exit_code(), 127, "{missing}: {error:?}");
                    let Error::Execute { program, .. } = error else {
                        panic!("{missing}: {error:?}");
                    };
                    assert_eq!(program, missing);
                });
            }
            leaves_nothing(|| {
                let error = start_fails(&Sandbox::new("/etc/passwd").as_pid_1(as_pid_1));
                assert!(matches!(error, Error::Execute { .. }), "{error:?}");
                assert_eq!(error.exit_code(), 126);
            });
        }
    });
}

#[test]
fn a_start_that_failed_is_final() {
    alone("a_start_that_failed_is_final", || {
        leaves_nothing(|| {
            let plan = Sandbox::new("/no/such/program").plan().unwrap();
            let mut container = Process::create(&plan).unwrap();
            container.start().unwrap_err();
            let again = container.start().unwrap_err();
            assert!(matches!(again, Error::StartedBefore), "{again:?}");
            // It has ended already.
            container.wait().unwrap();
            container.remove().unwrap();
        });
    });
}

#[test]
fn what_is_made_and_started_at_once_ends_as_it_would() {
    alone("what_is_made_and_started_at_once_ends_as_it_would", || {
        leaves_nothing(|| {
            for as_pid_1 in [false, true] {
                let shell = |text| Sandbox::new("sh").args(["-c", text]).as_pid_1(as_pid_1);
                let mut plan = shell("exit 3").plan().unwrap();
                let mut container = Process::spawn(&plan).unwrap();
                let again = container.start().unwrap_err();
                assert!(matches!(again, Error::StartedBefore), "{again:?}");
                assert_eq!(container.wait().unwrap(), ExitStatus::Exited(3));
                container.remove().unwrap();
                // Before the last word, and behind it.
                let last = u32::try_from(plan.steps().len() - 1).unwrap();
                for step in [5, last] {
                    plan.fail_at(step, 5);
                    let error = Process::spawn(&plan).unwrap_err();
                    let failed = matches!(error, Error::Step { .. } | Error::Execute { .. });
                    assert!(failed, "{step}: {error:?}");
                }
            }
            let plan = Sandbox::new("/no/such/program").plan().unwrap();
            let error = Process::spawn(&plan).unwrap_err();
            assert!(matches!(error, Error::Execute { .. }), "{error:?}");
        });
    });
}

#[test]
fn started_once_only() {
    alone("started_once_only", || {
        leaves_nothing(|| {
            for as_pid_1 in [false, true] {
                let sandbox = Sandbox::new("sleep").arg("1000").as_pid_1(as_pid_1);
                let plan = sandbox.plan().unwrap();
                let mut container = Process::create(&plan).unwrap();
                container.start().unwrap();
                let again = container.start().unwrap_err();
                assert!(matches!(again, Error::StartedBefore), "{again:?}");
                container.signal(9).unwrap();
                assert_eq!(container.wait().unwrap(), ExitStatus::Signaled(9));
            }
        });
    });
}

#[test]
fn init_killed_before_the_start() {
    alone("init_killed_before_the_start", || {
        leaves_nothing(|| {
            for as_pid_1 in [false, true] {
                let plan = shell("exit 0").as_pid_1(as_pid_1).plan().unwrap();
                let mut container = Process::create(&plan).unwrap();
                kill(container.pid(), Signal::SIGKILL).unwrap();
                let status = match container.start() {
                    Err(Error::InitEnded { status, .. }) => status,
                    // Without a reaper, the end looks like the start until it is waited for.
                    Ok(()) if as_pid_1 => container.wait().unwrap(),
                    other => panic!("{other:?}"),
                };
                assert_eq!(status, ExitStatus::Signaled(9));
                container.remove().unwrap();
            }
        });
    });
}

#[test]
fn init_killed_after_the_start() {
    alone("init_killed_after_the_start", || {
        leaves_nothing(|| {
            for as_pid_1 in [false, true] {
                let time = long_time(1);
                let sandbox = Sandbox::new("sleep").arg(&time).as_pid_1(as_pid_1);
                let plan = sandbox.plan().unwrap();
                let mut container = Process::create(&plan).unwrap();
                container.start().unwrap();
                until("the command", || is_running(&time));
                kill(container.pid(), Signal::SIGKILL).unwrap();
                assert_eq!(container.wait().unwrap(), ExitStatus::Signaled(9));
                assert!(!is_running(&time));
                container.remove().unwrap();
            }
        });
    });
}

#[test]
fn a_signal_reaches_the_command() {
    alone("a_signal_reaches_the_command", || {
        leaves_nothing(|| {
            for signal in [1, 2, 3, 15, 10, 12, 9, 34, 64] {
                let plan = Sandbox::new("sleep").arg("1000").plan().unwrap();
                let mut container = Process::create(&plan).unwrap();
                container.start().unwrap();
                container.signal(signal).unwrap();
                assert_eq!(container.wait().unwrap(), ExitStatus::Signaled(signal));
                container.signal(15).unwrap_err();
                container.remove().unwrap();
            }
        });
    });
}

/// What a terminal sends to the caller's process group while init is still a part of that belongs
/// to the caller, who hands it on or does not.
#[test]
fn signals_to_the_callers_group_are_not_kept_for_the_command() {
    let name = "signals_to_the_callers_group_are_not_kept_for_the_command";
    let ignoring = ["env", "--ignore-signal=USR1"];
    alone::with(name, alone::LIMIT, &ignoring, || {
        let own = Pid::from_raw(0);
        nix::unistd::setpgid(own, own).unwrap();
        let plan = Sandbox::new("sleep").arg("0.05").plan().unwrap();
        for _ in 0..10 {
            let created = AtomicBool::new(false);
            let mut container = thread::scope(|scope| {
                scope.spawn(|| {
                    while !created.load(Ordering::Relaxed) {
                        killpg(own, Signal::SIGUSR1).unwrap();
                        thread::sleep(Duration::from_micros(50));
                    }
                });
                let container = Process::create(&plan).unwrap();
                created.store(true, Ordering::Relaxed);
                container
            });
            container.start().unwrap();
            assert_eq!(container.wait().unwrap(), ExitStatus::Exited(0));
        }
    });
}

#[test]
fn every_status_arrives() {
    alone("every_status_arrives", || {
        leaves_nothing(|| {
            for code in [0, 1, 2, 125, 126, 127, 128, 255] {
                let status = shell(&format!("exit {code}")).status().unwrap();
                assert_eq!(status, ExitStatus::Exited(code));
                let status = shell(&format!("exit {code}")).as_pid_1(true).status();
                assert_eq!(status.unwrap(), ExitStatus::Exited(code));
            }
            for signal in [1, 6, 9, 11, 14, 15] {
                let script = format!("ulimit -c 0; kill -{signal} $$");
                let status = shell(&script).status().unwrap();
                assert_eq!(status, ExitStatus::Signaled(signal));
                assert_eq!(status.shell_code(), 128 + signal);
            }
        });
    });
}

#[test]
fn removed_while_it_runs() {
    alone("removed_while_it_runs", || {
        leaves_nothing(|| {
            for as_pid_1 in [false, true] {
                let (child, stubborn) = (long_time(2), long_time(3));
                let script = format!(
                    "trap '' TERM INT HUP; setsid sh -c 'trap \"\" TERM HUP; sleep {stubborn}' & \
                     sleep {child}; exit 1"
                );
                let plan = shell(&script).as_pid_1(as_pid_1).plan().unwrap();
                let mut container = Process::create(&plan).unwrap();
                container.start().unwrap();
                until("both", || is_running(&child) && is_running(&stubborn));
                container.remove().unwrap();
                assert!(!is_running(&child) && !is_running(&stubborn));
            }
        });
    });
}

/// Defect 10 of the tutorial: its limits were the parent's.
#[test]
fn a_limit_acts_inside_only() {
    alone("a_limit_acts_inside_only", || {
        let before = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let nofile = Resource::RLIMIT_NOFILE as u32;
        let script = "exec sh -c 'test $(ulimit -Sn) = 61 && test $(ulimit -Hn) = 64'";
        let sandbox = shell(script).resource_limit(nofile, 61, 64);
        assert_eq!(sandbox.status().unwrap(), ExitStatus::Exited(0));
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), before);
        assert_ne!(before.0, 61);
    });
}

#[test]
fn a_limit_that_is_refused_is_an_error() {
    alone("a_limit_that_is_refused_is_an_error", || {
        leaves_nothing(|| {
            let nofile = Resource::RLIMIT_NOFILE as u32;
            let plan = shell("exit 0")
                .resource_limit(nofile, 65, 64)
                .plan()
                .unwrap();
            let error = Process::create(&plan).unwrap_err();
            let Error::Step { source, .. } = &error else {
                panic!("{error:?}");
            };
            assert_eq!(source.raw_os_error(), Some(Errno::EINVAL as i32));
            assert_eq!(error.exit_code(), 125);
        });
    });
}

/// Somebody else in the program reaps every child: what init says is what counts.
#[test]
fn another_thread_that_reaps() {
    alone("another_thread_that_reaps", || {
        thread::spawn(|| {
            loop {
                if waitpid(Pid::from_raw(-1), None).is_err() {
                    thread::sleep(Duration::from_micros(100));
                }
            }
        });
        for round in 0..20 {
            let status = shell(&format!("exit {round}")).status();
            assert_eq!(status.unwrap(), ExitStatus::Exited(round));
        }
        // Without a reaper nobody but the kernel says it, and only once.
        match shell("sleep 0.1; exit 3").as_pid_1(true).status() {
            Ok(status) => assert_eq!(status, ExitStatus::Exited(3)),
            Err(error) => assert!(is_lost_status(&error), "{error:?}"),
        }
        let missing = start_fails(&Sandbox::new("/no/such/program"));
        assert_eq!(missing.exit_code(), 127, "{missing:?}");
        let plan = Sandbox::new("sleep").arg("1000").plan().unwrap();
        let mut container = Process::create(&plan).unwrap();
        container.start().unwrap();
        container.remove().unwrap();
    });
}

fn is_lost_status(error: &Error) -> bool {
    let Error::Namespaces { source, .. } = error else {
        return false;
    };
    matches!(source, crabcan_ns::Error::Reaped { .. })
}

const IGNORES_CHILDREN: [&str; 2] = ["env", "--ignore-signal=CHLD"];

#[test]
fn a_program_that_ignores_its_children() {
    let name = "a_program_that_ignores_its_children";
    alone::with(name, alone::LIMIT, &IGNORES_CHILDREN, || {
        for code in [0, 5] {
            let status = shell(&format!("exit {code}")).status();
            assert_eq!(status.unwrap(), ExitStatus::Exited(code));
        }
        // An orphan's end must not be taken for the command's.
        let status = shell("(sleep 0.05 &); sleep 0.2; kill -9 $$").status();
        assert_eq!(status.unwrap(), ExitStatus::Signaled(9));
        let error = shell("exit 3").as_pid_1(true).status().unwrap_err();
        assert!(is_lost_status(&error), "{error:?}");
        let plan = Sandbox::new("sleep").arg("1000").plan().unwrap();
        let mut container = Process::create(&plan).unwrap();
        container.start().unwrap();
        container.remove().unwrap();
        assert_eq!(children(), [0; 0]);
    });
}

/// Then the runtime's own descriptors get the numbers 0 to 2.
#[test]
fn the_callers_standard_descriptors_are_closed() {
    alone("the_callers_standard_descriptors_are_closed", || {
        let close = |number: i32| nix::unistd::close(number);
        (0..3).for_each(|number| close(number).unwrap());
        let status = shell("exit 5").status();
        let looked = shell("for n in 0 1 2; do test ! -e /proc/$$/fd/$n || exit 1; done").status();
        // Nothing can be said from here: the exit code does.
        let ended = |status: Result<ExitStatus, Error>, code| matches!(status, Ok(ExitStatus::Exited(exited)) if exited == code);
        let correct = ended(status, 5) && ended(looked, 0);
        std::process::exit(i32::from(!correct));
    });
}

#[test]
fn a_terminal_though_the_standard_descriptors_are_closed() {
    alone(
        "a_terminal_though_the_standard_descriptors_are_closed",
        || {
            let close = |number: i32| nix::unistd::close(number);
            (0..3).for_each(|number| close(number).unwrap());
            let terminal = crabcan_runtime::spec::Terminal {
                descriptors: 7,
                rows: 25,
                columns: 80,
            };
            let status =
                shell("test \"$(stty size)\" = '25 80' && test -t 0 && test -t 1 && test -t 2")
                    .terminal(Some(terminal))
                    .status();
            std::process::exit(i32::from(!matches!(status, Ok(ExitStatus::Exited(0)))));
        },
    );
}
