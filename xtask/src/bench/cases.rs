//! What is measured: for each case the commands of each program, timed and not.

use std::path::Path;

use anyhow::{Context, Result};

use super::bundle;
use super::sample::{Line, reap};
use super::world::{PAYLOAD, Runtime, World};
use crate::scratch::ORDINARY_ID;

/// One program's part in a case.
#[derive(Debug)]
pub(super) struct Contestant {
    pub(super) name: String,
    /// Before each measured run.
    pub(super) before: Vec<Line>,
    pub(super) timed: Vec<Line>,
    /// How many processes nobody waits for within the timed run, and before it.
    pub(super) orphans: usize,
    pub(super) orphans_before: usize,
    /// After each measured run.
    pub(super) after: Vec<Line>,
    pub(super) orphans_after: usize,
}

impl Contestant {
    pub(super) fn new(name: &str, timed: Vec<Line>) -> Contestant {
        Contestant {
            name: name.to_owned(),
            before: Vec::new(),
            timed,
            orphans: 0,
            orphans_before: 0,
            after: Vec::new(),
            orphans_after: 0,
        }
    }

    /// Does something with all before and after it that this case needs.
    pub(super) fn around<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        self.before.iter().try_for_each(Line::run)?;
        reap(self.orphans_before)?;
        let done = act()?;
        if let Some((last, first)) = self.after.split_last() {
            first.iter().try_for_each(Line::run)?;
            reap(self.orphans_after)?;
            last.run()?;
        }
        Ok(done)
    }
}

/// The names of the cases, in the order in which they are measured.
pub(super) const CASES: &[(&str, &str)] = &[
    (
        "run",
        "`run` of the bundle of `runc spec` with a cgroup namespace",
    ),
    ("run-seccomp", "the same with the engines' seccomp profile"),
    (
        "run-rootless",
        "the same as an ordinary user, in a user namespace and without a cgroup; the floor is the \
         sandbox', which binds its devices too",
    ),
    (
        "create-start-delete",
        "`create`, `start`, the container ends, `delete`",
    ),
    ("create", "`create`"),
    ("start", "`start`, and the container ends"),
    ("exec", "`exec` into a running container"),
    (
        "state",
        "`state` of a running container, beside an empty process",
    ),
    ("list", "`list` of one container, beside an empty process"),
    ("kill", "`kill ID CONT`, beside an empty process"),
    (
        "delete",
        "`delete` of a stopped container, beside an empty process",
    ),
    (
        "sandbox",
        "`bwrap --unshare-all --ro-bind / / --proc /proc --dev /dev`, as an ordinary user; \
         `default` is `crabcan -- CMD`, which has twice the mounts, a filter and Landlock as well",
    ),
];

fn string(path: &Path) -> Result<String> {
    let text = path.to_str().context("a path that is not UTF-8")?;
    Ok(text.to_owned())
}

/// The commands of one runtime on one bundle.
struct Commands {
    program: String,
    options: Vec<String>,
    state: String,
    bundle: String,
    id: String,
}

impl Commands {
    fn new(world: &World, runtime: &Runtime, bundle: &Path) -> Result<Commands> {
        Ok(Commands {
            program: string(&runtime.program)?,
            options: runtime.options.clone(),
            state: string(&world.state.join(&runtime.name))?,
            bundle: string(bundle)?,
            id: format!("bench-{}", runtime.name),
        })
    }

    fn line(&self, words: &[&str]) -> Line {
        let options = self.options.iter().map(String::as_str);
        let before = [self.program.as_str(), "--root", &self.state];
        let line = before
            .into_iter()
            .chain(options)
            .chain(words.iter().copied());
        Line::new(&line.collect::<Vec<_>>())
    }

    fn with_bundle(&self, command: &str) -> Line {
        self.line(&[command, "--bundle", &self.bundle, &self.id])
    }

    fn on(&self, command: &str) -> Line {
        self.line(&[command, &self.id])
    }
}

/// The containers that a case needs running for as long as it is measured.
pub(super) struct Running {
    commands: Vec<Commands>,
}

impl Running {
    /// One container of each runtime that sleeps; the pid of the first one's process.
    fn start(world: &World) -> Result<Running> {
        let mut running = Running {
            commands: Vec::new(),
        };
        for runtime in &world.runtimes {
            let bundle = world.bundle(&runtime.name, &["pause"], None)?;
            let commands = Commands::new(world, runtime, &bundle)?;
            commands.with_bundle("create").run()?;
            commands.on("start").run()?;
            running.commands.push(commands);
        }
        Ok(running)
    }

    /// Ends and removes them.
    pub(super) fn stop(self) -> Result<()> {
        for commands in self.commands {
            commands.line(&["kill", &commands.id, "KILL"]).run()?;
            reap(1)?;
            commands.on("delete").run()?;
        }
        Ok(())
    }
}

/// The contestants of a case, the floor first, and what runs beside them.
pub(super) fn contestants(
    world: &World,
    case: &str,
) -> Result<Option<(Vec<Contestant>, Option<Running>)>> {
    let contestants = match case {
        "run" => run(world, None)?,
        "run-seccomp" => match bundle::engine_profile()? {
            Some(profile) => {
                world.filter(&profile)?;
                run(world, Some(&profile))?
            }
            None => return Ok(None),
        },
        "run-rootless" => rootless(world)?,
        "create-start-delete" | "create" | "start" | "delete" => life_cycle(world, case)?,
        "exec" | "state" | "list" | "kill" => {
            let running = Running::start(world)?;
            let contestants = on_running(world, case, &running)?;
            return Ok(Some((contestants, Some(running))));
        }
        "sandbox" => sandbox(world)?,
        _ => return Ok(None),
    };
    Ok(Some((contestants, None)))
}

fn floor(world: &World, words: &[&str]) -> Result<Line> {
    let program = string(&world.floor)?;
    Ok(Line::new(&[&[program.as_str()], words].concat()))
}

/// The floor's own cgroup, state and FIFO.
fn floor_paths(world: &World) -> Result<[String; 3]> {
    Ok([
        string(&world.cgroup("floor"))?,
        string(&world.state.join("floor.json"))?,
        string(&world.state.join("floor.fifo"))?,
    ])
}

fn run(world: &World, seccomp: Option<&serde_json::Value>) -> Result<Vec<Contestant>> {
    let [cgroup, state, _] = floor_paths(world)?;
    let root = string(&world.root)?;
    let filter = string(&world.scratch.path().join("filter.bpf"))?;
    let mut words = vec!["run", &root, &cgroup, &state];
    if seccomp.is_some() {
        words.push(&filter);
    }
    let mut all = vec![Contestant::new("floor", vec![floor(world, &words)?])];
    for runtime in &world.runtimes {
        let bundle = world.bundle(&runtime.name, &[], seccomp)?;
        let commands = Commands::new(world, runtime, &bundle)?;
        all.push(Contestant::new(
            &runtime.name,
            vec![commands.with_bundle("run")],
        ));
    }
    Ok(all)
}

fn rootless(world: &World) -> Result<Vec<Contestant>> {
    let mut all = vec![sandbox_floor(world)?];
    // None of them has a cgroup: crabcan stands here once. A static crun looks for its user's name in
    // libraries that it can't load, and ends by SIGSEGV.
    let is_able = |it: &&Runtime| {
        let of_crabcan = it.name.starts_with("crabcan");
        (it.has_cgroups() || !of_crabcan) && !it.name.ends_with("-static")
    };
    for runtime in world.runtimes.iter().filter(is_able) {
        let bundle = world.rootless_bundle(&runtime.name, ORDINARY_ID)?;
        let mut commands = Commands::new(world, runtime, &bundle)?;
        commands.state = string(&world.state_of_user(&runtime.name, ORDINARY_ID)?)?;
        let run = commands.with_bundle("run").user(ORDINARY_ID);
        all.push(Contestant::new(&runtime.name, vec![run]));
    }
    Ok(all)
}

fn life_cycle(world: &World, case: &str) -> Result<Vec<Contestant>> {
    let [cgroup, state, fifo] = floor_paths(world)?;
    let root = string(&world.root)?;
    let lines = [
        floor(world, &["create", &root, &cgroup, &state, &fifo])?,
        floor(world, &["start", &fifo])?,
        floor(world, &["delete", &cgroup, &state, &fifo])?,
    ];
    let mut all = vec![stage("floor", case, lines)];
    for runtime in &world.runtimes {
        let bundle = world.bundle(&runtime.name, &[], None)?;
        let commands = Commands::new(world, runtime, &bundle)?;
        let lines = [
            commands.with_bundle("create"),
            commands.on("start"),
            commands.on("delete"),
        ];
        all.push(stage(&runtime.name, case, lines));
    }
    if case == "delete" {
        all.insert(1, Contestant::new("empty", vec![floor(world, &[])?]));
    }
    Ok(all)
}

/// Which of the three commands are timed.
fn stage(name: &str, case: &str, [create, start, delete]: [Line; 3]) -> Contestant {
    let mut one = Contestant::new(name, Vec::new());
    match case {
        "create" => {
            one.timed = vec![create];
            one.after = vec![start, delete];
            one.orphans_after = 1;
        }
        "start" => {
            one.before = vec![create];
            one.timed = vec![start];
            one.orphans = 1;
            one.after = vec![delete];
        }
        "delete" => {
            one.before = vec![create, start];
            one.orphans_before = 1;
            one.timed = vec![delete];
        }
        _ => {
            one.timed = vec![create, start, delete];
            one.orphans = 1;
        }
    }
    one
}

fn on_running(world: &World, case: &str, running: &Running) -> Result<Vec<Contestant>> {
    let first = world.runtimes.first().context("no runtime to measure")?;
    let group = world.cgroup(&first.name);
    let pids = std::fs::read_to_string(group.join("cgroup.procs"))
        .with_context(|| format!("read the processes of {}", group.display()))?;
    let pid = pids
        .lines()
        .next()
        .context("the container has no process")?;
    let state = string(&world.state.join("floor.json"))?;
    std::fs::write(&state, "{\"id\":\"bench\"}").with_context(|| format!("write {state}"))?;
    let line = match case {
        "exec" => floor(world, &["exec", pid, &string(&group)?])?,
        "state" | "list" => floor(world, &["state", &state])?,
        _ => floor(world, &[])?,
    };
    let mut all = vec![Contestant::new("floor", vec![line])];
    if case != "exec" {
        all.insert(1, Contestant::new("empty", vec![floor(world, &[])?]));
    }
    for (runtime, commands) in world.runtimes.iter().zip(&running.commands) {
        let line = match case {
            "exec" => commands.line(&["exec", &commands.id, "/true"]),
            "state" => commands.on("state"),
            "list" => commands.line(&["list"]),
            _ => commands.line(&["kill", &commands.id, "CONT"]),
        };
        all.push(Contestant::new(&runtime.name, vec![line]));
    }
    Ok(all)
}

fn sandbox_floor(world: &World) -> Result<Contestant> {
    let ids = format!("{ORDINARY_ID} {ORDINARY_ID} 1");
    let line = floor(world, &["sandbox", &ids, PAYLOAD])?.user(ORDINARY_ID);
    Ok(Contestant::new("floor", vec![line]))
}

/// What all are asked for in a sandbox: the floor program does the same.
const BUBBLEWRAP: &str = "--unshare-all --ro-bind / / --proc /proc --dev /dev";

/// As an ordinary user: the same command line for bubblewrap and for crabcan in its place, and
/// crabcan's own sandbox beside them, which hides and filters more.
fn sandbox(world: &World) -> Result<Vec<Contestant>> {
    let line = |before: &[&str]| {
        let words = before.iter().copied().chain(BUBBLEWRAP.split(' '));
        Line::new(&words.chain([PAYLOAD]).collect::<Vec<_>>()).user(ORDINARY_ID)
    };
    let mut all = vec![sandbox_floor(world)?];
    let own = |runtime: &&Runtime| runtime.name.starts_with("crabcan") && runtime.has_cgroups();
    for crabcan in world.runtimes.iter().filter(own) {
        let program = string(&crabcan.program)?;
        let (name, default) = (&crabcan.name, Line::new(&[&program, "--", PAYLOAD]));
        let same = line(&[&program, "bwrap"]);
        all.push(Contestant::new(name, vec![same]));
        let default = default.user(ORDINARY_ID);
        all.push(Contestant::new(&format!("{name} default"), vec![default]));
    }
    for bubblewrap in &world.bubblewraps {
        let line = line(&[&string(&bubblewrap.program)?]);
        let mut one = Contestant::new(&bubblewrap.name, vec![line]);
        // It ends without waiting for the first process of the sandbox.
        one.orphans = 1;
        all.push(one);
    }
    Ok(all)
}
