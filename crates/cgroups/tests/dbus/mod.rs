//! The other end of a bus: systemd's part of the conversation, in messages that are made byte by
//! byte as the specification has them, and by no code of the crate's.
#![allow(dead_code, reason = "each test program uses its own part of this")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;

const REPLY: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// A value of a message's body.
#[derive(Clone, Copy)]
pub(crate) enum Part<'a> {
    Number(u32),
    Text(&'a str),
    Object(&'a str),
    /// A variant with a string in it.
    Variant(&'a str),
}

impl Part<'_> {
    fn letter(&self) -> &'static str {
        match self {
            Self::Number(_) => "u",
            Self::Text(_) => "s",
            Self::Object(_) => "o",
            Self::Variant(_) => "v",
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Number(number) => word(out, *number),
            Self::Text(text) | Self::Object(text) => string(out, text),
            Self::Variant(text) => {
                out.extend(b"\x01s\0");
                string(out, text);
            }
        }
    }
}

fn pad(out: &mut Vec<u8>, to: usize) {
    while !out.len().is_multiple_of(to) {
        out.push(0);
    }
}

fn word(out: &mut Vec<u8>, number: u32) {
    pad(out, 4);
    out.extend(number.to_ne_bytes());
}

fn string(out: &mut Vec<u8>, text: &str) {
    word(out, text.len() as u32);
    out.extend(text.as_bytes());
    out.push(0);
}

/// A message: the fields of its header have a number each.
pub(crate) fn message(kind: u8, fields: &[(u8, Part<'_>)], body: &[Part<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    body.iter().for_each(|part| part.put(&mut bytes));
    let mut list = Vec::new();
    for (number, part) in fields {
        pad(&mut list, 8);
        list.push(*number);
        list.extend([1, part.letter().as_bytes()[0], 0]);
        part.put(&mut list);
    }
    let signature: String = body.iter().map(Part::letter).collect();
    if !signature.is_empty() {
        pad(&mut list, 8);
        list.extend(b"\x08\x01g\0");
        list.push(signature.len() as u8);
        list.extend(signature.as_bytes());
        list.push(0);
    }
    let endian = if cfg!(target_endian = "little") {
        b'l'
    } else {
        b'B'
    };
    let mut out = vec![endian, kind, 0, 1];
    word(&mut out, bytes.len() as u32);
    word(&mut out, 7);
    word(&mut out, list.len() as u32);
    out.extend(list);
    pad(&mut out, 8);
    out.extend(bytes);
    out
}

pub(crate) fn reply(to: u32, body: &[Part<'_>]) -> Vec<u8> {
    message(REPLY, &[(5, Part::Number(to))], body)
}

pub(crate) fn refusal(to: u32, name: &str, text: &str) -> Vec<u8> {
    let fields = [(4, Part::Text(name)), (5, Part::Number(to))];
    message(ERROR, &fields, &[Part::Text(text)])
}

pub(crate) fn job_removed(job: &str, result: &str) -> Vec<u8> {
    let fields = [
        (1, Part::Object("/org/freedesktop/systemd1")),
        (2, Part::Text("org.freedesktop.systemd1.Manager")),
        (3, Part::Text("JobRemoved")),
    ];
    let body = [
        Part::Number(1),
        Part::Object(job),
        Part::Text("x.scope"),
        Part::Text(result),
    ];
    message(SIGNAL, &fields, &body)
}

/// A call as it came.
pub(crate) struct Call {
    pub(crate) serial: u32,
    pub(crate) member: String,
    pub(crate) body: Vec<u8>,
}

impl Call {
    /// The number that a property of the type `t` has in an array `a(sv)`.
    pub(crate) fn number(&self, property: &str) -> Option<u64> {
        let name = [property.as_bytes(), b"\0\x01t\0"].concat();
        let at = self.body.windows(name.len()).position(|it| it == name)?;
        let at = (at + name.len()).next_multiple_of(8);
        let bytes = self.body.get(at..at + 8)?.try_into().ok()?;
        Some(u64::from_ne_bytes(bytes))
    }
}

/// Who answers.
pub(crate) struct Peer(pub(crate) UnixStream);

impl Peer {
    /// Talks to who is asked, in a thread of its own, while `ask` asks.
    pub(crate) fn talk<T>(
        answer: impl FnOnce(&mut Peer) + Send + 'static,
        ask: impl FnOnce(UnixStream) -> T,
    ) -> T {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let thread = thread::spawn(move || answer(&mut Peer(theirs)));
        let asked = ask(ours);
        thread.join().unwrap();
        asked
    }

    pub(crate) fn say(&mut self, bytes: &[u8]) {
        // Who asks may have gone: that is what some tests are about.
        let _ = self.0.write_all(bytes);
    }

    /// Lets the other side in.
    pub(crate) fn greet(&mut self) {
        let mut said = [0; 29];
        self.0.read_exact(&mut said[..22]).unwrap();
        assert_eq!(&said[..22], b"\0AUTH EXTERNAL\r\nDATA\r\n");
        self.say(b"DATA\r\nOK 0123456789abcdef\r\n");
        self.0.read_exact(&mut said[..7]).unwrap();
        assert_eq!(&said[..7], b"BEGIN\r\n");
    }

    /// The next call; `None` when there is none any more.
    pub(crate) fn call(&mut self) -> Option<Call> {
        let mut fixed = [0; 16];
        self.0.read_exact(&mut fixed).ok()?;
        let number = |at: usize| u32::from_ne_bytes(fixed[at..at + 4].try_into().unwrap());
        assert_eq!((fixed[1], fixed[3]), (1, 1), "a call");
        let fields = number(12) as usize;
        let mut rest = vec![0; fields.next_multiple_of(8) + number(4) as usize];
        self.0.read_exact(&mut rest).unwrap();
        let body = rest.split_off(fields.next_multiple_of(8));
        // The field of the member: its number, the signature of a string, its length.
        let at = rest.windows(4).position(|it| it == b"\x03\x01s\0").unwrap() + 8;
        let member = rest[at..].split(|byte| *byte == 0).next().unwrap();
        Some(Call {
            serial: number(8),
            member: String::from_utf8(member.to_vec()).unwrap(),
            body,
        })
    }

    /// Answers as a systemd with which all is well, until a method is called.
    pub(crate) fn answer_until(&mut self, member: &str) -> Call {
        loop {
            let call = self.call().expect(member);
            if call.member == member {
                return call;
            }
            for answer in well(&call.member, call.serial) {
                self.say(&answer);
            }
        }
    }

    /// The same up to the end of the conversation.
    pub(crate) fn answer_all(&mut self) {
        while let Some(call) = self.call() {
            for answer in well(&call.member, call.serial) {
                self.say(&answer);
            }
        }
    }
}

/// What a systemd says with which all is well.
pub(crate) fn well(member: &str, serial: u32) -> Vec<Vec<u8>> {
    const JOB: &str = "/org/freedesktop/systemd1/job/5";
    let answer = |body: &[Part<'_>]| reply(serial, body);
    match member {
        "Hello" => vec![answer(&[Part::Text(":1.7")])],
        "StartTransientUnit" | "StopUnit" => {
            vec![answer(&[Part::Object(JOB)]), job_removed(JOB, "done")]
        }
        "GetUnit" => vec![answer(&[Part::Object("/org/freedesktop/systemd1/unit/x")])],
        "Get" => vec![answer(&[Part::Variant("/crabcan.slice/x.scope")])],
        _ => vec![answer(&[])],
    }
}

/// All that it says from the introduction on, when a scope is made and stopped.
pub(crate) fn session() -> Vec<u8> {
    let calls = [
        "Hello",
        "AddMatch",
        "Subscribe",
        "StartTransientUnit",
        "GetUnit",
        "Get",
        "StopUnit",
        "ResetFailedUnit",
    ];
    calls
        .iter()
        .zip(1..)
        .flat_map(|(member, serial)| well(member, serial))
        .flatten()
        .collect()
}
