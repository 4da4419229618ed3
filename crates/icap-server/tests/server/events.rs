//! What the log says.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, Once};

use icap_server::Reply;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, set_default, set_global_default};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::support::*;

/// Writes events as lines.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Hears what this thread tells. Events are switched off for all threads once nobody listens to them; so that no
    /// other test does that, somebody always listens.
    fn listen(&self) -> DefaultGuard {
        static ALWAYS: Once = Once::new();
        ALWAYS.call_once(|| set_global_default(Self::default()).unwrap());
        set_default(self.clone())
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("icap_server") && *metadata.level() <= Level::INFO
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        struct Line(String);
        impl Visit for Line {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                if !field.name().ends_with("_us") {
                    write!(self.0, " {field}={value:?}").unwrap();
                }
            }
        }
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The log of one request to a server whose handler fails when the body says so.
async fn log_of(request: impl AsRef<[u8]>) -> Vec<String> {
    let log = Log::default();
    let guard = log.listen();
    let server = server(|request| async {
        let (_, preview) = request.preview().await?;
        if preview.bytes() == "fail" {
            return Err("no scanner".into());
        }
        drop(http_body_util::BodyExt::collect(preview.proceed().await?).await?);
        Ok(Reply::unmodified())
    });
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
    log.0.lock().unwrap().clone()
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
