//! From a specification to the steps, in the order that the security of init needs
//! (docs/architecture.md): identity, mounts, pivot, privileges, and only then the program.

mod hooks;
mod list;
mod mounts;
mod process;
mod program;
mod rdt;
mod schedule;
mod sysctl;

use std::path::{Component, Path, PathBuf};

use crabcan_caps::Capability;
use crabcan_init::format::{Groups, Strings};
use crabcan_init::{PlanWriter, Step, TooLong};
use crabcan_ns::{IdMap, IdMapWriter, IdRange, Namespace, Namespaces};
use crabcan_rootfs::{MountAttributes, Propagation, Root, mask, pivot};

use self::program::{candidates, strings};
pub(crate) use self::schedule::memory_words;
use super::{IdMaps, MountToSend, Plan, c_string};
use crate::spec::{IdMapping, Process, Spec, User};
use crate::{Error, Host};

impl From<TooLong> for Error {
    fn from(_: TooLong) -> Self {
        Self::PlanTooLong
    }
}

/// What is being put together.
struct Composer<'a> {
    spec: &'a Spec,
    host: &'a Host,
    id_maps: Option<IdMaps>,
    /// Whether the parent opens the sources of mounts: it can reach what the container's ids can't.
    parent_mounts: bool,
    mounts_to_send: Vec<MountToSend>,
    writer: PlanWriter,
    warnings: Vec<String>,
}

pub(super) fn compose(spec: &Spec, host: &Host) -> Result<Plan, Error> {
    let program = spec
        .process
        .args
        .first()
        .filter(|program| !program.is_empty());
    let program = program.ok_or_else(|| Error::invalid("process.args", "names no program"))?;
    refuse_other_platforms(spec)?;
    hooks::check(spec)?;
    if let Some(wanted) = &spec.linux.intel_rdt {
        rdt::check(wanted)?;
    }
    let namespaces = namespaces(spec)?;
    let id_maps = id_maps(spec, host)?;
    let parent_mounts = host.privileged && id_maps.is_some();
    let writer = PlanWriter::new();
    let mut composer = Composer {
        spec,
        host,
        id_maps,
        parent_mounts,
        mounts_to_send: Vec::new(),
        writer,
        warnings: Vec::new(),
    };
    composer.identity()?;
    composer.isolation()?;
    composer.root()?;
    composer.mounts()?;
    composer.covers()?;
    composer.privileges()?;
    composer.program()?;
    Ok(Plan {
        host: host.clone(),
        namespaces,
        id_maps: composer.id_maps,
        mounts_to_send: composer.mounts_to_send,
        writer: composer.writer,
        program: program.clone(),
        reaper: spec.extension.reaper,
        warnings: composer.warnings,
        fault: None,
        ids: None,
    })
}

/// A part that is there says that the configuration is for another platform.
fn refuse_other_platforms(spec: &Spec) -> Result<(), Error> {
    let parts = [
        ("vm", spec.vm),
        ("windows", spec.windows),
        ("solaris", spec.solaris),
        ("zos", spec.zos),
        ("freebsd", spec.freebsd),
    ];
    match parts.iter().find(|(_, part)| part.is_some()) {
        Some((field, _)) => Err(Error::invalid(
            *field,
            "this is a runtime for Linux containers",
        )),
        None => Ok(()),
    }
}

fn namespaces(spec: &Spec) -> Result<Namespaces, Error> {
    let mut made = Namespaces::new();
    let mut seen = Vec::new();
    for (index, request) in spec.linux.namespaces.iter().enumerate() {
        let field = |name: &str| format!("linux.namespaces[{index}].{name}");
        let word = request.kind.escape_debug();
        let Some(kind) = request.namespace() else {
            let reason = format!("\"{word}\" is no kind of namespace");
            return Err(Error::invalid(field("type"), reason));
        };
        if seen.contains(&kind) {
            return Err(Error::invalid(
                field("type"),
                format!("{word} stands twice"),
            ));
        }
        seen.push(kind);
        if request.path.is_some() {
            return Err(Error::invalid(
                field("path"),
                "joining is not supported yet",
            ));
        }
        made = made.make(kind);
    }
    Ok(made)
}

/// Both maps or none, and only with a user namespace to be mapped.
fn id_maps(spec: &Spec, host: &Host) -> Result<Option<IdMaps>, Error> {
    let linux = &spec.linux;
    let maps = [
        ("linux.uidMappings", &linux.uid_mappings),
        ("linux.gidMappings", &linux.gid_mappings),
    ];
    let separate = linux.makes(Namespace::User);
    for (field, map) in maps {
        match (separate, map.is_empty()) {
            (true, true) => return Err(Error::invalid(field, "missing for the user namespace")),
            (false, false) => {
                return Err(Error::invalid(field, "there is no user namespace to map"));
            }
            _ => {}
        }
    }
    if !separate {
        return Ok(None);
    }
    let [uid, gid] = maps.map(|(field, map)| id_map(field, map));
    let (uid, gid) = (uid?, gid?);
    let own =
        |map: &IdMap, id: u32| matches!(map.ranges(), [one] if one.count == 1 && one.outside == id);
    // Without privilege the kernel takes a map of the caller's own id, and no other.
    let direct = host.has(&[Capability::Setuid, Capability::Setgid])
        || own(&uid, host.uid) && own(&gid, host.gid);
    let writer = match direct {
        true => IdMapWriter::Direct,
        false => IdMapWriter::Helpers,
    };
    Ok(Some(IdMaps { uid, gid, writer }))
}

fn id_map(field: &str, map: &[IdMapping]) -> Result<IdMap, Error> {
    IdMap::new(map.iter().map(IdRange::from))
        .map_err(|error| Error::invalid(field, error.to_string()))
}

impl Composer<'_> {
    fn push(&mut self, step: &Step<'_>) -> Result<(), Error> {
        self.writer.push(step)?;
        Ok(())
    }

    /// Who init is while it prepares everything, and that nobody may trace it.
    fn identity(&mut self) -> Result<(), Error> {
        let Some(maps) = self.id_maps.clone() else {
            return self.push(&Step::NotDumpable {});
        };
        if self.host.privileged {
            // An ordinary user's own init must stay dumpable until its maps are written.
            self.push(&Step::NotDumpable {})?;
        }
        self.push(&Step::AwaitIdMaps {})?;
        let user = &self.spec.process.user;
        let root = maps.uid.outside(0).is_some() && maps.gid.outside(0).is_some();
        let (uid, gid) = if root { (0, 0) } else { (user.uid, user.gid) };
        for (map, id, field) in [
            (&maps.uid, user.uid, "process.user.uid"),
            (&maps.gid, user.gid, "process.user.gid"),
        ] {
            if map.outside(id).is_none() {
                return Err(Error::invalid(field, format!("{id} is not in the id map")));
            }
        }
        self.set_ids(&User {
            uid,
            gid,
            ..User::default()
        })
    }

    fn set_ids(&mut self, user: &User) -> Result<(), Error> {
        // Without privilege, setgroups(2) was denied to the namespace for ever.
        let set_groups = self.host.privileged;
        if !set_groups && !user.additional_gids.is_empty() {
            return Err(Error::invalid(
                "process.user.additionalGids",
                "an ordinary user can't set groups",
            ));
        }
        let groups: Vec<u8> = user
            .additional_gids
            .iter()
            .flat_map(|gid| gid.to_ne_bytes())
            .collect();
        let groups = Groups::new(&groups).ok_or(Error::PlanTooLong)?;
        self.push(&Step::SetIds {
            uid: user.uid,
            gid: user.gid,
            set_groups,
            groups,
        })
    }

    /// What the new namespaces start with.
    fn isolation(&mut self) -> Result<(), Error> {
        if !self.spec.linux.makes(Namespace::Mount) {
            // Everything that follows would be done to the caller's own mounts.
            return Err(Error::invalid(
                "linux.namespaces",
                "there is no mount namespace",
            ));
        }
        let propagation = match self.spec.linux.rootfs_propagation.as_deref() {
            None | Some("" | "private" | "rprivate") => Propagation::Private,
            Some("slave" | "rslave") => Propagation::Slave,
            Some(other) => {
                let reason = format!("\"{}\" is not supported", other.escape_debug());
                return Err(Error::invalid("linux.rootfsPropagation", reason));
            }
        };
        propagation
            .push(&mut self.writer)
            .map_err(rootfs("linux.rootfsPropagation"))?;
        if let Some(name) = &self.spec.hostname {
            if !self.spec.linux.makes(Namespace::Uts) {
                return Err(Error::invalid("hostname", "needs a uts namespace"));
            }
            if name.is_empty() {
                return Err(Error::invalid("hostname", "is empty"));
            }
            if name.len() > 64 {
                return Err(Error::invalid("hostname", "is longer than 64 bytes"));
            }
            self.push(&Step::Hostname {
                name: &c_string("hostname", name)?,
            })?;
        }
        if self.spec.linux.makes(Namespace::Network) {
            self.push(&Step::LoopbackUp {})?;
        }
        Ok(())
    }

    fn root(&mut self) -> Result<(), Error> {
        let (root, extension) = (&self.spec.root, &self.spec.extension);
        let source = self.of_bundle("root.path", &root.path)?;
        let mut attributes = extension.root_attributes;
        if root.readonly && extension.recursive_root {
            attributes |= MountAttributes::RDONLY;
        }
        // The host's own root is cloned by init, never id-mapped: there root's files stay root's.
        let received = self.parent_mounts && source != Path::new("/");
        if received {
            self.mounts_to_send.push(MountToSend {
                source: source.clone(),
                recursive: extension.recursive_root,
                attributes,
                idmap: extension.idmap_root,
            });
        }
        let step = if extension.overlay_root {
            Root::Overlay {
                lower: source,
                received,
                attributes,
            }
        } else {
            Root::Directory {
                source,
                received,
                recursive: extension.recursive_root,
                attributes,
            }
        };
        step.push(&mut self.writer).map_err(rootfs("root.path"))
    }

    /// A path of the host: relative ones are the bundle's.
    fn of_bundle(&self, field: &str, path: &Path) -> Result<PathBuf, Error> {
        if path.as_os_str().is_empty() {
            return Err(Error::invalid(field, "is missing"));
        }
        match &self.spec.extension.bundle {
            Some(bundle) => Ok(bundle.join(path)),
            None if path.is_absolute() => Ok(path.to_owned()),
            None => {
                let reason = format!("\"{}\" is not absolute", path.display());
                Err(Error::invalid(field, reason))
            }
        }
    }

    /// What is hidden or made read-only once everything is mounted, and the pivot.
    fn covers(&mut self) -> Result<(), Error> {
        let linux = &self.spec.linux;
        mask::push_masked(&mut self.writer, &linux.masked_paths)
            .map_err(rootfs("linux.maskedPaths"))?;
        mask::push_read_only(&mut self.writer, &linux.readonly_paths)
            .map_err(rootfs("linux.readonlyPaths"))?;
        if self.spec.root.readonly && !self.spec.extension.recursive_root {
            pivot::push_root_attributes(&mut self.writer, MountAttributes::RDONLY)
                .map_err(rootfs("root.readonly"))?;
        }
        pivot::push_pivot(&mut self.writer).map_err(rootfs("root.path"))
    }

    /// From here on init has only what the container has.
    fn privileges(&mut self) -> Result<(), Error> {
        let Process {
            user,
            no_new_privileges,
            ..
        } = &self.spec.process;
        self.rlimits()?;
        self.set_ids(user)?;
        if self.spec.extension.session_keyring {
            // After the ids, so that the container's own user owns it.
            self.push(&Step::SessionKeyring {})?;
        }
        let capabilities = self.capabilities();
        capabilities.push(&mut self.writer)?;
        if *no_new_privileges {
            self.push(&Step::NoNewPrivileges {})?;
        }
        if let Some(signal) = self.spec.extension.parent_death_signal {
            let signal = u32::try_from(signal).ok().filter(|signal| *signal > 0);
            let signal =
                signal.ok_or_else(|| Error::invalid("the parent death signal", "is no signal"))?;
            self.push(&Step::ParentDeathSignal { signal })?;
        }
        Ok(())
    }

    fn terminal(&mut self) -> Result<(), Error> {
        let size = self.spec.process.console_size.unwrap_or_default();
        let characters = |name: &str, number: u64| {
            let reason = format!("{number} is more than 65535");
            let field = format!("process.consoleSize.{name}");
            u16::try_from(number).map_err(|_| Error::invalid(field, reason))
        };
        let descriptors = match self.spec.extension.terminal_descriptors {
            0 => 0b111,
            some => some,
        };
        self.push(&Step::Console {
            descriptors,
            rows: characters("height", size.height)?.into(),
            columns: characters("width", size.width)?.into(),
        })
    }

    /// The last preparations, the word of the parent, and the program.
    fn program(&mut self) -> Result<(), Error> {
        let process = &self.spec.process;
        check_absolute("process.cwd", &process.cwd)?;
        let cwd = c_string("process.cwd", &process.cwd)?;
        self.push(&Step::WorkingDirectory { target: &cwd })?;
        if process.terminal {
            self.terminal()?;
        }
        self.push(&Step::Ready {})?;
        if self.spec.extension.reaper {
            self.push(&Step::Reaper {})?;
        }
        self.push(&Step::Session {})?;
        let args = strings("process.args", &process.args)?;
        let env = strings("process.env", &process.env)?;
        let candidates = strings("process.args[0]", &candidates(process))?;
        let list = |bytes| Strings::new(bytes).ok_or(Error::PlanTooLong);
        self.push(&Step::Exec {
            candidates: list(&candidates)?,
            args: list(&args)?,
            env: list(&env)?,
        })
    }
}

/// What `crabcan-rootfs` says of a field.
fn rootfs(field: &str) -> impl FnOnce(crabcan_rootfs::Error) -> Error + use<> {
    let field = field.to_owned();
    move |error| match error {
        crabcan_rootfs::Error::TooLong => Error::PlanTooLong,
        error => Error::invalid(field, error.to_string()),
    }
}

/// A path in the container is absolute and without `..`.
fn check_absolute(field: &str, path: &Path) -> Result<(), Error> {
    if !path.is_absolute() {
        return Err(Error::invalid(
            field,
            format!("\"{}\" is not absolute", path.display()),
        ));
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(Error::invalid(
            field,
            format!("\"{}\" contains \"..\"", path.display()),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
