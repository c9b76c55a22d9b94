//! The half of `test-vm` that runs in the virtual machine.
//!
//! There is no cargo: what it would say is written down before, with what is to be run.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use super::Boot;
use crate::cargo::Artifact;
use crate::parts::Parts;
use crate::scratch::ORDINARY_ID;
use crate::test::{self, Built, Extent, NO_TEST, Privilege};

/// The task's name. It is not meant for people.
pub(crate) const GUEST: &str = "vm-guest";

/// A part of the tests that the machine runs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Suite {
    /// The ignored tests of the targets with this prefix, by root.
    Ignored(String),
    /// The ordinary tests by root and by an ordinary user: those in one crate's `tests`, or all.
    Ordinary(Option<String>),
}

/// What is to be run.
#[derive(Debug)]
pub(super) struct Job {
    suites: Vec<Suite>,
    built: Built,
    filters: Vec<String>,
}

/// The crate whose ordinary tests are worth the time even where little is run: what it does
/// depends on the layout of the cgroups, which is another one in the machine.
const CGROUPS: &str = "cgroups";

/// Test programs that have nothing to do with cgroups, and are run on the machine itself as well: in
/// the virtual machine only by name or where all is run, for want of time.
const ONLY_FULL: [&str; 7] = [
    "root_host_mounts",
    "root_join",
    "root_mounts",
    "root_netdevices",
    "root_places",
    "root_process",
    "root_subordinate",
];

impl Job {
    pub(super) fn new(boot: Boot, built: &Built, full: bool, filters: &[String]) -> Job {
        let ignored = |prefix: &str| Suite::Ignored(prefix.to_owned());
        let mut suites = match boot {
            Boot::Plain => vec![ignored("vm"), ignored("root")],
            // What does not concern systemd has been run by the other boot.
            Boot::Systemd if !full => vec![ignored("systemd")],
            Boot::Systemd => vec![ignored("systemd"), ignored("vm"), ignored("root")],
        };
        match (full, boot) {
            (true, _) => suites.push(Suite::Ordinary(None)),
            (false, Boot::Plain) => suites.push(Suite::Ordinary(Some(CGROUPS.to_owned()))),
            (false, Boot::Systemd) => {}
        }
        let mut built = built.clone();
        if !full && filters.is_empty() {
            let is_quick = |test: &Artifact| !ONLY_FULL.contains(&test.target.as_str());
            built.tests.retain(is_quick);
        }
        Job {
            suites,
            built,
            filters: filters.to_vec(),
        }
    }

    /// One thing a line, its parts divided by tabs.
    pub(super) fn to_text(&self) -> Result<String> {
        let mut lines = vec![vec!["crabcan".to_owned(), text(&self.built.crabcan)?]];
        for suite in &self.suites {
            lines.push(match suite {
                Suite::Ignored(prefix) => vec!["ignored".to_owned(), prefix.clone()],
                Suite::Ordinary(Some(name)) => vec!["ordinary".to_owned(), name.clone()],
                Suite::Ordinary(None) => vec!["ordinary".to_owned()],
            });
        }
        for test in &self.built.tests {
            lines.push(vec![
                "test".to_owned(),
                test.target.clone(),
                text(&test.source)?,
                text(&test.package)?,
                text(&test.program)?,
            ]);
        }
        let filters = self.filters.iter();
        lines.extend(filters.map(|word| vec!["filter".to_owned(), word.clone()]));
        let mut all = String::new();
        for line in lines {
            let fits = line.iter().all(|part| !part.contains(['\t', '\n']));
            ensure!(fits, "{line:?} has a tab or a newline");
            all.push_str(&line.join("\t"));
            all.push('\n');
        }
        Ok(all)
    }

    fn from_text(text: &str) -> Result<Job> {
        let mut crabcan = None;
        let (mut suites, mut tests, mut filters) = (Vec::new(), Vec::new(), Vec::new());
        for line in text.lines() {
            let parts: Vec<&str> = line.split('\t').collect();
            match parts[..] {
                ["crabcan", path] => crabcan = Some(PathBuf::from(path)),
                ["ignored", prefix] => suites.push(Suite::Ignored(prefix.to_owned())),
                ["ordinary"] => suites.push(Suite::Ordinary(None)),
                ["ordinary", name] => suites.push(Suite::Ordinary(Some(name.to_owned()))),
                ["filter", word] => filters.push(word.to_owned()),
                ["test", target, source, package, program] => tests.push(Artifact {
                    target: target.to_owned(),
                    source: source.into(),
                    package: package.into(),
                    program: program.into(),
                    test: true,
                }),
                _ => bail!("`{line}` is no line of a job"),
            }
        }
        let crabcan = crabcan.context("a job without crabcan")?;
        Ok(Job {
            suites,
            built: Built { crabcan, tests },
            filters,
        })
    }

    fn run(&self, suite: &Suite) -> Result<u32> {
        let built = &self.built;
        match suite {
            Suite::Ignored(prefix) => {
                test::ignored(built, prefix, Extent::Quick, &self.filters, Privilege::Root)
            }
            Suite::Ordinary(name) => {
                let mut built = built.clone();
                let wanted = |test: &Artifact| name.as_ref().is_none_or(|name| is_of(test, name));
                built.tests.retain(wanted);
                // Root's from copies too: those are on the disk, and what root's containers are
                // given of the host must be on a file system that can be id-mapped.
                let root = test::from_copies(&built, &self.filters, 0)?;
                Ok(root + test::from_copies(&built, &self.filters, ORDINARY_ID)?)
            }
        }
    }

    /// Whether there is a program for it at all.
    fn has(&self, suite: &Suite) -> bool {
        self.built.tests.iter().any(|test| match suite {
            Suite::Ignored(prefix) => test.is_suite(prefix),
            Suite::Ordinary(Some(name)) => is_of(test, name),
            Suite::Ordinary(None) => true,
        })
    }
}

impl Suite {
    fn name(&self) -> String {
        match self {
            Suite::Ignored(prefix) => format!("tests/{prefix}*.rs in the virtual machine"),
            Suite::Ordinary(None) => "ordinary tests in the virtual machine".to_owned(),
            Suite::Ordinary(Some(name)) => {
                format!("ordinary tests of {name} in the virtual machine")
            }
        }
    }
}

/// The task, with the path of a job.
pub(crate) fn guest(args: &[String]) -> Result<()> {
    let [path] = args else {
        bail!("{GUEST} takes the path of a job");
    };
    let job = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    let job = Job::from_text(&job)?;
    let mut parts = Parts::new(GUEST);
    for suite in job.suites.iter().filter(|suite| job.has(suite)) {
        parts.run(&suite.name(), || {
            let passed = job.run(suite)?;
            // A name given by hand may belong to one of the suites only.
            ensure!(passed > 0 || !job.filters.is_empty(), NO_TEST);
            Ok(())
        });
    }
    parts.finish()
}

/// Whether it is in a crate's `tests`. Unit tests say the same on every kernel.
fn is_of(test: &Artifact, name: &str) -> bool {
    test.package.ends_with(name) && test.is_suite("")
}

fn text(path: &std::path::Path) -> Result<String> {
    let text = path.to_str().context("a path that is not UTF-8")?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn built() -> Built {
        Built {
            crabcan: "/w/crabcan".into(),
            tests: vec![Artifact {
                target: "root".into(),
                source: "/w/crates/cgroups/tests/root.rs".into(),
                package: "/w/crates/cgroups".into(),
                program: "/w/target/root 1".into(),
                test: true,
            }],
        }
    }

    #[test]
    fn a_job_is_read_as_it_was_written() {
        for (boot, full) in [
            (Boot::Plain, false),
            (Boot::Plain, true),
            (Boot::Systemd, false),
        ] {
            let job = Job::new(boot, &built(), full, &["pivot".to_owned()]);
            let read = Job::from_text(&job.to_text().unwrap()).unwrap();
            assert_eq!(read.suites, job.suites);
            assert_eq!(read.built.crabcan, job.built.crabcan);
            assert_eq!(read.built.tests, job.built.tests);
            assert_eq!(read.filters, job.filters);
        }
    }

    #[test]
    fn a_suite_without_a_program_is_not_run() {
        let job = Job::new(Boot::Plain, &built(), false, &[]);
        let has = |prefix: &str| job.has(&Suite::Ignored(prefix.to_owned()));
        assert!(has("root"));
        assert!(!has("vm"));
        assert!(job.has(&Suite::Ordinary(Some(CGROUPS.to_owned()))));
        assert!(!job.has(&Suite::Ordinary(Some("ns".to_owned()))));
    }

    #[test]
    fn what_takes_long_is_run_by_name_or_with_all() {
        let mut built = built();
        built.tests[0].target = "root_mounts".into();
        let has = |full, filters: &[String]| {
            let job = Job::new(Boot::Plain, &built, full, filters);
            job.has(&Suite::Ignored("root".to_owned()))
        };
        assert!(!has(false, &[]));
        assert!(has(true, &[]) && has(false, &["links".to_owned()]));
    }

    #[test]
    fn a_damaged_job_is_refused() {
        assert!(Job::from_text("crabcan\n").is_err());
        assert!(Job::from_text("ignored\troot\n").is_err());
        let mut built = built();
        built.tests[0].target = "a\tb".to_owned();
        assert!(Job::new(Boot::Plain, &built, false, &[]).to_text().is_err());
    }
}
