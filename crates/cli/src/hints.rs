//! What failed, in one line, and what to do about it, in at most one more.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use crabcan_runtime::Error;
use nix::errno::Errno;

use crate::global::{Global, LogFormat};

/// Prints the chain of causes once, and a hint when there is one.
pub(crate) fn report(error: &anyhow::Error) {
    let mut text = format!("crabcan: {}", chain(error));
    if let Some(hint) = hint(error) {
        let _ = write!(text, "\nhint: {hint}");
    }
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Whether what looks like an error is what was asked for: `--help` or `--version`.
pub(crate) fn is_answer(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<clap::Error>()
        .is_some_and(|usage| !usage.use_stderr())
}

/// Prints that answer; the exit code.
pub(crate) fn print_answer(error: &anyhow::Error) -> u8 {
    u8::from(write!(io::stdout(), "{error}").is_err())
}

/// Tells of a failed OCI command: in the log, if the caller has named one, and on standard error.
pub(crate) fn report_oci(name: &str, error: &anyhow::Error, global: &Global) {
    let is_of_program = matches!(error.downcast_ref::<Error>(), Some(Error::Execute { .. }));
    let text = format!("{name}: {}", for_engines(&chain(error), is_of_program));
    let to_stderr = global.log.is_none();
    if !to_stderr || global.log_format == LogFormat::Json {
        log::error!("{text}");
    }
    if to_stderr && global.log_format == LogFormat::Json {
        return;
    }
    // What to type differently is for people, not for who calls a runtime.
    let is_of_sandbox = matches!(
        error.downcast_ref::<Error>(),
        None | Some(Error::Execute { .. })
    );
    let hint = hint(error).filter(|_| !is_of_sandbox);
    let hint = hint.map_or(String::new(), |hint| format!("\nhint: {hint}"));
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "crabcan: {text}{hint}");
}

/// The text as container engines read it. They choose exit codes by words in it: "no such file or
/// directory", which podman knows in capitals too, is a command that was not found (127) and
/// "permission denied" one that can't be executed (126). So of the program these are said as they
/// are looked for, and of nothing else is said the first.
fn for_engines(text: &str, is_of_program: bool) -> String {
    const NOT_THERE: &str = "No such file or directory (ENOENT)";
    const DENIED: &str = "Permission denied (EACCES)";
    if is_of_program {
        text.replace(NOT_THERE, "no such file or directory (ENOENT)")
            .replace(DENIED, "permission denied (EACCES)")
    } else {
        text.replace(NOT_THERE, "it does not exist (ENOENT)")
    }
}

/// The causes from the outermost to the innermost, each once, on one line. What a terminal would obey
/// is escaped: names in them are an image's or a container's.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    if let Some(usage) = error.downcast_ref::<clap::Error>() {
        return usage_in_one_line(usage);
    }
    let causes: Vec<String> = error.chain().map(words).collect();
    let line = causes.join(": ").replace('\n', " ");
    let shown = |letter: char| match letter.is_control() {
        true => letter.escape_default().to_string(),
        false => letter.to_string(),
    };
    line.chars().map(shown).collect()
}

/// One cause; the kernel's answers by their names.
fn words(cause: &(dyn StdError + 'static)) -> String {
    match cause
        .downcast_ref::<io::Error>()
        .and_then(io::Error::raw_os_error)
    {
        Some(number) => {
            let errno = Errno::from_raw(number);
            format!("{} ({errno:?})", errno.desc())
        }
        None => cause.to_string(),
    }
}

/// The first paragraph of what clap says.
fn usage_in_one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let line = first.strip_prefix("error: ").unwrap_or(first);
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What to do about it: the one table of hints.
pub(crate) fn hint(error: &anyhow::Error) -> Option<String> {
    if error.is::<clap::Error>() {
        return Some("crabcan --help lists the options; a command goes behind \"--\"".into());
    }
    if error.is::<crabcan_image::Error>() {
        return image_hint(error).map(Into::into);
    }
    let Some(runtime) = error.downcast_ref::<Error>() else {
        return error
            .to_string()
            .ends_with("no command of crabcan's")
            .then(|| "to run a program in a sandbox: crabcan -- PROGRAM".into());
    };
    let errno = errno(runtime);
    let text = match (runtime, errno) {
        (
            Error::Execute {
                interpreter: true, ..
            },
            _,
        ) => {
            "the file is there; what is missing is the program or the dynamic loader that runs it \
             (for one from the host: --add /lib:/lib --add /lib64:/lib64)"
        }
        (Error::Execute { .. }, Some(Errno::ENOENT)) => {
            "the path is looked up inside the sandbox, where homes, /tmp and /run are empty; \
             --add SRC:DST shows more of the host"
        }
        (Error::CriuMissing { .. }, Some(Errno::ENOENT)) => "the package criu has it",
        (Error::Limits { source } | Error::Cgroup { source, .. }, _) => {
            return source.hint().map(String::from);
        }
        (Error::Namespaces { source, .. }, Some(errno)) => {
            return namespaces_hint(&source.to_string(), errno);
        }
        (Error::MemoryFile { .. }, Some(Errno::EACCES)) => {
            "programs in memory are switched off: sysctl vm.memfd_noexec must be 0 or 1"
        }
        (
            Error::Rootfs {
                source: crabcan_runtime::rootfs::Error::ProgramFile { .. },
            },
            Some(Errno::EPERM),
        ) => "CRABCAN_INIT=tmpfs needs CAP_SYS_ADMIN: without it, init is in memory (memfd)",
        (Error::IdMapUnsupported { .. }, _) => {
            "--userns host makes no user namespace, and needs no id-mapped mounts"
        }
        (_, Some(Errno::EPERM)) if is_about_attributes(runtime) => LOCKED,
        (Error::Step { step, .. }, Some(errno)) => return step_hint(step, errno),
        (Error::Ids { .. }, Some(Errno::EBUSY)) => {
            "every range of root in /etc/subuid and /etc/subgid is used by a container: add a larger one"
        }
        _ => return None,
    };
    Some(text.into())
}

/// What a user namespace can't take back, whoever makes the mount.
const LOCKED: &str = "in a user namespace nobody takes back what the host has set on a mount (ro, \
    nosuid, nodev, noexec), or keeps access times otherwise: leave out the word that does, or mount \
    the source on the host as it is to be";

fn is_about_attributes(error: &Error) -> bool {
    use crabcan_runtime::rootfs::Error::SetAttributes;
    match error {
        Error::Step { step, .. } => {
            step.starts_with("bind ") || step.starts_with("change the mount ")
        }
        Error::Provide { source, .. } => is_about_attributes(source),
        Error::Rootfs { source } => matches!(source, SetAttributes { .. }),
        _ => false,
    }
}

/// The innermost answer of the kernel.
fn errno(error: &Error) -> Option<Errno> {
    let mut cause: &(dyn StdError + 'static) = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let number = cause.downcast_ref::<io::Error>()?.raw_os_error()?;
    Some(Errno::from_raw(number))
}

/// Why the kernel refuses a process in new namespaces, or in a cgroup.
fn namespaces_hint(doing: &str, errno: Errno) -> Option<String> {
    let is = |path: &str, value: &str| {
        std::fs::read_to_string(Path::new("/proc/sys").join(path))
            .is_ok_and(|text| text.trim() == value)
    };
    let text = match errno {
        Errno::ENOSPC | Errno::EUSERS if is("user/max_user_namespaces", "0") => {
            "user namespaces are switched off: sysctl user.max_user_namespaces is 0"
        }
        Errno::ENOSPC | Errno::EUSERS => "a limit in /proc/sys/user is reached",
        Errno::EPERM if is("kernel/unprivileged_userns_clone", "0") => {
            "user namespaces are switched off for ordinary users: \
             sysctl kernel.unprivileged_userns_clone is 0"
        }
        Errno::EPERM | Errno::EACCES if is("kernel/apparmor_restrict_unprivileged_userns", "1") => {
            "AppArmor restricts user namespaces: crabcan needs a profile with \"userns,\" in it"
        }
        Errno::EPERM => "the host, or the container this runs in, forbids new namespaces",
        Errno::EACCES if doing.contains("into a cgroup") => {
            "a process is moved to another cgroup by who may write to the one that has both below \
             it: start crabcan in the part that is delegated (systemd-run --user --scope COMMAND)"
        }
        Errno::EBUSY => {
            "the cgroup hands controllers on to cgroups below it (cgroup v2), so no process can be \
             in it: one of those can be named (linux.cgroupsPath, exec --cgroup)"
        }
        Errno::EAGAIN => "too many processes: RLIMIT_NPROC or a pids limit is reached",
        Errno::ENOSYS => {
            "a seccomp filter of an outer container, or an old kernel, hides a system call: docs/kernel-features.md"
        }
        _ => return None,
    };
    Some(text.into())
}

/// What is behind the usual failures to unpack an image.
fn image_hint(error: &anyhow::Error) -> Option<&'static str> {
    let is_damaged = |cause: &(dyn StdError + 'static)| {
        // A layer's own reason stands in a box.
        let boxed = cause.downcast_ref::<Box<crabcan_image::Error>>();
        let image = boxed.map(Box::as_ref).or_else(|| cause.downcast_ref());
        matches!(image, Some(crabcan_image::Error::Digest { .. }))
    };
    if error.chain().any(is_damaged) {
        return Some("the image is damaged, or was changed: save it again");
    }
    let kernel = error.chain().find_map(|cause| cause.downcast_ref());
    let number = kernel.and_then(io::Error::raw_os_error)?;
    match Errno::from_raw(number) {
        Errno::ENOSPC | Errno::EDQUOT | Errno::EOPNOTSUPP | Errno::EROFS => Some(
            "XDG_CACHE_HOME says where layers are unpacked: a file system with room, and with \
             attributes of users (user_xattr)",
        ),
        _ => None,
    }
}

/// What is behind the usual failures of a step.
fn step_hint(step: &str, errno: Errno) -> Option<String> {
    let text = match errno {
        Errno::EPERM if step.starts_with("mount proc") => {
            "the outer /proc is partly covered, as in an unprivileged container: \
             then the kernel allows no new one"
        }
        Errno::EINVAL if step.starts_with("mount proc") => {
            "the root has something else where the directory /proc must be"
        }
        Errno::EPERM if step.contains("overlay") => {
            "an overlay made by an ordinary user needs Linux 5.11"
        }
        Errno::ENOSYS => {
            "this kernel lacks a system call of that step: attributes of mounts need Linux 5.12 \
             (docs/kernel-features.md)"
        }
        Errno::EINVAL if step.starts_with("take an overlay") => {
            "there may be mounts below that directory, which an ordinary user's overlay can't hide"
        }
        Errno::EROFS if step.starts_with("make the mount point") => {
            "the host's root is read-only and is not changed: choose a destination that is there, \
             or one below /tmp, /run or /mnt"
        }
        Errno::ELOOP
            if ["mount proc", "mount sysfs", "/proc", "/dev"]
                .iter()
                .any(|part| step.contains(part)) =>
        {
            "the root has a symbolic link where a directory must be"
        }
        _ if step.starts_with("execute with the label") => {
            "this kernel has no such security module, or it knows no such label: \
             /sys/kernel/security/lsm lists those that are on"
        }
        Errno::ENODEV if step.starts_with("mount ") => {
            "this kernel has no file system of that type: /proc/filesystems lists those that it has"
        }
        Errno::EINVAL if step.starts_with("mount ") => {
            "a word that is no option of mounts is the file system's own, and it may know no such word"
        }
        Errno::EACCES if step.starts_with("mount ") || step.starts_with("bind ") => {
            "what the mount is to be on may be missing, and the container's ids may not make it: \
             make it in the root"
        }
        Errno::EPERM if step.starts_with("schedule by") => {
            "that needs CAP_SYS_NICE, and in a cpu cgroup of v1 a share of real time \
             (linux.resources.cpu.realtimeRuntime)"
        }
        Errno::EPERM if step.starts_with("limit RLIMIT_") => {
            "a hard limit is raised with CAP_SYS_RESOURCE only"
        }
        Errno::EDQUOT if step == "take an empty session keyring" => {
            "the quota of keys of this user is used up: sysctl kernel.keys.maxkeys and maxbytes, for \
             root root_maxkeys and root_maxbytes; OCI commands have --no-new-keyring"
        }
        Errno::ENOMEM => "there is not enough memory to start (a cgroup's limit?)",
        _ => return None,
    };
    Some(text.into())
}

#[cfg(test)]
mod tests {
    use super::for_engines;

    #[test]
    fn engines_are_told_of_a_missing_program_and_of_nothing_else_in_these_words() {
        let missing = "execute /x: No such file or directory (ENOENT)";
        let told = for_engines(missing, true);
        assert_eq!(told, "execute /x: no such file or directory (ENOENT)");
        let denied = for_engines("execute /x: Permission denied (EACCES)", true);
        assert_eq!(denied, "execute /x: permission denied (EACCES)");
        let sysctl = for_engines("set /p to 1: No such file or directory (ENOENT)", false);
        assert_eq!(sysctl, "set /p to 1: it does not exist (ENOENT)");
    }
}
