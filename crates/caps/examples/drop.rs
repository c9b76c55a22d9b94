//! Step 12 of the tutorial: drops what a sandbox does not need and shows the sets before and
//! after, as the kernel tells them. Run it as any user:
//!
//! ```text
//! cargo run -p crabcan-caps --example drop
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use crabcan_caps::{Capabilities, Capability};
use nix::sched::{CloneFlags, unshare};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mine = Capabilities::of_current_thread()?;
    if !mine.effective.contains(Capability::Setpcap) {
        // An ordinary user has every capability in a user namespace of his own.
        unshare(CloneFlags::CLONE_NEWUSER)?;
    }
    show("before", &Capabilities::of_current_thread()?);
    Capabilities::sandbox(0).apply()?;
    show("after", &Capabilities::of_current_thread()?);
    Ok(())
}

fn show(when: &str, sets: &Capabilities) {
    println!("{when}:");
    println!("  bounding     {}", sets.bounding);
    println!("  effective    {}", sets.effective);
    println!("  permitted    {}", sets.permitted);
    println!("  inheritable  {}", sets.inheritable);
    println!("  ambient      {}", sets.ambient);
}
