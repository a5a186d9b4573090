//! The do-not-call list as its clients see it: scopes, pages, import, export.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Method, Request};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{Answer, Fixture};
use crate::base::clock::{DAY, rfc3339};
use crate::domain::ids::CampaignId;

const NUMBER: &str = "+14155552671";

async fn import(f: &Fixture, query: &str, body: impl Into<Body>) -> Answer {
    let request = Request::post(format!("/api/suppressions{query}")).header("content-type", "text/csv");
    f.ask(request.body(body.into()).unwrap()).await
}

fn counts(body: &Value) -> [u64; 4] {
    ["added", "replaced", "kept", "rejected"].map(|name| body[name].as_u64().unwrap_or(u64::MAX))
}

fn rows(body: &Value) -> Vec<(u64, &str)> {
    let errors = body["errors"].as_array().map_or(&[][..], Vec::as_slice);
    errors.iter().map(|e| (e["row"].as_u64().unwrap_or(0), e["field"].as_str().unwrap_or(""))).collect()
}

#[tokio::test]
async fn a_list_is_read_as_spreadsheets_write_it() {
    let f = Fixture::start().await;
    // Windows-1252, a separator announced, a German header, rows without any text, a cell of two lines.
    let text = "sep=;\r\nTelefon;reason\r\n\r\n+14155552601;\"M\u{fc}ller\r\nsagte nein\"\r\n;\r\nkaputt;\r\n+14155552602;\r\n";
    let latin: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let answer = import(&f, "", latin).await;
    assert_eq!(counts(&answer.is(200).body), [2, 0, 0, 1]);
    assert_eq!(rows(&answer.body), [(5, "phone_number")], "as the spreadsheet counts it");
    let listed = f.get("/api/suppressions?phone_number=%2B14155552601").await;
    assert_eq!(listed.body["suppressions"][0]["evidence"], "Müller\r\nsagte nein");

    let wide = "phone\n+14155552603\n".encode_utf16().flat_map(u16::to_le_bytes);
    let wide: Vec<u8> = [0xFF, 0xFE].into_iter().chain(wide).collect();
    assert_eq!(counts(&import(&f, "", wide).await.is(200).body), [1, 0, 0, 0]);

    // A quotation mark that is never closed must not take the numbers below it away unseen.
    let open = "phone,reason\n+14155552604,x\n+14155552605,\"said no\n+14155552606,y\n";
    let answer = import(&f, "", open).await;
    assert_eq!(counts(&answer.is(200).body), [1, 0, 0, 1]);
    assert_eq!(rows(&answer.body), [(3, "")]);
    import(&f, "", "PK\u{3}\u{4}").await.is(415);
}

#[tokio::test]
async fn an_entry_is_of_everybody_or_of_one_campaign() {
    let f = Fixture::start().await;
    let campaign = CampaignId::random().to_string();
    let own = json!({"phone_number": NUMBER, "campaign_id": campaign, "evidence": "asked us in April"});
    let answer = f.post("/api/suppressions", own.clone()).await;
    assert_eq!(answer.is(201).body["scope"], "campaign");
    f.post("/api/suppressions", own).await.is(200);
    // A call posted alone, or in another campaign, is taken.
    f.initiate(json!({"phone_number": NUMBER})).await.is(202);
    let check = async |query: &str| f.get(&format!("/api/suppressions?phone_number={NUMBER}{query}")).await;
    let all = check("").await;
    assert_eq!(
        (&all.body["total"], &all.body["suppressions"][0]["campaign_id"]),
        (&json!(1), &json!(campaign))
    );
    assert_eq!(check(&format!("&campaign_id={campaign}")).await.body["total"], 1);
    assert_eq!(check("&scope=global").await.body["total"], 0);
    assert_eq!(check(&format!("&campaign_id={}", CampaignId::random())).await.body["total"], 0);

    f.post("/api/suppressions", json!({"phone_number": NUMBER})).await.is(201);
    f.initiate(json!({"phone_number": NUMBER})).await.is(422).is_problem("number_suppressed");
    assert_eq!(check("").await.body["total"], 2);
    let off = async |query: &str| {
        f.send(Method::DELETE, &format!("/api/suppressions?phone_number={NUMBER}{query}")).await
    };
    off("").await.is(204);
    off("").await.is(404);
    off(&format!("&campaign_id={campaign}")).await.is(204);

    for (wrong, field) in [
        (json!({"phone_number": NUMBER, "campaign_id": "May"}), "campaign_id"),
        (json!({"phone_number": NUMBER, "scope": "campaign"}), "campaign_id"),
        (json!({"phone_number": NUMBER, "scope": "global", "campaign_id": campaign}), "scope"),
        (json!({"phone_number": NUMBER, "scope": "some"}), "scope"),
        (json!({"phone_number": NUMBER, "expires_at": "2020-01-01T00:00:00Z"}), "expires_at"),
        (json!({"phone_number": NUMBER, "created_at": "2120-01-01T00:00:00Z"}), "created_at"),
        (json!({"entries": 3}), "entries"),
    ] {
        let answer = f.post("/api/suppressions", wrong.clone()).await;
        assert_eq!(answer.is(422).is_problem("invalid_request").wrong_fields(), [field], "{wrong}");
    }
    for query in ["campaign_id=May", "cursor=x", "format=xml", "limit=0", "pone=1"] {
        f.get(&format!("/api/suppressions?{query}")).await.is(400).is_problem("invalid_query");
    }
}

#[tokio::test]
async fn many_entries_are_judged_one_by_one() {
    let f = Fixture::start().await;
    let soon = rfc3339(f.clock.now() + DAY);
    let answer = f
        .post(
            "/api/suppressions",
            json!({"entries": [
                {"phone_number": "(415) 555-2671", "source": "letter"},
                {"prefix": "+1900"},
                {"phone_number": "nonsense"},
                {"phone_number": NUMBER, "expires_at": soon},
                {"phone_number": "+1 900 555*", "evidence": "x"},
                7,
            ]}),
        )
        .await;
    assert_eq!(counts(&answer.is(200).body), [2, 0, 1, 3], "{answer:?}");
    assert_eq!(
        rows(&answer.body),
        [(3, "entries[2].phone_number"), (5, "entries[4].prefix"), (6, "entries[5]")]
    );
    let none = f.post("/api/suppressions", json!({"entries": [{"prefix": "x"}]})).await;
    none.is(422).is_problem("no_valid_rows");
    f.post("/api/suppressions", json!({"entries": []})).await.is(422);
}

#[tokio::test]
async fn ten_thousand_entries_go_in_and_come_out_again() {
    let f = Fixture::start().await;
    let until = rfc3339(f.clock.now() + DAY);
    let mut text = String::from("\u{feff}Rufnummer;Grund;bis;Name\r\n");
    for n in 0..10_000_u32 {
        let number = format!("+1{}555{:04}", 212 + (n / 5_000) * 203, n % 5_000);
        match n % 1_000 {
            7 => text.push_str("12;too short;;\r\n"),
            8 => text.push_str(&format!("{number};\"said: \"\"no\"\";\nand hung up\";{until};Ann\r\n")),
            9 => text.push_str(&format!("{number};;2020-01-01T00:00:00Z;\r\n")),
            _ => text.push_str(&format!("{number};;;\r\n")),
        }
    }
    text.push_str(";;;\r\n+1900*;premium;;\r\n");
    let pieces: Vec<Result<Bytes, std::io::Error>> =
        text.as_bytes().chunks(1_013).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
    let query = "?source=vendor&map=Rufnummer:phone_number,Grund:evidence,bis:expires_at";
    let answer = import(&f, query, Body::from_stream(futures::stream::iter(pieces))).await;
    assert_eq!(counts(&answer.is(200).body), [9_981, 0, 0, 20]);
    assert_eq!(answer.body["ignored_columns"], json!(["name"]));
    let wrong = rows(&answer.body);
    // The header is row 1, as a spreadsheet shows it.
    assert_eq!((wrong[0], wrong[1], wrong.len()), ((9, "phone_number"), (11, "expires_at"), 20));

    let export = f.get("/api/suppressions?format=csv").await;
    assert_eq!(export.is(200).headers["content-type"], "text/csv; charset=utf-8");
    let csv = export.body.as_str().unwrap().to_owned();
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let seen: BTreeSet<String> =
        reader.records().map(|r| r.unwrap()).map(|r| format!("{}{}", &r[0], &r[1])).collect();
    assert_eq!(seen.len(), 9_981);
    assert!(csv.contains("\"said: \"\"no\"\";\nand hung up\"") && seen.contains("+1900"));
    // What came out goes in again, here and elsewhere.
    let again = import(&f, "", csv.clone()).await;
    assert_eq!(counts(&again.is(200).body), [0, 0, 9_981, 0]);
    let elsewhere = Fixture::start().await;
    assert_eq!(counts(&import(&elsewhere, "", csv.clone()).await.body), [9_981, 0, 0, 0]);
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<String>>();
    let copy = elsewhere.get("/api/suppressions?format=csv").await;
    assert_eq!(lines(copy.body.as_str().unwrap()), lines(&csv));

    let ndjson = f.get("/api/suppressions?format=ndjson&source=vendor").await;
    assert_eq!(ndjson.body.as_str().unwrap().lines().count(), 9_981);
    assert_eq!(f.get("/api/suppressions?format=ndjson&source=api").await.body, "");

    // Page by page: each once.
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = f.get(&format!("/api/suppressions?limit=777{cursor}")).await;
        assert_eq!(page.is(200).body["total"], 9_981);
        let rows = page.body["suppressions"].as_array().unwrap();
        assert!(rows.len() <= 777);
        for row in rows {
            paged.push(row["phone_number"].as_str().or(row["prefix"].as_str()).unwrap().to_owned());
        }
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((paged.len(), paged.into_iter().collect::<BTreeSet<_>>()), (9_981, seen));
}

#[tokio::test]
async fn a_list_that_cannot_be_read_says_why() {
    let f = Fixture::start().await;
    for (body, field) in [("", "header"), ("name\nAnn\n", "header"), ("phone,number\n1,2\n", "header")] {
        assert_eq!(
            import(&f, "", body).await.is(422).is_problem("invalid_request").wrong_fields(),
            [field],
            "{body:?}"
        );
    }
    import(&f, "", "phone\n").await.is(422).is_problem("invalid_request");
    import(&f, "", "phone\n12\n").await.is(422).is_problem("no_valid_rows");
    import(&f, "?map=x", "phone\n12\n").await.is(400).is_problem("invalid_query");
    import(&f, "?campaign_id=May", "phone\n12\n").await.is(400).is_problem("invalid_query");
    let answer =
        import(&f, "", &b"phone,reason\n\xFF,x\n+14155552671,\xFF\n+14155552672,a,b\n+14155552673,ok\n"[..])
            .await;
    // What is no UTF-8 is read as Windows-1252: a number is none by it, a reason may be.
    assert_eq!(rows(&answer.is(200).body), [(2, "phone_number"), (4, "")]);
    // What stood before a quotation mark that is never closed is on the list.
    let unclosed = format!("phone\n+14155552675\n\"{}", "x".repeat(400_000));
    import(&f, "", unclosed).await.is(422).is_problem("invalid_request");
    assert_eq!(f.get("/api/suppressions?phone_number=%2B14155552675").await.body["total"], 1);
    // A whole list of one campaign.
    let campaign = CampaignId::random();
    import(&f, &format!("?campaign_id={campaign}"), "phone\n+14155552679\n").await.is(200);
    let of_it = f.get(&format!("/api/suppressions?campaign_id={campaign}")).await;
    assert_eq!(of_it.body["suppressions"].as_array().unwrap().len(), 1);
    f.initiate(json!({"phone_number": "+14155552679"})).await.is(202);
}
