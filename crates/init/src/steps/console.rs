//! A terminal of the container's own, and the session that it controls.

use crate::errno::Errno;
use crate::message::Message;
use crate::sys::{self, Fd};

const TIOCSCTTY: usize = 0x540e;
const TIOCSWINSZ: usize = 0x5414;
const TIOCSPTLCK: usize = 0x4004_5431;
const TIOCGPTPEER: usize = 0x5441;
const DEVPTS_SUPER_MAGIC: u64 = 0x1cd1;

/// Opens a new terminal, sends its master to the parent and gives the container's side.
///
/// `/dev/pts` is the container's, so nothing about it is taken on trust: the file must be devpts'
/// own multiplexer, and the other side is asked of the descriptor, not of a path.
pub(super) fn open(channel: i32, rows: u32, columns: u32) -> Result<Fd, Errno> {
    let flags = sys::O_RDWR | sys::O_NOCTTY | sys::O_NOFOLLOW;
    let master = sys::openat(sys::AT_FDCWD, c"/dev/pts/ptmx", flags)?;
    let genuine = sys::stat(master.0)?.device == sys::make_device(5, 2)
        && sys::file_system_magic(master.0)? == DEVPTS_SUPER_MAGIC;
    if !genuine {
        return Err(Errno::ENODEV);
    }
    let mut unlocked = 0i32;
    sys::ioctl_with(master.0, TIOCSPTLCK, &mut unlocked)?;
    let flags = (sys::O_RDWR | sys::O_NOCTTY | sys::O_CLOEXEC) as usize;
    let mut terminal = Fd(sys::ioctl(master.0, TIOCGPTPEER, flags)? as i32);
    if terminal.0 < 3 {
        // The caller had closed a standard descriptor: the number is to be a copy's.
        terminal = sys::dup_above_standard(&terminal)?;
    }
    if rows != 0 && columns != 0 {
        let mut size = [rows as u16, columns as u16, 0, 0];
        sys::ioctl_with(terminal.0, TIOCSWINSZ, &mut size)?;
    }
    sys::send(channel, &Message::Console.to_bytes(), Some(master.0))?;
    Ok(terminal)
}

/// Leads a session, so that nothing here can type into the caller's terminal, and takes the
/// container's terminal as the session's.
pub(super) fn session(console: Option<(Fd, u32)>) -> Result<(), Errno> {
    match sys::setsid() {
        // Init itself leads one since its first moment; a copy of it must begin its own.
        Ok(()) | Err(Errno::EPERM) => {}
        Err(errno) => return Err(errno),
    }
    let Some((terminal, descriptors)) = console else {
        return Ok(());
    };
    sys::ioctl(terminal.0, TIOCSCTTY, 0)?;
    for number in (0..3).filter(|number| descriptors >> number & 1 == 1) {
        sys::dup_onto(terminal.0, number)?;
    }
    Ok(())
}
