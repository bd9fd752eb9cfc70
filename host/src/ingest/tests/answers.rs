//! What a client is told, and when.

use super::*;

#[tokio::test]
async fn reports_what_became_of_each_line() {
    let server = running(&Desk::new(Does::Settle), |_| ()).await;
    let answer = server.text("ok\n\ndrop me\ndead\n").await;
    assert_eq!(answer.status, 200);
    let results = json!([
        {"line": 3, "outcome": "dropped", "reason": "a test"},
        {"line": 4, "outcome": "dead_lettered", "reason": "broken"},
    ]);
    let expected = json!({"received": 3, "published": 1, "dropped": 1, "dead_lettered": 1, "results": results});
    assert_eq!(answer.body, expected);
}

#[tokio::test]
async fn lists_published_lines_when_asked() {
    let server = running(&Desk::new(Does::Settle), |_| ()).await;
    let answer = server.post("?verbose", TEXT, b"\nok").await;
    assert_eq!(answer.body["results"], json!([{"line": 2, "outcome": "published", "events": 1}]));
}

#[tokio::test]
async fn answers_only_after_the_last_event_is_settled() {
    let server = running(&Desk::new(Does::Keep), |_| ()).await;
    let (answer, mut kept) = server.kept("a\nb").await;
    settle(kept.pop().expect("two deliveries"));
    // Another request goes all the way meanwhile, so the first one had its chance.
    assert_eq!(server.raw("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.status, 404);
    assert!(!answer.is_finished());
    settle(kept.pop().expect("two deliveries"));
    assert_eq!(answer.await.expect("an answer").body["published"], 2);
}

#[tokio::test]
async fn cuts_each_content_type_its_own_way() {
    let server = running(&Desk::new(Does::Settle), |_| ()).await;
    for (headers, body, format, payloads) in [
        (JSON, "{\"a\":\n1}", "json", vec!["{\"a\":\n1}"]),
        (JSON, "[{\"a\":1}, {\"a\":2}]", "json", vec!["{\"a\":1}", "{\"a\":2}"]),
        (NDJSON, "{\"a\":1}\r\n{\"a\":2}", "json", vec!["{\"a\":1}", "{\"a\":2}"]),
        (TEXT, "<13>one\n<14>two\n", "auto", vec!["<13>one", "<14>two"]),
    ] {
        let answer = server.post("", headers, body.as_bytes()).await;
        assert_eq!((answer.status, &answer.body["published"]), (200, &json!(payloads.len())), "{body}");
        let seen = server.desk.seen();
        assert!(seen.iter().all(|seen| seen.context.format == format), "{seen:?}");
        let got: Vec<_> = seen.iter().map(|seen| String::from_utf8_lossy(&seen.payload).into_owned()).collect();
        assert_eq!(got, payloads);
    }
}

#[tokio::test]
async fn names_the_origin_the_device_and_the_sender() {
    let server = running(&Desk::new(Does::Settle), |_| ()).await;
    server.post("?format=cef&device=gw_01", "Content-Type: text/plain\r\nX-Aurora-Source: edge.fw\r\n", b"a").await;
    let seen = server.desk.seen();
    let expected = Context {
        source: "edge.fw".to_owned(),
        format: "cef".to_owned(),
        device_id: Some("gw_01".to_owned()),
        source_ip: Some("127.0.0.1".to_owned()),
        ..Context::default()
    };
    assert_eq!(seen[0].context, expected);
    assert_eq!(seen[0].lane, "gw_01".len());
}

#[tokio::test]
async fn refuses_what_is_malformed_with_the_reason() {
    let server = running(&Desk::new(Does::Settle), |_| ()).await;
    for (query, headers, body, status, reason) in [
        ("", JSON, "[{\"a\":1}", 400, "no JSON array"),
        ("?device=a.b", TEXT, "a", 400, "`device`"),
        ("?sauce=a", TEXT, "a", 400, "sauce"),
        ("", "", "a", 415, "Content-Type"),
        ("", "Content-Type: text/plain\r\nContent-Encoding: gzip\r\n", "a", 415, "compressed"),
    ] {
        let answer = server.post(query, headers, body.as_bytes()).await;
        assert_eq!(answer.status, status, "{query} {headers}");
        assert!(answer.body["error"].as_str().is_some_and(|error| error.contains(reason)), "{}", answer.body);
    }
    assert!(server.desk.seen().is_empty());
}

#[tokio::test]
async fn takes_an_empty_request() {
    let server = running(&Desk::new(Does::Settle), |_| ()).await;
    let answer = server.post("", JSON, b"[]").await;
    assert_eq!((answer.status, &answer.body["received"]), (200, &json!(0)));
}

#[tokio::test]
async fn says_which_lines_to_send_again_after_a_partial_loss() {
    let server = running(&Desk::new(Does::Settle), |_| ()).await;
    let answer = server.text("a\nlose\ndrop").await;
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("retry-after: 1"), "{}", answer.head);
    assert_eq!((&answer.body["published"], &answer.body["abandoned"]), (&json!(1), &json!(1)));
    let results = json!([
        {"line": 1, "outcome": "published", "events": 1},
        {"line": 2, "outcome": "abandoned"},
        {"line": 3, "outcome": "dropped", "reason": "a test"},
    ]);
    assert_eq!(answer.body["results"], results);
}

#[tokio::test]
async fn keeps_the_order_of_a_request() {
    let server = running(&Desk::new(Does::Settle), |_| ()).await;
    let lines: Vec<String> = (0..2000).map(|number| format!("event {number}")).collect();
    assert_eq!(server.text(&lines.join("\n")).await.body["published"], 2000);
    assert_eq!(server.desk.payloads(), lines);
}

#[tokio::test]
async fn answers_each_of_many_clients_with_its_own_events() {
    let server = running(&Desk::new(Does::Settle), |_| ()).await;
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..60_usize {
        let address = server.address;
        clients.spawn(async move {
            let body: String = (0..client).map(|_| "drop\n").chain((0..5).map(|_| "ok\n")).collect();
            (client, Answer::read(&mut send(address, "", TEXT, body.as_bytes()).await).await)
        });
    }
    while let Some(done) = clients.join_next().await {
        let (client, answer) = done.expect("no client panics");
        assert_eq!((&answer.body["dropped"], &answer.body["published"]), (&json!(client), &json!(5)));
    }
    assert_eq!(server.in_flight(), 0);
    assert_eq!(server.desk.seen().len(), (0..60).sum::<usize>() + 300);
}

#[tokio::test]
async fn keeps_events_in_flight_after_their_client_has_gone() {
    let server = running(&Desk::new(Does::Keep), |_| ()).await;
    let stream = send(server.address, "", TEXT, b"a\nb").await;
    server.desk.arrived.notified().await;
    drop(stream);
    // Another request goes all the way, so the server has had its chance to see the end of the first one.
    assert_eq!(server.raw("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.status, 404);
    assert_eq!(server.in_flight(), 2);
    server.desk.kept().into_iter().for_each(settle);
    assert_eq!(server.in_flight(), 0);
}

#[tokio::test]
async fn drains_before_it_ends() {
    let server = running(&Desk::new(Does::Keep), |_| ()).await;
    let (answer, kept) = server.kept("a").await;
    server.shutdown.cancel();
    let refused = server.text("b").await;
    assert_eq!(refused.status, 503);
    assert!(refused.body.get("results").is_none(), "{}", refused.body);
    assert!(!server.task.is_finished());
    kept.into_iter().for_each(settle);
    assert_eq!(answer.await.expect("an answer").status, 200);
    time::timeout(Duration::from_secs(5), server.task).await.expect("it ends").expect("without a panic");
}

#[tokio::test]
async fn says_503_when_the_lanes_end_with_events_in_them() {
    let server = running(&Desk::new(Does::Keep), |_| ()).await;
    let (answer, kept) = server.kept("a\nb").await;
    drop(kept);
    let answer = answer.await.expect("an answer");
    assert_eq!((answer.status, &answer.body["abandoned"]), (503, &json!(2)));
    server.desk.does(Does::Refuse(event::Refusal::Closed));
    let refused = server.text("c").await;
    assert_eq!(refused.status, 503);
    assert!(refused.body.get("results").is_none(), "{}", refused.body);
}

#[tokio::test]
async fn numbers_a_repeat_under_the_same_key_alike() {
    let server = running(&Desk::new(Does::Settle), |_| ()).await;
    let mut identities = Vec::new();
    for (query, key) in [("", "k1"), ("", "k1"), ("", "k2"), ("?source=zeek", "k1"), ("", ""), ("", "")] {
        let key = if key.is_empty() { String::new() } else { format!("Idempotency-Key: {key}\r\n") };
        server.post(query, &format!("{TEXT}{key}"), b"same\nsame").await;
        identities.push(server.desk.seen().iter().map(|seen| seen.identity).collect::<Vec<_>>());
    }
    assert_eq!(identities[0], identities[1]);
    assert_ne!(identities[0][0], identities[0][1]);
    let distinct: std::collections::HashSet<_> = identities.iter().flatten().collect();
    assert_eq!(distinct.len(), 10);
}

#[tokio::test]
async fn points_to_the_route_that_exists() {
    let server = running(&Desk::new(Does::Settle), |_| ()).await;
    let lost = server.raw("POST /events HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(lost.status, 404);
    assert!(lost.body["error"].as_str().is_some_and(|error| error.contains("/v1/events")), "{}", lost.body);
    let wrong = server.raw("GET /v1/events HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(wrong.status, 405);
    assert!(wrong.head.contains("allow: post"), "{}", wrong.head);
}

#[tokio::test]
async fn counts_its_answers_by_status() {
    let server = running(&Desk::new(Does::Settle), |_| ()).await;
    server.text("a").await;
    server.post("", "", b"a").await;
    let families = server.metrics.registry.gather();
    let family =
        families.iter().find(|family| family.name() == "aurora_ingest_answers_total").expect("it is registered");
    let counts: Vec<_> = family
        .get_metric()
        .iter()
        .map(|metric| (metric.get_label()[0].value().to_owned(), metric.get_counter().get_value()))
        .collect();
    assert_eq!(counts, [("200".to_owned(), 1.0), ("415".to_owned(), 1.0)]);
}
