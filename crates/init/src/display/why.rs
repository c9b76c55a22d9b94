//! Why a step is done: for `explain`.

use crate::step::Step;

impl Step<'_> {
    /// Why this is done, in one line.
    #[must_use]
    pub fn why(&self) -> &'static str {
        match self {
            Self::AwaitIdMaps {} => {
                "only the parent may map the ids; until then init has none in there"
            }
            Self::Procfs {} => {
                "what init writes about itself goes to a procfs that is the kernel's"
            }
            Self::NotDumpable {} => "nobody in the container may look into init or steer it",
            Self::LeaveGroups {} | Self::SetIds { .. } => {
                "the caller's ids and groups are not the container's"
            }
            Self::Hostname { .. } | Self::Domainname { .. } => {
                "the container has a name of its own, and can't rename the host"
            }
            Self::LoopbackUp {} => "programs expect 127.0.0.1; nothing else is there",
            Self::Propagation { .. } => "what is mounted from here on is not seen by the host",
            Self::Join { .. } | Self::Unshare { .. } | Self::Fork {} => {
                "this namespace could not be had by the clone"
            }
            Self::TimeOffsets { .. } => "clocks are set before anybody is in the time namespace",
            Self::JoinCgroup { .. } | Self::AwaitCgroup {} => {
                "limits hold before the first program runs"
            }
            Self::HookOutput { .. } => "the file is none of the container's",
            Self::LandlockRestrict {} | Self::Landlock { .. } | Self::LandlockRule { .. } => {
                "a second wall: holds for files of the host too, should one be reached"
            }
            Self::Timings { .. } => "asked for by --timings",
            Self::FindProgram { .. } => {
                "a program that is missing fails before anybody waits for it"
            }
            _ => self
                .why_of_files()
                .or_else(|| self.why_of_end())
                .unwrap_or("asked for"),
        }
    }

    fn why_of_files(&self) -> Option<&'static str> {
        Some(match self {
            Self::Root { .. } | Self::OverlayRoot { .. } | Self::EmptyRoot { .. } => {
                "what the container sees as its root; nobody else sees this mount"
            }
            Self::AttachedRoot { .. } => {
                "there is no mount namespace: what is mounted in it is seen on the host"
            }
            Self::Mount { .. } => "what is in a new file system is the container's alone",
            Self::Bind { .. }
            | Self::BindFile { .. }
            | Self::File { .. }
            | Self::Overlay { .. } => "shown because it was asked for, or every program needs it",
            Self::MountPoint { .. } | Self::Directory { .. } | Self::Symlink { .. } => {
                "programs look for it by this name"
            }
            Self::MakeNode { .. } | Self::ConsoleDevice { .. } => "a device that was asked for",
            Self::SameFile { .. } => "another file may have taken the name since it was opened",
            Self::Permissions { .. } => "asked for",
            Self::Mask { .. } | Self::ReadOnly { .. } => {
                "the kernel's files here tell about the host, or change it"
            }
            Self::Remount { .. } | Self::RootAttributes { .. } => {
                "everything in it is made: from here on it stays as it is"
            }
            Self::Pivot {} => "from here on no path leads to the host's root",
            Self::Chroot {} => "pivot_root(2) is not to be used; the host's root stays below",
            Self::EnterRoot {} => "the host's root stays below: there is no mount namespace",
            _ => return None,
        })
    }

    fn why_of_end(&self) -> Option<&'static str> {
        Some(match self {
            Self::Console { .. } => "the command can't type into the caller's terminal",
            Self::SessionKeyring {} => "the caller's keys are not the container's",
            Self::Bounding { .. } | Self::Capabilities { .. } => {
                "no more rights than a program in a container needs"
            }
            Self::NoNewPrivileges {} => "set-user-ID programs give nothing",
            Self::ParentDeathSignal { .. } => "nothing lives on when its parent is gone",
            Self::WorkingDirectory { .. } | Self::FirstDirectory { .. } => {
                "where the command starts, and inside the root"
            }
            Self::Home { .. } => "programs expect HOME, and the environment does not say it",
            Self::Ready {} => "the parent gives its word only when all of this is done",
            Self::AwaitStart { .. } => "another program gives the word",
            Self::Reaper {} => "orphans are reaped, and everything ends with the command",
            Self::Session {} => "signals of the caller's terminal do not come twice",
            Self::Seccomp { .. } => {
                "what no filter lets through, no fault of the kernel's is reached by"
            }
            Self::Exec { .. } => "the command",
            Self::LockFile { .. } => "others see by this lock that the sandbox lives",
            Self::PreserveDescriptors { .. } => "the command expects them",
            _ => return None,
        })
    }
}
