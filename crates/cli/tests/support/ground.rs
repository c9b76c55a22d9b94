//! What commands are killed on, or made to fail: a container that they concern, one that they don't,
//! and the ways back.

use std::fs;
use std::time::Duration;

use nix::errno::Errno;

use super::Leaks;
use super::attack::{cgroups, full};
use super::bundle::Bundle;
use super::tracer::{Call, Fault, Followed, follow};

/// A command, and what there is before it.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) words: &'static str,
    before: &'static [&'static str],
    /// Init's calls before this one are those of another case, and not tried again when there is no
    /// time.
    init_from: usize,
}

const fn case(words: &'static str, before: &'static [&'static str]) -> Case {
    Case {
        words,
        before,
        init_from: 0,
    }
}

pub(crate) const CREATE: Case = case("create one", &[]);
/// Of a container with a user namespace: what the parent does for it.
pub(crate) const CREATE_MAPPED: Case = Case {
    init_from: usize::MAX,
    ..CREATE
};

pub(crate) const RUN: Case = Case {
    init_from: 220,
    ..case("run -d one", &[])
};
pub(crate) const EXEC: Case = case("exec one /bin/true", &["run -d one"]);
pub(crate) const OTHERS: [Case; 6] = [
    case("start one", &["create one"]),
    case("delete --force one", &["run -d one"]),
    case("kill one KILL", &["run -d one"]),
    case("pause one", &["run -d one"]),
    case("resume one", &["run -d one", "pause one"]),
    case("gc", &["run -d one"]),
];

/// What an attack of faults is made on: a container that they concern, and one that they don't.
pub(crate) struct Ground {
    pub(crate) bundle: Bundle,
    bystander: Bundle,
    pub(crate) leaks: Leaks,
    /// Whether it has mounts of the host's that are locked.
    pub(crate) is_mapped: bool,
}

impl Ground {
    /// The container has a user namespace, and mounts that the parent sends.
    pub(crate) fn mapped(name: &str) -> Self {
        let mut ground = Self::new(name);
        ground.is_mapped = true;
        ground.bundle.user_namespace([300_000; 2], 65536);
        ground
    }

    pub(crate) fn new(name: &str) -> Self {
        let mut leaks = Leaks::watch();
        // What has run is seen in the root.
        let mut bundle = Bundle::new(name, "echo ran >/ran; exec sleep 600");
        // Without it init looks into /etc/passwd, and what it can't find there does not matter.
        let env = bundle.config["process"]["env"].as_array_mut();
        env.expect("a list").push("HOME=/".into());
        let mut bystander = Bundle::new(&format!("{name}-other"), "exec sleep 600");
        bystander.before.clone_from(&bundle.before);
        assert_eq!(bystander.leave("run -d other").code(), 0);
        let pid = bystander.state("other")["pid"].clone();
        // It has another name before that, and what is there is known by its name.
        while fs::read_to_string(format!("/proc/{pid}/comm")).unwrap() != "sleep\n" {
            std::thread::sleep(Duration::from_millis(1));
        }
        leaks.allow_what_is_there();
        Self {
            bundle,
            bystander,
            leaks,
            is_mapped: false,
        }
    }

    pub(crate) fn prepare(&self, case: Case) {
        for words in case.before {
            let outcome = self.bundle.leave(words);
            assert_eq!(outcome.code(), 0, "{words}: {outcome:?}");
        }
        let _ = fs::remove_file(self.ran());
    }

    pub(crate) fn follow(&self, case: Case, fault: Option<(Call, Fault)>) -> Followed {
        follow(&self.bundle.command(case.words.split(' ')), fault)
    }

    /// Looks which calls the cases make, and does something about each that is tried, told by its
    /// number; how many calls there are.
    pub(crate) fn at_each_call(
        &self,
        cases: &[Case],
        mut strike: impl FnMut(Case, usize, Call),
    ) -> usize {
        let mut all = 0;
        for &case in cases {
            self.prepare(case);
            let followed = self.follow(case, None);
            assert_eq!(followed.code, 0, "{}: {}", case.words, self.said());
            self.way_back(false, case.words);
            all += followed.calls.len();
            for (index, call) in chosen(&followed.calls, case).into_iter().enumerate() {
                strike(case, index, call);
            }
        }
        all
    }

    pub(crate) fn ran(&self) -> std::path::PathBuf {
        self.bundle.directory.path().join("rootfs/ran")
    }

    /// What the command wrote to its standard error.
    pub(crate) fn said(&self) -> String {
        let bytes = fs::read(self.bundle.directory.path().join("said")).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The entries of the state directory without the bystander's.
    pub(crate) fn entries(&self) -> Vec<String> {
        let mut entries = self.bundle.entries();
        entries.retain(|entry| entry != "other");
        entries
    }

    /// Nothing is left by itself: no entry and no cgroup.
    #[track_caller]
    pub(crate) fn is_clean(&self, after: &str) {
        assert_eq!(self.entries(), [""; 0], "{after}: {}", self.said());
        let name = self.bundle.directory.path().file_name().unwrap();
        let own = cgroups(&name.to_string_lossy());
        assert_eq!(own.len(), 0, "{after}: {own:?}");
    }

    /// Whatever happened, the way back is open, and leads to where nothing is left.
    #[track_caller]
    pub(crate) fn way_back(&self, by_gc: bool, after: &str) {
        if by_gc {
            let outcome = self.bundle.run("gc");
            assert_eq!(outcome.code(), 0, "{after}: {outcome:?}");
            if let [left] = &*self.entries() {
                // It was made to its end, or was there before: gc may not touch it.
                let status = self.bundle.status(left);
                assert_ne!(status, "creating", "{after}: {outcome:?}");
            }
        }
        self.bundle.run("delete --force one").success();
        self.is_clean(after);
        self.leaks.check(after);
        assert_eq!(self.bystander.status("other"), "running", "{after}");
    }
}

/// The points that are tried: all of init's, and all of the command's or as many as there is time
/// for, spread evenly.
pub(crate) fn chosen(calls: &[Call], case: Case) -> Vec<Call> {
    let (command, init): (Vec<Call>, Vec<Call>) = calls.iter().partition(|call| call.process == 0);
    // Before its first own act, to compare its ids, the loader and Rust's runtime are at work.
    let first = command.iter().position(|call| call.name() == "getegid");
    let command = &command[first.expect("it compares them") + 1..];
    let step = match full() {
        true => 1,
        false => command.len().div_ceil(QUICK).max(1),
    };
    let init = init
        .into_iter()
        .filter(|call| full() || call.index >= case.init_from);
    command.iter().copied().step_by(step).chain(init).collect()
}

/// How many of the command's own calls are tried in the quick form.
const QUICK: usize = 25;

pub(crate) const ERRORS: [Errno; 7] = [
    Errno::EPERM,
    Errno::ENOSPC,
    Errno::EIO,
    Errno::EMFILE,
    Errno::ENFILE,
    Errno::EDQUOT,
    Errno::EAGAIN,
];

/// Calls that can't fail, or that must not be kept from doing what a process can't go on without. Of
/// the last three the standard library, or rustix, knows that they can't, and panics. close(2) closes
/// whatever it answers, and a call that is struck is not made at all.
pub(crate) const NEVER_FAIL: [&str; 15] = [
    "close",
    "exit",
    "exit_group",
    "rt_sigreturn",
    "rt_sigaction",
    "execve",
    "brk",
    "umask",
    "getuid",
    "geteuid",
    "getegid",
    "gettid",
    "uname",
    "getrandom",
    "clock_nanosleep",
];

/// Without these what has been made can't be undone: then it is left to `delete --force`.
pub(crate) const UNDOING: [&str; 8] = [
    "rmdir",
    "unlinkat",
    "unlink",
    "kill",
    "pidfd_send_signal",
    "waitid",
    "poll",
    "ppoll",
];

/// What init may go on from: what it closes is closed by its exec as well; what it resolves is
/// resolved again at EAGAIN; no signal waits at EAGAIN; who leads a session already can't at EPERM; a
/// capability that it can't drop is looked for, and fine when it is not there; which of the candidates
/// for the program are there is for a message.
pub(crate) fn is_of_no_consequence(call: &Call, errno: Errno) -> bool {
    match call.name() {
        "close" | "munmap" | "faccessat" | "prctl" => true,
        "openat2" | "rt_sigtimedwait" => errno == Errno::EAGAIN,
        "setsid" => errno == Errno::EPERM,
        _ => false,
    }
}

/// How many of init's calls of prctl(2) may fail without consequence: those that drop what is not
/// there.
pub(crate) const DROPPED_IN_VAIN: usize = 3;
