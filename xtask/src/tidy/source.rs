//! Rust source without what only looks like code.

/// The text with comments and the contents of literals blanked. Lines keep their numbers, and
/// bytes their columns.
pub(super) fn code_only(text: &str) -> String {
    let mut blanker = Blanker {
        text: text.as_bytes(),
        at: 0,
        code: Vec::new(),
    };
    while blanker.at < blanker.text.len() {
        blanker.token();
    }
    String::from_utf8_lossy(&blanker.code).into_owned()
}

#[derive(Debug)]
struct Blanker<'a> {
    text: &'a [u8],
    at: usize,
    code: Vec<u8>,
}

impl Blanker<'_> {
    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn copy(&mut self) {
        self.code.push(self.peek(0));
        self.at += 1;
    }

    fn blank(&mut self) {
        self.code
            .push(if self.peek(0) == b'\n' { b'\n' } else { b' ' });
        self.at += 1;
    }

    fn blank_to(&mut self, end: usize) {
        while self.at < end.min(self.text.len()) {
            self.blank();
        }
    }

    fn token(&mut self) {
        match (self.peek(0), self.peek(1)) {
            (b'/', b'/') => {
                let length = self.rest().iter().position(|&byte| byte == b'\n');
                self.blank_to(length.map_or(self.text.len(), |length| self.at + length));
            }
            (b'/', b'*') => self.block_comment(),
            (b'"', _) => self.string(),
            (b'\'', _) => self.quote(),
            (byte, _) if is_word(byte) => self.word(),
            (byte, _) if byte.is_ascii() => self.copy(),
            _ => self.blank(),
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.text.len() {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => depth += 1,
                (b'*', b'/') => depth -= 1,
                _ => {
                    self.blank();
                    continue;
                }
            }
            self.blank_to(self.at + 2);
            if depth == 0 {
                return;
            }
        }
    }

    /// A whole identifier or number, so that the `r` of `for` is no raw string's.
    fn word(&mut self) {
        let length = self
            .rest()
            .iter()
            .take_while(|&&byte| is_word(byte))
            .count();
        let word = &self.rest()[..length];
        let raw = matches!(word, b"r" | b"br" | b"cr");
        self.code
            .extend_from_slice(&self.text[self.at..self.at + length]);
        self.at += length;
        let hashes = self.rest().iter().take_while(|&&byte| byte == b'#').count();
        if raw && self.peek(hashes) == b'"' {
            self.raw_string(hashes);
        }
    }

    fn raw_string(&mut self, hashes: usize) {
        let end = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
        let start = self.at + hashes + 1;
        let rest = self.text.get(start..).unwrap_or_default();
        let length = rest.windows(end.len()).position(|window| window == end);
        self.blank_to(length.map_or(self.text.len(), |length| start + length + end.len()));
    }

    fn string(&mut self) {
        self.copy();
        while self.at < self.text.len() && self.peek(0) != b'"' {
            let step = if self.peek(0) == b'\\' { 2 } else { 1 };
            self.blank_to(self.at + step);
        }
        if self.at < self.text.len() {
            self.copy();
        }
    }

    /// A character, or the start of a lifetime.
    fn quote(&mut self) {
        let length = match self.peek(1) {
            b'\\' => {
                let end = self.text.get(self.at + 3..).unwrap_or_default();
                end.iter()
                    .position(|&byte| byte == b'\'')
                    .map(|length| length + 4)
            }
            _ => {
                let ends = (2..=5).find(|&ahead| self.peek(ahead) == b'\'');
                let word = |ahead| is_word(self.peek(ahead)) && self.peek(ahead).is_ascii();
                ends.filter(|&end| end == 2 || !(1..end).any(word))
                    .map(|end| end + 1)
            }
        };
        match length {
            Some(length) => self.blank_to(self.at + length),
            None => self.copy(),
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

/// The byte positions at which a word stands, not as a part of a longer one.
pub(super) fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = text.as_bytes();
    let alone = move |at: usize| {
        let before = at.checked_sub(1).is_some_and(|at| is_word(bytes[at]));
        let after = bytes
            .get(at + word.len())
            .is_some_and(|&byte| is_word(byte));
        !before && !after
    };
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |&at| alone(at))
}

/// The number of the line, from 1, in which a byte stands.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    1 + text
        .as_bytes()
        .iter()
        .take(at)
        .filter(|&&byte| byte == b'\n')
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squeezed(text: &str) -> String {
        let code = code_only(text);
        assert_eq!(code.len(), text.len());
        code.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_go() {
        assert_eq!(
            squeezed("a // unsafe\nb /* unsafe /* x */ unsafe */ c"),
            "a b c"
        );
        assert_eq!(squeezed("/// unsafe\n//! x\nd"), "d");
    }

    #[test]
    fn literals_go() {
        assert_eq!(squeezed(r#"f("unsafe \" // x", 1)"#), r#"f(" ", 1)"#);
        assert_eq!(squeezed("r#\"unsafe \" {\"# b"), "r b");
        assert_eq!(
            squeezed("br\"\\\" c\"x\" b'{' '\\'' '\\u{7b}' '{' 'é' d"),
            "br c\" \" b d"
        );
    }

    #[test]
    fn lifetimes_and_labels_stay() {
        assert_eq!(
            squeezed("fn f<'a>(x: &'a str, y: &'b u8) {"),
            "fn f<'a>(x: &'a str, y: &'b u8) {"
        );
        assert_eq!(
            squeezed("'outer: for r in x {} r#type"),
            "'outer: for r in x {} r#type"
        );
    }

    #[test]
    fn unfinished_literals_do_not_run_over_the_end() {
        for text in ["\"abc", "r#\"abc", "/* abc", "'", "'\\", "\"\\", "//"] {
            assert_eq!(code_only(text).len(), text.len());
        }
    }

    #[test]
    fn words_stand_alone() {
        assert_eq!(
            words("unsafe_code unsafe xunsafe", "unsafe").collect::<Vec<_>>(),
            [12]
        );
        assert_eq!(line_of("a\nb\nc", 4), 3);
    }
}
