//! Architectures and their system call conventions.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// An architecture of the OCI specification: a table of system calls, and how the kernel tells a
/// filter which of them is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the kernel's names")]
pub enum Architecture {
    X86_64,
    X86,
    /// 32-bit pointers on x86_64: the same `AUDIT_ARCH`, told apart by bit 30 of the number. All
    /// numbers from there on count as its own but the last, by which a debugger skips a call.
    X32,
    Aarch64,
    Arm,
    Mips,
    Mips64,
    Mips64N32,
    Mipsel,
    Mipsel64,
    Mipsel64N32,
    Ppc,
    Ppc64,
    Ppc64le,
    S390,
    S390x,
    Parisc,
    Parisc64,
    Riscv64,
    Loongarch64,
    M68k,
    Sh,
    Sheb,
}

/// The bit of a number that makes a call of x86_64 one of x32.
pub(crate) const X32_BIT: u32 = 0x4000_0000;
/// Where the private calls of 32-bit ARM begin.
pub(crate) const ARM_PRIVATE: u32 = 0x0f_0000;

impl Architecture {
    /// Every architecture, the kernel's `AUDIT_ARCH_*`, and the word of the OCI specification.
    const ALL: [(Self, u32, &'static str); 23] = [
        (Self::X86_64, 0xc000_003e, "SCMP_ARCH_X86_64"),
        (Self::X86, 0x4000_0003, "SCMP_ARCH_X86"),
        (Self::X32, 0xc000_003e, "SCMP_ARCH_X32"),
        (Self::Aarch64, 0xc000_00b7, "SCMP_ARCH_AARCH64"),
        (Self::Arm, 0x4000_0028, "SCMP_ARCH_ARM"),
        (Self::Mips, 0x0000_0008, "SCMP_ARCH_MIPS"),
        (Self::Mips64, 0x8000_0008, "SCMP_ARCH_MIPS64"),
        (Self::Mips64N32, 0xa000_0008, "SCMP_ARCH_MIPS64N32"),
        (Self::Mipsel, 0x4000_0008, "SCMP_ARCH_MIPSEL"),
        (Self::Mipsel64, 0xc000_0008, "SCMP_ARCH_MIPSEL64"),
        (Self::Mipsel64N32, 0xe000_0008, "SCMP_ARCH_MIPSEL64N32"),
        (Self::Ppc, 0x0000_0014, "SCMP_ARCH_PPC"),
        (Self::Ppc64, 0x8000_0015, "SCMP_ARCH_PPC64"),
        (Self::Ppc64le, 0xc000_0015, "SCMP_ARCH_PPC64LE"),
        (Self::S390, 0x0000_0016, "SCMP_ARCH_S390"),
        (Self::S390x, 0x8000_0016, "SCMP_ARCH_S390X"),
        (Self::Parisc, 0x0000_000f, "SCMP_ARCH_PARISC"),
        (Self::Parisc64, 0x8000_000f, "SCMP_ARCH_PARISC64"),
        (Self::Riscv64, 0xc000_00f3, "SCMP_ARCH_RISCV64"),
        (Self::Loongarch64, 0xc000_0102, "SCMP_ARCH_LOONGARCH64"),
        (Self::M68k, 0x0000_0004, "SCMP_ARCH_M68K"),
        (Self::Sh, 0x4000_002a, "SCMP_ARCH_SH"),
        (Self::Sheb, 0x0000_002a, "SCMP_ARCH_SHEB"),
    ];

    /// All architectures.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::ALL.iter().map(|(one, _, _)| *one)
    }

    /// The one that this program was built for.
    #[must_use]
    pub fn native() -> Option<Self> {
        let little = cfg!(target_endian = "little");
        Some(match std::env::consts::ARCH {
            "x86_64" if cfg!(target_pointer_width = "32") => Self::X32,
            "x86_64" => Self::X86_64,
            "x86" => Self::X86,
            "aarch64" => Self::Aarch64,
            "arm" => Self::Arm,
            "mips" if little => Self::Mipsel,
            "mips" => Self::Mips,
            "mips64" if little => Self::Mipsel64,
            "mips64" => Self::Mips64,
            "powerpc" => Self::Ppc,
            "powerpc64" if little => Self::Ppc64le,
            "powerpc64" => Self::Ppc64,
            "s390x" => Self::S390x,
            "riscv64" => Self::Riscv64,
            "loongarch64" => Self::Loongarch64,
            "m68k" => Self::M68k,
            _ => return None,
        })
    }

    /// The one that a call is of, by what the kernel tells of it: `AUDIT_ARCH_*` and the number.
    #[must_use]
    pub fn of_call(audit: u32, number: u32) -> Option<Self> {
        let by_x32 = number & X32_BIT != 0 && number != u32::MAX;
        let mut all = Self::ALL.iter().filter(|(_, one, _)| *one == audit);
        let found = all.find(|(one, _, _)| {
            let is_x86 = matches!(one, Self::X86_64 | Self::X32);
            !is_x86 || (*one == Self::X32) == by_x32
        });
        found.map(|(one, _, _)| *one)
    }

    /// The word of the specification without what all of them begin with: `x86_64`.
    pub(crate) fn short(self) -> String {
        let word = Self::ALL[self as usize].2;
        word.trim_start_matches("SCMP_ARCH_").to_ascii_lowercase()
    }

    /// The kernel's `AUDIT_ARCH_*`, which a filter finds in `seccomp_data.arch`.
    #[must_use]
    pub fn audit(self) -> u32 {
        Self::ALL[self as usize].1
    }

    /// How many bits an argument has. Where these are 32, what a filter finds above them says
    /// nothing (mostly zero, the sign on o32 of MIPS) and is not looked at. The registers of x32 and
    /// of n32 have 64, in spite of their pointers.
    #[must_use]
    pub fn argument_bits(self) -> u32 {
        match self {
            Self::X86 | Self::Arm | Self::Mips | Self::Mipsel | Self::Ppc | Self::S390 => 32,
            Self::Parisc | Self::M68k | Self::Sh | Self::Sheb => 32,
            _ => 64,
        }
    }

    /// Whether the lower half of an argument comes first in memory.
    #[must_use]
    pub fn little_endian(self) -> bool {
        self.audit() & 0x4000_0000 != 0
    }
}

impl FromStr for Architecture {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        let found = Self::ALL.iter().find(|(_, _, name)| *name == word);
        found.map(|(one, _, _)| *one).ok_or_else(|| Error::Word {
            what: "architecture",
            name: word.to_owned(),
        })
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL[*self as usize].2)
    }
}
