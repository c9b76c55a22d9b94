//! What memory a run takes, what a waiting init takes, and how large the program is.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::sample::{Line, reap};
use super::world::World;

/// Of one runtime, in KiB.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) name: String,
    pub(super) peak: u64,
    /// Private memory of a container's process that waits for `start`.
    pub(super) waiting: Option<u64>,
    pub(super) program: u64,
}

pub(super) fn peaks(world: &World) -> Result<Vec<Memory>> {
    let cgroup = world.cgroup("floor").display().to_string();
    let state = world.state.join("floor.json").display().to_string();
    let root = world.root.display().to_string();
    let floor = world.floor.display().to_string();
    let mut all = vec![Memory {
        name: "floor".into(),
        peak: peak(world, &[&floor, "run", &root, &cgroup, &state])?,
        waiting: None,
        program: size(&floor)?,
    }];
    for runtime in &world.runtimes {
        let bundle = world
            .bundle(&runtime.name, &[], None)?
            .display()
            .to_string();
        let program = runtime.program.display().to_string();
        let root = world.state.join(&runtime.name).display().to_string();
        let options = runtime.options.iter().map(String::as_str);
        let before = [program.as_str(), "--root", &root];
        let before: Vec<&str> = before.into_iter().chain(options).collect();
        let on = |words: &[&str]| Line::new(&[&before, words].concat());
        let run = ["run", "--bundle", &bundle, "bench-memory"];
        let peak = peak(world, &[&before, &run[..]].concat())?;
        on(&["create", "--bundle", &bundle, "bench-memory"]).run()?;
        // Without a cgroup its process is not found.
        let waiting = runtime.options.is_empty();
        let waiting = waiting.then(|| self::waiting(world, &runtime.name));
        on(&["start", "bench-memory"]).run()?;
        reap(1)?;
        // Of its orphans runc leaves one that may be the first to end: what is measured is done.
        on(&["delete", "--force", "bench-memory"]).run()?;
        let waiting = waiting.transpose()?;
        all.push(Memory {
            name: runtime.name.clone(),
            peak,
            waiting,
            program: size(&program)?,
        });
    }
    Ok(all)
}

/// The floor program starts it: what a process was before its exec counts as well, and it is small.
fn peak(world: &World, line: &[&str]) -> Result<u64> {
    let name = line.join(" ");
    let output = Command::new(&world.floor)
        .arg("rss")
        .args(line)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("run `{name}`"))?;
    ensure!(output.status.success(), "`{name}`: {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    last.parse()
        .with_context(|| format!("the peak memory of `{name}`: {last}"))
}

fn waiting(world: &World, name: &str) -> Result<u64> {
    let group = world.cgroup(name);
    let pids = fs::read_to_string(group.join("cgroup.procs"))
        .with_context(|| format!("read the processes of {}", group.display()))?;
    let pid = pids
        .lines()
        .next()
        .context("the container has no process")?;
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let private = text.lines().filter(|line| line.starts_with("Private_"));
    Ok(private
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum())
}

fn size(program: &str) -> Result<u64> {
    let file = fs::metadata(program).with_context(|| format!("look at {program}"))?;
    Ok(file.len() / 1024)
}
