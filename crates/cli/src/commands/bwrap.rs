//! The bubblewrap-compatible front: its command line, its defaults, its exit codes.
//!
//! Nothing is hidden and nothing is shared unasked here that bubblewrap would not: the root is empty,
//! the environment is kept, and what is not unshared is the host's. Where crabcan is stricter,
//! `docs/sandbox.md` says so.

mod check;

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::{Write, stderr, stdout};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use crabcan_runtime::signals::Signals;
use crabcan_runtime::spec::Operation;
use crabcan_runtime::{Capability, CapabilitySet, Host, Namespace, Sandbox, Seccomp, console};

use super::sandbox::{Around, foreground};
use crate::descriptors::{Descriptors, bytes_of, words_of};
use crate::pieces::{Reader, WORDS};
use crate::{hints, logging};

/// The version of bubblewrap whose options are understood.
const VERSION: &str = "0.11.0";
/// What bubblewrap itself ends with when it fails.
const FAILURE: u8 = 1;

/// Runs a command as bubblewrap would; the words behind its name.
#[inline(never)]
pub(crate) fn run(words: &[OsString]) -> u8 {
    match try_run(words) {
        Ok(code) => code,
        Err(error) => {
            // Where standard error is closed there is nobody to tell.
            let _ = writeln!(stderr(), "bwrap: {}", hints::chain(&error));
            FAILURE
        }
    }
}

fn try_run(words: &[OsString]) -> anyhow::Result<u8> {
    let mut line = Line::default();
    let rest = line.read(words.to_vec())?;
    match line.answer {
        Some(Answer::Version) => {
            writeln!(stdout(), "bubblewrap {VERSION}")?;
            return Ok(0);
        }
        Some(Answer::Help) => {
            stdout().write_all(help().as_bytes())?;
            return Ok(0);
        }
        None => {}
    }
    logging::start(log::LevelFilter::Warn);
    let command: Vec<OsString> = rest.into();
    ensure!(!command.is_empty(), "no command given (see --help)");
    let mut plan = line.sandbox(&command)?.plan()?;
    plan.init_program(super::init_program()?);
    let signals = Signals::block()?;
    let mut around = Around {
        descriptors: line.descriptors,
        ..Around::default()
    };
    let status = foreground(&plan, &signals, &command, &mut around)?;
    Ok(u8::try_from(status.shell_code()).unwrap_or(u8::MAX))
}

/// What is asked for instead of a command.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Version,
    Help,
}

/// A command line, read.
#[derive(Debug, Default)]
struct Line {
    answer: Option<Answer>,
    reader: Reader,
    operations: Vec<Operation>,
    unshared: Vec<Namespace>,
    joined: Vec<(Namespace, PathBuf)>,
    uid: Option<u32>,
    gid: Option<u32>,
    hostname: Option<String>,
    directory: Option<PathBuf>,
    argv0: Option<OsString>,
    exec_label: Option<String>,
    environment: Vec<(Variable, OsString, OsString)>,
    lock_files: Vec<PathBuf>,
    filters: Vec<Vec<u8>>,
    capabilities: Option<CapabilitySet>,
    disables_user_namespaces: bool,
    asserts_disabled: bool,
    new_session: bool,
    second_user: Option<PathBuf>,
    maps_elsewhere: bool,
    tells: bool,
    dies_with_parent: bool,
    as_pid_1: bool,
    descriptors: Descriptors,
}

/// What happens to a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variable {
    Clear,
    Set,
    Unset,
}

impl Line {
    /// Reads options until the first word that is none; what is left is the command.
    fn read(&mut self, words: Vec<OsString>) -> anyhow::Result<VecDeque<OsString>> {
        let mut words = VecDeque::from(words);
        while let Some(word) = words.front() {
            let bytes = word.as_bytes();
            if bytes == b"--" {
                words.pop_front();
                break;
            }
            let Some(name) = bytes.strip_prefix(b"--") else {
                ensure!(
                    !bytes.starts_with(b"-"),
                    "Unknown option {}",
                    word.display()
                );
                break;
            };
            let name = String::from_utf8_lossy(name).into_owned();
            words.pop_front();
            let mut next = |count: usize| -> anyhow::Result<Vec<OsString>> {
                let there = words.len() >= count;
                ensure!(there, "--{name} takes {count} argument(s)");
                Ok(words.drain(..count).collect())
            };
            if let Some(piece) = WORDS.iter().find(|piece| piece.name == name) {
                let values = next(piece.values.len())?;
                self.operations
                    .extend(self.reader.read(piece.name, &values)?);
            } else if self.flag(&name)? {
            } else if name == "setenv" {
                let mut values = next(2)?;
                let value = values.pop().unwrap_or_default();
                let variable = values.pop().unwrap_or_default();
                self.environment.push((Variable::Set, variable, value));
            } else {
                ensure!(
                    WITH_VALUE.contains(&name.as_str()),
                    "Unknown option --{name}"
                );
                let value = next(1)?.pop().unwrap_or_default();
                self.option(&name, value)?;
            }
            if self.answer.is_some() {
                return Ok(words);
            }
        }
        Ok(words)
    }

    /// Takes an option without a value; whether it is one.
    fn flag(&mut self, name: &str) -> anyhow::Result<bool> {
        let kind = name.strip_prefix("unshare-");
        let kind = kind.map(|kind| kind.strip_suffix("-try").unwrap_or(kind));
        match (name, kind) {
            ("unshare-all", _) => self.unshared.extend(KINDS),
            (_, Some("user")) => self.unshared.push(Namespace::User),
            (_, Some("ipc")) => self.unshared.push(Namespace::Ipc),
            (_, Some("pid")) => self.unshared.push(Namespace::Pid),
            (_, Some("net")) => self.unshared.push(Namespace::Network),
            (_, Some("uts")) => self.unshared.push(Namespace::Uts),
            (_, Some("cgroup")) => self.unshared.push(Namespace::Cgroup),
            ("share-net", _) => self.unshared.retain(|kind| *kind != Namespace::Network),
            ("disable-userns", _) => self.disables_user_namespaces = true,
            ("assert-userns-disabled", _) => self.asserts_disabled = true,
            ("clearenv", _) => {
                let nothing = OsString::new();
                let clear = (Variable::Clear, nothing.clone(), nothing);
                self.environment.push(clear);
            }
            ("new-session", _) => self.new_session = true,
            ("die-with-parent", _) => self.dies_with_parent = true,
            ("as-pid-1", _) => self.as_pid_1 = true,
            ("level-prefix", _) => {}
            ("version", _) => self.answer = Some(Answer::Version),
            ("help", _) => self.answer = Some(Answer::Help),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes an option with one value.
    fn option(&mut self, name: &str, value: OsString) -> anyhow::Result<()> {
        match name {
            "args" => {
                let words = words_of("--args", &value)?;
                self.read(words)?;
            }
            "uid" => self.uid = Some(id(name, &value)?),
            "gid" => self.gid = Some(id(name, &value)?),
            "hostname" => self.hostname = Some(value.to_string_lossy().into_owned()),
            "chdir" => self.directory = Some(value.into()),
            "argv0" => self.argv0 = Some(value),
            "unsetenv" => {
                let unset = (Variable::Unset, value, OsString::new());
                self.environment.push(unset);
            }
            "exec-label" => self.exec_label = Some(value.to_string_lossy().into_owned()),
            "lock-file" => self.lock_files.push(value.into()),
            "userns" => self.join(Namespace::User, &value),
            "pidns" => self.join(Namespace::Pid, &value),
            "userns2" => self.second_user = Some(own_descriptor(&value)),
            "file-label" => bail!(
                "--file-label {}: crabcan gives no labels to what it mounts in a sandbox",
                value.display()
            ),
            "userns-block-fd" => {
                self.maps_elsewhere = true;
                self.descriptors.take(name, &value)?;
            }
            "info-fd" => {
                self.tells = true;
                self.descriptors.take(name, &value)?;
            }
            "cap-add" | "cap-drop" => self.capability(name, &value)?,
            "seccomp" | "add-seccomp-fd" => {
                let repeated = name == "seccomp" && !self.filters.is_empty();
                ensure!(
                    !repeated,
                    "--seccomp cannot be combined with another filter"
                );
                self.filters.push(bytes_of(&format!("--{name}"), &value)?);
            }
            _ if self.descriptors.take(name, &value)? => {}
            _ => bail!("Unknown option --{name}"),
        }
        Ok(())
    }

    fn join(&mut self, kind: Namespace, number: &OsStr) {
        self.joined.push((kind, own_descriptor(number)));
    }

    fn capability(&mut self, name: &str, value: &OsStr) -> anyhow::Result<()> {
        let own = Host::current()?;
        let mut set = self.capabilities.unwrap_or_else(|| unasked(&own));
        let word = value.to_string_lossy().to_uppercase();
        let known = Capability::ALL.iter();
        let wanted: Vec<_> = match word.as_str() {
            "ALL" => known.copied().collect(),
            _ => known.copied().filter(|one| one.name() == word).collect(),
        };
        ensure!(!wanted.is_empty(), "unknown cap: {}", value.display());
        for one in wanted {
            match name {
                "cap-add" => set.insert(one),
                _ => set.remove(one),
            }
        }
        self.capabilities = Some(set);
        Ok(())
    }

    /// The sandbox that was asked for.
    fn sandbox(&self, command: &[OsString]) -> anyhow::Result<Sandbox> {
        let host = Host::current()?;
        let joins_user = self.joined.iter().any(|(kind, _)| *kind == Namespace::User);
        let unshares = |kind| self.unshared.contains(&kind);
        // Without privilege there is no other way to a mount namespace.
        let new_user = !joins_user && (unshares(Namespace::User) || host.uid != 0);
        self.check(
            new_user || joins_user,
            unshares(Namespace::Uts),
            unshares(Namespace::Pid),
        )?;
        let (program, arguments) = command.split_first().context("no command given")?;
        let mut sandbox = Sandbox::new(program)
            .args(arguments)
            .bare()
            .own_ids(true)
            .seccomp(Seccomp::None)
            .as_pid_1(self.as_pid_1)
            .die_with_parent(self.dies_with_parent)
            .disable_user_namespaces(self.disables_user_namespaces)
            .mapped_by_caller(self.maps_elsewhere)
            .capabilities(self.capabilities.unwrap_or_else(|| unasked(&host)));
        for kind in KINDS {
            let wanted = match kind {
                Namespace::User => new_user,
                _ => unshares(kind),
            };
            if wanted {
                sandbox = sandbox.unshare(kind);
            }
        }
        if let Some(uid) = self.uid {
            sandbox = sandbox.uid(uid).gid(self.gid.unwrap_or(host.gid));
        } else if let Some(gid) = self.gid {
            sandbox = sandbox.gid(gid);
        }
        if let Some(name) = &self.hostname {
            sandbox = sandbox.hostname(name);
        }
        if let Some(name) = &self.argv0 {
            sandbox = sandbox.argv0(name);
        }
        if let Some(label) = &self.exec_label {
            sandbox = sandbox.exec_label(label);
        }
        for filter in &self.filters {
            sandbox = sandbox.raw_filter(filter.clone());
        }
        for path in &self.lock_files {
            sandbox = sandbox.lock_file(path);
        }
        for operation in &self.operations {
            sandbox = sandbox.operation(operation.clone());
        }
        Ok(self.terminal(self.environment(self.joining(sandbox))))
    }

    fn joining(&self, mut sandbox: Sandbox) -> Sandbox {
        for (kind, path) in &self.joined {
            sandbox = sandbox.join(*kind, path);
        }
        match &self.second_user {
            None => sandbox,
            Some(path) => sandbox.enter_user_namespace(path),
        }
    }

    fn environment(&self, mut sandbox: Sandbox) -> Sandbox {
        for (change, name, value) in &self.environment {
            sandbox = match change {
                Variable::Clear => sandbox.clear_environment(),
                Variable::Set => sandbox.set_variable(name, value),
                Variable::Unset => sandbox.unset_variable(name),
            };
        }
        match &self.directory {
            None => sandbox,
            Some(directory) => sandbox.directory(directory).set_variable("PWD", directory),
        }
    }

    /// A terminal of the sandbox' own where it has terminals: what is inside cannot reach the
    /// caller's. Without, the command has none to control, as after `--new-session`.
    fn terminal(&self, sandbox: Sandbox) -> Sandbox {
        let is_dev = |operation: &Operation| matches!(operation, Operation::Dev { destination } if destination == Path::new("/dev"));
        let has_terminals = self.operations.iter().any(is_dev);
        match has_terminals && !self.new_session {
            true => sandbox.terminal(console::wanted()),
            false => sandbox,
        }
    }
}

/// The options with one value.
const WITH_VALUE: [&str; 22] = [
    "args",
    "uid",
    "gid",
    "hostname",
    "chdir",
    "argv0",
    "unsetenv",
    "lock-file",
    "userns",
    "pidns",
    "cap-add",
    "cap-drop",
    "seccomp",
    "add-seccomp-fd",
    "block-fd",
    "info-fd",
    "json-status-fd",
    "sync-fd",
    "userns2",
    "userns-block-fd",
    "exec-label",
    "file-label",
];

const KINDS: [Namespace; 6] = [
    Namespace::User,
    Namespace::Ipc,
    Namespace::Pid,
    Namespace::Network,
    Namespace::Uts,
    Namespace::Cgroup,
];

/// Root keeps what it has, and nobody else has anything.
fn unasked(host: &Host) -> CapabilitySet {
    match host.uid {
        0 => host.capabilities,
        _ => CapabilitySet::EMPTY,
    }
}

fn id(name: &str, value: &OsStr) -> anyhow::Result<u32> {
    let text = value.to_string_lossy();
    let id = text.parse::<u32>().ok().filter(|id| *id != u32::MAX);
    id.with_context(|| format!("Invalid {name}: {text}"))
}

/// A descriptor keeps its number in this process, so it can be opened by it.
fn own_descriptor(number: &OsStr) -> PathBuf {
    Path::new("/proc/self/fd").join(number)
}

fn help() -> String {
    let mut text = String::from(
        "usage: bwrap [OPTIONS...] [--] COMMAND [ARGS...]\n\n\
         bubblewrap's command line, understood by crabcan. See docs/sandbox.md.\n\n",
    );
    for piece in &WORDS {
        text += &format!("    --{} {}\n", piece.name, piece.values.join(" "));
    }
    text + OTHERS
}

const OTHERS: &str = "\
    --unshare-all --unshare-user[-try] --unshare-ipc --unshare-pid --unshare-net --unshare-uts
    --unshare-cgroup[-try] --share-net --userns FD --userns2 FD --userns-block-fd FD --pidns FD --disable-userns
    --assert-userns-disabled --uid UID --gid GID --hostname NAME --chdir DIR --argv0 NAME
    --clearenv --setenv VAR VALUE --unsetenv VAR --lock-file DEST --sync-fd FD --block-fd FD
    --info-fd FD --json-status-fd FD --new-session --die-with-parent --as-pid-1 --cap-add CAP
    --cap-drop CAP --args FD --level-prefix --version --help
";

#[cfg(any(test, fuzzing))]
#[cfg_attr(fuzzing, allow(dead_code, unused_imports, reason = "the target alone"))]
pub(crate) mod tests;
