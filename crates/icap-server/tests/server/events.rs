//! What the log says.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use http_body_util::BodyExt;
use icap_server::{Reply, Server, Timeouts};
use tokio::time::timeout;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, set_default, set_global_default};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::support::*;

/// Writes events as lines, and on the level TRACE spans too.
#[derive(Clone)]
struct Log {
    level: Level,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Log {
    fn at(level: Level) -> Self {
        Self { level, lines: Arc::default() }
    }

    /// Hears what this thread tells. Events are switched off for all threads once nobody listens to them; so that no
    /// other test does that, somebody always listens.
    fn listen(&self) -> DefaultGuard {
        static ALWAYS: Once = Once::new();
        ALWAYS.call_once(|| set_global_default(Self::at(Level::TRACE)).unwrap());
        set_default(self.clone())
    }

    fn write(&self, start: &str, record: impl FnOnce(&mut Line)) {
        let mut line = Line(start.to_owned());
        record(&mut line);
        self.lines.lock().unwrap().push(line.0);
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if !field.name().ends_with("_us") {
            write!(self.0, " {field}={value:?}").unwrap();
        }
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let is_ours = metadata.target().starts_with("icap_server") || self.level == Level::TRACE;
        is_ours && *metadata.level() <= self.level
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        if self.level == Level::TRACE {
            self.write(span.metadata().name(), |line| span.record(line));
        }
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, values: &Record<'_>) {
        if self.level == Level::TRACE {
            self.write("", |line| values.record(line));
        }
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        self.write(event.metadata().level().as_str(), |line| event.record(line));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// A server whose handler fails when the preview says so.
fn reading() -> Server {
    server(|request| async {
        let (_, preview) = request.preview().await?;
        if preview.bytes() == "fail" {
            return Err("no scanner".into());
        }
        drop(preview.proceed().await?.collect().await?);
        Ok(Reply::unmodified())
    })
}

/// The log of one request to that server.
async fn log_of(request: impl AsRef<[u8]>) -> Vec<String> {
    let log = Log::at(Level::INFO);
    let guard = log.listen();
    let server = reading();
    let (near, far) = tokio::io::duplex(10_000);
    let mut client = Client::new(near);
    client.say(request).await;
    let talk = async {
        if client.answer().await.status() == 100 {
            client.say(chunk("e")).await;
            client.say(LAST).await;
            client.answer().await;
        }
        drop(client);
    };
    tokio::join!(server.serve_connection(far, Some("10.0.0.1:99".parse().unwrap())), talk);
    drop(guard);
    log.lines()
}

#[tokio::test]
async fn a_transaction_is_one_event() {
    let request = respmod("Preview: 4\r\n").replace("/x", "/x?secret=1");
    assert_eq!(
        log_of(request + "4\r\nabcd\r\n0; ieof\r\n\r\n").await,
        [
            "INFO message=transaction client=10.0.0.1:99 method=\"RESPMOD\" service=\"/x\" status=204 \
          verdict=\"unmodified\" preview=\"whole\" bytes_in=4 bytes_out=0 aborted=false"
        ]
    );
    assert_eq!(
        log_of(respmod("Preview: 4\r\n") + "4\r\nabcd\r\n0\r\n\r\n").await,
        [
            "INFO message=transaction client=10.0.0.1:99 method=\"RESPMOD\" service=\"/x\" status=200 \
          verdict=\"unmodified\" preview=\"continued\" bytes_in=5 bytes_out=5 aborted=false"
        ]
    );
    assert_eq!(
        log_of(respmod("") + "4\r\nabcd\r\n0\r\n\r\n").await,
        [
            "INFO message=transaction client=10.0.0.1:99 method=\"RESPMOD\" service=\"/x\" status=200 \
          verdict=\"unmodified\" bytes_in=4 bytes_out=4 aborted=false"
        ]
    );
}

/// In the head and behind the body, of the request that it stood in.
#[tokio::test]
async fn the_leniency_that_a_request_needed_is_told() {
    let request = respmod("Preview: 4\r\n").replace("Host: s\r\n", "");
    let log = log_of(request + "4\r\nabcd\r\n0; ieof=x\r\n\r\n").await;
    assert!(log[0].contains(" leniency=\"missing_host ieof_with_value\" bytes_in=4"), "{log:?}");
}

#[tokio::test]
async fn faults_of_clients_are_warnings() {
    assert_eq!(
        log_of("OPTIONS icap://s/x ICAP/1.0\r\nHost : s\r\n\r\n").await,
        [
            "WARN message=malformed request client=10.0.0.1:99 error=whitespace before the colon of a field \
          at byte 33 [RFC 9112 section 5.1]"
        ]
    );
    let log = log_of(respmod("") + "4\r\nabcd\r\nzz\r\n").await;
    assert!(
        log[0].starts_with(
            "WARN message=broken request client=10.0.0.1:99 service=\"/x\" error=malformed chunk size at byte"
        ),
        "{log:?}"
    );
    assert!(log[1].contains("status=400") && log.len() == 2, "{log:?}");
}

#[tokio::test]
async fn faults_of_services_are_errors() {
    let log = log_of(respmod("Preview: 4\r\n") + "4\r\nfail\r\n0\r\n\r\n").await;
    assert_eq!(log[0], "ERROR message=the service failed service=\"/x\" error=no scanner");
    assert!(log[1].contains("status=500") && log.len() == 2, "{log:?}");
}

/// A client that is gone when its answer is written, and a call that ends with the server.
#[tokio::test(start_paused = true)]
async fn what_is_lost_is_not_reported_as_whole() {
    let log = Log::at(Level::INFO);
    let guard = log.listen();
    let server = server(|request| async {
        let (head, body) = request.into_body().await?;
        if head.uri().query() == Some("hang") {
            std::future::pending::<()>().await;
        }
        Ok(Reply::modified(head.http_response().unwrap().clone(), body))
    });
    let lost = chunk(vec![b'x'; 90_000]);
    for (query, body, status, end) in [
        ("", &chunk("ab")[..], "status=200", "bytes_out=2 aborted=true"),
        ("", &lost, "status=200", "aborted=true"),
        ("hang", b"", "service=\"/x\" bytes_in=0", "aborted=true"),
    ] {
        let (near, far) = tokio::io::duplex(100_000);
        let mut client = Client::new(near);
        let head = respmod("").replace("/x", &format!("/x?{query}"));
        client.say([head.as_bytes(), body, LAST.as_bytes()].concat()).await;
        drop(client);
        let served = timeout(Duration::from_secs(1), server.serve_connection(far, None)).await;
        assert_eq!(served.is_ok(), query.is_empty());
        let line = log.lines().pop().unwrap();
        assert!(line.contains(status) && line.ends_with(end), "{line}");
    }
    drop(guard);
}

/// Queued is not sent: until the client's side has taken all of an answer it may be lost, with the connection or by
/// its deadline.
#[tokio::test(start_paused = true)]
async fn an_answer_is_whole_when_all_of_it_has_left() {
    let log = Log::at(Level::INFO);
    let guard = log.listen();
    let server = Arc::new(server(|request| async {
        let (head, body) = request.into_body().await?;
        Ok(Reply::modified(head.http_response().unwrap().clone(), body))
    }));
    let request = [respmod("").as_bytes(), &chunk(vec![b'x'; 10_000]), LAST.as_bytes()].concat();
    for (taken, waits, end) in [
        (true, false, "bytes_out=10000 aborted=false"),
        (false, false, "bytes_out=10000 aborted=true"),
        (false, true, "bytes_out=10000 aborted=true"),
    ] {
        let mut client = connect_through(&server, 64);
        client.say(&request).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        log.lines.lock().unwrap().clear();
        assert_eq!(server.handle().in_flight(), 1);
        if taken {
            assert_eq!(client.answer().await.body.len(), 10_000);
        }
        if waits {
            tokio::time::sleep(Timeouts::default().write).await;
        } else {
            drop(client);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let lines = log.lines();
        assert!(lines.len() == 1 && lines[0].ends_with(end), "{lines:?}");
        assert_eq!(server.handle().in_flight(), 0);
    }
    drop(guard);
}

/// Not on the lowest level, not in errors about what is wrong right beside it.
#[tokio::test(start_paused = true)]
async fn no_secret_is_logged() {
    const SECRETS: &str = "Authorization: Basic hunter2\r\nProxy-Authorization: Basic hunter2\r\n\
        Cookie: sid=hunter2\r\nX-Authenticated-User: hunter2\r\n";
    let page = format!("HTTP/1.1 200 OK\r\nSet-Cookie: sid=hunter2\r\n{SECRETS}\r\n");
    let request = |fields: &str| {
        format!(
            "RESPMOD icap://s/x?token=hunter2 ICAP/1.0\r\nHost: s\r\n{SECRETS}{fields}\
             Encapsulated: res-hdr=0, res-body={}\r\n\r\n{page}",
            page.len()
        )
    };
    let broken = [
        request("Preview: 9\r\n") + "7\r\nhunter2\r\n0; ieof\r\n\r\n",
        request("Preview: 4\r\n") + "4\r\nfail\r\n0; hunter2\r\n\r\n",
        request("") + "7; hunter2=hunter2\r\nhunter2\r\n0\r\nX: hunter2\r\n\r\n",
        request("") + "7\r\nhunter2hunter2\r\n",
        request("") + "hunter2\r\n",
        request("") + "7\r\nhunt",
        request("") + "7\r\nhunter2\r\n0\r\nCookie : hunter2\r\n\r\n",
        request("Cookie : hunter2\r\n"),
        request("hunter2\r\n"),
        request("Cookie: hunter2\0\r\n"),
        request("Preview: hunter2\r\n"),
        request("Encapsulated: hunter2=0\r\n"),
        request("Allow: hunter2\r\nConnection: hunter2\r\n"),
        request("Transfer-Encoding: hunter2\r\n"),
        request("").replace("HTTP/1.1 200", "hunter2 2000"),
        request("").replace("Set-Cookie: ", "Set-Cookie  "),
        request("").replace("icap://s/x", "icap://user:hunter2@s/x"),
        request("").replace("icap://s/x", "icap://s/none"),
        request("").replace("ICAP/1.0", "ICAP/hunter2"),
        request("").replace("RESPMOD", "REQMOD"),
        request("").replace("RESPMOD", "OPTIONS"),
        format!("GET /hunter2 HTTP/1.1\r\n{SECRETS}\r\n"),
        format!("REQMOD icap://s/x?hunter2 ICAP/1.0\r\n{SECRETS}"),
    ];
    let log = Log::at(Level::TRACE);
    let guard = log.listen();
    let server = reading();
    for request in broken {
        let (near, far) = tokio::io::duplex(10_000);
        let mut client = Client::new(near);
        client.say(&request).await;
        let before = log.lines().len();
        let talk = async { while client.more().await {} };
        tokio::join!(server.serve_connection(far, None), talk);
        assert!(log.lines().len() > before, "nothing is said about {request}");
    }
    drop(guard);
    let told = log.lines().concat();
    assert!(told.contains("transaction") && !told.contains("hunter2"), "{told}");
}

/// A handler may well log what it is asked.
#[tokio::test]
async fn no_credential_is_in_what_a_handler_would_log() {
    let (sender, mut shown) = tokio::sync::mpsc::unbounded_channel();
    let mut client = connect(move |request| {
        sender.send(format!("{request:?}")).unwrap();
        async { Ok(Reply::unmodified()) }
    });
    let fields = "Authorization: Basic hunter2\r\nProxy-Authorization: Basic hunter2\r\n\
        Cookie: sid=hunter2\r\n";
    let form = format!("GET http://o/ HTTP/1.1\r\nHost: o\r\n{fields}\r\n");
    let request = format!(
        "REQMOD icap://s/x ICAP/1.0\r\nHost: s\r\nAllow: 204\r\n{fields}\
         Encapsulated: req-hdr=0, null-body={}\r\n\r\n{form}",
        form.len()
    );
    client.say(request).await;
    assert_eq!(client.answer().await.status(), 204);
    let shown = shown.recv().await.unwrap();
    assert!(shown.contains("Reqmod") && !shown.contains("hunter2"), "{shown}");
}
