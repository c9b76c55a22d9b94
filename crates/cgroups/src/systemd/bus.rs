//! A connection to a message bus: found, authenticated, one call at a time.

use std::collections::VecDeque;
use std::env;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::Manager;
use super::message::{self, Call, FIXED, Received};
use super::wire::Value;
use crate::Error;

const DBUS: &str = "org.freedesktop.DBus";

/// How long the bus and systemd may take for one thing.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait before a full socket is tried again.
const AGAIN: Duration = Duration::from_millis(20);

/// A connection that has a name on the bus.
#[derive(Debug)]
pub(crate) struct Bus {
    stream: UnixStream,
    address: String,
    /// How long one thing may take.
    patience: Duration,
    serial: u32,
    /// Signals that came while a reply was waited for.
    signals: VecDeque<(String, Vec<Value>)>,
}

impl Bus {
    pub(crate) fn connect(manager: Manager) -> Result<Self, Error> {
        let address = address(manager, |name| env::var(name).ok())?;
        match open(&address) {
            Ok(stream) => Self::over(stream, address, PATIENCE),
            Err(source) => Err(Error::Bus { address, source }),
        }
    }

    /// Introduces itself over a connected socket.
    pub(crate) fn over(
        stream: UnixStream,
        address: String,
        patience: Duration,
    ) -> Result<Self, Error> {
        let mut bus = Self {
            stream,
            address,
            patience,
            serial: 0,
            signals: VecDeque::new(),
        };
        let introduced = bus.stream.set_write_timeout(Some(patience));
        let introduced = introduced.and_then(|()| authenticate(&bus.stream, bus.deadline()));
        introduced.map_err(|source| bus.failed(source))?;
        bus.call(&Call {
            destination: DBUS,
            path: "/org/freedesktop/DBus",
            interface: DBUS,
            member: "Hello",
            body: &[],
        })?;
        Ok(bus)
    }

    /// Asks for the signals that fit a rule.
    pub(crate) fn subscribe(&mut self, rule: &str) -> Result<(), Error> {
        let body = [Value::str(rule)];
        self.call(&Call {
            destination: DBUS,
            path: "/org/freedesktop/DBus",
            interface: DBUS,
            member: "AddMatch",
            body: &body,
        })?;
        Ok(())
    }

    /// Until when what begins now may take.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.patience
    }

    /// Calls a method and waits for its reply.
    pub(crate) fn call(&mut self, call: &Call<'_>) -> Result<Vec<Value>, Error> {
        let until = self.deadline();
        self.serial += 1;
        let serial = self.serial;
        let sent = self.stream.write_all(&call.encode(serial));
        sent.map_err(|source| self.failed(source))?;
        loop {
            match self.receive(until)? {
                Received::Reply { to, body } if to == serial => return Ok(body),
                Received::Refusal { to, name, text } if to == serial => {
                    return Err(Error::BusRefusal {
                        call: call.member.to_owned(),
                        name,
                        text,
                    });
                }
                Received::Signal { member, body } => self.signals.push_back((member, body)),
                _ => {}
            }
        }
    }

    /// The next signal.
    pub(crate) fn signal(&mut self, until: Instant) -> Result<(String, Vec<Value>), Error> {
        loop {
            if let Some(signal) = self.signals.pop_front() {
                return Ok(signal);
            }
            if let Received::Signal { member, body } = self.receive(until)? {
                self.signals.push_back((member, body));
            }
        }
    }

    fn receive(&mut self, until: Instant) -> Result<Received, Error> {
        let stream = &self.stream;
        let read = || {
            let mut timed = Timed { stream, until };
            let mut fixed = [0; FIXED];
            timed.read_exact(&mut fixed)?;
            let nonsense = || io::Error::from(io::ErrorKind::InvalidData);
            let length = message::length(&fixed).ok_or_else(nonsense)?;
            let mut bytes = fixed.to_vec();
            bytes.resize(length, 0);
            timed.read_exact(&mut bytes[FIXED..])?;
            message::decode(&bytes).ok_or_else(nonsense)
        };
        read().map_err(|source| self.failed(source))
    }

    /// An answer that is none to what was asked.
    pub(crate) fn nonsense(&self) -> Error {
        self.failed(io::ErrorKind::InvalidData.into())
    }

    fn failed(&self, source: io::Error) -> Error {
        let source = match source.kind() {
            // What a timeout of a socket is called.
            io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
            // The other side has gone in the middle of a message.
            io::ErrorKind::UnexpectedEof => io::ErrorKind::ConnectionReset.into(),
            _ => source,
        };
        Error::Bus {
            address: self.address.clone(),
            source,
        }
    }
}

/// Reads until a point in time, however slowly the other side writes.
struct Timed<'a> {
    stream: &'a UnixStream,
    until: Instant,
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(buffer)
    }
}

/// Where a manager's bus listens.
fn address(manager: Manager, variable: impl Fn(&str) -> Option<String>) -> Result<String, Error> {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    match manager {
        Manager::System => Ok(set("DBUS_SYSTEM_BUS_ADDRESS")
            .unwrap_or_else(|| "unix:path=/run/dbus/system_bus_socket".to_owned())),
        Manager::User => set("DBUS_SESSION_BUS_ADDRESS")
            .or_else(|| set("XDG_RUNTIME_DIR").map(|dir| format!("unix:path={dir}/bus")))
            .ok_or(Error::NoUserBus),
    }
}

/// Connects to the first place of an address that can be reached.
fn open(address: &str) -> io::Result<UnixStream> {
    let mut last = io::Error::from(io::ErrorKind::InvalidInput);
    for place in address.split(';') {
        let Some(options) = place.strip_prefix("unix:") else {
            continue;
        };
        for option in options.split(',') {
            let place = match option.split_once('=') {
                Some(("path", path)) => SocketAddrUnix::new(unescaped(path)?),
                Some(("abstract", name)) => {
                    SocketAddrUnix::new_abstract_name(unescaped(name)?.as_bytes())
                }
                _ => continue,
            };
            match place
                .map_err(io::Error::from)
                .and_then(|place| patiently(&place, PATIENCE))
            {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
    }
    Err(last)
}

/// EAGAIN says that too many others are about to connect. A socket that blocks would wait for them
/// without end.
fn patiently(place: &SocketAddrUnix, patience: Duration) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let deadline = Instant::now() + patience;
    loop {
        match connect(&socket, place) {
            Err(Errno::AGAIN) if Instant::now() < deadline => thread::sleep(AGAIN),
            other => break other?,
        }
    }
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// Addresses write unusual bytes as `%` and two digits.
fn unescaped(text: &str) -> io::Result<OsString> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, others)) = rest.split_first() {
        rest = others;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digits = others
            .get(..2)
            .and_then(|two| std::str::from_utf8(two).ok());
        let byte = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        bytes.push(byte.ok_or(io::ErrorKind::InvalidInput)?);
        rest = &others[2..];
    }
    Ok(OsString::from_vec(bytes))
}

/// The bus knows who we are from the socket. Our own number is left out on purpose: in a user
/// namespace it would be another than the one that the bus sees.
fn authenticate(mut stream: &UnixStream, until: Instant) -> io::Result<()> {
    stream.write_all(b"\0AUTH EXTERNAL\r\nDATA\r\n")?;
    let mut timed = Timed { stream, until };
    loop {
        let line = line(&mut timed)?;
        if line.starts_with("OK ") {
            break;
        }
        if line != "DATA" {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
    }
    stream.write_all(b"BEGIN\r\n")
}

fn line(stream: &mut impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n") {
        stream.read_exact(&mut byte)?;
        bytes.push(byte[0]);
        if bytes.len() > 512 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    bytes.truncate(bytes.len() - 2);
    String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::os::unix::net::UnixListener;

    use super::*;

    /// A bus that accepts nobody any more: a socket that blocks would wait for ever.
    #[test]
    fn a_bus_that_is_busy_is_waited_for_with_a_bound() {
        use rustix::net::{bind, listen};
        let directory = std::env::temp_dir();
        let path = directory.join(format!("crabcan-busy-bus-{}", std::process::id()));
        let place = SocketAddrUnix::new(&path).unwrap();
        let flags = SocketFlags::CLOEXEC;
        let listener = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        bind(&listener, &place).unwrap();
        // One may wait to be accepted; then the queue is full.
        listen(&listener, 0).unwrap();
        let first = patiently(&place, PATIENCE).unwrap();
        let bound = Duration::from_millis(50);
        let refused = patiently(&place, bound).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        // It is tried again: whoever is let in meanwhile makes room.
        let other = place.clone();
        let waiting = thread::spawn(move || patiently(&other, PATIENCE));
        thread::sleep(bound);
        assert!(!waiting.is_finished());
        let accepted = rustix::net::accept(&listener).unwrap();
        waiting.join().unwrap().unwrap();
        drop((first, accepted));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn the_bus_is_found_by_the_variables() {
        let user = |set: &[(&str, &str)]| {
            let set: Vec<_> = set
                .iter()
                .map(|(n, v)| (n.to_string(), v.to_string()))
                .collect();
            address(Manager::User, move |name| {
                set.iter()
                    .find(|(other, _)| other == name)
                    .map(|(_, value)| value.clone())
            })
        };
        let runtime = ("XDG_RUNTIME_DIR", "/run/user/5");
        assert_eq!(user(&[runtime]).unwrap(), "unix:path=/run/user/5/bus");
        let session = ("DBUS_SESSION_BUS_ADDRESS", "unix:abstract=x");
        assert_eq!(user(&[runtime, session]).unwrap(), "unix:abstract=x");
        let empty = ("DBUS_SESSION_BUS_ADDRESS", "");
        assert_eq!(
            user(&[runtime, empty]).unwrap(),
            "unix:path=/run/user/5/bus"
        );
        assert!(matches!(user(&[]), Err(Error::NoUserBus)));
        let system = address(Manager::System, |_| None).unwrap();
        assert_eq!(system, "unix:path=/run/dbus/system_bus_socket");
    }

    #[test]
    fn addresses_have_several_places_and_escapes() {
        let path = env::temp_dir().join(format!("crabcan bus {}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let escaped = path.to_str().unwrap().replace(' ', "%20");
        open(&format!(
            "tcp:host=x;unix:path=/nonexistent;unix:guid=5,path={escaped}"
        ))
        .unwrap();
        std::fs::remove_file(&path).unwrap();
        drop(listener);
        let kind = |address| open(address).unwrap_err().kind();
        assert_eq!(kind("unix:path=/nonexistent"), io::ErrorKind::NotFound);
        assert_eq!(kind("unix:path=/a%2"), io::ErrorKind::InvalidInput);
        assert_eq!(kind("tcp:host=x"), io::ErrorKind::InvalidInput);
    }
}
