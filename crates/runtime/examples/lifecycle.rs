//! A container from a bundle: created, started, executed into and deleted, by four calls that could
//! as well be made by four programs.
//!
//! As any user: `cargo run -p crabcan-runtime --example lifecycle`
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::fs;

use crabcan_runtime::{Container, Creation, Execution, ExitStatus, Host, Id, StateRoot, Status};

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let scratch = std::env::temp_dir().join(format!("crabcan-lifecycle-{}", std::process::id()));
    let done = life(&scratch);
    fs::remove_dir_all(&scratch)?;
    done
}

fn life(scratch: &std::path::Path) -> Result<(), Box<dyn Error>> {
    let root = StateRoot::at(scratch.join("state"));
    let bundle = scratch.join("bundle");
    write_bundle(&bundle)?;

    let id = Id::new("example")?;
    let mut container = Creation::new(&root, &id, &bundle).create()?;
    println!("{} is {}", container.id(), container.status()?);
    assert_eq!(container.status()?, Status::Created);
    container.start()?;
    println!("{} is {}", container.id(), container.status()?);
    assert_eq!(container.status()?, Status::Running);

    // Any other program finds it by its id.
    let found = Container::load(&root, &id)?;
    let mut process = found.process()?;
    process.args = ["/bin/sh", "-c", "echo hello from $(hostname); exit 3"]
        .map(Into::into)
        .into();
    let status = Execution::new(&found, process).run(None)?;
    println!("the process {status}");
    assert_eq!(status, ExitStatus::Exited(3));

    found.kill(9)?;
    let status = container.wait()?;
    println!("the container {status}");
    assert_eq!(status, ExitStatus::Signaled(9));
    container.delete()?;
    assert!(root.ids()?.is_empty());
    Ok(())
}

/// A configuration for an ordinary user, and a root that shows the host's programs.
fn write_bundle(bundle: &std::path::Path) -> Result<(), Box<dyn Error>> {
    let host = Host::current()?;
    let mut binds = String::new();
    for path in ["/bin", "/lib", "/lib64", "/usr"] {
        if std::path::Path::new(path).is_dir() {
            fs::create_dir_all(bundle.join(format!("rootfs{path}")))?;
            binds += &format!(
                r#"{{"destination": "{path}", "type": "bind", "source": "{path}", "options": ["rbind", "ro"]}},"#
            );
        }
    }
    let config = format!(
        r#"{{
            "ociVersion": "1.2.0",
            "process": {{
                "args": ["/bin/sleep", "600"], "cwd": "/", "env": ["PATH=/usr/bin:/bin"],
                "user": {{"uid": 0, "gid": 0}}, "noNewPrivileges": true
            }},
            "root": {{"path": "rootfs"}},
            "hostname": "example",
            "mounts": [{binds} {{"destination": "/proc", "type": "proc", "source": "proc"}}],
            "linux": {{
                "namespaces": [{{"type": "user"}}, {{"type": "pid"}}, {{"type": "mount"}}, {{"type": "uts"}}],
                "uidMappings": [{{"containerID": 0, "hostID": {}, "size": 1}}],
                "gidMappings": [{{"containerID": 0, "hostID": {}, "size": 1}}]
            }}
        }}"#,
        host.uid, host.gid
    );
    fs::create_dir_all(bundle.join("rootfs/proc"))?;
    fs::write(bundle.join("config.json"), config)?;
    Ok(())
}
