//! The wire format of protocol buffers, as far as criu's messages have it: numbers and byte strings.
//! See <https://protobuf.dev/programming-guides/encoding/>.

const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH: u64 = 2;
const FIXED_32: u64 = 5;

/// A message to be sent.
#[derive(Debug, Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    pub(crate) fn number(&mut self, field: u64, value: u64) {
        self.varint(field << 3 | VARINT);
        self.varint(value);
    }

    pub(crate) fn flag(&mut self, field: u64, value: bool) {
        self.number(field, value.into());
    }

    pub(crate) fn bytes(&mut self, field: u64, value: &[u8]) {
        self.varint(field << 3 | LENGTH);
        self.varint(u64::try_from(value.len()).unwrap_or(u64::MAX));
        self.0.extend_from_slice(value);
    }

    pub(crate) fn message(&mut self, field: u64, value: &Message) {
        self.bytes(field, &value.0);
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Seven bits a byte, the lowest first; the eighth says that there are more.
    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// What a field of a received message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a received message in their order; `None` when it is none. Fields of fixed length
/// are passed over: criu's messages have none.
pub(crate) fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Value<'_>)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = take_varint(&mut bytes)?;
        match key & 7 {
            VARINT => fields.push((key >> 3, Value::Number(take_varint(&mut bytes)?))),
            LENGTH => {
                let length = usize::try_from(take_varint(&mut bytes)?).ok()?;
                fields.push((key >> 3, Value::Bytes(take(&mut bytes, length)?)));
            }
            FIXED_64 => drop(take(&mut bytes, 8)?),
            FIXED_32 => drop(take(&mut bytes, 4)?),
            _ => return None,
        }
    }
    Some(fields)
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *take(bytes, 1)?.first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(any(test, fuzzing))]
#[cfg_attr(fuzzing, allow(dead_code, unused_imports, reason = "the target alone"))]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// Expected bytes from `protoc --encode` and the examples of the format's description.
    #[test]
    fn messages_are_written_as_the_format_has_them() {
        let mut inner = Message::default();
        inner.number(1, 150);
        assert_eq!(inner.as_bytes(), [0x08, 0x96, 0x01]);
        let mut outer = Message::default();
        outer.bytes(2, b"testing");
        outer.message(3, &inner);
        outer.flag(50, true);
        let expected = b"\x12\x07testing\x1a\x03\x08\x96\x01\x90\x03\x01";
        assert_eq!(outer.as_bytes(), expected);
    }

    #[test]
    fn what_is_written_is_read() {
        let mut message = Message::default();
        for value in [0, 1, 127, 128, u64::from(u32::MAX), u64::MAX] {
            message.number(16, value);
        }
        message.bytes(1, b"");
        let fields = fields(message.as_bytes()).unwrap();
        assert_eq!(fields[4], (16, Value::Number(u64::from(u32::MAX))));
        assert_eq!(fields[5], (16, Value::Number(u64::MAX)));
        assert_eq!(fields[6], (1, Value::Bytes(b"")));
    }

    /// A fuzz target: what criu answers. What is read can be written, and is read the same.
    pub(crate) fn target(input: &[u8]) -> u64 {
        let Some(read) = fields(input) else {
            return 0;
        };
        let mut message = Message::default();
        for (field, value) in &read {
            match value {
                Value::Number(number) => message.number(*field, *number),
                Value::Bytes(bytes) => message.bytes(*field, bytes),
            }
        }
        assert_eq!(fields(message.as_bytes()).as_ref(), Some(&read));
        1 + read.len() as u64
    }

    #[test]
    fn fuzz_criu() {
        let corpus: [&[u8]; 2] = [
            b"\x12\x07testing\x1a\x03\x08\x96\x01\x90\x03\x01",
            b"\x0d1234\x0912345678\x08\xff\xff\x03",
        ];
        crate::driver::fuzz("criu", &corpus, &[], target);
    }

    #[test]
    fn garbage_is_no_message() {
        for garbage in [
            &b"\x08"[..],
            b"\x0a\x05abc",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x0b",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ] {
            assert_eq!(fields(garbage), None, "{garbage:?}");
        }
        assert_eq!(fields(b"\x0d1234\x0912345678").unwrap(), []);
    }
}
