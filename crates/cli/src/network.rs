//! `--net user`: a network of its own for a sandbox, by a program in user space that makes the
//! connections: pasta or slirp4netns. Nothing of the host's own addresses can be reached through it,
//! but for the ports that are published in the other direction.

mod helper;
mod publish;

use std::ffi::OsStr;
use std::io::{Write, pipe};

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use crabcan_runtime::spec::{Access, Operation};
use crabcan_runtime::{Namespace, Sandbox};

pub(crate) use self::helper::{Helper, Plan};
use self::publish::Publish;
use crate::pieces::Pieces;

/// The flags.
#[derive(Args, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Network")]
pub(crate) struct Network {
    /// The network: none but a loopback; host, the host's own; or user, connections that pasta or
    /// slirp4netns makes [default: none]
    #[arg(long, value_name = "WHICH", hide_possible_values = true)]
    net: Option<Which>,
    /// With --net user: hand connections to a port of the host on to one of the sandbox. Without an
    /// ADDRESS, 127.0.0.1 of the host; may be given again
    #[arg(long, value_name = "[ADDRESS:]HOSTPORT:PORT[/udp]")]
    publish: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    None,
    Host,
    User,
}

/// Where both helpers answer questions for names.
const NAME_SERVER: &str = "10.0.2.3";
const RESOLV_CONF: &str = "/etc/resolv.conf";

impl Network {
    pub(crate) fn apply(&self, sandbox: Sandbox, pieces: &Pieces) -> anyhow::Result<Sandbox> {
        let user = self.net == Some(Which::User);
        ensure!(
            user || self.publish.is_empty(),
            "--publish needs --net user"
        );
        match self.net {
            None => Ok(sandbox),
            Some(Which::None) => Ok(sandbox.unshare(Namespace::Network)),
            Some(Which::Host) => Ok(sandbox.share(Namespace::Network)),
            Some(Which::User) if pieces.cover(OsStr::new(RESOLV_CONF)) => {
                Ok(sandbox.unshare(Namespace::Network))
            }
            Some(Which::User) => {
                let (contents, mut writer) = pipe().context("make a pipe")?;
                writeln!(writer, "nameserver {NAME_SERVER}").context("write to a pipe")?;
                let file = Operation::BindFile {
                    contents: std::os::fd::OwnedFd::from(contents).into(),
                    destination: RESOLV_CONF.into(),
                    mode: 0o644,
                    access: Access::ReadOnly,
                };
                Ok(sandbox.unshare(Namespace::Network).operation(file))
            }
        }
    }

    /// The program that makes the connections, if one is wanted; `root_inside` says whether a user
    /// of the sandbox is root there.
    pub(crate) fn helper(&self, root_inside: bool) -> anyhow::Result<Option<Plan>> {
        if self.net != Some(Which::User) {
            return Ok(None);
        }
        let mut ports = Vec::new();
        for text in &self.publish {
            let port = Publish::read(text).with_context(|| format!("--publish {text}"))?;
            if ports.contains(&port) {
                bail!("--publish {text}: stands twice");
            }
            ports.push(port);
        }
        Plan::choose(ports, root_inside).map(Some)
    }
}
