//! Network devices and their addresses by netlink: the few requests of rtnetlink(7) that moving a
//! device needs.
//!
//! A message is a header, the fixed part of its kind, and attributes, each with a length of 16 bits
//! before it. Lengths are checked on both sides: a value that is too long is refused and never cut,
//! and an answer whose lengths do not fit into each other is EBADMSG.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recvfrom, send, socket_with,
};

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_CREATE: u16 = 0x400;

const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;

const IFLA_IFNAME: u16 = 3;
const IFLA_NET_NS_FD: u16 = 28;
const IFF_UP: u32 = 1;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
const IFA_RT_PRIORITY: u16 = 9;
const IFA_PROTO: u16 = 11;
/// What of an address is said again when it is given anew. Not its label, which is made of the
/// device's old name.
const KEPT: [u16; 5] = [
    IFA_ADDRESS,
    IFA_LOCAL,
    IFA_BROADCAST,
    IFA_RT_PRIORITY,
    IFA_PROTO,
];
const IFA_F_PERMANENT: u32 = 0x80;
/// The flags that a user sets: NODAD, OPTIMISTIC, HOMEADDRESS, MANAGETEMPADDR, NOPREFIXROUTE and
/// MCAUTOJOIN. The others are the kernel's own findings.
const IFA_F_SETTABLE: u32 = 0x02 | 0x04 | 0x10 | 0x100 | 0x200 | 0x400;
const RT_SCOPE_UNIVERSE: u8 = 0;

/// The kernel makes no datagram of a dump longer than 32 KiB.
const LONGEST_ANSWER: usize = 64 * 1024;

/// A network device, as its namespace has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: i32,
    pub(crate) up: bool,
}

/// An address of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    family: u8,
    prefix: u8,
    flags: u32,
    attributes: Vec<(u16, Vec<u8>)>,
}

/// A conversation with one network namespace: the one in which its thread was when it was made,
/// wherever the thread is later.
#[derive(Debug)]
pub(crate) struct Socket {
    descriptor: OwnedFd,
    sequence: u32,
}

impl Socket {
    pub(crate) fn new() -> Result<Self, Errno> {
        let (kind, flags) = (SocketType::RAW, SocketFlags::CLOEXEC);
        // NETLINK_ROUTE is 0, and so is no protocol.
        let protocol = None;
        Ok(Self {
            descriptor: socket_with(AddressFamily::NETLINK, kind, flags, protocol)?,
            sequence: 0,
        })
    }

    /// The device of this name; ENODEV without one.
    pub(crate) fn link(&mut self, name: &str) -> Result<Link, Errno> {
        let request = Request::new(RTM_GETLINK, NLM_F_ACK, &link_header(0, 0));
        let answers = self.ask(request.name(name)?)?;
        let answer = answers.iter().find(|answer| answer.kind == RTM_NEWLINK);
        parse_link(&answer.ok_or(Errno::BADMSG)?.body)
    }

    /// Moves a device into another network namespace, and gives it a name there.
    pub(crate) fn move_link(
        &mut self,
        index: i32,
        to: BorrowedFd<'_>,
        name: &str,
    ) -> Result<(), Errno> {
        let request = Request::new(RTM_NEWLINK, NLM_F_ACK, &link_header(index, 0))
            .attribute(IFLA_NET_NS_FD, &to.as_raw_fd().to_ne_bytes())?
            .name(name)?;
        self.ask(request).map(drop)
    }

    /// Gives a device that is down another name; the kernel puts a number in place of `%d`. EEXIST
    /// when another has it.
    pub(crate) fn rename(&mut self, index: i32, name: &str) -> Result<(), Errno> {
        let request = Request::new(RTM_NEWLINK, NLM_F_ACK, &link_header(index, 0)).name(name)?;
        self.ask(request).map(drop)
    }

    pub(crate) fn set_up(&mut self, index: i32) -> Result<(), Errno> {
        let request = Request::new(RTM_NEWLINK, NLM_F_ACK, &link_header(index, IFF_UP));
        self.ask(request).map(drop)
    }

    /// The addresses of a device that are permanent and known beyond its link.
    pub(crate) fn lasting_addresses(&mut self, index: i32) -> Result<Vec<Address>, Errno> {
        // Somebody else may change addresses meanwhile: then the list is asked for again.
        const ATTEMPTS: usize = 16;
        let mut answers = Err(Errno::INTR);
        for _ in 0..ATTEMPTS {
            let request = Request::new(RTM_GETADDR, NLM_F_DUMP, &[0; 8]);
            answers = self.ask(request);
            if !matches!(answers, Err(Errno::INTR)) {
                break;
            }
        }
        let mut addresses = Vec::new();
        for answer in answers? {
            if answer.kind == RTM_NEWADDR {
                addresses.extend(parse_address(&answer.body, index)?);
            }
        }
        Ok(addresses)
    }

    pub(crate) fn add_address(&mut self, index: i32, address: &Address) -> Result<(), Errno> {
        self.ask(address.request(index)?).map(drop)
    }

    /// Sends a request and takes everything that answers it, up to the word that ends it.
    fn ask(&mut self, request: Request) -> Result<Vec<Message>, Errno> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = request.finish(self.sequence)?;
        retry_on_intr(|| send(&self.descriptor, &request, SendFlags::empty()))?;
        let mut buffer = vec![0; LONGEST_ANSWER];
        let (mut answers, mut interrupted) = (Vec::new(), false);
        loop {
            for message in parse(self.receive(&mut buffer)?)? {
                if message.sequence != self.sequence {
                    continue;
                }
                interrupted |= message.flags & NLM_F_DUMP_INTR != 0;
                match message.kind {
                    NLMSG_NOOP => {}
                    NLMSG_ERROR | NLMSG_DONE => {
                        verdict(&message.body)?;
                        return if interrupted {
                            Err(Errno::INTR)
                        } else {
                            Ok(answers)
                        };
                    }
                    _ => answers.push(message),
                }
            }
        }
    }

    /// One datagram of the kernel's. Whoever administers the namespace could send one too.
    fn receive<'buffer>(&self, buffer: &'buffer mut [u8]) -> Result<&'buffer [u8], Errno> {
        loop {
            let (_, length, from) =
                retry_on_intr(|| recvfrom(&self.descriptor, &mut *buffer, RecvFlags::TRUNC))?;
            let from = from.and_then(|from| SocketAddrNetlink::try_from(from).ok());
            if from.is_some_and(|from| from.pid() == 0) {
                return buffer.get(..length).ok_or(Errno::MSGSIZE);
            }
        }
    }
}

/// The fixed part of a message about a device: what changes are the flags that are set.
fn link_header(index: i32, flags: u32) -> [u8; 16] {
    let mut header = [0; 16];
    let parts = [
        index.to_ne_bytes(),
        flags.to_ne_bytes(),
        flags.to_ne_bytes(),
    ];
    for (place, part) in header.chunks_exact_mut(4).skip(1).zip(parts) {
        place.copy_from_slice(&part);
    }
    header
}

fn parse_link(body: &[u8]) -> Result<Link, Errno> {
    let (_, rest) = word(body)?;
    let (index, rest) = word(rest)?;
    let (flags, _) = word(rest)?;
    Ok(Link {
        index: i32::from_ne_bytes(index),
        up: u32::from_ne_bytes(flags) & IFF_UP != 0,
    })
}

/// An address, if it is of this device and lasting.
fn parse_address(body: &[u8], of: i32) -> Result<Option<Address>, Errno> {
    let ([family, prefix, short_flags, scope], rest) = word(body)?;
    let (index, rest) = word(rest)?;
    let mut address = Address {
        family,
        prefix,
        flags: short_flags.into(),
        attributes: Vec::new(),
    };
    for (kind, value) in attributes(rest)? {
        if kind == IFA_FLAGS {
            address.flags = u32::from_ne_bytes(word(value)?.0);
        } else if KEPT.contains(&kind) {
            address.attributes.push((kind, value.to_vec()));
        }
    }
    let lasting = address.flags & IFA_F_PERMANENT != 0 && scope == RT_SCOPE_UNIVERSE;
    Ok((lasting && i32::from_ne_bytes(index) == of).then_some(address))
}

impl Address {
    /// Without a lifetime, which makes it permanent.
    fn request(&self, index: i32) -> Result<Request, Errno> {
        let [a, b, c, d] = index.to_ne_bytes();
        let header = [self.family, self.prefix, 0, RT_SCOPE_UNIVERSE, a, b, c, d];
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        let mut request = Request::new(RTM_NEWADDR, flags, &header);
        for (kind, value) in &self.attributes {
            request = request.attribute(*kind, value)?;
        }
        request.attribute(IFA_FLAGS, &(self.flags & IFA_F_SETTABLE).to_ne_bytes())
    }
}

/// A message to the kernel that is being put together.
#[derive(Debug)]
struct Request {
    kind: u16,
    flags: u16,
    /// What follows the header.
    body: Vec<u8>,
}

impl Request {
    fn new(kind: u16, flags: u16, header: &[u8]) -> Self {
        Self {
            kind,
            flags: NLM_F_REQUEST | flags,
            body: header.to_vec(),
        }
    }

    /// EMSGSIZE when the value does not fit into an attribute.
    fn attribute(mut self, kind: u16, value: &[u8]) -> Result<Self, Errno> {
        let length = value.len().saturating_add(4);
        let length = u16::try_from(length).map_err(|_| Errno::MSGSIZE)?;
        self.body.extend(length.to_ne_bytes());
        self.body.extend(kind.to_ne_bytes());
        self.body.extend(value);
        self.body.resize(self.body.len().next_multiple_of(4), 0);
        Ok(self)
    }

    fn name(self, name: &str) -> Result<Self, Errno> {
        self.attribute(IFLA_IFNAME, &[name.as_bytes(), &[0]].concat())
    }

    fn finish(self, sequence: u32) -> Result<Vec<u8>, Errno> {
        let length = self.body.len().saturating_add(16);
        let length = u32::try_from(length).map_err(|_| Errno::MSGSIZE)?;
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(self.kind.to_ne_bytes());
        bytes.extend(self.flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        // The port, which the kernel fills in.
        bytes.extend([0; 4]);
        bytes.extend(self.body);
        Ok(bytes)
    }
}

/// A message of the kernel's, without its header.
#[derive(Debug, PartialEq, Eq)]
struct Message {
    kind: u16,
    flags: u16,
    sequence: u32,
    body: Vec<u8>,
}

/// The messages of one datagram.
fn parse(mut bytes: &[u8]) -> Result<Vec<Message>, Errno> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = word(bytes)?;
        let ([kind_low, kind_high, flags_low, flags_high], rest) = word(rest)?;
        let (sequence, rest) = word(rest)?;
        let (_port, rest) = word(rest)?;
        let length = usize::try_from(u32::from_ne_bytes(length)).map_err(|_| Errno::BADMSG)?;
        let body = length.checked_sub(16).and_then(|length| rest.get(..length));
        messages.push(Message {
            kind: u16::from_ne_bytes([kind_low, kind_high]),
            flags: u16::from_ne_bytes([flags_low, flags_high]),
            sequence: u32::from_ne_bytes(sequence),
            body: body.ok_or(Errno::BADMSG)?.to_vec(),
        });
        bytes = after(bytes, length);
    }
    Ok(messages)
}

/// The attributes that follow the fixed part of a message.
fn attributes(mut bytes: &[u8]) -> Result<Vec<(u16, &[u8])>, Errno> {
    /// The bits beside the kind: nested, and in the order of the network.
    const NLA_TYPE_MASK: u16 = 0x3fff;
    let mut attributes = Vec::new();
    while !bytes.is_empty() {
        let ([length_low, length_high, kind_low, kind_high], rest) = word(bytes)?;
        let length = usize::from(u16::from_ne_bytes([length_low, length_high]));
        let value = length.checked_sub(4).and_then(|length| rest.get(..length));
        let kind = u16::from_ne_bytes([kind_low, kind_high]) & NLA_TYPE_MASK;
        attributes.push((kind, value.ok_or(Errno::BADMSG)?));
        bytes = after(bytes, length);
    }
    Ok(attributes)
}

/// What follows something of this length; the padding of the last one may be missing.
fn after(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(length.next_multiple_of(4)..).unwrap_or_default()
}

/// The next four bytes, and the rest.
fn word(bytes: &[u8]) -> Result<([u8; 4], &[u8]), Errno> {
    let (word, rest) = bytes.split_first_chunk().ok_or(Errno::BADMSG)?;
    Ok((*word, rest))
}

/// The error number that ends an answer: negative, or 0 for success.
fn verdict(body: &[u8]) -> Result<(), Errno> {
    match i32::from_ne_bytes(word(body)?.0) {
        0 => Ok(()),
        error @ -4095..0 => Err(Errno::from_raw_os_error(-error)),
        _ => Err(Errno::BADMSG),
    }
}

#[cfg(any(test, fuzzing))]
#[cfg_attr(fuzzing, allow(dead_code, unused_imports, reason = "the target alone"))]
pub(crate) mod tests;
