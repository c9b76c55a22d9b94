//! Packets, booleans and file descriptors between a parent and its child over a socket pair.
//!
//! A [`socketpair`] is the smallest way for two related processes to agree on something: "the id
//! maps are written, go on". This crate makes that step hard to get wrong. One packet is one
//! message; a message has at least one byte, so **the end of the channel is always
//! [`Error::Closed`] and never a value**; a packet of the wrong size, with the wrong value or with
//! an unexpected descriptor is an error that says so; descriptors are close-on-exec from birth and
//! never leak; a dead peer never raises SIGPIPE; interrupted calls are repeated.
//!
//! ```
//! let (parent, child) = crabcan_ipc::socketpair()?;
//! let worker = std::thread::spawn(move || {
//!     let go_on = child.recv_boolean()?;
//!     child.send_boolean(!go_on)
//! });
//! parent.send_boolean(true)?;
//! assert!(!parent.recv_boolean()?);
//! // The thread is done and its end is closed: that is an error, not `false`.
//! assert!(matches!(parent.recv_boolean(), Err(crabcan_ipc::Error::Closed)));
//! # worker.join().unwrap()?;
//! # Ok::<(), crabcan_ipc::Error>(())
//! ```
//!
//! Besides booleans there are records, which are arrays of a fixed size
//! ([`Channel::send_record`]), and records with a descriptor
//! ([`Channel::send_record_with_fd`]). What the bytes mean is the caller's business.
//!
//! # Limits
//! Receiving blocks; whoever wants a limit of time polls the descriptor first. A record is bounded
//! by the socket's send buffer (`net.core.wmem_default`, some 200 KiB). A peer that is not trusted
//! can send nonsense, which is refused, and can keep its end open for ever, which only a limit of
//! time or the peer's pidfd helps against.
//!
//! # Kernel versions and privileges
//! Any kernel since 3.4. No privilege is needed.
//!
//! # Errors
//! One type, [`Error`]: the variant says what was tried or which rule the peer broke, its source is
//! the kernel's answer.

mod channel;
mod error;
mod message;

pub use channel::{Channel, ChildEnd, ParentEnd, socketpair};
pub use error::Error;
