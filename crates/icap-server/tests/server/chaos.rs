//! Requests and handlers of every kind, thrown together by chance: nothing hangs, no byte is lost, and the
//! connection stays in step.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use icap_proto::HttpHead;
use icap_server::{Error, Reply, Request, Server};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::oneshot;

use crate::support::*;

/// xorshift.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
}

const BLOCKED: &str = "blocked, and this is why";

/// What the handler does is said by the query.
async fn handle(request: Request) -> Result<Reply, Error> {
    let query = request.head().uri().query().unwrap_or_default().to_owned();
    let block = || HttpHead::response(403, "Forbidden", [("X", "y")]);
    match query.as_str() {
        "pass" => return Ok(Reply::unmodified()),
        "block" => return Ok(Reply::respond(block()?, BLOCKED)),
        _ => {}
    }
    let (head, preview) = request.preview().await?;
    match query.as_str() {
        "preview-pass" => return Ok(Reply::unmodified()),
        "preview-block" => return Ok(Reply::respond(block()?, BLOCKED)),
        _ => {}
    }
    let mut body = preview.proceed().await?;
    let head = head.http_response().unwrap().clone();
    match query.as_str() {
        "read-pass" => body.collect().await.map(|_| Reply::unmodified()).map_err(Into::into),
        "part-pass" => {
            let _ = body.frame().await.transpose()?;
            Ok(Reply::unmodified())
        }
        "part-block" => {
            let _ = body.frame().await.transpose()?;
            Ok(Reply::respond(block()?, BLOCKED))
        }
        "collect" => Ok(Reply::modified(head, body.collect().await?.to_bytes())),
        "stream" => Ok(Reply::modified(head, body)),
        _ => {
            let (sender, mut receiver) = tokio::sync::mpsc::channel::<Bytes>(2);
            tokio::spawn(async move {
                while let Some(Ok(frame)) = body.frame().await {
                    if sender.send(frame.into_data().unwrap()).await.is_err() {
                        break;
                    }
                }
            });
            Ok(Reply::modified(head, polled(move |cx| receiver.poll_recv(cx))))
        }
    }
}

const QUERIES: [&str; 10] = [
    "pass",
    "block",
    "preview-pass",
    "preview-block",
    "read-pass",
    "part-pass",
    "part-block",
    "collect",
    "stream",
    "task",
];

/// What is sent before and after 100 Continue.
struct Plan {
    query: &'static str,
    first: Vec<u8>,
    rest: Option<Vec<u8>>,
    body: Vec<u8>,
}

impl Plan {
    fn draw(chance: &mut Chance, largest_body: usize) -> Self {
        let query = QUERIES[chance.below(QUERIES.len())];
        let size = [0, 1, 100, 5000, 200_000][chance.below(5)].min(largest_body);
        let body: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        let largest = [1, 64, 1500, 70_000][chance.below(4)].max(size / 500);
        let preview = [None, Some(0), Some(10), Some(4096)][chance.below(4)];
        let allow = if chance.one_in(2) { "Allow: 204\r\n" } else { "" };
        let mut chunks = |mut part: &[u8], last: &str| {
            let mut out = Vec::new();
            while !part.is_empty() {
                let length = (1 + chance.below(largest)).min(part.len());
                out.extend(chunk(&part[..length]));
                part = &part[length..];
            }
            out.extend_from_slice(last.as_bytes());
            out
        };
        let announced = preview.map(|preview: usize| format!("Preview: {preview}\r\n"));
        let fields = announced.unwrap_or_default() + allow;
        let mut first = respmod(&fields).replace("/x", &format!("/x?{query}")).into_bytes();
        let rest = match preview {
            Some(preview) if preview < size => {
                first.extend(chunks(&body[..preview], LAST));
                Some(chunks(&body[preview..], LAST))
            }
            Some(_) => {
                first.extend(chunks(&body, IEOF));
                None
            }
            None => {
                first.extend(chunks(&body, LAST));
                None
            }
        };
        Self { query, first, rest, body }
    }
}

/// One request; false when the connection is at its end.
async fn exchange<IO>(
    reading: &mut Client<ReadHalf<IO>>,
    writing: &mut WriteHalf<IO>,
    plan: Plan,
) -> bool
where
    IO: AsyncRead + AsyncWrite,
{
    let (tell, told) = oneshot::channel();
    let send = async {
        if writing.write_all(&plan.first).await.is_err() {
            return;
        }
        if let (Ok(true), Some(rest)) = (told.await, &plan.rest) {
            let _ = writing.write_all(rest).await;
        }
    };
    let receive = async {
        let mut head = reading.head().await;
        let continued = head.status().as_u16() == 100;
        assert!(!continued || plan.rest.is_some(), "100 that was not due");
        let _ = tell.send(continued);
        if continued {
            head = reading.head().await;
        }
        let body = if head.has_body() { reading.body().await.unwrap().0 } else { Bytes::new() };
        (head, body)
    };
    let ((), (head, body)) = tokio::join!(send, receive);
    match head.status().as_u16() {
        204 => assert!(plan.query.ends_with("pass")),
        200 if plan.query.ends_with("block") => assert_eq!(body, BLOCKED),
        200 => assert!(body == plan.body, "{}: {} of {}", plan.query, body.len(), plan.body.len()),
        status => panic!("{}: {status}", plan.query),
    }
    !head.close()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_together() {
    let server = Arc::new(Server::new().service("/x", service(handle)).unwrap());
    for seed in 1..100u64 {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let buffer = [1, 50, 1000, 100_000][chance.below(4)];
        let (near, far) = tokio::io::duplex(buffer);
        let serving = Arc::clone(&server);
        let connection = tokio::spawn(async move { serving.serve_connection(far, None).await });
        let (reading, mut writing) = split(near);
        let mut reading = Client::new(reading);
        let talk = async {
            for _ in 0..20 {
                if !exchange(&mut reading, &mut writing, Plan::draw(&mut chance, buffer * 1000))
                    .await
                {
                    break;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), talk)
            .await
            .unwrap_or_else(|_| panic!("{seed} hangs"));
        drop((reading, writing));
        connection.await.unwrap();
    }
}
