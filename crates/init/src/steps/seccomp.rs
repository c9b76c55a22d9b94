//! The filter of system calls.
//!
//! What comes after it is filtered. So everything that can be done before is done before: only
//! execve(2) is left, and, where it fails, exit_group(2) and the report of the failure. Behind a
//! reaper that report is a store into memory (see [`super::Report`]), elsewhere one write(2).

use core::mem;

use super::Context;
use crate::errno::Errno;
use crate::format::Instructions;
use crate::message::Message;
use crate::sys::{self, Fd};

const NEW_LISTENER: u32 = 1 << 3;

impl Context {
    /// Installs the filter, and sends its listener if it is to have one.
    pub(super) fn filter(
        &mut self,
        program: Instructions<'_>,
        flags: u32,
        listener: bool,
    ) -> Result<(), Errno> {
        if !listener {
            sys::set_filter(program, flags)?;
            self.by_write = true;
            return Ok(());
        }
        // While the parent waits for the listener, nobody answers.
        self.procfs = None;
        let listener = Fd(sys::set_filter(program, flags | NEW_LISTENER)? as i32);
        self.by_write = true;
        let message = Message::Listener.to_bytes();
        let sent = sys::send_listener(self.channel, &message, listener.0);
        // The kernel made it close-on-exec: closing it here would be one more filtered call.
        mem::forget(listener);
        sent
    }
}
