//! The program, run for real: it needs no privilege, since no step here makes namespaces.
#![allow(
    clippy::unwrap_used,
    unsafe_code,
    unreachable_pub,
    reason = "a test fails by panicking; descriptors are placed between fork and exec"
)]

#[path = "program/launch.rs"]
mod launch;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use crabcan_init::format::Fault;
use crabcan_init::message::{End, Message};
use crabcan_init::{PROGRAM, Step};
use launch::{Init, exec, failed, plan, plan_with, shell};
use nix::errno::Errno;
use nix::sys::signal::Signal;

const NO_STEP: u32 = u32::MAX;

/// A plan that runs a shell's script after `steps`.
fn script(steps: &[Step<'_>], script: &str) -> Vec<u8> {
    let args = shell(script);
    let ready = [Step::Ready {}];
    plan(&[&ready, steps, &[exec(b"/bin/sh\0", &args)]].concat())
}

const REAPER: &[Step<'_>] = &[Step::Reaper {}, Step::Session {}];

#[test]
fn a_plan_is_walked_to_its_program() {
    let mut init = Init::start(&plan(&[
        Step::Ready {},
        exec(b"/no/such/echo\0/bin/echo\0", b"echo\0hello\0\0there\0"),
    ]));
    assert_eq!(init.message(), Some(Message::Ready));
    assert!(init.child.try_wait().unwrap().is_none(), "it waits");
    init.send(&[crabcan_init::message::PROCEED]);
    assert_eq!(init.message(), None);
    assert_eq!(init.output(), "hello  there\n");
    assert_eq!(init.code(), Some(0));
}

#[test]
fn a_damaged_plan_is_refused_and_nothing_is_done() {
    let whole = plan(&[Step::Ready {}, exec(b"/bin/echo\0", b"echo\0done\0")]);
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let longer = [&whole[..], &[0]].concat();
    for bytes in [&damaged, &whole[..whole.len() - 1], &longer, b"", b"CRAB"] {
        let mut init = Init::start(bytes);
        assert_eq!(init.message(), failed(NO_STEP, Errno::EINVAL, 0));
        assert_eq!(init.message(), None);
        assert_eq!((init.output().as_str(), init.code()), ("", Some(125)));
    }
}

#[test]
fn a_plan_without_a_program_fails() {
    let mut init = Init::start(&plan(&[Step::NoNewPrivileges {}]));
    assert_eq!(init.message(), failed(NO_STEP, Errno::EINVAL, 0));
    assert_eq!(init.code(), Some(125));
}

#[test]
fn without_its_word_nothing_is_executed() {
    for word in [&[0][..], &[2], &[1, 1]] {
        let mut init = Init::start(&script(&[], "echo executed"));
        assert_eq!(init.message(), Some(Message::Ready));
        init.send(word);
        assert_eq!(init.message(), failed(0, Errno::EPROTO, 0));
        assert_eq!((init.output().as_str(), init.code()), ("", Some(125)));
    }
    let mut init = Init::start(&script(&[], "echo executed"));
    assert_eq!(init.message(), Some(Message::Ready));
    init.close_channel();
    assert_eq!((init.output().as_str(), init.code()), ("", Some(125)));
}

#[test]
fn a_program_that_is_not_there() {
    let mut init = Init::start(&plan(&[exec(b"/no/such\0/nor/this\0", b"x\0")]));
    assert_eq!(init.message(), failed(0, Errno::ENOENT, 0));
    assert_eq!(init.code(), Some(125));
}

#[test]
fn a_program_without_its_interpreter() {
    let directory = std::env::temp_dir().join(format!("crabcan-init-{}", std::process::id()));
    fs::create_dir(&directory).unwrap();
    let file = directory.join("script");
    fs::write(&file, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    let candidates = format!("/no/such\0{}\0/bin/echo\0", file.display());
    let init = Init::start(&plan(&[exec(candidates.as_bytes(), b"x\0")]));
    let message = init.message();
    fs::remove_dir_all(&directory).unwrap();
    let detail = 1 | Message::NO_INTERPRETER;
    assert_eq!(message, failed(0, Errno::ENOENT, detail));
}

#[test]
fn a_program_that_may_not_be_executed() {
    // As execvp(3): the refusal is what is reported, though the last is not there.
    let init = Init::start(&plan(&[exec(b"/no/such\0/\0/nor/this\0", b"x\0")]));
    assert_eq!(init.message(), failed(0, Errno::EACCES, 1));
}

#[test]
fn the_reaper_reports_how_the_command_ended() {
    let ends = [
        ("exit 7", End::Code(7)),
        ("exit 255", End::Code(255)),
        ("kill -9 $$", End::Signal(9)),
        // Two orphans, one of which lives longer.
        ("(sleep 0.2 & exit 1) & wait; exit 3", End::Code(3)),
    ];
    for (text, end) in ends {
        let mut init = Init::start(&script(REAPER, text));
        init.proceed();
        assert_eq!(init.message(), Some(Message::Started));
        assert_eq!(init.message(), Some(Message::Ended(end)), "{text}");
        assert_eq!(init.message(), None);
        assert_eq!(init.code(), Some(0));
    }
}

#[test]
fn a_failure_below_the_reaper_names_its_step() {
    let init = Init::start(&plan(&[Step::Reaper {}, exec(b"/no/such\0", b"x\0")]));
    assert_eq!(init.message(), failed(1, Errno::ENOENT, 0));
}

#[test]
fn the_reaper_hands_on_signals() {
    let mut init = Init::start(&script(
        REAPER,
        "trap 'exit 9' TERM; echo ready; for i in 1 2 3 4 5 6 7 8 9; do sleep 0.2; done",
    ));
    init.proceed();
    assert_eq!(init.line(), "ready");
    init.signal(Signal::SIGTERM);
    assert_eq!(init.message(), Some(Message::Started));
    assert_eq!(init.message(), Some(Message::Ended(End::Code(9))));
    let mut init = Init::start(&script(REAPER, "echo ready; exec sleep 30"));
    init.proceed();
    assert_eq!(init.line(), "ready");
    init.signal(Signal::SIGHUP);
    assert_eq!(init.message(), Some(Message::Started));
    assert_eq!(init.message(), Some(Message::Ended(End::Signal(1))));
}

#[test]
fn the_end_of_the_channel_ends_the_command() {
    let mut init = Init::start(&script(REAPER, "echo ready; exec sleep 30"));
    init.proceed();
    assert_eq!(init.line(), "ready");
    init.close_channel();
    assert_eq!(init.code(), Some(1));
    // The end of its output is the end of the command: the reaper holds nothing of it.
    assert_eq!(init.output(), "");
}

#[test]
fn a_waiting_reaper_remembers_nothing_of_the_plan() {
    let mut init = Init::start(&script(REAPER, "echo ready; exec sleep 30"));
    init.proceed();
    assert_eq!(init.line(), "ready");
    assert_eq!(init.message(), Some(Message::Started));
    let process = format!("/proc/{}", init.child.id());
    let maps = fs::read_to_string(format!("{process}/maps")).unwrap();
    // The program's one segment, and no plan.
    assert_eq!(maps.matches("memfd:").count(), 1, "{maps}");
    assert_eq!(
        fs::read_to_string(format!("{process}/comm")).unwrap(),
        "crabcan-init\n"
    );
    let held: Vec<_> = fs::read_dir(format!("{process}/fd"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (fs::read_link(&path).unwrap(), path))
        .collect();
    // The channel and the signals.
    assert_eq!(held.len(), 2, "{held:?}");
}

#[test]
fn a_fault_is_made_on_purpose() {
    let steps = [
        Step::NoNewPrivileges {},
        exec(b"/bin/echo\0", b"echo\0done\0"),
    ];
    for step in 0..2 {
        let fault = Some(Fault { step, errno: 28 });
        let mut init = Init::start(&plan_with(&steps, fault));
        assert_eq!(init.message(), failed(step, Errno::ENOSPC, 0));
        assert_eq!((init.output().as_str(), init.code()), ("", Some(125)));
        let silent = Some(Fault { step, errno: 0 });
        let mut init = Init::start(&plan_with(&steps, silent));
        assert_eq!(init.message(), None);
        assert_eq!((init.output().as_str(), init.code()), ("", Some(125)));
    }
}

/// Defect 10 of the tutorial: the limit was set in the parent, after the clone.
#[test]
fn a_resource_limit_is_the_containers_own() {
    let before = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
    let limit = Step::ResourceLimit {
        resource: libc::RLIMIT_NOFILE,
        soft: 64,
        hard: 64,
    };
    let mut init = Init::start(&script(&[limit], "ulimit -Sn; ulimit -Hn"));
    init.proceed();
    assert_eq!(init.output(), "64\n64\n");
    let after = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
    assert_eq!(before, after);
}

#[test]
fn the_command_starts_clean() {
    let text = "grep -E '^(Sig(Blk|Ign)|NoNewPrivs)' /proc/self/status; pwd; umask; \
                ls -l /proc/self/fd | grep -cE 'socket:|memfd:'; echo $PATH $X $1";
    let mut steps = vec![
        Step::NoNewPrivileges {},
        Step::WorkingDirectory {
            target: c"/proc",
            first: false,
        },
    ];
    for reaper in [false, true] {
        let mut init = Init::start_with(&script(&steps, text), |command| {
            // SAFETY: the closure makes system calls only.
            unsafe { command.pre_exec(hostile) };
        });
        init.proceed();
        assert_eq!(
            init.output(),
            "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nNoNewPrivs:\t1\n\
             /proc\n0027\n0\n/usr/bin:/bin\n",
            "with a reaper: {reaper}"
        );
        steps.extend(REAPER);
    }
}

/// What a caller may have left behind: blocked and ignored signals, a mask of file modes.
fn hostile() -> std::io::Result<()> {
    use nix::sys::signal::{SigHandler, SigSet, signal};
    SigSet::all().thread_block()?;
    // SAFETY: an ignored signal runs no handler.
    unsafe { signal(Signal::SIGINT, SigHandler::SigIgn) }?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o027));
    Ok(())
}

#[test]
fn ids_that_mean_no_change_are_refused() {
    for (uid, gid) in [(u32::MAX, 0), (0, u32::MAX)] {
        let groups = crabcan_init::format::Groups::new(b"").unwrap();
        let step = Step::SetIds {
            uid,
            gid,
            set_groups: false,
            groups,
        };
        let init = Init::start(&plan(&[step]));
        assert_eq!(init.message(), failed(0, Errno::EINVAL, 0));
    }
}

#[test]
fn long_lists_arrive_whole() {
    let words: Vec<u8> = (0..5000)
        .flat_map(|n| format!("{n}\0").into_bytes())
        .collect();
    let args = [b"echo\0", &words[..]].concat();
    let mut init = Init::start(&plan(&[exec(b"/bin/echo\0", &args)]));
    let expected: Vec<_> = (0..5000).map(|n| n.to_string()).collect();
    assert_eq!(init.output().trim_end(), expected.join(" "));
}

/// Little-endian fields of an ELF file.
fn field<const N: usize>(at: usize) -> usize {
    let mut bytes = [0; 8];
    bytes[..N].copy_from_slice(&PROGRAM[at..at + N]);
    usize::from_le_bytes(bytes)
}

#[test]
fn the_program_is_small_static_and_never_written() {
    const PT_LOAD: usize = 1;
    const PT_DYNAMIC: usize = 2;
    const PT_INTERP: usize = 3;
    const PT_GNU_STACK: usize = 0x6474_e551;
    const EXECUTED: usize = 1;
    const WRITTEN: usize = 2;
    assert!(PROGRAM.starts_with(b"\x7fELF"));
    assert!(PROGRAM.len() < 39 << 10, "{} bytes", PROGRAM.len());
    let (table, size, count) = (field::<8>(32), field::<2>(54), field::<2>(56));
    let segments: Vec<_> = (0..count)
        .map(|index| table + index * size)
        .map(|at| (field::<4>(at), field::<4>(at + 4)))
        .collect();
    for (kind, flags) in &segments {
        assert!(![PT_DYNAMIC, PT_INTERP].contains(kind), "{segments:?}");
        let both = flags & EXECUTED != 0 && flags & WRITTEN != 0;
        assert!(!both, "{segments:?}");
    }
    let loaded = segments.iter().filter(|(kind, _)| *kind == PT_LOAD);
    assert_eq!(loaded.count(), 1, "{segments:?}");
    // Without this one, the kernel would make the stack executable.
    assert!(segments.iter().any(|(kind, _)| *kind == PT_GNU_STACK));
}
