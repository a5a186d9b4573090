//! Rust source as a row of tokens, without comments, strings and characters: enough to see which paths a file uses,
//! and blind to what only looks like one in a text.

/// A word (identifier, keyword, number) or one character of punctuation; `::` is one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    /// From 1.
    pub(super) line: usize,
}

/// The tokens of `source`, in order.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let mut lexer = Lexer { chars: &chars, at: 0, line: 1 };
    let mut out = Vec::new();
    while let Some(token) = lexer.next_token() {
        out.push(token);
    }
    out
}

/// Whether `pattern`, a row of token texts, occurs in `tokens`; the lines where it begins.
pub(super) fn find(tokens: &[Token], pattern: &[&str]) -> Vec<usize> {
    tokens
        .windows(pattern.len())
        .filter(|window| window.iter().zip(pattern).all(|(token, text)| token.text == *text))
        .map(|window| window[0].line)
        .collect()
}

struct Lexer<'a> {
    chars: &'a [char],
    at: usize,
    line: usize,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek(0)?;
        self.at += 1;
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn next_token(&mut self) -> Option<Token> {
        loop {
            let c = self.peek(0)?;
            match c {
                _ if c.is_whitespace() => {
                    self.bump();
                }
                '/' if self.peek(1) == Some('/') => {
                    while self.peek(0).is_some_and(|c| c != '\n') {
                        self.bump();
                    }
                }
                '/' if self.peek(1) == Some('*') => self.block_comment(),
                '"' => self.string(),
                '\'' => self.quote(),
                _ if is_word(c) => {
                    let line = self.line;
                    let mut text = String::new();
                    while let Some(c) = self.peek(0).filter(|c| is_word(*c)) {
                        text.push(c);
                        self.bump();
                    }
                    let raw = matches!(text.as_str(), "r" | "br" | "cr");
                    match self.peek(0) {
                        Some('"') if raw => self.raw_string(0),
                        Some('"') if matches!(text.as_str(), "b" | "c") => self.string(),
                        Some('\'') if text == "b" => self.quote(),
                        Some('#') if raw => {
                            let hashes = self.chars[self.at..].iter().take_while(|c| **c == '#').count();
                            if self.peek(hashes) == Some('"') {
                                self.at += hashes;
                                self.raw_string(hashes);
                            } else {
                                // A raw identifier: r#type is the word `type`.
                                self.at += hashes;
                            }
                        }
                        _ => return Some(Token { text, line }),
                    }
                }
                _ => {
                    let line = self.line;
                    self.bump();
                    if c == ':' && self.peek(0) == Some(':') {
                        self.bump();
                        return Some(Token { text: "::".into(), line });
                    }
                    return Some(Token { text: c.into(), line });
                }
            }
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while let Some(c) = self.bump() {
            match (c, self.peek(0)) {
                ('/', Some('*')) => {
                    self.bump();
                    depth += 1;
                }
                ('*', Some('/')) => {
                    self.bump();
                    depth -= 1;
                    if depth == 0 {
                        return;
                    }
                }
                _ => {}
            }
        }
    }

    fn string(&mut self) {
        self.bump();
        while let Some(c) = self.bump() {
            match c {
                '\\' => {
                    self.bump();
                }
                '"' => return,
                _ => {}
            }
        }
    }

    fn raw_string(&mut self, hashes: usize) {
        self.bump();
        while let Some(c) = self.bump() {
            if c == '"' && self.chars[self.at..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
            {
                self.at += hashes;
                return;
            }
        }
    }

    /// A character, or a lifetime, which is left out as well.
    fn quote(&mut self) {
        self.bump();
        if self.peek(0) == Some('\\') {
            self.bump();
            self.bump();
            while self.bump().is_some_and(|c| c != '\'') {}
        } else if self.peek(1) == Some('\'') {
            self.bump();
            self.bump();
        } else {
            while self.peek(0).is_some_and(is_word) {
                self.bump();
            }
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        tokens(source).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn texts_and_comments_are_not_code() {
        let source = r##"
            // crate::a
            /* crate::b /* nested */ crate::c */
            let s = "crate::d \" crate::e"; let r = r#"crate::f " crate::g"#; let b = b"x";
            let c = '"'; let q = '\''; let n = '\u{1F600}'; fn f<'a>(x: &'a str) {}
            use crate::h;
        "##;
        let found = tokens(source);
        assert_eq!(find(&found, &["crate", "::", "h"]), [6]);
        assert_eq!(find(&found, &["crate"]).len(), 1, "{:?}", words(source));
    }

    #[test]
    fn raw_identifiers_are_words() {
        assert_eq!(words("r#type::x"), ["type", "::", "x"]);
    }
}
