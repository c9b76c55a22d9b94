//! Programs that are started by a program with busy threads. Needs no privilege.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crabcan_ns::{CloneOptions, ExitStatus, Namespaces, Program, clone_program};

fn spawn_noise(stop: &Arc<AtomicBool>) -> Vec<std::thread::JoinHandle<()>> {
    let shared = Arc::new(Mutex::new(Vec::<Vec<u8>>::new()));
    (0..4)
        .map(|thread| {
            let (stop, shared) = (Arc::clone(stop), Arc::clone(&shared));
            std::thread::spawn(move || {
                let mut size: usize = 1;
                while !stop.load(Ordering::Relaxed) {
                    size = (size * 7 + thread) % 10_000 + 1;
                    let mut shared = shared.lock().unwrap();
                    shared.push(vec![1; size]);
                    if shared.len() > 50 {
                        shared.clear();
                    }
                }
            })
        })
        .collect()
}

#[test]
fn a_thousand_children_of_a_busy_threaded_program() {
    let stop = Arc::new(AtomicBool::new(false));
    let noise = spawn_noise(&stop);
    let path = ["/bin/true", "/usr/bin/true"]
        .into_iter()
        .find(|p| File::open(p).is_ok())
        .unwrap();
    let executable = File::open(path).unwrap();
    let null = File::open("/dev/null").unwrap();
    let starter = |count: usize| {
        for _ in 0..count {
            let program = Program {
                executable: executable.as_fd(),
                args: &[c"true"],
                env: &[],
                descriptors: &[null.as_fd()],
            };
            let namespaces = Namespaces::new();
            let mut child = clone_program(&program, &CloneOptions::new(&namespaces)).unwrap();
            assert_eq!(child.wait().unwrap(), ExitStatus::Exited(0));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| starter(500));
        scope.spawn(|| starter(500));
    });
    stop.store(true, Ordering::Relaxed);
    for thread in noise {
        thread.join().unwrap();
    }
}
