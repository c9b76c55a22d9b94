//! containerd and dockerd: started in the enclosure, ended with it.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::machine::{Machine, WORK};

/// Where crictl finds containerd.
const CRICTL: &str = "runtime-endpoint: unix:///run/containerd/containerd.sock\n";

/// How long a daemon may take until it answers, also in the emulated machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Both daemons; dockerd uses the containerd.
#[derive(Debug)]
pub(crate) struct Daemons {
    started: Vec<Child>,
}

impl Daemons {
    /// Starts both with the runtime as docker's default, and waits until they answer.
    pub(crate) fn start(machine: &Machine) -> Result<Daemons> {
        let mut daemons = Daemons {
            started: Vec::new(),
        };
        cri_configuration(machine)?;
        daemons.spawn(&mut Command::new("containerd"), "containerd")?;
        daemons.answers("containerd", &mut Command::new("ctr"), &["version"])?;
        let mut dockerd = Command::new("dockerd");
        dockerd
            .args(["--containerd", "/run/containerd/containerd.sock"])
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none"])
            .args(["--storage-driver", "overlay2"])
            .arg("--add-runtime")
            // Not its own name: docker keeps `runc` for the one beside itself.
            .arg(format!("under-test={}", machine.runtime.display()))
            .args(["--default-runtime", "under-test"]);
        daemons.spawn(&mut dockerd, "dockerd")?;
        daemons.answers("dockerd", &mut Command::new("docker"), &["version"])?;
        Ok(daemons)
    }

    fn spawn(&mut self, command: &mut Command, name: &str) -> Result<()> {
        let path = Path::new(WORK).join(format!("{name}.log"));
        let log = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        let both = log.try_clone().context("a second descriptor")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(both)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        self.started.push(child);
        Ok(())
    }

    fn answers(&self, name: &str, client: &mut Command, args: &[&str]) -> Result<()> {
        client.args(args).stdin(Stdio::null());
        client.stdout(Stdio::null()).stderr(Stdio::null());
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if client.status().is_ok_and(|status| status.success()) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(100));
        }
        let log = fs::read_to_string(Path::new(WORK).join(format!("{name}.log")));
        bail!("{name} does not answer: {}", log.unwrap_or_default())
    }
}

/// What Kubernetes' interface needs of containerd's: the runtime under its name, as in
/// `docs/engines.md`, and no OOM score below our own, which takes CAP_SYS_RESOURCE. A pod of the
/// host's network needs no plugin for one of its own.
fn cri_configuration(machine: &Machine) -> Result<()> {
    let text = format!(
        r#"version = 2
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
  default_runtime_name = "crabcan"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crabcan]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crabcan.options]
    BinaryName = "{}"
    SystemdCgroup = false
"#,
        machine.runtime.display()
    );
    fs::create_dir_all("/etc/containerd")
        .and_then(|()| fs::write("/etc/containerd/config.toml", text))
        .and_then(|()| fs::write("/etc/crictl.yaml", CRICTL))
        .context("write the configuration of containerd and crictl")
}

impl Drop for Daemons {
    fn drop(&mut self) {
        for child in self.started.iter_mut().rev() {
            // The end of the enclosure would end it too; it may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
