//! Large bodies in both directions at once.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use icap_proto::wire::chunk::{ChunkDecoder, Part};
use icap_proto::{Leniency, Limits};
use icap_server::{Listener, Reply, Server};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

use crate::stopping::Running;
use crate::support::*;

const MIB: usize = 1024 * 1024;

/// `echo` gives the body of the request back; `pass` leaves that to the server.
fn mirror() -> Server {
    let echo = service(|request| async {
        let (head, body) = request.into_body().await?;
        Ok(Reply::modified(head.http_response().unwrap().clone(), body))
    });
    let task = service(|request| async {
        let (head, mut body) = request.into_body().await?;
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
        tokio::spawn(async move {
            while let Some(Ok(frame)) = body.frame().await {
                let Ok(data) = frame.into_data() else { break };
                if sender.send(data).await.is_err() {
                    break;
                }
            }
        });
        let body = polled(move |cx| receiver.poll_recv(cx));
        Ok(Reply::modified(head.http_response().unwrap().clone(), body))
    });
    let pass = service(|_| async { Ok(Reply::unmodified()) });
    Server::new()
        .service("/echo", echo)
        .unwrap()
        .service("/task", task)
        .unwrap()
        .service("/pass", pass)
        .unwrap()
}

/// Sends `size` bytes in chunks while it reads the answer, and compares each byte.
async fn exchange<IO>(io: &mut IO, path: &str, size: usize, piece: usize)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (mut reading, mut writing) = split(io);
    let byte = |at: usize| (at % 251) as u8;
    let send = async {
        writing.write_all(respmod("").replace("/x", path).as_bytes()).await.unwrap();
        let mut at = 0;
        while at < size {
            let length = piece.min(size - at);
            let data: Vec<u8> = (at..at + length).map(byte).collect();
            writing.write_all(&chunk(data)).await.unwrap();
            at += length;
        }
        writing.write_all(LAST.as_bytes()).await.unwrap();
    };
    let receive = async {
        let mut client = Client::new(tokio::io::join(&mut reading, tokio::io::sink()));
        assert_eq!(client.head().await.status().as_u16(), 200);
        let mut decoder = ChunkDecoder::default();
        let mut at = 0usize;
        loop {
            let (limits, leniency) = (Limits::default(), Leniency::strict());
            match decoder.decode(&mut client.input, &limits, &leniency).unwrap() {
                Some(Part::Data(data)) => {
                    assert!(data.iter().enumerate().all(|(i, b)| *b == byte(at + i)));
                    at += data.len();
                }
                Some(_) => break,
                None => {
                    assert!(client.io.read_buf(&mut client.input).await.unwrap() > 0);
                }
            }
        }
        at
    };
    let ((), received) = tokio::join!(send, receive);
    assert_eq!(received, size);
}

#[tokio::test]
async fn both_ways_through_a_narrow_pipe() {
    let server = Arc::new(mirror());
    for path in ["/echo", "/task", "/pass"] {
        for (size, piece, buffer) in [(64 * MIB, 40_000, 8192), (MIB, 100, 64), (MIB, 1000, 4096)] {
            let mut client = connect_through(&server, buffer);
            exchange(&mut client.io, path, size, piece).await;
            // The connection is still in step.
            exchange(&mut client.io, path, 10, 3).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ways_over_sockets() {
    let server = mirror().listen(Listener::bind("127.0.0.1:0").await.unwrap());
    #[cfg(unix)]
    let folder = tempfile::tempdir().unwrap();
    #[cfg(unix)]
    let server = server.listen(UnixListener::bind(folder.path().join("icap.sock")).unwrap());
    let running = Running::start(server);
    for path in ["/echo", "/task", "/pass"] {
        for piece in [60_000, 1_000_000] {
            let mut client = TcpStream::connect(running.addr).await.unwrap();
            exchange(&mut client, path, 64 * MIB, piece).await;
            exchange(&mut client, path, 10, 3).await;
            #[cfg(unix)]
            {
                let socket = folder.path().join("icap.sock");
                let mut client = UnixStream::connect(socket).await.unwrap();
                exchange(&mut client, path, 64 * MIB, piece).await;
                exchange(&mut client, path, 10, 3).await;
            }
        }
    }
    running.stop().await;
}

#[tokio::test]
async fn nothing_is_read_that_nobody_asked_for() {
    let mut client = connect_through(
        &Arc::new(server(|request| async move {
            std::future::pending::<()>().await;
            drop(request);
            Ok(Reply::unmodified())
        })),
        1000,
    );
    client.say(respmod("")).await;
    let mut sent = 0;
    while tokio::time::timeout(Duration::from_millis(50), client.say(chunk([b'x'; 100])))
        .await
        .is_ok()
    {
        sent += 100;
    }
    // One read of at most 16 KiB brought the head, and the pipe holds the rest.
    assert!(sent < 20_000, "{sent}");
}

#[tokio::test]
async fn no_more_is_taken_than_the_client_reads() {
    for path in ["/echo", "/task", "/pass"] {
        let mut client = connect_through(&Arc::new(mirror()), 4096);
        client.say(respmod("").replace("/x", path)).await;
        let mut sent = 0;
        let mut say = async || client.say(chunk([b'x'; 1000])).await;
        while tokio::time::timeout(Duration::from_millis(50), say()).await.is_ok() {
            sent += 1000;
        }
        // Output up to its high water mark, one read, and both pipes.
        assert!(sent < 64 * 1024 + 64 * 1024 + 16 * 1024, "{path} {sent}");
    }
}

/// A connection that waits does not spin.
#[tokio::test]
async fn who_waits_is_not_polled() {
    let polls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&polls);
    let mut client = connect(move |request| {
        let counter = Arc::clone(&counter);
        async move {
            let mut body = pin!(request.into_body().await?.1.collect());
            poll_fn(|cx| {
                counter.fetch_add(1, Ordering::SeqCst);
                body.as_mut().poll(cx)
            })
            .await?;
            Ok(Reply::unmodified())
        }
    });
    client.say(respmod("Allow: 204\r\n")).await;
    for _ in 0..10 {
        client.say("1\r\nx\r\n").await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    client.say(LAST).await;
    assert_eq!(client.answer().await.status(), 204);
    // Once for what arrived, and once more to find that it was all.
    assert!(polls.load(Ordering::SeqCst) <= 25, "{polls:?}");
}

/// Where a body goes back from is where its reader stopped, however much of it had arrived by then.
#[tokio::test]
async fn a_body_goes_back_from_where_it_was_read() {
    const CHUNK: usize = 2000;
    let body: Vec<u8> = (0..3 * CHUNK).map(|at| (at % 251) as u8).collect();
    // Of a client that takes a 204 nothing is kept: its chunks reach the reader several at a time.
    let mut message = respmod("Allow: 204\r\n").into_bytes();
    for data in body.chunks(CHUNK) {
        message.extend(chunk(data));
    }
    message.extend(b"0\r\nX-Sum: 7\r\n\r\n");
    for frames in 0..=4 {
        let mut client = connect(move |request| async move {
            let (head, mut body) = request.into_body().await?;
            let mut taken = 0;
            for _ in 0..frames {
                let frame = body.frame().await.transpose()?;
                taken +=
                    frame.and_then(|frame| frame.into_data().ok()).map_or(0, |data| data.len());
            }
            let http = head.http_response().ok_or("no head")?.clone();
            Ok(Reply::modified(http, body).header("X-Taken", taken.to_string())?)
        });
        // The frames are the chunks when they come in one piece, else they are as they come.
        for pieces in [1, 10] {
            for piece in message.chunks(message.len().div_ceil(pieces)) {
                client.say(piece).await;
                tokio::task::yield_now().await;
            }
            let answer = client.answer().await;
            let taken: usize = answer.field("X-Taken").unwrap().parse().unwrap();
            assert!(pieces > 1 || taken == body.len().min(frames * CHUNK), "{frames} {taken}");
            assert!(
                answer.body == body[taken..],
                "{frames} frames, {pieces} pieces, {taken} bytes"
            );
            // The trailer is a frame too: who has taken it has it.
            let has_trailer = answer.trailers.get("X-Sum").is_some();
            assert_eq!(has_trailer, pieces > 1 || frames < 4, "{frames} frames, {pieces} pieces");
        }
    }
}

/// The body of a reply may be that of another request, which is still open.
#[tokio::test]
async fn the_body_of_another_request_is_not_taken_for_the_own() {
    let (give, take) = tokio::sync::mpsc::channel::<icap_server::Incoming>(1);
    let take = Arc::new(tokio::sync::Mutex::new(take));
    let server = Arc::new(server(move |request| {
        let (give, take) = (give.clone(), Arc::clone(&take));
        async move {
            let (head, body) = request.into_body().await?;
            let http = head.http_response().ok_or("no head")?.clone();
            if head.headers().get("X-Lend").is_some() {
                give.send(body).await?;
                give.closed().await;
                return Ok(Reply::unmodified());
            }
            let other = take.lock().await.recv().await.ok_or("nobody lends")?;
            Ok(Reply::modified(http, other))
        }
    }));
    let mut lender = connect_through(&server, 4096);
    let mut client = connect_through(&server, 4096);
    lender.say(respmod("X-Lend: 1\r\n") + "4\r\nlent\r\n").await;
    client.say(respmod("") + "3\r\nown\r\n0\r\n\r\n").await;
    assert_eq!(client.head().await.status().as_u16(), 200);
    lender.say(LAST).await;
    assert_eq!(client.body().await.unwrap().0, "lent");
}

#[tokio::test]
async fn streams_in_and_out() {
    use futures_util::StreamExt;

    let mut client = connect(|request| async {
        let (head, body) = request.into_body().await?;
        let http = head.http_response().ok_or("no head")?.clone();
        let loud = body.into_stream().map(|data| data.map(|data| data.to_ascii_uppercase().into()));
        Ok(Reply::modified(http, icap_server::ReplyBody::from_stream(loud)))
    });
    client.say(respmod("") + "3\r\nabc\r\n").await;
    assert_eq!(client.head().await.status().as_u16(), 200);
    client.say("3\r\ndef\r\n0\r\nX-Sum: 7\r\n\r\n").await;
    assert_eq!(client.body().await.unwrap().0, "ABCDEF");
    // A stream that breaks off is not one that ends.
    client.say(respmod("") + "3\r\nabc\r\nzz\r\n").await;
    assert_eq!(client.head().await.status().as_u16(), 200);
    assert_eq!(client.body().await.unwrap_err(), "ABC");
}

#[tokio::test]
async fn a_stream_ends_behind_its_error() {
    use futures_util::StreamExt;

    let (sender, mut items) = tokio::sync::mpsc::unbounded_channel();
    let mut client = connect(move |request| {
        let sender = sender.clone();
        async move {
            let (_, body) = request.into_body().await?;
            sender.send(body.into_stream().collect::<Vec<_>>().await)?;
            Ok(Reply::unmodified())
        }
    });
    client.say(respmod("") + "3\r\nabc\r\nzz\r\n").await;
    let items = items.recv().await.unwrap();
    assert!(matches!(&items[..], [Ok(data), Err(_)] if data == "abc"), "{items:?}");
    let error: std::io::Error = (*items[1].as_ref().unwrap_err()).into();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
}
