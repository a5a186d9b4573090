//! What the columns of a sheet mean: numbers, fields of a call, variables.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::api::fields::Query;
use crate::api::initiate::list::List;
use crate::api::initiate::number::{self, several};
use crate::api::initiate::row::{ALTERNATIVES, Row, VARIABLES};
use crate::api::problems::{FieldError, Kind, Problem};
use crate::domain::phone::Phone;

/// What a column with the number may be called, the surest name first.
pub(in crate::api) const PHONE: [&str; 25] = [
    "phone_number",
    "phone",
    "phonenumber",
    "telephone",
    "telephone_number",
    "tel",
    "phone_1",
    "phone1",
    "mobile",
    "mobile_phone",
    "mobile_number",
    "cell",
    "cell_phone",
    "cellphone",
    "contact_number",
    "msisdn",
    "telefon",
    "telefonnummer",
    "rufnummer",
    "handy",
    "mobil",
    "telefono",
    "teléfono",
    "téléphone",
    "number",
];
/// What columns with further numbers may be called, beside the names above and the same with 2 to 9 behind them.
const FURTHER: [&str; 10] = [
    "alternative_number",
    "alternative_numbers",
    "alternative_phone",
    "alternate_phone",
    "alt_phone",
    "secondary_phone",
    "other_phone",
    "home_phone",
    "work_phone",
    "landline",
];
/// Columns that are fields of a call.
const KNOWN: [&str; 12] = [
    "agent",
    "voicemail",
    "webhook_url",
    "schedule_at",
    "earliest",
    "expires_at",
    "latest",
    "time_zone",
    "priority",
    "consent_basis",
    "consent_at",
    "consent_source",
];

pub(super) fn bad_header(reason: &str) -> Problem {
    Problem::fields(Kind::InvalidRequest, vec![FieldError::new("header", reason)])
}

/// A column's text. Sheets that are not saved as UTF-8 nearly always are in Windows' Western character set.
pub(in crate::api) fn text(field: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(field) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(field).0,
    }
}

/// Which column is which, as the client says: `Telefon:phone_number,Vorname:variables.first_name`.
#[derive(Default)]
pub(in crate::api) struct Mapping(Vec<(String, String)>);

impl Mapping {
    /// The parameter `map`.
    pub(in crate::api) fn take(query: &mut Query) -> Self {
        let Some(text) = query.text("map") else { return Self::default() };
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let Some((column, target)) = pair.rsplit_once(':') else {
                query.wrong("map", "must be column:field, several separated by commas");
                break;
            };
            let (column, target) = (column.trim(), target.trim());
            let known =
                matches!(target, "phone_number" | "alternative_number" | "alternative_numbers" | "ignore")
                    || KNOWN.contains(&target)
                    || ["variables.", "metadata."]
                        .iter()
                        .any(|p| target.strip_prefix(p).is_some_and(|n| !n.is_empty()));
            if !known {
                let shown: String = target.chars().take(60).collect();
                query.wrong(
                    "map",
                    format!("{shown:?} is no field of a call: phone_number, alternative_number, agent, …, variables.<name>, metadata.<name> or ignore"),
                );
                break;
            }
            pairs.push((normal(column), target.to_owned()));
        }
        Self(pairs)
    }

    fn target(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(column, _)| column == name).map(|(_, target)| target.as_str())
    }
}

fn normal(name: &str) -> String {
    name.trim().to_lowercase().replace([' ', '-', '.'], "_")
}

enum Column {
    Ignored,
    Phone,
    Further(String),
    Field(String),
    Variable(String),
    Metadata(String),
}

/// What the columns mean.
pub(super) struct Header(Vec<Column>);

impl Header {
    /// Reads the header row.
    pub(super) fn read<'a>(
        cells: impl Iterator<Item = &'a [u8]>,
        mapping: &Mapping,
    ) -> Result<Self, Problem> {
        let raw: Vec<String> = cells.map(|cell| text(cell).trim().to_owned()).collect();
        let names: Vec<String> = raw.iter().map(|name| normal(name)).collect();
        if let Some((missing, _)) = mapping.0.iter().find(|(column, _)| !names.contains(column)) {
            return Err(bad_header(&format!("map names a column {missing:?} that is not there")));
        }
        let mapped = |target: &str| names.iter().position(|name| mapping.target(name) == Some(target));
        let free = |n: &String| mapping.target(n).is_none();
        let phone = mapped("phone_number")
            .or_else(|| PHONE.iter().find_map(|p| names.iter().position(|n| n == p && free(n))));
        let Some(phone) = phone else {
            // A list without a header is told by what stands in its place, which is not repeated: it is somebody's number.
            if raw.iter().any(|cell| cell.bytes().filter(u8::is_ascii_digit).count() >= 7) {
                return Err(bad_header(
                    "the first row holds a number, not the names of the columns: put a row such as phone_number,name above it",
                ));
            }
            let shown: Vec<&str> = names.iter().map(String::as_str).take(10).collect();
            return Err(bad_header(&format!(
                "no column holds a number: one must be called phone_number (or phone, tel, mobile, number, …), or be named by map; found {}",
                shown.join(", ").chars().filter(|c| !c.is_ascii_digit()).take(200).collect::<String>()
            )));
        };
        let mut columns: Vec<Column> = Vec::with_capacity(names.len());
        let mut variables: Vec<String> = Vec::new();
        let mut fields: Vec<String> = Vec::new();
        for (i, (raw, name)) in raw.iter().zip(&names).enumerate() {
            let column = match mapping.target(name) {
                _ if i == phone => Column::Phone,
                Some(target) => Self::meant(target),
                None => Self::guessed(raw, name),
            };
            if let Column::Field(name) = &column {
                if fields.contains(name) {
                    return Err(bad_header(&format!("two columns are called {name:?}")));
                }
                fields.push(name.clone());
            }
            columns.push(match column {
                // The second column of a name is told from the first by a number, as a spreadsheet's import does it.
                Column::Variable(name) => {
                    let mut own = name.clone();
                    let mut n = 2;
                    while variables.contains(&own) {
                        own = format!("{name}_{n}");
                        n += 1;
                    }
                    variables.push(own.clone());
                    Column::Variable(own)
                }
                other => other,
            });
        }
        if variables.len() > VARIABLES {
            return Err(bad_header(&format!("more than {VARIABLES} columns beside the number")));
        }
        if let Some(long) = variables.iter().find(|name| name.chars().count() > 100) {
            let shown: String = long.chars().take(20).collect();
            return Err(bad_header(&format!(
                "the name of column \"{shown}…\" is longer than 100 characters"
            )));
        }
        Ok(Self(columns))
    }

    fn meant(target: &str) -> Column {
        match target.split_once('.') {
            Some(("variables", name)) => Column::Variable(name.to_owned()),
            Some(("metadata", name)) => Column::Metadata(name.to_owned()),
            _ if target.starts_with("alternative_number") => Column::Further("alternative_numbers".into()),
            // A second column for the number holds a second number.
            _ if target == "phone_number" => Column::Further("phone_number".into()),
            _ if target == "ignore" => Column::Ignored,
            _ => Column::Field(target.to_owned()),
        }
    }

    fn guessed(raw: &str, name: &str) -> Column {
        if name.is_empty() {
            return Column::Ignored;
        }
        if KNOWN.contains(&name) {
            return Column::Field(name.to_owned());
        }
        for (prefix, variable) in [("variables.", true), ("metadata.", false)] {
            if let Some(rest) = raw.strip_prefix(prefix).filter(|rest| !rest.is_empty()) {
                return if variable { Column::Variable(rest.into()) } else { Column::Metadata(rest.into()) };
            }
        }
        // "number" alone may as well be a house's.
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('_');
        let is_number = |n: &str| n != "number" && (PHONE.contains(&n) || FURTHER.contains(&n));
        if is_number(name) || is_number(stem) {
            Column::Further(name.into())
        } else {
            Column::Variable(name.into())
        }
    }

    /// A record as a row; `None` for one without any text.
    pub(super) fn row<'a>(
        &self,
        cells: impl Iterator<Item = &'a [u8]>,
        list: &List<'_>,
    ) -> Option<Result<Row, Vec<FieldError>>> {
        let mut phone: Option<Cow<'_, str>> = None;
        let mut further: Vec<(&str, Cow<'_, str>)> = Vec::new();
        let mut variables = BTreeMap::new();
        let (mut rest, mut metadata) = (Map::new(), Map::new());
        let mut any = false;
        for (i, cell) in cells.enumerate() {
            let cell = cell.trim_ascii();
            if cell.is_empty() {
                continue;
            }
            any = true;
            let cell = text(cell);
            match self.0.get(i) {
                None => {
                    let error = FieldError::new("", "has more fields than the header has columns");
                    return Some(Err(vec![error.code("malformed_row")]));
                }
                Some(Column::Ignored) => {}
                Some(Column::Phone) => phone = Some(cell),
                Some(Column::Further(name)) => further.push((name, cell)),
                Some(Column::Field(name)) => drop(rest.insert(name.clone(), cell.trim().into())),
                Some(Column::Metadata(name)) => drop(metadata.insert(name.clone(), cell.trim().into())),
                Some(Column::Variable(name)) => {
                    drop(variables.insert(name.clone(), cell.trim().to_owned()));
                }
            }
        }
        if !any {
            return None;
        }
        if !metadata.is_empty() {
            rest.insert("metadata".into(), Value::Object(metadata));
        }
        let app = list.app();
        let phones = numbers(phone.as_deref(), &further, &app.api.config.default_region);
        Some(Row::of_columns(app, phones, variables, rest, list.shared(), list.now()))
    }
}

/// The first number and the further ones. Where the column of the first is empty, the next takes its place.
fn numbers(
    phone: Option<&str>,
    further: &[(&str, Cow<'_, str>)],
    region: &str,
) -> Result<(Phone, Vec<Phone>), FieldError> {
    let own = phone.into_iter().flat_map(several).map(|text| ("phone_number", text));
    let more = further.iter().flat_map(|(name, cell)| several(cell).map(move |text| (*name, text)));
    let mut first = None;
    let mut known = Vec::new();
    for (name, text) in own.chain(more) {
        let phone = number::parse(text, region, name)?;
        match &first {
            None => first = Some(phone),
            Some(_) => number::add(&mut known, first.as_ref(), phone),
        }
        if known.len() > ALTERNATIVES {
            return Err(FieldError::new(name, format!("has more than {ALTERNATIVES} further numbers")));
        }
    }
    let missing = || FieldError::new("phone_number", "is missing").code("phone_empty");
    first.map(|first| (first, known)).ok_or_else(missing)
}
