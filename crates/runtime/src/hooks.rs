//! Hooks of the host: programs that are run in the caller's own namespaces, with the container's
//! state on standard input.
//!
//! Those that run in the container's namespaces are steps of init.

use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SeekFrom, memfd_create, seek};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::Error;
use crate::spec::Hook;

/// How much of what a failed hook has said is repeated.
const TAIL_BYTES: usize = 2048;

/// A program to be run, as `hooks` of the configuration has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HostHook<'a> {
    /// `prestart`, `createRuntime`, `poststart` or `poststop`.
    pub(crate) kind: &'static str,
    pub(crate) path: &'a Path,
    /// The first is the program's name; the path when there are none.
    pub(crate) args: &'a [String],
    /// The whole environment: nothing of the caller's is in it.
    pub(crate) env: &'a [String],
    pub(crate) timeout: Option<Duration>,
    /// The files that its standard output and error are added to; where there is none, the end of
    /// it is told with a failure.
    pub(crate) outputs: [Option<&'a Path>; 2],
}

impl<'a> HostHook<'a> {
    pub(crate) fn new(kind: &'static str, hook: &'a Hook, outputs: [Option<&'a Path>; 2]) -> Self {
        let seconds = hook.timeout.and_then(|seconds| u64::try_from(seconds).ok());
        Self {
            kind,
            path: &hook.path,
            args: &hook.args,
            env: &hook.env,
            timeout: seconds.map(Duration::from_secs),
            outputs,
        }
    }
}

/// The annotations that name [`HostHook::outputs`].
pub(crate) const OUTPUTS: [&str; 2] = ["run.oci.hooks.stdout", "run.oci.hooks.stderr"];

/// Opens the file that an annotation names; it is made, for its owner alone, where there is none.
///
/// # Errors
/// [`Error::Path`] with the kernel's answer.
pub(crate) fn open_output(annotation: &str, path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    let opened = options.append(true).create(true).mode(0o600).open(path);
    opened.map_err(|source| Error::Path {
        field: format!("annotations[\"{annotation}\"]"),
        path: path.to_owned(),
        source,
    })
}

/// Runs a hook to its end.
///
/// # Errors
/// [`Error::Hook`] when it can't be executed, does not exit with code 0, or takes too long; then it
/// and its process group are ended.
pub(crate) fn run(hook: &HostHook<'_>, state: &[u8]) -> Result<(), Error> {
    log::debug!("run the {} hook {}", hook.kind, hook.path.display());
    let [output, errors] = hook.outputs;
    let open = |name, path: Option<&Path>| path.map(|path| open_output(name, path)).transpose();
    let files = [open(OUTPUTS[0], output)?, open(OUTPUTS[1], errors)?];
    finish(hook, state, files).map_err(|source| Error::Hook {
        kind: hook.kind,
        path: hook.path.to_owned(),
        source,
    })
}

fn finish(hook: &HostHook<'_>, state: &[u8], files: [Option<File>; 2]) -> io::Result<()> {
    let (mut output, writer) = io::pipe()?;
    let mut child = spawn(hook, state, writer, files)?;
    let until = hook.timeout.map(|timeout| Instant::now() + timeout);
    let mut tail = Vec::new();
    let ended = wait(&child, &mut output, until, &mut tail);
    if !matches!(ended, Ok(true)) {
        end(&mut child);
    }
    let status = child.wait()?;
    if !ended? {
        return Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!(
                "did not end within {} s",
                hook.timeout.unwrap_or_default().as_secs_f64()
            ),
        ));
    }
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(words(status, &tail)))
    }
}

/// Its input is a file in memory: whether and when it reads that is its own affair.
fn spawn(
    hook: &HostHook<'_>,
    state: &[u8],
    writer: io::PipeWriter,
    [output, errors]: [Option<File>; 2],
) -> io::Result<Child> {
    let or_writer = |file: Option<File>| match file {
        Some(file) => Ok(Stdio::from(file)),
        None => writer.try_clone().map(Stdio::from),
    };
    let name = hook.args.first().map(String::as_str);
    let mut command = Command::new(hook.path);
    command
        .args(hook.args.get(1..).unwrap_or_default())
        .env_clear()
        .envs(hook.env.iter().filter_map(|pair| pair.split_once('=')))
        .stdin(Stdio::from(in_memory(state)?))
        .stdout(or_writer(output)?)
        .stderr(or_writer(errors)?)
        .process_group(0);
    if let Some(name) = name {
        command.arg0(name);
    }
    command.spawn()
}

fn in_memory(state: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::NOEXEC_SEAL;
    let file = match memfd_create("crabcan-state", flags) {
        // Before Linux 6.3.
        Err(Errno::INVAL) => memfd_create("crabcan-state", MemfdFlags::CLOEXEC),
        other => other,
    }?;
    let mut file = std::fs::File::from(file);
    file.write_all(state)?;
    seek(&file, SeekFrom::Start(0))?;
    Ok(file.into())
}

/// Waits until the program has ended, whoever of its children still holds its output: whether that
/// was in time.
fn wait(
    child: &Child,
    output: &mut PipeReader,
    until: Option<Instant>,
    tail: &mut Vec<u8>,
) -> io::Result<bool> {
    let pid = Pid::from_child(child);
    // It is not reaped yet, so the pid is its own.
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    rustix::io::ioctl_fionbio(output.as_fd(), true)?;
    let mut open = true;
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let timeout = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        let mut fds = vec![PollFd::new(&pidfd, PollFlags::IN)];
        fds.extend(open.then(|| PollFd::new(&*output, PollFlags::IN)));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(0) => return Ok(false),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ended = fds.first().is_some_and(|pidfd| !pidfd.revents().is_empty());
        drop(fds);
        open = open && read_some(output, tail)?;
        if ended {
            return Ok(true);
        }
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(false);
        }
    }
}

/// Takes what is there and keeps the end of it: whether there may be more.
fn read_some(output: &mut PipeReader, tail: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 65536];
    let count = match output.read(&mut buffer) {
        Ok(count) => count,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
        Err(error) => return Err(error),
    };
    tail.extend_from_slice(buffer.get(..count).unwrap_or_default());
    let excess = tail.len().saturating_sub(TAIL_BYTES);
    tail.drain(..excess);
    Ok(count > 0)
}

/// Ends the hook and whom it has started, unless they have left its process group.
fn end(child: &mut Child) {
    let group = kill_process_group(Pid::from_child(child), Signal::KILL);
    if let Err(error) = child.kill()
        && group.is_err()
    {
        log::warn!("end a hook: {error}");
    }
}

fn words(status: ExitStatus, tail: &[u8]) -> String {
    let end = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, signal) => format!("was killed by signal {}", signal.unwrap_or_default()),
    };
    match String::from_utf8_lossy(tail).trim() {
        "" => end,
        said => format!("{end}, and said: {said}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn shell(script: &str, timeout: Option<Duration>, state: &[u8]) -> Result<(), Error> {
        let args = ["hook", "-c", script].map(str::to_owned);
        run(
            &HostHook {
                kind: "poststart",
                path: Path::new("/bin/sh"),
                args: &args,
                env: &["PATH=/usr/bin:/bin".into(), "A=b=c".into()],
                timeout,
                outputs: [None, None],
            },
            state,
        )
    }

    fn reason(result: Result<(), Error>) -> String {
        let error = result.unwrap_err();
        let source = std::error::Error::source(&error).unwrap();
        format!("{error}: {source}")
    }

    #[test]
    fn a_hook_has_its_own_arguments_and_environment_and_the_state() {
        let script = r#"[ "$0:$A" = "hook:b=c" ] && [ -z "$CARGO" ] && [ "$(cat)" = state ]"#;
        shell(script, None, b"state").unwrap();
    }

    #[test]
    fn a_failed_hook_is_quoted() {
        let text = reason(shell("echo out; echo why >&2; exit 3", None, b""));
        assert_eq!(
            text,
            "poststart hook /bin/sh: exited with code 3, and said: out\nwhy"
        );
        let text = reason(shell("kill -9 $$", None, b""));
        assert_eq!(text, "poststart hook /bin/sh: was killed by signal 9");
        let missing = HostHook {
            kind: "prestart",
            path: Path::new("/no/such/hook"),
            args: &[],
            env: &[],
            timeout: None,
            outputs: [None, None],
        };
        let text = reason(run(&missing, b""));
        assert!(text.starts_with("prestart hook /no/such/hook: "), "{text}");
    }

    #[test]
    fn a_hook_may_ignore_its_input_and_talk_much() {
        let state = vec![b'x'; 1 << 20];
        shell("exit 0", None, &state).unwrap();
        shell(
            "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2",
            None,
            &state,
        )
        .unwrap();
        shell("[ $(wc -c) = 1048576 ]", None, &state).unwrap();
    }

    #[test]
    fn a_hook_that_is_too_slow_is_ended() {
        let start = Instant::now();
        let text = reason(shell("sleep 60", Some(Duration::from_millis(200)), b""));
        assert!(text.ends_with("did not end within 0.2 s"), "{text}");
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    /// What a hook leaves behind keeps its output open.
    #[test]
    fn a_hook_that_starts_a_daemon_is_not_waited_for() {
        let start = Instant::now();
        shell("sleep 3 & exit 0", None, b"").unwrap();
        assert!(start.elapsed() < Duration::from_secs(2));
    }
}
