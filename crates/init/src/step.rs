//! The list of steps: each with its number in the flat format and its fields.

use core::ffi::CStr;

use crate::format::{Bits, Changes, Cursor, Field, Groups, Instructions, Strings};

/// Makes the enum of steps and the reading and writing of each from one list, so that the format
/// and the type can't drift apart.
macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident = $opcode:literal
        { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? })*) => {
        /// One thing that init does. `source` and `path` without a word about the root are
        /// host paths; `target` is always resolved beneath the container's root.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Step<'a> {
            $($(#[$doc])* $name { $($(#[$field_doc])* $field: $type),* },)*
        }

        impl<'a> Step<'a> {
            pub(crate) fn read(opcode: u32, from: &mut Cursor<'a>) -> Option<Self> {
                let _ = &from;
                match opcode {
                    $($opcode => Some(Self::$name { $($field: Field::read(from)?),* }),)*
                    _ => None,
                }
            }

            #[cfg(not(crabcan_program))]
            pub(crate) fn write(&self, to: &mut crate::writer::Buffer) -> u32 {
                match self {
                    $(Self::$name { $($field),* } => {
                        $(Field::write($field, to);)*
                        $opcode
                    })*
                }
            }

            /// The step's name, as in this list.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$name { .. } => stringify!($name),)* }
            }

            /// The names of all steps that there are.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];
        }
    };
}

#[macro_use]
mod sandbox;
#[macro_use]
mod process;
#[macro_use]
mod mount;

with_mount_steps! {
    /// Wait until the parent has written the id maps and says so.
    AwaitIdMaps = 1 {}
    /// Make this process untraceable, and its `/proc/PID` the outer root's (`PR_SET_DUMPABLE`).
    NotDumpable = 2 {}
    /// Leave the supplementary groups, where a user namespace that was joined allows that:
    /// setgroups(2) is denied for ever in one whose maps were written without privilege.
    LeaveGroups = 90 {}
    /// Take ids, keeping the capabilities (setgroups(2), setresgid(2), setresuid(2)).
    SetIds = 3 {
        /// The user id.
        uid: u32,
        /// The group id.
        gid: u32,
        /// Whether the supplementary groups are set at all: not where setgroups(2) is denied.
        set_groups: bool,
        /// The supplementary groups.
        groups: Groups<'a>,
    }
    /// Set the host name of a new UTS namespace.
    Hostname = 4 {
        /// At most 64 bytes.
        name: &'a CStr,
    }
    /// Set the loopback interface of a new network namespace up.
    LoopbackUp = 5 {}
    /// Change the propagation of every mount that was copied with the mount namespace.
    Propagation = 6 {
        /// `MS_REC` and one of `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, `MS_UNBINDABLE`.
        flags: u64,
    }
    /// Take a directory of the host as the container's root.
    Root = 7 {
        /// The directory.
        source: &'a CStr,
        /// Whether the parent sends the detached mount; then `source` only names it.
        received: bool,
        /// Whether the mounts below it come with it.
        recursive: bool,
        /// Whether it is attached to the directory, where hooks find it with all that is mounted in
        /// it; else over the root directory, as also where init has no right to go to its own.
        in_place: bool,
        /// What is changed of the mount before it is attached.
        changes: Changes<'a>,
    }
    /// Take an overlay of a directory as the container's root, with a private tmpfs above.
    OverlayRoot = 8 {
        /// The directory, which is never written to.
        lower: &'a CStr,
        /// Whether the parent sends the detached mount; then `lower` only names it.
        received: bool,
        /// `MOUNT_ATTR_*` to set.
        attributes: u64,
    }
    /// Make what something is to be mounted on, and the directories above it, if it is missing.
    MountPoint = 9 {
        /// Its path beneath the root.
        target: &'a CStr,
        /// Whether it is a directory (0755), or an empty file.
        directory: bool,
    }
    /// Make a symbolic link.
    Symlink = 10 {
        /// What the link says.
        text: &'a CStr,
        /// Its path beneath the root.
        target: &'a CStr,
    }
    /// Mount a new file system.
    Mount = 11 {
        /// The file system's type, as in `/proc/filesystems`.
        fstype: &'a CStr,
        /// What it says of its source in mountinfo.
        source: &'a CStr,
        /// Each `key=value`, or `key` alone.
        options: Strings<'a>,
        /// `MOUNT_ATTR_*` to set.
        attributes: u64,
        /// How mounts on it spread: `MS_SHARED` and the like; 0 for not at all.
        propagation: u64,
        /// Where, beneath the root.
        target: &'a CStr,
        /// `TARGET_*` of [`crate::step`].
        flags: u32,
    }
    /// Make a file or directory of the host appear at a second place.
    Bind = 12 {
        /// The file or directory.
        source: &'a CStr,
        /// Whether the parent sends the detached mount; then `source` only names it.
        received: bool,
        /// Whether the mounts below it come with it.
        recursive: bool,
        /// What is changed of the mount before it is attached.
        changes: Changes<'a>,
        /// Where, beneath the root.
        target: &'a CStr,
        /// `TARGET_*` and `SOURCE_*` of [`crate::step`].
        flags: u32,
        /// The device number that the source must have; 0 for any file.
        device: u64,
    }
    /// Cover a file with `/dev/null` or a directory with an empty tmpfs, if it is there.
    Mask = 13 {
        /// Its path beneath the root.
        target: &'a CStr,
    }
    /// Make a file or directory and all below it read-only, if it is there.
    ReadOnly = 14 {
        /// Its path beneath the root.
        target: &'a CStr,
    }
    /// Set attributes of the root's own mount, once everything in it is made.
    RootAttributes = 15 {
        /// `MOUNT_ATTR_*` to set.
        attributes: u64,
    }
    /// Make the container's root the root directory and let the old one go (pivot_root(2)).
    Pivot = 16 {}
    /// Open a terminal of the container's own devpts and send its master to the parent.
    Console = 17 {
        /// Bit N is set when the terminal becomes descriptor N.
        descriptors: u32,
        /// The height in characters; 0 for unknown.
        rows: u32,
        /// The width in characters; 0 for unknown.
        columns: u32,
    }
    /// Go to the working directory, which must be inside the root.
    WorkingDirectory = 18 {
        /// Its path.
        target: &'a CStr,
        /// Whether this is the first of two: what the rights that init has now do not open (EACCES)
        /// is tried by the second, which does nothing where the first has succeeded.
        first: bool,
    }
    /// Set a resource limit (prlimit(2)).
    ResourceLimit = 19 {
        /// `RLIMIT_*`.
        resource: u32,
        /// The soft limit.
        soft: u64,
        /// The hard limit.
        hard: u64,
    }
    /// Take an empty session keyring, so that the caller's keys are not the container's
    /// (keyctl(2)). A kernel without keyrings has none to take.
    SessionKeyring = 28 {}
    /// Refuse new privileges by execve(2) for ever.
    NoNewPrivileges = 20 {}
    /// Drop capabilities from the bounding set.
    Bounding = 21 {
        /// Bit N is set when capability N stays.
        keep: u64,
    }
    /// Set the other four capability sets.
    Capabilities = 22 {
        /// The effective set.
        effective: u64,
        /// The permitted set.
        permitted: u64,
        /// The inheritable set.
        inheritable: u64,
        /// The ambient set.
        ambient: u64,
    }
    /// Have the kernel send a signal when the thread that made this process ends.
    ParentDeathSignal = 23 {
        /// The signal's number.
        signal: u32,
    }
    /// Tell the parent that everything is prepared and wait for its word.
    Ready = 24 {}
    /// Go on in a child; this process stays as pid 1, hands on signals, reaps and reports.
    Reaper = 25 {}
    /// Enter the cgroup: each file `tasks` of v1 that the parent sends is written to.
    JoinCgroup = 45 {
        /// How many it sends.
        count: u32,
    }
    /// Wait until the parent has had this process moved into its cgroup, and says so.
    AwaitCgroup = 46 {}
    /// Become the leader of a new session, with the console as its terminal if there is one.
    Session = 26 {}
    /// Install a system call filter (seccomp(2)): from here on init's own calls are filtered too.
    Seccomp = 40 {
        /// The filter's program.
        program: Instructions<'a>,
        /// `SECCOMP_FILTER_FLAG_*`, but for the one that asks for a listener.
        flags: u32,
        /// Whether the filter has a listener, which is sent to the parent.
        listener: bool,
    }
    /// Execute the program.
    Exec = 27 {
        /// The paths to try, as execvp(3) does.
        candidates: Strings<'a>,
        /// The argument vector.
        args: Strings<'a>,
        /// The environment. `LISTEN_PID=` with nothing behind it gets the program's own pid,
        /// and `HOME=` what `Home` has found.
        env: Strings<'a>,
    }
}

/// The target, and the directories above it, are made when they are missing: a directory or an
/// empty file, like what is mounted there.
pub const TARGET_CREATE: u32 = 1;
/// The target must not be reached through any symbolic link.
pub const TARGET_NO_SYMLINKS: u32 = 2;
/// A missing target is no error: then there is nothing to cover.
pub const TARGET_OPTIONAL: u32 = 4;
/// The target's last name is not followed if it is a symbolic link: the link is covered.
pub const TARGET_NO_FOLLOW: u32 = 8;
/// What the target holds is copied into the new file system before that covers it.
pub const TARGET_COPY_UP: u32 = 16;
/// The new file system has the permissions of the directory that it covers, as its option `mode`;
/// of one that was there already.
pub const TARGET_MODE: u32 = 256;
/// The source's last name is not followed if it is a symbolic link: the link is bound.
pub const SOURCE_NO_FOLLOW: u32 = 32;
/// A source that is a symbolic link is made again at the target, and nothing is bound.
pub const SOURCE_COPY_SYMLINK: u32 = 64;
/// The source is a path beneath the container's root: it has what was mounted there before.
pub const SOURCE_IN_ROOT: u32 = 128;

/// In the text of a hook's standard input, the place of init's own pid. No JSON text has this byte.
pub const HOOK_PID: u8 = 1;
