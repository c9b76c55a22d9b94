//! Many binds in one sandbox.

use std::path::Path;

use anyhow::Result;

use super::sample::{Line, Sample, Series, measure};
use super::world::{PAYLOAD, World};
use crate::scratch::ORDINARY_ID;

/// How many there are, each on a place that has to be made.
pub(super) const COUNT: usize = 2000;

/// The same command line for crabcan and for bubblewrap, which is measured once: its time grows with
/// the square of their number.
pub(super) fn many(world: &World) -> Result<Vec<Series>> {
    let own = world.runtimes.iter().find(|one| one.name == "crabcan");
    let own = own.map(|crabcan| (vec![text(&crabcan.program), "bwrap".to_owned()], 10));
    let contestants = own.into_iter().chain([(vec!["bwrap".to_owned()], 1)]);
    contestants
        .map(|(mut words, rounds)| {
            let name = if words.len() > 1 { "crabcan" } else { "bwrap" }.to_owned();
            let frame = "--unshare-all --ro-bind / / --proc /proc --dev /dev --tmpfs /tmp";
            words.extend(frame.split(' ').map(str::to_owned));
            for index in 0..COUNT {
                let place = format!("/tmp/{index}");
                words.extend(["--ro-bind", "/usr/bin", &place].map(str::to_owned));
            }
            words.push(PAYLOAD.to_owned());
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let line = Line::new(&words).user(ORDINARY_ID);
            let samples: Result<Vec<Sample>> = (0..rounds)
                .map(|_| measure(std::slice::from_ref(&line), 0))
                .collect();
            Ok(Series {
                name,
                samples: samples?,
            })
        })
        .collect()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
