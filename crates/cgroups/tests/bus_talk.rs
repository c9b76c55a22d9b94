//! What the other end of the bus may say, and what becomes of it: always an answer or an error, and
//! always in time.
#![cfg(feature = "systemd")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod dbus;

use std::error::Error as _;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crabcan_cgroups::systemd::{ScopeName, Systemd};
use crabcan_cgroups::{Error, Limit, Place, Resources};
use dbus::{Part, Peer, job_removed, message, refusal, reply};

/// Enough for everything that comes.
const LONG: Duration = Duration::from_secs(60);

fn name() -> ScopeName {
    ScopeName::parse("crabcan.slice::x").unwrap()
}

fn start(stream: UnixStream) -> Result<Place, Error> {
    start_within(stream, LONG)
}

fn start_within(stream: UnixStream, patience: Duration) -> Result<Place, Error> {
    let resources = Resources {
        pids_max: Some(Limit::Of(0)),
        ..Resources::default()
    };
    Systemd::over(stream, patience)?.start_scope(&name(), 5, &resources, &[])
}

fn stop(stream: UnixStream) -> Result<(), Error> {
    Systemd::over(stream, LONG)?.stop_scope(&name())
}

/// What the error of a bus says of its cause.
fn kind(error: &Error) -> io::ErrorKind {
    let Error::Bus { source, .. } = error else {
        panic!("{error:?}");
    };
    assert!(error.source().is_some() && error.hint().is_some());
    source.kind()
}

#[test]
fn a_scope_is_made_and_stopped() {
    let answer = |peer: &mut Peer| {
        peer.greet();
        let call = peer.answer_until("StartTransientUnit");
        // systemd knows no limit of 0: with one, the process that is there is alone as well.
        assert_eq!(call.number("TasksMax"), Some(1));
        // The end of somebody else's job is not ours.
        peer.say(&job_removed("/org/freedesktop/systemd1/job/4", "failed"));
        // Nor is an answer to another call.
        peer.say(&reply(call.serial + 9, &[Part::Object("/job/8")]));
        peer.say(&job_removed("/job/8", "failed"));
        peer.say(&reply(call.serial, &[Part::Object("/job/9")]));
        peer.say(&job_removed("/org/freedesktop/systemd1/job/5", "failed"));
        peer.say(&job_removed("/job/9", "done"));
        peer.answer_all();
    };
    let place = Peer::talk(answer, start).unwrap();
    assert_eq!(place.to_string(), "0::/crabcan.slice/x.scope\n");
    let answer = |peer: &mut Peer| {
        peer.greet();
        peer.answer_all();
    };
    Peer::talk(answer, stop).unwrap();
}

/// The end of a job may be told before its number is.
#[test]
fn a_job_that_is_done_before_it_is_named() {
    let answer = |peer: &mut Peer| {
        peer.greet();
        let call = peer.answer_until("StartTransientUnit");
        peer.say(&job_removed("/job/9", "done"));
        peer.say(&reply(call.serial, &[Part::Object("/job/9")]));
        peer.answer_all();
    };
    Peer::talk(answer, start).unwrap();
}

#[test]
fn a_job_that_comes_to_nothing() {
    for result in ["failed", "timeout", "canceled", "dependency", "skipped", ""] {
        let answer = move |peer: &mut Peer| {
            peer.greet();
            let call = peer.answer_until("StartTransientUnit");
            peer.say(&reply(call.serial, &[Part::Object("/job/9")]));
            peer.say(&job_removed("/job/9", result));
            peer.answer_all();
        };
        let error = Peer::talk(answer, start).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("systemd's job for x.scope is {result}")
        );
        assert!(error.hint().unwrap().contains("systemctl status"));
    }
}

fn told(result: Result<(), Error>) -> String {
    result.map_or_else(|error| error.to_string(), |()| "ok".into())
}

fn started(stream: UnixStream) -> String {
    told(start(stream).map(drop))
}

fn stopped(stream: UnixStream) -> String {
    told(stop(stream))
}

/// Each call may be refused; some refusals mean something.
#[test]
fn refusals_are_told_in_the_words_of_the_other_side() {
    let refuse = |member: &'static str, name: &'static str, ask: fn(UnixStream) -> String| {
        let answer = move |peer: &mut Peer| {
            peer.greet();
            let call = peer.answer_until(member);
            peer.say(&refusal(call.serial, name, "no, because"));
            peer.answer_all();
        };
        Peer::talk(answer, ask)
    };
    for member in [
        "Hello",
        "AddMatch",
        "Subscribe",
        "StartTransientUnit",
        "GetUnit",
        "Get",
    ] {
        let expected = format!("{member} over D-Bus: no, because (org.x.Error)");
        assert_eq!(refuse(member, "org.x.Error", started), expected);
    }
    for member in ["StopUnit", "ResetFailedUnit"] {
        let expected = format!("{member} over D-Bus: no, because (org.x.Error)");
        assert_eq!(refuse(member, "org.x.Error", stopped), expected);
    }
    // A scope of that name was only remembered: the second try is answered well.
    let exists = "org.freedesktop.systemd1.UnitExists";
    assert_eq!(refuse("StartTransientUnit", exists, started), "ok");
    let no_such = "org.freedesktop.systemd1.NoSuchUnit";
    assert_eq!(refuse("StopUnit", no_such, stopped), "ok");
    assert_eq!(refuse("ResetFailedUnit", no_such, stopped), "ok");
    // The same word of another is none of systemd's.
    let other = refuse("StopUnit", "org.x.NoSuchUnit", stopped);
    assert!(other.contains("org.x.NoSuchUnit"), "{other}");
}

#[test]
fn a_name_that_is_taken_twice_is_in_use() {
    let answer = |peer: &mut Peer| {
        peer.greet();
        let name = "org.freedesktop.systemd1.UnitExists";
        let call = peer.answer_until("StartTransientUnit");
        peer.say(&refusal(call.serial, name, "Unit x.scope already exists."));
        // One that has failed is forgotten, and then it is tried again.
        let call = peer.call().unwrap();
        assert_eq!(call.member, "ResetFailedUnit");
        peer.say(&reply(call.serial, &[]));
        let call = peer.answer_until("StartTransientUnit");
        peer.say(&refusal(call.serial, name, "Unit x.scope already exists."));
        peer.answer_all();
    };
    let error = Peer::talk(answer, start).unwrap_err();
    assert_eq!(error.to_string(), "the scope x.scope exists already");
}

/// Wherever the connection ends, in a message or between two.
#[test]
fn a_connection_that_ends() {
    let whole = dbus::session();
    // Every fourth place, and all of the first message.
    for end in (0..whole.len()).filter(|end| end % 4 == 0 || *end < 64) {
        let said = whole[..end].to_vec();
        let answer = move |peer: &mut Peer| {
            peer.greet();
            peer.say(&said);
            peer.0.shutdown(std::net::Shutdown::Write).unwrap();
            while peer.call().is_some() {}
        };
        let ended = Peer::talk(answer, |stream| {
            let mut systemd = Systemd::over(stream, LONG)?;
            systemd.start_scope(&name(), 5, &Resources::default(), &[])?;
            systemd.stop_scope(&name())
        });
        let kind = kind(&ended.unwrap_err());
        assert_eq!(kind, io::ErrorKind::ConnectionReset, "{end}");
    }
    // Nobody who lets us in.
    let error = Peer::talk(|_| (), start).unwrap_err();
    assert!(matches!(
        kind(&error),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    ));
}

fn changed(at: usize, to: &[u8]) -> Vec<u8> {
    let mut bytes = reply(4, &[Part::Object("/job/9")]);
    bytes[at..at + to.len()].copy_from_slice(to);
    bytes
}

#[test]
fn what_is_no_message_is_refused_at_once() {
    let huge = (2_u32 << 20).to_ne_bytes();
    let most = u32::MAX.to_ne_bytes();
    let text = message(2, &[(5, Part::Number(4))], &[Part::Text("\u{e9}")]);
    let half_a_letter = [&text[..text.len() - 2], b"\0\0"].concat();
    let mut fields_too_long = message(2, &[(5, Part::Number(4))], &[]);
    fields_too_long[12..16].copy_from_slice(&64_u32.to_ne_bytes());
    fields_too_long.extend([0xff; 64]);
    let cases = [
        ("another byte order", changed(0, b"B")),
        ("another version", changed(3, &[2])),
        ("a body of two MiB", changed(4, &huge)),
        ("a body of four GiB", changed(4, &most)),
        ("a header of two MiB", changed(12, &huge)),
        ("a header of four GiB", changed(12, &most)),
        (
            "a number where its answer is named",
            changed(17, b"\x01z\0"),
        ),
        ("half a letter", half_a_letter),
        ("a header of noise", fields_too_long),
        ("an answer to nothing", message(2, &[], &[])),
        ("a refusal of nothing", message(3, &[], &[])),
        ("no job", reply(4, &[])),
        ("a number for a job", reply(4, &[Part::Number(9)])),
    ];
    for (what, bytes) in cases {
        let answer = move |peer: &mut Peer| {
            peer.greet();
            peer.answer_until("StartTransientUnit");
            // And nothing more, while the connection stays.
            peer.say(&bytes);
            while peer.call().is_some() {}
        };
        let begin = Instant::now();
        let error = Peer::talk(answer, start).unwrap_err();
        assert_eq!(kind(&error), io::ErrorKind::InvalidData, "{what}: {error}");
        assert!(begin.elapsed() < LONG / 2, "{what}");
    }
}

/// Where a scope is has to be one path, without a way upwards.
#[test]
fn a_cgroup_that_cannot_be() {
    for (group, expected) in [
        ("", "left without a cgroup"),
        ("/a/../../b", "not understood"),
        ("a", "not understood"),
        ("/a\n1:memory:/", "talk to the message bus"),
    ] {
        let answer = move |peer: &mut Peer| {
            peer.greet();
            let call = peer.answer_until("Get");
            peer.say(&reply(call.serial, &[Part::Variant(group)]));
            peer.answer_all();
        };
        let error = Peer::talk(answer, start).unwrap_err().to_string();
        assert!(error.contains(expected), "{group:?}: {error}");
    }
}

/// However the time goes by: it is over when it is over.
#[test]
fn who_is_too_slow_is_not_waited_for() {
    const SHORT: Duration = Duration::from_millis(300);
    fn step() {
        std::thread::sleep(Duration::from_millis(5));
    }
    type Answer = Box<dyn Fn(&mut Peer) + Send>;
    let cases: [(&str, Answer); 5] = [
        (
            "nobody lets us in",
            Box::new(|peer| {
                while peer.0.write_all(b"DATA\r\n").is_ok() {
                    step()
                }
            }),
        ),
        (
            "no answer",
            Box::new(|peer| {
                peer.greet();
                peer.answer_until("StartTransientUnit");
                while peer.call().is_some() {}
            }),
        ),
        (
            "byte by byte",
            Box::new(|peer| {
                peer.greet();
                let call = peer.answer_until("StartTransientUnit");
                let text = "x".repeat(100_000);
                for byte in reply(call.serial, &[Part::Text(&text)]) {
                    if peer.0.write_all(&[byte]).is_err() {
                        break;
                    }
                    step();
                }
            }),
        ),
        (
            "nothing but signals",
            Box::new(|peer| {
                peer.greet();
                peer.answer_until("StartTransientUnit");
                while peer.0.write_all(&job_removed("/job/8", "done")).is_ok() {
                    step();
                }
            }),
        ),
        (
            "the ends of other jobs",
            Box::new(|peer| {
                peer.greet();
                let call = peer.answer_until("StartTransientUnit");
                peer.say(&reply(call.serial, &[Part::Object("/job/9")]));
                while peer.0.write_all(&job_removed("/job/8", "done")).is_ok() {
                    step();
                }
            }),
        ),
    ];
    for (what, answer) in cases {
        let begin = Instant::now();
        let asked = Peer::talk(
            move |peer| answer(peer),
            |stream| start_within(stream, SHORT),
        );
        let error = asked.unwrap_err();
        assert_eq!(kind(&error), io::ErrorKind::TimedOut, "{what}: {error}");
        let took = begin.elapsed();
        assert!(
            took >= SHORT && took < Duration::from_secs(20),
            "{what}: {took:?}"
        );
    }
}

#[test]
fn who_is_slow_and_in_time_is_waited_for() {
    let answer = |peer: &mut Peer| {
        peer.greet();
        let call = peer.answer_until("StartTransientUnit");
        for byte in reply(call.serial, &[Part::Object("/job/9")]) {
            peer.say(&[byte]);
            std::thread::sleep(Duration::from_millis(1));
        }
        for _ in 0..1000 {
            peer.say(&job_removed("/job/8", "failed"));
        }
        peer.say(&job_removed("/job/9", "done"));
        peer.answer_all();
    };
    Peer::talk(answer, start).unwrap();
}

#[test]
fn who_does_not_let_us_in_is_told() {
    let endless = vec![b'x'; 600];
    for (said, expected) in [
        (
            b"REJECTED EXTERNAL\r\n".to_vec(),
            io::ErrorKind::PermissionDenied,
        ),
        (b"ERROR\r\n".to_vec(), io::ErrorKind::PermissionDenied),
        (b"\xff\r\n".to_vec(), io::ErrorKind::InvalidData),
        (endless, io::ErrorKind::InvalidData),
    ] {
        let answer = move |peer: &mut Peer| {
            peer.say(&said);
            let _ = io::copy(&mut peer.0, &mut io::sink());
        };
        let error = Peer::talk(answer, start).unwrap_err();
        assert_eq!(kind(&error), expected);
    }
}
