//! The command `crabcan`: a sandbox for people, and an OCI runtime for container engines.
//!
//! `crabcan -- CMD` runs a command in a sandbox; `crabcan --mount DIR --uid 0 --command /bin/sh` is
//! the tutorial's form of the same. The first argument that is neither an option nor an option's
//! value names a command of crabcan's own: `explain`, or one of an OCI runtime, such as `create`.
//!
//! The library is the program's inside. What others can use of it is the definition of the command
//! line, of which man pages are made, and completions:
//!
//! ```
//! let definition = crabcan_cli::definition();
//! assert!(definition.get_arguments().any(|arg| arg.get_long() == Some("ro-bind")));
//! assert!(definition.find_subcommand("create").is_some());
//! ```

mod args;
mod commands;
mod completion;
mod definition;
mod descriptors;
#[cfg(test)]
#[path = "../../../xtask/fuzz/driver.rs"]
#[allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a target says what it did, and fails by panicking"
)]
mod driver;
mod global;
mod hints;
mod image;
mod limits;
mod logging;
mod network;
mod options;
mod pieces;
mod presets;
mod profiles;
mod rlimits;
mod sys;
mod timings;

use std::ffi::OsString;

pub use completion::{Shell, completion};
pub use definition::{definition, examples};
pub use sys::Memory;

/// What every failure of crabcan itself ends with, but for those of OCI commands.
const FAILURE: u8 = 125;

/// What `--version` says behind the name. Clients read it: the word "version" before the number,
/// and lines with a colon.
const VERSION: &str = concat!("version ", env!("CARGO_PKG_VERSION"), "\nspec: 1.3.0");

/// The program, from its arguments to its exit code.
#[must_use]
pub fn main(arguments: Vec<OsString>) -> u8 {
    if sys::prepare().is_err() {
        return FAILURE;
    }
    // What it reads from its environment is its caller's, and so must its rights be.
    if nix::unistd::getuid() != nix::unistd::geteuid()
        || nix::unistd::getgid() != nix::unistd::getegid()
    {
        hints::report(&anyhow::anyhow!(
            "is installed set-user-ID or set-group-ID, and refuses to run like that"
        ));
        return FAILURE;
    }
    match commands::run(arguments) {
        Ok(code) => code,
        Err(error) if hints::is_answer(&error) => hints::print_answer(&error),
        Err(error) => {
            hints::report(&error);
            let runtime = error.downcast_ref::<crabcan_runtime::Error>();
            runtime.map_or(FAILURE, crabcan_runtime::Error::exit_code)
        }
    }
}

/// The fuzz targets of what is private, for `fuzz/`: see docs/CONTRIBUTING.md.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod targets {
    pub fn user(bytes: &[u8]) {
        crate::commands::user_target(bytes);
    }

    pub fn bwrap(bytes: &[u8]) {
        crate::commands::bwrap_target(bytes);
    }
}
