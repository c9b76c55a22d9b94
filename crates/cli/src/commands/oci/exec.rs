//! `exec`: one more process in a container.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Parser;
use crabcan_runtime::signals::Signals;
use crabcan_runtime::spec::{Process, User};
use crabcan_runtime::{Container, Execution};

use super::bundle::descriptors;
use super::container::load;
use crate::commands::{fault, init_program};
use crate::global::Global;

/// Execute a program in a running container
#[derive(Debug, Parser)]
pub(super) struct Exec {
    /// The file with the process, as `process` of a configuration has it, in place of the
    /// container's own; the other options change it
    #[arg(short, long, value_name = "FILE")]
    pub(super) process: Option<PathBuf>,
    /// The working directory
    #[arg(long, value_name = "DIR")]
    pub(super) cwd: Option<PathBuf>,
    /// A variable of its environment, in place of the one of this name or besides the others
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub(super) env: Vec<OsString>,
    /// Give it a terminal of its own; --tty=false takes away the one that --process asks for
    #[arg(
        short,
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub(super) tty: Option<bool>,
    /// Its user id, and its group id; without GID that of the container's own process. Its
    /// supplementary groups and umask are the container's in any case
    #[arg(short, long, value_name = "UID[:GID]")]
    pub(super) user: Option<String>,
    /// A supplementary group id
    #[arg(short = 'g', long, value_name = "GID")]
    pub(super) additional_gids: Vec<String>,
    /// Do not wait for it
    #[arg(short, long)]
    pub(super) detach: bool,
    /// The file to write its pid to
    #[arg(long, value_name = "FILE")]
    pub(super) pid_file: Option<PathBuf>,
    /// The SELinux context
    #[arg(long, value_name = "LABEL")]
    pub(super) process_label: Option<String>,
    /// The AppArmor profile
    #[arg(long, value_name = "PROFILE")]
    pub(super) apparmor: Option<String>,
    /// It can never get new privileges
    #[arg(long)]
    pub(super) no_new_privs: bool,
    /// A capability besides those of the container
    #[arg(short, long, value_name = "NAME")]
    pub(super) cap: Vec<String>,
    /// Hand on so many descriptors besides 0, 1 and 2
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) preserve_fds: u32,
    /// Go on when the container is paused: the program starts when it is resumed
    #[arg(long)]
    pub(super) ignore_paused: bool,
    /// A cgroup below the container's, which must be there; with controllers before it, such as
    /// cpu,memory:PATH, in their tree of v1 alone
    #[arg(long, value_name = "[CONTROLLER,...:]PATH")]
    pub(super) cgroup: Vec<String>,
    /// The socket that is sent the master of its terminal
    #[arg(long, value_name = "SOCKET")]
    pub(super) console_socket: Option<PathBuf>,
    /// The socket that is sent a pidfd of it
    #[arg(long, value_name = "SOCKET")]
    pub(super) pidfd_socket: Option<PathBuf>,
    /// Accepted: crabcan is never a subreaper
    #[arg(long)]
    pub(super) no_subreaper: bool,
    /// The name of the container
    #[arg(value_name = "ID")]
    pub(super) id: String,
    /// The program and its arguments
    #[arg(value_name = "CMD", trailing_var_arg = true)]
    pub(super) words: Vec<OsString>,
}

pub(super) fn exec(global: &Global, args: &Exec) -> anyhow::Result<u8> {
    let (listen, descriptors) = descriptors(args.preserve_fds)?;
    let container = load(global, &args.id)?;
    let process = process(&container, args)?;
    let mut execution = Execution::new(&container, process)
        .ignore_paused(args.ignore_paused)
        .descriptors(descriptors, listen)
        .init_program(init_program()?);
    for path in &args.cgroup {
        execution = execution.cgroup(path);
    }
    if let Some(path) = &args.console_socket {
        execution = execution.console_socket(path);
    }
    if let Some(path) = &args.pidfd_socket {
        execution = execution.pidfd_socket(path);
    }
    if let Some(path) = &args.pid_file {
        execution = execution.pid_file(path);
    }
    if let Some((step, errno)) = fault()? {
        execution = execution.fail_at(step, errno);
    }
    if args.detach {
        execution.run_detached()?;
        return Ok(0);
    }
    let signals = Signals::block()?;
    let status = execution.run(Some(&signals))?;
    Ok(u8::try_from(status.shell_code()).unwrap_or(u8::MAX))
}

/// The process of a file, or the container's own with what the options change.
fn process(container: &Container, args: &Exec) -> anyhow::Result<Process> {
    let mut process = match &args.process {
        Some(path) => {
            let text = std::fs::read(path);
            let text = text.with_context(|| format!("read the process {}", path.display()))?;
            Process::from_json(&text)?
        }
        None => Process {
            terminal: false,
            console_size: None,
            ..container.process()?
        },
    };
    if args.process.is_none() && args.words.is_empty() {
        bail!("no program is named: exec ID CMD [ARG]...");
    }
    if !args.words.is_empty() {
        process.args.clone_from(&args.words);
    }
    process.terminal = args.tty.unwrap_or(process.terminal);
    process.no_new_privileges |= args.no_new_privs;
    process.env.extend(args.env.iter().cloned());
    if let Some(directory) = &args.cwd {
        process.cwd.clone_from(directory);
    }
    if let Some(text) = &args.user {
        set_user(&mut process.user, text)?;
    }
    for text in &args.additional_gids {
        process
            .user
            .additional_gids
            .push(number("--additional-gids", text)?);
    }
    if args.process_label.is_some() {
        process.selinux_label.clone_from(&args.process_label);
    }
    if args.apparmor.is_some() {
        process.apparmor_profile.clone_from(&args.apparmor);
    }
    add_capabilities(&mut process, &args.cap);
    Ok(process)
}

/// Adds to what the program can do, and never to what its own programs inherit. What they inherit
/// already is handed on to those of another user too.
fn add_capabilities(process: &mut Process, names: &[String]) {
    if names.is_empty() {
        return;
    }
    let sets = process.capabilities.get_or_insert_default();
    let other_user = process.user.uid != 0;
    for name in names {
        for set in [&mut sets.bounding, &mut sets.permitted, &mut sets.effective] {
            if !set.contains(name) {
                set.push(name.clone());
            }
        }
        if sets.inheritable.contains(name) {
            if !sets.ambient.contains(name) {
                sets.ambient.push(name.clone());
            }
        } else if other_user {
            log::debug!("{name} is not ambient: a program without file capabilities lacks it");
        }
    }
}

/// `UID` or `UID:GID`, in digits and nothing else: a name would be looked up in the container. What
/// is not said stays as it is, as in runc; crun would take gid 0, which nobody asked for.
fn set_user(user: &mut User, text: &str) -> anyhow::Result<()> {
    let (uid, gid) = match text.split_once(':') {
        Some((uid, gid)) => (uid, Some(gid)),
        None => (text, None),
    };
    user.uid = number("--user", uid)?;
    if let Some(gid) = gid {
        user.gid = number("--user", gid)?;
    }
    Ok(())
}

fn number(option: &str, text: &str) -> anyhow::Result<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text
        .parse::<u32>()
        .ok()
        .filter(|id| digits && *id != u32::MAX);
    number.with_context(|| format!("{option} \"{}\": must be a number", text.escape_debug()))
}

#[cfg(any(test, fuzzing))]
#[cfg_attr(fuzzing, allow(dead_code, unused_imports, reason = "the target alone"))]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
pub(crate) mod tests {
    use super::*;

    /// CVE-2026-30892: crun took `-u 1` for uid 0.
    #[test]
    fn a_user_is_numbers_and_nothing_else() {
        let ids = |text: &str| {
            let mut user = User {
                gid: 7,
                additional_gids: vec![8],
                ..User::default()
            };
            set_user(&mut user, text).map(|()| (user.uid, user.gid, user.additional_gids))
        };
        assert_eq!(ids("1").unwrap(), (1, 7, vec![8]));
        assert_eq!(ids("1:2").unwrap(), (1, 2, vec![8]));
        assert_eq!(ids("0").unwrap(), (0, 7, vec![8]));
        assert_eq!(ids("4294967294:0").unwrap(), (4_294_967_294, 0, vec![8]));
        for wrong in [
            "",
            "a",
            "0x1",
            "1:",
            ":1",
            "1:2:3",
            "-1",
            "+1",
            " 1",
            "1 ",
            "4294967295",
        ] {
            assert!(ids(wrong).is_err(), "{wrong:?}");
        }
    }

    /// A fuzz target: numbers, and nothing that only looks like one.
    pub(crate) fn target(bytes: &[u8]) -> u64 {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return 0;
        };
        let mut user = User::default();
        let read = set_user(&mut user, text);
        let parts: Vec<&str> = text.split(':').collect();
        let digits = |part: &&str| {
            let value = part.bytes().try_fold(0u64, |sum, byte| {
                let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
                Some((sum * 10 + digit).min(1 << 40))
            });
            value.filter(|value| !part.is_empty() && *value < u64::from(u32::MAX))
        };
        let naive: Option<Vec<u64>> = parts.iter().map(digits).collect();
        let naive = naive.filter(|ids| ids.len() <= 2);
        assert_eq!(read.is_ok(), naive.is_some(), "{text:?}");
        if let Some(ids) = naive {
            assert_eq!(u64::from(user.uid), ids[0], "{text:?}");
            let gid = ids.get(1).copied().unwrap_or(0);
            assert_eq!(u64::from(user.gid), gid, "{text:?}");
            return 2 + ids.len() as u64;
        }
        1
    }

    #[test]
    fn fuzz_user() {
        let corpus: [&[u8]; 4] = [b"0", b"1:2", b"4294967294:65534", b"a:0x1"];
        let words = [
            ":",
            "-",
            "+",
            " ",
            "0x",
            "4294967295",
            "4294967296",
            "\0",
            "\u{967}",
        ];
        crate::driver::fuzz("user", &corpus, &words, target);
    }

    #[test]
    fn options_stand_on_both_sides_of_the_id_and_never_behind_the_program() {
        let read = |line: &str| Exec::try_parse_from(line.split_whitespace()).unwrap();
        let args = read("exec -t one ls -t --cwd /");
        assert!(args.tty == Some(true) && args.cwd.is_none());
        assert_eq!(args.words, ["ls", "-t", "--cwd", "/"]);
        let args = read("exec one --cwd /tmp -e A=b ls -la");
        assert_eq!(args.cwd, Some("/tmp".into()));
        assert_eq!(args.env, ["A=b"]);
        assert_eq!(args.words, ["ls", "-la"]);
        let args = read("exec --tty=false one");
        assert_eq!(args.tty, Some(false));
        let args = read("exec --pid-file p --process j --detach one");
        assert!(args.detach && args.words.is_empty());
    }

    /// CVE-2022-29162: runc put them into the inheritable set too.
    #[test]
    fn an_added_capability_is_not_inheritable() {
        let mut process = Process::default();
        add_capabilities(&mut process, &["CAP_NET_RAW".to_owned()]);
        let sets = process.capabilities.unwrap();
        assert_eq!(sets.bounding, ["CAP_NET_RAW"]);
        assert_eq!(sets.effective, ["CAP_NET_RAW"]);
        assert!(sets.inheritable.is_empty() && sets.ambient.is_empty());
        // It is in that set by the configuration's own word.
        let mut process = Process::default();
        process.capabilities.get_or_insert_default().inheritable = vec!["CAP_NET_RAW".into()];
        add_capabilities(
            &mut process,
            &["CAP_NET_RAW".to_owned(), "CAP_CHOWN".to_owned()],
        );
        let sets = process.capabilities.unwrap();
        assert_eq!(
            (sets.inheritable, sets.ambient),
            (vec!["CAP_NET_RAW".into()], vec!["CAP_NET_RAW".into()])
        );
    }
}
