//! The files that limits are written to: which, what, and in which order.

use std::io;

use crate::cgroup::Member;
use crate::resources::controller_of;
use crate::{Cgroup, Controller, Cpu, Error, Limit, Resources, v1, v2};

/// One value for one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) controller: Controller,
    pub(crate) file: String,
    pub(crate) value: String,
    pub(crate) when: When,
}

/// What a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// An error.
    Now,
    /// Perhaps it is only possible after those that follow: it is tried again behind them. So two
    /// files of which one bounds the other are written in the order that fits, whatever they hold.
    NowOrLater,
    /// On some kernels there is no such file, and nothing is lost.
    IfThere,
}

impl Write {
    pub(crate) fn new(
        controller: Controller,
        file: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        Self {
            controller,
            file: file.into(),
            value: value.into(),
            when: When::Now,
        }
    }

    pub(crate) fn or_later(mut self) -> Self {
        self.when = When::NowOrLater;
        self
    }

    pub(crate) fn if_there(mut self) -> Self {
        self.when = When::IfThere;
        self
    }

    fn perform(&self, member: &Member) -> Result<(), Error> {
        let written = member.directory.write(&self.file, &self.value);
        match written {
            Err(error)
                if self.when == When::IfThere && error.raw_os_error() == Some(libc::ENOENT) =>
            {
                Ok(())
            }
            other => other.map_err(|source| Error::Write {
                controller: self.controller,
                path: member.directory.file(&self.file),
                value: self.value.clone(),
                source,
            }),
        }
    }
}

impl Cgroup {
    /// Applies limits; what is absent in them stays as it is. The cgroup must have been made with
    /// their [`controllers`](Resources::controllers).
    ///
    /// # Errors
    /// The first one: [`Error::OutOfRange`] and [`Error::Unsupported`] before anything is written,
    /// [`Error::ControllerMissing`], [`Error::Write`], [`Error::BelowUsage`],
    /// [`Error::DeviceProgram`].
    pub fn apply(&self, resources: &Resources) -> Result<(), Error> {
        self.apply_sharing(resources, []).map(drop)
    }

    /// As [`apply`](Self::apply). Where device rules need a program (v2), one of `known` is used
    /// again if it is one of this crate's with the same instructions: these are ids that this
    /// function has answered for other cgroups. They are asked for when they are needed, one after
    /// the other, and may be of programs that are gone with their last cgroup.
    ///
    /// The answer is the id of the program that was attached, if one was.
    ///
    /// # Errors
    /// As [`apply`](Self::apply); that none of `known` can be used is no error.
    pub fn apply_sharing(
        &self,
        resources: &Resources,
        known: impl IntoIterator<Item = u32>,
    ) -> Result<Option<u32>, Error> {
        self.perform(resources, known, Err)
    }

    /// Applies what can be applied, and tells what can't.
    #[must_use]
    pub fn apply_what_can_be(&self, resources: &Resources) -> Vec<Error> {
        let mut failed = Vec::new();
        // A value that is none spoils only its own controller's.
        for controller in resources.controllers().iter() {
            let others = resources.controllers();
            let mut others = others;
            others.remove(controller);
            let one = resources.without(others);
            let outcome = self.perform(&one, [], |error| {
                failed.push(error);
                Ok(())
            });
            if let Err(error) = outcome {
                failed.push(error);
            }
        }
        failed
    }

    fn perform(
        &self,
        resources: &Resources,
        known: impl IntoIterator<Item = u32>,
        mut refused: impl FnMut(Error) -> Result<(), Error>,
    ) -> Result<Option<u32>, Error> {
        self.check_usage(resources)?;
        let writes = self.writes(resources)?;
        let mut later = Vec::new();
        for write in &writes {
            let member = self.member(write)?;
            match write.perform(member) {
                Err(error @ Error::Write { .. })
                    if write.when == When::NowOrLater && is_invalid(&error) =>
                {
                    later.push((member, write));
                }
                other => other.or_else(&mut refused)?,
            }
        }
        for (member, write) in later {
            write.perform(member).or_else(&mut refused)?;
        }
        let Some(rules) = &resources.devices else {
            return Ok(None);
        };
        match self.apply_devices(rules, known) {
            Err(error) => refused(error).map(|()| None),
            applied => applied,
        }
    }

    fn member(&self, write: &Write) -> Result<&Member, Error> {
        let controller = write.controller;
        let core = write.file.starts_with("cgroup.");
        let member = match core {
            true => self.members.iter().find(|member| member.v2),
            false => self.home(controller),
        };
        member.ok_or(Error::ControllerMissing { controller })
    }

    /// Everything that will be written, decided for each controller by the tree that it is in.
    fn writes(&self, resources: &Resources) -> Result<Vec<Write>, Error> {
        let (mut on_v1, mut on_v2) = (resources.clone(), resources.clone());
        for controller in resources.controllers().iter() {
            let one = [controller].into_iter().collect();
            let member = self
                .home(controller)
                .ok_or(Error::ControllerMissing { controller })?;
            if member.v2 {
                on_v1 = on_v1.without(one);
            } else {
                on_v2 = on_v2.without(one);
            }
        }
        // Files of v2 are never in a tree of v1.
        if let Some((file, value)) = resources.unified.iter().find(|(file, _)| {
            controller_of(file)
                .is_some_and(|controller| self.home(controller).is_some_and(|member| !member.v2))
        }) {
            let controller = controller_of(file).unwrap_or(Controller::Misc);
            return Err(Error::Unsupported {
                controller,
                version: "v1",
                file: "unified",
                value: format!("{file}={value}"),
                reason: "has other files: unified is for cgroup v2",
            });
        }
        on_v1.unified.clear();
        let io = self.home_for(resources, Controller::Io);
        let has_bfq = io.is_some_and(|member| member.directory.has("blkio.bfq.weight"));
        let mut writes = v1::writes(&on_v1, has_bfq)?;
        writes.extend(v2::writes(&on_v2, &self.in_force(&on_v2)?)?);
        Ok(writes)
    }

    /// Where a controller acts, if anything is to be limited by it: else nobody needs to ask.
    fn home_for(&self, resources: &Resources, controller: Controller) -> Option<&Member> {
        let wanted = resources.controllers().contains(controller);
        wanted.then(|| self.home(controller)).flatten()
    }

    /// What has to be known of a cgroup of v2 before it is changed.
    pub(crate) fn in_force(&self, resources: &Resources) -> Result<v2::InForce, Error> {
        let mut in_force = v2::InForce::default();
        let (memory, cpu) = (&resources.memory, &resources.cpu);
        if let (Some(_), None, Some(member)) = (
            memory.max_with_swap_bytes,
            memory.max_bytes,
            self.home_for(resources, Controller::Memory),
        ) {
            let text = member.read("memory.max")?;
            in_force.memory_max = Some(text.trim().parse().map_or(Limit::Max, Limit::Of));
        }
        if let (None, Some(_), Some(member)) = (
            cpu.quota_us,
            cpu.period_us,
            self.home_for(resources, Controller::Cpu),
        ) {
            let text = member.read("cpu.max")?;
            in_force.cpu_quota = text.split_whitespace().next().map(str::to_owned);
        }
        if let (true, Some(member)) = (
            resources.io != crate::Io::default(),
            self.home_for(resources, Controller::Io),
        ) {
            in_force.has_bfq = member.directory.has("io.bfq.weight");
            in_force.has_io_weight = member.directory.has("io.weight");
        }
        Ok(in_force)
    }

    /// The period of the quota in force.
    #[cfg(feature = "systemd")]
    pub(crate) fn cpu_period_us(&self) -> Result<Option<u64>, Error> {
        let Some(member) = self.home(Controller::Cpu) else {
            return Ok(None);
        };
        let text = member.read("cpu.max")?;
        Ok(text
            .split_whitespace()
            .nth(1)
            .and_then(|period| period.parse().ok()))
    }

    /// `checkBeforeUpdate`: a limit below what is in use is refused instead of enforced by killing.
    fn check_usage(&self, resources: &Resources) -> Result<(), Error> {
        let memory = &resources.memory;
        let (true, Some(Limit::Of(max))) = (memory.check_before_update, memory.max_bytes) else {
            return Ok(());
        };
        let controller = Controller::Memory;
        let member = self
            .home(controller)
            .ok_or(Error::ControllerMissing { controller })?;
        let file = match member.v2 {
            true => "memory.current",
            false => "memory.usage_in_bytes",
        };
        let current: u64 = member.read(file)?.trim().parse().unwrap_or(0);
        if max < current {
            return Err(Error::BelowUsage {
                cgroup: member.path(),
                max,
                current,
            });
        }
        Ok(())
    }
}

fn is_invalid(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    let source = source.and_then(|source| source.downcast_ref::<io::Error>());
    source.and_then(io::Error::raw_os_error) == Some(libc::EINVAL)
}

/// Refuses a number that is out of its range, before the kernel does it with fewer words.
pub(crate) fn in_range<T: PartialOrd + std::fmt::Display>(
    controller: Controller,
    file: &'static str,
    value: T,
    range: std::ops::RangeInclusive<T>,
    reason: &'static str,
) -> Result<(), Error> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(Error::OutOfRange {
        controller,
        file,
        value: value.to_string(),
        reason,
    })
}

/// The kernel refuses a burst above the quota by the quota, or by the burst: whichever comes second.
pub(crate) fn burst_fits(cpu: &Cpu, file: &'static str) -> Result<(), Error> {
    match (cpu.burst_us, cpu.quota_us) {
        (Some(burst), Some(Limit::Of(quota))) if quota > 0 => {
            let reason = "a burst can't be more than the quota";
            in_range(Controller::Cpu, file, burst, 0..=quota, reason)
        }
        _ => Ok(()),
    }
}

/// A word that becomes a part of a file's name or contents: without slash, blank or line break.
pub(crate) fn word(controller: Controller, file: &'static str, value: &str) -> Result<(), Error> {
    let plain =
        |character: char| !character.is_whitespace() && !character.is_control() && character != '/';
    if !value.is_empty() && value.chars().all(plain) {
        return Ok(());
    }
    Err(Error::OutOfRange {
        controller,
        file,
        value: value.to_owned(),
        reason: "must be one word without a slash",
    })
}

/// A list such as `0-3,7`.
pub(crate) fn list(file: &'static str, value: &str) -> Result<(), Error> {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let part = |part: &str| match part.trim().split_once('-') {
        Some((first, last)) => number(first) && number(last.split(':').next().unwrap_or_default()),
        None => number(part.trim()),
    };
    if value.split(',').all(part) {
        return Ok(());
    }
    Err(Error::OutOfRange {
        controller: Controller::Cpuset,
        file,
        value: value.to_owned(),
        reason: "must be a list such as 0-3,7",
    })
}

#[cfg(test)]
mod tests;
