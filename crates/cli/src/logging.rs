//! What is logged, how loudly and where to.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::Context;
use env_logger::{Builder, Target};
use log::{LevelFilter, Record};

use crate::global::{Global, LogFormat};

/// Logs to standard error. `RUST_LOG` overrides the level; without it only what the runtime and
/// the command line say is shown, not every call of the leaves below.
pub(crate) fn start(level: LevelFilter) {
    builder(level).init();
}

/// Logs as the options before an OCI command say: to standard error or a file, as text or JSON.
pub(crate) fn start_oci(global: &Global) -> anyhow::Result<()> {
    let mut builder = builder(global.level());
    if let Some(path) = &global.log {
        let mut options = OpenOptions::new();
        let file = options.append(true).create(true).mode(0o644).open(path);
        let file = file.with_context(|| format!("open the log {}", path.display()))?;
        builder.target(Target::Pipe(Box::new(file)));
    }
    if global.log_format == LogFormat::Json {
        builder.format(json);
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

/// One object a line, as podman, containerd and docker read it: they want the time as RFC 3339.
fn json(formatter: &mut env_logger::fmt::Formatter, record: &Record<'_>) -> io::Result<()> {
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
    writeln!(formatter, "{object}")
}
