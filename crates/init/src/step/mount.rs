//! More steps on the root file system: see [`Step`](super::Step).

/// Hands the steps before and these to the next list.
macro_rules! with_mount_steps {
    ($($before:tt)*) => { with_process_steps! {
        $($before)*
        /// Change what is mounted at a place: its attributes, and its file system's options.
        Remount = 50 {
            /// Where, beneath the root: the top of a mount.
            target: &'a CStr,
            /// What changes of the mount itself.
            changes: Changes<'a>,
            /// What changes of its file system: each `key=value`, or `key` alone.
            options: Strings<'a>,
            /// `TARGET_*` of [`crate::step`].
            flags: u32,
        }
        /// Make a device node, a FIFO, or nothing if the same is there already. What is there is
        /// left as it is; something else there is an error (EEXIST).
        MakeNode = 51 {
            /// Its path beneath the root.
            target: &'a CStr,
            /// `S_IFCHR`, `S_IFBLK` or `S_IFIFO`, with the permission bits.
            mode: u32,
            /// The number of makedev(3); 0 for a FIFO.
            device: u64,
            /// Its owner.
            uid: u32,
            /// Its group.
            gid: u32,
        }
        /// Make the container's root the root directory without pivot_root(2), which the kernel's
        /// first file system refuses. The old root stays mounted below the new one: a process with
        /// `CAP_SYS_ADMIN` in the container can get at it.
        Chroot = 52 {}
        /// Take the root that the parent has attached among the host's mounts, where everything is
        /// mounted that follows.
        AttachedRoot = 114 {
            /// `MS_PRIVATE` or `MS_SLAVE`: what every copy of a mount of the host's is first, since
            /// the host's own are not changed.
            propagation: u64,
        }
        /// Make the container's root the root directory (chroot(2)). The mounts of the host's are
        /// left as they are.
        EnterRoot = 115 {}
        /// Give the terminal that was opened to a user, and make it appear as `/dev/console`.
        ConsoleDevice = 53 {
            /// Its owner; its group is devpts' matter.
            uid: u32,
        }
    } };
}
