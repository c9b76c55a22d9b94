//! `create` and `run`: from a bundle to a container.

use std::path::PathBuf;

use clap::{Args, Parser};
use crabcan_runtime::signals::Signals;
use crabcan_runtime::{Creation, Id, inherited};

use crate::commands::{fault, init_program};
use crate::global::{CgroupManager, Global};

/// Make a container from a bundle, up to the execution of its program
#[derive(Debug, Parser)]
pub(super) struct Create {
    #[command(flatten)]
    pub(super) options: Options,
}

/// Make a container from a bundle and execute its program
#[derive(Debug, Parser)]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) options: Options,
    /// Do not wait for the program
    #[arg(short, long)]
    pub(super) detach: bool,
    /// Do not delete the container when its program has ended
    #[arg(long)]
    pub(super) keep: bool,
}

#[derive(Args, Debug)]
pub(super) struct Options {
    /// The directory with the bundle [default: the working directory]
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(super) bundle: PathBuf,
    /// The configuration, in place of the bundle's config.json
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The socket that is sent the master of the container's terminal
    #[arg(long, value_name = "SOCKET")]
    pub(super) console_socket: Option<PathBuf>,
    /// The socket that is sent a pidfd of the container's first process
    #[arg(long, value_name = "SOCKET")]
    pub(super) pidfd_socket: Option<PathBuf>,
    /// The file to write the pid of the container's first process to
    #[arg(long, value_name = "FILE")]
    pub(super) pid_file: Option<PathBuf>,
    /// Do not use pivot_root(2), for a root that is the initial ramdisk
    #[arg(long)]
    pub(super) no_pivot: bool,
    /// Do not make a new session keyring
    #[arg(long)]
    pub(super) no_new_keyring: bool,
    /// Accepted: crabcan is never a subreaper
    #[arg(long)]
    pub(super) no_subreaper: bool,
    /// Hand on so many descriptors besides 0, 1 and 2
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) preserve_fds: u32,
    /// The name of the container
    #[arg(value_name = "ID")]
    pub(super) id: String,
}

pub(super) fn create(global: &Global, args: &Create) -> anyhow::Result<u8> {
    drop(tell_manager(creation(global, &args.options)?).create()?);
    Ok(0)
}

/// Whoever waits for a service to be ready says so by this variable.
fn tell_manager(creation: Creation) -> Creation {
    match std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) {
        Some(manager) => creation.notify(manager),
        None => creation,
    }
}

pub(super) fn run(global: &Global, args: &Run) -> anyhow::Result<u8> {
    let creation = creation(global, &args.options)?.keep(args.keep);
    if args.detach {
        drop(tell_manager(creation).run_detached()?);
        return Ok(0);
    }
    // Before anything of the container is there: from here on a signal is its, not ours.
    let signals = Signals::block()?;
    let status = creation.run(Some(&signals))?;
    Ok(u8::try_from(status.shell_code()).unwrap_or(u8::MAX))
}

pub(super) fn creation(global: &Global, options: &Options) -> anyhow::Result<Creation> {
    let (listen, descriptors) = descriptors(options.preserve_fds)?;
    let id = Id::new(&options.id)?;
    let mut creation = Creation::new(&global.state_root()?, &id, &options.bundle)
        .new_keyring(!options.no_new_keyring)
        .no_pivot(options.no_pivot)
        .init_program(init_program()?)
        .cgroup_manager(cgroup_manager(global.cgroup_manager))
        .descriptors(descriptors, listen);
    if let Some(path) = &options.config {
        creation = creation.configuration(path);
    }
    if let Some(path) = &options.console_socket {
        creation = creation.console_socket(path);
    }
    if let Some(path) = &options.pidfd_socket {
        creation = creation.pidfd_socket(path);
    }
    if let Some(path) = &options.pid_file {
        creation = creation.pid_file(path);
    }
    if let Some((step, errno)) = fault()? {
        creation = creation.fail_at(step, errno);
    }
    Ok(creation)
}

fn cgroup_manager(manager: CgroupManager) -> crabcan_runtime::CgroupManager {
    match manager {
        CgroupManager::Cgroupfs => crabcan_runtime::CgroupManager::Cgroupfs,
        CgroupManager::Systemd => crabcan_runtime::CgroupManager::Systemd,
        CgroupManager::Disabled => crabcan_runtime::CgroupManager::Disabled,
    }
}

/// What the program inherits: sockets by systemd's convention, and behind them what was asked for.
pub(super) fn descriptors(preserve: u32) -> anyhow::Result<(u32, Vec<std::os::fd::OwnedFd>)> {
    let listen = std::env::var("LISTEN_FDS").ok();
    let listen = listen.and_then(|count| count.parse().ok()).unwrap_or(0u32);
    let descriptors = inherited(listen.saturating_add(preserve))?;
    Ok((listen, descriptors))
}
