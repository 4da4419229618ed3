//! ICAP trailers (draft-rousskov-icap-trailers), and which HTTP trailers are sent.

use http_body_util::BodyExt;
use icap_client::{Error, Invalid};
use icap_proto::Truncated;

use crate::body::Frames;
use crate::peer::{
    CONTINUE, HELLO, NO_CONTENT, answered, by_hand, get, modified, ok, page, passes, read, serve,
    text, unmodified,
};

/// An answer whose ICAP trailer has these lines.
fn with_trailer(answer: &str, lines: &str) -> String {
    let head = "\r\nAllow: trailers\r\nTrailer: X-Virus-ID\r\nISTag";
    format!("{}{lines}\r\n", answer.replace("\r\nISTag", head))
}

/// It comes beside the HTTP trailers, when all has been read, and the connection goes on.
#[tokio::test]
async fn an_icap_trailer_is_there_at_the_end() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        let answer = ok("HELLO").replace("\r\n0\r\n\r\n", "\r\n0\r\nX-Sum: 2\r\n\r\n");
        peer.write(with_trailer(&answer, "X-Virus-ID: eicar\r\nX-Else: 1\r\n")).await;
        peer.head().await;
        peer.write(with_trailer(HELLO, "")).await;
        peer.head().await;
        peer.write(NO_CONTENT).await;
    })
    .await;
    let client = client.build().unwrap();
    let mut adapted = answered(client.reqmod(get()).await.unwrap());
    assert!(adapted.icap_trailer().is_none());
    let data = adapted.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(data, "HELLO");
    let trailers = adapted.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["x-sum"], "2");
    assert!(trailers.get("x-virus-id").is_none() && adapted.frame().await.is_none());
    let fields = adapted.icap_trailer().unwrap();
    assert_eq!(fields.get("X-Virus-ID"), Some(&b"eicar"[..]));
    assert_eq!(fields.get("X-Else"), Some(&b"1"[..]), "other names than were announced may come");
    // A promise that nothing comes of.
    let mut adapted = answered(client.reqmod(get()).await.unwrap());
    while let Some(frame) = adapted.frame().await {
        frame.unwrap();
    }
    assert!(adapted.icap_trailer().is_none());
    passes(client.reqmod(get()).await.unwrap());
    server.await.unwrap();
}

/// Behind heads without a body it belongs to the answer too.
#[tokio::test]
async fn an_icap_trailer_without_a_body() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        let answer = "ICAP/1.0 200 OK\r\nISTag: \"t1\"\r\nEncapsulated: res-hdr=0, null-body=19\r\n\r\n\
            HTTP/1.1 200 OK\r\n\r\n";
        peer.write(with_trailer(answer, "X-Virus-ID: eicar\r\n")).await;
    })
    .await;
    let mut adapted = answered(client.build().unwrap().reqmod(get()).await.unwrap());
    assert!(adapted.frame().await.is_none());
    assert_eq!(adapted.icap_trailer().unwrap().get("X-Virus-ID"), Some(&b"eicar"[..]));
    server.await.unwrap();
}

/// ICAP-141: in whatever place the end is announced, it is the end.
#[tokio::test]
async fn a_close_in_the_icap_trailer_closes() {
    let (client, server) = serve(|peer| async move {
        let mut first = peer.accept().await;
        first.head().await;
        first.write(with_trailer(HELLO, "Connection: close\r\n")).await;
        first.closed().await;
        let mut second = peer.accept().await;
        second.head().await;
        second.write(NO_CONTENT).await;
    })
    .await;
    let client = client.build().unwrap();
    assert_eq!(read(answered(client.reqmod(get()).await.unwrap())).await, "HELLO");
    passes(client.reqmod(get()).await.unwrap());
    server.await.unwrap();
}

/// The end of the HTTP message is not the end of the answer.
#[tokio::test]
async fn an_icap_trailer_cut_anywhere_is_an_error() {
    let answer = with_trailer(HELLO, "X-Virus-ID: eicar\r\n");
    for cut in answer.len() - "X-Virus-ID: eicar\r\n\r\n".len()..answer.len() {
        let answer = answer.clone();
        let (client, server) = serve(move |peer| async move {
            let mut peer = peer.accept().await;
            peer.head().await;
            peer.write(&answer[..cut]).await;
        })
        .await;
        let adapted = answered(client.build().unwrap().reqmod(get()).await.unwrap());
        let error = adapted.collect().await.unwrap_err();
        assert!(matches!(error, Error::Closed(Truncated::InBody)), "{cut}: {error}");
        server.await.unwrap();
    }
}

/// ICAP-140, ICAP-190: what is asked for, in OPTIONS and everywhere.
#[tokio::test]
async fn extensions_are_asked_for_unless_switched_off() {
    for (on, options, message) in
        [(true, Some("206, trailers"), Some("204, trailers")), (false, None, Some("204"))]
    {
        let (client, server) = serve(|peer| async move {
            let mut peer = peer.accept().await;
            let options = peer.head().await.0;
            peer.write("ICAP/1.0 200 OK\r\nMethods: REQMOD\r\nAllow: 204\r\n\r\n").await;
            let message = peer.head().await.0;
            peer.write(NO_CONTENT).await;
            [options, message]
        })
        .await;
        let client = if on { client } else { client.icap_trailers(false).partial_content(false) };
        let client = client.build().unwrap();
        client.options().await.unwrap();
        passes(client.reqmod(get()).await.unwrap());
        let heads = server.await.unwrap();
        for (head, expected) in heads.iter().zip([options, message]) {
            let allow = head.lines().find_map(|line| line.strip_prefix("Allow: "));
            assert_eq!(allow, expected, "{head}");
        }
    }
}

/// ICAP-139: no ICAP trailer is promised to anybody, not even by hand.
#[tokio::test]
async fn no_icap_trailer_can_be_promised() {
    let client = by_hand("icap://127.0.0.1:1/s").build().unwrap();
    let failure = client.reqmod(get().header("Trailer", "X-Sum")).await.unwrap_err();
    assert!(matches!(failure.error(), Error::Invalid(Invalid::Header(_))), "{failure}");
}

/// L-43: c-icap cannot read a last chunk with trailers, so they have to be asked for. The original has them anyway.
#[tokio::test]
async fn http_trailers_are_sent_when_asked_for() {
    for (sent, preview, expected) in [
        (false, 8, "5\r\nhello\r\n0; ieof\r\n\r\n"),
        (true, 8, "5\r\nhello\r\n0; ieof\r\nx-sum: 1\r\n\r\n"),
        (false, 4, "1\r\no\r\n0\r\n\r\n"),
        (true, 4, "1\r\no\r\n0\r\nx-sum: 1\r\n\r\n"),
    ] {
        let (client, server) = serve(move |peer| async move {
            let mut peer = peer.accept().await;
            peer.head().await;
            if preview == 4 {
                peer.expect("4\r\nhell\r\n0\r\n\r\n").await;
                peer.write(CONTINUE).await;
            }
            peer.expect(expected).await;
            peer.write(NO_CONTENT).await;
        })
        .await;
        let client = client.preview(preview).replay_limit(5).http_trailers(sent).build().unwrap();
        let body = Frames::new(&["hello"]).sized().trailer("x-sum", "1");
        let original = unmodified(client.respmod(page(body)).await.unwrap());
        let whole = original.collect().await.unwrap();
        assert_eq!(whole.trailers().unwrap()["x-sum"], "1");
        server.await.unwrap();
    }
}

/// An answer to a body, so that the upload is there too.
#[tokio::test]
async fn an_icap_trailer_behind_an_upload() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.expect("5\r\nhello\r\n0\r\n\r\n").await;
        peer.write(with_trailer(&ok("HELLO"), "X-Virus-ID: eicar\r\n")).await;
    })
    .await;
    let client = client.no_preview().build().unwrap();
    let mut adapted = modified(client.respmod(page(text("hello"))).await.unwrap());
    while let Some(frame) = adapted.frame().await {
        frame.unwrap();
    }
    assert!(adapted.icap_trailer().is_some());
    server.await.unwrap();
}
