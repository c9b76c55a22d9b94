//! The tutorial's steps 15 and 16: a limit on open files, then the program. An ordinary user's
//! program makes the plan, shows it in words, and runs init on it without any namespace.
#![allow(
    unsafe_code,
    clippy::print_stdout,
    reason = "descriptors are placed between fork and exec; an example speaks"
)]

use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use crabcan_init::format::{FlatPlan, Strings};
use crabcan_init::message::{Message, PROCEED};
use crabcan_init::{PROGRAM, PlanWriter, Step};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

fn main() -> Result<(), Box<dyn Error>> {
    let bytes = plan()?;
    let plan = FlatPlan::parse(&bytes).map_err(|damage| format!("{damage:?}"))?;
    for (number, step) in plan.steps().enumerate() {
        println!("{number}: {step}");
    }
    let kind = (SockType::SeqPacket, SockFlag::SOCK_CLOEXEC);
    let (ours, theirs) = socketpair(AddressFamily::Unix, kind.0, None, kind.1)?;
    // Above 3 and 4, so that neither overwrites the other there.
    let program = moved_up(&sealed(PROGRAM)?)?;
    let places = [moved_up(&theirs)?, moved_up(&sealed(&bytes)?)?];
    drop(theirs);
    let numbers = [places[0].as_raw_fd(), places[1].as_raw_fd()];
    let mut init = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    // SAFETY: the closure makes system calls only, on descriptors that are open until then.
    unsafe { init.pre_exec(move || place(numbers)) };
    let mut child = init.spawn()?;
    drop(places);
    let mut channel = File::from(ours);
    let mut record = [0; Message::LENGTH];
    while channel.read(&mut record)? == record.len() {
        let message = Message::from_bytes(&record).ok_or("not a message")?;
        println!("init says {message:?}");
        match message {
            Message::Ready => channel.write_all(&[PROCEED])?,
            Message::Failed { .. } => break,
            _ => {}
        }
    }
    println!("{}", child.wait()?);
    Ok(())
}

fn plan() -> Result<Vec<u8>, Box<dyn Error>> {
    let strings = |bytes| Strings::new(bytes).ok_or("the last string has no NUL");
    let mut plan = PlanWriter::new();
    let steps = [
        Step::ResourceLimit {
            resource: 7,
            soft: 64,
            hard: 64,
        },
        Step::NoNewPrivileges {},
        Step::Ready {},
        Step::Reaper {},
        Step::Session {},
        Step::Exec {
            candidates: strings(b"/usr/bin/echo\0/bin/echo\0")?,
            args: strings(b"echo\0hello from the container\0")?,
            env: strings(b"")?,
        },
    ];
    for step in &steps {
        plan.push(step).map_err(|_| "the plan is too long")?;
    }
    Ok(plan.finish(None))
}

/// A memory file with these contents that nobody can change any more.
fn sealed(contents: &[u8]) -> Result<OwnedFd, Box<dyn Error>> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create(c"crabcan", flags)?);
    file.write_all(contents)?;
    let seals = SealFlag::all();
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file.into())
}

fn moved_up(low: &OwnedFd) -> nix::Result<OwnedFd> {
    let high = fcntl(low, FcntlArg::F_DUPFD_CLOEXEC(10))?;
    // SAFETY: fcntl(2) has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(high) })
}

/// Puts the channel at 3 and the plan at 4, and lets exec close all others.
fn place([channel, plan]: [i32; 2]) -> std::io::Result<()> {
    for (from, to) in [(channel, 3), (plan, 4)] {
        // SAFETY: dup2(2) takes numbers and touches no memory.
        if unsafe { libc::dup2(from, to) } < 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    let flags = libc::CLOSE_RANGE_CLOEXEC as libc::c_int;
    // SAFETY: close_range(2) takes numbers and touches no memory; nothing is closed before exec.
    match unsafe { libc::syscall(libc::SYS_close_range, 5, libc::c_uint::MAX, flags) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
