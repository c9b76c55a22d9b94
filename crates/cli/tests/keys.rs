//! Keys of the caller's session: every child inherits the keyring, and a sandbox must not.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking, the thief says what it found, nothing wraps keyctl(2)"
)]

mod support;

use std::io;
use std::process::Command;

use support::{Leaks, crabcan, run};

const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
const KEYCTL_READ: libc::c_long = 11;
const KEY_SPEC_SESSION_KEYRING: libc::c_long = -3;

/// Makes this test a program that reads the key with this number. (`LC_*` is handed on.)
const THIEF: &str = "LC_CRABCAN_THIEF";

#[test]
fn thief() {
    let Some(key) = std::env::var_os(THIEF) else {
        return;
    };
    let key: libc::c_long = key.to_str().unwrap().parse().unwrap();
    let mut secret = [0u8; 16];
    // SAFETY: the kernel writes at most the given length to a buffer of that length.
    let length = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_READ,
            key,
            secret.as_mut_ptr(),
            secret.len(),
        )
    };
    match length {
        -1 => println!("refused: {}", io::Error::last_os_error()),
        _ => println!("read: {}", String::from_utf8_lossy(&secret)),
    }
}

/// Asks again while a quota is used up: the kernel takes its time to collect the keyrings of sandboxes
/// that have ended, and a user may have 200.
fn patiently(call: impl Fn() -> libc::c_long) -> libc::c_long {
    for _ in 0..100 {
        let answer = call();
        let error = io::Error::last_os_error();
        if answer > 0 {
            return answer;
        }
        assert_eq!(error.raw_os_error(), Some(libc::EDQUOT), "{error}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("the quota of keys stays used up");
}

/// A key in a session keyring that this thread alone has.
fn new_key() -> libc::c_long {
    patiently(|| {
        // SAFETY: a null name asks for a keyring without one.
        unsafe {
            libc::syscall(
                libc::SYS_keyctl,
                KEYCTL_JOIN_SESSION_KEYRING,
                std::ptr::null::<u8>(),
            )
        }
    });
    patiently(|| {
        // SAFETY: three strings that live longer than the call, the last one with its length.
        unsafe {
            libc::syscall(
                libc::SYS_add_key,
                c"user".as_ptr(),
                c"crabcan-secret".as_ptr(),
                c"pearl".as_ptr(),
                5,
                KEY_SPEC_SESSION_KEYRING,
            )
        }
    })
}

#[test]
fn keys_of_the_callers_session_stay_outside() {
    let _leaks = Leaks::watch();
    let key = new_key().to_string();
    let this = std::env::current_exe().unwrap();
    let steal = |command: &mut Command| {
        command.args(["thief", "--exact", "--nocapture"]);
        run(command.env(THIEF, &key)).success().to_owned()
    };
    let outside = steal(&mut Command::new(&this));
    assert!(outside.contains("read: pearl"), "{outside}");
    let mut shown = this.into_os_string();
    shown.push(":/tmp/thief");
    for options in [&[][..], &["--as-pid-1"], &["--uid", "0"]] {
        let mut command = crabcan(options);
        command.arg("--add").arg(&shown);
        let inside = steal(command.args(["--", "/tmp/thief"]));
        assert!(inside.contains("refused: "), "{options:?}: {inside}");
    }
}
