//! More steps on the process: see [`Step`](super::Step).

/// Hands the steps before and these to the next list.
macro_rules! with_process_steps {
    ($($before:tt)*) => { with_sandbox_steps! {
        $($before)*
        /// Open a procfs for the steps that write to it, before anything of the container's is
        /// joined or mounted. `Ready`, `Fork` and `AwaitStart` close it.
        Procfs = 60 {}
        /// Join namespaces by a descriptor that the parent sends (setns(2)).
        Join = 61 {
            /// `CLONE_NEW*`: the one kind of a namespace, or all that differ of a pidfd's process.
            flags: u32,
        }
        /// Make namespaces (unshare(2)).
        Unshare = 62 {
            /// `CLONE_NEW*`. `CLONE_NEWPID` and `CLONE_NEWTIME` are entered by a later step only.
            flags: u32,
        }
        /// Set the clocks of a time namespace that `Unshare` has made, and enter it.
        TimeOffsets = 63 {
            /// Each a line of `/proc/PID/timens_offsets`: clock, seconds, nanoseconds.
            offsets: Strings<'a>,
        }
        /// Go on in a child, which is the parent's own, in the pid namespace that was joined; this
        /// process tells the parent with [`Message::Forked`](crate::message::Message) and ends. A
        /// `Ready` behind it makes sure that nothing is executed if this process dies untold.
        Fork = 64 {}
        /// Wait for a byte in a FIFO. From here on nothing depends on the parent: the channel is
        /// closed, and a failure is written into the FIFO. SIGHUP, SIGINT, SIGQUIT and SIGTERM end
        /// this process while it waits.
        AwaitStart = 65 {
            /// The FIFO's descriptor, open for reading and writing.
            descriptor: u32,
        }
        /// See whether the program can be found and executed, by the rights of this moment.
        FindProgram = 66 {
            /// The paths to try, as for `Exec`.
            candidates: Strings<'a>,
        }
        /// Have the parent run its hooks: [`Message::Hooks`](crate::message::Message), and wait.
        RuntimeHooks = 67 {}
        /// Run a hook and wait for its end. It fails with ECHILD and the wait status as detail
        /// when the hook did not succeed, and with ETIMEDOUT when it took too long and was killed.
        Hook = 68 {
            /// Its program.
            path: &'a CStr,
            /// Its argument vector.
            args: Strings<'a>,
            /// Its whole environment.
            env: Strings<'a>,
            /// How long it may take, in milliseconds; 0 for as long as it likes.
            timeout_ms: u32,
            /// Its standard input. The byte [`HOOK_PID`] stands for init's own pid.
            state: &'a CStr,
        }
        /// Set the NIS domain name of a new UTS namespace.
        Domainname = 69 {
            /// At most 64 bytes.
            name: &'a CStr,
        }
        /// Set a kernel parameter of the container's namespaces, by the procfs that was opened.
        Sysctl = 70 {
            /// Its path beneath `/proc/sys`.
            key: &'a CStr,
            /// What is written.
            value: &'a CStr,
        }
        /// Say how soon this process is to be killed when memory is short. Only while dumpable,
        /// or with `CAP_SYS_RESOURCE`.
        OomScoreAdj = 71 {
            /// From -1000, never, to 1000.
            score: i32,
        }
        /// Set the mask of file modes that the program starts with.
        Umask = 72 {
            /// The bits that new files do not get.
            mask: u32,
        }
        /// Set the scheduling policy (sched_setattr(2)).
        Scheduler = 73 {
            /// `SCHED_*`.
            policy: u32,
            /// `SCHED_FLAG_*`.
            flags: u64,
            /// The nice value.
            nice: i32,
            /// The static priority.
            priority: u32,
            /// In nanoseconds.
            runtime: u64,
            /// In nanoseconds.
            deadline: u64,
            /// In nanoseconds.
            period: u64,
        }
        /// Set the I/O scheduling class and priority (ioprio_set(2)).
        IoPriority = 74 {
            /// `IOPRIO_CLASS_*`.
            class: u32,
            /// From 0, the highest, to 7.
            level: u32,
        }
        /// Set the CPUs to run on (sched_setaffinity(2)).
        Affinity = 75 {
            /// Bit N for CPU N.
            cpus: Bits<'a>,
        }
        /// Set the execution domain (personality(2)).
        Personality = 76 {
            /// `PER_*` and flags.
            persona: u32,
        }
        /// Set from which nodes memory is taken (set_mempolicy(2)).
        MemoryPolicy = 77 {
            /// `MPOL_*` and `MPOL_F_*`.
            mode: u32,
            /// Bit N for node N.
            nodes: Bits<'a>,
        }
        /// Say with which label the program is executed, by the procfs that was opened.
        ExecLabel = 78 {
            /// The file beneath `/proc/PID/attr`: `exec`, or `apparmor/exec`.
            attribute: &'a CStr,
            /// What is written: SELinux' context, or AppArmor's `exec PROFILE`.
            label: &'a CStr,
        }
        /// Hand descriptors to the program, as 3 and the following. Whatever had these numbers is
        /// gone or moved.
        PreserveDescriptors = 79 {
            /// The first of them as init has it.
            first: u32,
            /// How many.
            count: u32,
        }
        /// Look up the user's home directory in the container's `/etc/passwd`: an environment of
        /// `Exec` in which `HOME=` has nothing behind it gets that, or `/`.
        Home = 91 {
            /// The user id.
            uid: u32,
        }
    } };
}
