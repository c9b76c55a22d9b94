//! `doctor`: what of this host lets sandboxes and containers work, and what to do about the rest.
//!
//! What can be tried is tried: a sysctl says what somebody wanted, a sandbox that starts says what
//! is. Only what crabcan uses is looked for.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{ErrorKind, Write, stdout};

use clap::Parser;
use crabcan_runtime::cgroups::{CgroupPath, Controller, Hierarchy};
use crabcan_runtime::{Host, Sandbox, is_installed};
use nix::unistd::{Uid, User};
use serde_json::json;

use crate::hints;
use crate::profiles;

/// Look at this host: what works, what is limited, and what to do about it.
///
/// Each line is ok, limited (something has to be left away) or missing (no sandbox starts). Behind
/// "do:" stands what would change it.
#[derive(Parser)]
#[command(name = "crabcan doctor", max_term_width = 100)]
#[command(after_help = "\
Ends with 0 when a sandbox can be started, and with 1 when it can't.

Example:
  crabcan doctor && crabcan -- make           only where that can work")]
struct Args {
    /// Say it as JSON: one object for each line
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ok,
    Limited,
    Missing,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Limited => "limited",
            Self::Missing => "missing",
        })
    }
}

/// What was found about one thing.
struct Finding {
    verdict: Verdict,
    about: String,
    found: String,
    advice: Option<String>,
}

impl Finding {
    fn new(verdict: Verdict, about: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            verdict,
            about: about.into(),
            found: found.into(),
            advice: None,
        }
    }

    fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:8} {}: {}", self.verdict, self.about, self.found)?;
        match &self.advice {
            Some(advice) => writeln!(f, "{:8} do: {advice}", ""),
            None => Ok(()),
        }
    }
}

pub(super) fn definition() -> clap::Command {
    <Args as clap::CommandFactory>::command().name("doctor")
}

#[inline(never)]
pub(crate) fn run(arguments: &[OsString]) -> anyhow::Result<u8> {
    let args = Args::try_parse_from(arguments)?;
    let host = Host::current()?;
    let mut findings = vec![kernel(&host), sandbox(), landlock(), listeners()];
    findings.extend([subordinate("uid", host.uid), subordinate("gid", host.uid)]);
    findings.extend(helpers(&host));
    findings.extend(cgroups());
    let text = match args.json {
        true => to_json(&findings)?,
        false => findings.iter().map(Finding::to_string).collect(),
    };
    stdout().write_all(text.as_bytes())?;
    let works = findings
        .iter()
        .all(|finding| finding.verdict != Verdict::Missing);
    Ok(u8::from(!works))
}

fn to_json(findings: &[Finding]) -> anyhow::Result<String> {
    let each = findings.iter().map(|finding| {
        json!({
            "verdict": finding.verdict.to_string(), "about": finding.about,
            "found": finding.found, "do": finding.advice,
        })
    });
    Ok(serde_json::to_string_pretty(&each.collect::<Vec<_>>())? + "\n")
}

/// The second wall, in the version of its interface that sandboxes use.
fn landlock() -> Finding {
    const ABOUT: &str = "Landlock";
    match crabcan_runtime::landlock_version() {
        Some(version) => Finding::new(Verdict::Ok, ABOUT, format!("version {version}")),
        None => {
            let found = "this kernel has none that moves files, or it is off";
            Finding::new(Verdict::Limited, ABOUT, found).advise(
                "Linux 5.19 or later, with landlock among the words of /sys/kernel/security/lsm",
            )
        }
    }
}

/// Programs that crabcan starts for some options.
fn helpers(host: &Host) -> Vec<Finding> {
    // Each is useless to the other kind of user, see docs/sandbox.md.
    let network = match host.uid {
        0 => ("slirp4netns", "slirp4netns"),
        _ => ("pasta", "passt"),
    };
    let wanted = [
        ("--net user", network),
        ("checkpoint and restore", ("criu", "criu")),
    ];
    let each = wanted.map(|(about, (program, package))| match is_installed(program) {
        true => Finding::new(Verdict::Ok, about, program),
        false => Finding::new(Verdict::Limited, about, format!("there is no {program}")).advise(
            format!("install it, if you need that: the package is {package}"),
        ),
    });
    each.into()
}

fn kernel(host: &Host) -> Finding {
    const ABOUT: &str = "kernel";
    const NEWER: &str = "a newer kernel; docs/kernel-features.md";
    if let Err(error) = host.check_kernel() {
        return Finding::new(Verdict::Missing, ABOUT, error.to_string()).advise(NEWER);
    }
    let version = profiles::kernel(&host.release);
    let release = &host.release;
    let lacking = [
        ((5, 12), "attributes of mounts, which every sandbox needs"),
        ((5, 14), "cgroup.kill"),
        ((5, 19), "id-mapped layers of overlays"),
    ];
    let lacking = lacking.iter().find(|(since, _)| version < *since);
    match lacking {
        None => Finding::new(Verdict::Ok, ABOUT, release),
        Some(((major, minor), what)) => {
            let verdict = match (major, minor) {
                (5, 12) => Verdict::Missing,
                _ => Verdict::Limited,
            };
            let found = format!("{release} lacks {what} (Linux {major}.{minor})");
            Finding::new(verdict, ABOUT, found).advise(NEWER)
        }
    }
}

/// Starts one: that needs user namespaces, programs in memory, mounts, a filter of system calls.
fn sandbox() -> Finding {
    const ABOUT: &str = "a sandbox";
    let failed = |error: anyhow::Error| {
        let finding = Finding::new(Verdict::Missing, ABOUT, hints::chain(&error));
        match hints::hint(&error) {
            Some(hint) => finding.advise(hint),
            None => finding,
        }
    };
    match Sandbox::new("true").status() {
        Ok(status) if status.shell_code() == 0 => Finding::new(Verdict::Ok, ABOUT, "starts"),
        Ok(status) => Finding::new(Verdict::Missing, ABOUT, format!("\"true\" {status}"))
            .advise("look which \"true\" that is, and what `crabcan --debug -- true` says"),
        Err(error) => failed(error.into()),
    }
}

/// Whether a filter of system calls can ask an agent, see seccomp(2).
fn listeners() -> Finding {
    const ABOUT: &str = "filters of system calls";
    const PATH: &str = "/proc/sys/kernel/seccomp/actions_avail";
    match fs::read_to_string(PATH) {
        Ok(actions) if actions.split_whitespace().any(|word| word == "user_notif") => {
            Finding::new(Verdict::Ok, ABOUT, "with listeners")
        }
        Ok(_) => Finding::new(Verdict::Limited, ABOUT, "this kernel has no listeners")
            .advise("Linux 5.0 or later, for profiles that ask an agent and for `crabcan learn`"),
        Err(error) => {
            let found = format!("{PATH}: {}", hints::chain(&error.into()));
            Finding::new(Verdict::Limited, ABOUT, found)
                .advise("a kernel with CONFIG_SECCOMP_FILTER")
        }
    }
}

/// The range of ids that a container of an ordinary user may have beside the user's own; root's
/// sandboxes take theirs from it too, and have a built-in one without.
fn subordinate(kind: &str, uid: u32) -> Finding {
    let about = format!("subordinate {kind}s");
    let file = format!("/etc/sub{kind}");
    let name = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    let name = name.map(|user| user.name);
    let text = match fs::read_to_string(&file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            let found = format!("{file}: {}", hints::chain(&error.into()));
            return Finding::new(Verdict::Limited, about, found)
                .advise(format!("as root: chmod 644 {file}"));
        }
        text => text.unwrap_or_default(),
    };
    let number = uid.to_string();
    let of_user = |line: &&str| {
        let owner = line.split(':').next();
        owner == Some(&number) || (owner.is_some() && owner == name.as_deref())
    };
    let Some(range) = text.lines().find(of_user) else {
        let who = name.as_deref().unwrap_or(&number);
        let found = format!("none for {who} in {file}");
        return match uid {
            0 => Finding::new(Verdict::Ok, about, found),
            _ => Finding::new(Verdict::Limited, about, found).advise(format!(
                "as root: usermod --add-sub{kind}s 100000-165535 {who}"
            )),
        };
    };
    let helper = format!("new{kind}map");
    if uid != 0 && !is_installed(&helper) {
        let found = format!("{range}, but there is no {helper}");
        return Finding::new(Verdict::Limited, about, found)
            .advise("install it: the package is uidmap or shadow-utils");
    }
    Finding::new(Verdict::Ok, about, range)
}

/// Whether limits can be had, each controller by itself.
fn cgroups() -> Vec<Finding> {
    const CONTROLLERS: [Controller; 5] = [
        Controller::Memory,
        Controller::Pids,
        Controller::Cpu,
        Controller::Cpuset,
        Controller::Io,
    ];
    let limited = |about: String, error: crabcan_runtime::cgroups::Error| {
        let hint = error.hint();
        let found = hints::chain(&error.into());
        let finding = Finding::new(Verdict::Limited, about, found);
        match hint {
            Some(hint) => finding.advise(hint),
            None => finding,
        }
    };
    let hierarchy = Hierarchy::of_this_process();
    let place = hierarchy.and_then(|hierarchy| {
        let place = hierarchy.place(&CgroupPath::unique())?;
        Ok((hierarchy, place))
    });
    let (hierarchy, place) = match place {
        Ok(both) => both,
        Err(error) => return vec![limited("limits".into(), error)],
    };
    let layout = match (hierarchy.unified(), hierarchy.legacy().is_empty()) {
        (Some(_), true) => "cgroup v2",
        (Some(_), false) => "cgroup v1 beside v2",
        (None, _) => "cgroup v1",
    };
    let each = CONTROLLERS.iter().map(|controller| {
        let about = format!("limits of {controller}");
        let only = std::iter::once(*controller).collect();
        match hierarchy.lacking(&place, only).into_iter().next() {
            Some(error) => limited(about, error),
            None => Finding::new(Verdict::Ok, about, layout),
        }
    });
    each.collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// Kernels that no test boots.
    #[test]
    fn what_an_older_kernel_lacks_is_named() {
        for (release, verdict, lacks) in [
            ("5.9.16", Verdict::Missing, "needs 5.10 or newer"),
            ("5.10.0-28-amd64", Verdict::Missing, "attributes of mounts"),
            ("5.13.19", Verdict::Limited, "cgroup.kill"),
            ("5.15.0-91-generic", Verdict::Limited, "id-mapped layers"),
            ("6.1.0", Verdict::Ok, "6.1.0"),
            ("10.0", Verdict::Ok, "10.0"),
        ] {
            let mut host = Host::current().unwrap();
            host.release = release.to_owned();
            let finding = kernel(&host);
            assert!(finding.verdict == verdict, "{release}: {finding}");
            assert!(finding.found.contains(lacks), "{finding}");
            assert_eq!(finding.advice.is_some(), verdict != Verdict::Ok);
        }
    }
}
