//! A new beginning, and the original from some byte on: 206, and what other clients get in its place.

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::BodyExt;
use icap_proto::wire::chunk::{ChunkDecoder, OriginalBody, Part};
use icap_proto::{HttpHead, Leniency, Limits};
use icap_server::{Error, Reply, ReplyBody, Request, Server, Service, ServiceConfig, service_fn};
use tokio::io::DuplexStream;

use crate::support::*;

const BODY: &str = "abcdefghi";

/// What the handler reads before it answers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Reads {
    Nothing,
    Preview,
    Everything,
}

fn page() -> HttpHead {
    HttpHead::response(200, "OK", [("X-New", "yes")]).unwrap()
}

async fn new_beginning(request: Request, reads: Reads, offset: u64) -> Result<Reply, Error> {
    match reads {
        Reads::Nothing => {}
        Reads::Preview => drop(request.preview().await?),
        Reads::Everything => {
            let (_, body) = request.into_body().await?;
            body.collect().await?;
        }
    }
    Ok(Reply::original_from(page(), "NEW", offset))
}

fn patching(reads: Reads, offset: u64) -> Server {
    patching_with(reads, offset, ServiceConfig::default())
}

fn patching_with(reads: Reads, offset: u64, config: ServiceConfig) -> Server {
    let call = move |request| new_beginning(request, reads, offset);
    let service = service_fn(options().allow_partial_content(), call).with_config(config);
    Server::new().service("/x", service).unwrap()
}

/// Asks with all of the protocol that is due, the body in the pieces given, and reads the final answer: its status,
/// its body, and where it says that the original goes on.
async fn ask(
    client: &mut Client<DuplexStream>,
    fields: &str,
    preview: &[&[u8]],
    rest: &[&[u8]],
) -> (u16, Result<Bytes, Bytes>, Option<u64>) {
    client.say(respmod(fields)).await;
    for piece in preview.iter().filter(|piece| !piece.is_empty()) {
        client.say(chunk(piece)).await;
        tokio::task::yield_now().await;
    }
    client.say(LAST).await;
    let mut head = client.head().await;
    if head.status().as_u16() == 100 {
        for piece in rest.iter().filter(|piece| !piece.is_empty()) {
            client.say(chunk(piece)).await;
            tokio::task::yield_now().await;
        }
        client.say(LAST).await;
        head = client.head().await;
    }
    let (body, original) =
        if head.has_body() { ended(client).await } else { (Ok(Bytes::new()), None) };
    (head.status().as_u16(), body, original)
}

async fn ended(client: &mut Client<DuplexStream>) -> (Result<Bytes, Bytes>, Option<u64>) {
    let mut decoder = ChunkDecoder::default();
    let mut body = Vec::new();
    loop {
        match decoder.decode(&mut client.input, &Limits::default(), &Leniency::strict()).unwrap() {
            Some(Part::Data(data)) => body.extend_from_slice(&data),
            Some(Part::End(end)) => {
                let original = end.original_body.map(|original| match original {
                    OriginalBody::From(offset) => offset,
                    other => panic!("{other:?}"),
                });
                return (Ok(body.into()), original);
            }
            Some(_) => unreachable!(),
            None if client.more().await => {}
            None => return (Err(body.into()), None),
        }
    }
}

#[tokio::test]
async fn a_206_for_those_who_take_one() {
    for (fields, reads) in [
        ("Preview: 4\r\nAllow: 206\r\n", Reads::Nothing),
        ("Preview: 4\r\nAllow: 206\r\n", Reads::Preview),
        ("Preview: 4\r\nAllow: 204, 206\r\n", Reads::Preview),
        ("Preview: 4\r\nAllow: 204, 206\r\n", Reads::Everything),
    ] {
        let mut client = connect_to(patching(reads, 2));
        for _ in 0..2 {
            let (status, body, original) = ask(&mut client, fields, &[b"abcd"], &[b"efghi"]).await;
            assert_eq!((status, original), (206, Some(2)), "{fields} {reads:?}");
            assert_eq!(body.unwrap(), "NEW");
        }
    }
    // Any time with both, and with the next request behind it.
    let mut client = connect_to(patching(Reads::Nothing, 9));
    let request = respmod("Allow: 204, 206\r\n") + "9\r\nabcdefghi\r\n0\r\n\r\n";
    client.say(request.repeat(3)).await;
    for _ in 0..3 {
        let head = client.head().await;
        assert_eq!((head.status().as_u16(), head.close()), (206, false));
        assert_eq!(head.http_response().unwrap().headers().get("X-New"), Some(&b"yes"[..]));
        assert_eq!(ended(&mut client).await, (Ok(Bytes::from("NEW")), Some(9)));
    }
}

#[tokio::test]
async fn others_get_the_whole() {
    for reads in [Reads::Nothing, Reads::Preview, Reads::Everything] {
        for offset in 0..=9 {
            let mut client = connect_to(patching(reads, offset));
            for fields in ["", "Allow: 204\r\n", "Allow: 206\r\n"] {
                let (status, body, original) =
                    ask(&mut client, fields, &[b"abc", b"defghi"], &[]).await;
                let whole = ["NEW", &BODY[usize::try_from(offset).unwrap()..]].concat();
                assert_eq!((status, original), (200, None), "{fields} {reads:?} {offset}");
                assert_eq!(body.unwrap(), whole, "{fields} {reads:?} {offset}");
            }
            for fields in ["Preview: 4\r\n", "Preview: 4\r\nAllow: 204\r\n"] {
                let (status, body, original) =
                    ask(&mut client, fields, &[b"ab", b"cd"], &[b"efg", b"hi"]).await;
                let whole = ["NEW", &BODY[usize::try_from(offset).unwrap()..]].concat();
                assert_eq!((status, original), (200, None), "{fields} {reads:?} {offset}");
                assert_eq!(body.unwrap(), whole, "{fields} {reads:?} {offset}");
            }
        }
    }
}

/// 100 Continue ends the preview, and with it the permission that `Allow: 206` alone gives.
#[tokio::test]
async fn allow_206_alone_ends_with_the_preview() {
    let mut client = connect_to(patching(Reads::Everything, 4));
    let fields = "Preview: 4\r\nAllow: 206\r\n";
    let (status, body, original) = ask(&mut client, fields, &[b"abcd"], &[b"efghi"]).await;
    assert_eq!((status, body.unwrap(), original), (200, Bytes::from("NEWefghi"), None));
}

#[tokio::test]
async fn every_split_gives_the_same() {
    for split in 0..=9 {
        let (first, second) = BODY.as_bytes().split_at(split);
        for reads in [Reads::Nothing, Reads::Everything] {
            for (memory, offset) in [(1 << 20, 5), (3, 5), (0, 5), (3, 2)] {
                let config = ServiceConfig::default().echo_limit(memory);
                let mut client = connect_to(patching_with(reads, offset, config));
                let (_, body, _) = ask(&mut client, "", &[first, second], &[]).await;
                let expected = ["NEW", &BODY[usize::try_from(offset).unwrap()..]].concat();
                assert_eq!(body.unwrap(), expected, "{split} {reads:?} {memory} {offset}");
            }
        }
        let preview = format!("Preview: {split}\r\n");
        let mut client = connect_to(patching(Reads::Preview, 5));
        let (_, body, _) = ask(&mut client, &preview, &[first], &[second]).await;
        assert_eq!(body.unwrap(), "NEWfghi", "{split}");
    }
}

#[tokio::test]
async fn the_end_of_a_large_original_comes_from_memory_and_from_a_file() {
    let body: Vec<u8> = (0..200_000u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
    for offset in [0, 999, 1000, 1001, 66_000, 199_999] {
        let config = ServiceConfig::default().echo_limit(1000);
        let mut client = connect_to(patching_with(Reads::Everything, offset, config));
        let (first, second) = body.split_at(100_000);
        let (status, got, _) = ask(&mut client, "", &[first, second], &[]).await;
        let expected = [&b"NEW"[..], &body[usize::try_from(offset).unwrap()..]].concat();
        assert!(status == 200 && got.unwrap() == expected, "{offset}");
    }
}

#[tokio::test]
async fn an_offset_behind_the_end() {
    // Known in time, or when it is too late for another status.
    for fields in ["", "Allow: 204\r\n", "Allow: 204, 206\r\n"] {
        let mut client = connect_to(patching(Reads::Everything, 10));
        assert_eq!(ask(&mut client, fields, &[BODY.as_bytes()], &[]).await.0, 500, "{fields}");
    }
    let mut client = connect_to(patching(Reads::Nothing, 10));
    let (status, body, _) = ask(&mut client, "", &[BODY.as_bytes()], &[]).await;
    assert_eq!((status, body), (200, Err(Bytes::from("NEW"))));
    assert!(client.is_closed().await);
}

/// The draft's letter forbids an offset that is the length.
#[tokio::test]
async fn an_offset_at_the_end_is_a_whole_answer() {
    let mut client = connect_to(patching(Reads::Everything, 9));
    let (status, body, original) =
        ask(&mut client, "Allow: 204, 206\r\n", &[BODY.as_bytes()], &[]).await;
    assert_eq!((status, body.unwrap(), original), (200, Bytes::from("NEW"), None));
}

#[tokio::test]
async fn a_complete_preview_is_the_whole_original() {
    for (offset, expected) in [(0, "NEWab"), (1, "NEWb"), (2, "NEW")] {
        for reads in [Reads::Nothing, Reads::Preview, Reads::Everything] {
            let mut client = connect_to(patching(reads, offset));
            client.say(respmod("Preview: 4\r\n") + "2\r\nab\r\n" + IEOF).await;
            let answer = client.answer().await;
            assert_eq!((answer.status(), &answer.body[..]), (200, expected.as_bytes()));
        }
    }
}

#[tokio::test]
async fn no_body_has_no_end() {
    let request = HttpHead::request("GET", "http://o/", [("Host", "o")]).unwrap();
    for (offset, status) in [(0, 200), (1, 500)] {
        let request = request.clone();
        let mut client = connect(move |_| {
            let request = request.clone();
            async move { Ok(Reply::original_from(request, (), offset)) }
        });
        client.say(reqmod_get("Allow: 204, 206\r\n")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.head.has_body()), (status, false));
    }
}

#[tokio::test]
async fn what_nobody_announced_is_not_kept() {
    let call = |request| new_beginning(request, Reads::Everything, 4);
    let unannounced = || Server::new().service("/x", service_fn(options(), call)).unwrap();
    let mut client = connect_to(unannounced());
    assert_eq!(ask(&mut client, "Allow: 204\r\n", &[BODY.as_bytes()], &[]).await.0, 500);
    let mut client = connect_to(patching(Reads::Everything, 4));
    assert_eq!(ask(&mut client, "Allow: 204\r\n", &[BODY.as_bytes()], &[]).await.0, 200);
}

/// Nothing was announced, and all of it is read: there is nothing to go on with.
#[tokio::test]
async fn a_body_that_was_read_to_its_end_is_not_kept() {
    let call = |request| new_beginning(request, Reads::Everything, 1);
    let unannounced = Server::new().service("/x", service_fn(options(), call)).unwrap();
    let mut client = connect_to(unannounced);
    client.say(respmod("Preview: 4\r\nAllow: 204\r\n") + "2\r\nab\r\n0; ieof\r\n\r\n").await;
    assert_eq!(client.head().await.status().as_u16(), 500);
}

/// A handler that read no more than the preview can have it sent back, however it came.
#[tokio::test]
async fn the_preview_is_kept_without_an_announcement() {
    let head = respmod("Preview: 4\r\nAllow: 204\r\n");
    for reads in [Reads::Nothing, Reads::Preview] {
        let call = move |request| new_beginning(request, reads, 3);
        let unannounced = Server::new().service("/x", service_fn(options(), call)).unwrap();
        let mut client = connect_to(unannounced);
        for pieces in [&["4\r\nabcd\r\n0\r\n\r\n"][..], &["2\r\nab\r\n", "2\r\ncd\r\n0\r\n\r\n"]] {
            let (first, rest) = pieces.split_first().unwrap();
            client.say(head.clone() + first).await;
            for piece in rest {
                tokio::task::yield_now().await;
                client.say(*piece).await;
            }
            assert_eq!(client.head().await.status().as_u16(), 100, "{reads:?} {pieces:?}");
            client.say("5\r\nefghi\r\n0\r\n\r\n").await;
            assert_eq!(client.head().await.status().as_u16(), 200, "{reads:?} {pieces:?}");
            assert_eq!(ended(&mut client).await, (Ok(Bytes::from("NEWdefghi")), None));
        }
    }
}

#[tokio::test]
async fn the_beginning_may_stream_out_of_the_original() {
    let call = |request: Request| async move {
        let (_, body) = request.into_body().await?;
        let first = body.into_stream().take(1);
        Ok(Reply::original_from(page(), ReplyBody::from_stream(first), 3))
    };
    let service = service_fn(options().allow_partial_content(), call);
    let mut client = connect_to(Server::new().service("/x", service).unwrap());
    for (fields, expected) in [
        ("", (200, Ok(Bytes::from("abcdefghi")), None)),
        ("Allow: 204\r\n", (200, Ok(Bytes::from("abcdefghi")), None)),
        ("Allow: 204, 206\r\n", (206, Ok(Bytes::from("abc")), Some(3))),
    ] {
        assert_eq!(ask(&mut client, fields, &[b"abc", b"defghi"], &[]).await, expected);
    }
}

#[tokio::test]
async fn a_request_that_breaks_off_in_the_middle() {
    // In the preview, behind 100 Continue, and while the rest is sent back.
    let mut client = connect_to(patching(Reads::Nothing, 1));
    client.say(respmod("Preview: 4\r\n") + "2\r\nab\r\nzz\r\n").await;
    assert_eq!(client.answer().await.status(), 400);
    assert!(client.is_closed().await);
    let mut client = connect_to(patching(Reads::Preview, 1));
    client.say(respmod("Preview: 2\r\n") + "2\r\nab\r\n0\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 100);
    client.say("1\r\nc\r\nzz\r\n").await;
    assert_eq!(client.head().await.status().as_u16(), 200);
    assert_eq!(client.body().await.unwrap_err(), "NEWbc");
    assert!(client.is_closed().await);
}

/// What comes meanwhile is neither thrown away nor read ahead.
#[tokio::test(start_paused = true)]
async fn a_slow_beginning_loses_nothing() {
    let call = |_| async {
        let words = futures_util::stream::iter(["NE", "W"]).then(|word| async move {
            tokio::time::sleep(std::time::Duration::from_secs(5)).await;
            Ok::<_, std::io::Error>(Bytes::from(word))
        });
        Ok(Reply::original_from(page(), ReplyBody::from_stream(words), 2))
    };
    let mut client = connect(call);
    let (status, body, _) = ask(&mut client, "", &[b"abc", b"defghi"], &[]).await;
    assert_eq!((status, body.unwrap()), (200, Bytes::from("NEWcdefghi")));
}
