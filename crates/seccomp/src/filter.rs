//! Compiled filters.

use crate::Flags;

/// The kernel's limit on the length of a filter.
pub(crate) const MAX_INSTRUCTIONS: usize = 4096;

/// One instruction of classic BPF: the kernel's `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// How many instructions to skip when the condition holds.
    pub jt: u8,
    /// How many to skip when it does not.
    pub jf: u8,
    /// The constant.
    pub k: u32,
}

/// A name in a profile that is no system call of any architecture known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    /// Which rule names it, counted from zero.
    pub rule: usize,
    /// The name.
    pub name: String,
}

/// A profile as the kernel takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    program: Vec<Instruction>,
    flags: Flags,
    unknown: Vec<UnknownName>,
    notified: Option<Vec<&'static str>>,
    depth: u32,
}

impl Filter {
    pub(crate) fn new(
        program: Vec<Instruction>,
        flags: Flags,
        unknown: Vec<UnknownName>,
        notified: Option<Vec<&'static str>>,
        depth: u32,
    ) -> Self {
        Self {
            program,
            flags,
            unknown,
            notified,
            depth,
        }
    }

    /// The program.
    #[must_use]
    pub fn instructions(&self) -> &[Instruction] {
        &self.program
    }

    /// The program as the bytes of an array of `struct sock_filter`, for who installs it elsewhere.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.program.len() * size_of::<Instruction>());
        for one in &self.program {
            bytes.extend(one.code.to_ne_bytes());
            bytes.extend([one.jt, one.jf]);
            bytes.extend(one.k.to_ne_bytes());
        }
        bytes
    }

    /// The profile's flags.
    #[must_use]
    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// The names that are no system call's on any architecture. A name that only other
    /// architectures have is none of them: such a rule has just nothing to do here.
    #[must_use]
    pub fn unknown(&self) -> &[UnknownName] {
        &self.unknown
    }

    /// Whether an action of the profile asks a listener.
    #[must_use]
    pub fn needs_listener(&self) -> bool {
        self.notified.is_some()
    }

    /// Whether a listener may be asked before a native program makes this call.
    ///
    /// Who installs the filter and hands the listener to somebody else needs some calls for that,
    /// `sendmsg` and `close` say, and `execve` thereafter. A call that nobody can answer yet waits
    /// for ever, so ask this before.
    #[must_use]
    pub fn notifies(&self, name: &str) -> bool {
        let notified = self.notified.as_deref().unwrap_or_default();
        notified.binary_search(&name).is_ok()
    }

    /// How many questions about the number are asked at most before conditions on arguments.
    #[must_use]
    pub fn depth(&self) -> u32 {
        self.depth
    }
}
