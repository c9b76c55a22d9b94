//! `explain`: every step of a sandbox, before any of it is done.

use std::ffi::OsString;
use std::io::{Write, stdout};

use crate::args::Args;
use crate::logging;

#[inline(never)]
pub(crate) fn run(arguments: &[OsString]) -> anyhow::Result<u8> {
    let args = Args::read(arguments)?;
    logging::start(args.level());
    let plan = args
        .sandbox()?
        .terminal(crabcan_runtime::console::wanted())
        .plan()?;
    let mut text = format!("clone into new namespaces: {}\n", plan.namespaces());
    if let Some((uids, gids)) = plan.id_map_lines() {
        text += &format!("map user ids: {}\n", uids.trim_end().replace('\n', ", "));
        text += &format!("map group ids: {}\n", gids.trim_end().replace('\n', ", "));
    }
    for (index, step) in plan.steps().iter().enumerate() {
        text += &format!("{index:3} {step}\n");
    }
    stdout().write_all(text.as_bytes())?;
    Ok(0)
}
