use anyhow::Result;
use harness::pipe;
use serde_json::{Value, json};

use super::answer;

/// The event that `input` becomes, which must be accepted.
fn event(arguments: &[&str], input: &str) -> Result<Value> {
    let line = answer(arguments, input)?;
    assert_eq!(line.outcome(), "accepted", "{line:?}");
    assert_eq!(line.count(), 1);
    Ok(line.event(0).clone())
}

/// `event` has all of `expected`, which may say less.
fn assert_has(event: &Value, expected: &Value) {
    for (key, value) in expected.as_object().into_iter().flatten() {
        match value {
            Value::Object(_) => assert_has(&event[key], value),
            _ => assert_eq!(&event[key], value, "{key} in {event}"),
        }
    }
}

#[test]
fn json_keeps_its_keys_and_its_severity() -> Result<()> {
    let input = r#"{"severity":"HIGH","title":"T","user":{"name":"a","ids":[7,8]},"n":1.50,"yes":true}"#;
    let expected = json!({
        "severity": "high", "title": "T", "source": "site-app",
        "fields": {"user.name": "a", "n": "1.50", "yes": "true"},
    });
    assert_has(&event(&["--format", "json", "--source", "site-app"], input)?, &expected);
    Ok(())
}

#[test]
fn json_without_a_title_takes_the_message_and_without_a_severity_medium() -> Result<()> {
    assert_has(&event(&["--format", "json"], r#"{"message":"m"}"#)?, &json!({"severity": "medium", "title": "m"}));
    assert_has(&event(&["--format", "json"], r#"{"a":1}"#)?, &json!({"title": "Unknown Event"}));
    Ok(())
}

#[test]
fn cef_gives_its_header_and_its_extension() -> Result<()> {
    let input =
        r"CEF:0|Acme|Wall \| Gate|1.0|100|Worm stopped|10|src=10.0.0.1 dst=2.1.2.2 spt=1232 msg=two words\=fine";
    let expected = json!({
        "title": "Worm stopped", "severity": "critical",
        "fields": {
            "deviceVendor": "Acme", "deviceProduct": "Wall | Gate", "deviceVersion": "1.0",
            "deviceEventClassId": "100", "name": "Worm stopped", "severity": "10", "cefVersion": "0",
            "src": "10.0.0.1", "spt": "1232", "msg": "two words=fine",
        },
    });
    assert_has(&event(&["--format", "cef"], input)?, &expected);
    Ok(())
}

#[test]
fn leef_gives_its_attributes() -> Result<()> {
    let input = "LEEF:2.0|Acme|Gate|4.1|LoginFailed|^|sev=8^usrName=joe^src=10.0.0.1";
    let expected = json!({"severity": "high", "fields": {"deviceVendor": "Acme", "usrName": "joe", "src": "10.0.0.1"}});
    assert_has(&event(&["--format", "leef"], input)?, &expected);
    Ok(())
}

#[test]
fn syslog_of_both_kinds_gives_its_header() -> Result<()> {
    let new = r#"<165>1 2026-10-11T22:14:15.003Z host.example su 77 ID47 [x@32473 iut="3"] it works"#;
    let fields = json!({
        "hostname": "host.example", "appname": "su", "procid": "77", "msgid": "ID47", "message": "it works",
        "x@32473.iut": "3",
    });
    let parsed = event(&["--format", "syslog"], new)?;
    assert_has(&parsed, &json!({"fields": fields}));
    assert_eq!(parsed["timestamp_ms"], 1_791_756_855_003_i64);
    let old = "<34>Oct 11 22:14:15 mymachine su[231]: 'su root' failed for lonvick on /dev/pts/8";
    let fields = json!({"hostname": "mymachine", "appname": "su", "procid": "231"});
    assert_has(&event(&["--format", "syslog"], old)?, &json!({"fields": fields}));
    Ok(())
}

#[test]
fn a_device_is_known_by_its_topic() -> Result<()> {
    let arguments = ["--format", "mqtt", "--source", "mqtt", "--topic", "aurora/sensors/stm32_pac_01/alerts"];
    let expected = json!({"severity": "high", "category": "cps", "device_id": "stm32_pac_01"});
    assert_has(&event(&arguments, r#"{"severity":"high","title":"Door"}"#)?, &expected);
    Ok(())
}

#[test]
fn the_same_delivery_has_the_same_id_and_another_one_another() -> Result<()> {
    let input = "{\"title\":\"a\"}\n{\"title\":\"a\"}\n{\"title\":\"b\"}\n";
    let ids = || -> Result<Vec<String>> {
        let lines = pipe(&["--format", "json"], input.as_bytes())?.lines;
        Ok(lines.iter().map(|line| line.event(0)["id"].to_string()).collect())
    };
    let first = ids()?;
    assert_eq!(first, ids()?);
    assert!(first[0] != first[1] && first[1] != first[2], "{first:?}");
    Ok(())
}

#[test]
fn an_answer_does_not_depend_on_the_neighbours() -> Result<()> {
    let lines = [
        r#"{"severity":"high","title":"one","ip":"8.8.8.8"}"#,
        "CEF:0|Acme|Gate|1|1|two|5|src=10.0.0.1",
        "not any format at all \u{7f}",
        "<34>Oct 11 22:14:15 host su: three",
        r#"{"title":"cut"#,
        r#"{"severity":"low","title":"four"}"#,
    ];
    let together = pipe(&[], lines.join("\n").as_bytes())?.lines;
    for (line, beside) in lines.iter().zip(&together) {
        let alone = answer(&[], line)?;
        assert_eq!((alone.outcome(), alone.reason()), (beside.outcome(), beside.reason()), "{line}");
        for key in ["title", "severity", "category", "fields", "iocs"] {
            assert_eq!(alone.event(0)[key], beside.event(0)[key], "{key} of {line}");
        }
    }
    Ok(())
}

#[test]
fn what_is_not_what_it_says_is_rejected_with_the_place() -> Result<()> {
    for (format, input) in [("json", r#"{"a":1,}"#), ("cef", "CEF:0|short"), ("leef", "{}"), ("json", "<34>1 -")] {
        let line = answer(&["--format", format], input)?;
        assert_eq!(line.outcome(), "rejected", "{format} {input}");
        assert!(line.reason().contains("byte") || line.reason().contains(format), "{format}: {}", line.reason());
    }
    Ok(())
}

#[test]
fn a_whole_input_may_be_one_event() -> Result<()> {
    let input = "{\n  \"title\": \"spread over lines\",\n  \"severity\": \"low\"\n}\n";
    let expected = json!({"title": "spread over lines", "severity": "low"});
    assert_has(&event(&["--format", "json", "--framing", "whole"], input)?, &expected);
    Ok(())
}
