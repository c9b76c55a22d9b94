//! Cgroups that systemd makes: transient scopes.
//!
//! On a host where systemd is the first process, all cgroups are its own, and who wants one below a
//! slice asks it by D-Bus. A scope is made around a process that is there already; when the last one
//! in it has ended, it goes by itself.
//!
//! Nothing here is used, and no bus is connected to, unless [`Systemd::connect`] is called.

mod annotation;
mod bus;
mod message;
mod name;
mod properties;
#[cfg(test)]
mod table;
mod wire;

use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::{Cgroup, Error, Hierarchy, Place, Resources};
use bus::Bus;
use message::Call;
pub use name::ScopeName;
pub use properties::Property;
pub use wire::Value;

const DESTINATION: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const SCOPE: &str = "org.freedesktop.systemd1.Scope";

/// Told for every job that has ended, however it did.
const JOB_REMOVED: &str = "JobRemoved";

/// Which systemd is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// The first process, for root.
    System,
    /// That of an ordinary user's session.
    User,
}

/// A connection to systemd.
///
/// Linux: cgroup v2 alone. systemd 249 is the oldest that has been thought of.
///
/// A limit of 0 processes is the property `TasksMax=1`, since systemd refuses 0: with one process,
/// which is there already, no other can be made either. The file `pids.max` is 0 until systemd
/// writes it again.
#[derive(Debug)]
pub struct Systemd {
    bus: Bus,
}

impl Systemd {
    /// Connects to the bus of a manager.
    ///
    /// The system's bus is where `DBUS_SYSTEM_BUS_ADDRESS` says, or `/run/dbus/system_bus_socket`; a
    /// user's where `DBUS_SESSION_BUS_ADDRESS` says, or `bus` in `XDG_RUNTIME_DIR`.
    ///
    /// # Errors
    /// [`Error::NotUnified`] unless cgroup v2 has every controller; [`Error::NoUserBus`];
    /// [`Error::Bus`], ENOENT or ECONNREFUSED: there is no bus; [`Error::BusRefusal`].
    pub fn connect(hierarchy: &Hierarchy, manager: Manager) -> Result<Self, Error> {
        if !matches!(hierarchy, Hierarchy::Unified(_)) {
            return Err(Error::NotUnified);
        }
        Self::on(Bus::connect(manager)?)
    }

    /// Introduces itself over a connection to a bus that is there already, as one that was
    /// inherited. The bus and systemd may take so long for one thing.
    ///
    /// # Errors
    /// [`Error::Bus`]: EACCES, it refuses this user; ETIMEDOUT; ECONNRESET; what it says is not
    /// D-Bus. [`Error::BusRefusal`].
    pub fn over(stream: UnixStream, patience: Duration) -> Result<Self, Error> {
        Self::on(Bus::over(stream, "a given socket".to_owned(), patience)?)
    }

    fn on(mut bus: Bus) -> Result<Self, Error> {
        bus.subscribe(&format!(
            "type='signal',sender='{DESTINATION}',interface='{MANAGER}',member='{JOB_REMOVED}'"
        ))?;
        let mut systemd = Self { bus };
        // Without it a user's manager sends no signals.
        systemd.manager("Subscribe", &[])?;
        Ok(systemd)
    }

    /// Makes a scope around a process and waits until it is there. What the limits need is set as
    /// properties, so that systemd keeps it; `more` comes last, and wins.
    ///
    /// The rest of the limits, devices among them, is for [`Cgroup::apply`], on the cgroup that
    /// [`Cgroup::open`] finds in the returned place.
    ///
    /// # Errors
    /// [`Error::ScopeExists`]; [`Error::BusRefusal`] with systemd's word, such as that the process
    /// has ended, a property is unknown, or access is denied; [`Error::Job`]; [`Error::Bus`], also
    /// when it takes more than 30 seconds; [`Error::OutOfRange`] and [`Error::Unsupported`] for a
    /// limit.
    pub fn start_scope(
        &mut self,
        name: &ScopeName,
        pid: u32,
        resources: &Resources,
        more: &[Property],
    ) -> Result<Place, Error> {
        let unit = name.unit();
        let description = format!("crabcan container in {unit}");
        let mut all = properties::of_scope(name.slice(), pid, &description);
        all.extend(properties::of(resources, Default::default())?);
        all.extend_from_slice(more);
        let body = [
            Value::str(unit),
            Value::str("fail"),
            properties::array(all),
            Value::Array("(sa(sv))".into(), Vec::new()),
        ];
        let mut started = self.job("StartTransientUnit", unit, &body);
        if is_refusal(&started, "UnitExists") {
            // One that has failed may only be remembered.
            self.forget(unit)?;
            started = self.job("StartTransientUnit", unit, &body);
        }
        if is_refusal(&started, "UnitExists") {
            return Err(Error::ScopeExists {
                unit: unit.to_owned(),
            });
        }
        started?;
        self.place(unit)
    }

    /// Changes the limits of a scope: as properties, for as long as it is there, and in its cgroup.
    ///
    /// # Errors
    /// As [`Systemd::start_scope`] and [`Cgroup::apply`].
    pub fn update(
        &mut self,
        name: &ScopeName,
        cgroup: &Cgroup,
        resources: &Resources,
    ) -> Result<(), Error> {
        let mut complete = resources.clone();
        if resources.cpu.quota_us.is_some() && resources.cpu.period_us.is_none() {
            complete.cpu.period_us = cgroup.cpu_period_us()?;
        }
        let changed = properties::of(&complete, cgroup.in_force(&complete)?)?;
        if !changed.is_empty() {
            let body = [
                Value::str(name.unit()),
                // Only while it runs: there is no file that would outlive it.
                Value::Bool(true),
                properties::array(changed),
            ];
            self.manager("SetUnitProperties", &body)?;
        }
        cgroup.apply(resources)
    }

    /// Stops a scope and waits until it is gone; one that is gone already is no error. What still
    /// runs in it should have been killed: systemd would ask first, and wait.
    ///
    /// # Errors
    /// [`Error::BusRefusal`], [`Error::Job`], [`Error::Bus`].
    pub fn stop_scope(&mut self, name: &ScopeName) -> Result<(), Error> {
        let unit = name.unit();
        let body = [Value::str(unit), Value::str("replace")];
        let stopped = self.job("StopUnit", unit, &body);
        if is_refusal(&stopped, "NoSuchUnit") {
            return Ok(());
        }
        stopped?;
        self.forget(unit)
    }

    /// Where the cgroup of a unit is.
    fn place(&mut self, unit: &str) -> Result<Place, Error> {
        let object = self.manager("GetUnit", &[Value::str(unit)])?;
        let Some(object) = object.first().and_then(Value::text) else {
            return Err(self.bus.nonsense());
        };
        let body = [Value::str(SCOPE), Value::str("ControlGroup")];
        let group = self.bus.call(&Call {
            destination: DESTINATION,
            path: object,
            interface: "org.freedesktop.DBus.Properties",
            member: "Get",
            body: &body,
        })?;
        let group = group.first().and_then(Value::text);
        let Some(group) = group.filter(|group| !group.contains('\n')) else {
            return Err(self.bus.nonsense());
        };
        if group.is_empty() {
            // Its process has ended meanwhile.
            return Err(Error::Job {
                unit: unit.to_owned(),
                result: "left without a cgroup".to_owned(),
            });
        }
        Place::parse(format!("0::{group}\n").as_bytes())
    }

    fn forget(&mut self, unit: &str) -> Result<(), Error> {
        let forgotten = self.manager("ResetFailedUnit", &[Value::str(unit)]);
        match is_refusal(&forgotten, "NoSuchUnit") {
            true => Ok(()),
            false => forgotten.map(|_| ()),
        }
    }

    /// Calls a method that queues a job, and waits for its end.
    fn job(&mut self, member: &str, unit: &str, body: &[Value]) -> Result<(), Error> {
        let until = self.bus.deadline();
        let answer = self.manager(member, body)?;
        let Some(job) = answer.first().and_then(Value::text) else {
            return Err(self.bus.nonsense());
        };
        loop {
            let (signal, body) = self.bus.signal(until)?;
            // The number of the job, its object, the unit, the result.
            let [_, object, _, result] = &body[..] else {
                continue;
            };
            if signal != JOB_REMOVED || object.text() != Some(job) {
                continue;
            }
            return match result.text() {
                Some("done") => Ok(()),
                other => Err(Error::Job {
                    unit: unit.to_owned(),
                    result: other.unwrap_or_default().to_owned(),
                }),
            };
        }
    }

    fn manager(&mut self, member: &str, body: &[Value]) -> Result<Vec<Value>, Error> {
        self.bus.call(&Call {
            destination: DESTINATION,
            path: PATH,
            interface: MANAGER,
            member,
            body,
        })
    }
}

/// Whether systemd has refused with one of its own errors.
fn is_refusal<T>(answer: &Result<T, Error>, wanted: &str) -> bool {
    let Err(Error::BusRefusal { name, .. }) = answer else {
        return false;
    };
    let own = name.strip_prefix(DESTINATION);
    own.and_then(|rest| rest.strip_prefix('.')) == Some(wanted)
}
