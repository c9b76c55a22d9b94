//! Properties that annotations give: `org.systemd.property.NAME`, with a value in the text form of
//! GVariant.

use super::wire::Value;
use super::{Property, properties};
use crate::Error;

const PREFIX: &str = "org.systemd.property.";

/// How deep arrays and tuples may be nested.
const MAX_DEPTH: u32 = 8;

impl Property {
    /// Reads an annotation; `None` when it is about something else.
    ///
    /// The value is written as gdbus(1) does: `'text'`, `true`, `5` (an `i`), `uint64 5`, `0.5`,
    /// `['a', 'b']`, `@as []`, `('a', 5)`. A property in seconds, such as `TimeoutStopSec`, may be a
    /// number of any type, and becomes the one in microseconds that D-Bus has.
    ///
    /// # Errors
    /// [`Error::SystemdProperty`] for a name that no property has, or a value that is none.
    pub fn from_annotation(key: &str, text: &str) -> Result<Option<Self>, Error> {
        let Some(name) = key.strip_prefix(PREFIX) else {
            return Ok(None);
        };
        let wrong = |reason| Error::SystemdProperty {
            name: name.to_owned(),
            value: text.to_owned(),
            reason,
        };
        let letters = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphabetic());
        if !letters || !name.starts_with(|letter: char| letter.is_ascii_uppercase()) {
            return Err(wrong(
                "a property's name is of letters and begins with a capital",
            ));
        }
        let mut parser = Parser { rest: text };
        let value = parser.value(0).filter(|_| parser.at_end());
        let value = value.ok_or_else(|| wrong("is no value in the text form of GVariant"))?;
        let of_seconds = name.strip_suffix("Sec").filter(|stem| {
            // `SecureBits` and `USec` are other words.
            stem.ends_with(|letter: char| letter.is_ascii_lowercase())
        });
        let property = match of_seconds {
            None => Self::new(name, value),
            Some(stem) => {
                let us = properties::microseconds(&value);
                let us = us.ok_or_else(|| wrong("is no number of seconds"))?;
                Self::new(format!("{stem}USec"), Value::Uint64(us))
            }
        };
        Ok(Some(property))
    }
}

#[derive(Debug)]
struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn at_end(&mut self) -> bool {
        self.blank();
        self.rest.is_empty()
    }

    fn blank(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn found(&mut self, token: &str) -> bool {
        self.blank();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// A word of letters, digits and the signs of numbers.
    fn word(&mut self) -> &'a str {
        self.blank();
        let part = |letter: char| letter.is_ascii_alphanumeric() || "+-._".contains(letter);
        let end = self.rest.find(|letter| !part(letter));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }

    fn value(&mut self, depth: u32) -> Option<Value> {
        self.blank();
        if depth > MAX_DEPTH {
            return None;
        }
        match self.rest.chars().next()? {
            '\'' | '"' => self.string().map(Value::Str),
            '[' => self.array(None, depth),
            '(' => self.tuple(depth),
            '<' => {
                self.found("<");
                let value = self.value(depth + 1)?;
                self.found(">").then(|| Value::variant(value))
            }
            '@' => {
                self.found("@");
                let signature = self.word();
                match signature.strip_prefix('a') {
                    // Without elements the type can't be told from the value.
                    Some(element) if !element.is_empty() => self.array(Some(element), depth),
                    _ => {
                        let value = self.value(depth + 1)?;
                        (value.signature() == signature).then_some(value)
                    }
                }
            }
            _ => self.keyword(),
        }
    }

    fn keyword(&mut self) -> Option<Value> {
        match self.word() {
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            "boolean" => match self.word() {
                "true" => Some(Value::Bool(true)),
                "false" => Some(Value::Bool(false)),
                _ => None,
            },
            "byte" => integer(self.word())?.try_into().ok().map(Value::Byte),
            "int32" => integer(self.word())?.try_into().ok().map(Value::Int32),
            "uint32" => integer(self.word())?.try_into().ok().map(Value::Uint32),
            "int64" => integer(self.word())?.try_into().ok().map(Value::Int64),
            "uint64" => integer(self.word())?.try_into().ok().map(Value::Uint64),
            "double" => self.word().parse().ok().map(Value::Double),
            "string" => self.string().map(Value::Str),
            "objectpath" => self.string().map(Value::ObjectPath),
            "signature" => self.string().map(Value::Signature),
            number => match integer(number) {
                Some(number) => number.try_into().ok().map(Value::Int32),
                None if number.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => {
                    number.parse().ok().map(Value::Double)
                }
                None => None,
            },
        }
    }

    fn string(&mut self) -> Option<String> {
        self.blank();
        let quote = self
            .rest
            .chars()
            .next()
            .filter(|letter| "'\"".contains(*letter))?;
        let mut text = String::new();
        let mut letters = self.rest.char_indices().skip(1);
        while let Some((index, letter)) = letters.next() {
            match letter {
                '\\' => text.push(match letters.next()?.1 {
                    'n' => '\n',
                    't' => '\t',
                    other => other,
                }),
                _ if letter == quote => {
                    self.rest = &self.rest[index + 1..];
                    return Some(text);
                }
                other => text.push(other),
            }
        }
        None
    }

    fn array(&mut self, element: Option<&str>, depth: u32) -> Option<Value> {
        let values = self.list("[", "]", depth)?;
        let element = match (element, values.first()) {
            (Some(element), _) => element.to_owned(),
            (None, Some(first)) => first.signature(),
            (None, None) => return None,
        };
        let same = values.iter().all(|value| value.signature() == element);
        same.then_some(Value::Array(element, values))
    }

    fn tuple(&mut self, depth: u32) -> Option<Value> {
        let values = self.list("(", ")", depth)?;
        (!values.is_empty()).then_some(Value::Struct(values))
    }

    fn list(&mut self, open: &str, close: &str, depth: u32) -> Option<Vec<Value>> {
        self.found(open).then_some(())?;
        let mut values = Vec::new();
        while !self.found(close) {
            values.push(self.value(depth + 1)?);
            if !self.found(",") {
                return self.found(close).then_some(values);
            }
        }
        Some(values)
    }
}

fn integer(word: &str) -> Option<i128> {
    match word.strip_prefix("0x") {
        Some(digits) => i128::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn property(name: &str, text: &str) -> Result<Option<Property>, Error> {
        Property::from_annotation(&format!("org.systemd.property.{name}"), text)
    }

    fn value(text: &str) -> Value {
        property("X", text).unwrap().unwrap().value().clone()
    }

    #[test]
    fn values_have_the_types_of_gvariant() {
        assert_eq!(value("'a b'"), Value::str("a b"));
        assert_eq!(value(r#" "it's \"it\"" "#), Value::str("it's \"it\""));
        assert_eq!(value("true"), Value::Bool(true));
        assert_eq!(value("-5"), Value::Int32(-5));
        assert_eq!(value("uint64 0xff"), Value::Uint64(255));
        assert_eq!(value("byte 7"), Value::Byte(7));
        assert_eq!(value("0.5"), Value::Double(0.5));
        assert_eq!(value("objectpath '/a'"), Value::ObjectPath("/a".into()));
        assert_eq!(value("@as []"), Value::Array("s".into(), vec![]));
        let texts = vec![Value::str("a"), Value::str("b")];
        assert_eq!(value("['a', 'b']"), Value::Array("s".into(), texts.clone()));
        assert_eq!(value("('a','b',)"), Value::Struct(texts));
        let pair = Value::Struct(vec![Value::str("a"), Value::Uint64(1)]);
        assert_eq!(
            value("[('a', uint64 1)]"),
            Value::Array("(st)".into(), vec![pair])
        );
    }

    #[test]
    fn seconds_become_microseconds() {
        for (text, expected) in [("5", 5_000_000), ("uint64 2", 2_000_000), ("0.25", 250_000)] {
            let found = property("TimeoutStopSec", text).unwrap().unwrap();
            assert_eq!(
                found,
                Property::new("TimeoutStopUSec", Value::Uint64(expected))
            );
        }
        let plain = property("TimeoutStopUSec", "uint64 5").unwrap().unwrap();
        assert_eq!(plain.name(), "TimeoutStopUSec");
        assert!(property("TimeoutStopSec", "'5'").is_err());
        assert!(property("TimeoutStopSec", "-1").is_err());
    }

    #[test]
    fn what_is_no_value_is_refused() {
        let deep = "(".repeat(50) + "1" + &")".repeat(50);
        for text in [
            "",
            "yes",
            "'a",
            "5 6",
            "[]",
            "()",
            "[1, 'a']",
            "uint32 -1",
            "byte 256",
            "4294967296",
            "@s 5",
            "[1",
            "(1",
            "<1",
            "nan",
            "\\",
            &deep,
        ] {
            assert!(property("X", text).is_err(), "{text}");
        }
        for name in ["", "lower", "With-Dash", "With.Dot", "Numb3r"] {
            assert!(property(name, "true").is_err(), "{name}");
        }
        assert_eq!(Property::from_annotation("org.other", "x").unwrap(), None);
    }
}
