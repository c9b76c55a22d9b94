//! `checkpoint` and `restore`: a container written into files, and made again from them.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::error::{ContextKind, ErrorKind};
use clap::{Args, Parser};
use crabcan_runtime::signals::Signals;
use crabcan_runtime::{CriuOptions, ManageCgroups, Restoration, inherited_descriptor};

use super::{bundle, container};
use crate::global::Global;

/// Write a running container into files, by the program criu, and delete it
#[derive(Parser)]
pub(super) struct Checkpoint {
    #[command(flatten)]
    options: CriuArgs,
    /// The images of an earlier dump, relative to --image-path: only what has changed is written
    #[arg(long, value_name = "DIR")]
    parent_path: Option<PathBuf>,
    /// Let the container run on
    #[arg(short = 'R', long)]
    leave_running: bool,
    /// Write the memory only, in advance; the container runs on
    #[arg(long)]
    pre_dump: bool,
    /// Leave connections away that are just being made
    #[arg(long)]
    tcp_skip_in_flight: bool,
    /// Link unlinked files again where that is possible
    #[arg(long)]
    link_remap: bool,
    /// Who takes the pages of the memory
    #[arg(long, value_name = "ADDRESS:PORT")]
    page_server: Option<String>,
    /// The descriptor that is sent a zero byte when lazy pages can be fetched
    #[arg(long, value_name = "FD")]
    status_fd: Option<OsString>,
    /// The name of the container
    #[arg(value_name = "ID")]
    id: String,
}

/// Make a container from a bundle and the files that checkpoint has written
#[derive(Parser)]
pub(super) struct Restore {
    #[command(flatten)]
    options: CriuArgs,
    /// Do not wait for the program
    #[arg(short, long)]
    detach: bool,
    /// Another profile of a security module than at the checkpoint
    #[arg(long, value_name = "TYPE:NAME")]
    lsm_profile: Option<String>,
    /// Another SELinux context of mounts than at the checkpoint
    #[arg(long, value_name = "CONTEXT")]
    lsm_mount_context: Option<String>,
    #[command(flatten)]
    bundle: bundle::Options,
}

/// What both have.
#[derive(Args)]
struct CriuArgs {
    /// The directory of the files
    #[arg(long, value_name = "DIR", default_value = "checkpoint")]
    image_path: PathBuf,
    /// The directory of criu's log and other files of its work [default: that of the files]
    #[arg(long, value_name = "DIR")]
    work_path: Option<PathBuf>,
    /// Allow open TCP connections
    #[arg(long)]
    tcp_established: bool,
    /// Allow Unix sockets that are connected to somebody outside
    #[arg(long)]
    ext_unix_sk: bool,
    /// Allow a program that belongs to a session of somebody outside
    #[arg(long)]
    shell_job: bool,
    /// Carry over pages when they are needed (userfaultfd)
    #[arg(long)]
    lazy_pages: bool,
    /// Allow locked files
    #[arg(long)]
    file_locks: bool,
    /// Keep the same page once in a row of checkpoints
    #[arg(long)]
    auto_dedup: bool,
    /// What is done with cgroups: soft, full, strict or ignore
    #[arg(long, value_name = "HOW", default_value = "soft")]
    manage_cgroups_mode: String,
    /// Accepted: a network namespace is always restored empty, for who makes its devices
    #[arg(long, value_name = "NAMESPACE")]
    empty_ns: Vec<String>,
}

pub(super) fn checkpoint(global: &Global, args: &Checkpoint) -> anyhow::Result<u8> {
    let mut wanted = crabcan_runtime::Checkpoint::new(criu(&args.options)?);
    wanted.parent.clone_from(&args.parent_path);
    wanted.leave_running = args.leave_running;
    wanted.pre_dump = args.pre_dump;
    wanted.tcp_skip_in_flight = args.tcp_skip_in_flight;
    wanted.link_remap = args.link_remap;
    wanted.page_server = args.page_server.as_deref().map(server).transpose()?;
    wanted.status = args.status_fd.as_ref().map(status).transpose()?;
    container::load(global, &args.id)?.checkpoint(&wanted)?;
    Ok(0)
}

pub(super) fn restore(global: &Global, args: &Restore) -> anyhow::Result<u8> {
    let creation = bundle::creation(global, &args.bundle)?;
    let mut restoration = Restoration::new(creation, criu(&args.options)?);
    if let Some(profile) = &args.lsm_profile {
        restoration = restoration.lsm_profile(profile);
    }
    if let Some(context) = &args.lsm_mount_context {
        restoration = restoration.lsm_mount_context(context);
    }
    if args.detach {
        drop(restoration.restore_detached()?);
        return Ok(0);
    }
    let signals = Signals::block()?;
    let status = restoration.restore(Some(&signals))?;
    Ok(u8::try_from(status.shell_code()).unwrap_or(u8::MAX))
}

fn criu(args: &CriuArgs) -> anyhow::Result<CriuOptions> {
    if let Some(other) = args.empty_ns.iter().find(|kind| *kind != "network") {
        bail!("--empty-ns {other}: only network can be restored empty");
    }
    let mut options = CriuOptions::new(std::path::absolute(&args.image_path)?);
    options.work = args
        .work_path
        .as_ref()
        .map(std::path::absolute)
        .transpose()?;
    options.tcp_established = args.tcp_established;
    options.external_unix_sockets = args.ext_unix_sk;
    options.shell_job = args.shell_job;
    options.file_locks = args.file_locks;
    options.auto_dedup = args.auto_dedup;
    options.lazy_pages = args.lazy_pages;
    options.manage_cgroups = match args.manage_cgroups_mode.as_str() {
        "soft" | "" => ManageCgroups::Soft,
        "full" => ManageCgroups::Full,
        "strict" => ManageCgroups::Strict,
        "ignore" => ManageCgroups::Ignore,
        other => bail!("--manage-cgroups-mode {other}: must be soft, full, strict or ignore"),
    };
    Ok(options)
}

fn server(text: &str) -> anyhow::Result<(String, u16)> {
    let pair = text
        .rsplit_once(':')
        .filter(|(address, _)| !address.is_empty());
    let parsed = pair.and_then(|(address, port)| Some((address.to_owned(), port.parse().ok()?)));
    parsed.with_context(|| format!("--page-server {text}: must be ADDRESS:PORT"))
}

fn status(number: &OsString) -> anyhow::Result<OwnedFd> {
    let parsed = number.to_str().and_then(|number| number.parse().ok());
    let number = parsed.with_context(|| format!("--status-fd {}: no number", number.display()))?;
    Ok(inherited_descriptor(number)?)
}

/// podman asks for `--lsm-mount-context` without its value, and takes these words for a yes.
pub(super) fn in_words_of_engines(error: anyhow::Error) -> anyhow::Error {
    let Some(usage) = error.downcast_ref::<clap::Error>() else {
        return error;
    };
    let value = usage.get(ContextKind::InvalidValue);
    match usage.get(ContextKind::InvalidArg) {
        Some(option)
            if usage.kind() == ErrorKind::InvalidValue
                && value.is_none_or(|value| value.to_string().is_empty()) =>
        {
            anyhow::anyhow!("{option} requires an argument")
        }
        _ => error,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    /// What is said of criu's own options: what criu makes of them is seen where criu works.
    #[test]
    fn each_flag_is_an_option_of_criu() {
        let flags = "--image-path /i --work-path /w --tcp-established --ext-unix-sk --shell-job \
            --lazy-pages --file-locks --auto-dedup --manage-cgroups-mode full --empty-ns network one";
        let read = |command: &str| {
            let words = format!("{command} {flags}");
            Restore::try_parse_from(words.split_whitespace()).unwrap()
        };
        let options = criu(&read("restore --lsm-profile apparmor:x").options).unwrap();
        let mut expected = CriuOptions::new("/i");
        expected.work = Some("/w".into());
        expected.tcp_established = true;
        expected.external_unix_sockets = true;
        expected.shell_job = true;
        expected.lazy_pages = true;
        expected.file_locks = true;
        expected.auto_dedup = true;
        expected.manage_cgroups = ManageCgroups::Full;
        assert_eq!(format!("{options:?}"), format!("{expected:?}"));
        let plain = Checkpoint::try_parse_from(["checkpoint", "--image-path", "/i", "one"]);
        let options = criu(&plain.unwrap().options).unwrap();
        assert_eq!(
            format!("{options:?}"),
            format!("{:?}", CriuOptions::new("/i"))
        );
        let more = "checkpoint --parent-path ../p --leave-running --pre-dump --tcp-skip-in-flight \
            --link-remap --page-server [::1]:27 --status-fd 9 one";
        let more = Checkpoint::try_parse_from(more.split_whitespace()).unwrap();
        assert!(more.leave_running && more.pre_dump && more.tcp_skip_in_flight && more.link_remap);
        assert_eq!(more.parent_path, Some("../p".into()));
        let address = server(more.page_server.as_deref().unwrap()).unwrap();
        assert_eq!(address, ("[::1]".to_owned(), 27));
        assert_eq!(more.status_fd, Some("9".into()));
    }

    #[test]
    fn what_is_no_option_of_criu_is_named() {
        for (flag, word) in [
            ("--empty-ns=pid", "--empty-ns pid"),
            ("--manage-cgroups-mode=most", "--manage-cgroups-mode most"),
        ] {
            let read = Checkpoint::try_parse_from(["checkpoint", flag, "one"]).unwrap();
            let error = criu(&read.options).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        for wrong in ["", ":1", "host", "host:", "host:x", "host:65536"] {
            assert!(server(wrong).is_err(), "{wrong}");
        }
        assert!(status(&"x".into()).is_err());
    }
}
