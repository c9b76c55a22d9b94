//! A terminal of the container's own, and the session that it controls.

use super::mount::set_attributes;
use super::{Context, beneath};
use crate::errno::Errno;
use crate::message::Message;
use crate::sys::{self, Fd};

const TIOCSCTTY: usize = 0x540e;
const TIOCSWINSZ: usize = 0x5414;
const TIOCSPTLCK: usize = 0x4004_5431;
const TIOCGPTPEER: usize = 0x5441;
const DEVPTS_SUPER_MAGIC: u64 = 0x1cd1;
const FIRST_PTS_MAJOR: u64 = 136;
const PTS_MAJORS: u64 = 8;
/// No set-user-ID, no programs: for a terminal's node.
const TERMINAL_ATTRIBUTES: u64 = 0xa;

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
    let terminal = Fd(sys::ioctl(master.0, TIOCGPTPEER, flags)? as i32);
    let terminal = sys::beyond_standard(terminal)?;
    // Majors from here on are Unix98 terminals' (Documentation/admin-guide/devices.txt).
    let major = sys::stat(terminal.0)?.device >> 8;
    if !(FIRST_PTS_MAJOR..FIRST_PTS_MAJOR + PTS_MAJORS).contains(&major) {
        return Err(Errno::ENODEV);
    }
    if rows != 0 && columns != 0 {
        let mut size = [rows as u16, columns as u16, 0, 0];
        sys::ioctl_with(terminal.0, TIOCSWINSZ, &mut size)?;
    }
    sys::send(channel, &Message::Console.to_bytes(), Some(master.0))?;
    Ok(terminal)
}

impl Context {
    /// Binds the terminal, by its descriptor, on a `/dev/console` that is no link.
    pub(super) fn console_device(&self, uid: u32) -> Result<(), Errno> {
        const UNCHANGED: u32 = u32::MAX;
        let (terminal, _) = self.console.as_ref().ok_or(Errno::EBADF)?;
        sys::chown(terminal.0, uid, UNCHANGED)?;
        let mount = sys::open_tree(terminal.0, c"", sys::AT_EMPTY_PATH)?;
        set_attributes(&mount, TERMINAL_ATTRIBUTES)?;
        let root = sys::openat(sys::AT_FDCWD, c"/", sys::O_PATH | sys::O_DIRECTORY)?;
        beneath::make_file(root.0, c"/dev/console")?;
        let place = beneath::open(root.0, c"/dev/console", beneath::NO_SYMLINKS)?;
        sys::move_mount(mount.0, place.0, c"")
    }
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
