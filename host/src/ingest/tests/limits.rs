//! What is refused, and that nothing is left behind by it.

use super::*;

#[tokio::test]
async fn takes_nothing_without_the_token() {
    let server = running(&Desk::new(Does::Settle), |_| ()).await;
    for (header, challenge) in [
        ("", "bearer realm=\"aurora\""),
        ("Authorization: Basic czNjcmV0\r\n", "bearer realm=\"aurora\""),
        ("Authorization: Bearer S3cret\r\n", "error=\"invalid_token\""),
    ] {
        let request = format!(
            "POST /v1/events HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{header}{TEXT}Content-Length: 1\r\n\r\na"
        );
        let answer = server.raw(&request).await;
        assert_eq!(answer.status, 401, "{header}");
        assert!(answer.head.contains("www-authenticate: bearer") && answer.head.contains(challenge), "{}", answer.head);
    }
    assert!(server.desk.seen().is_empty());
}

#[tokio::test]
async fn does_not_ask_for_a_body_that_it_will_not_take() {
    let server = running(&Desk::new(Does::Settle), |_| ()).await;
    let answer = server
        .raw("POST /v1/events HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n")
        .await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn leaves_nothing_behind_when_the_lane_is_full() {
    let server = running(&Desk::new(Does::Refuse(event::Refusal::Full)), |ingest| {
        ingest.places = Arc::new(Semaphore::new(2));
        ingest.max_in_flight = 2;
    })
    .await;
    for _ in 0..3 {
        let answer = server.text("a\nb").await;
        assert_eq!(answer.status, 429);
        assert!(answer.head.contains("retry-after: 1"), "{}", answer.head);
        assert!(answer.body["error"].as_str().is_some_and(|error| error.contains("lane is full")), "{}", answer.body);
    }
    assert_eq!(server.in_flight(), 0);
    assert_eq!(server.metrics.stage(Stage::Source).received.get(), 0);
    server.desk.does(Does::Settle);
    assert_eq!(server.text("a\nb").await.status, 200);
    assert_eq!(server.metrics.stage(Stage::Source).received.get(), 2);
}

#[tokio::test]
async fn takes_all_of_a_request_or_nothing_when_places_are_short() {
    let server = running(&Desk::new(Does::Keep), |ingest| {
        ingest.places = Arc::new(Semaphore::new(4));
        ingest.max_in_flight = 4;
    })
    .await;
    let (first, kept) = server.kept("a\nb\nc").await;
    server.desk.seen();
    assert_eq!(server.text("d\ne").await.status, 429);
    assert!(server.desk.seen().is_empty());
    assert_eq!(server.in_flight(), 3);
    kept.into_iter().for_each(settle);
    assert_eq!(first.await.expect("an answer").status, 200);
    server.desk.does(Does::Settle);
    assert_eq!(server.text("d\ne\nf\ng").await.status, 200);
}

#[tokio::test]
async fn refuses_at_once_what_no_lane_could_ever_take() {
    let server = running(&Desk::with_capacity(Does::Settle, 2), |_| ()).await;
    let answer = server.text("a\nb\nc").await;
    assert_eq!(answer.status, 413);
    assert!(answer.body["error"].as_str().is_some_and(|error| error.contains("more than 2 events")));
    assert_eq!(server.text("a\nb").await.status, 200);
}

#[tokio::test]
async fn refuses_an_announced_body_before_it_is_sent() {
    let server = running(&Desk::new(Does::Settle), |_| ()).await;
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer s3cret\r\n\
         Expect: 100-continue\r\n{TEXT}Content-Length: 65537\r\n\r\n"
    );
    assert_eq!(server.raw(&head).await.status, 413);
}

#[tokio::test]
async fn refuses_an_unannounced_body_once_it_is_too_large() {
    let server = running(&Desk::new(Does::Settle), |_| ()).await;
    let chunk = format!("1000\r\n{}\r\n", "a".repeat(0x1000));
    let request = |chunks| {
        format!(
            "POST /v1/events?framing=whole HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
             Authorization: Bearer s3cret\r\n{TEXT}Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
            chunk.repeat(chunks)
        )
    };
    assert_eq!(server.raw(&request(17)).await.status, 413);
    assert!(server.desk.seen().is_empty());
    assert_eq!(server.raw(&request(16)).await.status, 200);
    assert_eq!(server.desk.seen()[0].payload.len(), 0x10000);
}

#[tokio::test]
async fn marks_an_event_that_is_too_large_and_takes_its_neighbours() {
    let server = running(&Desk::new(Does::Settle), |_| ()).await;
    let body = format!("a\n{}\nb", "c".repeat(1025));
    assert_eq!(server.text(&body).await.status, 200);
    let unfit: Vec<_> = server.desk.seen().into_iter().map(|seen| seen.unfit).collect();
    assert_eq!(unfit, [None, Some("1025 bytes, at most 1024 are taken".to_owned()), None]);
}

#[tokio::test]
async fn gives_up_on_a_body_that_never_ends() {
    let server = running(&Desk::new(Does::Settle), |ingest| ingest.bounds.patience = Duration::from_millis(50)).await;
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer s3cret\r\n{TEXT}Content-Length: 9\r\n\r\na"
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    assert_eq!(Answer::read(&mut stream).await.status, 408);
    assert!(server.desk.seen().is_empty());
}

#[tokio::test]
async fn takes_nothing_of_a_body_that_ends_early() {
    let server = running(&Desk::new(Does::Settle), |_| ()).await;
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer s3cret\r\n{TEXT}Content-Length: 9\r\n\r\na\nb\n"
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.shutdown().await.expect("the end is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an end");
    assert!(!answer.contains("200 OK"), "{answer}");
    assert!(server.desk.seen().is_empty());
}

#[tokio::test]
async fn holds_only_so_many_bytes_of_unsettled_events() {
    let server = running(&Desk::new(Does::Keep), |ingest| ingest.bounds.memory = Arc::new(Semaphore::new(10))).await;
    let (first, kept) = server.kept("12345678").await;
    let answer = server.text("123").await;
    assert_eq!(answer.status, 429);
    assert!(answer.body["error"].as_str().is_some_and(|error| error.contains("bytes")), "{}", answer.body);
    kept.into_iter().for_each(settle);
    assert_eq!(first.await.expect("an answer").status, 200);
    server.desk.does(Does::Settle);
    assert_eq!(server.text("1234567890").await.status, 200);
}

#[test]
fn refuses_limits_that_cannot_be_kept() {
    let good = config::Ingest { token: Some(config::Secret("a".to_owned())), ..config::Ingest::default() };
    for (key, config) in [
        ("max_in_flight", config::Ingest { max_in_flight: 0, ..good.clone() }),
        ("max_body", config::Ingest { max_body: ByteSize::gib(5), ..good }),
    ] {
        match Ingest::new(&config, Desk::new(Does::Settle), Metrics::new()) {
            Err(Error::Limit { key: found }) => assert_eq!(found, key),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("took {key}"),
        }
    }
}
