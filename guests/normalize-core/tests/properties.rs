//! Properties of every reader: whatever comes in, a verdict comes out, soon, and what is JSON is what serde_json says.

use std::time::Duration;

use cpu_time::ThreadTime;

use aurora_guest::{Context, Disposition, Normalized, OriginEvents, RawEvents};
use normalize_core::{Options, normalize};
use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

const RECEIVED_MS: i64 = 1_772_323_200_000;
const FORMATS: [&str; 10] = ["auto", "json", "cef", "leef", "syslog", "mqtt", "zeek", "winxml", "kv", "nonsense"];

fn context(format: &str) -> Context {
    let device = (format == "mqtt").then(|| "stm32_pac_01".to_owned());
    Context {
        source: "test".to_owned(),
        format: format.to_owned(),
        topic: None,
        channel: device.as_ref().map(|_| "alerts".to_owned()),
        device_id: device,
        source_ip: None,
    }
}

fn run(format: &str, payload: &[u8]) -> (Normalized, OriginEvents) {
    let batch = RawEvents::of(context(format), RECEIVED_MS, [payload]);
    let done = normalize(&batch, &Options::default());
    let events = done.events.clone();
    let origin = OriginEvents { contexts: batch.contexts, context: vec![0; events.kind.len()], events };
    (done, origin)
}

/// Checks what the host would check, and that keys are unique.
fn check(format: &str, payload: &[u8]) {
    let (done, origin) = run(format, payload);
    assert_eq!(done.disposition.len(), 1);
    assert_eq!(done.count, [done.events.kind.len() as u32]);
    assert_eq!(done.disposition[0] == Disposition::Accepted, done.reasons.is_empty());
    assert!(str::from_utf8(&done.events.text).is_ok());
    for event in origin.iter() {
        let mut keys: Vec<&str> = event.fields().map(|(key, _)| key).collect();
        keys.sort_unstable();
        assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "a key stands twice");
        for id in event.techniques() {
            assert!(matches!(id.len(), 5 | 9) && id.starts_with('T'), "{id} is no technique");
        }
        assert!(!event.title().is_empty(), "no title");
    }
}

#[test]
fn an_id_is_no_digest_of_a_file() {
    let payload = br#"{"title":"x","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","http":{"request":{"id":
        "9a4c1d2e3f405162738495a6b7c8d9e0"}},"etag":"W/\"d41d8cd98f00b204e9800998ecf8427f\"","user_id":"joe@evil.net",
        "cve_id":"CVE-2021-44228","digest":"0123456789abcdef0123456789abcdef"}"#;
    let (_, origin) = run("json", payload);
    let mut found = Vec::new();
    for event in origin.iter() {
        found.extend(event.observables().map(|one| format!("{}:{}", one.kind.as_str(), one.value)));
    }
    for said in ["email:joe@evil.net", "cve:CVE-2021-44228"] {
        assert!(found.iter().any(|one| one == said), "{said}: {found:?}");
    }
    let digests: Vec<_> = found.iter().filter(|one| one.starts_with("hash_")).collect();
    assert_eq!(digests, ["hash_md5:0123456789abcdef0123456789abcdef"]);
}

fn flatten(path: &str, value: &Value, out: &mut Vec<(String, String)>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Null => {}
        Value::Bool(flag) => out.push((path.to_owned(), flag.to_string())),
        Value::Number(number) => out.push((path.to_owned(), number.to_string())),
        Value::String(text) => out.push((path.to_owned(), text.clone())),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| flatten(&below(&i.to_string()), item, out));
        }
        Value::Object(map) => map.iter().for_each(|(key, item)| flatten(&below(key), item, out)),
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no such number", |f| f.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[ -~\\t\\n\"\\\\é😀]{0,24}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec(("[a-z\"\\\\é.]{0,12}", inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    prop::collection::vec(("[a-zA-Z_@é]{1,12}", value()), 0..8)
        .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>()))
}

/// Text out of the pieces that formats are made of, so that more than the first byte of a reader is reached.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "<13>",
        "<165>1 ",
        "<0>",
        "Mar  5 12:34:56 ",
        "2024-03-05T12:34:56.123Z ",
        "host ",
        "app[1]: ",
        "app: ",
        "- ",
        "[id k=\"v\\\"\\]\"]",
        "[id",
        "CEF:0|",
        "CEF:1|a|b|c|d|e|5|",
        "LEEF:2.0|a|b|c|d|^|",
        "LEEF:1.0|a|b|c|d|",
        "|",
        "\\|",
        "\\=",
        "\\\\",
        "\\n",
        "\\",
        "=",
        "key=value ",
        "src=192.0.2.1 ",
        "cs1Label=x cs1=y ",
        "a=\"b\" ",
        "\"",
        "'",
        "{",
        "}",
        "[",
        "]",
        "{\"a\":1}",
        "\"a\":",
        ",",
        ":",
        "\t",
        "\n",
        " ",
        "é",
        "\u{feff}",
        "😀",
        "%ASA-4-106023: ",
        "%",
        "IN=eth0 OUT= SRC=1.1.1.1 ",
        "1,2024/03/05 12:34:56,0017,THREAT,url,1,",
        "type=SYSCALL msg=audit(1364481363.243:24287): ",
        "msg='a=b c' ",
        "devTime=Mar 05 2024 12:34:56 PM^",
        "devTimeFormat=MMM dd yyyy hh:mm:ss a^",
        "devTimeFormat=a ^",
        "12 <13>x",
        "#separator \\x09\n",
        "#fields\tts\tuid\n",
        "#types\ttime\tset[string]\n",
        "1.0\tC1\n",
        "\\x2c",
        "\\x",
        "<Event>",
        "</Event>",
        "<Events>",
        "<System>",
        "<EventID>1</EventID>",
        "<Data Name=\"Image\">",
        "</Data>",
        "&amp;",
        "&x;",
        "<![CDATA[",
        "*",
        ".",
        "22191: ",
        "00:01:01: %",
        "slot1/host ",
        "T1059.001",
        "mitre=",
        "1709642096",
        "-1e5",
        "\\ud800",
        "\"event_type\":\"alert\",\"flow_id\":1,",
        "\"EventID\":1,\"Channel\":\"Security\",",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_get_a_verdict_in_any_format(
        format in prop::sample::select(FORMATS.to_vec()),
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        check(format, &payload);
    }

    #[test]
    fn any_mixture_of_formats_gets_a_verdict(format in prop::sample::select(FORMATS.to_vec()), text in soup()) {
        check(format, text.as_bytes());
    }

    #[test]
    fn every_leaf_of_an_object_becomes_a_field(value in object()) {
        let mut leaves = Vec::new();
        flatten("", &value, &mut leaves);
        let mut keys: Vec<&str> = leaves.iter().map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        prop_assume!(keys.windows(2).all(|pair| pair[0] != pair[1]));
        let (done, origin) = run("json", value.to_string().as_bytes());
        prop_assert_eq!(&done.disposition[..], &[Disposition::Accepted][..], "{:?}", done.reasons);
        let event = origin.iter().next().expect("an accepted event");
        for (key, text) in &leaves {
            prop_assert_eq!(event.field(key), Some(text.as_str()), "{}", key);
        }
    }

    #[test]
    fn json_is_what_serde_json_says(
        value in object(),
        at in any::<prop::sample::Index>(),
        with in prop::sample::select(b"{}[]\",:\\u0019-+.eEtfn \x01".to_vec()),
        how in 0..3,
    ) {
        let mut text = value.to_string().into_bytes();
        let at = 1 + at.index(text.len() - 1);
        match how {
            0 => text[at] = with,
            1 => text.insert(at, with),
            _ => { text.remove(at); }
        }
        prop_assume!(str::from_utf8(&text).is_ok());
        let theirs = serde_json::from_slice::<IgnoredAny>(&text).is_ok();
        let (done, _) = run("json", &text);
        let ours = done.disposition[0] == Disposition::Accepted;
        prop_assert_eq!(ours, theirs, "{} {:?}", String::from_utf8_lossy(&text), done.reasons);
    }
}

#[test]
fn a_mebibyte_of_malice_is_read_in_linear_time() {
    const MIB: usize = 1 << 20;
    let fill = |head: &str, piece: &str, tail: &str| {
        let count = (MIB - head.len() - tail.len()) / piece.len();
        format!("{head}{}{tail}", piece.repeat(count))
    };
    let numbers: String = (0..4000).map(|i| format!("\"k{i}\":{i},")).collect();
    let inputs = [
        fill("", "{\"a\":", ""),
        fill("{\"a\":", "[", ""),
        fill("{\"a\":\"", "\\u0041", "\"}"),
        fill("{\"a\":\"", "\\\\", "\"}"),
        fill("{\"a\":[", "1,", "1]}"),
        fill("{\"a\":[", "\"T1059\",", "1]}"),
        fill("{", "\"a\":1,", "\"a\":1}"),
        fill("{\"mitre\":\"", "T1059 ", "\"}"),
        format!("{{{numbers}\"tail\":\"{}\"}}", "x".repeat(MIB - numbers.len())),
        fill("CEF:0|a|b|c|d|e|5|", "=", ""),
        fill("CEF:0|a|b|c|d|e|5|", "a=", ""),
        fill("CEF:0|a|b|c|d|e|5|", "a=b ", ""),
        fill("CEF:0|a|b|c|d|e|5|msg=", "\\=", ""),
        fill("CEF:0|", "\\|", ""),
        fill("<13>Mar  5 12:34:56 host ", "CEF:", ""),
        fill("LEEF:2.0|a|b|c|d|^|", "^", ""),
        fill("LEEF:1.0|a|b|c|d|", "a=b\t", ""),
        fill("<13>1 - - - - - ", "[a b=\"c\"]", ""),
        fill("<13>1 - - - - - [a b=\"", "\\\"", "\"] x"),
        fill("<13>", "1: ", ""),
        fill("<13>", "*", ""),
        fill("<13>Mar  5 12:34:56 ", "a=\"", ""),
        fill("<13>Mar  5 12:34:56 h a: 1,2024/03/05 12:34:56,0017,THREAT,url,", "\"\",", ""),
        fill("a=b ", "a ", ""),
        fill("a=b ", "\"", ""),
        fill("a=\"b\" c=\"", "\\", "\""),
        fill("", "5 <13>x", ""),
        fill("", "<Event>", ""),
        fill("<Event><EventData>", "<Data>x</Data>", "</EventData></Event>"),
        fill("<Event><EventData><Data>", "&amp;", "</Data></EventData></Event>"),
        fill("#separator \\x09\n#fields\ta\tb\n", "1\t2\n", ""),
        fill("#separator \\x09\n#fields\ta\n", "\\xff", ""),
        fill("2024-03-05 12:34:56 ", "12:34:56 ", ""),
    ];
    for input in &inputs {
        for format in ["auto", "kv", "mqtt"] {
            let start = ThreadTime::now();
            check(format, input.as_bytes());
            let taken = start.elapsed();
            // Quadratic work on a mebibyte takes minutes; this leaves room for a slow machine and no optimization.
            assert!(taken < Duration::from_secs(10), "{taken:?} for {} as {format}", &input[..32]);
        }
    }
}
