//! What init and its parent say to each other: one packet is one message.
//!
//! Init sends records of [`Message::LENGTH`] bytes. The parent answers with packets of one byte:
//! [`PROCEED`], the tutorial's boolean, or [`DESCRIPTOR`] with a descriptor attached.

#[cfg(test)]
mod tests;

/// The parent's word to go on; its boolean `true`.
pub const PROCEED: u8 = 1;
/// A detached mount, or a namespace to join, comes with this packet for the step that waits for it.
pub const DESCRIPTOR: u8 = 2;

/// Stands in the upper half of the flags of sendmsg(2), where the kernel does not look and a filter
/// does, in the call that sends a listener: a filter that asks for every call lets this one through,
/// since nobody can answer yet.
pub const LISTENER_MARK: u64 = 0x6372_6162 << 32;

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By exit(3) with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// A message from init.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Everything is prepared but the program: init waits for [`PROCEED`].
    Ready,
    /// A step failed; init ends.
    Failed {
        /// The step's index in the plan.
        step: u32,
        /// The kernel's error number.
        errno: i32,
        /// For the last step, which of the candidate paths decided; with
        /// [`Message::NO_INTERPRETER`] when the file is there but not what runs it. For a hook that
        /// did not succeed (ECHILD), its wait status.
        detail: u32,
    },
    /// The program runs (said by the reaper; without one, the channel's end says so).
    Started,
    /// The command ended (said by the reaper).
    Ended(End),
    /// The master of the container's terminal is attached.
    Console,
    /// The listener of the system call filter is attached.
    Listener,
    /// A child goes on in place of init, which ends. Its pidfd is attached.
    Forked {
        /// Its pid as init saw it, before it joined a pid namespace: the parent's.
        pid: i32,
    },
    /// The parent is to run its hooks now; init waits for [`PROCEED`].
    Hooks,
    /// A detached mount of something in the container's root is attached: the parent is to map its
    /// ids, and sends it back.
    Tree,
}

impl Message {
    /// The length of a message in bytes.
    pub const LENGTH: usize = 16;
    /// Set in `detail` when a program's file is there but its interpreter is not.
    pub const NO_INTERPRETER: u32 = 1 << 31;

    /// The message as it is sent.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LENGTH] {
        let words = match self {
            Self::Ready => [1, 0, 0, 0],
            Self::Failed {
                step,
                errno,
                detail,
            } => [2, step, errno as u32, detail],
            Self::Started => [3, 0, 0, 0],
            Self::Ended(End::Code(code)) => [4, 0, code as u32, 0],
            Self::Ended(End::Signal(signal)) => [4, 1, signal as u32, 0],
            Self::Console => [5, 0, 0, 0],
            Self::Listener => [6, 0, 0, 0],
            Self::Forked { pid } => [7, 0, pid as u32, 0],
            Self::Hooks => [8, 0, 0, 0],
            Self::Tree => [9, 0, 0, 0],
        };
        let mut bytes = [0; Self::LENGTH];
        for (chunk, word) in bytes.chunks_exact_mut(4).zip(words) {
            chunk.copy_from_slice(&u32::to_ne_bytes(word));
        }
        bytes
    }

    /// Reads a message; `None` for anything that init does not say.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::LENGTH]) -> Option<Self> {
        let word = |index: usize| {
            let four = bytes.get(index * 4..)?.first_chunk()?;
            Some(u32::from_ne_bytes(*four))
        };
        match [word(0)?, word(1)?, word(2)?, word(3)?] {
            [1, 0, 0, 0] => Some(Self::Ready),
            [2, step, errno, detail] => Some(Self::Failed {
                step,
                errno: errno as i32,
                detail,
            }),
            [3, 0, 0, 0] => Some(Self::Started),
            [4, 0, code, 0] => Some(Self::Ended(End::Code(code as i32))),
            [4, 1, signal, 0] => Some(Self::Ended(End::Signal(signal as i32))),
            [5, 0, 0, 0] => Some(Self::Console),
            [6, 0, 0, 0] => Some(Self::Listener),
            [7, 0, pid, 0] => Some(Self::Forked { pid: pid as i32 }),
            [8, 0, 0, 0] => Some(Self::Hooks),
            [9, 0, 0, 0] => Some(Self::Tree),
            _ => None,
        }
    }
}
