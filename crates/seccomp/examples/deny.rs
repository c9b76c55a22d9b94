//! Step 13 of the tutorial for an ordinary user: runs a command that can't use keyrings, can't make
//! user namespaces, and can't type into its terminal (TIOCSTI).
//!
//! ```text
//! cargo run -p crabcan-seccomp --example deny -- unshare --user true
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::os::unix::process::CommandExt;
use std::process::Command;

use crabcan_seccomp::{Action, Architecture, Comparison, Profile, Rule, no_new_privileges};

const EPERM: Action = Action::Errno(1);
const ENOSYS: Action = Action::Errno(38);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let new_user = Comparison::MaskedEq {
        mask: 0x1000_0000,
        value: 0x1000_0000,
    };
    // The kernel looks at 32 bits of the request, so 32 are compared.
    let tiocsti = Comparison::MaskedEq {
        mask: 0xffff_ffff,
        value: 0x5412,
    };
    let mut profile = Profile::new(Action::Allow)
        .rule(Rule::new(EPERM, ["keyctl", "add_key", "request_key"]))
        .rule(Rule::new(EPERM, ["clone", "unshare"]).argument(0, new_user))
        // Its flags are behind a pointer; without it programs fall back to clone.
        .rule(Rule::new(ENOSYS, ["clone3"]))
        .rule(Rule::new(EPERM, ["ioctl"]).argument(1, tiocsti));
    if cfg!(target_arch = "x86_64") {
        profile = profile.architectures([Architecture::X86_64, Architecture::X86]);
    }
    let filter = profile.compile()?;
    println!("{} instructions", filter.instructions().len());
    no_new_privileges()?;
    filter.install()?;

    let mut words = std::env::args_os().skip(1);
    let mut command = Command::new(words.next().unwrap_or_else(|| "true".into()));
    Err(command.args(words).exec().into())
}
