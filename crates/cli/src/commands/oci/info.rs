//! `info`: the machine, as far as it concerns containers.

use std::fmt::{Display, Write as _};
use std::fs;
use std::io::{Write as _, stdout};
use std::path::Path;

use anyhow::Context;
use clap::Parser;
use crabcan_runtime::cgroups::{Hierarchy, Tree};
use crabcan_runtime::{Host, Namespace};
use rustix::system::{sysinfo, uname};

use crate::global::Global;
use crate::{VERSION, hints};

/// Print what this machine is, as far as it concerns containers
#[derive(Parser)]
pub(super) struct Info {}

pub(super) fn info(global: &Global, _: &Info) -> anyhow::Result<u8> {
    let mut report = Report(format!("crabcan {VERSION}\n"));
    let kernel = uname();
    report.line("Kernel-Release", kernel.release().to_string_lossy());
    report.line("Kernel-Version", kernel.version().to_string_lossy());
    report.line("Architecture", kernel.machine().to_string_lossy());
    report.told("Operating System", operating_system());
    report.told("Processors", read("/sys/devices/system/cpu/online"));
    let memory = sysinfo();
    let bytes = u128::from(memory.totalram) * u128::from(memory.mem_unit);
    report.line("Total Memory", format_args!("{} MiB", bytes >> 20));
    report.cgroups();
    let namespaces = Namespace::ALL.map(Namespace::name);
    let there = namespaces.map(|name| (name, Path::new("/proc/self/ns").join(name).exists()));
    let there = there.iter().filter(|(_, there)| *there);
    let names: Vec<_> = there.map(|(name, _)| *name).collect();
    report.line("Namespaces", names.join(","));
    report.told("Security Modules", read("/sys/kernel/security/lsm"));
    let capabilities = Host::current()?.capabilities;
    let names: Vec<_> = capabilities.iter().map(|one| one.name()).collect();
    report.line("Capabilities", names.join(","));
    report.line("State Directory", global.state_root()?.path().display());
    stdout().write_all(report.0.as_bytes())?;
    Ok(0)
}

/// In the columns of youki's.
struct Report(String);

impl Report {
    fn line(&mut self, about: &str, what: impl Display) {
        let _ = writeln!(self.0, "{about:<18}{what}");
    }

    fn told<T: Display>(&mut self, about: &str, what: anyhow::Result<T>) {
        match what {
            Ok(what) => self.line(about, what),
            Err(error) => self.line(about, unknown(&error)),
        }
    }

    fn cgroups(&mut self) {
        let hierarchy = match Hierarchy::of_this_process() {
            Ok(hierarchy) => hierarchy,
            Err(error) => return self.line("Cgroup setup", unknown(&error.into())),
        };
        let setup = match (hierarchy.unified(), hierarchy.legacy().is_empty()) {
            (Some(_), true) => "unified",
            (Some(_), false) => "hybrid",
            (None, _) => "legacy",
        };
        self.line("Cgroup setup", setup);
        for tree in hierarchy.trees() {
            let place = tree.mount_point();
            let name = match (tree.is_unified(), tree.controllers().to_string()) {
                (true, _) => "unified".to_owned(),
                // A tree of v1 without any, as systemd's.
                (false, none) if none.is_empty() => {
                    let name = place.file_name().unwrap_or_default();
                    name.to_string_lossy().into_owned()
                }
                (false, controllers) => controllers,
            };
            self.line(&format!("  {name}"), place.display());
        }
        if let Some(tree) = hierarchy.unified() {
            self.told("Controllers of v2", controllers(tree));
        }
    }
}

/// Those that the root of the tree has to hand on.
fn controllers(tree: &Tree) -> anyhow::Result<String> {
    let names = read(tree.mount_point().join("cgroup.controllers"))?;
    Ok(match names.is_empty() {
        true => "none".to_owned(),
        false => names.replace(' ', ","),
    })
}

fn unknown(error: &anyhow::Error) -> String {
    format!("unknown: {}", hints::chain(error))
}

fn read(path: impl AsRef<Path>) -> anyhow::Result<String> {
    let path = path.as_ref();
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    Ok(text.trim().to_owned())
}

/// The distribution's name for people, see os-release(5).
fn operating_system() -> anyhow::Result<String> {
    let text = read("/etc/os-release").or_else(|_| read("/usr/lib/os-release"))?;
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = name.context("os-release has no PRETTY_NAME")?;
    Ok(shlex::split(name).unwrap_or_default().concat())
}
