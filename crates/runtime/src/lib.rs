//! From a specification to a plan to a running container.

pub mod console;
mod container;
mod error;
mod foreground;
mod host;
mod hostname;
mod ids;
mod launch;
mod plan;
mod protocol;
mod sandbox;
pub mod signals;
pub mod spec;
mod sys;

pub use container::Container;
pub use crabcan_ns::ExitStatus;
pub use error::Error;
pub use foreground::wait;
pub use host::Host;
pub use plan::Plan;
pub use sandbox::Sandbox;
