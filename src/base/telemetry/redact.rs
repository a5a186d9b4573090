//! Masks what must never be logged: telephone numbers, signing secrets, tokens, passwords in URLs.
//!
//! The last line of defence, not the first: callers log the keyed hash. But an error text of somebody else's may carry
//! a number or a token along, and that is caught here, for every line.

use std::borrow::Cow;

/// What stands in a line in place of a number.
pub const PHONE: &str = "[phone]";
/// What stands in a line in place of a secret.
pub const SECRET: &str = "[secret]";

/// Field names whose value is never written, whatever it looks like.
const SENSITIVE: [&str; 12] = [
    "phone",
    "phone_number",
    "to_number",
    "from_number",
    "token",
    "auth_token",
    "secret",
    "password",
    "authorization",
    "api_key",
    "signing_secret",
    "credential",
];

/// Whether a field of this name is masked whole.
#[must_use]
pub fn is_sensitive(field: &str) -> bool {
    SENSITIVE.contains(&field)
}

/// `text` with everything masked that looks like a number in E.164 (`+` and at least 8 digits, single separators
/// allowed, `%2B` too), `whsec_…`, `sk-…`, a Bearer or Basic token, or the user part of a URL.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while at < bytes.len() {
        let found = match bytes[at] {
            b'+' => phone(&bytes[at + 1..]).map(|n| (at, at + 1 + n, PHONE)),
            b'%' if starts_with(&bytes[at..], b"%2b") => {
                phone(&bytes[at + 3..]).map(|n| (at, at + 3 + n, PHONE))
            }
            b'w' if bytes[at..].starts_with(b"whsec_") => Some((at, at + 6 + run(&bytes[at + 6..]), SECRET)),
            b's' if bytes[at..].starts_with(b"sk-") && !follows_word(bytes, at) => {
                let n = run(&bytes[at + 3..]);
                (n >= 16).then_some((at, at + 3 + n, SECRET))
            }
            b'b' | b'B' => scheme_token(bytes, at),
            b':' if bytes[at..].starts_with(b"://") => {
                userinfo(&bytes[at + 3..]).map(|n| (at + 3, at + 3 + n, SECRET))
            }
            _ => None,
        };
        // Every pattern begins and ends next to ASCII, so these are character boundaries.
        if let Some((from, to, mask)) = found {
            out.push_str(&text[copied..from]);
            out.push_str(mask);
            copied = to;
            at = to;
        } else {
            at += 1;
        }
    }
    if copied == 0 && out.is_empty() {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// How many bytes after a plus sign belong to a telephone number; `None` where they are none.
fn phone(rest: &[u8]) -> Option<usize> {
    let (mut digits, mut end, mut separators) = (0, 0, 0);
    for (at, byte) in rest.iter().enumerate() {
        if byte.is_ascii_digit() {
            digits += 1;
            end = at + 1;
            separators = 0;
        } else if matches!(byte, b' ' | b'-' | b'.' | b'(' | b')') && digits < 15 && separators < 2 {
            separators += 1;
        } else {
            break;
        }
    }
    (digits >= 8).then_some(end)
}

/// A credential after "Bearer " or "Basic ", the scheme's name kept.
fn scheme_token(bytes: &[u8], at: usize) -> Option<(usize, usize, &'static str)> {
    let scheme = [&b"bearer "[..], &b"basic "[..]].into_iter().find(|s| starts_with(&bytes[at..], s))?;
    let from = at + scheme.len();
    let n = run(&bytes[from..]);
    // Short words after it are prose ("bearer of bad news"), not credentials.
    (n >= 8 && !follows_word(bytes, at)).then_some((from, from + n, SECRET))
}

/// The length of `user:password` in front of the `@` of a URL's authority.
fn userinfo(rest: &[u8]) -> Option<usize> {
    let end = rest
        .iter()
        .position(|b| matches!(b, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>') || b.is_ascii_whitespace())
        .unwrap_or(rest.len());
    rest[..end].iter().rposition(|b| *b == b'@').filter(|n| *n > 0)
}

/// The length of the run of characters that keys and tokens are written in.
fn run(rest: &[u8]) -> usize {
    rest.iter()
        .position(|b| {
            !(b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'_' | b'-' | b'.' | b'~'))
        })
        .unwrap_or(rest.len())
}

fn follows_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && bytes[at - 1].is_ascii_alphanumeric()
}

fn starts_with(bytes: &[u8], lowercase: &[u8]) -> bool {
    bytes.get(..lowercase.len()).is_some_and(|head| head.eq_ignore_ascii_case(lowercase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_secrets_are_masked() {
        for (given, wanted) in [
            ("dialing +14155550100 now", "dialing [phone] now"),
            ("To=%2B14155550100&From=%2b441632960961", "To=[phone]&From=[phone]"),
            ("call +1 (415) 555-0100.", "call [phone]."),
            ("\"+4930123456\"", "\"[phone]\""),
            ("key whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw!", "key [secret]!"),
            ("Authorization: Bearer abc.def-123456", "Authorization: Bearer [secret]"),
            ("authorization: basic QUMxMjM6c2VjcmV0", "authorization: basic [secret]"),
            ("sk-proj-abcdefghijklmnop", "[secret]"),
            ("redis://user:p@ss@host:6379/0", "redis://[secret]@host:6379/0"),
            ("é+14155550100é", "é[phone]é"),
            ("+14155550100+14155550101", "[phone][phone]"),
        ] {
            assert_eq!(redact(given), wanted);
        }
    }

    #[test]
    fn what_only_resembles_them_stays() {
        for text in [
            "",
            "2026-11-21T04:52:28+00:00",
            "1e+10 and +1234567",
            "bearer of bad news",
            "https://example.com/a@b",
            "took 1763700000000 ms",
            "task-force and risk-assessment-of-everything",
            "+",
            "%2",
            "naïve – text",
        ] {
            assert!(matches!(redact(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }
}
