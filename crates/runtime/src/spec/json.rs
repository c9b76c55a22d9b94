//! Reading JSON: bounded, and with errors that name the property.

use serde::de::DeserializeOwned;

use super::{Process, Resources, Spec};
use crate::Error;

/// The longest document that is read. The kernel takes 6 MiB of arguments and environment at most;
/// what is longer than this is no configuration.
pub const MAX_BYTES: usize = 8 << 20;

/// How deep objects and arrays may be nested. The specification needs seven levels.
pub const MAX_DEPTH: usize = 100;

/// The newest version of the specification that is followed: its major and minor number.
pub(crate) const NEWEST: (u64, u64) = (1, 3);

impl Spec {
    /// Reads `config.json`.
    ///
    /// What its properties say is not judged yet, and unknown ones are ignored:
    /// [`Plan::new`](crate::Plan::new) does the former.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the property (`mounts[3].options`) where the document is no JSON,
    /// has a value of another type than the specification's, or a key twice; `ociVersion` when it is
    /// written for another version; `config.json` when it is longer than [`MAX_BYTES`], nested
    /// deeper than [`MAX_DEPTH`], or no UTF-8.
    pub fn from_json(text: &[u8]) -> Result<Self, Error> {
        Self::boxed_from_json(text).map(|spec| *spec)
    }

    /// The same in a place of its own: it has some kilobytes, and is handed on often.
    pub(crate) fn boxed_from_json(text: &[u8]) -> Result<Box<Self>, Error> {
        let spec: Box<Self> = read(text, "config.json")?;
        check_version(&spec.oci_version)?;
        Ok(spec)
    }
}

impl Process {
    /// Reads a `process` that stands alone, as for `exec --process`.
    ///
    /// # Errors
    /// [`Error::Invalid`], as [`Spec::from_json`] has it; the document as a whole is `process`.
    pub fn from_json(text: &[u8]) -> Result<Self, Error> {
        read(text, "process")
    }
}

impl Resources {
    /// Reads `resources` that stand alone, as for `update --resources`.
    ///
    /// # Errors
    /// [`Error::Invalid`], as [`Spec::from_json`] has it; the document as a whole is `resources`.
    pub fn from_json(text: &[u8]) -> Result<Self, Error> {
        read(text, "resources")
    }
}

fn read<T: DeserializeOwned>(text: &[u8], name: &str) -> Result<T, Error> {
    let refused = |reason: String| Err(Error::invalid(name, reason));
    if text.len() > MAX_BYTES {
        let length = text.len();
        return refused(format!("has {length} bytes, more than {MAX_BYTES}"));
    }
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => {
            let place = error.valid_up_to();
            return refused(format!("is not UTF-8 at byte {place}"));
        }
    };
    if too_deep(text.as_bytes()) {
        return refused(format!("is nested deeper than {MAX_DEPTH} levels"));
    }
    serde_json::from_str(text).map_err(|error| {
        let property = property_at(text, error.line(), error.column());
        let property = if property.is_empty() { name } else { &property };
        Error::invalid(property, error.to_string())
    })
}

/// A semantic version of the specification, of which every `1.x` up to the newest is understood.
fn check_version(version: &str) -> Result<(), Error> {
    const FIELD: &str = "ociVersion";
    if version.is_empty() {
        return Err(Error::invalid(FIELD, "is missing"));
    }
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let mut numbers = core.split('.').map(|number| {
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        let canonical = number == "0" || !number.starts_with('0');
        (digits && canonical)
            .then(|| number.parse::<u64>().ok())
            .flatten()
    });
    let mut next = || numbers.next().flatten();
    let (Some(major), Some(minor), Some(_), None) = (next(), next(), next(), numbers.next()) else {
        let reason = format!("\"{}\" is no semantic version", version.escape_debug());
        return Err(Error::invalid(FIELD, reason));
    };
    if major == NEWEST.0 && minor <= NEWEST.1 {
        return Ok(());
    }
    let (newest_major, newest_minor) = NEWEST;
    let reason = format!("{version} is not supported, but 1.0.0 to {newest_major}.{newest_minor}");
    Err(Error::invalid(FIELD, reason))
}

/// What matters about a document without reading its values.
enum Token<'a> {
    Open(u8),
    Close,
    Comma,
    Text(&'a str),
}

/// The brackets, commas and strings of a document up to a byte. What is no JSON does not stop it.
struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let bytes = self.text.as_bytes();
        loop {
            let byte = *bytes.get(self.at)?;
            self.at += 1;
            match byte {
                b'{' | b'[' => return Some(Token::Open(byte)),
                b'}' | b']' => return Some(Token::Close),
                b',' => return Some(Token::Comma),
                b'"' => {
                    let start = self.at;
                    while let Some(byte) = bytes.get(self.at).filter(|byte| **byte != b'"') {
                        // An escaped quotation mark does not end the string.
                        self.at += if *byte == b'\\' { 2 } else { 1 };
                    }
                    let end = self.at.min(bytes.len());
                    self.at = end + 1;
                    return Some(Token::Text(self.text.get(start..end).unwrap_or_default()));
                }
                _ => {}
            }
        }
    }
}

fn too_deep(text: &[u8]) -> bool {
    // Without so many brackets there are not so many levels, and counting them costs nothing.
    let brackets = text.iter().filter(|byte| matches!(byte, b'{' | b'['));
    if brackets.count() <= MAX_DEPTH {
        return false;
    }
    let text = std::str::from_utf8(text).unwrap_or_default();
    let mut depth = 0usize;
    Tokens { text, at: 0 }.any(|token| {
        match token {
            Token::Open(_) => depth += 1,
            Token::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > MAX_DEPTH
    })
}

/// Where one is in an object or array.
enum Level<'a> {
    Object { key: &'a str, inside: bool },
    Array { index: usize },
}

/// The property at which reading stopped, found by going over the text once more: so a document
/// without a fault pays nothing for the names.
fn property_at(text: &str, line: usize, column: usize) -> String {
    let before = text.split_inclusive('\n').take(line.saturating_sub(1));
    let start: usize = before.map(str::len).sum();
    let mut end = start.saturating_add(column).min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end).unwrap_or_default();
    // A bracket at the very end is the value that was refused, not a step into it.
    let text = text.strip_suffix(['{', '[']).unwrap_or(text);
    let mut levels: Vec<Level<'_>> = Vec::new();
    for token in (Tokens { text, at: 0 }) {
        match (token, levels.last_mut()) {
            (Token::Open(b'['), _) => levels.push(Level::Array { index: 0 }),
            (Token::Open(_), _) => levels.push(Level::Object {
                key: "",
                inside: false,
            }),
            (Token::Close, _) => drop(levels.pop()),
            (Token::Comma, Some(Level::Array { index })) => *index += 1,
            (Token::Comma, Some(Level::Object { inside, .. })) => *inside = false,
            (Token::Text(text), Some(Level::Object { key, inside })) if !*inside => {
                (*key, *inside) = (text, true);
            }
            _ => {}
        }
    }
    name(&levels)
}

/// As in `linux.resources.memory`, `mounts[3].options[1]`, `annotations["org.example"]`.
fn name(levels: &[Level<'_>]) -> String {
    let mut name = String::new();
    for level in levels {
        let part = match level {
            Level::Array { index } => format!("[{index}]"),
            Level::Object { key: "", .. } => break,
            Level::Object { key, .. } => {
                let word = key.bytes().all(|byte| byte.is_ascii_alphanumeric());
                match (word, name.is_empty()) {
                    (true, true) => (*key).to_owned(),
                    (true, false) => format!(".{key}"),
                    (false, _) => format!("[\"{}\"]", key.escape_debug()),
                }
            }
        };
        name.push_str(&part);
    }
    name
}

#[cfg(test)]
mod tests;
