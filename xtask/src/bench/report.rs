//! The results: on the terminal, and as `docs/performance.md` with a plot.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use super::binds;
use super::memory::Memory;
use super::sample::Series;
use super::throughput::{Beside, Rate};
use super::world::World;
use crate::cargo;

/// Those that crabcan is compared with, beside the floor: one of them is in each case.
const PEERS: [&str; 2] = ["crun", "bwrap"];

/// What has been measured so far.
#[derive(Debug)]
pub(super) struct Report {
    head: String,
    body: String,
    /// For the plot: a case, and of each program its wall time against the floor's.
    bars: Vec<(String, Vec<(String, f64)>)>,
}

/// What the processor calls itself: what the kernel's work costs beside a program's is its.
fn processor() -> Result<String> {
    let text = fs::read_to_string("/proc/cpuinfo").context("the processor")?;
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let name = name.unwrap_or("an unknown processor");
    Ok(name.trim_start_matches([' ', '\t', ':']).to_owned())
}

impl Report {
    pub(super) fn new(world: &World, rounds: usize, spaced: bool) -> Result<Report> {
        let mut head = String::new();
        let uname = fs::read_to_string("/proc/sys/kernel/osrelease").context("the kernel")?;
        let cores = std::thread::available_parallelism().context("the number of cores")?;
        let pause = if spaced {
            "100 ms apart"
        } else {
            "one after the other"
        };
        writeln!(
            head,
            "Linux {}, {cores} cores of {}, {rounds} rounds, {pause}.",
            uname.trim(),
            processor()?
        )?;
        for runtime in world.runtimes.iter().chain(&world.bubblewraps) {
            let output = Command::new(&runtime.program).arg("--version").output();
            let output = output.with_context(|| format!("run {}", runtime.program.display()))?;
            let text = String::from_utf8_lossy(&output.stdout);
            writeln!(
                head,
                "{}: {}.",
                runtime.name,
                text.lines().next().unwrap_or("?")
            )?;
        }
        print!("{head}");
        Ok(Report {
            head,
            body: String::new(),
            bars: Vec::new(),
        })
    }

    /// Adds a table, on the terminal as well.
    fn add(&mut self, title: &str, table: &str) {
        println!("\n{title}\n{table}");
        // A string takes everything.
        let _ = write!(self.body, "\n### {title}\n\n{table}");
    }

    pub(super) fn left_out(&mut self, case: &str, reason: &str) {
        self.add(case, &format!("Not measured: {reason}.\n"));
    }

    pub(super) fn case(&mut self, case: &str, words: &str, series: &[Series]) {
        let Some(floor) = series.first() else { return };
        let peer = series.iter().find(|one| PEERS.contains(&one.name.as_str()));
        let peer_name = peer.map_or("–", |peer| &peer.name);
        let mut table = format!(
            "| | wall ms | 10th | CPU ms | 10th | wall : floor | CPU : floor | 10th CPU : floor | wall : {peer_name} | CPU : {peer_name} |\n\
             |---|---|---|---|---|---|---|---|---|---|\n",
        );
        let mut bars = Vec::new();
        for one in series {
            let low = one.percentile(10, |sample| sample.wall);
            let low_cpu = |one: &Series| one.percentile(10, |sample| sample.cpu);
            let (quiet, quiet_ratio) = (low_cpu(one), low_cpu(one) / low_cpu(floor));
            let against = |other: &Series| (one.wall() / other.wall(), one.cpu() / other.cpu());
            let (wall, cpu) = against(floor);
            let peer = peer.map(against).map_or_else(
                || "– | –".to_owned(),
                |(wall, cpu)| format!("{wall:.2} | {cpu:.2}"),
            );
            let _ = writeln!(
                table,
                "| {} | {:.3} | {low:.3} | {:.3} | {quiet:.3} | {wall:.2} | {cpu:.2} | {quiet_ratio:.2} | {peer} |",
                one.name,
                one.wall(),
                one.cpu(),
            );
            bars.push((one.name.clone(), wall));
        }
        self.add(&format!("{case}: {words}"), &table);
        self.bars.push((case.to_owned(), bars));
    }

    pub(super) fn binds(&mut self, all: &[Series]) {
        let mut table = String::from("| | wall ms | CPU ms |\n|---|---|---|\n");
        for one in all {
            let (wall, cpu) = (one.wall(), one.cpu());
            let _ = writeln!(table, "| {} | {wall:.1} | {cpu:.1} |", one.name);
        }
        self.add(
            &format!("binds: {} `--ro-bind` in one sandbox", binds::COUNT),
            &table,
        );
    }

    pub(super) fn throughput(&mut self, rates: &[Rate]) {
        let mut table =
            String::from("| containers a second | workers | rate | : floor |\n|---|---|---|---|\n");
        for rate in rates {
            let floor = rates
                .iter()
                .find(|one| one.name == "floor" && one.workers == rate.workers)
                .map_or(f64::NAN, |one| one.a_second);
            let ratio = rate.a_second / floor;
            let _ = writeln!(
                table,
                "| {} | {} | {:.0} | {ratio:.2} |",
                rate.name, rate.workers, rate.a_second
            );
        }
        self.add(
            "throughput: many at once (the median of nine turns)",
            &table,
        );
    }

    pub(super) fn live(&mut self, all: &[Beside]) {
        let mut table =
            String::from("| crabcan | running | wall ms | CPU ms |\n|---|---|---|---|\n");
        for one in all {
            let (wall, cpu) = (one.series.wall(), one.series.cpu());
            let _ = writeln!(
                table,
                "| {} | {} | {wall:.3} | {cpu:.3} |",
                one.series.name, one.running
            );
        }
        self.add("live: one more beside many that run", &table);
    }

    pub(super) fn memory(&mut self, all: &[Memory]) {
        let mut table = String::from(
            "| KiB | peak of `run` | private of a waiting init | program |\n|---|---|---|---|\n",
        );
        for one in all {
            let waiting = one
                .waiting
                .map_or_else(|| "–".to_owned(), |kib| kib.to_string());
            let _ = writeln!(
                table,
                "| {} | {} | {waiting} | {} |",
                one.name, one.peak, one.program
            );
        }
        self.add("memory", &table);
    }

    /// Puts the tables between the marks of `docs/performance.md`, and the plot beside it.
    pub(super) fn write(&self) -> Result<()> {
        const BEGIN: &str = "<!-- measured: cargo xtask bench --write -->\n";
        const END: &str = "<!-- end of what was measured -->";
        let docs = cargo::workspace()?.join("docs");
        let page = docs.join("performance.md");
        let text = fs::read_to_string(&page).with_context(|| format!("read {}", page.display()))?;
        let (before, rest) = text
            .split_once(BEGIN)
            .context("docs/performance.md lacks its marks")?;
        let (_, after) = rest
            .split_once(END)
            .context("docs/performance.md lacks its marks")?;
        let head = self.head.replace('\n', " ");
        let text = format!(
            "{before}{BEGIN}\n{}\n{}\n{END}{after}",
            head.trim(),
            self.body
        );
        fs::write(&page, text).with_context(|| format!("write {}", page.display()))?;
        let plot = docs.join("performance.svg");
        fs::write(&plot, self.plot()).with_context(|| format!("write {}", plot.display()))
    }

    /// Bars of the wall time against the floor's, a group for each case.
    fn plot(&self) -> String {
        const BAR: usize = 16;
        const SCALE: f64 = 30.0;
        let color = |name: &str| match name {
            "crabcan" => "#d9480f",
            "floor" => "#868e96",
            _ => "#4dabf7",
        };
        let rows: usize = self.bars.iter().map(|(_, bars)| bars.len() + 2).sum();
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"860\" height=\"{}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" \
             fill=\"white\"/>\n",
            rows * BAR + 20
        );
        let mut y = 20;
        for (case, bars) in &self.bars {
            let _ = writeln!(
                svg,
                "<text x=\"10\" y=\"{y}\" font-weight=\"bold\">{case}</text>"
            );
            for (name, ratio) in bars {
                y += BAR;
                let width = (ratio * SCALE).min(680.0);
                let _ = writeln!(
                    svg,
                    "<text x=\"20\" y=\"{y}\">{name}</text><rect x=\"90\" y=\"{}\" \
                     width=\"{width:.0}\" height=\"12\" fill=\"{}\"/><text x=\"{:.0}\" \
                     y=\"{y}\">{ratio:.2}</text>",
                    y - 10,
                    color(name),
                    width + 95.0
                );
            }
            y += 2 * BAR;
        }
        svg + "</svg>\n"
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::Sample;
    use super::*;

    #[test]
    fn ratios_are_of_medians_against_the_floor_and_crun() {
        let series = |name: &str, wall| Series {
            name: name.into(),
            samples: vec![Sample { wall, cpu: wall }],
        };
        let mut report = Report {
            head: String::new(),
            body: String::new(),
            bars: Vec::new(),
        };
        let all = [
            series("floor", 2000),
            series("crabcan", 2500),
            series("crun", 10_000),
        ];
        report.case("run", "a run", &all);
        let line = "| crabcan | 2.500 | 2.500 | 2.500 | 2.500 | 1.25 | 1.25 | 1.25 | 0.25 | 0.25 |";
        assert!(report.body.contains(line), "{}", report.body);
        assert!(report.plot().contains("1.25"));
    }
}
