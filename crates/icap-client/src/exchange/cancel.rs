//! Calls and bodies that are dropped at any point: the connection is clean or closed, and nothing stays behind.

use std::future::Future;
use std::pin::pin;
use std::task::Waker;

use http_body_util::{BodyExt, Full};
use icap_proto::HttpHead;
use icap_proto::client::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;
use crate::{Client, Failure, Outcome, Reqmod, Respmod, Timeouts};

const NO_CONTENT: &str = "ICAP/1.0 204 No Content\r\nISTag: \"t\"\r\n\r\n";
const CONTINUE: &str = "ICAP/1.0 100 Continue\r\n\r\n";
const OK: &str = "ICAP/1.0 200 OK\r\nISTag: \"t\"\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\n\
    HTTP/1.1 200 OK\r\n\r\n";
const PARTIAL: &str = "ICAP/1.0 206 Partial Content\r\nISTag: \"t\"\r\n\
    Encapsulated: res-hdr=0, res-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
const TRAILED: &str = "ICAP/1.0 200 OK\r\nISTag: \"t\"\r\nAllow: trailers\r\nTrailer: X-A\r\n\
    Encapsulated: res-hdr=0, res-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";

/// What the server waits for and what it says then, one after the other.
type Script = &'static [(&'static str, &'static str)];

/// One exchange: whether there is a preview, what the server does, and the body that comes out at the end.
struct Scenario {
    name: &'static str,
    preview: Option<u64>,
    script: Script,
    comes_out: &'static str,
}

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "a 204 to the preview",
        preview: Some(4),
        script: &[("l\r\n0\r\n\r\n", NO_CONTENT)],
        comes_out: "hello world",
    },
    Scenario {
        name: "an answer to the preview, in pieces",
        preview: Some(4),
        script: &[("0\r\n\r\n", OK), ("", "2\r\nHE\r\n"), ("", "3\r\nLLO\r\n0\r\n"), ("", "\r\n")],
        comes_out: "HELLO",
    },
    Scenario {
        name: "100, then a 204",
        preview: Some(4),
        script: &[("0\r\n\r\n", CONTINUE), ("0\r\n\r\n", NO_CONTENT)],
        comes_out: "hello world",
    },
    Scenario {
        name: "100, then an answer before the rest is there",
        preview: Some(4),
        script: &[("0\r\n\r\n", CONTINUE), ("", OK), ("0\r\n\r\n", "2\r\nHI\r\n0\r\n\r\n")],
        comes_out: "HI",
    },
    Scenario {
        name: "an early answer without a preview",
        preview: None,
        script: &[("\r\n\r\n", OK), ("0\r\n\r\n", "2\r\nHI\r\n0\r\n\r\n")],
        comes_out: "HI",
    },
    Scenario {
        name: "an early answer that is over before the request",
        preview: None,
        script: &[("\r\n\r\n", OK), ("", "2\r\nHI\r\n0\r\n\r\n")],
        comes_out: "HI",
    },
    Scenario {
        name: "a 206 to the preview",
        preview: Some(4),
        script: &[
            ("0\r\n\r\n", PARTIAL),
            ("", "1\r\nH\r\n"),
            ("", "0; use-original-body=1\r\n\r\n"),
        ],
        comes_out: "Hello world",
    },
    Scenario {
        name: "a late 206",
        preview: None,
        script: &[("0\r\n\r\n", PARTIAL), ("", "0; use-original-body=6\r\n\r\n")],
        comes_out: "world",
    },
    Scenario {
        name: "a refusal behind a 100",
        preview: Some(4),
        script: &[("0\r\n\r\n", CONTINUE), ("", "ICAP/1.0 500 No\r\n\r\n")],
        comes_out: "hello world",
    },
    Scenario {
        name: "an answer that is none",
        preview: Some(4),
        script: &[("0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n")],
        comes_out: "hello world",
    },
    Scenario {
        name: "an answer that breaks off",
        preview: Some(4),
        script: &[("0\r\n\r\n", OK), ("", "2\r\nHE\r\nzz\r\n")],
        comes_out: "invalid answer",
    },
    Scenario {
        name: "a 206 beyond the original",
        preview: Some(4),
        script: &[("0\r\n\r\n", PARTIAL), ("", "0; use-original-body=12\r\n\r\n")],
        comes_out: "invalid answer",
    },
    Scenario {
        name: "an ICAP trailer",
        preview: None,
        script: &[
            ("0\r\n\r\n", TRAILED),
            ("", "2\r\nHI\r\n0\r\n\r\n"),
            ("", "X-A: 1\r\n"),
            ("", "\r\n"),
        ],
        comes_out: "HI",
    },
];

/// What the server saw behind the script.
#[derive(Debug, PartialEq)]
enum Seen {
    /// The next request, from its first byte on.
    Next,
    Closed,
}

/// A server that plays a script, then waits for what comes on the connection.
async fn play(mut io: DuplexStream, script: Script) -> Seen {
    let mut read = Vec::new();
    for (wanted, said) in script {
        loop {
            let at = read.windows(wanted.len().max(1)).position(|part| part == wanted.as_bytes());
            if let Some(at) = at.or_else(|| wanted.is_empty().then_some(0)) {
                read.drain(..at.saturating_add(wanted.len()));
                break;
            }
            if io.read_buf(&mut read).await.unwrap() == 0 {
                return Seen::Closed;
            }
        }
        if io.write_all(said.as_bytes()).await.is_err() {
            return Seen::Closed;
        }
        // What is said next comes by itself.
        tokio::task::yield_now().await;
    }
    // An upload may have been given up in the middle; a next request comes only when it was not.
    loop {
        let text = String::from_utf8_lossy(&read);
        if let Some(at) = text.find("REQMOD") {
            let before = &text[..at];
            let whole = before.is_empty()
                || before.ends_with("0\r\n\r\n")
                || before.ends_with("ieof\r\n\r\n");
            assert!(whole, "a request behind half of one: {text:?}");
            if text.ends_with("\r\n\r\n") && text[at..].contains("\r\n\r\nGET ") {
                io.write_all(NO_CONTENT.as_bytes()).await.unwrap();
                return Seen::Next;
            }
        }
        if io.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return Seen::Closed;
        }
    }
}

/// A client with one idle connection, which is this narrow, to a server that plays the script.
fn client(scenario: &Scenario, width: usize) -> (Client, JoinHandle<Seen>) {
    // Nobody listens there: only the connection in the pool works.
    let builder = Client::builder("icap://127.0.0.1:1/s")
        .negotiate(false)
        .replay_limit(11)
        .partial_content(true);
    let client = match scenario.preview {
        Some(bytes) => builder.preview(bytes),
        None => builder.no_preview(),
    };
    let client = client.build().unwrap();
    let (near, far) = duplex(width);
    let connection =
        Connection::new(icap_proto::Limits::default(), icap_proto::Leniency::default());
    let permit = client.pool().try_enter().unwrap();
    client.pool().put(Link::new(connection, Box::new(near), &Timeouts::default(), permit));
    (client, tokio::spawn(play(far, scenario.script)))
}

/// A body that is slow, knows its size, and can be counted.
#[derive(Debug)]
struct Counted {
    pieces: std::vec::IntoIter<&'static str>,
    asked: usize,
    _alive: Arc<()>,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<http_body::Frame<Bytes>>>> {
        self.asked = self.asked.saturating_add(1);
        if !self.asked.is_multiple_of(5) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = self.pieces.next();
        Poll::Ready(piece.map(|piece| Ok(http_body::Frame::data(Bytes::from(piece)))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.pieces.as_slice().iter().map(|p| p.len() as u64).sum())
    }
}

/// Makes the call and reads what comes out, in no more than so many polls; `None` when it was dropped before.
async fn run(client: &Client, alive: &Arc<()>, polls: usize) -> Option<String> {
    let pieces = vec!["hel", "lo ", "world"].into_iter();
    let body = Counted { pieces, asked: 0, _alive: Arc::clone(alive) };
    let head = HttpHead::response(200, "OK", [("A", "b")]).unwrap();
    let whole = pin!(async {
        let body = match client.respmod(Respmod::new(head, body)).await.or_else(Failure::bypass) {
            Ok(Outcome::Unmodified(original)) => original.collect().await.unwrap(),
            Ok(Outcome::Bypassed(original)) => original.collect().await.unwrap(),
            Ok(Outcome::Modified(adapted)) => match adapted.collect().await {
                Ok(body) => body,
                Err(error) => return error.to_string(),
            },
            outcome => panic!("{outcome:?}"),
        };
        String::from_utf8(body.to_bytes().to_vec()).unwrap()
    });
    let mut whole = whole;
    for _ in 0..polls {
        // The waker does not matter: the server has its turn between any two polls.
        let poll = whole.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(came) = poll {
            return Some(came);
        }
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
    }
    None
}

/// Every scenario, dropped behind every number of polls, until the number is enough for all of it.
#[tokio::test(start_paused = true)]
async fn whatever_is_dropped_leaves_a_clean_connection_or_none() {
    for scenario in SCENARIOS {
        let name = scenario.name;
        for width in [7, 64, 100_000] {
            // A call that was never polled has not touched the connection.
            let mut polls = 1;
            loop {
                let alive = Arc::new(());
                let (client, server) = client(scenario, width);
                let came = run(&client, &alive, polls).await;
                assert_eq!(Arc::strong_count(&alive), 1, "{name}: the body is still there");
                let get = HttpHead::request("GET", "/next", [("Host", "h")]).unwrap();
                let next = client.reqmod(Reqmod::new(get, Full::<Bytes>::default())).await;
                let seen = server.await.unwrap();
                // With the connection closed there is none: nobody listens.
                let closed =
                    matches!(&next, Err(failure) if matches!(failure.error(), Error::Connect(_)));
                let reused = matches!(&next, Ok(Outcome::Unmodified(_)));
                assert!(reused || closed, "{name}, {width}, {polls}: {next:?}");
                assert_eq!(seen == Seen::Next, reused, "{name}, {width}, {polls}");
                if let Some(came) = came {
                    let expected = scenario.comes_out;
                    assert!(came.starts_with(expected), "{name}, {width}: {came}");
                    break;
                }
                polls += 1;
                assert!(polls < 2_000, "{name}, {width}: never ends");
            }
            assert!(polls > 2, "{name}: {polls}");
        }
    }
}

/// The same with a dead connection in the pool, over the second try and its connecting.
#[tokio::test]
async fn a_second_try_can_be_dropped_too() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Answers each request in its preview with a 204, on as many connections as come.
    tokio::spawn(async move {
        while let Ok((mut io, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut read = Vec::new();
                while io.read_buf(&mut read).await.unwrap_or(0) > 0 {
                    if read.ends_with(b"0; ieof\r\n\r\n") {
                        read.clear();
                        io.write_all(NO_CONTENT.as_bytes()).await.unwrap();
                    }
                }
                assert!(read.is_empty() || read.starts_with(b"RESPMOD"));
            });
        }
    });
    for polls in 1.. {
        assert!(polls < 1_000, "never ends");
        let client =
            Client::builder(format!("icap://{address}/s")).negotiate(false).build().unwrap();
        let (near, mut far) = duplex(100_000);
        let connection =
            Connection::new(icap_proto::Limits::default(), icap_proto::Leniency::default());
        let permit = client.pool().try_enter().unwrap();
        client.pool().put(Link::new(connection, Box::new(near), &Timeouts::default(), permit));
        let dead = tokio::spawn(async move { far.read_u8().await });
        let alive = Arc::new(());
        let came = run(&client, &alive, polls).await;
        assert_eq!(Arc::strong_count(&alive), 1);
        let next = run(&client, &alive, 1_000_000).await;
        assert_eq!(next.as_deref(), Some("hello world"), "{polls}");
        drop(dead.await.unwrap());
        if let Some(came) = came {
            assert_eq!(came, "hello world");
            break;
        }
    }
}
