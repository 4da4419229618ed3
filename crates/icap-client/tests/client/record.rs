//! What a call tells of itself: the fields of its span, and metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Once};

use icap_client::{Authorization, Error};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, set_default, set_global_default};
use tracing::{Event, Metadata, Subscriber};

use crate::peer::*;

/// The spans of calls, in the order in which they began.
#[derive(Debug, Clone, Default)]
struct Spans(Arc<Mutex<Vec<Span>>>);

#[derive(Debug, Default, Clone)]
struct Span {
    fields: BTreeMap<&'static str, String>,
    handles: usize,
}

impl Visit for Span {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }
}

impl Spans {
    /// Hears what this thread tells. Spans are switched off for all threads once nobody listens to them; so that no
    /// other test does that, somebody always listens.
    fn listen(&self) -> DefaultGuard {
        static ALWAYS: Once = Once::new();
        ALWAYS.call_once(|| set_global_default(Self::default()).unwrap());
        set_default(self.clone())
    }

    fn change<T>(&self, id: &Id, change: impl FnOnce(&mut Span) -> T) -> T {
        let index = usize::try_from(id.into_u64()).unwrap() - 1;
        change(&mut self.0.lock().unwrap()[index])
    }

    /// The fields of the spans that are over, without service and times; each has all of its times.
    fn closed(&self) -> Vec<String> {
        let spans = self.0.lock().unwrap().clone();
        let closed = spans.into_iter().filter(|span| span.handles == 0).map(|span| {
            let mut fields = span.fields;
            assert!(fields.remove("service").unwrap().starts_with("icap://127.0.0.1:"));
            assert!(fields.remove("elapsed_us").is_some());
            assert_eq!(fields.remove("wait_us").is_some(), fields.contains_key("reused"));
            assert_eq!(fields.remove("answer_us").is_some(), fields.contains_key("status"));
            let fields: Vec<_> =
                fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
            fields.join(" ")
        });
        closed.collect()
    }
}

impl Subscriber for Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target().starts_with("icap_client")
    }
    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        assert_eq!(attributes.metadata().name(), "call");
        let mut span = Span { handles: 1, ..Span::default() };
        attributes.record(&mut span);
        let mut spans = self.0.lock().unwrap();
        spans.push(span);
        Id::from_u64(spans.len() as u64)
    }
    fn record(&self, id: &Id, values: &Record<'_>) {
        self.change(id, |span| values.record(span));
    }
    fn clone_span(&self, id: &Id) -> Id {
        self.change(id, |span| span.handles += 1);
        id.clone()
    }
    fn try_close(&self, id: Id) -> bool {
        self.change(&id, |span| {
            span.handles -= 1;
            span.handles == 0
        })
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn a_span_says_how_the_preview_went_and_which_connection_it_was() {
    let spans = Spans::default();
    let _guard = spans.listen();
    let (builder, server) = serve(|peer| async move {
        let mut connection = peer.accept().await;
        connection.head().await;
        connection.until("\r\n0\r\n\r\n").await;
        connection.write(NO_CONTENT).await;
        connection.head().await;
        connection.until("; ieof\r\n\r\n").await;
        connection.write(NO_CONTENT).await;
        connection.head().await;
        connection.until("\r\n0\r\n\r\n").await;
        connection.write(CONTINUE).await;
        connection.until("\r\n0\r\n\r\n").await;
        connection.write(ok("HELLO")).await;
        connection.head().await;
        connection.write(NO_CONTENT).await;
    })
    .await;
    let client = builder.preview(4).build().unwrap();
    passes(client.reqmod(post(text("hello world"))).await.unwrap());
    passes(client.reqmod(post(text("hell"))).await.unwrap());
    let adapted = modified(client.respmod(page(text("hello world"))).await.unwrap());
    assert_eq!(spans.closed().len(), 2, "the body is still to be read");
    assert_eq!(read(adapted).await, "HELLO");
    passes(client.reqmod(get()).await.unwrap());
    server.await.unwrap();
    assert_eq!(
        spans.closed(),
        [
            "aborted=false bytes_in=0 bytes_out=4 method=\"REQMOD\" preview=\"decided\" reused=false status=204",
            "aborted=false bytes_in=0 bytes_out=4 method=\"REQMOD\" preview=\"whole\" reused=true status=204",
            "aborted=false bytes_in=5 bytes_out=11 method=\"RESPMOD\" preview=\"continued\" reused=true status=200",
            "aborted=false bytes_in=0 bytes_out=0 method=\"REQMOD\" reused=true status=204",
        ]
    );
}

/// In the head and at the end of the body.
#[tokio::test]
async fn a_span_says_what_leniency_was_needed() {
    let spans = Spans::default();
    let _guard = spans.listen();
    let (builder, server) = serve(|peer| async move {
        let mut connection = peer.accept().await;
        connection.head().await;
        connection.until("; ieof\r\n\r\n").await;
        let answer = ok("HELLO").replace("ISTag: \"t1\"", "ISTag: t1");
        connection.write(answer.replace("0\r\n\r\n", "0; ieof\r\n\r\n")).await;
        connection.head().await;
        connection.write(NO_CONTENT).await;
    })
    .await;
    let client = builder.build().unwrap();
    let adapted = modified(client.respmod(page(text("abc"))).await.unwrap());
    assert_eq!(read(adapted).await, "HELLO");
    passes(client.reqmod(get()).await.unwrap());
    server.await.unwrap();
    let told = spans.closed();
    assert!(told[0].contains(" leniency=\"loose_istag stray_ieof\" "), "{told:?}");
    assert!(!told[1].contains("leniency"), "{told:?}");
}

#[tokio::test]
async fn a_span_says_what_went_wrong() {
    let spans = Spans::default();
    let _guard = spans.listen();
    let (builder, server) = serve(|peer| async move {
        for answer in ["ICAP/1.0 500 No\r\n\r\n", "", &ok("HELLO"), &ok("HELLO")[..90]] {
            let mut connection = peer.accept().await;
            connection.head().await;
            connection.until("0; ieof\r\n\r\n").await;
            connection.write(answer).await;
        }
    })
    .await;
    let client = builder.max_idle(0).build().unwrap();
    let failure = client.reqmod(post(text("abc"))).await.unwrap_err();
    assert!(matches!(failure.error(), Error::Status(_)));
    client.reqmod(post(text("abc"))).await.unwrap_err();
    drop(client.respmod(page(text("abc"))).await.unwrap());
    let cut = modified(client.respmod(page(text("abc"))).await.unwrap());
    assert!(http_body_util::BodyExt::collect(cut).await.is_err());
    server.await.unwrap();
    let nobody = by_hand("icap://127.0.0.1:1/s").build().unwrap();
    nobody.reqmod(get()).await.unwrap_err();
    let told = spans.closed();
    let told: Vec<_> = told.iter().map(String::as_str).collect();
    let [refused, closed, whole, cut, unreachable] = told[..] else { panic!("{told:?}") };
    assert!(refused.starts_with("aborted=false bytes_in=0 bytes_out=3"), "{refused}");
    assert!(refused.ends_with("status=500"), "{refused}");
    assert!(closed.starts_with("aborted=true bytes_in=0 bytes_out=3 error="), "{closed}");
    assert!(!closed.contains("status="), "{closed}");
    // All of it was there when it was dropped.
    assert!(whole.ends_with("status=200"), "{whole}");
    assert!(cut.starts_with("aborted=true") && cut.contains("error="), "{cut}");
    assert!(unreachable.starts_with("aborted=true bytes_in=0 bytes_out=0 error="), "{unreachable}");
    assert!(!unreachable.contains("reused"), "{unreachable}");
}

/// A refusal and the call with credentials behind it are one call, and so is a second try.
#[tokio::test]
async fn a_call_is_one_span() {
    let spans = Spans::default();
    let _guard = spans.listen();
    let (builder, server) = serve(|peer| async move {
        let mut connection = peer.accept().await;
        connection.head().await;
        connection.write("ICAP/1.0 407 Who\r\n\r\n").await;
        connection.head().await;
        connection.write(NO_CONTENT).await;
        connection.head().await;
        drop(connection);
        let mut connection = peer.accept().await;
        connection.head().await;
        connection.write(NO_CONTENT).await;
    })
    .await;
    let client =
        builder.credentials(|_| async { Some(Authorization::lasting("Made up")) }).build().unwrap();
    passes(client.reqmod(get()).await.unwrap());
    passes(client.reqmod(get()).await.unwrap());
    server.await.unwrap();
    assert_eq!(
        spans.closed(),
        [
            "aborted=false bytes_in=0 bytes_out=0 method=\"REQMOD\" reused=true status=204",
            "aborted=false bytes_in=0 bytes_out=0 method=\"REQMOD\" reused=false status=204",
        ]
    );
}

#[cfg(feature = "metrics")]
mod metrics {
    use ::metrics::{
        Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
        SharedString, Unit,
    };

    use super::*;

    #[derive(Default)]
    struct Counting(Arc<Mutex<BTreeMap<String, u64>>>);

    /// One metric with its labels; a histogram counts its values.
    struct Figure(String, Arc<Mutex<BTreeMap<String, u64>>>);

    impl CounterFn for Figure {
        fn increment(&self, value: u64) {
            *self.1.lock().unwrap().entry(self.0.clone()).or_default() += value;
        }
        fn absolute(&self, _: u64) {}
    }

    impl HistogramFn for Figure {
        fn record(&self, _: f64) {
            self.increment(1);
        }
    }

    impl Counting {
        fn figure(&self, key: &Key) -> Arc<Figure> {
            let labels: String = key.labels().map(|label| format!(" {}", label.value())).collect();
            Arc::new(Figure(key.name().to_owned() + &labels, Arc::clone(&self.0)))
        }
    }

    impl Recorder for Counting {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(self.figure(key))
        }
        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::noop()
        }
        fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::from_arc(self.figure(key))
        }
    }

    #[test]
    fn calls_are_counted() {
        let counting = Counting::default();
        let talk = async {
            let (builder, server) = serve(|peer| async move {
                let mut connection = peer.accept().await;
                connection.head().await;
                connection.write("ICAP/1.0 204\r\nISTag: \"t1\"\r\n\r\n").await;
                connection.head().await;
                connection.until("; ieof\r\n\r\n").await;
                connection.write(ok("HELLO")).await;
                connection.head().await;
            })
            .await;
            let uri = builder.build().unwrap();
            passes(uri.reqmod(get()).await.unwrap());
            assert_eq!(
                read(modified(uri.respmod(page(text("abc"))).await.unwrap())).await,
                "HELLO"
            );
            drop(
                tokio::time::timeout(std::time::Duration::from_millis(50), uri.reqmod(get())).await,
            );
            server.await.unwrap();
            uri.uri().to_string()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let uri = ::metrics::with_local_recorder(&counting, || runtime.block_on(talk));
        let figures = counting.0.lock().unwrap();
        let figures: Vec<_> = figures
            .iter()
            .map(|(name, value)| format!("{name} {value}").replace(&uri, "URI"))
            .collect();
        assert_eq!(
            figures,
            [
                "icap_client_aborted_total 1",
                "icap_client_body_bytes_total in 5",
                "icap_client_body_bytes_total out 3",
                "icap_client_call_seconds REQMOD 2",
                "icap_client_call_seconds RESPMOD 1",
                "icap_client_calls_total REQMOD URI 204 1",
                "icap_client_calls_total REQMOD URI none 1",
                "icap_client_calls_total RESPMOD URI 200 1",
                "icap_client_leniency_total URI missing_reason 1",
                "icap_client_reused_total 2",
                "icap_client_wait_seconds 3",
            ]
        );
    }
}
