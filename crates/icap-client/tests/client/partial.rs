//! 206 Partial Content: the beginning comes from the service, the rest is the original's
//! (draft-icap-ext-partial-content).

use http_body_util::{BodyExt, Full};
use icap_client::{Client, Error};
use icap_proto::Truncated;

use crate::body::{Frames, Large, Live};
use crate::peer::{CONTINUE, NO_CONTENT, get, modified, page, passes, post, read, serve, shows};

/// A 206 to RESPMOD with this body, then the original from `offset`, if there is one.
fn partial(body: &str, offset: &str) -> String {
    let head = "ICAP/1.0 206 Partial Content\r\nISTag: \"t1\"\r\n\
        Encapsulated: res-hdr=0, res-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    let chunk = if body.is_empty() { String::new() } else { chunk(body) };
    let offset =
        if offset.is_empty() { String::new() } else { format!("; use-original-body={offset}") };
    format!("{head}{chunk}0{offset}\r\n\r\n")
}

fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

/// What is left of `helloworld`, of which four bytes were shown, behind a 206 with this body and offset.
async fn preview_answered(answer: String, body: Frames) -> Result<String, Error> {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.expect("4\r\nhell\r\n0\r\n\r\n").await;
        peer.write(answer).await;
    })
    .await;
    let client = client.preview(4).partial_content(true).build().unwrap();
    let adapted = modified(client.respmod(page(body)).await?);
    let whole = adapted.collect().await?;
    server.await.unwrap();
    Ok(String::from_utf8(whole.to_bytes().to_vec()).unwrap())
}

fn body() -> Frames {
    Frames::new(&["hello", "world"])
}

/// ICAP-198, ICAP-200, ICAP-202: kept bytes, bytes that were never sent, and none at all.
#[tokio::test]
async fn the_original_goes_on_behind_the_prefix() {
    for (prefix, offset, expected) in [
        ("AB", "0", "ABhelloworld"),
        ("AB", "2", "ABlloworld"),
        ("AB", "4", "ABoworld"),
        ("AB", "5", "ABworld"),
        ("AB", "7", "ABrld"),
        ("AB", "010", "AB"),
        ("AB", "", "AB"),
        ("", "0", "helloworld"),
        ("", "10", ""),
    ] {
        for body in [body(), body().sized(), body().knows_end()] {
            let came = preview_answered(partial(prefix, offset), body).await.unwrap();
            assert_eq!(came, expected, "{prefix} {offset}");
        }
    }
}

/// ICAP-199, ICAP-405: never a short body that looks whole.
#[tokio::test]
async fn an_offset_beyond_the_original_is_an_error() {
    for offset in [11, u64::MAX] {
        let error = preview_answered(partial("AB", &offset.to_string()), body()).await;
        let error = error.unwrap_err();
        assert!(matches!(error, Error::BeyondOriginal { length: 10, .. }), "{error}");
        assert!(!error.is_retryable());
        let text = format!("invalid answer: use-original-body={offset} of a body of 10 bytes");
        shows(&error, &text);
    }
    for offset in ["x", "-1", "+1", "1a", "18446744073709551616"] {
        let error = preview_answered(partial("AB", offset), body()).await.unwrap_err();
        assert!(matches!(error, Error::Protocol(_)), "{offset}: {error}");
    }
}

/// It stays an error, and the beginning was given out before.
#[tokio::test]
async fn an_offset_beyond_the_original_never_ends_cleanly() {
    use http_body::Body;

    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.write(partial("AB", "3")).await;
    })
    .await;
    let client = client.partial_content(true).build().unwrap();
    let message = page(Frames::new(&["hi"]).sized());
    let mut adapted = modified(client.respmod(message).await.unwrap());
    assert_eq!(adapted.frame().await.unwrap().unwrap().into_data().unwrap(), "AB");
    for _ in 0..3 {
        assert!(!adapted.is_end_stream());
        assert!(adapted.frame().await.unwrap().is_err());
    }
    server.await.unwrap();
}

/// ICAP-197: behind the preview and without one, out of what is kept. The connection serves the next.
#[tokio::test]
async fn a_late_206_takes_the_original_from_the_store() {
    for preview in [Some(4), None] {
        let (client, server) = serve(move |peer| async move {
            let mut peer = peer.accept().await;
            for offset in ["3", "10"] {
                let (icap, _) = peer.head().await;
                assert!(icap.contains("\r\nAllow: 204, 206, trailers\r\n"), "{icap}");
                if preview.is_some() {
                    peer.expect("4\r\nhell\r\n0\r\n\r\n").await;
                    peer.write(CONTINUE).await;
                }
                peer.until("world\r\n0\r\n\r\n").await;
                peer.write(partial("AB", offset)).await;
            }
        })
        .await;
        let client = client.replay_limit(10).partial_content(true);
        let client = match preview {
            Some(bytes) => client.preview(bytes),
            None => client.no_preview(),
        };
        let client = client.build().unwrap();
        for expected in ["ABloworld", "AB"] {
            let adapted = modified(client.respmod(page(body().sized())).await.unwrap());
            assert_eq!(read(adapted).await, expected);
        }
        server.await.unwrap();
    }
}

/// An answer that is there before the body is: what was not sent comes from the caller's body alone.
#[tokio::test]
async fn an_early_206_streams_what_was_never_sent() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.expect("2\r\nhe\r\n").await;
        peer.write(partial("AB", "1")).await;
        peer.closed().await;
    })
    .await;
    let client = client.no_preview().replay_limit(5).partial_content(true).build().unwrap();
    let (sender, live) = Live::new();
    sender.send("he");
    let mut adapted = modified(client.respmod(page(live.claims(5))).await.unwrap());
    assert_eq!(adapted.frame().await.unwrap().unwrap().into_data().unwrap(), "AB");
    assert_eq!(adapted.frame().await.unwrap().unwrap().into_data().unwrap(), "e");
    sender.send("llo");
    drop(sender);
    assert_eq!(read(adapted).await, "llo");
    server.await.unwrap();
}

/// An offset that no body reaches, in one that never waits and never ends: other tasks have their turn.
#[tokio::test]
async fn an_offset_far_beyond_leaves_time_for_others() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.until("0\r\n\r\n").await;
        peer.write(partial("AB", &u64::MAX.to_string())).await;
    })
    .await;
    let client = client.preview(4).partial_content(true).build().unwrap();
    let adapted = modified(client.respmod(page(Large::new(u64::MAX))).await.unwrap());
    let limit = std::time::Duration::from_millis(50);
    assert!(tokio::time::timeout(limit, adapted.collect()).await.is_err());
    server.await.unwrap();
}

/// What is kept was promised by the size that the body told.
#[tokio::test]
async fn a_body_longer_than_promised_cannot_go_on() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.until("world\r\n0\r\n\r\n").await;
        peer.write(partial("AB", "1")).await;
    })
    .await;
    let client = client.no_preview().replay_limit(5).partial_content(true).build().unwrap();
    let adapted = modified(client.respmod(page(body().claims(5))).await.unwrap());
    let error = adapted.collect().await.unwrap_err();
    shows(&error, "the body to send failed: the body is longer than its size hint");
    server.await.unwrap();
}

#[tokio::test]
async fn a_body_that_fails_behind_the_prefix_fails_the_answer() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.expect("2\r\nhe\r\n0\r\n\r\n").await;
        peer.write(partial("AB", "1")).await;
    })
    .await;
    let client = client.preview(2).partial_content(true).build().unwrap();
    let (sender, live) = Live::new();
    sender.send("he");
    let adapted = modified(client.respmod(page(live)).await.unwrap());
    sender.fail("gone");
    shows(&adapted.collect().await.unwrap_err(), "the body to send failed: gone");
    server.await.unwrap();
}

/// Bytes are moved, not copied.
#[tokio::test]
async fn the_rest_of_the_original_is_not_copied() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.until("ieof\r\n\r\n").await;
        peer.write(partial("", "100")).await;
    })
    .await;
    let body = bytes::Bytes::from(vec![7; 1_000]);
    let client = client.partial_content(true).build().unwrap();
    let message = page(Full::new(body.clone()));
    let mut adapted = modified(client.respmod(message).await.unwrap());
    let piece = adapted.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(piece.as_ptr(), body.slice(100..).as_ptr());
    server.await.unwrap();
}

/// The trailers are those of the answer: a checksum of the original would be wrong.
#[tokio::test]
async fn trailers_are_those_of_the_answer() {
    for (sent, expected) in [("X-Sum: 2\r\n", Some("2")), ("", None)] {
        let (client, server) = serve(move |peer| async move {
            let mut peer = peer.accept().await;
            peer.head().await;
            let answer = partial("AB", "1").replace("=1\r\n", &format!("=1\r\n{sent}"));
            peer.write(answer).await;
        })
        .await;
        let client = client.partial_content(true).build().unwrap();
        let message = page(Frames::new(&["hi"]).trailer("x-sum", "1"));
        let whole = modified(client.respmod(message).await.unwrap()).collect().await.unwrap();
        let sum = whole.trailers().and_then(|trailers| trailers.get("x-sum"));
        assert_eq!(sum.map(|sum| sum.to_str().unwrap()), expected);
        assert_eq!(whole.to_bytes(), "ABi");
        server.await.unwrap();
    }
}

/// ICAP-203: the two together are as long as the head says.
#[tokio::test]
async fn prefix_and_rest_are_held_to_the_length() {
    for (declared, fits) in [("7", true), ("6", false), ("8", false), ("x", false)] {
        let answer = partial("AB", "5")
            .replace("res-body=19", "res-body=38")
            .replace("200 OK\r\n\r\n", &format!("200 OK\r\nContent-Length: {declared}\r\n\r\n"));
        let came = preview_answered(answer, body()).await;
        match came {
            Ok(came) => assert!(fits && came == "ABworld", "{declared}: {came}"),
            Err(error) => assert!(!fits && matches!(error, Error::Length(_)), "{error}"),
        }
    }
}

/// Cut behind every byte: never a clean end.
#[tokio::test]
async fn a_206_cut_anywhere_is_an_error() {
    let answer = partial("AB", "2");
    for cut in 0..answer.len() {
        let error = preview_answered(answer[..cut].into(), body()).await.unwrap_err();
        assert!(matches!(error, Error::Closed(_)), "{cut}: {error}");
        assert!(!matches!(error, Error::Closed(Truncated::BeforeHead)), "{cut}");
    }
}

/// ICAP-192, ICAP-194, ICAP-195: 206 goes to services that know it, and only as far as the body is kept.
#[tokio::test]
async fn a_206_is_offered_as_far_as_the_body_is_kept() {
    // Whether the service knows it; preview, replay limit, whether the caller keeps the body; what is offered.
    let rows = [
        (Some(true), Some(4), 0, false, "206, trailers"),
        (Some(true), Some(4), 10, false, "204, 206, trailers"),
        (Some(true), Some(10), 0, false, "204, 206, trailers"),
        (Some(true), None, 0, false, "trailers"),
        (Some(true), None, 10, false, "204, 206, trailers"),
        // With 204 it could come behind the preview.
        (Some(true), Some(4), 0, true, "204, trailers"),
        (Some(true), Some(4), 10, true, "204, 206, trailers"),
        (Some(false), Some(4), 10, false, "204, trailers"),
        (None, Some(4), 10, false, "204, trailers"),
    ];
    for (known, preview, limit, kept, expected) in rows {
        let (client, server) = serve(|peer| async move {
            let mut peer = peer.accept().await;
            let (icap, _) = peer.head().await;
            peer.write("ICAP/1.0 404 ICAP Service Not Found\r\n\r\n").await;
            icap
        })
        .await;
        let client = match preview {
            Some(bytes) => client.preview(bytes),
            None => client.no_preview(),
        };
        let client = match known {
            Some(known) => client.partial_content(known),
            None => client,
        };
        let client: Client = client.replay_limit(limit).build().unwrap();
        let message = page(body().sized());
        let message = if kept { message.kept_by_caller() } else { message };
        client.respmod(message).await.unwrap_err();
        let icap = server.await.unwrap();
        assert!(icap.contains(&format!("\r\nAllow: {expected}\r\n")), "{expected}: {icap}");
    }
}

/// ICAP-194: alone, it ends with the preview.
#[tokio::test]
async fn a_206_behind_the_preview_needs_more_leave() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.until("0\r\n\r\n").await;
        peer.write(CONTINUE).await;
        peer.until("world\r\n0\r\n\r\n").await;
        peer.write(partial("AB", "2")).await;
        peer.closed().await;
    })
    .await;
    let client = client.preview(4).partial_content(true).build().unwrap();
    let failure = client.respmod(page(body())).await.unwrap_err();
    shows(failure.error(), "invalid answer: peer misbehaved: 206 that the request did not allow");
    server.await.unwrap();
}

/// The same to a request, and an original without a body.
#[tokio::test]
async fn a_206_to_a_request() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        for (body, offset) in [("2\r\nhi\r\n0; ieof\r\n\r\n", "1"), ("", "0")] {
            peer.head().await;
            peer.expect(body).await;
            let answer = partial("AB", offset)
                .replace("res-", "req-")
                .replace("HTTP/1.1 200 OK", "PUT /b HTTP/1.1");
            peer.write(answer).await;
        }
        peer.head().await;
        peer.write(NO_CONTENT).await;
    })
    .await;
    let client = client.partial_content(true).build().unwrap();
    let message = post(Frames::new(&["hi"]).sized());
    let adapted = modified(client.reqmod(message).await.unwrap());
    assert_eq!(adapted.head().method(), Some("PUT"));
    assert_eq!(read(adapted.into_request().unwrap().into_body()).await, "ABi");
    assert_eq!(read(modified(client.reqmod(get()).await.unwrap())).await, "AB");
    passes(client.reqmod(get()).await.unwrap());
    server.await.unwrap();
}
