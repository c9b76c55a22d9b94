//! What callers of a sandbox learn by descriptors, and how they steer it: bubblewrap's options and
//! its JSON keys.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;

use anyhow::{Context, bail};
use crabcan_runtime::{ExitStatus, Process};
use nix::unistd::Pid;
use serde_json::{Map, Value, json};

/// The namespaces whose numbers are told, and by which key.
const NAMESPACES: [(&str, &str); 6] = [
    ("cgroup", "cgroup-namespace"),
    ("ipc", "ipc-namespace"),
    ("mnt", "mnt-namespace"),
    ("net", "net-namespace"),
    ("pid", "pid-namespace"),
    ("uts", "uts-namespace"),
];

/// The descriptors. Those that are only to stay open stay open by themselves: nobody closes them.
#[derive(Debug, Default)]
pub(crate) struct Descriptors {
    block: Option<File>,
    info: Option<File>,
    status: Option<File>,
    /// Until this says something, the caller maps ids.
    mapped: Option<File>,
    told: bool,
}

impl Descriptors {
    /// Takes an option without its dashes; whether it is one of these.
    pub(crate) fn take(&mut self, name: &str, value: &OsString) -> anyhow::Result<bool> {
        let open = || descriptor(&format!("--{name}"), value).map(File::from);
        match name {
            "block-fd" => self.block = Some(open()?),
            "info-fd" => self.info = Some(open()?),
            "json-status-fd" => self.status = Some(open()?),
            "userns-block-fd" => self.mapped = Some(open()?),
            "sync-fd" => drop(open()?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether nobody steers the start, or is told of it.
    pub(crate) fn are_none(&self) -> bool {
        let files = [&self.block, &self.info, &self.status, &self.mapped];
        files.iter().all(|file| file.is_none())
    }

    /// The first process is there, and has no ids. Told of it, the caller maps some.
    pub(crate) fn map_ids(&mut self, process: Pid) -> io::Result<()> {
        let Some(mut mapped) = self.mapped.take() else {
            return Ok(());
        };
        self.tell_of(process)
            .map_err(|error| io::Error::other(format!("{error:#}")))?;
        wait(&mut mapped)
    }

    /// Says which process it is, once.
    fn tell_of(&mut self, process: Pid) -> anyhow::Result<()> {
        let wanted = self.info.is_some() || self.status.is_some();
        if self.told || !wanted {
            return Ok(());
        }
        self.told = true;
        let facts = facts(process.as_raw())?;
        if let Some(mut info) = self.info.take() {
            let text = serde_json::to_string_pretty(&facts)?;
            writeln!(info, "{text}").context("write to --info-fd")?;
        }
        self.tell(&facts)
    }

    /// The container is there, and its program is not yet.
    pub(crate) fn created(&mut self, container: &Process<'_>) -> anyhow::Result<()> {
        self.tell_of(container.pid())?;
        if let Some(mut block) = self.block.take() {
            wait(&mut block).context("wait for --block-fd")?;
        }
        Ok(())
    }

    /// The program has ended.
    pub(crate) fn ended(&mut self, status: ExitStatus) -> anyhow::Result<()> {
        self.tell(&json!({ "exit-code": status.shell_code() }))
    }

    fn tell(&mut self, document: &Value) -> anyhow::Result<()> {
        let Some(status) = &mut self.status else {
            return Ok(());
        };
        writeln!(status, "{document}").context("write to --json-status-fd")
    }
}

/// Until there is something to read, or nobody who could write it.
fn wait(block: &mut File) -> io::Result<()> {
    let mut byte = [0];
    loop {
        match block.read(&mut byte) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map(drop),
        }
    }
}

/// The pid of the first process and the numbers of the namespaces that are not the caller's.
fn facts(pid: i32) -> anyhow::Result<Value> {
    let mut facts = Map::new();
    facts.insert("child-pid".into(), pid.into());
    for (name, key) in NAMESPACES {
        let path = format!("/proc/{pid}/ns/{name}");
        let link = fs::read_link(&path).with_context(|| format!("read {path}"))?;
        if fs::read_link(format!("/proc/self/ns/{name}")).is_ok_and(|own| own == link) {
            continue;
        }
        let text = link.to_string_lossy();
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        match digits.parse::<u64>() {
            Ok(number) => facts.insert(key.into(), number.into()),
            Err(_) => bail!("{path} says {text}"),
        };
    }
    Ok(Value::Object(facts))
}

/// A descriptor that this program was started with, by its number.
pub(crate) fn descriptor(option: &str, text: &OsStr) -> anyhow::Result<OwnedFd> {
    let text = text.to_string_lossy();
    let number = text.parse::<i32>().ok().filter(|number| *number >= 0);
    let number = number.with_context(|| format!("{option} {text}: not a descriptor's number"))?;
    crabcan_runtime::inherited_descriptor(number).with_context(|| format!("{option} {text}"))
}

/// All that can be read from a descriptor.
pub(crate) fn bytes_of(option: &str, text: &OsStr) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::from(descriptor(option, text)?)
        .read_to_end(&mut bytes)
        .with_context(|| format!("read {option} {}", text.display()))?;
    Ok(bytes)
}

/// The words that a descriptor holds, each with a NUL behind it, however many there are.
pub(crate) fn words_of(option: &str, text: &OsStr) -> anyhow::Result<Vec<OsString>> {
    let mut bytes = bytes_of(option, text)?;
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let words = bytes.split(|byte| *byte == 0);
    Ok(words.map(|word| OsString::from_vec(word.into())).collect())
}
