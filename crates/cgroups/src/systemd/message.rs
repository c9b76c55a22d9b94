//! The messages of D-Bus; see the specification, "Message Protocol".

use super::wire::{self, Reader, Value};

const CALL: u8 = 1;
const REPLY: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// The bytes before the header fields, with their length.
pub(crate) const FIXED: usize = 16;

/// No message that we wait for is longer.
const MAX: usize = 1 << 20;

/// The call of a method.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) destination: &'a str,
    pub(crate) path: &'a str,
    pub(crate) interface: &'a str,
    pub(crate) member: &'a str,
    pub(crate) body: &'a [Value],
}

/// What a bus sends.
#[derive(Debug, PartialEq)]
pub(crate) enum Received {
    Reply {
        to: u32,
        body: Vec<Value>,
    },
    Refusal {
        to: u32,
        name: String,
        text: String,
    },
    Signal {
        member: String,
        body: Vec<Value>,
    },
    /// A call: nobody should send us one.
    Other,
}

impl Call<'_> {
    pub(crate) fn encode(&self, serial: u32) -> Vec<u8> {
        let mut body = Vec::new();
        self.body.iter().for_each(|value| value.encode(&mut body));
        let signature: String = self.body.iter().map(Value::signature).collect();
        let path = Value::ObjectPath(self.path.to_owned());
        let fields = [
            (PATH, path),
            (INTERFACE, Value::str(self.interface)),
            (MEMBER, Value::str(self.member)),
            (DESTINATION, Value::str(self.destination)),
            (SIGNATURE, Value::Signature(signature)),
        ];
        let fields = fields
            .map(|(code, value)| Value::Struct(vec![Value::Byte(code), Value::variant(value)]));
        let endian = if cfg!(target_endian = "little") {
            b'l'
        } else {
            b'B'
        };
        let mut out = vec![endian, CALL, 0, 1];
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_ne_bytes());
        out.extend_from_slice(&serial.to_ne_bytes());
        Value::Array("(yv)".into(), fields.to_vec()).encode(&mut out);
        wire::pad(&mut out, 8);
        out.extend_from_slice(&body);
        out
    }
}

/// How long the message is that begins with these bytes; `None` if it can't be one.
pub(crate) fn length(fixed: &[u8; FIXED]) -> Option<usize> {
    let endian = if cfg!(target_endian = "little") {
        b'l'
    } else {
        b'B'
    };
    let word = |at: usize| {
        let bytes = fixed.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_ne_bytes(bytes)).ok()
    };
    let (body, fields) = (word(4)?, word(12)?);
    let length = FIXED
        .checked_add(fields)?
        .checked_next_multiple_of(8)?
        .checked_add(body)?;
    (fixed[0] == endian && fixed[3] == 1 && length <= MAX).then_some(length)
}

/// Reads one whole message; `None` for what is none.
pub(crate) fn decode(bytes: &[u8]) -> Option<Received> {
    let kind = *bytes.get(1)?;
    let mut reader = Reader::new(bytes);
    let header = reader.values("yyyyuua(yv)")?;
    let Some(Value::Array(_, fields)) = header.last() else {
        return None;
    };
    let field = |wanted: u8| {
        fields.iter().find_map(|field| match field {
            Value::Struct(parts) => match &parts[..] {
                [Value::Byte(code), Value::Variant(value)] if *code == wanted => Some(&**value),
                _ => None,
            },
            _ => None,
        })
    };
    let text = |code: u8| field(code).and_then(Value::text).unwrap_or_default();
    reader.align(8)?;
    let body = reader.values(text(SIGNATURE))?;
    let to = match field(REPLY_SERIAL) {
        Some(Value::Uint32(serial)) => Some(*serial),
        _ => None,
    };
    Some(match kind {
        REPLY => Received::Reply { to: to?, body },
        ERROR => Received::Refusal {
            to: to?,
            name: text(ERROR_NAME).to_owned(),
            text: body
                .first()
                .and_then(Value::text)
                .unwrap_or_default()
                .to_owned(),
        },
        SIGNAL => Received::Signal {
            member: text(MEMBER).to_owned(),
            body,
        },
        _ => Received::Other,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn message(kind: u8, fields: Vec<(u8, Value)>, body: &[Value]) -> Vec<u8> {
        let call = Call {
            destination: "",
            path: "",
            interface: "",
            member: "",
            body,
        };
        let body_length = call.encode(1)[4..8].to_vec();
        let mut out = vec![call.encode(1)[0], kind, 0, 1];
        out.extend_from_slice(&body_length);
        out.extend_from_slice(&9_u32.to_ne_bytes());
        let fields = fields
            .into_iter()
            .map(|(code, value)| Value::Struct(vec![Value::Byte(code), Value::variant(value)]));
        Value::Array("(yv)".into(), fields.collect()).encode(&mut out);
        wire::pad(&mut out, 8);
        let mut bytes = Vec::new();
        body.iter().for_each(|value| value.encode(&mut bytes));
        out.extend_from_slice(&bytes);
        out
    }

    #[test]
    fn a_call_has_the_length_that_it_says() {
        let body = [Value::str("x.scope"), Value::str("replace")];
        let call = Call {
            destination: "org.freedesktop.systemd1",
            path: "/org/freedesktop/systemd1",
            interface: "org.freedesktop.systemd1.Manager",
            member: "StopUnit",
            body: &body,
        };
        let bytes = call.encode(3);
        assert_eq!(
            length(bytes[..FIXED].try_into().unwrap()),
            Some(bytes.len())
        );
        assert_eq!(decode(&bytes), Some(Received::Other));
    }

    #[test]
    fn replies_refusals_and_signals_are_told_apart() {
        let body = [Value::str("text"), Value::Uint32(1)];
        let signature = || (SIGNATURE, Value::Signature("su".into()));
        let to = || (REPLY_SERIAL, Value::Uint32(5));
        let reply = message(REPLY, vec![to(), signature()], &body);
        let body = body.to_vec();
        assert_eq!(
            decode(&reply),
            Some(Received::Reply {
                to: 5,
                body: body.clone()
            })
        );
        let name = (ERROR_NAME, Value::str("org.x.Error"));
        let refusal = message(ERROR, vec![name, to(), signature()], &body);
        let expected = Received::Refusal {
            to: 5,
            name: "org.x.Error".into(),
            text: "text".into(),
        };
        assert_eq!(decode(&refusal), Some(expected));
        let member = (MEMBER, Value::str("JobRemoved"));
        let signal = message(SIGNAL, vec![member, signature()], &body);
        let member = "JobRemoved".into();
        assert_eq!(decode(&signal), Some(Received::Signal { member, body }));
        // An answer to nothing.
        assert_eq!(decode(&message(REPLY, vec![], &[])), None);
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        let good = message(SIGNAL, vec![], &[]);
        let mut fixed: [u8; FIXED] = good[..FIXED].try_into().unwrap();
        assert_eq!(length(&fixed), Some(good.len()));
        fixed[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(length(&fixed), None);
        fixed = good[..FIXED].try_into().unwrap();
        fixed[3] = 2;
        assert_eq!(length(&fixed), None);
    }
}
