//! Starts the program as a runtime does, but for the namespaces.
#![allow(dead_code, reason = "each test program uses its own part of this")]

use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crabcan_init::format::{Fault, Strings};
use crabcan_init::message::{DESCRIPTOR, Message, PROCEED};
use crabcan_init::{PROGRAM, PlanWriter, Step};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, setsockopt, socketpair, sockopt::ReceiveTimeout,
};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::Pid;

/// A test fails instead of waiting for ever.
const LIMIT: Duration = Duration::from_secs(20);

/// A running init, which is killed when the test is done with it.
pub(crate) struct Init {
    pub(crate) child: Child,
    channel: Option<OwnedFd>,
}

impl Init {
    pub(crate) fn start(plan: &[u8]) -> Self {
        Self::start_with(plan, |_| ())
    }

    pub(crate) fn start_with(plan: &[u8], configure: impl FnOnce(&mut Command)) -> Self {
        Self::start_handing(plan, &[], configure)
    }

    /// The same, and hands descriptors to init, from 5 on.
    pub(crate) fn start_handing(
        plan: &[u8],
        descriptors: &[OwnedFd],
        configure: impl FnOnce(&mut Command),
    ) -> Self {
        let (ours, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )
        .unwrap();
        let limit = TimeVal::seconds(LIMIT.as_secs().cast_signed());
        setsockopt(&ours, ReceiveTimeout, &limit).unwrap();
        // Above what they become in the child, so that none overwrites another.
        let [program, plan, theirs] = [memory(PROGRAM), memory(plan), theirs].map(moved_up);
        let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
        command
            .arg0("crabcan-init")
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        configure(&mut command);
        let copies = descriptors
            .iter()
            .map(|fd| moved_up(fd.try_clone().unwrap()));
        let copies: Vec<_> = copies.collect();
        let all = [&theirs, &plan].into_iter().chain(&copies);
        let places: Vec<_> = all.map(AsRawFd::as_raw_fd).zip(3..).collect();
        // SAFETY: the closure makes system calls only, on descriptors that are open until the
        // command is started.
        unsafe { command.pre_exec(move || place(&places)) };
        let child = command.spawn().unwrap();
        Self {
            child,
            channel: Some(ours),
        }
    }

    /// The next message; `None` when the channel is closed.
    pub(crate) fn message(&self) -> Option<Message> {
        let mut bytes = [0; Message::LENGTH + 1];
        let channel = self.channel.as_ref().unwrap().as_raw_fd();
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let length = recvmsg::<()>(channel, &mut parts, None, MsgFlags::empty())
            .unwrap()
            .bytes;
        if length == 0 {
            return None;
        }
        assert_eq!(length, Message::LENGTH);
        Some(Message::from_bytes(bytes.first_chunk().unwrap()).unwrap())
    }

    /// The descriptor that comes with the next message.
    pub(crate) fn message_with_descriptor(&self) -> (Message, OwnedFd) {
        let (message, descriptor) = self.message_with_any_descriptor();
        (message, descriptor.unwrap())
    }

    fn message_with_any_descriptor(&self) -> (Message, Option<OwnedFd>) {
        let mut bytes = [0; Message::LENGTH];
        let channel = self.channel.as_ref().unwrap().as_raw_fd();
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let mut control = nix::cmsg_space!(RawFd);
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let received = recvmsg::<()>(channel, &mut parts, Some(&mut control), flags).unwrap();
        let descriptors = received.cmsgs().unwrap().find_map(|control| match control {
            ControlMessageOwned::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        let number = descriptors.and_then(|all| all.first().copied());
        // SAFETY: recvmsg(2) has just made this descriptor for us.
        let descriptor = number.map(|number| unsafe { OwnedFd::from_raw_fd(number) });
        (Message::from_bytes(&bytes).unwrap(), descriptor)
    }

    /// Waits for the word of a child that goes on, and for `Ready`, which the child may say before.
    pub(crate) fn forked(&self) -> (i32, OwnedFd) {
        let both = [(); 2].map(|()| self.message_with_any_descriptor());
        let ready = both
            .iter()
            .filter(|(message, _)| *message == Message::Ready);
        assert_eq!(ready.count(), 1, "{both:?}");
        let forked = both.into_iter().find_map(|said| match said {
            (Message::Forked { pid }, Some(pidfd)) => Some((pid, pidfd)),
            _ => None,
        });
        forked.unwrap()
    }

    /// Answers a `Ready` that was heard.
    pub(crate) fn go_on(&self) {
        self.send(&[PROCEED]);
    }

    pub(crate) fn send(&self, packet: &[u8]) {
        let channel = self.channel.as_ref().unwrap().as_raw_fd();
        let parts = [IoSlice::new(packet)];
        let flags = MsgFlags::MSG_NOSIGNAL;
        sendmsg::<()>(channel, &parts, &[], flags, None).unwrap();
    }

    pub(crate) fn send_descriptor(&self, descriptor: &OwnedFd) {
        let channel = self.channel.as_ref().unwrap().as_raw_fd();
        let numbers = [descriptor.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&numbers)];
        let parts = [IoSlice::new(&[DESCRIPTOR])];
        sendmsg::<()>(channel, &parts, &rights, MsgFlags::MSG_NOSIGNAL, None).unwrap();
    }

    /// Waits for `Ready` and answers it.
    pub(crate) fn proceed(&self) {
        assert_eq!(self.message(), Some(Message::Ready));
        self.go_on();
    }

    pub(crate) fn close_channel(&mut self) {
        self.channel = None;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Reads standard output up to its end, or to the first line's.
    pub(crate) fn line(&mut self) -> String {
        let mut line = Vec::new();
        let output = self.child.stdout.as_mut().unwrap();
        while output.read_exact(line_end(&mut line)).is_ok() {
            if line.last() == Some(&b'\n') {
                break;
            }
        }
        String::from_utf8(line).unwrap().trim().into()
    }

    /// Everything that is left of standard output: its end is that of the last writer.
    pub(crate) fn output(&mut self) -> String {
        let mut output = String::new();
        let stdout = self.child.stdout.as_mut().unwrap();
        stdout.read_to_string(&mut output).unwrap();
        output
    }

    pub(crate) fn code(&mut self) -> Option<i32> {
        let until = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < until, "init does not end");
            sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        self.channel = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line_end(line: &mut Vec<u8>) -> &mut [u8] {
    line.push(0);
    let last = line.len() - 1;
    &mut line[last..]
}

fn memory(contents: &[u8]) -> OwnedFd {
    let mut file = File::from(memfd_create(c"crabcan-test", MFdFlags::MFD_CLOEXEC).unwrap());
    file.write_all(contents).unwrap();
    file.into()
}

fn moved_up(low: OwnedFd) -> OwnedFd {
    let high = fcntl(&low, FcntlArg::F_DUPFD_CLOEXEC(100)).unwrap();
    // SAFETY: fcntl(2) has just made this descriptor for us.
    unsafe { OwnedFd::from_raw_fd(high) }
}

/// Puts descriptors where init expects them, and lets exec close all others; between fork and exec.
fn place(places: &[(RawFd, RawFd)]) -> std::io::Result<()> {
    for &(from, to) in places {
        // SAFETY: dup2(2) takes numbers and touches no memory.
        if unsafe { libc::dup2(from, to) } < 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    let flags = libc::CLOSE_RANGE_CLOEXEC as libc::c_int;
    // SAFETY: close_range(2) takes numbers and touches no memory; nothing is closed before exec.
    match unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3 + places.len(),
            libc::c_uint::MAX,
            flags,
        )
    } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

pub(crate) fn plan(steps: &[Step<'_>]) -> Vec<u8> {
    plan_with(steps, None)
}

pub(crate) fn plan_with(steps: &[Step<'_>], fault: Option<Fault>) -> Vec<u8> {
    let mut writer = PlanWriter::new();
    for step in steps {
        writer.push(step).unwrap();
    }
    writer.finish(fault)
}

/// Strings, each with its NUL, from words with blanks between them.
pub(crate) fn strings(bytes: &[u8]) -> Strings<'_> {
    Strings::new(bytes).unwrap()
}

/// Executes one of these paths with the arguments `words`, in an environment of one variable.
pub(crate) fn exec<'a>(candidates: &'a [u8], args: &'a [u8]) -> Step<'a> {
    Step::Exec {
        candidates: strings(candidates),
        args: strings(args),
        env: strings(b"PATH=/usr/bin:/bin\0"),
    }
}

/// A shell's script, as the last step.
pub(crate) fn shell(script: &str) -> Vec<u8> {
    format!("sh\0-c\0{script}\0").into_bytes()
}

/// What init says of a step that has failed.
pub(crate) fn failed(step: u32, errno: Errno, detail: u32) -> Option<Message> {
    let errno = errno as i32;
    Some(Message::Failed {
        step,
        errno,
        detail,
    })
}

/// A pipe with this text in it.
pub(crate) fn file(text: &str) -> OwnedFd {
    let (read, write) = nix::unistd::pipe().unwrap();
    File::from(write).write_all(text.as_bytes()).unwrap();
    read
}
