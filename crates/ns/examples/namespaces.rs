//! Step 8 of the tutorial: a child in new namespaces, made without root.
//!
//! Run it as anybody: `cargo run -p crabcan-ns --example namespaces`.

#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd;

use crabcan_ns::{
    CloneOptions, IdMap, IdMapWriter, Namespace, Namespaces, Program, clone_program, write_id_maps,
};

/// Runs in the new namespaces, as soon as a line comes in on 3; answers on 4.
const SCRIPT: &std::ffi::CStr = c"
read go <&3
exec >&4
hostname crabcan
echo \"host name:  $(cat /proc/sys/kernel/hostname)\"
echo \"process id: $$\"
echo \"ids:        $(id -u):$(id -g)\"
echo \"interfaces: $(sed -n 's/:.*//p' /proc/self/net/dev | tr -d ' \\n')\"
for kind in mnt uts ipc user pid net cgroup time; do readlink /proc/self/ns/$kind; done
exit 7";

fn main() -> Result<(), Box<dyn Error>> {
    // The user namespace gives an ordinary user the privilege to make the others.
    let namespaces = Namespace::ALL
        .into_iter()
        .filter(|kind| *kind != Namespace::Time)
        .fold(Namespaces::new(), Namespaces::make);

    let (go_read, mut go) = std::io::pipe()?;
    let (mut answer, answer_write) = std::io::pipe()?;
    let shell = File::open("/bin/sh")?;
    let program = Program {
        executable: shell.as_fd(),
        args: &[c"sh", c"-c", SCRIPT],
        env: &[c"PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
        descriptors: &[go_read.as_fd(), answer_write.as_fd()],
    };
    let mut child = clone_program(&program, &CloneOptions::new(&namespaces))?;
    // Each side drops the other's end at once: now the end of the child is the end of the answer.
    drop((go_read, answer_write));
    println!(
        "made process {} with {namespaces} new namespaces",
        child.pid()
    );

    let uids = IdMap::single(0, rustix::process::getuid().as_raw())?;
    let gids = IdMap::single(0, rustix::process::getgid().as_raw())?;
    let setgroups = write_id_maps(child.pid(), &uids, &gids, IdMapWriter::Direct)?;
    let (uid_map, gid_map) = (uids.to_string(), gids.to_string());
    println!(
        "wrote uid_map \"{}\" and gid_map \"{}\"",
        uid_map.trim(),
        gid_map.trim()
    );
    println!("setgroups is {setgroups:?}");
    go.write_all(b"go\n")?;

    let mut text = String::new();
    answer.read_to_string(&mut text)?;
    for line in text.lines() {
        println!("child: {line}{}", comparison(line));
    }
    println!("the child {}", child.wait()?);
    Ok(())
}

/// For the name of a namespace: whether it is this process's own.
fn comparison(line: &str) -> &'static str {
    let kind = line.split(':').next().unwrap_or_default();
    match fs::read_link(format!("/proc/self/ns/{kind}")) {
        Ok(own) if own.to_str() == Some(line) => "  (the same as here)",
        Ok(_) => "  (a new one)",
        Err(_) => "",
    }
}
