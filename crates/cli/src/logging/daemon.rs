//! The daemons that keep logs: the journal of systemd in its native protocol, and syslog in the form
//! of RFC 3164. Each record is one packet.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

use log::Level;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, send, sendmsg};

/// The facility "user", as crun's.
const USER: u8 = 1 << 3;

/// A connection to one of them.
pub(super) struct Daemon {
    socket: UnixDatagram,
    path: &'static str,
    /// Whether it takes a file in place of a packet that would be too long.
    reads_files: bool,
}

impl Daemon {
    pub(super) fn connect(path: &'static str, reads_files: bool) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Ok(Self {
            socket,
            path,
            reads_files,
        })
    }

    fn send(&self, packet: &[u8]) -> io::Result<()> {
        let sent = retry_on_intr(|| send(&self.socket, packet, SendFlags::NOSIGNAL));
        match sent {
            Err(Errno::MSGSIZE | Errno::NOBUFS) if self.reads_files => {
                self.send_file(&sealed(packet)?)
            }
            sent => Ok(sent.map(drop)?),
        }
    }

    fn send_file(&self, file: &OwnedFd) -> io::Result<()> {
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let files = [file.as_fd()];
        ancillary.push(SendAncillaryMessage::ScmRights(&files));
        let nothing = [IoSlice::new(&[])];
        let mut message = || sendmsg(&self.socket, &nothing, &mut ancillary, SendFlags::NOSIGNAL);
        Ok(retry_on_intr(&mut message).map(drop)?)
    }
}

impl Write for Daemon {
    /// The logger looks at no error, so it is told of here.
    fn write(&mut self, packet: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.send(packet) {
            let _ = writeln!(io::stderr(), "crabcan: log to {}: {error}", self.path);
        }
        Ok(packet.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A memory file that nobody can change any more.
fn sealed(contents: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(memfd_create("crabcan-log", flags)?);
    file.write_all(contents)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&file, seals)?;
    Ok(file.into())
}

/// Writes an entry of the journal. `ID` is a field of crun's. What others can choose is written with
/// its length, so that no line of it is a field of its own.
pub(super) fn write_entry(
    to: &mut impl Write,
    identifier: &[u8],
    level: Level,
    message: &str,
) -> io::Result<()> {
    writeln!(to, "PRIORITY={}", severity(level))?;
    for (name, value) in [
        ("SYSLOG_IDENTIFIER", identifier),
        ("ID", identifier),
        ("MESSAGE", message.as_bytes()),
    ] {
        writeln!(to, "{name}")?;
        to.write_all(&(value.len() as u64).to_le_bytes())?;
        to.write_all(value)?;
        writeln!(to)?;
    }
    Ok(())
}

/// Writes a packet of syslog. The time is left to the daemon, which is on this machine and knows the
/// zone; some begin a new record at a line's end, so there is none.
pub(super) fn write_packet(
    to: &mut impl Write,
    identifier: &[u8],
    level: Level,
    message: &str,
) -> io::Result<()> {
    let identifier = String::from_utf8_lossy(identifier);
    let text = format!("{identifier}: {message}").replace(char::is_control, " ");
    write!(to, "<{}>{text}", USER | severity(level))
}

/// Severities of syslog, which are the journal's too.
fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const FORGED: &str = "one\nPRIORITY=7\n<15>two";

    #[test]
    fn no_word_of_others_is_a_field_of_the_journal() {
        let mut entry = Vec::new();
        write_entry(&mut entry, b"i\nd", Level::Error, FORGED).unwrap();
        let wanted = b"PRIORITY=3\n\
            SYSLOG_IDENTIFIER\n\x03\0\0\0\0\0\0\0i\nd\n\
            ID\n\x03\0\0\0\0\0\0\0i\nd\n\
            MESSAGE\n\x16\0\0\0\0\0\0\0one\nPRIORITY=7\n<15>two\n";
        assert_eq!(
            entry.escape_ascii().to_string(),
            wanted.escape_ascii().to_string()
        );
    }

    #[test]
    fn no_word_of_others_is_a_record_of_syslog() {
        for (level, number) in [
            (Level::Error, 11),
            (Level::Warn, 12),
            (Level::Info, 14),
            (Level::Debug, 15),
            (Level::Trace, 15),
        ] {
            let mut packet = Vec::new();
            write_packet(&mut packet, b"i\nd", level, FORGED).unwrap();
            let text = format!("<{number}>i d: one PRIORITY=7 <15>two");
            assert_eq!(String::from_utf8(packet).unwrap(), text);
        }
    }
}
