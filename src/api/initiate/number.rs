//! Telephone numbers as people and spreadsheets write them into a list.

use crate::api::problems::FieldError;
use crate::domain::phone::{Phone, PhoneError};

/// Reads a number; an error names `field` and shows what stood there.
pub(super) fn parse(text: &str, region: &str, field: &str) -> Result<Phone, FieldError> {
    let clean = clean(text);
    if scientific(clean) {
        let reason = "was turned into scientific notation by the spreadsheet, which loses digits; format the column \
                      as text and enter the number again";
        return Err(FieldError::new(field, reason).code("phone_scientific").showing(text));
    }
    Phone::parse(clean, region).map_err(|e| {
        let error = FieldError::new(field, e.to_string()).code(e.code());
        if e == PhoneError::Empty { error } else { error.showing(text) }
    })
}

/// Adds another number of the same contact, once.
pub(super) fn add(known: &mut Vec<Phone>, first: Option<&Phone>, phone: Phone) {
    if first != Some(&phone) && !known.contains(&phone) {
        known.push(phone);
    }
}

/// Several numbers in one cell: `a;b`, `a|b`, or one a line. An extension (`;ext=5`) is no number of its own.
pub(super) fn several(cell: &str) -> impl Iterator<Item = &str> {
    const BETWEEN: [char; 4] = [';', '|', '\n', '\r'];
    let digits = |part: &str| part.bytes().filter(u8::is_ascii_digit).count();
    let many =
        cell.contains(BETWEEN) && cell.split(BETWEEN).all(|part| part.trim().is_empty() || digits(part) >= 5);
    let (split, whole) = if many { (Some(cell.split(BETWEEN)), None) } else { (None, Some(cell)) };
    split.into_iter().flatten().chain(whole).map(str::trim).filter(|part| !part.is_empty())
}

/// Without what spreadsheets and address books put around a number: blanks of every width, marks of the writing
/// direction, the apostrophe that says "text", and the decimals of a number that was read as one.
fn clean(text: &str) -> &str {
    let around = |c: char| {
        c.is_whitespace()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let text = text.trim_matches(around);
    let text = match text.strip_prefix('\'') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit() || c == '+' || c == '(') => rest,
        _ => text,
    };
    match text.strip_suffix(".0") {
        Some(whole) if whole.len() >= 7 && whole.bytes().all(|b| b.is_ascii_digit()) => whole,
        _ => text,
    }
}

/// `4.155550100E+09`, with a point or a comma.
fn scientific(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['E', 'e']) else { return false };
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once(['.', ',']).unwrap_or((mantissa, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    digits(whole.trim_start_matches(['+', '-'])) && digits(fraction) && digits(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_spreadsheets_write_them() {
        for (text, expected) in [
            ("'+14155552671", Ok("+14155552671")),
            ("'4155552671", Ok("+14155552671")),
            ("4155552671.0", Ok("+14155552671")),
            ("14155552671.0", Ok("+14155552671")),
            ("\u{202a}+1 (415) 555-2671\u{202c}", Ok("+14155552671")),
            ("\u{a0}415\u{a0}555\u{a0}2671 ", Ok("+14155552671")),
            ("4.155552671E+09", Err("phone_scientific")),
            ("4,155552671e9", Err("phone_scientific")),
            ("1E+10", Err("phone_scientific")),
            ("", Err("phone_empty")),
            ("'", Err("phone_not_a_number")),
            ("Eve", Err("phone_not_a_number")),
            ("#N/A", Err("phone_not_a_number")),
        ] {
            let read = parse(text, "US", "phone");
            assert_eq!(read.as_ref().map(Phone::e164).map_err(|e| e.code), expected, "{text:?}");
        }
        assert_eq!(parse("#REF!", "US", "phone").unwrap_err().value.as_deref(), Some("#REF!"));
    }

    #[test]
    fn a_cell_may_hold_several_numbers() {
        let cut = |cell| several(cell).collect::<Vec<_>>();
        assert_eq!(cut("4155552671; 4155552672"), ["4155552671", "4155552672"]);
        assert_eq!(cut("4155552671\n4155552672\n"), ["4155552671", "4155552672"]);
        assert_eq!(cut("4155552671;ext=5"), ["4155552671;ext=5"]);
        assert_eq!(cut("4155552671"), ["4155552671"]);
        assert!(cut(" ").is_empty());
    }
}
