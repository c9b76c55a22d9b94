//! What is logged, and how loudly.

use log::LevelFilter;

/// Logs to standard error. `RUST_LOG` overrides the level; without it only what the runtime and
/// the command line say is shown, not every call of the leaves below.
pub(crate) fn start(level: LevelFilter) {
    let mut builder = env_logger::Builder::new();
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
        ] {
            builder.filter_module(leaf, level.min(LevelFilter::Warn));
        }
    }
    builder.init();
}
