//! The two programs: how each is started, how it says that it is ready, and how it ends.

use std::fs::{self, DirBuilder};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail, ensure};
use crabcan_runtime::{Host, is_installed};
use serde_json::{Value, json};

use super::NAME_SERVER;
use super::publish::Publish;
use crate::sys;

/// The address that slirp4netns gives to a sandbox.
const GUEST: &str = "10.0.2.100";

/// One that was chosen.
#[derive(Debug)]
pub(crate) struct Plan {
    program: Program,
    ports: Vec<Publish>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Pasta,
    Slirp,
}

impl Plan {
    /// pasta gives up root's rights before it could enter a sandbox of root's; slirp4netns wants to
    /// be root in there.
    pub(super) fn choose(ports: Vec<Publish>, root_inside: bool) -> anyhow::Result<Self> {
        let privileged = Host::current()?.uid == 0;
        let (pasta, slirp) = (is_installed("pasta"), is_installed("slirp4netns"));
        let program = match (privileged, pasta, slirp) {
            (false, true, _) => Program::Pasta,
            (true, _, true) => Program::Slirp,
            (false, false, true) if root_inside => Program::Slirp,
            (false, false, true) => bail!(
                "--net user: slirp4netns needs --uid 0 in an ordinary user's sandbox; pasta does not, \
                 and is not installed (package passt)"
            ),
            (true, true, false) => bail!(
                "--net user: pasta does not enter a sandbox that root starts, and slirp4netns is not \
                 installed"
            ),
            (_, false, false) => {
                bail!("--net user: neither pasta (package passt) nor slirp4netns is installed")
            }
        };
        let six = ports.iter().find(|port| port.address.is_ipv6());
        if let (Program::Slirp, Some(port)) = (program, six) {
            bail!(
                "--publish: slirp4netns has no addresses of IPv6, such as {}",
                port.address
            );
        }
        Ok(Self { program, ports })
    }

    /// Starts it for the sandbox whose first process this is, and waits until it is ready.
    pub(crate) fn start(&self, pid: i32) -> anyhow::Result<Helper> {
        let started = match self.program {
            Program::Pasta => self.pasta(pid),
            Program::Slirp => self.slirp(pid),
        };
        started.context("--net user")
    }

    fn pasta(&self, pid: i32) -> anyhow::Result<Helper> {
        let mut command = Command::new("pasta");
        command.args(["--foreground", "--quiet", "--config-net", "--no-map-gw"]);
        command.args(["--dns-forward", NAME_SERVER, "--pid", "/dev/stdout"]);
        command.args(["--tcp-ns", "none", "--udp-ns", "none"]);
        for (udp, flag) in [(false, "--tcp-ports"), (true, "--udp-ports")] {
            let ports: Vec<_> = self.ports.iter().filter(|port| port.udp == udp).collect();
            for port in &ports {
                let Publish {
                    address,
                    host,
                    inside,
                    ..
                } = port;
                command.arg(flag).arg(format!("{address}/{host}:{inside}"));
            }
            if ports.is_empty() {
                command.args([flag, "none"]);
            }
        }
        command.arg(pid.to_string()).stdin(Stdio::null());
        Helper::start("pasta", command)
    }

    fn slirp(&self, pid: i32) -> anyhow::Result<Helper> {
        let mut command = Command::new("slirp4netns");
        command.args(["--configure", "--mtu=65520", "--disable-host-loopback"]);
        // The other end of its input closes when crabcan ends, however that does.
        command.args(["--enable-sandbox", "--exit-fd=0", "--ready-fd=1"]);
        let directory = match self.ports.is_empty() {
            true => None,
            false => Some(Directory::new()?),
        };
        if let Some(directory) = &directory {
            command.arg("--api-socket").arg(directory.socket());
        }
        command
            .args([&pid.to_string(), "tap0"])
            .stdin(Stdio::piped());
        let helper = Helper::start("slirp4netns", command)?;
        for port in &self.ports {
            if let Some(directory) = &directory {
                ask_for(port, &directory.socket())
                    .with_context(|| format!("publish port {} of {}", port.host, port.address))?;
            }
        }
        Ok(helper)
    }
}

/// Asks slirp4netns to publish a port.
fn ask_for(port: &Publish, socket: &Path) -> anyhow::Result<()> {
    let request = json!({
        "execute": "add_hostfwd",
        "arguments": {
            "proto": if port.udp { "udp" } else { "tcp" },
            "host_addr": port.address.to_string(), "host_port": port.host,
            "guest_addr": GUEST, "guest_port": port.inside,
        },
    });
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(request.to_string().as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let answer: Value = serde_json::from_str(&answer).context("slirp4netns' answer")?;
    match answer["error"]["desc"].as_str() {
        None if answer["return"].is_object() => Ok(()),
        reason => bail!("{}", reason.unwrap_or("slirp4netns refuses")),
    }
}

/// A directory of one's own for a socket, removed when the ports are published.
struct Directory(PathBuf);

impl Directory {
    fn new() -> anyhow::Result<Self> {
        let name = format!("crabcan-net-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.with_context(|| format!("make {}", path.display()))?;
        Ok(Self(path))
    }

    fn socket(&self) -> PathBuf {
        self.0.join("socket")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            log::warn!("remove {}: {error}", self.0.display());
        }
    }
}

/// A helper that runs; it is ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Helper {
    name: &'static str,
    child: Child,
}

impl Helper {
    /// Starts it and waits for its first word on standard output.
    fn start(name: &'static str, mut command: Command) -> anyhow::Result<Self> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        sys::end_with_this_thread(&mut command);
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        let mut helper = Self { name, child };
        let mut word = [0];
        let out = helper.child.stdout.as_mut().context("no standard output")?;
        let length = out
            .read(&mut word)
            .with_context(|| format!("read from {name}"))?;
        ensure!(length > 0, "{name}: {}", helper.why());
        Ok(helper)
    }

    /// What it says of its failure.
    fn why(&mut self) -> String {
        let mut text = String::new();
        if let Some(stderr) = &mut self.child.stderr
            && let Err(error) = stderr.read_to_string(&mut text)
        {
            return error.to_string();
        }
        // pasta would like to write to the system's log.
        let lines = text.lines().filter(|line| !line.contains("syslog"));
        lines.collect::<Vec<_>>().join("; ")
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = ended {
            log::warn!("end {}: {error}", self.name);
        }
    }
}
