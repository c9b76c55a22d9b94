//! Handing on the listener of a system call filter, as the specification wants it.
//!
//! A filter with `SCMP_ACT_NOTIFY` asks somebody outside: `linux.seccomp.listenerPath` names the
//! socket on which that one takes connections. Over one connection for each container it gets the
//! *container process state*, a JSON document, together with the descriptor; see seccomp_unotify(2)
//! and [the specification].
//!
//! [the specification]: https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#containerprocessstate

use std::io::{self, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;

use crabcan_seccomp::json::Listener;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde::Serialize;

use crate::Error;

/// The document that goes with the descriptor.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerProcessState<'a, S> {
    /// The version of the specification that the document follows.
    pub oci_version: &'a str,
    /// What the descriptors are, in their order.
    pub fds: &'a [&'a str],
    /// The filtered process, as the runtime sees it.
    pub pid: i32,
    /// `listenerMetadata`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<&'a str>,
    /// The container's state, as the command `state` prints it.
    pub state: &'a S,
}

/// Connects to whoever listens, and sends the descriptor with the state of the container.
///
/// # Errors
/// [`Error::Listener`] names the socket: ENOENT and ECONNREFUSED when nobody listens there.
pub fn send<S: Serialize>(
    to: &Listener,
    listener: BorrowedFd<'_>,
    oci_version: &str,
    pid: i32,
    state: &S,
) -> Result<(), Error> {
    let failed = |doing| {
        move |source: io::Error| Error::Listener {
            doing,
            path: to.path.clone(),
            source,
        }
    };
    let document = ContainerProcessState {
        oci_version,
        fds: &["seccompFd"],
        pid,
        metadata: to.metadata.as_deref(),
        state,
    };
    let sending = "send the seccomp listener to";
    let text = serde_json::to_vec(&document).map_err(|source| failed(sending)(source.into()))?;
    let mut stream =
        UnixStream::connect(&to.path).map_err(failed("connect to the seccomp listener"))?;
    let sent = with_descriptor(&stream, &text, listener).map_err(failed(sending))?;
    // What the socket had no room for; the descriptor came with the first byte.
    let rest = text.get(sent..).unwrap_or_default();
    stream.write_all(rest).map_err(failed(sending))
}

fn with_descriptor(
    stream: &UnixStream,
    text: &[u8],
    descriptor: BorrowedFd<'_>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    let parts = [IoSlice::new(text)];
    loop {
        match sendmsg(stream, &parts, &mut control, SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}
