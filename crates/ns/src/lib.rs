//! Linux namespaces, id maps, and clone on a heap stack that is safe in threaded programs.

mod child;
mod clone;
mod error;
mod idmap;
mod namespace;
mod stack;
mod subordinate;
mod sys;

pub use child::{Child, ExitStatus};
pub use clone::{
    CloneOptions, Program, clone_closure, clone_closure_single_threaded, clone_program,
};
pub use error::Error;
pub use idmap::{IdMap, IdMapWriter, IdRange, Setgroups, write_id_maps};
pub use namespace::{Namespace, NamespaceFd, Namespaces};
pub use stack::Stack;
pub use subordinate::SubordinateIds;
