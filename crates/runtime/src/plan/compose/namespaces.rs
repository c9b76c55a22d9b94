//! `linux.namespaces`: which are made by the clone, which are joined, which are made by init; and who
//! init is meanwhile.

use std::path::PathBuf;

use crabcan_caps::Capability;
use crabcan_init::Step;
use crabcan_init::format::Strings;
use crabcan_ns::{IdMap, IdMapWriter, IdRange, Namespace, Namespaces};

use super::{Composer, check_absolute, strings};
use crate::plan::{IdMaps, Provision};
use crate::spec::{IdMapping, Spec, User};
use crate::{Error, Host};

/// How the container comes to its namespaces. A kind that is in none of these is inherited.
#[derive(Debug, Default)]
pub(super) struct Arrangement {
    /// Made by the clone.
    pub(super) cloned: Namespaces,
    /// Joined by init, in this order.
    pub(super) joined: Vec<(Namespace, PathBuf)>,
    /// Made by init, since something has to be done before.
    pub(super) unshared: Vec<Namespace>,
}

impl Arrangement {
    /// Every kind once, of a known name, with a path that is absolute.
    pub(super) fn of(spec: &Spec, host: &Host) -> Result<Self, Error> {
        let mut made = Vec::new();
        let mut joined = Vec::new();
        for (index, request) in spec.linux.namespaces.iter().enumerate() {
            let field = |name: &str| format!("linux.namespaces[{index}].{name}");
            let word = request.kind.escape_debug();
            let Some(kind) = request.namespace() else {
                let reason = format!("\"{word}\" is no kind of namespace");
                return Err(Error::invalid(field("type"), reason));
            };
            let before = joined.iter().map(|(kind, _)| kind).chain(&made);
            if before.into_iter().any(|other| *other == kind) {
                return Err(Error::invalid(
                    field("type"),
                    format!("{word} stands twice"),
                ));
            }
            match request.joined() {
                Some(path) => {
                    check_absolute(&field("path"), path)?;
                    joined.push((kind, path.to_owned()));
                }
                None => made.push(kind),
            }
        }
        // Root may join whatever there is as long as it is root; an ordinary user has rights in its
        // own user namespace, and so over those that belong to it.
        joined.sort_by_key(|(kind, _)| (*kind == Namespace::User) == host.privileged);
        Ok(Self::arrange(made, joined))
    }

    fn arrange(made: Vec<Namespace>, joined: Vec<(Namespace, PathBuf)>) -> Self {
        // What is made before a user namespace is joined would not belong to it.
        let joins_user = joined.iter().any(|(kind, _)| *kind == Namespace::User);
        // In a new one init would have no rights over what it joins: that comes first.
        let user_is_late = made.contains(&Namespace::User) && !joined.is_empty();
        // There is no clone flag for the last, and its clocks are set before it is entered.
        let later = |kind: &Namespace| joins_user || user_is_late || *kind == Namespace::Time;
        let (unshared, cloned): (Vec<_>, Vec<_>) = made.into_iter().partition(later);
        Self {
            cloned: cloned.into_iter().fold(Namespaces::new(), Namespaces::make),
            joined,
            unshared,
        }
    }

    /// A pid namespace that is not the clone's is entered by a child only; and that there is a child
    /// tells the parent that a user namespace is made, whose ids it can map then.
    pub(super) fn forks(&self) -> bool {
        let joins = self.joined.iter().any(|(kind, _)| *kind == Namespace::Pid);
        joins || self.unshared.contains(&Namespace::Pid) || self.user_is_late()
    }

    fn user_is_late(&self) -> bool {
        self.unshared.contains(&Namespace::User)
    }
}

/// Both maps or none, and none without a user namespace.
pub(super) fn id_maps(spec: &Spec, host: &Host) -> Result<Option<IdMaps>, Error> {
    let linux = &spec.linux;
    let maps = [
        ("linux.uidMappings", &linux.uid_mappings),
        ("linux.gidMappings", &linux.gid_mappings),
    ];
    for (field, map) in maps {
        match (linux.makes(Namespace::User), map.is_empty()) {
            (true, true) => return Err(Error::invalid(field, "missing for the user namespace")),
            (false, false) if !linux.separates(Namespace::User) => {
                return Err(Error::invalid(field, "there is no user namespace to map"));
            }
            _ => {}
        }
    }
    if maps.iter().all(|(_, map)| map.is_empty()) {
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

pub(super) fn id_map(field: &str, map: &[IdMapping]) -> Result<IdMap, Error> {
    IdMap::new(map.iter().map(IdRange::from))
        .map_err(|error| Error::invalid(field, error.to_string()))
}

pub(super) fn flag(kind: Namespace) -> u32 {
    kind.clone_flag().bits().cast_unsigned()
}

impl Composer<'_> {
    /// Who init is while it prepares everything, where, and that nobody may trace it.
    pub(super) fn identity(&mut self, arrangement: &Arrangement) -> Result<(), Error> {
        let makes_user = self.spec.linux.makes(Namespace::User);
        let makes_time = arrangement.unshared.contains(&Namespace::Time);
        if !makes_time && !self.spec.linux.time_offsets.is_empty() {
            return Err(Error::invalid(
                "linux.timeOffsets",
                "needs a new time namespace",
            ));
        }
        self.about("");
        let score = self.oom_score()?;
        if score.is_some() || makes_time || self.writes_to_procfs() && !arrangement.forks() {
            self.push(&Step::Procfs {})?;
        }
        // These files belong to somebody else once init can't be traced.
        if let Some(score) = score {
            self.about("process.oomScoreAdj");
            self.push(&Step::OomScoreAdj { score })?;
        }
        self.about("linux.timeOffsets");
        if makes_time && !self.joins_user() {
            self.unshare(&[Namespace::Time])?;
            self.clocks()?;
        }
        self.about("linux.namespaces");
        if !makes_user || self.host.privileged {
            // An ordinary user's own init must stay dumpable until its maps are written. What is
            // joined could trace it from then on.
            self.push(&Step::NotDumpable {})?;
        }
        self.enter_namespaces(arrangement, makes_time)?;
        if makes_user {
            if arrangement.user_is_late() {
                self.provisions.push(Provision::Fork);
            }
            self.about("linux.uidMappings, linux.gidMappings");
            self.push(&Step::AwaitIdMaps {})?;
            let maps = self.id_maps.clone().map(Provision::IdMaps);
            self.provisions
                .extend(match self.spec.extension.mapped_by_caller {
                    true => Some(Provision::IdMapsOfCaller),
                    false => maps,
                });
        }
        self.about("linux.namespaces");
        self.check_user()?;
        if self.spec.linux.separates(Namespace::User) {
            self.take_root()?;
        }
        Ok(())
    }

    /// Joins what is joined, makes what could not be made by the clone, and goes on in a child where
    /// a pid namespace was joined.
    fn enter_namespaces(
        &mut self,
        arrangement: &Arrangement,
        makes_time: bool,
    ) -> Result<(), Error> {
        for (kind, path) in &arrangement.joined {
            self.push(&Step::Join { flags: flag(*kind) })?;
            self.provisions.push(Provision::Namespace {
                kind: *kind,
                path: path.clone(),
            });
        }
        let time_is_there = |kind: &Namespace| *kind == Namespace::Time && !self.joins_user();
        let unshared = arrangement.unshared.iter().copied();
        self.unshare(
            &unshared
                .filter(|kind| !time_is_there(kind))
                .collect::<Vec<_>>(),
        )?;
        if makes_time && self.joins_user() {
            self.about("linux.timeOffsets");
            self.clocks()?;
            self.about("linux.namespaces");
        }
        if arrangement.forks() {
            self.push(&Step::Fork {})?;
            if self.writes_to_procfs() {
                self.push(&Step::Procfs {})?;
            }
        }
        Ok(())
    }

    /// Whether steps behind these write to files of procfs.
    pub(super) fn writes_to_procfs(&self) -> bool {
        let process = &self.spec.process;
        let labels = [&process.apparmor_profile, &process.selinux_label];
        let settings = !self.spec.linux.sysctl.is_empty();
        settings
            || self.spec.extension.no_user_namespaces
            || labels.iter().any(|label| label.is_some())
    }

    pub(super) fn oom_score(&self) -> Result<Option<i32>, Error> {
        let Some(score) = self.spec.process.oom_score_adj else {
            return Ok(None);
        };
        let valid = i32::try_from(score).ok();
        let valid = valid.filter(|score| (-1000..=1000).contains(score));
        let reason = || format!("{score} is not between -1000 and 1000");
        valid
            .map(Some)
            .ok_or_else(|| Error::invalid("process.oomScoreAdj", reason()))
    }

    fn joins_user(&self) -> bool {
        let linux = &self.spec.linux;
        linux.separates(Namespace::User) && !linux.makes(Namespace::User)
    }

    fn unshare(&mut self, kinds: &[Namespace]) -> Result<(), Error> {
        match kinds.iter().fold(0, |flags, kind| flags | flag(*kind)) {
            0 => Ok(()),
            flags => self.push(&Step::Unshare { flags }),
        }
    }

    /// Sets the clocks of a new time namespace and enters it.
    fn clocks(&mut self) -> Result<(), Error> {
        let mut lines = Vec::new();
        for (clock, offset) in &self.spec.linux.time_offsets {
            if !["boottime", "monotonic"].contains(&clock.as_str()) {
                let field = format!("linux.timeOffsets[\"{}\"]", clock.escape_debug());
                return Err(Error::invalid(field, "is no clock that has an offset"));
            }
            if offset.nanosecs >= 1_000_000_000 {
                let field = format!("linux.timeOffsets.{clock}.nanosecs");
                let reason = format!("{} is a second or more", offset.nanosecs);
                return Err(Error::invalid(field, reason));
            }
            lines.push(format!("{clock} {} {}", offset.secs, offset.nanosecs));
        }
        let lines = strings("linux.timeOffsets", &lines)?;
        let offsets = Strings::new(&lines).ok_or(Error::PlanTooLong)?;
        self.push(&Step::TimeOffsets { offsets })
    }

    /// What the kernel would refuse as an id is refused by its name.
    pub(super) fn check_user(&self) -> Result<(), Error> {
        let user = &self.spec.process.user;
        let own = |id: u32, list: &str| {
            (id == u32::MAX).then(|| Error::invalid(list, "4294967295 is no id"))
        };
        let groups = user.additional_gids.iter().enumerate();
        let groups = groups
            .filter_map(|(index, gid)| own(*gid, &format!("process.user.additionalGids[{index}]")));
        let ids = [
            own(user.uid, "process.user.uid"),
            own(user.gid, "process.user.gid"),
        ];
        if let Some(error) = ids.into_iter().flatten().chain(groups).next() {
            return Err(error);
        }
        let Some(maps) = &self.id_maps else {
            return Ok(());
        };
        let mut wanted = vec![
            (&maps.uid, user.uid, "process.user.uid".to_owned()),
            (&maps.gid, user.gid, "process.user.gid".to_owned()),
        ];
        for (index, gid) in user.additional_gids.iter().enumerate() {
            let field = format!("process.user.additionalGids[{index}]");
            wanted.push((&maps.gid, *gid, field));
        }
        for (map, id, field) in wanted {
            if map.outside(id).is_none() {
                return Err(Error::invalid(field, format!("{id} is not in the id map")));
            }
        }
        Ok(())
    }

    /// The user namespace's own root has its rights over new mounts. Where that is not mapped, init
    /// takes the asked ids at once and keeps the capabilities.
    pub(super) fn take_root(&mut self) -> Result<(), Error> {
        let user = &self.spec.process.user;
        let mapped = |maps: &IdMaps| maps.uid.outside(0).is_some() && maps.gid.outside(0).is_some();
        let has_root = !self.spec.extension.joins_without_root;
        let (uid, gid) = match self.id_maps.as_ref().map_or(has_root, mapped) {
            true => (0, 0),
            false => (user.uid, user.gid),
        };
        self.set_ids(&User {
            uid,
            gid,
            ..User::default()
        })
    }
}
