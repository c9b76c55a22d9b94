//! Steps of a sandbox that is put together piece by piece: see [`Step`](super::Step).

/// Hands the steps before and these to [`steps`].
macro_rules! with_sandbox_steps {
    ($($before:tt)*) => { steps! {
        $($before)*
        /// Take a new tmpfs as the container's root.
        EmptyRoot = 100 {
            /// Each `key=value`, or `key` alone.
            options: Strings<'a>,
            /// `MOUNT_ATTR_*` to set.
            attributes: u64,
        }
        /// Make a directory, and those above it (0755). One that is there is left as it is.
        Directory = 101 {
            /// Its path beneath the root.
            target: &'a CStr,
            /// Its permission bits.
            mode: u32,
        }
        /// Write a file with what can be read from a descriptor that the parent sends.
        File = 102 {
            /// Its path beneath the root. What was in it is gone; a symbolic link there is an error.
            target: &'a CStr,
            /// The permission bits of a file that was not there.
            mode: u32,
        }
        /// Make a file with what can be read from a descriptor that the parent sends appear at a
        /// place, without changing the file system of that place.
        BindFile = 103 {
            /// Where, beneath the root; made when it is missing.
            target: &'a CStr,
            /// Its permission bits.
            mode: u32,
            /// `MOUNT_ATTR_*` to set.
            attributes: u64,
        }
        /// Change the permission bits of a file or directory that can be opened.
        Permissions = 104 {
            /// Its path beneath the root.
            target: &'a CStr,
            /// The bits.
            mode: u32,
        }
        /// Refuse a place (ESTALE) that is not this very file: another has taken its name since
        /// somebody opened it.
        SameFile = 105 {
            /// The place beneath the root.
            target: &'a CStr,
            /// The number of the file system's device.
            device: u64,
            /// The number of the inode.
            inode: u64,
        }
        /// Hold a shared lock on a file (fcntl(2)) for as long as this process lives.
        LockFile = 106 {
            /// The file's path in the container.
            target: &'a CStr,
        }
        /// Go to the first of these directories that is there and inside the root.
        FirstDirectory = 107 {
            /// Their paths.
            candidates: Strings<'a>,
        }
        /// Lay directories of the host over one another, as the root or somewhere beneath it.
        Overlay = 108 {
            /// The directories that are never changed, the topmost first.
            lowers: Strings<'a>,
            /// Whether the parent sends their detached mounts; then `lowers` only names them.
            received: bool,
            /// The directory that changes go to; empty for none.
            upper: &'a CStr,
            /// An empty directory on the same mount as `upper`; empty without one.
            work: &'a CStr,
            /// Whether changes go to a private tmpfs instead.
            private: bool,
            /// `MOUNT_ATTR_*` to set.
            attributes: u64,
            /// Where, beneath the root. With `/`, this is the root.
            target: &'a CStr,
        }
        /// From here on, note when each step has ended (CLOCK_MONOTONIC, nanoseconds): a number of
        /// eight bytes for each step of the plan. Behind a filter of system calls nothing is noted.
        Timings = 109 {
            /// A shared file with room for them.
            descriptor: u32,
        }
        /// Take a ruleset of Landlock from the parent, and allow what the descriptors 0, 1 and 2
        /// are: who has a file open may open it again.
        Landlock = 110 {
            /// `LANDLOCK_ACCESS_FS_*` that these get as far as they are for a file.
            access: u64,
        }
        /// Allow something beneath a place of the root that was entered; if it is not there,
        /// nothing is allowed.
        LandlockRule = 111 {
            /// The place.
            target: &'a CStr,
            /// `LANDLOCK_ACCESS_FS_*`; of a file, those that are for one.
            access: u64,
        }
        /// From here on, refuse what was not allowed (landlock_restrict_self(2)).
        LandlockRestrict = 112 {}
        /// Take a descriptor from the parent that hooks have in place of one of init's own.
        HookOutput = 113 {
            /// 1 for standard output, 2 for standard error.
            number: u32,
        }
    } };
}
