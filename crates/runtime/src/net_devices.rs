//! `linux.netDevices`: network devices of the runtime's network namespace that become the
//! container's. See docs/adr/0031-network-devices-by-netlink.md.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crabcan_ns::{Namespace, NamespaceFd};
use rustix::io::Errno;

use crate::Error;
use crate::netlink::{Address, Link, Socket};
use crate::visit::{answer, visit};

/// A device and what it is to be called in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetDevice {
    pub(crate) name: String,
    /// The same, or another one, in which the kernel puts a number in place of `%d`.
    pub(crate) becomes: String,
}

/// The devices that were moved. They come back when this is dropped, as long as it is not certain
/// that the container stays: an error leaves everything as it was.
#[derive(Debug, Default)]
pub(crate) struct NetDevices {
    ends: Option<(End, End)>,
    moved: Vec<Moved>,
}

/// A device that is in the container, and what it was before.
#[derive(Debug)]
struct Moved {
    name: String,
    index: i32,
    up: bool,
    addresses: Vec<Address>,
}

/// A network namespace, to be moved to and to be asked.
#[derive(Debug)]
struct End {
    namespace: NamespaceFd,
    socket: Socket,
}

impl NetDevices {
    /// Moves devices from the caller's network namespace into that of a process, each with its
    /// lasting addresses, and sets them up.
    pub(crate) fn give(devices: &[NetDevice], process: BorrowedFd<'_>) -> Result<Self, Error> {
        let mut given = Self::default();
        let Some(first) = devices.first() else {
            return Ok(given);
        };
        let failed = |doing: &str, source| failed(first, doing, source);
        let here = End::open().map_err(|error| failed("open its network namespace", error))?;
        let there = End::of(process);
        let there = there.map_err(|error| failed("enter the container's network namespace", error));
        given.ends = Some((here, there?));
        for device in devices {
            given.give_one(device)?;
        }
        Ok(given)
    }

    fn give_one(&mut self, device: &NetDevice) -> Result<(), Error> {
        let Some((here, there)) = &mut self.ends else {
            return Ok(());
        };
        let failed =
            |doing: &'static str| move |errno: Errno| failed(device, doing, io::Error::from(errno));
        let Link { index, up } = here.socket.link(&device.name).map_err(failed("find it"))?;
        let addresses = here.socket.lasting_addresses(index);
        let addresses = addresses.map_err(failed("read its addresses"))?;
        let index = move_over(here, index, there);
        let index = index.map_err(failed("move it into the container"))?;
        self.moved.push(Moved {
            name: device.name.clone(),
            index,
            up,
            addresses: addresses.clone(),
        });
        let renamed = there.socket.rename(index, &device.becomes);
        renamed.map_err(|errno| {
            let doing = format!("name it \"{}\" in the container", device.becomes);
            self::failed(device, &doing, errno.into())
        })?;
        for address in &addresses {
            let added = there.socket.add_address(index, address);
            added.map_err(failed("keep an address of it"))?;
        }
        there.socket.set_up(index).map_err(failed("set it up"))?;
        log::debug!(
            "network device {} is the container's, {} addresses",
            device.name,
            addresses.len()
        );
        Ok(())
    }

    /// Leaves the devices to the container for good.
    pub(crate) fn keep(&mut self) {
        self.moved.clear();
        self.ends = None;
    }
}

impl Drop for NetDevices {
    fn drop(&mut self) {
        let Some((here, there)) = &mut self.ends else {
            return;
        };
        for device in self.moved.iter().rev() {
            if let Err(errno) = take_back(here, there, device) {
                let error = io::Error::from(errno);
                log::warn!("take network device {} back: {error}", device.name);
            }
        }
    }
}

fn take_back(here: &mut End, there: &mut End, device: &Moved) -> Result<(), Errno> {
    let index = move_over(there, device.index, here)?;
    here.socket.rename(index, &device.name)?;
    for address in &device.addresses {
        here.socket.add_address(index, address)?;
    }
    match device.up {
        true => here.socket.set_up(index),
        false => Ok(()),
    }
}

/// Moves a device, which is down then, and gives its index on the other side. There it has a name of
/// ours at first: it can be found by that, whatever number the kernel puts into the name that it
/// gets, and a name that is in use is noticed when it is known where the device is.
fn move_over(from: &mut End, index: i32, to: &mut End) -> Result<i32, Errno> {
    // A pid has seven digits at most, a name fifteen characters.
    let name = format!("crabcan{}", std::process::id());
    from.socket.move_link(index, to.namespace.as_fd(), &name)?;
    Ok(to.socket.link(&name)?.index)
}

impl End {
    /// The calling thread's.
    fn open() -> io::Result<Self> {
        let path = "/proc/thread-self/ns/net";
        let namespace = NamespaceFd::open_path(path, Namespace::Network);
        Ok(Self {
            namespace: namespace.map_err(answer)?,
            socket: Socket::new()?,
        })
    }

    /// That of the process behind a pidfd: a thread goes there, and ends.
    fn of(process: BorrowedFd<'_>) -> io::Result<Self> {
        let pidfd = process.try_clone_to_owned()?;
        let namespace = NamespaceFd::from_pidfd(pidfd, &[Namespace::Network]);
        visit(&namespace, Self::open)?
    }
}

fn failed(device: &NetDevice, doing: &str, source: io::Error) -> Error {
    Error::NetDevice {
        device: device.name.clone(),
        doing: doing.to_owned(),
        source,
    }
}
