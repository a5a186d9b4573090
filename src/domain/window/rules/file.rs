//! The file of rules: read row by row, so that a mistake names its row and its field.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Deserialize;

use super::{Day, Holiday, NOWHERE, Rule, Rules};
use crate::domain::window::calendar::{FORMS, On};
use crate::domain::window::zone_by_name;

/// How many area codes there are room for.
const AREA_CODES: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: String,
    #[serde(default)]
    rule: Vec<RuleRow>,
    #[serde(default)]
    holiday: Vec<HolidayRow>,
    area_codes: Option<BTreeMap<String, Vec<u16>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleRow {
    id: String,
    #[serde(default)]
    regions: Vec<String>,
    #[serde(default)]
    zones: Vec<String>,
    hours: String,
    monday: Option<String>,
    tuesday: Option<String>,
    wednesday: Option<String>,
    thursday: Option<String>,
    friday: Option<String>,
    saturday: Option<String>,
    sunday: Option<String>,
    #[serde(default)]
    holidays: bool,
    #[serde(default)]
    source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HolidayRow {
    id: String,
    #[serde(default)]
    regions: Vec<String>,
    on: String,
    #[serde(default)]
    observed: bool,
}

/// Reads a file.
///
/// # Errors
/// The first mistake: where the file cannot be read at all its line, else its row and its field.
pub(super) fn read(text: &str) -> Result<Rules, String> {
    let file: File = toml::from_str(text).map_err(|e| e.to_string())?;
    if file.version.trim().is_empty() {
        return Err("version: is empty; it is kept with every attempt".into());
    }
    let (regions, area_codes) = match file.area_codes {
        Some(table) => area_codes(table)?,
        None => (Rules::builtin().regions.clone(), Rules::builtin().area_codes.clone()),
    };
    let mut ids = HashSet::new();
    let mut rules = Vec::with_capacity(file.rule.len());
    for (i, row) in file.rule.into_iter().enumerate() {
        let name = format!("rule {} ({:?})", i + 1, row.id);
        rules.push(rule(row, &regions).map_err(|(field, why)| format!("{name}, {field}: {why}"))?);
        if !ids.insert(rules[i].id.clone()) {
            return Err(format!("{name}, id: another rule has it"));
        }
    }
    let mut holidays = Vec::with_capacity(file.holiday.len());
    for (i, row) in file.holiday.into_iter().enumerate() {
        let name = format!("holiday {} ({:?})", i + 1, row.id);
        holidays.push(holiday(row, &regions).map_err(|(field, why)| format!("{name}, {field}: {why}"))?);
    }
    Ok(Rules { version: file.version, rules, holidays, regions, area_codes, memo: Default::default() })
}

type Wrong = (&'static str, String);

fn rule(row: RuleRow, known: &[String]) -> Result<Rule, Wrong> {
    named(&row.id)?;
    if row.regions.is_empty() && row.zones.is_empty() {
        return Err(("regions", "it names neither regions nor zones".into()));
    }
    regions(&row.regions, known)?;
    if let Some(zone) = row.zones.iter().find(|zone| zone_by_name(zone).is_none()) {
        return Err(("zones", format!("{zone:?} is no IANA time zone")));
    }
    let day = |field: &'static str, text: &str| Day::read(text).map_err(|why| (field, why));
    let hours = day("hours", &row.hours)?;
    let own = [
        ("monday", &row.monday),
        ("tuesday", &row.tuesday),
        ("wednesday", &row.wednesday),
        ("thursday", &row.thursday),
        ("friday", &row.friday),
        ("saturday", &row.saturday),
        ("sunday", &row.sunday),
    ];
    let mut days = [hours; 7];
    for (slot, (field, text)) in days.iter_mut().zip(own) {
        if let Some(text) = text {
            *slot = day(field, text)?;
        }
    }
    Ok(Rule {
        id: row.id,
        regions: row.regions,
        zones: row.zones,
        days,
        holidays: row.holidays,
        source: row.source,
    })
}

fn holiday(row: HolidayRow, known: &[String]) -> Result<Holiday, Wrong> {
    named(&row.id)?;
    regions(&row.regions, known)?;
    let on = On::read(&row.on).ok_or_else(|| ("on", format!("{:?} is no day; write {FORMS}", row.on)))?;
    Ok(Holiday { id: row.id, regions: row.regions, on, observed: row.observed })
}

fn named(id: &str) -> Result<(), Wrong> {
    let fine =
        !id.is_empty() && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fine { Ok(()) } else { Err(("id", "must be lower-case letters, digits and hyphens".into())) }
}

/// A row for a region that no number can have would never apply, and nobody would see it.
fn regions(named: &[String], known: &[String]) -> Result<(), Wrong> {
    let there = |name: &String| known.iter().any(|k| k == name || k.split('-').next() == Some(name));
    match named.iter().find(|name| !there(name)) {
        Some(name) => {
            let why = format!(
                "{name:?} has no area code, so that the row would never apply; name time zones instead"
            );
            Err(("regions", why))
        }
        None => Ok(()),
    }
}

fn area_codes(table: BTreeMap<String, Vec<u16>>) -> Result<(Vec<String>, Vec<u16>), String> {
    let mut all = vec![NOWHERE; AREA_CODES];
    let mut seen = BTreeSet::new();
    let mut regions = Vec::with_capacity(table.len());
    for (region, codes) in table {
        let shape = region.split_once('-').is_some_and(|(country, part)| {
            country.len() == 2
                && (1..=3).contains(&part.len())
                && region.bytes().all(|b| b == b'-' || b.is_ascii_alphanumeric())
        });
        if !shape {
            return Err(format!("area_codes: {region:?} is no region such as US-AL"));
        }
        let place = u16::try_from(regions.len()).unwrap_or(NOWHERE);
        for code in codes {
            if !seen.insert(code) {
                let other = all.get(usize::from(code)).and_then(|r| regions.get(usize::from(*r)));
                let other: &String = other.unwrap_or(&region);
                return Err(format!("area_codes: {code} stands under {other} and under {region}"));
            }
            match all.get_mut(usize::from(code)) {
                Some(slot) if code >= 200 => *slot = place,
                _ => return Err(format!("area_codes, {region}: {code} is no area code (200 to 999)")),
            }
        }
        regions.push(region);
    }
    Ok((regions, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_names_its_row_and_its_field() {
        let rule = |fields: &str| {
            format!("version='1'\n[[rule]]\nid='a'\nregions=['US']\nhours='08:00-20:00'\n{fields}")
        };
        let holiday = |fields: &str| format!("version='1'\n[[holiday]]\nid='x'\n{fields}");
        for (text, words) in [
            ("rule = []".to_owned(), &["version"][..]),
            ("version=' '".to_owned(), &["version", "empty"]),
            (
                "version='1'\n[[rule]]\nid='a'\nregions=['US']\nhours='8-9'".to_owned(),
                &["rule 1 (\"a\"), hours", "8-9"],
            ),
            (rule("sunday='9:00-18:00'"), &["rule 1 (\"a\"), sunday", "9:00-18:00"]),
            (rule("saturday='22:00-06:00'"), &["rule 1 (\"a\"), saturday", "midnight"]),
            (rule("sundays='closed'"), &["sundays", "line 6"]),
            (rule("zones=['America/Gotham']"), &["rule 1 (\"a\"), zones", "America/Gotham"]),
            (rule("[[rule]]\nid='a'\nregions=['US-AL']\nhours='closed'"), &["rule 2 (\"a\"), id", "another"]),
            (rule("[[rule]]\nid='B b'\nregions=['US-AL']\nhours='closed'"), &["rule 2 (\"B b\"), id"]),
            (rule("[[rule]]\nid='b'\nhours='closed'"), &["rule 2 (\"b\"), regions", "neither"]),
            (
                rule("[[rule]]\nid='b'\nregions=['US-ZZ']\nhours='closed'"),
                &["rule 2 (\"b\"), regions", "US-ZZ", "never"],
            ),
            (rule("[[rule]]\nid='b'\nregions=['GB']\nhours='closed'"), &["rule 2 (\"b\"), regions", "GB"]),
            (holiday("on='fifth monday 1'"), &["holiday 1 (\"x\"), on", "fifth monday 1", "easter-47"]),
            (holiday("on='13-01'"), &["holiday 1 (\"x\"), on", "13-01"]),
            (holiday("on='01-01'\nregions=['US-QQ']"), &["holiday 1 (\"x\"), regions", "US-QQ"]),
            (holiday("on='01-01'\nobserved='yes'"), &["observed", "line 5"]),
            (
                "version='1'\n[area_codes]\n'US-AL'=[205]\n'US-GA'=[205]".to_owned(),
                &["205", "US-AL", "US-GA"],
            ),
            ("version='1'\n[area_codes]\n'US-AL'=[20]".to_owned(), &["US-AL", "20"]),
            ("version='1'\n[area_codes]\n'Alabama'=[205]".to_owned(), &["Alabama"]),
        ] {
            let error = Rules::parse(&text).expect_err(&text);
            for word in words {
                assert!(error.contains(word), "{text}: {error}: {word}");
            }
        }
    }

    #[test]
    fn an_operators_file_may_leave_the_area_codes_to_the_program() {
        let text = "version='ours 1'\n[[rule]]\nid='quiet'\nregions=['US-CA']\nzones=['Europe/London']\nhours='10:00-17:00'";
        let rules = Rules::parse(text).expect("rules");
        assert_eq!(rules.version(), "ours 1");
        assert_eq!(rules.for_place(Some("US-CA"), &[]).count(), 1);
        assert_eq!(rules.for_place(None, &["Europe/London"]).count(), 1);
        assert_eq!(rules.for_place(Some("US-NY"), &["America/New_York"]).count(), 0);
    }
}
