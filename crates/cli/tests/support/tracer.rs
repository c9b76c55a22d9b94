//! Follows a command, and what it starts up to the program of the container, from system call to
//! system call: by ptrace(2), which can kill a process at any of them or make it fail.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crabcan_seccomp::{Architecture, syscalls};
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// What a command under a fault may take, on a machine that has other things to do.
const LIMIT: Duration = Duration::from_secs(60);

/// A system call: of the command and its threads (0), of the init that it starts (1) or of what that
/// goes on in (2, …), and which one of that process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call {
    pub(crate) process: usize,
    pub(crate) index: usize,
    number: u64,
}

impl Call {
    pub(crate) fn name(&self) -> &'static str {
        let native = Architecture::native().expect("an architecture with tables");
        let number = u32::try_from(self.number).unwrap_or(u32::MAX);
        syscalls::name(native, number).unwrap_or("unknown")
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whose = match self.process {
            0 => "the command",
            1 => "init",
            _ => "init's child",
        };
        write!(f, "call {} of {whose}, {}", self.index, self.name())
    }
}

/// What is done to a process at a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Kill,
    /// The kernel's answer, in place of the call.
    Error(Errno),
}

/// How it went.
#[derive(Debug)]
pub(crate) struct Followed {
    /// Every call there was, process by process.
    pub(crate) calls: Vec<Call>,
    /// Whether the fault came to pass.
    pub(crate) struck: bool,
    /// How the command ended: its code, or minus the number of a signal.
    pub(crate) code: i32,
}

/// Runs a command to its end. What it leaves running goes on.
#[track_caller]
pub(crate) fn follow(command: &Command, fault: Option<(Call, Fault)>) -> Followed {
    let mut waiting = Command::new("/bin/sh");
    // Its own calls are not counted: those of the command begin with its execution.
    waiting.args([
        "-c",
        "echo; read go; exec \"$@\" </dev/null >/dev/null",
        "sh",
    ]);
    waiting.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => waiting.env(name, value),
            None => waiting.env_remove(name),
        };
    }
    waiting.current_dir(command.get_current_dir().expect("the bundle's directory"));
    let said = command.get_current_dir().expect("the same").join("said");
    let said = std::fs::File::create(said).expect("make a file");
    waiting.stdin(Stdio::piped()).stdout(Stdio::piped());
    waiting.stderr(said);
    // What is still traced when the thread ends is let go by the kernel.
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(Tracer::run(waiting, fault)));
    receiver
        .recv_timeout(LIMIT)
        .unwrap_or_else(|error| panic!("{fault:?}: {error}"))
}

struct Process {
    ordinal: usize,
    /// How many programs it has executed, the inherited ones included.
    executed: usize,
    /// The answer that its present call is to get.
    answer: Option<Errno>,
}

struct Tracer {
    fault: Option<(Call, Fault)>,
    processes: BTreeMap<Pid, Process>,
    /// Seen before the word of their parent's.
    early: BTreeSet<Pid>,
    /// How many calls each process has made, by its ordinal.
    made: Vec<usize>,
    followed: Followed,
}

impl Tracer {
    #[allow(
        clippy::zombie_processes,
        reason = "it is waited for as every traced process"
    )]
    fn run(mut command: Command, fault: Option<(Call, Fault)>) -> Followed {
        let mut child = command.spawn().expect("start a shell");
        let root = Pid::from_raw(child.id().cast_signed());
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK;
        // Only then has the shell come into being.
        let mut stdout = child.stdout.take().expect("piped");
        stdout.read_exact(&mut [0]).expect("it writes");
        ptrace::seize(root, options).expect("trace a child");
        ptrace::interrupt(root).expect("stop a child");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(b"go\n").expect("it reads");
        drop(stdin);
        let mut tracer = Self {
            fault,
            processes: BTreeMap::new(),
            early: BTreeSet::new(),
            made: Vec::new(),
            followed: Followed {
                calls: Vec::new(),
                struck: false,
                code: 0,
            },
        };
        tracer.add(root, None);
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            match waitpid(None, Some(flags)).expect("there is a child") {
                WaitStatus::Exited(pid, code) if pid == root => tracer.followed.code = code,
                WaitStatus::Signaled(pid, signal, _) if pid == root => {
                    tracer.followed.code = -(signal as i32);
                }
                status => {
                    tracer.take(status);
                    continue;
                }
            }
            tracer.followed.calls.sort();
            return tracer.followed;
        }
    }

    fn add(&mut self, pid: Pid, parent: Option<Pid>) {
        let parent_of = parent.and_then(|parent| self.processes.get(&parent));
        let is_thread =
            parent.is_some_and(|parent| Path::new(&format!("/proc/{parent}/task/{pid}")).exists());
        let ordinal = match parent_of.filter(|_| is_thread) {
            Some(process) => process.ordinal,
            None => {
                self.made.push(0);
                self.made.len() - 1
            }
        };
        let process = Process {
            ordinal,
            executed: parent_of.map_or(0, |it| it.executed),
            answer: None,
        };
        self.processes.insert(pid, process);
    }

    fn take(&mut self, status: WaitStatus) {
        // From a call to the next one, and over everything else. It may have been killed meanwhile.
        let go_on = |pid, signal: Option<Signal>| {
            let _ = ptrace::syscall(pid, signal);
        };
        match status {
            WaitStatus::PtraceSyscall(pid) => match self.call(pid) {
                true => {}
                false => go_on(pid, None),
            },
            WaitStatus::PtraceEvent(pid, _, libc::PTRACE_EVENT_STOP) => {
                match self.processes.contains_key(&pid) {
                    true => go_on(pid, None),
                    false => drop(self.early.insert(pid)),
                }
            }
            WaitStatus::PtraceEvent(pid, _, libc::PTRACE_EVENT_EXEC) => {
                if self.executed(pid) {
                    let _ = ptrace::detach(pid, None);
                } else {
                    go_on(pid, None);
                }
            }
            WaitStatus::PtraceEvent(pid, ..) => {
                // Killed since it has made a child.
                let Ok(child) = ptrace::getevent(pid) else {
                    return;
                };
                let child = Pid::from_raw(i32::try_from(child).expect("a pid"));
                self.add(child, Some(pid));
                if self.early.remove(&child) {
                    go_on(child, None);
                }
                go_on(pid, None);
            }
            WaitStatus::Stopped(pid, signal) => go_on(pid, Some(signal)),
            _ => {}
        }
    }

    /// Notes that a process has executed something; whether that is the program of a container.
    fn executed(&mut self, pid: Pid) -> bool {
        let Some(process) = self.processes.get_mut(&pid) else {
            return false;
        };
        process.executed += 1;
        // The command is one, init is another.
        process.ordinal > 0 && process.executed > 2
    }

    /// At the beginning or the end of a call; whether the process was killed there.
    fn call(&mut self, pid: Pid) -> bool {
        let Some(process) = self.processes.get_mut(&pid) else {
            return false;
        };
        let Ok(mut registers) = ptrace::getregs(pid) else {
            return true;
        };
        if let Some(errno) = process.answer.take() {
            registers.rax = (-(errno as i64)).cast_unsigned();
            return ptrace::setregs(pid, registers).is_err();
        }
        // Killed since it stopped, as whoever is in the pid namespace of an init that has ended.
        let Ok(info) = ptrace::syscall_info(pid) else {
            return true;
        };
        if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY || process.executed == 0 {
            return false;
        }
        let index = &mut self.made[process.ordinal];
        let call = Call {
            process: process.ordinal,
            index: *index,
            number: registers.orig_rax,
        };
        *index += 1;
        self.followed.calls.push(call);
        let Some((wanted, fault)) = self.fault else {
            return false;
        };
        // Who was quicker, or asked once more, this time makes the same call later.
        let is_wanted = (call.process, call.number) == (wanted.process, wanted.number)
            && call.index >= wanted.index;
        if self.followed.struck || !is_wanted {
            return false;
        }
        self.followed.struck = true;
        match fault {
            Fault::Kill => {
                kill(pid, Signal::SIGKILL).expect("it is there");
                true
            }
            Fault::Error(errno) => {
                process.answer = Some(errno);
                // There is no such call.
                registers.orig_rax = u64::MAX;
                ptrace::setregs(pid, registers).is_err()
            }
        }
    }
}
