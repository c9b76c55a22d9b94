//! Containers from programs that have threads, locks and memory of their own.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says what it measured"
)]

mod alone;

use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use alone::{alone, children, descriptors};
use crabcan_runtime::{ExitStatus, Process, Sandbox};
use nix::sys::resource::{UsageWho, getrusage};

fn shell(script: &str) -> Sandbox {
    Sandbox::new("/bin/sh").arg("-c").arg(script)
}

fn succeeds(sandbox: &Sandbox) {
    assert_eq!(sandbox.status().unwrap(), ExitStatus::Exited(0));
}

/// How often a container is started: a thousand times if `CRABCAN_TEST_FULL=1` asks for it.
fn rounds() -> u32 {
    match std::env::var("CRABCAN_TEST_FULL").as_deref() {
        Ok("1") => 1000,
        _ => 200,
    }
}

/// Allocates and locks until it is told to stop.
fn be_busy(lock: &Mutex<Vec<Vec<u8>>>, stop: &AtomicBool) {
    let mut size = 1_usize;
    while !stop.load(Ordering::Relaxed) {
        size = size * 31 % 65_521 + 1;
        let piece = black_box(vec![1; size]);
        let mut kept = lock.lock().unwrap();
        kept.push(piece);
        if kept.len() > 64 {
            kept.clear();
        }
    }
}

#[test]
fn a_program_with_busy_threads() {
    let limit = Duration::from_secs(250);
    alone::with("a_program_with_busy_threads", limit, &[], || {
        let (lock, stop) = (Mutex::new(Vec::new()), AtomicBool::new(false));
        let before = descriptors();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| be_busy(&lock, &stop));
            }
            let start = Instant::now();
            for _ in 0..rounds() {
                succeeds(&Sandbox::new("/bin/true"));
            }
            eprintln!("{} starts in {:?}", rounds(), start.elapsed());
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(descriptors(), before);
        assert_eq!(children(), [0; 0]);
    });
}

fn page_faults() -> i64 {
    [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN]
        .map(|who| getrusage(who).unwrap().minor_page_faults())
        .iter()
        .sum()
}

/// Page faults of ten starts, with each page of `memory` written to between them.
fn faults_of_starts(memory: &mut [u8]) -> i64 {
    let mut touch = || memory.iter_mut().step_by(4096).for_each(|byte| *byte += 1);
    touch();
    let before = page_faults();
    for _ in 0..10 {
        succeeds(&Sandbox::new("/bin/true"));
        touch();
    }
    page_faults() - before
}

#[test]
fn a_start_costs_the_same_in_a_large_program() {
    alone("a_start_costs_the_same_in_a_large_program", || {
        faults_of_starts(&mut [0]);
        let small = faults_of_starts(&mut vec![0; 1 << 20]);
        let large = faults_of_starts(&mut vec![0; 512 << 20]);
        eprintln!("page faults of ten starts: {small} with 1 MiB, {large} with 512 MiB");
        // A copy of so much memory would cost 131072 faults, or 256 with huge pages, each time.
        assert!(large < small + small / 4 + 200, "{small} {large}");
    });
}

#[test]
fn nothing_is_left_of_many_containers() {
    alone("nothing_is_left_of_many_containers", || {
        succeeds(&Sandbox::new("/bin/true"));
        let before = descriptors();
        for _ in 0..20 {
            succeeds(&Sandbox::new("/bin/true"));
            Sandbox::new("/no/such/program").status().unwrap_err();
            let plan = Sandbox::new("/bin/true").plan().unwrap();
            drop(Process::create(&plan).unwrap());
            let mut broken = Sandbox::new("/bin/true").plan().unwrap();
            broken.fail_at(5, 12);
            Process::create(&broken).unwrap_err();
        }
        assert_eq!(descriptors(), before);
        assert_eq!(children(), [0; 0]);
    });
}

/// Defect 15 of the tutorial, and its threaded form: containers that are made at the same time.
#[test]
fn descriptors_of_one_container_never_appear_in_another() {
    let name = "descriptors_of_one_container_never_appear_in_another";
    alone(name, || {
        let read = nix::fcntl::OFlag::O_RDONLY;
        let inheritable: Vec<_> = (0..20)
            .map(|_| nix::fcntl::open("/etc/passwd", read, nix::sys::stat::Mode::empty()).unwrap())
            .collect();
        // 0, 1, 2, and the directory that the shell is reading.
        let script = "set -- /proc/self/fd/*; test $# = 4";
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for _ in 0..15 {
                        succeeds(&shell(script));
                        succeeds(&shell(script).as_pid_1(true));
                    }
                });
            }
        });
        drop(inheritable);
        assert_eq!(children(), [0; 0]);
    });
}

#[test]
fn a_container_outlives_the_thread_that_made_it() {
    alone("a_container_outlives_the_thread_that_made_it", || {
        let plan = shell("sleep 0.3; exit 9").plan().unwrap();
        let started = thread::scope(|scope| {
            let made = scope.spawn(|| {
                let mut container = Process::create(&plan).unwrap();
                container.start().unwrap();
                container
            });
            made.join().unwrap()
        });
        let created = thread::scope(|scope| {
            let made = scope.spawn(|| Process::create(&plan).unwrap());
            made.join().unwrap()
        });
        let (mut started, mut created) = (started, created);
        assert_eq!(started.wait().unwrap(), ExitStatus::Exited(9));
        created.start().unwrap();
        assert_eq!(created.wait().unwrap(), ExitStatus::Exited(9));
    });
}
