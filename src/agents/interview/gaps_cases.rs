//! The table of employment gaps. A case is `jobs | explanations => gaps`, in the shortest notation that is readable:
//! a job `2010..2015` or `2018..` (current) or `2018..?` (end unknown), an explanation `school:2015..2016`, a gap
//! `2016-01..2018-01` (end not included), followed by `!` where it is resolved, `?` where it was answered by nothing.

use super::*;
use crate::agents::interview::dates::{When, parse};

const TODAY: Date = Date { year: 2026, month: Some(11) };

fn date(text: &str) -> Option<Date> {
    match parse(text, TODAY) {
        Ok(When::Date(date)) => Some(date),
        _ => None,
    }
}

fn job(text: &str) -> Job {
    let (start, end) = text.split_once("..").expect("a job has ..");
    Job {
        company: "x".into(),
        start: date(start),
        end: date(end),
        current: end.is_empty().then_some(true),
        ..Job::default()
    }
}

fn explanation(text: &str) -> Explanation {
    let (kind, span) = text.split_once(':').expect("an explanation has :");
    let (start, end) = span.split_once("..").expect("an explanation has ..");
    let kind = Kind::parse(kind).expect("a known kind");
    let (start, end) = (date(start).expect("a start"), date(end).unwrap_or(TODAY));
    Explanation { start, end, kind, text: String::new(), turns: vec![1] }
}

fn written(gap: &Gap) -> String {
    let mark = if gap.resolved {
        "!"
    } else if gap.explained_by.is_some() {
        "?"
    } else {
        ""
    };
    format!("{}..{}{mark}", Date::of_month(gap.start), Date::of_month(gap.end))
}

fn gaps(case: &str, threshold: MonthIndex) -> String {
    let (jobs, explanations) = case.split_once('|').unwrap_or((case, ""));
    let jobs: Vec<Job> = jobs.split_whitespace().map(job).collect();
    let explanations: Vec<Explanation> = explanations.split_whitespace().map(explanation).collect();
    find(&jobs, &explanations, TODAY, threshold).iter().map(written).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_table() {
    let cases = [
        // nothing to say
        ("", ""),
        ("?..?", ""),
        ("2015..", ""),
        ("2026-11..", ""),
        // adjacent and overlapping jobs leave nothing
        ("2010..2015 2015..", ""),
        ("2010..2015 2016..", ""),
        ("2010-01..2015-03 2015-04..", ""),
        ("2010..2015 2012..2014 2014..", ""),
        ("2012.. 2010..2013", ""),
        ("2010..2012 2010..2020 2013..2014 2020..", ""),
        ("2010.. 2012..2014", ""),
        // a bare year counts at its outer edge
        ("2010..2015 2017..", "2016-01..2017-01"),
        ("2010..2015-12 2017..", "2016-01..2017-01"),
        ("2010..2015-06 2016..", "2015-07..2016-01"),
        ("2010..2015 2016-07..", "2016-01..2016-07"),
        // the threshold of six months
        ("2010..2015-06 2015-12..", ""),
        ("2010..2015-06 2016-01..", "2015-07..2016-01"),
        ("2010..2015 2016-06..", ""),
        // order does not matter, every gap is found
        ("2020.. 2000..2005 2010..2012", "2006-01..2010-01 2013-01..2020-01"),
        ("2010..2012 2020.. 2000..2005", "2006-01..2010-01 2013-01..2020-01"),
        // until today; the current month is not counted
        ("2010..2020", "2021-01..2026-11"),
        ("2010..2026-05", ""),
        ("2010..2026-04", "2026-05..2026-11"),
        ("2010..2026", ""),
        ("2010..2025", "2026-01..2026-11"),
        ("2010..?", "2011-01..2015-01 2015-01..2025-01 2025-01..2026-11"),
        ("?..2020", "2021-01..2026-11"),
        // a job whose end lies before its start covers nothing
        ("2010..2015 2020..2018 2016..", ""),
        // long stretches are asked in pieces
        ("1970..1976 2004..", "1977-01..1985-01 1985-01..1995-01 1995-01..2004-01"),
        ("1970..1977 2004..", "1978-01..1985-01 1985-01..1995-01 1995-01..2004-01"),
        ("1990..1990 2001..", "1991-01..2001-01"),
        ("1989..1989 2001..", "1990-01..1995-01 1995-01..2001-01"),
        ("1984..1984 2005..", "1985-01..1995-01 1995-01..2005-01"),
        ("1970..1984-10 1996..", "1984-11..1995-01 1995-01..1996-01"),
        ("1970..1973 2004..", "1974-01..1975-01 1975-01..1985-01 1985-01..1995-01 1995-01..2004-01"),
        // explanations resolve, in whole or in part
        ("1970..1976 2004.. | prison:1977..1985", "1977-01..1986-01! 1986-01..1995-01 1995-01..2004-01"),
        ("2010..2015 2017.. | school:2016..2016", "2016-01..2017-01!"),
        ("2010..2015 2017.. | caring:2015..2017", "2016-01..2017-01!"),
        ("2010..2015 2018.. | illness:2016-01..2016-10", "2016-01..2016-11! 2016-11..2018-01"),
        ("2010..2015 2018.. | illness:2016-03..2017-10", "2016-01..2018-01!"),
        (
            "2010..2015 2018.. | abroad:2016-01..2016-12 unemployment:2017-01..2017-12",
            "2016-01..2017-01! 2017-01..2018-01!",
        ),
        ("2010..2015 2018.. | unknown:2016..2017", "2016-01..2018-01?"),
        ("2010..2015 2018.. | unknown:2016..2017 prison:2016..2017", "2016-01..2018-01!"),
        ("2010..2015 2018.. | school:2001..2003", "2016-01..2018-01"),
        ("2010..2015 2018.. | other:2000..2026", "2016-01..2018-01!"),
        // retirement is where the account ends, unless work went on
        ("2000..2020 | retired:2021..now", ""),
        ("2000..2018 | retired:2021..now", "2019-01..2021-01"),
        ("2000..2018 2024.. | retired:2020..now", "2019-01..2020-01 2020-01..2024-01!"),
        ("2000..2010 2014..2016 | retired:2017..now", "2011-01..2014-01"),
    ];
    assert!(cases.len() >= 40);
    for (case, expected) in cases {
        assert_eq!(gaps(case, THRESHOLD), expected, "{case}");
    }
}

#[test]
fn the_threshold_is_configurable() {
    for (threshold, expected) in
        [(1, "2015-07..2015-10"), (3, "2015-07..2015-10"), (4, ""), (0, "2015-07..2015-10")]
    {
        assert_eq!(gaps("2010..2015-06 2015-10..", threshold), expected, "{threshold}");
    }
}

#[test]
fn a_piece_is_spoken_by_years_where_it_can_be() {
    let gap = |start, end| Gap { start, end, explained_by: None, resolved: false };
    assert_eq!(gap(1977 * 12, 1985 * 12).spoken(), "1977 and 1985");
    assert_eq!(gap(2010 * 12 + 2, 2011 * 12).spoken(), "March 2010 and 2011");
    assert_eq!(gap(1977 * 12, 1985 * 12).key(), "gap:1977-01");
    assert_eq!(gap(1977 * 12, 1985 * 12).months(), 96);
}
