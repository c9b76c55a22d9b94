//! A sandbox in a real terminal, driven by tmux: a shell with its jobs, a program that takes the whole
//! screen, a window that changes its size; and standard inputs that are no terminal.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs::File;
use std::io::{Read, Write, pipe};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::{Leaks, TempDir, crabcan, lacks, program, run, run_with_input};

/// A terminal of 80 times 24 characters, with a shell around what runs in it.
struct Screen {
    place: TempDir,
}

impl Screen {
    fn with(command: &str) -> Option<Self> {
        let there = Command::new("tmux").arg("-V").output();
        if there.is_err() {
            lacks("tmux");
            return None;
        }
        let screen = Self {
            place: TempDir::new("tmux"),
        };
        let command = format!("PS1='outer> ' ENV= /bin/sh -c '{command}; echo ended $?; exec cat'");
        screen.tmux(&["new-session", "-d", "-x", "80", "-y", "24", &command]);
        Some(screen)
    }

    fn tmux(&self, words: &[&str]) -> String {
        let mut tmux = Command::new("tmux");
        let socket = self.place.path().join("socket");
        tmux.arg("-S").arg(socket).args(["-f", "/dev/null"]);
        tmux.args(words).env("TERM", "screen").env_remove("TMUX");
        run(&mut tmux).success()
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Types a line.
    fn line(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.keys(&["Enter"]);
    }

    /// Waits until a line of the screen is this.
    #[track_caller]
    fn shows(&self, wanted: &str) {
        self.waits(wanted, |times| times > 0);
    }

    /// Waits until so many lines of the screen are this.
    #[track_caller]
    fn shows_times(&self, wanted: &str, times: usize) {
        self.waits(wanted, |found| found == times);
    }

    #[track_caller]
    fn waits(&self, wanted: &str, enough: impl Fn(usize) -> bool) {
        let until = Instant::now() + Duration::from_secs(15);
        loop {
            let screen = self.tmux(&["capture-pane", "-p"]);
            let lines = screen.lines();
            if enough(lines.filter(|line| line.trim_end() == wanted).count()) {
                return;
            }
            assert!(Instant::now() < until, "no line {wanted:?}:\n{screen}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut tmux = Command::new("tmux");
        tmux.arg("-S").arg(self.place.path().join("socket"));
        let _ = tmux.arg("kill-server").output();
    }
}

#[test]
#[ignore = "needs packages: cargo xtask ci --all"]
fn a_shell_in_a_terminal_works_as_without_a_sandbox() {
    let leaks = Leaks::watch();
    let inside = format!(
        "{} --setenv PS1 in: --setenv TERM screen -- /bin/sh",
        program().display()
    );
    let Some(screen) = Screen::with(&inside) else {
        return;
    };
    screen.shows("in:");
    screen.line("echo $((6 * 7))");
    screen.shows("42");
    // An interrupt ends what runs, and not the shell.
    screen.line("sleep 100; echo interrupted $?");
    thread::sleep(Duration::from_millis(300));
    screen.keys(&["C-c"]);
    // What is typed before the prompt is there stands before it.
    screen.shows("in:");
    screen.line("echo still-$((1 + 1))");
    screen.shows("still-2");
    // A job is stopped and goes on.
    screen.line("cat >/tmp/typed");
    thread::sleep(Duration::from_millis(300));
    screen.line("before");
    // The key throws away what was typed and not read.
    thread::sleep(Duration::from_millis(500));
    screen.keys(&["C-z"]);
    screen.line("jobs >/tmp/jobs; echo stopped-$(grep -c Stopped /tmp/jobs)");
    screen.shows("stopped-1");
    screen.line("fg");
    screen.line("behind");
    screen.keys(&["C-d"]);
    screen.line("tr \"\\n\" , </tmp/typed; echo");
    screen.shows("before,behind,");
    // The window grows, and a program that takes all of it is told.
    screen.tmux(&["resize-window", "-x", "100", "-y", "30"]);
    screen.line("stty size");
    screen.shows("30 100");
    screen.line("seq 100 >/tmp/numbers; less /tmp/numbers");
    screen.shows("29");
    screen.keys(&["G"]);
    screen.shows("100");
    screen.tmux(&["resize-window", "-x", "90", "-y", "20"]);
    // tmux tells of sizes that follow one another quickly a moment later.
    thread::sleep(Duration::from_millis(800));
    screen.keys(&["g"]);
    screen.shows("19");
    screen.keys(&["q"]);
    screen.line("clear; stty size");
    screen.shows("20 90");
    screen.line("exit 3");
    screen.shows("ended 3");
    // Nothing was left in the caller's terminal, which is as it was: it shows what is typed.
    screen.line("echoed-by-the-terminal");
    screen.shows("echoed-by-the-terminal");
    drop(screen);
    leaks.check("a shell in a terminal");
}

/// An editor draws on the whole screen, is stopped and goes on, and follows the window's size.
#[test]
#[ignore = "needs packages: cargo xtask ci --all"]
fn an_editor_has_the_whole_screen() {
    let leaks = Leaks::watch();
    let there = |program: &str| Path::new("/usr/bin").join(program).exists();
    let editor = match (there("vim"), there("vi"), there("busybox")) {
        (true, _, _) => "vim -N -u NONE",
        (_, true, _) => "vi",
        (_, _, true) => "busybox vi",
        _ => return lacks("vim, vi or busybox"),
    };
    let inside = format!(
        "{} --setenv PS1 in: --setenv TERM screen -- /bin/sh",
        program().display()
    );
    let Some(screen) = Screen::with(&inside) else {
        return;
    };
    screen.shows("in:");
    screen.line(&format!("{editor} /tmp/note"));
    // All lines behind the end of the text, down to the one of commands.
    screen.shows_times("~", 22);
    screen.tmux(&["send-keys", "-l", "iwritten in a sandbox"]);
    screen.keys(&["Escape"]);
    screen.shows("written in a sandbox");
    // It waits whether the escape begins the code of another key.
    screen.shows_times("-- INSERT --", 0);
    thread::sleep(Duration::from_millis(500));
    screen.keys(&["C-z"]);
    // What is typed before it has given the terminal back is thrown away.
    screen.shows("in:");
    screen.line("jobs >/tmp/jobs; clear; echo stopped-$(grep -c Stopped /tmp/jobs)");
    screen.shows("stopped-1");
    screen.line("fg");
    screen.shows("written in a sandbox");
    screen.shows_times("~", 22);
    screen.tmux(&["resize-window", "-x", "90", "-y", "30"]);
    screen.shows_times("~", 28);
    // An interrupt is a key like others to it, by which it forgets what was typed.
    screen.keys(&["C-c"]);
    thread::sleep(Duration::from_millis(500));
    screen.tmux(&["send-keys", "-l", ":wq"]);
    screen.keys(&["Enter"]);
    screen.shows("in:");
    screen.line("clear; tr a-z A-Z </tmp/note; exit 3");
    screen.shows("WRITTEN IN A SANDBOX");
    screen.shows("ended 3");
    drop(screen);
    leaks.check("an editor");
}

/// What types into a terminal that it has, types into the sandbox' own.
#[test]
#[ignore = "needs packages: cargo xtask ci --all"]
fn nothing_is_typed_into_the_callers_terminal() {
    let leaks = Leaks::watch();
    let script = "import fcntl,termios,os
for fd in (0, 1, 2, os.open(\"/dev/tty\", os.O_RDWR)):
    for byte in b\"evil\\n\":
        try: fcntl.ioctl(fd, termios.TIOCSTI, bytes([byte]))
        except OSError: pass";
    let place = TempDir::new("typist");
    let file = place.file("typist.py", script.as_bytes(), 0o644);
    let inside = format!(
        "{} --seccomp none --ro-bind {} /tmp/t.py -- /usr/bin/python3 /tmp/t.py",
        program().display(),
        file.display()
    );
    let Some(screen) = Screen::with(&inside) else {
        return;
    };
    screen.shows("ended 0");
    thread::sleep(Duration::from_millis(300));
    let shown = screen.tmux(&["capture-pane", "-p"]);
    // Its own terminal has shown it; what reads the caller's now has nothing to read.
    let (_, behind) = shown.split_once("ended 0").expect("an end");
    assert!(!behind.contains("evil"), "{shown}");
    drop(screen);
    leaks.check("typing");
}

#[test]
fn standard_input_may_be_closed_nothing_a_pipe_or_a_full_one() {
    let _leaks = Leaks::watch();
    let mut closed = Command::new("/bin/sh");
    closed.args(["-c", "exec \"$0\" -- sh -c 'cat 2>/dev/null; echo $?' <&-"]);
    assert!(run(closed.arg(program())).success().ends_with('\n'));
    let mut nothing = crabcan(["--", "cat"]);
    nothing.stdin(File::open("/dev/null").unwrap());
    assert_eq!(nothing.output().unwrap().stdout, b"");
    let piped = run_with_input(&mut crabcan(["--", "cat"]), b"through");
    assert_eq!(piped.success(), "through");
    let (reader, writer) = full_pipe();
    let mut full = crabcan(["--", "head", "-c", "3"]);
    let output = full.stdin(reader).output().unwrap();
    assert_eq!(output.stdout, b"xxx");
    drop(writer);
}

/// A pipe that takes nothing more, with its writer.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    // A pipe's size is 64 KiB unless somebody has changed it.
    writer.write_all(&[b'x'; 65536]).unwrap();
    (reader, writer)
}

/// Who writes to a pipe that is full waits; crabcan itself does not, and can be told to end.
#[test]
fn standard_output_may_be_a_full_pipe() {
    let _leaks = Leaks::watch();
    let (mut reader, writer) = full_pipe();
    let status = {
        let mut command = crabcan(["--time", "0.5", "--", "sh", "-c", "echo behind"]);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
            .stdout(writer.try_clone().unwrap())
            .status()
            .unwrap()
    };
    assert_eq!(status.code(), Some(137));
    let mut command = crabcan(["--", "sh", "-c", "echo behind"]);
    let mut child = command.stdin(Stdio::null()).stdout(writer).spawn().unwrap();
    drop(command);
    let mut text = Vec::new();
    reader.read_to_end(&mut text).unwrap();
    assert!(text.ends_with(b"xbehind\n"), "{}", text.len());
    assert!(child.wait().unwrap().success());
}
