//! The plan in words, with the reasons: what `crabcan explain` prints.

use crabcan_init::format::FlatPlan;

use super::{IdMapping, MountToSend, Plan, Provision};
use crate::limits::Limits;

/// One thing that will be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The step's number, if init does it; the others are the parent's.
    pub step: Option<u32>,
    /// What is done.
    pub what: String,
    /// Why.
    pub why: &'static str,
    /// The property of `config.json` that asks for it; empty if none does.
    pub property: String,
}

impl Plan {
    /// Everything that will be done, in order: first what the parent does, and hands over when init
    /// asks for it, then the steps of init.
    #[must_use]
    pub fn explain(&self) -> Vec<Explanation> {
        let of_parent = |what, why, property: &str| Explanation {
            step: None,
            what,
            why,
            property: property.to_owned(),
        };
        let mut all = Vec::new();
        if let Some(limits) = &self.limits {
            let why = "what is limited is so before the first program runs";
            all.push(of_parent(limits.in_words(), why, ""));
        }
        all.push(of_parent(
            format!("clone into new namespaces: {}", self.namespaces),
            "what is in a namespace of one's own is not the host's",
            "",
        ));
        if self.locks_mounts {
            let what = "make the mounts that are sent, and lock them".into();
            let why = "the container takes back nothing that the host has set on them";
            all.push(of_parent(what, why, ""));
        }
        for (index, provision) in self.provisions.iter().enumerate() {
            let property = self.provided_for(index);
            let (lines, why) = provision.in_words();
            all.extend(lines.into_iter().map(|line| of_parent(line, why, property)));
        }
        all.extend(self.steps_explained());
        if let Some(limit) = self.time_limit {
            let what = format!("kill everything {limit:?} after the start");
            all.push(of_parent(what, "asked for by --time", ""));
        }
        all
    }

    fn steps_explained(&self) -> Vec<Explanation> {
        let flat = self.writer.finish(None);
        let Ok(plan) = FlatPlan::parse(&flat) else {
            return Vec::new();
        };
        let steps = (0..).zip(plan.steps()).map(|(index, step)| Explanation {
            step: Some(index),
            what: step.to_string(),
            why: step.why(),
            property: self.properties.of_step(index).to_owned(),
        });
        steps.collect()
    }
}

impl Provision {
    fn in_words(&self) -> (Vec<String>, &'static str) {
        let (line, why) = match self {
            Self::IdMaps(maps) => {
                let one_line = |map: String| map.trim_end().replace('\n', ", ");
                let lines = vec![
                    format!("map user ids: {}", one_line(maps.uid.to_string())),
                    format!("map group ids: {}", one_line(maps.gid.to_string())),
                ];
                return (lines, "ids in the container are others outside");
            }
            Self::IdMapsOfCaller => (
                "have the caller map user and group ids".into(),
                "ids in the container are others outside",
            ),
            Self::Fork => return (Vec::new(), ""),
            Self::TaskFiles => (
                "send the files of the cgroups that init enters".into(),
                "the container can't reach them",
            ),
            Self::Moved => (
                "have init moved into its cgroup".into(),
                "somebody else manages cgroups here",
            ),
            Self::Namespace { kind, path } => (
                format!("open the {kind} namespace {}", path.display()),
                "init joins it, which the caller never does",
            ),
            Self::Container => (
                "send the container's first process".into(),
                "init joins its namespaces",
            ),
            Self::Root => (
                "send the root that is attached among the host's mounts".into(),
                "the caller takes it away at the end, whatever becomes of init",
            ),
            Self::Mount(mount) => (
                mount.in_words(),
                "the container's own ids could not reach it",
            ),
            Self::MapTree(mount) => (
                format!("map the ids of {}", mount.source.display()),
                "init alone sees what is mounted in the root",
            ),
            Self::Descriptor(_) => (
                "send a descriptor of the caller's".into(),
                "what it says becomes a file of the container",
            ),
            Self::HookOutput { path, .. } => (
                format!("open {} for what hooks say", path.display()),
                "the container need not reach it",
            ),
            Self::Landlock(landlock) => (
                format!("send a Landlock ruleset (version {})", landlock.version()),
                "init adds its rules and puts them in force",
            ),
        };
        (vec![line], why)
    }
}

impl MountToSend {
    fn in_words(&self) -> String {
        let source = self.source.display().to_string().escape_debug().to_string();
        let below = if self.recursive {
            ", with what is below it"
        } else {
            ""
        };
        let ids = match &self.idmap {
            None => "",
            Some((IdMapping::Container, _)) => ", with the container's ids",
            Some((IdMapping::Own(_), _)) => ", with ids of its own",
        };
        format!("send a mount of {source}{below}{ids}")
    }
}

impl Limits {
    fn in_words(&self) -> String {
        let controllers: Vec<String> = self.all().iter().map(|one| one.to_string()).collect();
        format!("make a cgroup and limit {}", controllers.join(", "))
    }
}
