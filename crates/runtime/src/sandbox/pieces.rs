//! What a sandbox' root is put together of, and which of the host's namespaces it shares.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crabcan_caps::{Capabilities, CapabilitySet};
use crabcan_ns::Namespace;
use crabcan_rootfs::MountAttributes;

use super::Sandbox;
use super::environment::Change;
use crate::spec::{Access, NamespaceRequest, Operation, Root, Spec, User};
use crate::{Error, plan};

impl Sandbox {
    /// Takes away what a sandbox has by itself: the root is empty, without `/proc` and `/dev`, all of
    /// the caller's environment is kept, and every namespace but that of mounts is shared, until
    /// something else is said after this. For a caller that decides about everything.
    pub fn bare(mut self) -> Self {
        self.bare = true;
        self.kinds = vec![Namespace::Mount];
        self.environment = vec![Change::Keep];
        self
    }

    /// Does one more thing to the root, behind what was asked for before. Something mounted on `/`
    /// becomes the root itself, and what came before is gone.
    pub fn operation(mut self, operation: Operation) -> Self {
        self.operations.push(operation);
        self
    }

    /// Shares the caller's namespace of this kind instead of making one.
    pub fn share(mut self, kind: Namespace) -> Self {
        self.kinds.retain(|other| *other != kind);
        self
    }

    /// Makes a namespace of this kind: all kinds but that of time are made without this.
    pub fn unshare(mut self, kind: Namespace) -> Self {
        self.kinds.retain(|other| *other != kind);
        self.kinds.push(kind);
        self
    }

    /// Joins a namespace that is there: a file of `/proc/PID/ns`, or something it is mounted on.
    pub fn join(mut self, kind: Namespace, path: impl Into<PathBuf>) -> Self {
        self.kinds.retain(|other| *other != kind);
        self.joined.retain(|(other, _)| *other != kind);
        self.joined.push((kind, path.into()));
        self
    }

    /// The group id in the sandbox; by default that of [`Sandbox::uid`], or the caller's own.
    pub fn gid(mut self, gid: u32) -> Self {
        self.gid = Some(gid);
        self
    }

    /// In a user namespace, root's sandbox has root's own id too, instead of a range that nothing on
    /// the host owns.
    pub fn own_ids(mut self, yes: bool) -> Self {
        self.own_ids = yes;
        self
    }

    /// The capabilities that the command has, as far as the caller can give them.
    pub fn capabilities(mut self, capabilities: CapabilitySet) -> Self {
        self.capabilities = Some(capabilities);
        self
    }

    /// Where the command starts. This must be there.
    pub fn directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.directory = Some(path.into());
        self
    }

    /// What the command is told as its own name.
    pub fn argv0(mut self, name: impl Into<OsString>) -> Self {
        self.argv0 = Some(name.into());
        self
    }

    /// Holds a shared lock (fcntl(2)) on a file in the sandbox as long as that lives. Needs a reaper.
    pub fn lock_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.lock_files.push(path.into());
        self
    }

    /// Lets nobody in the sandbox make a user namespace, whatever the filter of system calls says.
    pub fn disable_user_namespaces(mut self, yes: bool) -> Self {
        self.no_user_namespaces = yes;
        self
    }

    /// A command that is the first process itself, or shares the caller's processes, is killed when
    /// the *thread* that made it ends. With a reaper every command ends with its parent.
    pub fn die_with_parent(mut self, yes: bool) -> Self {
        self.die_with_parent = yes;
        self
    }

    /// Leaves the ids of the sandbox' user namespace to the caller, who maps them when
    /// [`Process::create_mapped`](crate::Process::create_mapped) asks for it: those that the command
    /// has must be among them.
    pub fn mapped_by_caller(mut self, yes: bool) -> Self {
        self.mapped_by_caller = yes;
        self
    }

    /// Has the command enter one more user namespace when its root is there: one below that of its
    /// mounts, over which it then has no rights.
    pub fn enter_user_namespace(mut self, path: impl Into<PathBuf>) -> Self {
        self.late_user_namespace = Some(path.into());
        self
    }

    /// Installs one more filter of system calls as the kernel takes it, an array of
    /// `struct sock_filter`, before the one of [`Sandbox::seccomp`].
    pub fn raw_filter(mut self, program: impl Into<Vec<u8>>) -> Self {
        self.raw_filters.push(program.into());
        self
    }

    /// Has every system call of the command wait for its supervisor, see
    /// [`Process::start_observed`](crate::Process::start_observed). The filter of
    /// [`Sandbox::seccomp`] stays on: what that refuses is refused without asking. Linux 5.9.
    pub fn observed(mut self, yes: bool) -> Self {
        self.observed = yes;
        self
    }

    /// Starts with no variable in the environment.
    pub fn clear_environment(mut self) -> Self {
        self.environment = vec![Change::Clear];
        self
    }

    /// Keeps all of the caller's environment.
    pub fn keep_environment(mut self) -> Self {
        self.environment.push(Change::Keep);
        self
    }

    /// Sets a variable of the environment.
    pub fn set_variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        let change = Change::Set(name.into(), value.into());
        self.environment.push(change);
        self
    }

    /// Takes a variable out of the environment.
    pub fn unset_variable(mut self, name: impl Into<OsString>) -> Self {
        self.environment.push(Change::Unset(name.into()));
        self
    }

    pub(super) fn makes(&self, kind: Namespace) -> bool {
        self.kinds.contains(&kind)
    }

    pub(super) fn namespaces(&self) -> Vec<NamespaceRequest> {
        let made = self.kinds.iter().copied().map(NamespaceRequest::new);
        let joined = self.joined.iter().map(|(kind, path)| NamespaceRequest {
            path: Some(path.clone()),
            ..NamespaceRequest::new(*kind)
        });
        made.chain(joined).collect()
    }

    pub(super) fn capability_sets(&self, user: &User) -> Capabilities {
        let Some(set) = self.capabilities else {
            return Capabilities::sandbox(user.uid);
        };
        // Who is root has them after execve(2) by that alone.
        let kept = match user.uid {
            0 => CapabilitySet::EMPTY,
            _ => set,
        };
        Capabilities {
            bounding: set,
            effective: set,
            permitted: set,
            inheritable: kept,
            ambient: kept,
        }
    }

    /// What is done behind the last thing that became the root itself, and that.
    pub(super) fn split_operations(&self) -> (Option<&Operation>, &[Operation]) {
        let is_root = |operation: &Operation| {
            let mounts = !matches!(
                operation,
                Operation::Directory { .. }
                    | Operation::Permissions { .. }
                    | Operation::ReadOnly { .. }
            );
            mounts && operation.destination().components().count() == 1
        };
        match self.operations.iter().rposition(is_root) {
            None => (None, &self.operations),
            Some(last) => {
                let (before, behind) = self.operations.split_at(last + 1);
                (before.last(), behind)
            }
        }
    }

    /// The root that an operation on `/` makes, or the empty one of a bare sandbox.
    pub(super) fn root_by_operation(
        &self,
        spec: &mut Spec,
        operation: Option<&Operation>,
    ) -> Result<(), Error> {
        spec.extension.root_attributes = MountAttributes::NOSUID | MountAttributes::NODEV;
        match operation {
            None => spec.extension.empty_root = Some(plan::tmpfs_options(None, None)),
            Some(Operation::Tmpfs {
                mode, size_bytes, ..
            }) => {
                let options = plan::tmpfs_options(*mode, *size_bytes);
                spec.extension.empty_root = Some(options);
            }
            Some(overlay @ Operation::Overlay { .. }) => {
                spec.extension.operations.insert(0, overlay.clone());
            }
            Some(Operation::Bind { source, access, .. }) => {
                spec.root = Root {
                    path: source.clone(),
                    readonly: *access == Access::ReadOnly,
                };
                spec.extension.root_attributes = access.attributes();
            }
            Some(other) => {
                let reason = "only a directory or a tmpfs can be the root";
                return Err(Error::invalid(
                    other.destination().display().to_string(),
                    reason,
                ));
            }
        }
        let current = std::env::current_dir().ok();
        spec.process.cwd = current.unwrap_or_else(|| "/".into());
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let home = home.filter(|home| self.bare && home.is_absolute());
        spec.extension.other_directories = home.into_iter().chain(["/".into()]).collect();
        Ok(())
    }

    /// The command starts where it was said, and nowhere else.
    pub(super) fn start_directory(&self, spec: &mut Spec) {
        if let Some(directory) = &self.directory {
            spec.process.cwd = Path::new("/").join(directory);
            spec.extension.other_directories.clear();
        }
    }
}
