//! Seccomp profiles compiled to BPF in pure Rust, and installed.
//!
//! A [`Profile`] says what happens to which system calls, in the words of the OCI runtime
//! specification. [`Profile::compile`] makes the kernel's program of it, a [`Filter`]: a balanced
//! decision tree over the call's number for each architecture, the native one first.
//! [`Filter::install`] puts it on the calling thread for good.
//!
//! ```
//! use crabcan_seccomp::{Action, Comparison, Profile, Rule};
//!
//! # fn main() -> Result<(), crabcan_seccomp::Error> {
//! let filter = Profile::new(Action::Allow)
//!     .rule(Rule::new(Action::Errno(1), ["keyctl", "add_key", "request_key"]))
//!     // TIOCSTI, compared on the 32 bits that the kernel looks at.
//!     .rule(Rule::new(Action::Errno(1), ["ioctl"]).argument(
//!         1,
//!         Comparison::MaskedEq { mask: 0xffff_ffff, value: 0x5412 },
//!     ))
//!     .compile()?;
//! assert!(filter.unknown().is_empty());
//! std::thread::spawn(move || {
//!     crabcan_seccomp::no_new_privileges()?;
//!     filter.install()
//! })
//! .join()
//! .unwrap()?;
//! # Ok(())
//! # }
//! ```
//!
//! # What decides
//! The first rule of the profile that names the call and whose conditions hold; otherwise the
//! default action. Conditions on one argument are joined by *or*, those of different arguments by
//! *and*. [`Profile::explain`] shows it as data, [`Filter::disassembly`] the program.
//!
//! A call that is newer than the newest one named by the profile gets ENOSYS where the default
//! action does not let it through, for each architecture on its own, so that programs fall back to
//! the older call; [`Profile::enosys_for_newer`] switches that off.
//!
//! A process that calls by an architecture which the profile does not have is killed. With no
//! architecture at all, the profile is for the native one; the native one is not added otherwise.
//!
//! `socketcall` and `ipc`, the multiplexers of some architectures, follow the rules of the calls
//! that they stand for. The arguments of these are out of sight there: of what conditional rules and
//! the default action say, the strictest happens. A rule for the multiplexer itself comes first.
//!
//! # Profiles that are there already
//! [`builtin`] has an allow-list for untrusted programs and the tutorial's rules. With the feature
//! `json`, profiles are read from the OCI `linux.seccomp` and from the container engines' own
//! format, see `json`; they mean what they mean with runtimes that use libseccomp.
//!
//! # Limits
//! Arguments are compared as 64-bit words, on 32-bit architectures as 32-bit words; what a pointer
//! points to is out of reach. A condition on an argument that the kernel reads as 32 bits wants
//! [`Comparison::MaskedEq`] with the mask `0xffff_ffff`, else set upper bits slip past it. System
//! calls are known up to Linux 7.3 ([`Filter::unknown`] tells of the rest). A program has at most
//! 4096 instructions.
//!
//! # Kernel versions and privileges
//! | what | Linux |
//! |---|---|
//! | [`Filter::install`], [`Flags::TSYNC`] | 3.17 |
//! | [`Action::Log`], [`Action::KillProcess`], [`Flags::LOG`] | 4.14 |
//! | [`Flags::SPEC_ALLOW`] | 4.17 |
//! | [`Action::Notify`], [`Filter::install_with_listener`] | 5.0 (with `TSYNC` 5.7) |
//! | [`Flags::WAIT_KILLABLE_RECV`] | 5.19 |
//!
//! Compiling needs nothing. Installing needs either the no_new_privs bit
//! ([`no_new_privileges`]) or `CAP_SYS_ADMIN` in the thread's user namespace.
//!
//! # Errors
//! [`Error`] names the rule and the field of a bad profile, or what the kernel refused and why.

mod action;
mod architecture;
pub mod builtin;
mod comparison;
mod compile;
mod disassembly;
mod error;
mod explain;
mod filter;
mod flags;
mod install;
#[cfg(feature = "json")]
pub mod json;
mod learn;
mod listener;
mod multiplexer;
mod outcome;
mod policy;
mod profile;
mod program;
mod sys;
pub mod syscalls;

pub use action::Action;
pub use architecture::Architecture;
pub use comparison::{Comparison, Operator};
pub use error::Error;
pub use explain::{Case, Decision, Route};
pub use filter::{Filter, Instruction, UnknownName};
pub use flags::Flags;
pub use install::no_new_privileges;
pub use learn::Learner;
pub use listener::{Call, Listener};
pub use profile::{Profile, Rule};
