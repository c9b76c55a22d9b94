//! The controllers: what can be limited.

use std::fmt;

/// A controller of the kernel, by its name in cgroup v2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Controller {
    /// Processor time.
    Cpu,
    /// The account of processor time; a part of `cpu` in v2.
    Cpuacct,
    /// Which processors and memory nodes.
    Cpuset,
    /// Memory.
    Memory,
    /// The number of processes and threads.
    Pids,
    /// Block devices; `blkio` in v1.
    Io,
    /// Huge pages.
    Hugetlb,
    /// RDMA devices.
    Rdma,
    /// Scarce resources of the machine, such as encrypted guests.
    Misc,
    /// Access to device nodes; a BPF program instead of a controller in v2.
    Devices,
    /// Stopping all processes; a part of every cgroup in v2.
    Freezer,
    /// Marks of network packets; v1 only.
    NetCls,
    /// Priorities of network packets; v1 only.
    NetPrio,
    /// Events of perf(1).
    PerfEvent,
}

/// Each controller with its names in v2 and v1.
const NAMES: [(Controller, &str, &str); 14] = [
    (Controller::Cpu, "cpu", "cpu"),
    (Controller::Cpuacct, "cpuacct", "cpuacct"),
    (Controller::Cpuset, "cpuset", "cpuset"),
    (Controller::Memory, "memory", "memory"),
    (Controller::Pids, "pids", "pids"),
    (Controller::Io, "io", "blkio"),
    (Controller::Hugetlb, "hugetlb", "hugetlb"),
    (Controller::Rdma, "rdma", "rdma"),
    (Controller::Misc, "misc", "misc"),
    (Controller::Devices, "devices", "devices"),
    (Controller::Freezer, "freezer", "freezer"),
    (Controller::NetCls, "net_cls", "net_cls"),
    (Controller::NetPrio, "net_prio", "net_prio"),
    (Controller::PerfEvent, "perf_event", "perf_event"),
];

impl Controller {
    /// The controller of this name, of either version.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let known = NAMES.iter().find(|(_, v2, v1)| name == *v2 || name == *v1);
        known.map(|(controller, _, _)| *controller)
    }

    /// Its name in cgroup v2.
    #[must_use]
    pub fn name(self) -> &'static str {
        let known = NAMES.iter().find(|(controller, ..)| *controller == self);
        known.map_or("", |(_, v2, _)| v2)
    }

    /// Whether cgroup v2 has it without it being enabled, or not at all.
    pub(crate) fn is_core_of_v2(self) -> bool {
        matches!(
            self,
            Self::Devices | Self::Freezer | Self::Cpuacct | Self::PerfEvent
        )
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of controllers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Controllers(u16);

impl Controllers {
    /// No controller.
    pub const NONE: Self = Self(0);
    /// Every controller that this crate knows.
    pub const ALL: Self = Self((1 << NAMES.len()) - 1);

    /// Whether it is in the set.
    #[must_use]
    pub fn contains(self, controller: Controller) -> bool {
        self.0 & 1 << controller as u8 != 0
    }

    /// Adds one.
    pub fn insert(&mut self, controller: Controller) {
        self.0 |= 1 << controller as u8;
    }

    /// Takes one out.
    pub fn remove(&mut self, controller: Controller) {
        self.0 &= !(1 << controller as u8);
    }

    /// Those that are in both sets.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that are not in the other set.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Controller> {
        NAMES
            .iter()
            .map(|(controller, ..)| *controller)
            .filter(move |controller| self.contains(*controller))
    }

    /// The known ones among names that are separated by blanks or commas.
    pub(crate) fn from_names(names: &str) -> Self {
        names
            .split([' ', ',', '\n'])
            .filter_map(Controller::from_name)
            .collect()
    }
}

impl FromIterator<Controller> for Controllers {
    fn from_iter<I: IntoIterator<Item = Controller>>(controllers: I) -> Self {
        let mut set = Self::NONE;
        controllers
            .into_iter()
            .for_each(|controller| set.insert(controller));
        set
    }
}

impl fmt::Display for Controllers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Controller::name).collect();
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_controller_is_in_the_table_at_its_number() {
        for (index, (controller, v2, v1)) in NAMES.iter().enumerate() {
            assert_eq!(*controller as usize, index);
            assert_eq!(Controller::from_name(v2), Some(*controller));
            assert_eq!(Controller::from_name(v1), Some(*controller));
        }
        assert_eq!(Controllers::ALL.iter().count(), NAMES.len());
    }

    #[test]
    fn sets_are_read_and_shown() {
        let set = Controllers::from_names("cpu,cpuacct name=systemd io\n");
        assert_eq!(set.to_string(), "cpu,cpuacct,io");
        assert!(set.without(set).is_empty());
    }
}
