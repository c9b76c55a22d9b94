//! What of a start is crabcan's own thinking: reading `config.json`, plans, filters of system calls,
//! programs of device rules. No container is made, and no root needed.
//!
//! ```text
//! cargo bench -p crabcan-runtime
//! ```
#![allow(
    clippy::unwrap_used,
    reason = "what is measured is known to be without error"
)]

use std::hint::black_box;

use crabcan_cgroups::{DeviceAccess, DeviceKind, DeviceProgram, DeviceRule};
use crabcan_runtime::spec::Spec;
use crabcan_runtime::{Host, Plan, Sandbox};
use crabcan_seccomp::json::Seccomp;
use crabcan_seccomp::{Architecture, builtin};
use divan::Bencher;

fn main() {
    divan::main();
}

/// What `crabcan spec` writes for whoever calls.
fn example(host: &Host) -> String {
    match host.privileged {
        true => Spec::example(),
        false => Spec::rootless_example(host),
    }
}

#[divan::bench]
fn look_at_the_host() -> Host {
    Host::current().unwrap()
}

#[divan::bench]
fn read_config_json(bencher: Bencher<'_, '_>) {
    let text = example(&Host::current().unwrap());
    bencher.bench(|| Spec::from_json(black_box(text.as_bytes())).unwrap());
}

#[divan::bench]
fn plan_a_container(bencher: Bencher<'_, '_>) {
    let host = Host::current().unwrap();
    let mut spec = Spec::from_json(example(&host).as_bytes()).unwrap();
    spec.extension.bundle = Some(std::env::temp_dir());
    bencher.bench(|| Plan::new(black_box(&spec), &host).unwrap());
}

#[divan::bench]
fn plan_a_sandbox() -> Plan {
    Sandbox::new("/bin/true").plan().unwrap()
}

/// As an engine hands it to a runtime, with some 400 calls: the sandbox' own, in the form of the OCI
/// specification.
fn profile_in_json() -> Vec<u8> {
    serde_json::to_vec(&Seccomp::from(&builtin::sandbox())).unwrap()
}

#[divan::bench]
fn read_a_seccomp_profile(bencher: Bencher<'_, '_>) {
    let text = profile_in_json();
    bencher.bench(|| {
        let read = Seccomp::from_json(black_box(&text)).unwrap();
        read.resolve(Architecture::X86_64).unwrap().profile
    });
}

#[divan::bench]
fn compile_a_seccomp_profile(bencher: Bencher<'_, '_>) {
    let profile = builtin::sandbox();
    bencher.bench(|| black_box(&profile).compile().unwrap());
}

#[divan::bench]
fn make_a_device_program(bencher: Bencher<'_, '_>) {
    // Deny all; then the six devices that every container has, and its terminals.
    let mut rules = vec![DeviceRule::all(false)];
    let numbers = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2)];
    rules.extend(numbers.map(|(major, minor)| DeviceRule {
        allow: true,
        kind: DeviceKind::Char,
        major: Some(major),
        minor: Some(minor),
        access: DeviceAccess::ALL,
    }));
    bencher.bench(|| DeviceProgram::new(black_box(&rules)));
}
