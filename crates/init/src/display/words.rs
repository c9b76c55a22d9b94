//! How the fields of a step are shown.

use core::ffi::CStr;
use core::fmt::{self, Display, Formatter, Write};

use crate::format::{Bits, Change, Groups, Strings};

/// `MOUNT_ATTR_*` by the names of mount(8).
const ATTRIBUTES: [(u64, &str); 9] = [
    (0x1, "ro"),
    (0x2, "nosuid"),
    (0x8, "noexec"),
    (0x4, "nodev"),
    (0x10, "noatime"),
    (0x20, "strictatime"),
    (0x80, "nodiratime"),
    (0x10_0000, "idmap"),
    (0x20_0000, "nosymfollow"),
];
/// `SECCOMP_FILTER_FLAG_*` by their names, but that of the listener.
const FILTER_FLAGS: [(u64, &str); 4] = [
    (1, "tsync"),
    (2, "log"),
    (4, "spec_allow"),
    (32, "wait_killable_recv"),
];
/// The capabilities by their numbers, see capabilities(7).
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// `LANDLOCK_ACCESS_FS_*` by their bits.
const FILE_RIGHTS: [&str; 16] = [
    "execute",
    "write_file",
    "read_file",
    "read_dir",
    "remove_dir",
    "remove_file",
    "make_char",
    "make_dir",
    "make_reg",
    "make_sock",
    "make_fifo",
    "make_block",
    "make_sym",
    "refer",
    "truncate",
    "ioctl_dev",
];

/// Rights of Landlock.
pub(super) struct FileRights(pub(super) u64);

impl Display for FileRights {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let all = (1 << FILE_RIGHTS.len()) - 1;
        match self.0 {
            0 => return f.write_str("nothing"),
            rights if rights == all => return f.write_str("everything"),
            _ => {}
        }
        let mut comma = "";
        for (bit, name) in FILE_RIGHTS.iter().enumerate() {
            if self.0 >> bit & 1 == 1 {
                write!(f, "{comma}{name}")?;
                comma = ",";
            }
        }
        match self.0 & !all {
            0 => Ok(()),
            rest => write!(f, "{comma}{rest:#x}"),
        }
    }
}

/// A string with everything escaped that a terminal would not show as a character.
pub(super) struct Text<'a>(pub(super) &'a CStr);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("\"\"");
        }
        for chunk in self.0.to_bytes().utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    // Quotes mean nothing here.
                    '"' | '\'' => f.write_char(character)?,
                    _ => write!(f, "{}", character.escape_debug())?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Strings with something between them.
pub(super) struct List<'a>(pub(super) Strings<'a>, pub(super) &'static str);

impl Display for List<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for string in &self.0 {
            write!(f, "{separator}{}", Text(string))?;
            separator = self.1;
        }
        Ok(())
    }
}

pub(super) struct GroupList<'a>(pub(super) Groups<'a>);

impl Display for GroupList<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut separator = "groups ";
        for group in self.0.as_bytes().as_chunks().0 {
            write!(f, "{separator}{}", u32::from_ne_bytes(*group))?;
            separator = ",";
        }
        if self.0.as_bytes().is_empty() {
            f.write_str("no groups")
        } else {
            Ok(())
        }
    }
}

pub(super) struct Attributes(pub(super) u64);

impl Display for Attributes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        bits(f, self.0, &ATTRIBUTES)
    }
}

/// The words of mount(8) for attributes that are cleared.
const CLEARED: [(u64, &str); 7] = [
    (0x1, "rw"),
    (0x2, "suid"),
    (0x8, "exec"),
    (0x4, "dev"),
    (0x70, "relatime"),
    (0x80, "diratime"),
    (0x20_0000, "symfollow"),
];
const ACCESS_TIME_FIELD: u64 = 0x70;
/// `MS_*` of mount(2).
const PROPAGATIONS: [(u64, &str); 4] = [
    (1 << 17, "unbindable"),
    (1 << 18, "private"),
    (1 << 19, "slave"),
    (1 << 20, "shared"),
];
/// `CLONE_NEW*` by the names of the namespaces.
const NAMESPACES: [(u64, &str); 8] = [
    (0x1000_0000, "user"),
    (0x0002_0000, "mount"),
    (0x0400_0000, "uts"),
    (0x0800_0000, "ipc"),
    (0x2000_0000, "pid"),
    (0x4000_0000, "network"),
    (0x0200_0000, "cgroup"),
    (0x0000_0080, "time"),
];

/// `MS_SHARED` and the like.
pub(super) struct Propagation(pub(super) u64);

impl Display for Propagation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        bits(f, self.0, &PROPAGATIONS)
    }
}

/// What changes of a mount, in the words of mount(8). Where it is not for the mounts below as well
/// although they come with this one, or the other way round, it says so.
pub(super) struct ChangeWords {
    pub(super) change: Change,
    /// Whether the mounts below come with this one.
    pub(super) recursive: bool,
}

impl Display for ChangeWords {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Change {
            set,
            clear,
            propagation,
            recursive,
        } = self.change;
        let cleared = match set & ACCESS_TIME_FIELD {
            0 => clear,
            // Cleared only to be set.
            _ => clear & !ACCESS_TIME_FIELD,
        };
        let parts: [(u64, &[(u64, &str)]); 3] = [
            (set, &ATTRIBUTES),
            (cleared, &CLEARED),
            (propagation, &PROPAGATIONS),
        ];
        let mut separator = "";
        for (words, names) in parts {
            if words != 0 {
                f.write_str(separator)?;
                bits(f, words, names)?;
                separator = ",";
            }
        }
        match (recursive, self.recursive) {
            (true, false) => f.write_str(" and all below"),
            (false, true) => f.write_str(" at the top only"),
            _ => Ok(()),
        }
    }
}

/// `CLONE_NEW*`.
pub(super) struct Namespaces(pub(super) u32);

impl Display for Namespaces {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        bits(f, self.0.into(), &NAMESPACES)
    }
}

/// The numbers in a set, neighbours as a range.
pub(super) struct Numbers<'a>(pub(super) Bits<'a>);

impl Display for Numbers<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut numbers = self.0.iter().peekable();
        let mut separator = "";
        while let Some(first) = numbers.next() {
            let mut last = first;
            while let Some(next) = numbers.next_if_eq(&(last + 1)) {
                last = next;
            }
            write!(f, "{separator}{first}")?;
            if last > first {
                write!(f, "-{last}")?;
            }
            separator = ",";
        }
        if separator.is_empty() {
            f.write_str("none")
        } else {
            Ok(())
        }
    }
}

/// `SECCOMP_FILTER_FLAG_*`.
pub(super) struct FilterFlags(pub(super) u32);

impl Display for FilterFlags {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        bits(f, self.0.into(), &FILTER_FLAGS)
    }
}

/// The names of the bits that are set, and the number of those without one.
fn bits(f: &mut Formatter<'_>, set: u64, names: &[(u64, &str)]) -> fmt::Result {
    let (mut unknown, mut separator) = (set, "");
    for (bit, name) in names.iter().filter(|(bit, _)| set & bit != 0) {
        write!(f, "{separator}{name}")?;
        separator = ",";
        unknown &= !bit;
    }
    if unknown != 0 || set == 0 {
        write!(f, "{separator}{unknown:#x}")
    } else {
        Ok(())
    }
}

pub(super) struct Capabilities(pub(super) u64);

impl Display for Capabilities {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => return f.write_str("no capability"),
            u64::MAX => return f.write_str("every capability"),
            _ => {}
        }
        let mut separator = "";
        for bit in (0..64usize).filter(|bit| self.0 >> bit & 1 == 1) {
            match CAPABILITIES.get(bit) {
                Some(name) => write!(f, "{separator}CAP_{name}")?,
                None => write!(f, "{separator}capability {bit}")?,
            }
            separator = ",";
        }
        Ok(())
    }
}

/// A device number of makedev(3).
pub(super) struct Device(pub(super) u64);

impl Display for Device {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let major = self.0 >> 8 & 0xfff | self.0 >> 32 & !0xfff;
        let minor = self.0 & 0xff | self.0 >> 12 & 0xffff_ff00;
        write!(f, "device {major}:{minor}")
    }
}

pub(super) struct Descriptors(pub(super) u32);

impl Display for Descriptors {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut separator = "descriptors ";
        for bit in (0..32).filter(|bit| self.0 >> bit & 1 == 1) {
            write!(f, "{separator}{bit}")?;
            separator = ",";
        }
        Ok(())
    }
}

pub(super) struct Limit(pub(super) u64);

impl Display for Limit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            u64::MAX => f.write_str("unlimited"),
            limit => limit.fmt(f),
        }
    }
}
