//! The second wall: which files may be used for what, once more and by themselves.
//!
//! Every place of the sandbox that can be written may be used for everything, and what can only be
//! read for reading. What is mounted read-only beneath something writable is kept by its mount alone:
//! rules of Landlock add up.

use std::collections::HashSet;
use std::path::Path;

use crabcan_init::Step;

use super::Composer;
use crate::Error;
use crate::landlock::Landlock;
use crate::plan::{Provision, c_string};
use crate::spec::{Access, Changes, Mount, Operation, Spec};

impl Composer<'_> {
    /// The rules, when everything is in its place.
    pub(super) fn second_wall(&mut self) -> Result<(), Error> {
        let spec = self.spec;
        let Some(landlock) = &spec.extension.landlock else {
            return Ok(());
        };
        self.provisions.push(Provision::Landlock(landlock.clone()));
        let access = landlock.all();
        self.push(&Step::Landlock { access })?;
        for (place, access) in places(spec, landlock) {
            let target = &c_string("--landlock", place)?;
            self.push(&Step::LandlockRule { target, access })?;
        }
        Ok(())
    }

    /// Puts them in force.
    pub(super) fn close_the_wall(&mut self) -> Result<(), Error> {
        match self.spec.extension.landlock {
            Some(_) => self.push(&Step::LandlockRestrict {}),
            None => Ok(()),
        }
    }
}

/// Each place once, with what was said of it last.
fn places<'a>(spec: &'a Spec, landlock: &'a Landlock) -> Vec<(&'a Path, u64)> {
    let access = |writable| match writable {
        true => landlock.all(),
        false => landlock.read(),
    };
    let mut places = Vec::new();
    let mut put = |place: &'a Path, access| places.push((place, access));
    match &landlock.visible {
        Some(visible) => {
            put(Path::new("/"), landlock.list());
            visible.iter().for_each(|place| put(place, access(false)));
        }
        None => put(Path::new("/"), access(!spec.root.readonly)),
    }
    if spec.extension.default_dev {
        put(Path::new("/dev"), access(true));
    }
    for mount in &spec.mounts {
        put(&mount.destination, access(is_writable(mount)));
    }
    for operation in &spec.extension.operations {
        if let Some(writable) = opens(operation) {
            put(operation.destination(), access(writable));
        }
    }
    let mut seen = HashSet::new();
    let last = places.into_iter().rev();
    let mut once: Vec<_> = last.filter(|(place, _)| seen.insert(*place)).collect();
    once.reverse();
    once
}

fn is_writable(mount: &Mount) -> bool {
    !mount
        .options
        .iter()
        .any(|word| word == "ro" || word == "rro")
}

/// Whether something that is mounted can be written; nothing, where nothing is mounted.
fn opens(operation: &Operation) -> Option<bool> {
    match operation {
        Operation::Bind { access, .. }
        | Operation::BindDescriptor { access, .. }
        | Operation::BindFile { access, .. } => Some(*access != Access::ReadOnly),
        Operation::Overlay { changes, .. } => Some(*changes != Changes::Refused),
        Operation::Tmpfs { .. }
        | Operation::Proc { .. }
        | Operation::Dev { .. }
        | Operation::MessageQueues { .. } => Some(true),
        Operation::ReadOnly { .. } => Some(false),
        _ => None,
    }
}
