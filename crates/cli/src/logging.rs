//! What is logged, how loudly and where to.

mod daemon;
mod destination;

use std::io::Write;
use std::os::unix::ffi::OsStringExt;

use env_logger::fmt::Formatter;
use env_logger::{Builder, Target};
use log::{LevelFilter, Record};

pub(crate) use self::destination::Destination;
use crate::global::{Global, LogFormat};

/// Logs to standard error. `RUST_LOG` overrides the level; without it only what the runtime and
/// the command line say is shown, not every call of the leaves below.
pub(crate) fn start(level: LevelFilter) {
    builder(level).init();
}

/// Logs as the options before an OCI command say: to standard error, a file or a daemon, as text or
/// JSON.
pub(crate) fn start_oci(global: &Global) -> anyhow::Result<()> {
    let mut builder = builder(global.level());
    if let Some(destination) = &global.log {
        builder.target(Target::Pipe(destination.open()?));
    }
    let format = global.log_format;
    match global.log.clone() {
        Some(Destination::Journal(identifier)) => {
            let identifier = identifier.into_vec();
            builder.format(move |to, record| {
                let text = message(to, record, format);
                daemon::write_entry(to, &identifier, record.level(), &text)
            });
        }
        Some(Destination::Syslog(identifier)) => {
            let identifier = identifier.into_vec();
            builder.format(move |to, record| {
                let text = message(to, record, format);
                daemon::write_packet(to, &identifier, record.level(), &text)
            });
        }
        _ if format == LogFormat::Json => {
            builder.format(|to, record| writeln!(to, "{}", json(to, record)));
        }
        _ => {}
    }
    builder.init();
    Ok(())
}

fn builder(level: LevelFilter) -> Builder {
    let mut builder = Builder::new();
    if std::env::var_os("RUST_LOG").is_some() {
        builder.parse_default_env();
    } else {
        builder.filter_level(level.min(LevelFilter::Warn));
        builder.filter_module("crabcan", level);
        for leaf in [
            "crabcan_ipc",
            "crabcan_ns",
            "crabcan_rootfs",
            "crabcan_caps",
            "crabcan_cgroups",
        ] {
            builder.filter_module(leaf, level.min(LevelFilter::Warn));
        }
    }
    builder
}

/// What a daemon is told, which notes time and level itself.
fn message(formatter: &Formatter, record: &Record<'_>, format: LogFormat) -> String {
    match format {
        LogFormat::Text => record.args().to_string(),
        LogFormat::Json => json(formatter, record),
    }
}

/// One object, as podman, containerd and docker read it: they want the time as RFC 3339.
fn json(formatter: &Formatter, record: &Record<'_>) -> String {
    let level = match record.level() {
        log::Level::Warn => "warning".to_owned(),
        level => level.as_str().to_ascii_lowercase(),
    };
    let time = formatter.timestamp_nanos().to_string();
    let object = serde_json::json!({
        "level": level,
        "msg": record.args().to_string(),
        "time": time,
    });
    object.to_string()
}
