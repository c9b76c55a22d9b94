//! `test-vm`: the tests on the distribution's stock kernel, in a virtual machine.
//!
//! There cgroup v2 has every controller, systemd can be the first process, and root has all
//! capabilities. The machine has the files of the one that boots it, read-only below a tmpfs: no
//! image is built, and whatever is installed here can be used there. `docs/CONTRIBUTING.md`
//! describes it for who writes tests.

mod cpio;
mod guest;
mod initramfs;
mod kernel;
mod machine;
mod options;

use std::env;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::cargo;
use crate::parts::Parts;
use crate::prerequisites::{self, MACHINE};
use crate::programs::Counts;
use crate::test::{Built, NO_TEST, Privilege};
use guest::Job;
pub(crate) use guest::{GUEST, guest};
pub(crate) use kernel::Kernel;
use machine::Machine;
use options::{Options, Task};

/// How long both boots may take together, in seconds: seven minutes are usual on one machine, twelve on
/// another of its kind with a slower processor, and a busy one needs half as much again.
const LIMIT_S: u32 = 1200;

/// The same for everything that can run there.
const FULL_LIMIT_S: u32 = 3600;

/// Modules that the engines use and cannot load themselves: devices, and the network of a bridge.
const CLIENTS_MODULES: &str = "tun fuse veth bridge nf_tables ip_tables iptable_nat iptable_filter";

/// What the machine starts when the kernel is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Boot {
    /// The job itself is the first process.
    Plain,
    /// systemd is, with D-Bus; the job is a unit.
    Systemd,
}

impl Boot {
    fn name(self) -> &'static str {
        match self {
            Boot::Plain => "plain",
            Boot::Systemd => "systemd",
        }
    }
}

/// The task, with its arguments.
pub(crate) fn vm(args: &[String]) -> Result<()> {
    let options = Options::parse(args)?;
    if !prerequisites::are_here(MACHINE, "the virtual machine")? {
        return Ok(());
    }
    let kernel = Kernel::find()?.context("the kernel is gone")?;
    let starter = Starter {
        kernel,
        privilege: Privilege::find()?,
    };
    match &options.task {
        Task::Tests { full, filters } => starter.tests(&options.boots, *full, filters),
        Task::Shell => {
            let machine = starter.machine(options.boot(), "exec setsid -c sh -i", &[])?;
            println!("`exit` or Ctrl-D ends the machine; what was written in it is gone then");
            machine.shell()
        }
        Task::Clients(words) => starter.clients(&options.boots, words),
        Task::Exec(command) => {
            let machine = starter.machine(options.boot(), command, &[])?;
            machine.run(FULL_LIMIT_S).map(|_| ())
        }
    }
}

/// What every machine is made from.
#[derive(Debug)]
struct Starter {
    kernel: Kernel,
    privilege: Privilege,
}

impl Starter {
    fn machine(&self, boot: Boot, command: &str, files: &[(&str, String)]) -> Result<Machine> {
        let busybox = prerequisites::find("busybox")?;
        let initramfs = initramfs::pack(boot, &self.kernel, &busybox, command, files)?;
        Machine::new(&self.kernel.image, self.privilege, &initramfs)
    }

    fn tests(&self, boots: &[Boot], full: bool, filters: &[String]) -> Result<()> {
        let mut parts = Parts::new("test-vm");
        let mut built = None;
        parts.run("build crabcan and the tests", || {
            built = Some(Built::build()?);
            Ok(())
        });
        let mut sum = Counts::default();
        let limit = Duration::from_secs(if full { FULL_LIMIT_S } else { LIMIT_S }.into());
        let start = Instant::now();
        for boot in boots {
            let Some(built) = &built else { break };
            let name = format!("virtual machine, {}", boot.name());
            parts.run(&name, || {
                let job = Job::new(*boot, built, full, filters);
                let left = limit.saturating_sub(start.elapsed());
                let counts = self.boot_with_tests(*boot, &job, left)?;
                println!("virtual machine, {}: {counts}", boot.name());
                sum += counts;
                Ok(())
            });
        }
        // What has failed has said so itself, and its tests are not counted.
        if parts.are_ok() {
            // A name given by hand may belong to one of the boots only.
            parts.run("all tests", || {
                ensure!(sum.passed > 0, NO_TEST);
                println!("virtual machine: {sum}");
                Ok(())
            });
        }
        parts.finish()
    }

    /// The scenarios of test-clients: below cgroup2 in the one boot, with systemd as podman's cgroup
    /// manager in the other.
    fn clients(&self, boots: &[Boot], words: &[String]) -> Result<()> {
        let mut parts = Parts::new("test-vm");
        for boot in boots {
            parts.run(&format!("clients, {}", boot.name()), || {
                let layout = match boot {
                    Boot::Plain => "as-mounted",
                    Boot::Systemd => "systemd",
                };
                let xtask = env::current_exe().context("the path of xtask")?;
                let crabcan = cargo::build_crabcan()?;
                let words = words.iter().map(|word| quoted(Path::new(word)));
                let command = format!(
                    "modprobe -a {CLIENTS_MODULES}; {} test-clients --full --cgroups {layout} --runtime {} {}",
                    quoted(&xtask)?,
                    quoted(&crabcan)?,
                    words.collect::<Result<Vec<_>>>()?.join(" ")
                );
                let machine = self.machine(*boot, &command, &[])?;
                machine.run(FULL_LIMIT_S).map(drop)
            });
        }
        parts.finish()
    }

    fn boot_with_tests(&self, boot: Boot, job: &Job, left: Duration) -> Result<Counts> {
        let job = job.to_text()?;
        let xtask = env::current_exe().context("the path of xtask")?;
        let command = format!(
            "RUST_BACKTRACE=1 CRABCAN_TEST_REQUIRE={} exec {} {GUEST} /run/crabcan-vm/tests",
            env::var("CRABCAN_TEST_REQUIRE").unwrap_or_default(),
            quoted(&xtask)?,
        );
        let machine = self.machine(boot, &command, &[("tests", job)])?;
        // Whatever is left, timeout(1) takes 0 for no limit.
        machine.run(u32::try_from(left.as_secs())?.max(1))
    }
}

/// A path as one word of a shell.
fn quoted(path: &Path) -> Result<String> {
    match path.to_str() {
        Some(path) if !path.contains('\'') => Ok(format!("'{path}'")),
        _ => bail!("{} cannot be handed to a shell", path.display()),
    }
}
