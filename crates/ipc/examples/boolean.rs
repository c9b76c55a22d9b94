//! Step 7 of the tutorial: a parent and a child process agree on one boolean, and notice at once
//! when the other one is gone.
//!
//! Run it as anybody: `cargo run -p crabcan-ipc --example boolean`.
//!
//! The child is this same program, started again with its end of the channel as standard input.

#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};

use crabcan_ipc::{ChildEnd, socketpair};

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1).as_deref() {
        Some("child") => child(),
        _ => parent(),
    }
}

fn parent() -> Result<(), Box<dyn Error>> {
    let (channel, child_end) = socketpair()?;
    // Handing the child's end over also closes it here: else this process would never see its end.
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("child")
        .stdin(Stdio::from(OwnedFd::from(child_end)));
    let mut child = command.spawn()?;
    drop(command);

    let wants_user_namespace = channel.recv_boolean()?;
    println!("parent: the child asks for a user namespace: {wants_user_namespace}");
    println!("parent: the maps are written, go on");
    channel.send_boolean(true)?;

    // The child ends now. That is never read as `false`.
    match channel.recv_boolean() {
        Err(crabcan_ipc::Error::Closed) => println!("parent: the child closed its end"),
        other => println!("parent: this should not happen: {other:?}"),
    }
    println!("parent: {}", child.wait()?);
    Ok(())
}

fn child() -> Result<(), Box<dyn Error>> {
    let channel = ChildEnd::try_from(std::io::stdin().as_fd().try_clone_to_owned()?)?;
    channel.send_boolean(true)?;
    println!("child:  the parent answers: {}", channel.recv_boolean()?);
    Ok(())
}
