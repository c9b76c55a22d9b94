//! Beside libseccomp: the engines' profiles must come to the same answers, and names to the same
//! numbers.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it compared"
)]

mod interpreter;
mod libseccomp;

use crabcan_seccomp::json::{EngineProfile, Target};
use crabcan_seccomp::{Architecture, syscalls};
use libseccomp::Library;
use libseccomp::beside::{MACHINES, Theirs, UNKNOWN, compare, library, same, token};
use libseccomp::files::{lines_of, profiles};

#[test]
#[ignore = "needs packages: libseccomp2, golang-github-containers-common, golang-github-docker-docker-dev"]
fn the_engines_profiles() {
    let Some(library) = library() else { return };
    for (name, text) in profiles() {
        println!("{name}");
        for machine in MACHINES {
            for capabilities in [&[][..], &["CAP_SYS_ADMIN", "CAP_SYS_PTRACE"]] {
                engines_profile(&library, &text, machine, capabilities);
            }
        }
    }
}

/// Compares what a profile comes to on a machine.
fn engines_profile(
    library: &Library,
    text: &[u8],
    (machine, architectures): (&str, &[Architecture]),
    capabilities: &[&str],
) {
    let (default, lines) = lines_of(text, machine, capabilities);
    let target = Target {
        architecture: architectures[0],
        capabilities: capabilities.iter().map(|&word| word.to_owned()).collect(),
        kernel: (6, 18),
    };
    let resolved = EngineProfile::from_json(text).unwrap().resolve(&target);
    // The library itself knows nothing of calls that are newer than a profile.
    let profile = resolved.unwrap().profile.enosys_for_newer(false);
    let ours = profile.compile().unwrap().instructions().to_vec();
    for level in [1, 2] {
        let theirs = Theirs::of(library, default, architectures, &lines, level);
        let pair = (&*ours, &theirs);
        let compared = compare(library, pair, architectures, &lines, same);
        let (length, their) = (ours.len(), theirs.program.len());
        println!("  {machine}: {compared} calls, {length} instructions, there {their}");
        assert!(compared > 600, "{compared}");
    }
}

/// Numbers are the same where both know a call.
#[test]
#[ignore = "needs packages: libseccomp2"]
fn the_tables() {
    let Some(library) = library() else { return };
    for architecture in Architecture::all() {
        let mut same = 0;
        for (name, number) in syscalls::all(architecture) {
            if let Some(theirs) = library.number(token(architecture), name) {
                assert_eq!(number, theirs, "{architecture} {name}");
                same += 1;
            }
        }
        println!("{architecture}: {same} numbers are the same");
        assert!(same > 300 || UNKNOWN.contains(&architecture), "{same}");
    }
}

/// The comparison leaves nobody out without a reason.
#[test]
#[ignore = "needs packages: libseccomp2"]
fn every_architecture_is_compared() {
    let Some(library) = library() else { return };
    for architecture in Architecture::all() {
        let compared = MACHINES.iter().any(|(_, all)| all.contains(&architecture));
        let known = library.number(token(architecture), "read").is_some();
        assert!(known || !compared, "{architecture}");
        assert_eq!(compared, !UNKNOWN.contains(&architecture), "{architecture}");
    }
}
