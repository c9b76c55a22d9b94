//! The five sets together: as steps of a plan, at once, and read back.

use std::{fs, io};

use crabcan_init::steps::capability;
use crabcan_init::{Errno, PlanWriter, Step, TooLong};

use crate::Capability::{
    AuditControl, AuditRead, AuditWrite, BlockSuspend, Chown, DacOverride, DacReadSearch, Fowner,
    Fsetid, IpcLock, Kill, MacAdmin, MacOverride, Mknod, NetBindService, NetRaw, Setfcap, Setgid,
    Setpcap, Setuid, SysAdmin, SysBoot, SysChroot, SysModule, SysNice, SysRawio, SysResource,
    SysTime, Syslog, WakeAlarm,
};
use crate::{CapabilitySet, Error};

/// The 21 capabilities that the tutorial drops: none of them is ever left to a sandbox.
pub const DROPPED: CapabilitySet = CapabilitySet::of(&[
    AuditControl,
    AuditRead,
    AuditWrite,
    BlockSuspend,
    DacReadSearch,
    DacOverride,
    Fsetid,
    IpcLock,
    MacAdmin,
    MacOverride,
    Mknod,
    Setfcap,
    Syslog,
    SysAdmin,
    SysBoot,
    SysModule,
    SysNice,
    SysRawio,
    SysResource,
    SysTime,
    WakeAlarm,
]);

/// What a sandbox's root keeps: the usual container's set without [`DROPPED`].
const SANDBOX_ROOT: CapabilitySet = CapabilitySet::of(&[
    Chown,
    Fowner,
    Kill,
    Setgid,
    Setuid,
    Setpcap,
    NetBindService,
    NetRaw,
    SysChroot,
]);

/// The five capability sets of a thread; see capabilities(7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// What no program executed from here on can go beyond.
    pub bounding: CapabilitySet,
    /// What the kernel's checks look at.
    pub effective: CapabilitySet,
    /// What may be made effective.
    pub permitted: CapabilitySet,
    /// What files with inheritable capabilities of their own may give.
    pub inheritable: CapabilitySet,
    /// What programs without capabilities of their own keep over execve(2).
    pub ambient: CapabilitySet,
}

impl Capabilities {
    /// Nothing in any set.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            bounding: CapabilitySet::EMPTY,
            effective: CapabilitySet::EMPTY,
            permitted: CapabilitySet::EMPTY,
            inheritable: CapabilitySet::EMPTY,
            ambient: CapabilitySet::EMPTY,
        }
    }

    /// What a sandboxed command gets: a few for its root, nothing for every other user.
    #[must_use]
    pub const fn sandbox(uid: u32) -> Self {
        let mut sets = Self::none();
        if uid == 0 {
            sets.bounding = SANDBOX_ROOT;
            sets.effective = SANDBOX_ROOT;
            sets.permitted = SANDBOX_ROOT;
        }
        sets
    }

    /// Finds what the kernel would refuse whoever asks.
    ///
    /// # Errors
    /// [`Error::Effective`] and [`Error::Ambient`] name the capabilities that are too many.
    pub fn check(&self) -> Result<(), Error> {
        let surplus = self.effective.difference(self.permitted);
        if !surplus.is_empty() {
            return Err(Error::Effective { surplus });
        }
        let grantable = self.permitted.intersection(self.inheritable);
        let surplus = self.ambient.difference(grantable);
        if !surplus.is_empty() {
            return Err(Error::Ambient { surplus });
        }
        Ok(())
    }

    /// Appends the two steps that set them: the bounding set first, which needs `CAP_SETPCAP`.
    ///
    /// # Errors
    /// [`TooLong`] when the plan is full.
    pub fn push(&self, plan: &mut PlanWriter) -> Result<(), TooLong> {
        plan.push(&Step::Bounding {
            keep: self.bounding.bits(),
        })?;
        plan.push(&Step::Capabilities {
            effective: self.effective.bits(),
            permitted: self.permitted.bits(),
            inheritable: self.inheritable.bits(),
            ambient: self.ambient.bits(),
        })?;
        Ok(())
    }

    /// Sets them at once, on the calling thread alone: other threads keep theirs, and what it
    /// drops never comes back.
    ///
    /// The bounding set is only ever reduced: what is in [`Self::bounding`] but not in the
    /// thread's own stays away.
    ///
    /// # Errors
    /// What [`Self::check`] says, before anything is changed; [`Error::Bound`] (EPERM) without
    /// `CAP_SETPCAP`; [`Error::Set`] (EPERM) for what the thread does not have.
    pub fn apply(&self) -> Result<(), Error> {
        self.check()?;
        log::trace!("bounding set {}", self.bounding);
        capability::bounding(self.bounding.bits()).map_err(|errno| Error::Bound {
            keep: self.bounding,
            source: os_error(errno),
        })?;
        log::trace!("permitted {}, ambient {}", self.permitted, self.ambient);
        capability::set(
            self.effective.bits(),
            self.permitted.bits(),
            self.inheritable.bits(),
            self.ambient.bits(),
        )
        .map_err(|errno| Error::Set {
            effective: self.effective,
            permitted: self.permitted,
            source: os_error(errno),
        })
    }

    /// Reads the sets of a process' main thread from `/proc/PID/status`.
    ///
    /// # Errors
    /// [`Error::Read`]: ENOENT when there is no such process, or no `/proc`.
    pub fn of_process(pid: u32) -> Result<Self, Error> {
        read(format!("/proc/{pid}/status"))
    }

    /// Reads the calling thread's own sets from `/proc/thread-self/status`.
    ///
    /// # Errors
    /// [`Error::Read`]: ENOENT when there is no `/proc`.
    pub fn of_current_thread() -> Result<Self, Error> {
        read("/proc/thread-self/status".into())
    }
}

fn os_error(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.0)
}

fn read(path: String) -> Result<Capabilities, Error> {
    match fs::read(&path).and_then(|status| parse(&String::from_utf8_lossy(&status))) {
        Ok(sets) => Ok(sets),
        Err(source) => Err(Error::Read { path, source }),
    }
}

/// Finds the five lines of a `status` file.
fn parse(status: &str) -> io::Result<Capabilities> {
    let line = |key: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
            .and_then(|value| u64::from_str_radix(value.trim(), 16).ok())
            .map(CapabilitySet::from_bits)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("no line {key}")))
    };
    Ok(Capabilities {
        bounding: line("CapBnd")?,
        effective: line("CapEff")?,
        permitted: line("CapPrm")?,
        inheritable: line("CapInh")?,
        ambient: line("CapAmb")?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

    use super::*;
    use crabcan_init::format::FlatPlan;

    #[test]
    fn a_sandbox_has_none_of_the_tutorials_21() {
        assert_eq!(DROPPED.iter().count(), 21);
        for uid in [0, 1, 1000, u32::MAX] {
            let sets = Capabilities::sandbox(uid);
            for set in [sets.bounding, sets.effective, sets.permitted] {
                assert!(set.intersection(DROPPED).is_empty());
                assert_eq!(set.is_empty(), uid != 0);
            }
            assert!(sets.inheritable.is_empty() && sets.ambient.is_empty());
            sets.check().unwrap();
        }
    }

    #[test]
    fn the_steps_hold_the_sets() {
        let set = CapabilitySet::of;
        let sets = Capabilities {
            bounding: set(&[Chown, Kill, NetRaw]),
            effective: set(&[Chown]),
            permitted: set(&[Chown, Kill]),
            inheritable: set(&[Kill]),
            ambient: set(&[Kill]),
        };
        let mut plan = PlanWriter::new();
        sets.push(&mut plan).unwrap();
        let bytes = plan.finish(None);
        let steps: Vec<_> = FlatPlan::parse(&bytes).unwrap().steps().collect();
        let expected = [
            Step::Bounding { keep: 0x2021 },
            Step::Capabilities {
                effective: 0x1,
                permitted: 0x21,
                inheritable: 0x20,
                ambient: 0x20,
            },
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn what_the_kernel_refuses_is_named_before() {
        let kill = CapabilitySet::of(&[Kill]);
        let mut sets = Capabilities {
            effective: kill,
            ..Capabilities::none()
        };
        let error = sets.apply().unwrap_err();
        assert_eq!(error.to_string(), "effective but not permitted: CAP_KILL");
        sets.permitted = kill;
        sets.ambient = kill;
        let error = sets.apply().unwrap_err();
        let text = "ambient but not both permitted and inheritable: CAP_KILL";
        assert_eq!(error.to_string(), text);
        sets.inheritable = kill;
        sets.check().unwrap();
    }

    #[test]
    fn a_status_file_is_read_line_by_line() {
        let text = "Name:\tCapBnd: ff\nCapInh:\t0000000000000001\nCapPrm:\t02\nCapEff:\t03\n\
                    CapBnd:\t000001ffffffffff\nCapAmb:\t0\n";
        let sets = parse(text).unwrap();
        assert_eq!(sets.bounding.bits(), 0x1ff_ffff_ffff);
        let rest = [
            sets.inheritable,
            sets.permitted,
            sets.effective,
            sets.ambient,
        ];
        assert_eq!(rest.map(CapabilitySet::bits), [1, 2, 3, 0]);
        let error = parse(&text.replace("CapAmb", "CapFoo")).unwrap_err();
        assert_eq!(error.to_string(), "no line CapAmb");
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let error = Capabilities::of_process(0).unwrap_err();
        assert_eq!(error.to_string(), "read the capabilities in /proc/0/status");
    }
}
