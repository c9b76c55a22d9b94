//! The steps that an OCI container has more than a sandbox, run for real and without privilege.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    unsafe_code,
    unreachable_pub,
    reason = "a test fails by panicking; descriptors are placed between fork and exec"
)]

#[path = "program/launch.rs"]
mod launch;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crabcan_init::Step;
use crabcan_init::format::Bits;
use crabcan_init::message::{Message, PROCEED};
use launch::{Init, exec, failed, file, plan, shell, strings};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// What a shell's script prints after `steps`.
fn printed(steps: &[Step<'_>], script: &str) -> String {
    let args = shell(script);
    let mut init = Init::start(&plan(&[steps, &[exec(b"/bin/sh\0", &args)]].concat()));
    assert_eq!(init.message(), None);
    init.output()
}

/// A FIFO in a directory of its own.
struct Fifo(PathBuf);

impl Fifo {
    fn new(name: &str) -> Self {
        let name = format!("crabcan-fifo-{}-{name}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).unwrap();
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
        nix::unistd::mkfifo(&directory.join("fifo"), mode).unwrap();
        Self(directory)
    }

    fn open(&self, read: bool, write: bool) -> std::io::Result<File> {
        OpenOptions::new()
            .read(read)
            .write(write)
            .custom_flags(libc::O_NONBLOCK)
            .open(self.0.join("fifo"))
    }

    /// As init gets it: it waits in reading.
    fn for_init(&self) -> OwnedFd {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).open(self.0.join("fifo"));
        file.unwrap().into()
    }

    /// What is left in it after this word, once init has closed it.
    fn left_after(&self, word: &[u8]) -> Vec<u8> {
        let mut writer = self.open(false, true).unwrap();
        let mut reader = self.open(true, false).unwrap();
        writer.write_all(word).unwrap();
        drop(writer);
        // Not before: what is read too early is the word that init waits for.
        let mut closed = [PollFd::new(reader.as_fd(), PollFlags::empty())];
        let ready = poll(&mut closed, PollTimeout::from(20_000u16)).unwrap();
        assert_eq!(ready, 1, "init holds it");
        let mut left = Vec::new();
        reader.read_to_end(&mut left).unwrap();
        left
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const AWAIT: [Step<'static>; 2] = [Step::Ready {}, Step::AwaitStart { descriptor: 5 }];

#[test]
fn the_start_needs_no_parent() {
    let fifo = Fifo::new("start");
    let args = shell("echo started; ls -l /proc/self/fd | grep -c fifo; true");
    let steps = [&AWAIT[..], &[exec(b"/bin/sh\0", &args)]].concat();
    let mut init = Init::start_handing(&plan(&steps), &[fifo.for_init()], |_| ());
    init.proceed();
    assert_eq!(init.message(), None, "init lets the channel go");
    init.close_channel();
    assert!(init.child.try_wait().unwrap().is_none(), "it waits");
    assert_eq!(fifo.left_after(&[PROCEED]), [0; 0], "executed");
    assert_eq!(init.output(), "started\n0\n");
    assert_eq!(init.code(), Some(0));
    let error = fifo.open(false, true).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENXIO), "init is gone");
}

#[test]
fn a_failure_after_the_start_is_in_the_fifo() {
    let fifo = Fifo::new("failure");
    for (word, program, failure) in [
        (PROCEED, &b"/no/such\0"[..], failed(2, Errno::ENOENT, 0)),
        (PROCEED, b"/no/such\0/\0", failed(2, Errno::EACCES, 1)),
        (7, b"/bin/true\0", failed(1, Errno::EPROTO, 0)),
    ] {
        let steps = [&AWAIT[..], &[exec(program, b"x\0")]].concat();
        let mut init = Init::start_handing(&plan(&steps), &[fifo.for_init()], |_| ());
        init.proceed();
        assert_eq!(init.message(), None);
        let left = fifo.left_after(&[word]);
        assert_eq!(Message::from_bytes(left[..].try_into().unwrap()), failure);
        assert_eq!(init.code(), Some(125));
    }
}

#[test]
fn a_program_is_looked_for_before_it_is_executed() {
    let cases: [(&[u8], _); 4] = [
        (b"/no/such\0/bin/sh\0", None),
        (b"/no/such\0/nor/this\0", failed(0, Errno::ENOENT, 0)),
        (b"/no/such\0/\0", failed(0, Errno::EACCES, 1)),
        (b"/proc/version\0", failed(0, Errno::EACCES, 0)),
    ];
    for (candidates, failure) in cases {
        let candidates = strings(candidates);
        let steps = [
            Step::FindProgram { candidates },
            exec(b"/bin/true\0", b"x\0"),
        ];
        assert_eq!(Init::start(&plan(&steps)).message(), failure);
    }
}

/// A hook that is a shell's script.
fn hook<'a>(args: &'a [u8], state: &'a std::ffi::CStr, timeout_ms: u32) -> Step<'a> {
    Step::Hook {
        path: c"/bin/sh",
        args: strings(args),
        env: strings(b"PATH=/usr/bin:/bin\0A=b\0"),
        timeout_ms,
        state,
    }
}

#[test]
fn a_hook_is_told_the_state_and_nothing_else() {
    let args = shell("cat; echo; echo $$ $PPID $A; ls /proc/self/fd; umask; echo \"$(env)\"");
    // Longer than any pipe.
    let annotation = "x".repeat(200_000);
    let state = format!("{{\"pid\":\x01,\"a\":\"{annotation}\",\"again\":\x01}}\0");
    let state = std::ffi::CStr::from_bytes_with_nul(state.as_bytes()).unwrap();
    let steps = [Step::Umask { mask: 0o27 }, hook(&args, state, 0)];
    let steps = [&steps[..], &[exec(b"/bin/echo\0", b"echo\0done\0")]].concat();
    let mut init = Init::start(&plan(&steps));
    let output = init.output();
    let mut lines = output.lines();
    let pid = init.child.id();
    let told = format!("{{\"pid\":{pid},\"a\":\"{annotation}\",\"again\":{pid}}}");
    assert_eq!(lines.next(), Some(told.as_str()));
    let ids: Vec<_> = lines.next().unwrap().split(' ').collect();
    assert_eq!(ids[1..], [pid.to_string().as_str(), "b"]);
    // The last is the directory that is read.
    let rest: Vec<_> = lines.collect();
    assert_eq!(rest[..5], ["0", "1", "2", "3", "0027"]);
    assert_eq!(rest.last(), Some(&"done"));
}

#[test]
fn a_hook_must_succeed_in_time() {
    let run = |script: &str, timeout_ms| {
        let args = shell(script);
        let steps = [
            Step::NoNewPrivileges {},
            hook(&args, c"{}", timeout_ms),
            exec(b"/bin/true\0", b"x\0"),
        ];
        Init::start(&plan(&steps)).message()
    };
    assert_eq!(run("exit 0", 5000), None);
    assert_eq!(run("exit 3", 5000), failed(1, Errno::ECHILD, 3 << 8));
    assert_eq!(run("kill -9 $$", 0), failed(1, Errno::ECHILD, 9));
    let begin = Instant::now();
    let args = shell("sleep 100 & sleep 100");
    let mut init = Init::start(&plan(&[hook(&args, c"{}", 200)]));
    assert_eq!(init.message(), failed(0, Errno::ETIMEDOUT, 0));
    // The grandchild holds standard output: its end says that it is gone too.
    assert_eq!(init.output(), "");
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert!(begin.elapsed() >= Duration::from_millis(200));
    let missing = Step::Hook {
        path: c"/no/such",
        args: strings(b"x\0"),
        env: strings(b""),
        timeout_ms: 0,
        state: c"{}",
    };
    let steps = [missing, exec(b"/bin/true\0", b"x\0")];
    let message = Init::start(&plan(&steps)).message();
    assert_eq!(message, failed(0, Errno::ENOENT, 0));
}

#[test]
fn the_parent_runs_its_hooks_when_asked() {
    let steps = [Step::RuntimeHooks {}, exec(b"/bin/echo\0", b"echo\0done\0")];
    let mut init = Init::start(&plan(&steps));
    assert_eq!(init.message(), Some(Message::Hooks));
    assert!(init.child.try_wait().unwrap().is_none(), "it waits");
    init.send(&[PROCEED]);
    assert_eq!(init.output(), "done\n");
}

#[test]
fn preserved_descriptors_are_3_and_the_following() {
    let fifo = Fifo::new("preserved");
    let args = shell("cat <&3; cat <&4; ls /proc/$$/fd; echo $((LISTEN_PID - $$)) $LISTEN_FDS");
    let program = Step::Exec {
        candidates: strings(b"/bin/sh\0"),
        args: strings(&args),
        env: strings(b"PATH=/usr/bin:/bin\0LISTEN_PID=\0LISTEN_FDS=2\0"),
    };
    let preserve = Step::PreserveDescriptors { first: 6, count: 2 };
    let steps = [&AWAIT[..], &[preserve, program]].concat();
    let handed = [fifo.for_init(), file("one "), file("two\n")];
    let mut init = Init::start_handing(&plan(&steps), &handed, |_| ());
    drop(handed);
    init.proceed();
    assert_eq!(fifo.left_after(&[PROCEED]), [0; 0]);
    assert_eq!(init.output(), "one two\n0\n1\n2\n3\n4\n0 2\n");
    // A failure is still told, wherever the FIFO has gone.
    let many: Vec<_> = (0..20).map(|_| file("")).collect();
    let handed: Vec<_> = std::iter::once(fifo.for_init()).chain(many).collect();
    let preserve = Step::PreserveDescriptors {
        first: 6,
        count: 20,
    };
    let steps = [&AWAIT[..], &[preserve, exec(b"/no/such\0", b"x\0")]].concat();
    let init = Init::start_handing(&plan(&steps), &handed, |_| ());
    drop(handed);
    init.proceed();
    let left = fifo.left_after(&[PROCEED]);
    let failure = Message::from_bytes(left[..].try_into().unwrap());
    assert_eq!(failure, failed(3, Errno::ENOENT, 0));
}

/// A container's state directory may vanish: nobody can ever say the word then.
#[test]
fn without_a_name_of_the_fifo_nothing_waits() {
    let fifo = Fifo::new("vanished");
    let steps = [&AWAIT[..], &[exec(b"/bin/true\0", b"true\0")]].concat();
    let mut init = Init::start_handing(&plan(&steps), &[fifo.for_init()], |_| ());
    init.proceed();
    assert_eq!(init.message(), None);
    init.close_channel();
    let held = fifo.for_init();
    fs::remove_file(fifo.0.join("fifo")).unwrap();
    let begun = Instant::now();
    assert_eq!(init.code(), Some(125));
    assert!(begun.elapsed() < Duration::from_secs(15));
    let mut left = [0; 16];
    File::from(held).read_exact(&mut left).unwrap();
    assert_eq!(Message::from_bytes(&left), failed(1, Errno::ENOENT, 0));
}

/// The user that runs this has a home there, which is not what the environment says.
#[test]
fn a_home_that_is_not_said_is_that_of_the_user() {
    let home = |steps: &[Step<'_>], env: &[u8]| {
        let program = Step::Exec {
            candidates: strings(b"/bin/sh\0"),
            args: strings(b"sh\0-c\0echo $HOME\0"),
            env: strings(env),
        };
        let mut init = Init::start(&plan(&[steps, &[program]].concat()));
        assert_eq!(init.message(), None);
        init.output()
    };
    let user = nix::unistd::User::from_uid(2.into()).unwrap().unwrap();
    let expected = format!("{}\n", user.dir.display());
    let look = [Step::Home { uid: 2 }];
    assert_eq!(home(&look, b"A=b\0HOME=\0"), expected);
    assert_eq!(home(&look, b"HOME=/said\0"), "/said\n");
    assert_eq!(home(&[], b"HOME=\0"), "\n");
    assert_eq!(
        home(&[Step::Home { uid: 4_000_000_000 }], b"HOME=\0"),
        "/\n"
    );
}

#[test]
fn a_fork_is_the_parents_own_child() {
    let steps = [
        Step::Fork {},
        Step::Ready {},
        exec(b"/bin/sh\0", b"sh\0-c\0exit 3\0"),
    ];
    let mut init = Init::start(&plan(&steps));
    let (pid, _pidfd) = init.forked();
    init.go_on();
    assert_eq!(init.message(), None);
    let pid = nix::unistd::Pid::from_raw(pid);
    let end = nix::sys::wait::waitpid(pid, None).unwrap();
    assert_eq!(end, nix::sys::wait::WaitStatus::Exited(pid, 3));
    assert_eq!(init.code(), Some(0));
}

#[test]
fn how_the_program_is_scheduled() {
    let batch = Step::Scheduler {
        policy: 3,
        flags: 0,
        nice: 7,
        priority: 0,
        runtime: 0,
        deadline: 0,
        period: 0,
    };
    let field = |number| format!("cut -d' ' -f{number} /proc/self/stat");
    let text = printed(&[batch], &format!("{}; {}", field(19), field(41)));
    assert_eq!(text, "7\n3\n");
    let idle = Step::IoPriority { class: 3, level: 0 };
    let best = Step::IoPriority { class: 2, level: 6 };
    assert_eq!(printed(&[idle], "ionice"), "idle\n");
    assert_eq!(printed(&[best], "ionice"), "best-effort: prio 6\n");
    // More CPUs than there are, and than fit into a cpu_set_t.
    let mut cpus = vec![0; 512];
    cpus[0] = 1;
    cpus[400] = 1;
    let cpus = Bits::new(&cpus).unwrap();
    let allowed = "grep Cpus_allowed_list /proc/self/status";
    let text = printed(&[Step::Affinity { cpus }], allowed);
    assert_eq!(text, "Cpus_allowed_list:\t0\n");
    let persona = printed(
        &[Step::Personality { persona: 8 }],
        "cat /proc/self/personality",
    );
    assert_eq!(persona, "00000008\n");
}

#[test]
fn what_is_written_to_a_procfs() {
    let adjust = [Step::Procfs {}, Step::OomScoreAdj { score: 321 }];
    assert_eq!(printed(&adjust, "cat /proc/self/oom_score_adj"), "321\n");
    assert_eq!(printed(&[Step::Umask { mask: 0o27 }], "umask"), "0027\n");
    // Without the procfs, and after Ready has closed it.
    let init = Init::start(&plan(&adjust[1..]));
    assert_eq!(init.message(), failed(0, Errno::EBADF, 0));
    let late = [adjust[0], Step::Ready {}, adjust[1]];
    let init = Init::start(&plan(&late));
    init.proceed();
    assert_eq!(init.message(), failed(2, Errno::EBADF, 0));
    let label = |attribute| Step::ExecLabel {
        attribute,
        label: c"x",
    };
    let refused = [
        (label(c"../comm"), Errno::EXDEV),
        (label(c"/proc/self/comm"), Errno::EXDEV),
        (label(c"no-such"), Errno::ENOENT),
        (
            Step::Sysctl {
                key: c"../self/comm",
                value: c"x",
            },
            Errno::EXDEV,
        ),
    ];
    for (step, errno) in refused {
        let init = Init::start(&plan(&[Step::Procfs {}, step]));
        assert_eq!(init.message(), failed(1, errno, 0), "{step:?}");
    }
}
