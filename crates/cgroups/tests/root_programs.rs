//! What needs root: device programs of others on a cgroup of v2, which stay, whatever is done with
//! ours.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    unsafe_code,
    reason = "a test fails by panicking; nobody but bpf(2) attaches a program"
)]

#[allow(dead_code, reason = "each test program uses its own part of this")]
mod below;

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use below::{Below, Shell, lacks, resources};
use crabcan_cgroups::{Cgroup, DeviceProgram, DeviceRule, Error, Hierarchy, Resources};

const SHORT: Duration = Duration::from_secs(10);

const LOAD: i32 = 5;
const ATTACH: i32 = 8;
const DETACH: i32 = 9;
const QUERY: i32 = 16;
/// `BPF_PROG_TYPE_CGROUP_DEVICE`, and where such a program is attached.
const TYPE: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
/// Who else attaches a program: beside it, or in no case.
const MULTI: u32 = 2;
const ALONE: u32 = 0;

/// bpf(2) with attributes as words of 32 bits.
fn bpf(command: i32, attributes: &mut [u32; 32]) -> io::Result<i32> {
    // SAFETY: the attributes are as long as is said, and hold addresses of what outlives the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of_val(attributes),
        )
    };
    match i32::try_from(answer).unwrap() {
        -1 => Err(io::Error::last_os_error()),
        answer => Ok(answer),
    }
}

fn number(descriptor: &impl AsRawFd) -> u32 {
    descriptor.as_raw_fd().cast_unsigned()
}

fn put_address<T: ?Sized>(attributes: &mut [u32; 32], at: usize, value: &T) {
    let address = std::ptr::from_ref(value)
        .cast::<u8>()
        .expose_provenance()
        .to_ne_bytes();
    for (half, bytes) in address.chunks(4).enumerate() {
        attributes[at + half] = u32::from_ne_bytes(bytes.try_into().unwrap());
    }
}

/// A program that has no name, as one of systemd's, and refuses every device but `/dev/null`.
struct Foreign {
    cgroup: File,
    program: OwnedFd,
}

impl Foreign {
    fn attach(directory: &Path, flags: u32) -> Self {
        let program = DeviceProgram::new(&only_null());
        let instructions = program.instructions();
        let mut attributes = [0; 32];
        attributes[0] = TYPE;
        attributes[1] = u32::try_from(instructions.len()).unwrap();
        put_address(&mut attributes, 2, instructions);
        put_address(&mut attributes, 4, c"GPL".to_bytes_with_nul());
        let loaded = bpf(LOAD, &mut attributes).unwrap();
        // SAFETY: the kernel has just opened it for nobody else.
        let program = unsafe { OwnedFd::from_raw_fd(loaded) };
        let cgroup = File::open(directory).unwrap();
        let mut attributes = [0; 32];
        attributes[..4].copy_from_slice(&[number(&cgroup), number(&program), CGROUP_DEVICE, flags]);
        bpf(ATTACH, &mut attributes).unwrap();
        Self { cgroup, program }
    }

    /// How many programs its cgroup has.
    fn programs(&self) -> usize {
        self.ids().len()
    }

    fn ids(&self) -> Vec<u32> {
        // The kernel writes them.
        let ids = [const { AtomicU32::new(0) }; 64];
        let mut attributes = [0; 32];
        attributes[..2].copy_from_slice(&[number(&self.cgroup), CGROUP_DEVICE]);
        put_address(&mut attributes, 4, &ids);
        attributes[6] = 64;
        bpf(QUERY, &mut attributes).unwrap();
        let count = usize::try_from(attributes[6]).unwrap();
        let ids = ids.into_iter().map(AtomicU32::into_inner);
        ids.take(count).collect()
    }

    /// It must still be there for this.
    fn detach(&self) {
        let mut attributes = [0; 32];
        attributes[..3].copy_from_slice(&[
            number(&self.cgroup),
            number(&self.program),
            CGROUP_DEVICE,
        ]);
        bpf(DETACH, &mut attributes).unwrap();
    }
}

fn only_null() -> [DeviceRule; 2] {
    let refused = DeviceRule::all(false);
    let null = DeviceRule {
        major: Some(1),
        minor: Some(3),
        kind: crabcan_cgroups::DeviceKind::Char,
        ..DeviceRule::all(true)
    };
    [refused, null]
}

/// A cgroup in the tree of v2, on hybrid hosts too.
fn cgroup(below: &Below) -> Option<(Cgroup, std::path::PathBuf)> {
    let hierarchy = below
        .unified_only()
        .unwrap_or_else(|| below.hierarchy().clone());
    if !matches!(hierarchy, Hierarchy::Unified(_)) {
        lacks("cgroup v2");
        return None;
    }
    let cgroup = below.cgroup_in(&hierarchy, &devices(true)).unwrap();
    let directory = hierarchy.directories(cgroup.place()).unwrap().remove(0);
    Some((cgroup, directory))
}

fn devices(allow: bool) -> Resources {
    resources(|all| all.devices = Some(vec![DeviceRule::all(allow)]))
}

fn can(cgroup: &Cgroup, script: &str) -> bool {
    Shell::joined(cgroup, script).wait().success()
}

/// An access must be allowed by theirs and by ours, of which there is one however often it changes.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_program_of_somebody_elses_stays_in_force() {
    let below = Below::new("foreign");
    let Some((cgroup, directory)) = cgroup(&below) else {
        return;
    };
    // Before ours, and behind it: the kernel lists them in their order.
    for ours_is_first in [false, true] {
        if ours_is_first {
            cgroup.apply(&devices(true)).unwrap();
        }
        let foreign = Foreign::attach(&directory, MULTI);
        for _ in 0..3 {
            cgroup.apply(&devices(true)).unwrap();
            assert_eq!(foreign.programs(), 2);
            assert!(can(&cgroup, ": </dev/null"));
            assert!(!can(&cgroup, ": </dev/zero"), "theirs refuses it");
            cgroup.apply(&devices(false)).unwrap();
            assert_eq!(foreign.programs(), 2);
            assert!(!can(&cgroup, ": </dev/null"), "ours refuses it");
        }
        foreign.detach();
        assert_eq!(foreign.programs(), 1);
        cgroup.apply(&devices(true)).unwrap();
        assert!(can(&cgroup, ": </dev/zero"));
    }
    cgroup.remove(SHORT).unwrap();
}

/// The rules can't be had then, and nothing of theirs is taken away for them.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_program_that_wants_to_be_alone_is_not_replaced() {
    let below = Below::new("alone");
    let Some((cgroup, directory)) = cgroup(&below) else {
        return;
    };
    let foreign = Foreign::attach(&directory, ALONE);
    let error = cgroup.apply(&devices(true)).unwrap_err();
    let Error::DeviceProgram { doing, source, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(
        (*doing, source.raw_os_error()),
        ("attach", Some(libc::EPERM))
    );
    assert_eq!(foreign.programs(), 1);
    assert!(!can(&cgroup, ": </dev/zero"));
    foreign.detach();
    cgroup.remove(SHORT).unwrap();
}

/// One with the same rules is used again while any cgroup has it; everything else is loaded.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_program_is_shared_by_those_who_have_the_same_rules() {
    let below = Below::new("shared");
    let Some((first, directory)) = cgroup(&below) else {
        return;
    };
    let (second, _) = cgroup(&below).unwrap();
    let rules = resources(|all| all.devices = Some(only_null().to_vec()));
    let apply = |cgroup: &Cgroup, limits: &Resources, known: &[u32]| {
        let id = cgroup.apply_sharing(limits, known.iter().copied()).unwrap();
        id.unwrap()
    };
    let only_null = |cgroup: &Cgroup| {
        can(cgroup, ": </dev/null") && !can(cgroup, ": </dev/zero") && !can(cgroup, ": </dev/full")
    };

    let id = apply(&first, &rules, &[]);
    // Somebody else's with the same instructions would not be known again as ours.
    let foreign = Foreign::attach(&directory, MULTI);
    let foreign_id = foreign.ids().into_iter().find(|it| *it != id).unwrap();
    assert_ne!(apply(&second, &rules, &[foreign_id]), foreign_id);
    foreign.detach();
    // Neither would one with other rules, nor one that is not there.
    let other = apply(&second, &devices(false), &[id]);
    assert!(other != id && !can(&second, ": </dev/null"));
    assert_eq!(apply(&second, &rules, &[u32::MAX, other, id]), id);
    assert!(only_null(&first) && only_null(&second));

    // What is done with the one cgroup is nothing to the other.
    apply(&first, &devices(true), &[]);
    assert!(can(&first, ": </dev/zero") && only_null(&second));
    assert_eq!(apply(&first, &rules, &[id]), id);
    second.remove(SHORT).unwrap();
    assert!(only_null(&first));
    assert_eq!(
        first.apply_sharing(&Resources::default(), [id]).unwrap(),
        None
    );
    first.remove(SHORT).unwrap();
}
