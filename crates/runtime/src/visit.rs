//! Something that is done in another namespace, by a thread that ends with it.

use std::io;
use std::thread;

use crabcan_ns::NamespaceFd;
use nix::sched::{CloneFlags, unshare};
use rustix::io::Errno;

/// Does something on a thread that has gone into a namespace, where the caller's threads stay out. In
/// a mount namespace its root and its working directory are those of that.
pub(crate) fn visit<T: Send>(
    namespace: &NamespaceFd,
    there: impl FnOnce() -> T + Send,
) -> io::Result<T> {
    thread::scope(|scope| {
        let visitor = thread::Builder::new().spawn_scoped(scope, || {
            unshare(CloneFlags::CLONE_FS)?;
            namespace.join().map_err(answer)?;
            Ok(there())
        })?;
        let ended = visitor.join();
        ended.unwrap_or_else(|_| Err(Errno::CANCELED.into()))
    })
}

/// The kernel's answer, whose operation is named by ours.
pub(crate) fn answer(error: crabcan_ns::Error) -> io::Error {
    match error.errno() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::other(error),
    }
}
