//! What the user typed, and what it came to mean.

mod quick;

pub(crate) use self::quick::number;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, ValueEnum};
use crabcan_runtime::{ExitStatus, Sandbox, Timings};
use log::LevelFilter;

use crate::VERSION;
use crate::descriptors::{Descriptors, words_of};
use crate::global::values_behind;
use crate::image;
use crate::limits::Limits;
use crate::network::{self, Network};
use crate::options::{Calling, Environment, Options};
use crate::pieces::Pieces;
use crate::timings::Watch;
use crate::{presets, profiles};

/// Run a command in a sandbox: isolated by default, without a daemon and without root.
#[derive(Parser)]
#[command(name = "crabcan", version = VERSION, max_term_width = 100,
    args_override_self = true)]
#[command(override_usage = "crabcan [OPTIONS] -- CMD [ARG]...\n       \
    crabcan [OPTIONS] --command 'CMD [ARG]...'\n       \
    crabcan explain [OPTIONS] -- CMD [ARG]...\n       \
    crabcan learn [OPTIONS] -- CMD [ARG]...\n       \
    crabcan doctor\n       \
    crabcan seccomp explain|compile PROFILE\n       \
    crabcan [GLOBAL OPTIONS] COMMAND [OPTIONS] [ID]")]
#[command(after_help = AFTER_HELP)]
#[derive(Default)]
pub(crate) struct Args {
    /// Say what is done, step by step, on standard error
    #[arg(short, long)]
    pub(crate) debug: bool,
    /// The command to run, split into words as a shell does
    #[arg(short, long, value_name = "COMMAND", conflicts_with = "words")]
    command: Option<OsString>,
    /// The user and group id in the sandbox [default: your own]
    #[arg(short, long, value_name = "UID")]
    uid: Option<u32>,
    /// The directory that becomes the root [default: the host's own root, read-only, homes hidden]
    #[arg(short, long = "mount", value_name = "DIR")]
    mount_dir: Option<PathBuf>,
    /// A container image on disk as the root: an OCI image layout, a tar archive of one, or one of
    /// docker save. Its command, environment, user and working directory count where no option says
    /// another
    #[arg(long, value_name = "PATH", conflicts_with = "mount_dir")]
    image: Option<PathBuf>,
    /// Show a file or directory of the host in the sandbox, writable; may be given again
    #[arg(short, long, value_name = "SRC:DST")]
    add: Vec<OsString>,
    /// The host name in the sandbox [default: a generated one]
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Whose user ids the sandbox has: private, its own, or host, the host's (root only)
    #[arg(
        long,
        value_name = "WHOSE",
        default_value = "private",
        hide_possible_values = true
    )]
    userns: UserNamespace,
    /// Which system calls are let through: default, an allow-list for programs that are not trusted;
    /// tutorial, all but a few; none, all; or a profile's FILE (OCI or a container engine's)
    #[arg(long, value_name = "PROFILE")]
    seccomp: Option<OsString>,
    /// Run the command itself as process 1, without a reaper
    #[arg(long)]
    as_pid_1: bool,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    pieces: Pieces,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    environment: Environment,
    #[command(flatten)]
    calling: Calling,
    /// Options by the name of a profile (strict, dev, build, desktop) or from a TOML file, in the place
    /// where this stands: what comes later wins
    #[arg(long, value_name = "NAME|FILE")]
    profile: Vec<OsString>,
    /// Read more options from a descriptor, each with a NUL behind it; may stand anywhere
    #[arg(long, value_name = "FD")]
    args: Vec<OsString>,
    /// The command and its arguments
    #[arg(last = true, value_name = "CMD")]
    words: Vec<OsString>,
}

impl fmt::Debug for Args {
    /// What was given, and nothing of what was not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut args = f.debug_struct("Args");
        args.field("debug", &self.debug);
        if let Some(command) = &self.command {
            args.field("command", command);
        }
        if let Some(uid) = &self.uid {
            args.field("uid", uid);
        }
        if let Some(directory) = &self.mount_dir {
            args.field("mount_dir", directory);
        }
        if let Some(path) = &self.image {
            args.field("image", path);
        }
        if !self.add.is_empty() {
            args.field("add", &self.add);
        }
        if let Some(name) = &self.hostname {
            args.field("hostname", name);
        }
        if self.userns != UserNamespace::Private {
            args.field("userns", &self.userns);
        }
        if let Some(profile) = &self.seccomp {
            args.field("seccomp", profile);
        }
        if self.as_pid_1 {
            args.field("as_pid_1", &true);
        }
        if !self.pieces.0.is_empty() {
            args.field("pieces", &self.pieces.0);
        }
        if self.options != Options::default() {
            args.field("options", &self.options);
        }
        if self.network != Network::default() {
            args.field("network", &self.network);
        }
        if self.environment != Environment::default() {
            args.field("environment", &self.environment);
        }
        if self.calling != Calling::default() {
            args.field("calling", &self.calling);
        }
        self.limits.debug(&mut args);
        if !self.words.is_empty() {
            args.field("words", &self.words);
        }
        args.finish()
    }
}

pub(crate) const AFTER_HELP: &str = "\
The command's own exit code is crabcan's; 128 + N when signal N ended it; 127 when it is not found,
126 when it can't be executed, 125 when crabcan itself fails.

Examples:
  crabcan -- ls /                             the host's programs, in a sandbox
  crabcan --mount ./rootfs --uid 0 -- /bin/sh a root file system of your own
  crabcan --image alpine.tar                  what podman save or docker save has written
  crabcan --add ./out:/tmp/out -- make        with a directory that can be written
  crabcan --bind ~/src ~/src --chdir ~/src -- make
                                              the same in its own place
  crabcan --tmpfs / --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib \
    --symlink usr/lib64 /lib64 --dir /tmp -- /bin/sh
                                              a root of pieces, and nothing else
  crabcan --memory 1G --pids 200 --time 10m --rlimit nofile=256 -- make
                                              no more than that
  crabcan --share net --ro-bind-data 3 /etc/resolv.conf -- curl … 3<resolv.conf
                                              the host's network, with a file from a descriptor

As an OCI runtime (crabcan COMMAND --help says more):
  create start run exec state kill delete list gc ps pause resume update events checkpoint
  restore spec features info completion
  before the command: --root DIR --log DESTINATION --log-format text|json --log-level LEVEL --debug
  --systemd-cgroup --cgroup-manager cgroupfs|systemd|disabled --rootless auto|true|false";

/// Whose user ids a sandbox has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum UserNamespace {
    #[default]
    Private,
    Host,
}

impl Args {
    /// Reads the options of a sandbox, by the parser. Never inlined: its frame is for those who need
    /// it, see [`Args::quick`].
    #[inline(never)]
    pub(crate) fn parse(arguments: &[OsString]) -> anyhow::Result<Self> {
        Self::from(&Self::matches(Self::command(), arguments)?)
    }

    /// What the options are by a definition that has these, and perhaps more.
    pub(crate) fn matches(
        definition: clap::Command,
        arguments: &[OsString],
    ) -> anyhow::Result<ArgMatches> {
        let expanded = expand(arguments)?;
        let arguments = expanded.as_deref().unwrap_or(arguments);
        Ok(definition.try_get_matches_from(arguments)?)
    }

    /// Reads them.
    pub(crate) fn from(matches: &ArgMatches) -> anyhow::Result<Self> {
        let mut args = Self::from_arg_matches(matches)?;
        args.mount_dir = args
            .mount_dir
            .filter(|path| !path.as_os_str().is_empty() || path.is_absolute());
        Ok(args)
    }

    /// How loudly to log: the tutorial's form speaks of itself, the other is silent on success.
    pub(crate) fn level(&self) -> LevelFilter {
        match (self.debug, &self.command) {
            (true, _) => LevelFilter::Debug,
            (false, Some(_)) => LevelFilter::Info,
            (false, None) => LevelFilter::Warn,
        }
    }

    /// The command's words; none if they are the image's.
    pub(crate) fn words(&self) -> anyhow::Result<Vec<OsString>> {
        let words = match &self.command {
            Some(command) => split(command)?,
            None => self.words.clone(),
        };
        match words.first() {
            None if self.command.is_none() && self.image.is_some() => Ok(words),
            None if self.command.is_none() => {
                bail!("no command given: crabcan [OPTIONS] -- CMD [ARG]...")
            }
            None => bail!("--command is empty"),
            Some(program) if program.is_empty() => bail!("the command's name is empty"),
            Some(_) => Ok(words),
        }
    }

    /// The sandbox that was asked for.
    pub(crate) fn sandbox(&self) -> anyhow::Result<Sandbox> {
        let image = self.image.as_deref().map(image::Root::open).transpose()?;
        let words = self.words()?;
        let mut words = match &image {
            Some(image) if words.is_empty() => image.command()?,
            _ => words,
        }
        .into_iter();
        let mut sandbox = Sandbox::new(words.next().unwrap_or_default())
            .args(words)
            .as_pid_1(self.as_pid_1)
            .host_users(self.userns == UserNamespace::Host);
        if let Some(image) = &image {
            sandbox = image.apply(sandbox, self.uid)?;
        }
        if let Some(uid) = self.uid {
            sandbox = sandbox.uid(uid);
        }
        if let Some(directory) = &self.mount_dir {
            sandbox = sandbox.root(directory);
        }
        if let Some(name) = &self.hostname {
            sandbox = sandbox.hostname(name);
        }
        if let Some(word) = &self.seccomp {
            sandbox = sandbox.seccomp(profiles::read(word)?);
        }
        for pair in &self.add {
            let (source, destination) = source_and_destination(pair)?;
            sandbox = sandbox.add(source, destination);
        }
        let sandbox = self.environment.apply(self.options.apply(sandbox)?);
        let sandbox = self
            .network
            .apply(self.pieces.apply(sandbox)?, &self.pieces)?;
        self.limits.apply(sandbox, self.command.is_some())
    }

    /// Says which limit of a process has ended the command.
    pub(crate) fn tell_what_ended(&self, status: ExitStatus) {
        self.limits.tell_what_ended(status);
    }

    /// The program that makes the sandbox' connections, if it is to have any.
    pub(crate) fn network(&self) -> anyhow::Result<Option<network::Plan>> {
        self.network.helper(self.uid == Some(0))
    }

    /// A stopwatch, if the time of the start is asked for.
    pub(crate) fn watch(&self, since: Option<Timings>) -> Option<Watch> {
        Watch::new(self.options.timings.as_ref(), since)
    }

    /// What the caller wants to be told by descriptors.
    pub(crate) fn descriptors(&self) -> anyhow::Result<Descriptors> {
        self.calling.descriptors()
    }
}

/// Puts what `--args FD` and `--profile NAME` hold in their places, before any `--`. Without such
/// options, nothing.
fn expand(arguments: &[OsString]) -> anyhow::Result<Option<Vec<OsString>>> {
    let end = arguments.iter().position(|word| word == "--");
    let (options, rest) = arguments.split_at(end.unwrap_or(arguments.len()));
    if !options.iter().any(|word| holds_options(word).is_some()) {
        return Ok(None);
    }
    let mut expanded = Vec::new();
    let mut options = options.iter();
    while let Some(word) = options.next() {
        let Some((name, attached)) = holds_options(word) else {
            expanded.push(word.clone());
            let values = values_behind(word.as_bytes());
            expanded.extend(options.by_ref().take(values).cloned());
            continue;
        };
        let value = attached.map(OsStr::to_owned);
        let value = value.or_else(|| options.next().cloned());
        let value = value.with_context(|| format!("{name} needs a value"))?;
        match name {
            "--args" => {
                let words = words_of(name, &value)?;
                expanded.extend(expand(&words)?.unwrap_or(words));
            }
            _ => expanded.extend(presets::words_of(&value)?),
        }
    }
    expanded.extend_from_slice(rest);
    Ok(Some(expanded))
}

/// Whether a word is an option that stands for others; its value, if that is part of the word.
fn holds_options(word: &OsStr) -> Option<(&'static str, Option<&OsStr>)> {
    ["--args", "--profile"].into_iter().find_map(|name| {
        let behind = word.as_bytes().strip_prefix(name.as_bytes())?;
        match behind.split_first() {
            None => Some((name, None)),
            Some((b'=', value)) => Some((name, Some(OsStr::from_bytes(value)))),
            Some(_) => None,
        }
    })
}

/// Splits a command as a shell splits words.
fn split(command: &OsStr) -> anyhow::Result<Vec<OsString>> {
    let words = shlex::bytes::split(command.as_bytes())
        .with_context(|| format!("--command {}: a quote is not closed", command.display()))?;
    Ok(words.into_iter().map(OsString::from_vec).collect())
}

/// Splits `SRC:DST` at its last colon.
fn source_and_destination(pair: &OsStr) -> anyhow::Result<(PathBuf, PathBuf)> {
    let bytes = pair.as_bytes();
    let colon = bytes.iter().rposition(|byte| *byte == b':');
    let halves = colon.map(|colon| (bytes.get(..colon), bytes.get(colon + 1..)));
    match halves {
        Some((Some(source), Some(destination)))
            if !source.is_empty() && !destination.is_empty() =>
        {
            Ok((
                OsStr::from_bytes(source).into(),
                OsStr::from_bytes(destination).into(),
            ))
        }
        _ => bail!(
            "--add {}: must be SRC:DST, with an absolute DST",
            pair.display()
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_split_as_a_shell_does() {
        let words = |text: &str| split(OsStr::new(text)).unwrap();
        assert_eq!(words("/bin/echo hello"), ["/bin/echo", "hello"]);
        assert_eq!(
            words(r#"sh -c 'echo "a  b"' c\ d "" "#),
            ["sh", "-c", "echo \"a  b\"", "c d", ""]
        );
        assert!(split(OsStr::new("echo 'open")).is_err());
    }

    #[test]
    fn a_pair_is_split_at_its_last_colon() {
        let pair = |text: &str| source_and_destination(OsStr::new(text));
        assert_eq!(pair("a:b:/c").unwrap(), ("a:b".into(), "/c".into()));
        for wrong in ["/etc", ":/x", "/x:", ":", ""] {
            assert!(pair(wrong).is_err(), "{wrong}");
        }
    }
}
