//! CSV as real spreadsheets write it.

use std::io::Write as _;

use axum::body::Body;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::Fixture;

/// A sheet, and what becomes of it: accepted, rejected, and the variables of the first person.
struct Sheet {
    what: &'static str,
    query: &'static str,
    bytes: Vec<u8>,
    accepted: i64,
    rejected: &'static [(i64, &'static str)],
    first: Value,
}

fn utf16(text: &str, big: bool) -> Vec<u8> {
    let mut out = if big { vec![0xFE, 0xFF] } else { vec![0xFF, 0xFE] };
    out.extend(text.encode_utf16().flat_map(|u| if big { u.to_be_bytes() } else { u.to_le_bytes() }));
    out
}

fn zipped(text: &str) -> Vec<u8> {
    let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    zip.write_all(text.as_bytes()).unwrap();
    zip.finish().unwrap()
}

fn sheets() -> Vec<Sheet> {
    let sheet = |what, bytes: Vec<u8>, accepted, rejected, first| Sheet {
        what,
        query: "",
        bytes,
        accepted,
        rejected,
        first,
    };
    vec![
        sheet(
            "a byte order mark",
            b"\xEF\xBB\xBFphone,name\n4155552671,Ann\n".to_vec(),
            1,
            &[],
            json!({"name": "Ann"}),
        ),
        sheet(
            "Unicode text",
            utf16("phone\tname\r\n4155552671\tÉva\r\n", false),
            1,
            &[],
            json!({"name": "Éva"}),
        ),
        sheet("big-endian", utf16("phone;name\r\n4155552671;Éva\r\n", true), 1, &[], json!({"name": "Éva"})),
        sheet(
            "Windows-1252",
            b"phone;name\r\n4155552671;Andr\xE9 \x80\r\n".to_vec(),
            1,
            &[],
            json!({"name": "André €"}),
        ),
        sheet("gzip", zipped("phone,name\n4155552671,Ann\n"), 1, &[], json!({"name": "Ann"})),
        sheet(
            "sep=",
            b"sep=;\r\nphone;name\r\n4155552671;a,b\r\n12;x\r\n".to_vec(),
            1,
            &[(3, "phone_number")],
            json!({"name": "a,b"}),
        ),
        sheet("bars", b"phone|name\n4155552671|a,b\n".to_vec(), 1, &[], json!({"name": "a,b"})),
        sheet(
            "carriage returns",
            b"phone,name\r4155552671,Ann\r4155552672,Bob\r".to_vec(),
            2,
            &[],
            json!({"name": "Ann"}),
        ),
        sheet(
            "line breaks in quotes",
            b"phone,note\n4155552671,\"a\nb\"\n12,x\n".to_vec(),
            1,
            &[(3, "phone_number")],
            json!({"note": "a\nb"}),
        ),
        sheet(
            "empty rows and columns",
            b"\n,,,\nphone,name,,\n4155552671,Ann,,\n,,,\n\n12,,,\n,,,\n\n".to_vec(),
            1,
            &[(7, "phone_number")],
            json!({"name": "Ann"}),
        ),
        sheet(
            "scientific notation",
            b"phone\n4155552671\n4.155550100E+09\n".to_vec(),
            1,
            &[(3, "phone_number")],
            Value::Null,
        ),
        sheet("apostrophes", b"phone\n'+14155552671\n".to_vec(), 1, &[], Value::Null),
        sheet("blanks", b" Phone , name \n  4155552671 , Ann \n".to_vec(), 1, &[], json!({"name": "Ann"})),
        sheet(
            "no number first",
            b"phone,mobile,name\n,4155552671,Ann\n".to_vec(),
            1,
            &[],
            json!({"name": "Ann"}),
        ),
        sheet(
            "two columns of a name",
            b"phone,note,note\n4155552671,a,b\n".to_vec(),
            1,
            &[],
            json!({"note": "a", "note_2": "b"}),
        ),
        Sheet {
            query: "?map=Rufnummer%20privat:phone_number,Vorname:variables.first_name,Notiz:ignore",
            ..sheet(
                "a mapping",
                "Vorname;Rufnummer privat;Notiz;Ort\nJörg;4155552671;x;Ulm\n".into(),
                1,
                &[],
                json!({"first_name": "Jörg", "ort": "Ulm"}),
            )
        },
    ]
}

#[tokio::test]
async fn sheets_are_read_as_they_are_written() {
    for Sheet { what, query, bytes, accepted, rejected, first } in sheets() {
        let f = Fixture::start().await;
        let answer = f.upload("text/csv", query, Body::from(bytes)).await;
        assert_eq!(answer.is(202).body["accepted"], accepted, "{what}: {answer:?}");
        let errors = answer.body["errors"].as_array().unwrap();
        let rows: Vec<(i64, &str)> =
            errors.iter().map(|e| (e["row"].as_i64().unwrap(), e["field"].as_str().unwrap())).collect();
        assert_eq!(rows, rejected, "{what}");
        let calls = f.store.calls_of("+14155552671").await.unwrap();
        let variables = &calls[0].body.variables;
        let expected = if first == Value::Null { json!({}) } else { first };
        assert_eq!(json!(variables), expected, "{what}");
    }
}

#[tokio::test]
async fn further_numbers_stand_in_columns_of_their_own_or_in_one_cell() {
    let f = Fixture::start().await;
    let sheet = "phone,phone_2,mobile,alternative_number,name\n\
        4155552671,4155552672,,4155552673; 4155552674,Ann\n4155552675;4155552676,,x,,Bob\n";
    let answer = f.upload("text/csv", "", sheet).await;
    assert_eq!(answer.is(202).wrong_fields(), ["mobile"]);
    let calls = f.store.calls_of("+14155552671").await.unwrap();
    let others: Vec<&str> = calls[0].body.alternatives.iter().map(|p| p.e164()).collect();
    assert_eq!(others, ["+14155552672", "+14155552673", "+14155552674"]);
    assert_eq!(json!(calls[0].body.variables), json!({"name": "Ann"}));
}

#[tokio::test]
async fn a_mapping_that_cannot_be_is_refused() {
    let f = Fixture::start().await;
    for (query, problem) in [
        ("?map=Phone", "invalid_query"),
        ("?map=Phone:number_of_phone", "invalid_query"),
        ("?map=Nobody:phone_number", "invalid_request"),
    ] {
        f.upload("text/csv", query, "phone\n4155552671\n").await.is_problem(problem);
    }
    let packed = axum::http::Request::post("/api/calls/initiate")
        .header("content-type", "text/csv")
        .header("content-encoding", "br");
    f.ask(packed.body(Body::from("phone\n")).unwrap()).await.is(415).is_problem("unsupported_media_type");
}

#[test]
fn no_sequence_of_bytes_panics() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let f = runtime.block_on(Fixture::start());
    let strategy = (
        prop::sample::select(vec![
            &b""[..],
            b"\x1F\x8B",
            b"\xFF\xFE",
            b"\xFE\xFF",
            b"\xEF\xBB\xBF",
            b"sep=;\n",
            b"phone,a\n",
            b"phone;b\r\n",
        ]),
        prop::collection::vec(
            prop_oneof![any::<u8>(), prop::sample::select(b"\",;\n\r\t'+0123456789 E.".to_vec())],
            0..300,
        ),
    );
    let config = ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |((head, tail) in strategy)| {
        let bytes = [head, &tail].concat();
        // A panic would be answered as an error of ours.
        let answer = runtime.block_on(f.upload("text/csv", "", Body::from(bytes)));
        prop_assert!(answer.status.as_u16() < 500, "{:?}", answer);
    });
}
