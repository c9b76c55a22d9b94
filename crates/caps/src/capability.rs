//! The capabilities by number and name.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// Makes the enum, the names and the list of all from one table, so that they can't drift apart.
macro_rules! capabilities {
    ($($variant:ident = $number:literal, $name:literal, $doc:literal;)*) => {
        /// A capability of capabilities(7), with the kernel's number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Capability {
            $(#[doc = $doc] $variant = $number,)*
        }

        impl Capability {
            /// Every capability that this crate knows, in the kernel's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The kernel's name, as in capabilities(7).
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => concat!("CAP_", $name),)* }
            }
        }
    };
}

capabilities! {
    Chown = 0, "CHOWN", "Change the owner and group of any file.";
    DacOverride = 1, "DAC_OVERRIDE", "Pass every permission check of files.";
    DacReadSearch = 2, "DAC_READ_SEARCH", "Pass the checks for reading files and searching directories.";
    Fowner = 3, "FOWNER", "Do to any file what its owner may.";
    Fsetid = 4, "FSETID", "Keep the set-ID bits of a file that is changed.";
    Kill = 5, "KILL", "Send signals to any process.";
    Setgid = 6, "SETGID", "Take any group id.";
    Setuid = 7, "SETUID", "Take any user id.";
    Setpcap = 8, "SETPCAP", "Change the bounding and inheritable sets.";
    LinuxImmutable = 9, "LINUX_IMMUTABLE", "Set the immutable and append-only attributes.";
    NetBindService = 10, "NET_BIND_SERVICE", "Bind ports below 1024.";
    NetBroadcast = 11, "NET_BROADCAST", "Unused by the kernel.";
    NetAdmin = 12, "NET_ADMIN", "Configure the network.";
    NetRaw = 13, "NET_RAW", "Use raw and packet sockets.";
    IpcLock = 14, "IPC_LOCK", "Lock memory.";
    IpcOwner = 15, "IPC_OWNER", "Pass the permission checks of System V IPC.";
    SysModule = 16, "SYS_MODULE", "Load and unload kernel modules.";
    SysRawio = 17, "SYS_RAWIO", "Access I/O ports and raw devices.";
    SysChroot = 18, "SYS_CHROOT", "Use chroot(2), and enter mount namespaces.";
    SysPtrace = 19, "SYS_PTRACE", "Trace any process.";
    SysPacct = 20, "SYS_PACCT", "Switch process accounting.";
    SysAdmin = 21, "SYS_ADMIN", "Mount, and much else.";
    SysBoot = 22, "SYS_BOOT", "Reboot, and load another kernel.";
    SysNice = 23, "SYS_NICE", "Raise scheduling priorities.";
    SysResource = 24, "SYS_RESOURCE", "Pass resource limits and quotas.";
    SysTime = 25, "SYS_TIME", "Set the clocks.";
    SysTtyConfig = 26, "SYS_TTY_CONFIG", "Hang up and configure virtual terminals.";
    Mknod = 27, "MKNOD", "Make device nodes.";
    Lease = 28, "LEASE", "Take leases on any file.";
    AuditWrite = 29, "AUDIT_WRITE", "Write to the audit log.";
    AuditControl = 30, "AUDIT_CONTROL", "Configure auditing.";
    Setfcap = 31, "SETFCAP", "Set the capabilities of files.";
    MacOverride = 32, "MAC_OVERRIDE", "Pass mandatory access control (Smack).";
    MacAdmin = 33, "MAC_ADMIN", "Configure mandatory access control (Smack).";
    Syslog = 34, "SYSLOG", "Read and clear the kernel's log.";
    WakeAlarm = 35, "WAKE_ALARM", "Set timers that wake the machine.";
    BlockSuspend = 36, "BLOCK_SUSPEND", "Keep the machine from being suspended.";
    AuditRead = 37, "AUDIT_READ", "Read the audit log.";
    Perfmon = 38, "PERFMON", "Observe performance (Linux 5.8).";
    Bpf = 39, "BPF", "Load BPF programs (Linux 5.8).";
    CheckpointRestore = 40, "CHECKPOINT_RESTORE", "Restore checkpoints (Linux 5.9).";
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Reads a name with or without `CAP_`, in upper or lower case.
impl FromStr for Capability {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bare = match text.get(..4) {
            Some(prefix) if prefix.eq_ignore_ascii_case("CAP_") => &text[4..],
            _ => text,
        };
        Self::ALL
            .iter()
            .find(|capability| capability.name()[4..].eq_ignore_ascii_case(bare))
            .copied()
            .ok_or_else(|| Error::Unknown { name: text.into() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

    use super::*;

    #[test]
    fn numbers_are_the_kernels() {
        let numbers: Vec<u8> = Capability::ALL.iter().map(|one| *one as u8).collect();
        assert_eq!(numbers, (0..=40).collect::<Vec<u8>>());
        assert_eq!(Capability::SysAdmin as u8, 21);
    }

    #[test]
    fn every_name_is_read_in_every_spelling() {
        for one in Capability::ALL {
            let name = one.name();
            let spellings = [
                name.to_owned(),
                name.to_lowercase(),
                name[4..].to_lowercase(),
            ];
            for text in spellings {
                assert_eq!(text.parse::<Capability>().unwrap(), *one, "{text}");
            }
        }
    }

    #[test]
    fn an_unknown_name_is_named() {
        for text in [
            "",
            "CAP_",
            "CAP_FLY",
            "cap_cap_chown",
            "chown ",
            "é",
            "caé_",
        ] {
            let error = text.parse::<Capability>().unwrap_err();
            assert_eq!(error.to_string(), format!("unknown capability {text:?}"));
        }
    }
}
