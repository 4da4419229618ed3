//! What is counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use icap_server::{Reply, Route, Server};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

use crate::support::*;

type Figures = Arc<Mutex<BTreeMap<String, f64>>>;

#[derive(Default)]
struct Counting(Figures);

/// One metric with its labels.
struct Figure(String, Figures);

impl Figure {
    fn add(&self, value: f64) {
        *self.1.lock().unwrap().entry(self.0.clone()).or_default() += value;
    }
}

impl CounterFn for Figure {
    fn increment(&self, value: u64) {
        self.add(value as f64);
    }
    fn absolute(&self, _: u64) {}
}

impl GaugeFn for Figure {
    fn increment(&self, value: f64) {
        self.add(value);
    }
    fn decrement(&self, value: f64) {
        self.add(-value);
    }
    fn set(&self, _: f64) {}
}

impl HistogramFn for Figure {
    fn record(&self, _: f64) {
        self.add(1.0);
    }
}

impl Counting {
    fn figure(&self, key: &Key) -> Arc<Figure> {
        let labels = key.labels().map(|label| format!(" {}", label.value()));
        Arc::new(Figure(key.name().to_owned() + &labels.collect::<String>(), Arc::clone(&self.0)))
    }
}

impl Recorder for Counting {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.figure(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.figure(key))
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.figure(key))
    }
}

#[test]
fn transactions_are_counted() {
    let counting = Counting::default();
    let talk = async {
        let pass = service(|_| async { Ok(Reply::unmodified()) });
        let route = Route::new("/x", pass).alias("/y");
        let server = Server::new().route(route).unwrap();
        let (near, far) = tokio::io::duplex(10_000);
        let mut client = Client::new(near);
        let served = server.serve_connection(far, None);
        let asking = async {
            for path in ["/x", "/y", "/made-up"] {
                client.say(reqmod_get("Allow: 204\r\n").replace("/x", path)).await;
                client.answer().await;
            }
            client.say(respmod("A: b\r\n c\r\n") + "4\r\nabcd\r\n0; ieof\r\n\r\n").await;
            client.answer().await;
            drop(client);
        };
        tokio::join!(served, asking);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&counting, || runtime.block_on(talk));
    let figures = counting.0.lock().unwrap();
    let figures: Vec<_> = figures.iter().map(|(name, value)| format!("{name} {value}")).collect();
    assert_eq!(
        figures,
        [
            "icap_server_body_bytes_total in 4",
            "icap_server_body_bytes_total out 4",
            "icap_server_connections 0",
            "icap_server_in_flight 0",
            "icap_server_leniency_total folded_values 1",
            "icap_server_leniency_total stray_ieof 1",
            "icap_server_transaction_seconds REQMOD 3",
            "icap_server_transaction_seconds RESPMOD 1",
            // A path that a client made up is no label.
            "icap_server_transactions_total REQMOD /x 204 2",
            "icap_server_transactions_total REQMOD none 404 1",
            "icap_server_transactions_total RESPMOD /x 200 1",
        ]
    );
}
