//! Many containers: at once, and one beside many that run.

use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};

use super::sample::{Line, Sample, Series, measure, reap};
use super::world::World;

/// Runs of each worker at a turn.
const EACH: usize = 20;
/// Turns of each program: a burst of a quarter of a second tells of the moment, not of the program.
const TURNS: usize = 9;

/// Containers a second of one program, with so many workers.
#[derive(Debug)]
pub(super) struct Rate {
    pub(super) name: String,
    pub(super) workers: usize,
    pub(super) a_second: f64,
}

/// Each program's rate with 1, 2, 4 and 8 workers: the median of its turns.
pub(super) fn at_once(world: &World) -> Result<Vec<Rate>> {
    let mut rates = Vec::new();
    for workers in [1, 2, 4, 8] {
        let programs = names(world).into_iter().map(|name| {
            let lines = (0..workers).map(|worker| run_line(world, &name, worker));
            Ok((name.clone(), lines.collect::<Result<Vec<_>>>()?, Vec::new()))
        });
        let mut programs: Vec<(String, Vec<Line>, Vec<f64>)> = programs.collect::<Result<_>>()?;
        for _ in 0..TURNS {
            for (_, lines, turns) in &mut programs {
                turns.push(turn(lines)?);
            }
        }
        rates.extend(programs.into_iter().map(|(name, _, mut turns)| {
            turns.sort_unstable_by(f64::total_cmp);
            Rate {
                name,
                workers,
                a_second: turns.get(TURNS / 2).copied().unwrap_or_default(),
            }
        }));
    }
    Ok(rates)
}

/// Containers a second while each line is run by a worker of its own, again and again.
fn turn(lines: &[Line]) -> Result<f64> {
    let start = Instant::now();
    thread::scope(|scope| {
        let workers: Vec<_> = lines
            .iter()
            .map(|line| scope.spawn(|| (0..EACH).try_for_each(|_| line.run())))
            .collect();
        workers.into_iter().try_for_each(|worker| {
            let ended = worker.join();
            ended.map_err(|_| anyhow!("a worker has panicked"))?
        })
    })?;
    Ok((lines.len() * EACH) as f64 / start.elapsed().as_secs_f64())
}

fn names(world: &World) -> Vec<String> {
    let runtimes = world.runtimes.iter().map(|runtime| runtime.name.clone());
    std::iter::once("floor".to_owned())
        .chain(runtimes)
        .collect()
}

/// The line that runs one container of a program; `worker` makes its names unique.
fn run_line(world: &World, name: &str, worker: usize) -> Result<Line> {
    let own = format!("{name}-{worker}");
    let text = |path: PathBuf| path.display().to_string();
    let Some(runtime) = world.runtimes.iter().find(|runtime| runtime.name == name) else {
        let state = text(world.state.join(format!("{own}.json")));
        let words = [
            text(world.floor.clone()),
            text(world.root.clone()),
            text(world.cgroup(&own)),
        ];
        return Ok(Line::new(&[&words[0], "run", &words[1], &words[2], &state]));
    };
    let bundle = text(world.bundle(&own, &[], None)?);
    let (program, state) = (text(runtime.program.clone()), text(world.state.join(name)));
    let options = runtime.options.iter().map(String::as_str);
    let line = [program.as_str(), "--root", &state].into_iter();
    let line = line
        .chain(options)
        .chain(["run", "--bundle", &bundle, &own]);
    Ok(Line::new(&line.collect::<Vec<_>>()))
}

/// One run of crabcan with so many containers running.
#[derive(Debug)]
pub(super) struct Beside {
    pub(super) running: usize,
    pub(super) series: Series,
}

/// A run, and `list`, with 0, 200 and 1000 containers of crabcan running.
pub(super) fn beside_running(world: &World, rounds: usize) -> Result<Vec<Beside>> {
    let crabcan = world.runtimes.first().context("no runtime to measure")?;
    let (program, state) = (
        crabcan.program.display().to_string(),
        world.state.join(&crabcan.name),
    );
    let state = state.display().to_string();
    let on = |words: &[&str]| Line::new(&[&[program.as_str(), "--root", &state], words].concat());
    let run = run_line(world, &crabcan.name, 0)?;
    let mut ids: Vec<String> = Vec::new();
    let mut all = Vec::new();
    let outcome = [0usize, 200, 1000]
        .into_iter()
        .try_for_each(|count| -> Result<()> {
            while ids.len() < count {
                let id = format!("live-{}", ids.len());
                let bundle = world.bundle(&id, &["pause"], None)?.display().to_string();
                on(&["create", "--bundle", &bundle, &id]).run()?;
                ids.push(id.clone());
                on(&["start", &id]).run()?;
            }
            for (name, line) in [("run", run.clone()), ("list", on(&["list", "--quiet"]))] {
                let samples: Result<Vec<Sample>> = (0..rounds)
                    .map(|_| measure(std::slice::from_ref(&line), 0))
                    .collect();
                let series = Series {
                    name: name.into(),
                    samples: samples?,
                };
                all.push(Beside {
                    running: count,
                    series,
                });
            }
            Ok(())
        });
    for id in &ids {
        // It waits for the end of this one, whichever orphan is reaped first.
        on(&["delete", "--force", id]).run()?;
        reap(1)?;
    }
    outcome.map(|()| all)
}
