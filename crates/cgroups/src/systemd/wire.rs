//! The values of D-Bus and their bytes.
//!
//! See the [specification](https://dbus.freedesktop.org/doc/dbus-specification.html), "Type System"
//! and "Marshaling (Wire Format)".

use std::fmt::Write as _;

/// How deep values of a peer may be nested, and how long one message may be.
const MAX_DEPTH: u32 = 16;

/// A value with one of the types of D-Bus.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `y`
    Byte(u8),
    /// `b`
    Bool(bool),
    /// `i`
    Int32(i32),
    /// `u`
    Uint32(u32),
    /// `x`
    Int64(i64),
    /// `t`
    Uint64(u64),
    /// `d`
    Double(f64),
    /// `s`
    Str(String),
    /// `o`
    ObjectPath(String),
    /// `g`
    Signature(String),
    /// `a`: the signature of the elements, and the elements.
    Array(String, Vec<Value>),
    /// `(…)`
    Struct(Vec<Value>),
    /// `v`
    Variant(Box<Value>),
}

impl Value {
    pub(crate) fn str(text: impl Into<String>) -> Self {
        Self::Str(text.into())
    }

    pub(crate) fn variant(value: Self) -> Self {
        Self::Variant(Box::new(value))
    }

    /// Its type, in the letters of D-Bus.
    #[must_use]
    pub fn signature(&self) -> String {
        match self {
            Self::Byte(_) => "y".into(),
            Self::Bool(_) => "b".into(),
            Self::Int32(_) => "i".into(),
            Self::Uint32(_) => "u".into(),
            Self::Int64(_) => "x".into(),
            Self::Uint64(_) => "t".into(),
            Self::Double(_) => "d".into(),
            Self::Str(_) => "s".into(),
            Self::ObjectPath(_) => "o".into(),
            Self::Signature(_) => "g".into(),
            Self::Variant(_) => "v".into(),
            Self::Array(element, _) => format!("a{element}"),
            Self::Struct(fields) => {
                fields.iter().fold("(".to_owned(), |mut all, field| {
                    let _ = all.write_str(&field.signature());
                    all
                }) + ")"
            }
        }
    }

    /// Appends its bytes; `out` begins where positions are counted from.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        pad(out, alignment(self.signature().as_bytes()[0]));
        match self {
            Self::Byte(value) => out.push(*value),
            Self::Bool(value) => out.extend_from_slice(&u32::from(*value).to_ne_bytes()),
            Self::Int32(value) => out.extend_from_slice(&value.to_ne_bytes()),
            Self::Uint32(value) => out.extend_from_slice(&value.to_ne_bytes()),
            Self::Int64(value) => out.extend_from_slice(&value.to_ne_bytes()),
            Self::Uint64(value) => out.extend_from_slice(&value.to_ne_bytes()),
            Self::Double(value) => out.extend_from_slice(&value.to_ne_bytes()),
            Self::Str(text) | Self::ObjectPath(text) => {
                out.extend_from_slice(&length(text.len()).to_ne_bytes());
                out.extend_from_slice(text.as_bytes());
                out.push(0);
            }
            Self::Signature(text) => {
                out.push(text.len().min(255) as u8);
                out.extend_from_slice(text.as_bytes());
                out.push(0);
            }
            Self::Variant(value) => {
                Self::Signature(value.signature()).encode(out);
                value.encode(out);
            }
            Self::Struct(fields) => fields.iter().for_each(|field| field.encode(out)),
            Self::Array(element, values) => {
                let place = out.len();
                out.extend_from_slice(&[0; 4]);
                pad(
                    out,
                    alignment(element.as_bytes().first().copied().unwrap_or(b'y')),
                );
                let start = out.len();
                values.iter().for_each(|value| value.encode(out));
                let bytes = length(out.len() - start);
                out[place..place + 4].copy_from_slice(&bytes.to_ne_bytes());
            }
        }
    }

    /// The text of a string or a path.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Str(text) | Self::ObjectPath(text) | Self::Signature(text) => Some(text),
            Self::Variant(value) => value.text(),
            _ => None,
        }
    }
}

/// What is longer than 4 GiB is refused by the bus, as is everything above 128 MiB.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn alignment(letter: u8) -> usize {
    match letter {
        b'y' | b'g' | b'v' => 1,
        b'n' | b'q' => 2,
        b'x' | b't' | b'd' | b'(' | b'{' => 8,
        _ => 4,
    }
}

pub(crate) fn pad(out: &mut Vec<u8>, alignment: usize) {
    out.resize(out.len().next_multiple_of(alignment), 0);
}

/// Reads values; `None` for whatever is not as it has to be.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// All values that a signature names.
    pub(crate) fn values(&mut self, signature: &str) -> Option<Vec<Value>> {
        let mut types = signature.as_bytes();
        let mut values = Vec::new();
        while !types.is_empty() {
            values.push(self.value(&mut types, 0)?);
        }
        Some(values)
    }

    pub(crate) fn align(&mut self, alignment: usize) -> Option<()> {
        let to = self.at.next_multiple_of(alignment);
        (to <= self.bytes.len()).then(|| self.at = to)
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn number<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.align(N)?;
        self.take(N)?.try_into().ok()
    }

    fn string(&mut self, count: usize) -> Option<String> {
        let text = std::str::from_utf8(self.take(count)?).ok()?.to_owned();
        (self.take(1)? == [0]).then_some(text)
    }

    fn value(&mut self, types: &mut &[u8], depth: u32) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        let (&letter, rest) = types.split_first()?;
        *types = rest;
        Some(match letter {
            b'y' => Value::Byte(self.take(1)?[0]),
            b'b' => Value::Bool(u32::from_ne_bytes(self.number()?) != 0),
            b'n' => Value::Int32(i16::from_ne_bytes(self.number()?).into()),
            b'q' => Value::Uint32(u16::from_ne_bytes(self.number()?).into()),
            b'i' => Value::Int32(i32::from_ne_bytes(self.number()?)),
            b'u' | b'h' => Value::Uint32(u32::from_ne_bytes(self.number()?)),
            b'x' => Value::Int64(i64::from_ne_bytes(self.number()?)),
            b't' => Value::Uint64(u64::from_ne_bytes(self.number()?)),
            b'd' => Value::Double(f64::from_ne_bytes(self.number()?)),
            b's' | b'o' => {
                let count = u32::from_ne_bytes(self.number()?);
                let text = self.string(usize::try_from(count).ok()?)?;
                match letter {
                    b's' => Value::Str(text),
                    _ => Value::ObjectPath(text),
                }
            }
            b'g' => {
                let count = self.take(1)?[0];
                Value::Signature(self.string(count.into())?)
            }
            b'v' => {
                let count = self.take(1)?[0];
                let signature = self.string(count.into())?;
                let mut types = signature.as_bytes();
                let value = self.value(&mut types, depth + 1)?;
                types.is_empty().then(|| Value::variant(value))?
            }
            b'(' | b'{' => self.fields(types, letter, depth)?,
            b'a' => self.array(types, depth)?,
            _ => return None,
        })
    }

    fn fields(&mut self, types: &mut &[u8], open: u8, depth: u32) -> Option<Value> {
        self.align(8)?;
        let close = if open == b'(' { b')' } else { b'}' };
        let mut fields = Vec::new();
        while *types.first()? != close {
            fields.push(self.value(types, depth + 1)?);
        }
        *types = &types[1..];
        Some(Value::Struct(fields))
    }

    fn array(&mut self, types: &mut &[u8], depth: u32) -> Option<Value> {
        let count = usize::try_from(u32::from_ne_bytes(self.number()?)).ok()?;
        let element = element(types)?;
        self.align(alignment(element[0]))?;
        let end = self.at.checked_add(count)?;
        let mut values = Vec::new();
        while self.at < end {
            let mut types = element;
            let before = self.at;
            values.push(self.value(&mut types, depth + 1)?);
            // An element of no bytes would never come to the end.
            (self.at > before).then_some(())?;
        }
        *types = &types[element.len()..];
        let element = std::str::from_utf8(element).ok()?.to_owned();
        (self.at == end).then_some(Value::Array(element, values))
    }
}

/// The first complete type of a signature.
fn element<'a>(types: &&'a [u8]) -> Option<&'a [u8]> {
    let mut open = 0_usize;
    for (index, letter) in types.iter().enumerate() {
        match letter {
            b'a' => continue,
            b'(' | b'{' => open += 1,
            b')' | b'}' => open = open.checked_sub(1)?,
            _ => {}
        }
        if open == 0 {
            return types.get(..=index);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn property(name: &str, value: Value) -> Value {
        Value::Struct(vec![Value::str(name), Value::variant(value)])
    }

    #[test]
    fn values_are_read_as_they_were_written() {
        let rate = Value::Struct(vec![Value::str("/dev/block/8:0"), Value::Uint64(1)]);
        let values = [
            Value::Byte(7),
            Value::str("x.scope"),
            Value::Array(
                "(sv)".into(),
                vec![
                    property("Delegate", Value::Bool(true)),
                    property("PIDs", Value::Array("u".into(), vec![Value::Uint32(7)])),
                    property(
                        "IOReadBandwidthMax",
                        Value::Array("(st)".into(), vec![rate]),
                    ),
                    property("MemoryMax", Value::Uint64(u64::MAX)),
                    property(
                        "N",
                        Value::Struct(vec![Value::Int64(-1), Value::Double(0.5)]),
                    ),
                ],
            ),
            Value::Array("(sa(sv))".into(), Vec::new()),
            Value::ObjectPath("/org".into()),
            Value::Signature("as".into()),
            Value::Int32(-5),
        ];
        let signature: String = values.iter().map(Value::signature).collect();
        assert_eq!(signature, "ysa(sv)a(sa(sv))ogi");
        let mut bytes = Vec::new();
        values.iter().for_each(|value| value.encode(&mut bytes));
        assert_eq!(Reader::new(&bytes).values(&signature).unwrap(), values);
        // Whatever is cut off, what is left is not understood, and nothing is read beyond it.
        for end in 0..bytes.len() {
            assert_eq!(Reader::new(&bytes[..end]).values(&signature), None, "{end}");
        }
    }

    #[test]
    fn bytes_are_those_of_the_specification() {
        let mut bytes = vec![1; 5];
        Value::Array("t".into(), vec![Value::Uint64(5)]).encode(&mut bytes);
        // The length at a multiple of four, and the number at one of eight; what is between them
        // does not count.
        let mut expected = vec![1, 1, 1, 1, 1, 0, 0, 0];
        expected.extend_from_slice(&8_u32.to_ne_bytes());
        expected.extend_from_slice(&[0; 4]);
        expected.extend_from_slice(&5_u64.to_ne_bytes());
        assert_eq!(bytes, expected);
        let mut bytes = Vec::new();
        Value::variant(Value::str("ab")).encode(&mut bytes);
        let mut expected = b"\x01s\0\0".to_vec();
        expected.extend_from_slice(&2_u32.to_ne_bytes());
        expected.extend_from_slice(b"ab\0");
        assert_eq!(bytes, expected);
    }

    #[test]
    fn what_a_peer_may_not_say_is_not_understood() {
        let deep = "(".repeat(40) + "y" + &")".repeat(40);
        for signature in ["a", "(", "(s", "z", "a{", deep.as_str()] {
            assert_eq!(
                Reader::new(&[0; 256]).values(signature),
                None,
                "{signature}"
            );
        }
        // An array of empty structures that claims to have bytes.
        assert_eq!(Reader::new(&[8, 0, 0, 0, 0, 0, 0, 0]).values("a()"), None);
        let mut variant = vec![2, b's', b's', 0, 0, 0, 0, 0];
        variant.extend_from_slice(&[0; 16]);
        assert_eq!(Reader::new(&variant).values("v"), None);
    }
}
