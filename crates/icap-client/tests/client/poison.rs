//! Thousands of exchanges with a server that spoils its connections at random: no answer may reach another
//! request than its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use icap_client::{Client, Error, Outcome, Reqmod};
use icap_proto::{HttpHead, ServiceUri};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinSet;

use crate::peer::{by_hand, ok};

/// What the server makes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Answer,
    /// A second answer in the same bytes.
    Twice,
    /// The first bytes of a second one.
    AndAHalf,
    /// A second answer while the connection is idle.
    TwiceWhenIdle,
    /// The end while the connection is idle.
    CloseWhenIdle,
    /// The end in place of an answer.
    Close,
    /// The end inside of one.
    Break,
    /// An answer before all of the body, then silence and the end.
    Early,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => Just(Act::Answer),
        1 => Just(Act::Twice),
        1 => Just(Act::AndAHalf),
        1 => Just(Act::TwiceWhenIdle),
        1 => Just(Act::CloseWhenIdle),
        1 => Just(Act::Close),
        1 => Just(Act::Break),
        1 => Just(Act::Early),
    ]
}

#[derive(Default)]
struct Script {
    acts: Vec<Act>,
    /// Requests that arrived.
    seen: AtomicUsize,
    spoiled: AtomicUsize,
}

/// Serves one connection. Every answer has the tag of its request as body; a spoiled one has `poison`.
async fn play(script: Arc<Script>, mut io: DuplexStream) {
    let mut text = Vec::new();
    loop {
        let Some(tag) = request(&mut io, &mut text).await else { return };
        let seen = script.seen.fetch_add(1, Ordering::Relaxed);
        let act = script.acts[seen % script.acts.len()];
        if act != Act::Answer {
            script.spoiled.fetch_add(1, Ordering::Relaxed);
        }
        let (answer, poison) = (ok(&tag), ok("poison"));
        let written = match act {
            Act::Answer | Act::TwiceWhenIdle | Act::CloseWhenIdle | Act::Early => answer,
            Act::Twice => answer + &poison,
            Act::AndAHalf => answer + &poison[..20],
            Act::Close => return,
            Act::Break => answer[..answer.len() - 3].to_owned(),
        };
        if io.write_all(written.as_bytes()).await.is_err() {
            return;
        }
        match act {
            Act::Answer | Act::Twice | Act::AndAHalf => {}
            Act::TwiceWhenIdle => {
                tokio::task::yield_now().await;
                // Bytes that cross with the next request cannot be told from its answer, by nobody: here they
                // come before it or not at all.
                if is_quiet(&mut io, &mut text).await
                    && io.write_all(poison.as_bytes()).await.is_err()
                {
                    return;
                }
            }
            _ => return,
        }
    }
}

async fn is_quiet(io: &mut DuplexStream, text: &mut Vec<u8>) -> bool {
    tokio::select! {
        biased;
        _ = io.read_buf(text) => false,
        () = std::future::ready(()) => text.is_empty(),
    }
}

/// The tag of the next request, when all of it has come.
async fn request(io: &mut DuplexStream, text: &mut Vec<u8>) -> Option<String> {
    let end = b"0; ieof\r\n\r\n";
    loop {
        if let Some(at) = text.windows(end.len()).position(|window| window == end) {
            let rest = text.split_off(at + end.len());
            let request = String::from_utf8(std::mem::replace(text, rest)).unwrap();
            return Some(request.split("/tag-").nth(1)?.split(' ').next()?.to_owned());
        }
        if io.read_buf(text).await.ok()? == 0 {
            return None;
        }
    }
}

/// Plays the script with callers at the same time; how many calls had their answer.
async fn run(acts: Vec<Act>, callers: usize, calls: usize) -> (usize, Arc<Script>) {
    let script = Arc::new(Script { acts, ..Script::default() });
    let server = Arc::clone(&script);
    let connector = move |_: ServiceUri| {
        let (near, far) = duplex(4_096);
        tokio::spawn(play(Arc::clone(&server), far));
        async { Ok(near) }
    };
    let builder = by_hand("icap://memory/s").connector(connector);
    let client = builder.max_connections(8).build().unwrap();
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let client = client.clone();
        tasks.spawn(async move {
            let mut answered = 0;
            for call in 0..calls {
                answered += usize::from(ask(&client, &format!("{caller}x{call}")).await);
            }
            answered
        });
    }
    (tasks.join_all().await.into_iter().sum(), script)
}

/// Whether the answer to this call came; it must be its own.
async fn ask(client: &Client, tag: &str) -> bool {
    let head = HttpHead::request("POST", &format!("/tag-{tag}"), [("Host", "h")]).unwrap();
    let body = Full::new(Bytes::copy_from_slice(tag.as_bytes()));
    let error = match client.reqmod(Reqmod::new(head, body)).await {
        Ok(Outcome::Answered(adapted)) => match adapted.collect().await {
            Ok(body) => {
                assert_eq!(body.to_bytes(), tag, "the answer to another request");
                return true;
            }
            Err(error) => error,
        },
        Ok(other) => panic!("{other:?}"),
        Err(failure) => failure.into(),
    };
    assert!(matches!(error, Error::Closed(_) | Error::Write(_) | Error::Read(_)), "{error}");
    false
}

/// G16 in small: thousands of exchanges; each gives its own answer or an error, and a retry happens only where
/// nothing was answered. `PROPTEST_CASES` makes more of them: 256, the default, are a hundred thousand exchanges.
#[test]
fn no_answer_reaches_another_request() {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let scripts = (proptest::collection::vec(act(), 5..60), 1..32usize);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runner
        .run(&scripts, |(acts, callers)| {
            let calls = 400 / callers + 1;
            let (answered, script) = runtime.block_on(run(acts, callers, calls));
            let seen = script.seen.load(Ordering::Relaxed);
            // Each request but those that were cut off was answered, to the one who sent it.
            let unanswered = script.acts.iter().cycle().take(seen);
            let unanswered =
                unanswered.filter(|act| matches!(act, Act::Close | Act::Break)).count();
            prop_assert_eq!(answered, seen - unanswered);
            // Sent again: only where the connection closed in place of an answer.
            let closed = script.acts.iter().cycle().take(seen);
            let closed = closed.filter(|act| **act == Act::Close).count();
            prop_assert!(seen >= callers * calls && seen <= callers * calls + closed);
            Ok(())
        })
        .unwrap();
}

/// The same on several threads, where late bytes come when they come: only what comes with the answer spoils.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_reaches_another_request_on_threads() {
    let acts =
        vec![Act::Answer, Act::Twice, Act::Answer, Act::Close, Act::AndAHalf, Act::CloseWhenIdle];
    let (answered, script) = run(acts, 32, 100).await;
    assert!(answered > 2_000, "{answered}");
    assert!(script.spoiled.load(Ordering::Relaxed) > 1_000);
}
