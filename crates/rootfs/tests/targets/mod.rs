//! What the fuzz targets do with bytes: run by `../fuzz.rs`, and under cargo-fuzz by `../../fuzz`.

use crabcan_init::PlanWriter;
use crabcan_init::format::FlatPlan;
use crabcan_rootfs::{MountOptions, NewMount};

/// Words with commas between them: what they come to contradicts itself in nothing, and becomes a
/// step that can be read, or an error.
pub(crate) fn options(bytes: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(bytes);
    let options = MountOptions::parse(text.split(','));
    assert_eq!(options, MountOptions::parse(text.split(',')));
    let mut plan = PlanWriter::new();
    let mount = NewMount::new("tmpfs", "/mnt").parsed(&options);
    let pushed = mount.push(&mut plan);
    let flat = plan.finish(None);
    let steps = FlatPlan::parse(&flat).unwrap().steps().count();
    assert_eq!(steps > 0, pushed.is_ok());
    // Every combination of what words set is a behaviour of its own.
    let shown = format!("{options:?}");
    let data = shown.find("data").unwrap_or(shown.len());
    let of = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    shown.as_bytes()[..data]
        .iter()
        .fold(u64::from(pushed.is_ok()), of)
        % 1024
}
