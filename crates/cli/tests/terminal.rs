//! The caller's terminal and the sandbox' own.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and the helper says what it found"
)]

#[path = "tty/sys.rs"]
mod sys;
#[path = "tty/terminal.rs"]
mod terminal;
mod tty;

use std::io::Read;
use std::os::fd::AsFd;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use terminal::Terminal;
use tty::{crabcan, until};

const ENTER: &str = "\r";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_Z: &str = "\x1a";

#[test]
fn the_sandbox_has_a_terminal_of_its_own() {
    let script = "tty; stty size; stat -L -c 'device %d' /proc/self/fd/0; \
        for n in 0 1 2; do test -t $n && echo yes $n; done; echo to all >/dev/tty; \
        cut -d' ' -f6,8 /proc/$$/stat | sed s/$$/self/g";
    let mut terminal = Terminal::script(script);
    terminal.expect("/dev/pts/0\r\n33 77\r\ndevice ");
    terminal.expect("\r\nyes 0\r\nyes 1\r\nyes 2\r\nto all\r\n");
    // It leads a session, and its own process group is in the foreground.
    terminal.expect("self ");
    assert_eq!(terminal.code(), 0);
    let callers = format!("device {}\r\n", terminal.device());
    assert!(!terminal.text().contains(&callers), "{}", terminal.text());
}

#[test]
fn the_sandbox_follows_the_size_of_the_window() {
    let script = "trap 'stty size; exit 4' WINCH; echo ready; while :; do sleep 0.02; done";
    let mut terminal = Terminal::script(script);
    terminal.expect("ready\r\n");
    terminal.resize(44, 88);
    terminal.expect("44 88\r\n");
    assert_eq!(terminal.code(), 4);
}

/// A shell that waits for a line.
fn shell() -> Terminal {
    let mut terminal = Terminal::new();
    terminal.start(crabcan().args(["--", "sh", "-i"]));
    terminal.send("PS1=prompt'> '");
    terminal.send(ENTER);
    terminal.expect("prompt> ");
    terminal
}

fn line(terminal: &mut Terminal, text: &str) {
    terminal.send(text);
    terminal.send(ENTER);
}

#[test]
fn an_interrupt_ends_the_command_and_the_shell_goes_on() {
    let mut shell = shell();
    line(&mut shell, "echo sta''rted; sleep 1000");
    shell.expect("started\r\n");
    thread::sleep(Duration::from_millis(100));
    shell.send(CTRL_C);
    shell.expect("prompt> ");
    line(&mut shell, "echo ali''ve $?");
    shell.expect("alive 130\r\n");
    line(&mut shell, "exit 9");
    assert_eq!(shell.code(), 9);
}

#[test]
fn an_interrupt_ends_a_command_without_a_shell() {
    let mut terminal = Terminal::new();
    terminal.start(crabcan().args(["--", "sleep", "1000"]));
    until("raw mode", || terminal.is_raw());
    // The first one may come before sleep(1) is there.
    thread::sleep(Duration::from_millis(100));
    terminal.send(CTRL_C);
    assert_eq!(terminal.code(), 130);
}

#[test]
fn an_end_of_input_ends_the_shell() {
    let mut shell = shell();
    shell.send(CTRL_D);
    assert_eq!(shell.code(), 0);
}

#[test]
fn the_shell_controls_its_jobs() {
    let mut shell = shell();
    line(&mut shell, "sleep 1001");
    thread::sleep(Duration::from_millis(200));
    shell.send(CTRL_Z);
    shell.expect("Stopped");
    shell.expect("prompt> ");
    line(&mut shell, "bg; jobs");
    shell.expect("Running");
    shell.expect("sleep 1001\r\n");
    line(&mut shell, "kill %1; wait; echo st''ill");
    shell.expect("still\r\n");
    line(&mut shell, "exit 2");
    assert_eq!(shell.code(), 2);
    let text = shell.text();
    assert!(!text.contains("job control"), "{text}");
}

#[test]
fn all_output_arrives_to_the_last_byte() {
    // 65536 lines of 16 bytes, the last of which is the end of the program.
    let script = "yes 0123456789abcde | head -n 65536; printf end";
    let mut terminal = Terminal::script(script);
    assert_eq!(terminal.code(), 0);
    let expected = "0123456789abcde\r\n".repeat(65536) + "end";
    assert_eq!(terminal.output.len(), expected.len());
    assert!(terminal.output == expected.as_bytes());
}

#[test]
fn short_output_of_a_short_command_is_never_lost() {
    for round in 0..30 {
        let mut terminal = Terminal::new();
        let number = round.to_string();
        let pid_1 = ["--as-pid-1"].iter().filter(|_| round % 2 == 1);
        terminal.start(crabcan().args(pid_1).args(["--", "echo", &number]));
        assert_eq!(terminal.code(), 0);
        assert_eq!(terminal.text(), format!("{round}\r\n"));
    }
}

/// As much as fits into the terminal was said, and the container gone, before crabcan could look.
#[test]
fn output_that_waits_at_the_end_is_read_to_the_last_byte() {
    let script = "echo ready; sleep 0.3; head -c 8000 /dev/zero | tr '\\0' x; printf end; exit 3";
    let mut terminal = Terminal::script(script);
    terminal.expect("ready\r\n");
    kill(terminal.pid(), Signal::SIGSTOP).unwrap();
    thread::sleep(Duration::from_millis(1000));
    kill(terminal.pid(), Signal::SIGCONT).unwrap();
    assert_eq!(terminal.code(), 3);
    let expected = format!("ready\r\n{}end", "x".repeat(8000));
    assert_eq!(terminal.output.len(), expected.len());
    assert!(terminal.output == expected.as_bytes());
}

/// For a moment nobody had the terminal open, but it is still the session's.
#[test]
fn output_of_a_terminal_that_was_closed_and_opened_again_arrives() {
    let script = "exec 0<&- 1>&- 2>&-; sleep 0.3; echo back >/dev/tty; sleep 0.1; \
        read word </dev/tty; echo $word again >/dev/tty";
    let mut terminal = Terminal::script(script);
    terminal.expect("back\r\n");
    terminal.send("word\r");
    terminal.expect("word again\r\n");
    assert_eq!(terminal.code(), 0);
}

#[test]
fn the_callers_terminal_is_restored() {
    let mut terminal = Terminal::new();
    let before = terminal.attributes();
    let cases = [
        ("exit 3", 3),
        ("kill -9 $$", 137),
        ("stty raw -echo; exit 1", 1),
        ("exec /etc/passwd", 126),
    ];
    for (script, expected) in cases {
        terminal.start(crabcan().args(["--", "sh", "-c", script]));
        assert_eq!(terminal.code(), expected, "{}", terminal.text());
        assert_eq!(terminal.attributes(), before, "{script}");
    }
    terminal.start(crabcan().args(["--", "/no/such/program"]));
    assert_eq!(terminal.code(), 127);
    assert_eq!(terminal.attributes(), before);
}

#[test]
fn the_callers_terminal_is_restored_when_crabcan_is_told_to_end() {
    let mut terminal = Terminal::new();
    let before = terminal.attributes();
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
        let script = "echo ready; exec sleep 1000";
        terminal.start(crabcan().args(["--", "sh", "-c", script]));
        terminal.expect("ready\r\n");
        until("raw mode", || terminal.is_raw());
        kill(terminal.pid(), signal).unwrap();
        assert_eq!(terminal.code(), 128 + signal as i32);
        assert_eq!(terminal.attributes(), before, "{signal}");
    }
}

/// The terminal is raw, so the interrupt is a byte; the group's signal comes from elsewhere.
#[test]
fn a_signal_to_the_whole_group_arrives_exactly_once() {
    let script =
        "trap 'echo got' INT; trap 'exit 5' TERM; echo ready; while :; do sleep 0.02; done";
    let mut terminal = Terminal::script(script);
    terminal.expect("ready\r\n");
    nix::sys::signal::killpg(terminal.pid(), Signal::SIGINT).unwrap();
    terminal.expect("got\r\n");
    thread::sleep(Duration::from_millis(200));
    nix::sys::signal::killpg(terminal.pid(), Signal::SIGTERM).unwrap();
    assert_eq!(terminal.code(), 5);
    assert_eq!(terminal.text(), "ready\r\ngot\r\n");
}

/// Nobody reads what the sandbox says: crabcan must not sleep in that.
#[test]
fn a_signal_arrives_though_the_callers_terminal_is_full() {
    let mut terminal = Terminal::new();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let script = "trap 'echo got >&2; exit 6' TERM; yes & sleep 0.3; echo full >&2; wait";
    let mut command = crabcan();
    command.args(["--", "sh", "-c", script]).stderr(writer);
    command.stdin(terminal.side()).stdout(terminal.side());
    terminal.start_as_it_is(&mut command);
    let (sender, said) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let mut piece = [0; 100];
        while let Ok(length @ 1..) = reader.read(&mut piece) {
            let _ = sender.send(String::from_utf8_lossy(&piece[..length]).into_owned());
        }
    });
    assert_eq!(said.recv_timeout(tty::LIMIT).unwrap(), "full\n");
    kill(terminal.pid(), Signal::SIGTERM).unwrap();
    assert_eq!(said.recv_timeout(tty::LIMIT).unwrap(), "got\n");
    // The rest waits to be read, or for one more signal.
    thread::sleep(Duration::from_millis(200));
    kill(terminal.pid(), Signal::SIGTERM).unwrap();
    terminal.ends_unread();
    assert_eq!(terminal.code(), 6);
}

#[test]
fn output_to_a_file_is_not_changed() {
    let terminal_and_pipe = |script: &str| {
        let mut terminal = Terminal::new();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let (stdin, stderr) = (terminal.side(), terminal.side());
        let mut command = crabcan();
        command.args(["--", "sh", "-c", script]);
        command.stdin(stdin).stderr(stderr).stdout(writer);
        terminal.start_as_it_is(&mut command);
        let code = terminal.code();
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        (terminal, code, bytes)
    };
    let script = r"printf '\000\001\003\004\n\r\377\032'; stty size >&2; test -t 1 || exit 8";
    let (terminal, code, bytes) = terminal_and_pipe(script);
    assert_eq!(bytes, b"\0\x01\x03\x04\n\r\xff\x1a");
    assert_eq!(terminal.text(), "33 77\r\n");
    assert_eq!(code, 8);
}

#[test]
fn without_a_terminal_as_input_there_is_a_session_and_no_terminal() {
    let mut terminal = Terminal::new();
    let script = "tty; test -t 0 || echo 0 is none; test -t 1 && echo 1 is the callers; \
        cut -d' ' -f6,7 /proc/$$/stat | sed s/$$/self/; (echo x >/dev/tty) 2>&1 | grep -c No.such";
    let mut command = crabcan();
    command.args(["--", "sh", "-c", script]);
    let (stdout, stderr) = (terminal.side(), terminal.side());
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    terminal.start_as_it_is(&mut command);
    assert_eq!(terminal.code(), 0);
    let expected = "not a tty\r\n0 is none\r\n1 is the callers\r\nself 0\r\n1\r\n";
    assert_eq!(terminal.text(), expected);
}

/// Makes this test a program that types into every terminal that it can reach.
const TYPIST: &str = "LC_CRABCAN_TYPIST";

#[test]
fn typist() {
    if std::env::var_os(TYPIST).is_none() {
        return;
    }
    let tty = std::fs::File::open("/dev/tty");
    let all = [
        ("stdin", Some(std::io::stdin().as_fd())),
        ("stdout", Some(std::io::stdout().as_fd())),
        ("stderr", Some(std::io::stderr().as_fd())),
        ("tty", tty.as_ref().ok().map(AsFd::as_fd)),
    ]
    .map(|(name, descriptor)| {
        let typed = descriptor.map(|descriptor| sys::type_into(descriptor, b'#'));
        format!("{name}={}", matches!(typed, Some(Ok(()))))
    });
    println!("typed {}", all.join(" "));
}

fn type_from(command: &mut std::process::Command) -> &mut std::process::Command {
    command
        .args(["typist", "--exact", "--nocapture"])
        .env(TYPIST, "1")
}

#[test]
fn nothing_inside_types_into_the_callers_terminal() {
    let this = std::env::current_exe().unwrap();
    // Outside it works, unless the kernel forbids it to everybody.
    let mut terminal = Terminal::new();
    terminal.start(type_from(&mut std::process::Command::new(&this)));
    assert_eq!(terminal.code(), 0);
    let possible = terminal.text().contains("typed stdin=true stdout=true");
    assert_eq!(terminal.unread() > 0, possible);

    let mut shown = this.into_os_string();
    shown.push(":/tmp/typist");
    let start = || {
        let mut command = crabcan();
        command.arg("--add").arg(&shown).args(["--", "/tmp/typist"]);
        type_from(&mut command);
        command
    };
    // With the caller's terminal as its output only.
    let mut terminal = Terminal::new();
    let mut command = start();
    let (stdout, stderr) = (terminal.side(), terminal.side());
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    terminal.start_as_it_is(&mut command);
    assert_eq!(terminal.code(), 0, "{}", terminal.text());
    terminal.looks_untouched("typed stdin=false stdout=false stderr=false tty=false");

    // With a terminal of its own: there it may type, and reads it itself.
    let mut terminal = Terminal::new();
    terminal.start(&mut start());
    assert_eq!(terminal.code(), 0, "{}", terminal.text());
    terminal.looks_untouched("typed stdin=");
}

impl Terminal {
    /// The typist was there, and nothing waits in the terminal to be read by the next program.
    fn looks_untouched(&self, said: &str) {
        let text = self.text();
        assert!(text.contains(said), "{text}");
        assert_eq!(self.unread(), 0, "{text}");
    }
}
