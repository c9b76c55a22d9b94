//! Linux namespaces, id maps, and clone on a heap stack that is safe in threaded programs.

mod child;
mod clone;
mod error;
mod namespace;
mod stack;
mod sys;

pub use child::{Child, ExitStatus};
pub use clone::{CloneOptions, Program, clone_program};
pub use error::Error;
pub use namespace::{Namespace, NamespaceFd, Namespaces};
pub use stack::Stack;
pub use sys::{clone_closure, clone_closure_single_threaded};
