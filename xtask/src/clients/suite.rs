//! Running the scenarios of the clients, one after the other, and judging each.

use std::fmt::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::client::Client;
use super::leaks::{self, Snapshot};
use super::machine::Machine;
use super::shell::{self, LIMIT_S, User};
use super::transcript::{self, Condition, Scenario};

/// What to run.
#[derive(Debug)]
pub(crate) struct Selection {
    /// Also what is marked `@ full`.
    pub(crate) full: bool,
    /// Words; a scenario is run if `CLIENT: NAME` has one of them, or if there are none.
    pub(crate) words: Vec<String>,
}

/// How many scenarios ended how.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) skipped: u32,
    /// What was printed of those that failed.
    pub(crate) failures: String,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally {
            passed,
            failed,
            skipped,
            failures: _,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

impl Scenario {
    fn is_for(&self, user: User) -> bool {
        let only = self.conditions.contains(&Condition::OnlyRootless);
        match user {
            User::Root => !only,
            User::Ordinary => only || self.conditions.contains(&Condition::AlsoRootless),
        }
    }
}

impl Selection {
    fn has(&self, title: &str) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| title.contains(word))
    }
}

/// Runs the selected scenarios of one client.
pub(crate) fn run(
    machine: &Machine,
    client: &Client,
    selection: &Selection,
    tally: &mut Tally,
) -> Result<()> {
    let scenarios = transcript::parse(client.scenarios)
        .with_context(|| format!("the scenarios of {}", client.name))?;
    let mut ready = false;
    for scenario in scenarios {
        let title = format!("{}: {}", client.name, scenario.name);
        if !selection.has(&title) || !scenario.is_for(client.user) {
            continue;
        }
        if let Some(reason) = obstacle(machine, client.user, &scenario, selection.full) {
            println!("skipped  {title}: {reason}");
            tally.skipped += 1;
            continue;
        }
        if !ready {
            prepare(machine, client)?;
            ready = true;
        }
        let start = Instant::now();
        let faults = judge(machine, client, &scenario)?;
        let seconds = start.elapsed().as_secs_f32();
        if faults.is_empty() {
            println!("ok       {title} ({seconds:.1} s)");
            tally.passed += 1;
        } else {
            let failure = format!("FAILED   {title} ({seconds:.1} s)\n{faults}");
            println!("{failure}");
            writeln!(tally.failures, "{failure}")?;
            tally.failed += 1;
        }
    }
    Ok(())
}

/// Makes the image known to a client.
pub(crate) fn prepare(machine: &Machine, client: &Client) -> Result<()> {
    let answer = shell::run(machine, client.user, client.prepare, LIMIT_S)?;
    // A runtime that fails the first run fails the scenarios too, where it is told better.
    if answer.status != 0 {
        println!("preparing {} failed [{}]:", client.name, answer.status);
        println!("{}", indented(&answer.output));
    }
    Ok(())
}

/// Why a scenario is not run, if so.
fn obstacle(machine: &Machine, user: User, scenario: &Scenario, full: bool) -> Option<String> {
    scenario
        .conditions
        .iter()
        .find_map(|condition| match condition {
            Condition::Full if !full => Some("only with --full".to_owned()),
            Condition::Needs(fact) => fact.lacking(machine, user).map(str::to_owned),
            Condition::Not { runtime, reason } if *runtime == machine.name => Some(reason.clone()),
            _ => None,
        })
}

/// Runs a scenario to its end or its first wrong answer; what is wrong with it, or nothing.
fn judge(machine: &Machine, client: &Client, scenario: &Scenario) -> Result<String> {
    let before = Snapshot::take()?;
    let start = Instant::now();
    let limit_s = scenario
        .conditions
        .iter()
        .find_map(|condition| match condition {
            Condition::Takes(seconds) => Some(*seconds),
            _ => None,
        });
    let mut faults = String::new();
    for step in &scenario.steps {
        let limit_s = limit_s.unwrap_or(LIMIT_S);
        let answer = shell::run(machine, client.user, &step.command, limit_s)?;
        let lines: Vec<_> = answer.output.lines().map(str::trim_end).collect();
        if answer.status == step.status && transcript::matches(&step.output, &lines) {
            continue;
        }
        writeln!(faults, "    $ {}", step.command.replace('\n', "\n    > "))?;
        writeln!(faults, "  expected [{}]:", step.status)?;
        writeln!(faults, "{}", indented(&step.output.join("\n")))?;
        writeln!(faults, "  answered [{}]:", answer.status)?;
        writeln!(faults, "{}", indented(&answer.output))?;
        break;
    }
    if !faults.is_empty() {
        // What it would have removed itself is no leak.
        shell::run(machine, client.user, client.clear, LIMIT_S)?;
    }
    let allowed = |left: &String| {
        scenario.conditions.iter().any(|condition| {
            matches!(condition, Condition::Leaves(line) if transcript::line_matches(line, left))
        })
    };
    for left in before.left_since(start.elapsed(), allowed)? {
        writeln!(faults, "  left: {left}")?;
        if let Some(pid) = leaks::process_of(&left) {
            // It may have ended meanwhile.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(faults)
}

fn indented(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(|line| format!("    {line}")).collect();
    lines.join("\n")
}
