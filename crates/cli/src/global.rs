//! The options that stand before an OCI command, and where that command's name stands.
//!
//! Clients write them before every command. There are few, so they are read by hand: no parser is
//! built for what is never used.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use anyhow::{Context, bail};
use crabcan_runtime::{Host, StateRoot};
use log::LevelFilter;

use crate::logging::Destination;
use crate::pieces::WORDS;

/// The options of the sandbox and the OCI commands that take a value as the next argument. Anything
/// that does not begin with a dash behind one of them is that value, and no command.
const WITH_VALUE: &[&str] = &[
    "--net",
    "--publish",
    "--profile",
    "--landlock",
    "--command",
    "--uid",
    "--mount",
    "--image",
    "--add",
    "--hostname",
    "--memory",
    "--pids",
    "--cpus",
    "--cpu-weight",
    "--io-weight",
    "--cpuset",
    "--limits",
    "--time",
    "--cpu-time",
    "--rlimit",
    "--userns",
    "--seccomp",
    "--root",
    "--log",
    "--log-format",
    "--log-level",
    "--cgroup-manager",
    "--criu",
    "--rootless",
    "--args",
    "--share",
    "--unshare",
    "--join",
    "--gid",
    "--chdir",
    "--argv0",
    "--unsetenv",
    "--lock-file",
    "--sync-fd",
    "--block-fd",
    "--info-fd",
    "--json-status-fd",
];
const SHORT_WITH_VALUE: &[u8] = b"cuma";

/// An option that stands before an OCI command, for people.
pub(crate) struct GlobalOption {
    pub(crate) name: &'static str,
    pub(crate) value: Option<&'static str>,
    pub(crate) help: &'static str,
}

const fn option(
    name: &'static str,
    value: Option<&'static str>,
    help: &'static str,
) -> GlobalOption {
    GlobalOption { name, value, help }
}

/// All of them but `--debug`, which a sandbox has too.
pub(crate) const OPTIONS: [GlobalOption; 8] = [
    option(
        "criu",
        Some("PATH"),
        "Accepted, as runc does: criu is looked for in PATH",
    ),
    option(
        "root",
        Some("DIR"),
        "The directory with the state of containers",
    ),
    option(
        "log",
        Some("DESTINATION"),
        "Where errors are written to, too: a file, journald:IDENTIFIER or syslog:IDENTIFIER",
    ),
    option("log-format", Some("FORMAT"), "In which form: text or json"),
    option(
        "log-level",
        Some("LEVEL"),
        "From which level on: trace, debug, info, warn, error",
    ),
    option("systemd-cgroup", None, "Have systemd make cgroups"),
    option(
        "cgroup-manager",
        Some("WHO"),
        "Who makes cgroups: cgroupfs, systemd or disabled",
    ),
    option(
        "rootless",
        Some("YES"),
        "Whether errors of cgroups are none: auto, true or false",
    ),
];

/// Where the name of a command stands: the first argument that is neither an option nor an
/// option's value, before any `--`.
pub(crate) fn command_position(arguments: &[OsString]) -> Option<usize> {
    let mut position = 1;
    while let Some(argument) = arguments.get(position) {
        let bytes = argument.as_bytes();
        if bytes == b"--" {
            return None;
        }
        if !bytes.starts_with(b"-") {
            return Some(position);
        }
        position += 1 + values_behind(bytes);
    }
    None
}

/// Whether the version is asked for, whatever else is: clients put their usual options before it.
pub(crate) fn asks_version(arguments: &[OsString]) -> bool {
    let until = command_position(arguments).unwrap_or(arguments.len());
    let before = arguments.get(1..until).unwrap_or_default();
    let mut values = 0;
    for argument in before {
        if values > 0 {
            values -= 1;
            continue;
        }
        match argument.as_bytes() {
            b"--" => return false,
            b"--version" | b"-V" | b"-v" => return true,
            option => values = values_behind(option),
        }
    }
    false
}

/// How many of the arguments behind an option are its values.
pub(crate) fn values_behind(option: &[u8]) -> usize {
    if option == b"--setenv" {
        return 2;
    }
    let piece = WORDS.iter().find(|word| {
        let name = option.strip_prefix(b"--");
        name == Some(word.name.as_bytes())
    });
    piece.map_or(takes_next(option).into(), |word| word.values.len())
}

/// Whether an option's one value is the argument behind it.
fn takes_next(option: &[u8]) -> bool {
    match option.strip_prefix(b"-") {
        Some(long) if long.starts_with(b"-") => {
            WITH_VALUE.iter().any(|name| name.as_bytes() == option)
        }
        // In a cluster such as `-dc` only the last letter can take the next argument.
        Some(short) => {
            let first = short
                .iter()
                .position(|letter| SHORT_WITH_VALUE.contains(letter));
            first.is_some_and(|index| index + 1 == short.len())
        }
        None => false,
    }
}

/// In which form errors are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Who makes and limits cgroups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CgroupManager {
    #[default]
    Cgroupfs,
    Systemd,
    Disabled,
}

/// What stands before an OCI command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Global {
    pub(crate) root: Option<PathBuf>,
    pub(crate) log: Option<Destination>,
    pub(crate) log_format: LogFormat,
    log_level: Option<LevelFilter>,
    debug: bool,
    pub(crate) cgroup_manager: CgroupManager,
    /// Whether errors of cgroups are none: `None` decides by who calls.
    pub(crate) rootless: Option<bool>,
}

impl Global {
    /// Reads the options between the program's name and the command's.
    pub(crate) fn read(arguments: &[OsString]) -> anyhow::Result<Self> {
        let mut global = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let bytes = argument.as_bytes();
            let equals = bytes.iter().position(|byte| *byte == b'=');
            let (name, attached) = match equals {
                Some(at) => (bytes.get(..at), bytes.get(at + 1..)),
                None => (Some(bytes), None),
            };
            let name = String::from_utf8_lossy(name.unwrap_or_default()).into_owned();
            if global.flag(&name, attached)? {
                continue;
            }
            let attached = attached.map(|value| OsString::from_vec(value.to_vec()));
            let value = attached.or_else(|| rest.next().cloned());
            let value = value.with_context(|| format!("{name} needs a value"))?;
            global.option(&name, value)?;
        }
        Ok(global)
    }

    /// Takes an option without a value; whether it is one.
    fn flag(&mut self, name: &str, value: Option<&[u8]>) -> anyhow::Result<bool> {
        let is_flag = matches!(name, "--debug" | "--systemd-cgroup");
        // As runc's parser takes them.
        let on = match value {
            _ if !is_flag && WITH_VALUE.contains(&name) => return Ok(false),
            _ if !is_flag => bail!("{name} is no option of an OCI command"),
            None | Some(b"true") => true,
            Some(b"false") => false,
            Some(_) => bail!("{name} takes no value but true and false"),
        };
        match name {
            "--debug" => self.debug = on,
            _ if on => self.cgroup_manager = CgroupManager::Systemd,
            _ => {}
        }
        Ok(true)
    }

    fn option(&mut self, name: &str, value: OsString) -> anyhow::Result<()> {
        let word = value.to_string_lossy().into_owned();
        let wrong = || anyhow::anyhow!("{name} {word}: no such value");
        match name {
            "--root" => self.root = Some(value.into()),
            "--log" => self.log = Some(Destination::read(&value)?),
            "--log-format" => {
                self.log_format = match word.as_str() {
                    "text" | "" => LogFormat::Text,
                    "json" => LogFormat::Json,
                    _ => return Err(wrong()),
                }
            }
            "--log-level" => self.log_level = Some(level(&word).ok_or_else(wrong)?),
            "--cgroup-manager" => {
                self.cgroup_manager = match word.as_str() {
                    "cgroupfs" => CgroupManager::Cgroupfs,
                    "systemd" => CgroupManager::Systemd,
                    "disabled" => CgroupManager::Disabled,
                    _ => return Err(wrong()),
                }
            }
            // As in runc since 1.1: the program is looked for in PATH.
            "--criu" => log::debug!("--criu {word} is ignored"),
            "--rootless" => {
                self.rootless = match word.as_str() {
                    "auto" => None,
                    "true" => Some(true),
                    "false" => Some(false),
                    _ => return Err(wrong()),
                }
            }
            _ => bail!("{name} is no option of an OCI command"),
        }
        Ok(())
    }

    pub(crate) fn level(&self) -> LevelFilter {
        if self.debug {
            return LevelFilter::Debug;
        }
        self.log_level.unwrap_or(LevelFilter::Warn)
    }

    /// The state directory.
    pub(crate) fn state_root(&self) -> anyhow::Result<StateRoot> {
        match &self.root {
            Some(root) if root.as_os_str().is_empty() => bail!("--root is empty"),
            Some(root) => Ok(StateRoot::at(std::path::absolute(root)?)),
            None => Ok(StateRoot::of(&Host::current()?)?),
        }
    }
}

/// The name of a level, as runc and crun know them.
fn level(word: &str) -> Option<LevelFilter> {
    Some(match word {
        "trace" => LevelFilter::Trace,
        "debug" => LevelFilter::Debug,
        "info" => LevelFilter::Info,
        "warn" | "warning" => LevelFilter::Warn,
        "error" | "fatal" | "panic" => LevelFilter::Error,
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    fn position(line: &str) -> Option<usize> {
        command_position(&words(&format!("crabcan {line}")))
    }

    /// The list by which a command's name is found is the parser's own.
    #[test]
    fn options_take_as_many_values_as_their_definition_says() {
        let all = crate::definition();
        let mut long_with_value = 0;
        for arg in all.get_arguments().filter(|arg| !arg.is_positional()) {
            let takes = arg.get_action().takes_values() && !arg.is_require_equals_set();
            let count = arg.get_num_args().map_or(1, |range| range.max_values());
            let count = if takes { count } else { 0 };
            if let Some(long) = arg.get_long() {
                assert_eq!(
                    values_behind(format!("--{long}").as_bytes()),
                    count,
                    "--{long}"
                );
                long_with_value += usize::from(takes);
            }
            if let Some(short) = arg.get_short() {
                assert_eq!(
                    values_behind(format!("-{short}").as_bytes()),
                    count,
                    "-{short}"
                );
            }
        }
        // And none that is no option any more.
        assert_eq!(WITH_VALUE.len() + WORDS.len() + 1, long_with_value);
    }

    #[test]
    fn the_first_word_that_is_no_option_is_a_command() {
        assert_eq!(position("explain -- ls"), Some(1));
        assert_eq!(position("--debug explain"), Some(2));
        assert_eq!(position("-d -u 0 explain"), Some(4));
        assert_eq!(position("--uid=0 explain"), Some(2));
        assert_eq!(position("-dc run"), None);
        assert_eq!(position("-crun"), None);
        assert_eq!(position("-c run -- explain"), None);
        assert_eq!(position("-- explain"), None);
        assert_eq!(position("--debug --command run --uid 0"), None);
        assert_eq!(position("--log-level debug state x"), Some(3));
        assert_eq!(position("--rootless true --systemd-cgroup list"), Some(4));
        assert_eq!(
            position("--ro-bind a b --setenv c d --proc e explain"),
            Some(9)
        );
    }

    #[test]
    fn the_version_is_told_behind_any_options_but_no_values() {
        let asks = |line: &str| asks_version(&words(&format!("crabcan {line}")));
        assert!(asks("--version"));
        assert!(asks("--root /r --log-format json --version"));
        assert!(!asks("--command --version"));
        assert!(!asks("-- ls --version"));
        assert!(!asks("state --version"));
    }

    #[test]
    fn options_before_a_command_are_read_in_both_forms() {
        let line = "--root /r --log=file:/l --log-format json --systemd-cgroup --rootless=true";
        let global = Global::read(&words(line)).unwrap();
        assert_eq!(global.root, Some("/r".into()));
        assert_eq!(global.log, Some(Destination::File("/l".into())));
        assert_eq!(global.log_format, LogFormat::Json);
        assert_eq!(global.cgroup_manager, CgroupManager::Systemd);
        assert_eq!(global.rootless, Some(true));
        assert_eq!(global.level(), LevelFilter::Warn);
        let line = "--debug=false --systemd-cgroup=false --criu /usr/sbin/criu";
        assert_eq!(Global::read(&words(line)).unwrap(), Global::default());
        assert_eq!(position("--criu /usr/sbin/criu state x"), Some(3));
        let loud = Global::read(&words("--log-level error --debug")).unwrap();
        assert_eq!(loud.level(), LevelFilter::Debug);
    }

    #[test]
    fn a_log_is_a_file_or_a_daemons() {
        let read = |line: &str| Global::read(&words(line)).unwrap().log;
        let file = |path: &str| Some(Destination::File(path.into()));
        assert_eq!(read("--log a:b"), file("a:b"));
        assert_eq!(read("--log file:journald:x"), file("journald:x"));
        let journal = Some(Destination::Journal("x:y".into()));
        assert_eq!(read("--log journald:x:y"), journal);
        let syslog = Some(Destination::Syslog("crabcan".into()));
        assert_eq!(read("--log=syslog:"), syslog);
    }

    #[test]
    fn what_is_no_option_or_no_value_is_named() {
        for (line, named) in [
            ("--uid 0", "--uid"),
            ("-d", "-d"),
            ("--log", "--log"),
            ("--log file:", "--log is empty"),
            ("--log-format xml", "xml"),
            ("--cgroup-manager magic", "magic"),
            ("--debug=yes", "--debug"),
            ("--rootless maybe", "maybe"),
        ] {
            let error = Global::read(&words(line)).unwrap_err().to_string();
            assert!(error.contains(named), "{line}: {error}");
        }
    }
}
