//! Calls that wait for room among the connections.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use icap_client::{Client, ClientBuilder, Error, Stage, Timeouts};
use icap_proto::ServiceUri;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::peer::{HELLO, NO_CONTENT, answered, by_hand, get, passes, read, serve};

/// How long the server thinks.
const WORK: Duration = Duration::from_millis(100);

/// A server in memory: answers each request after [`WORK`].
#[derive(Clone, Default)]
struct Memory {
    open: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    opened: Arc<AtomicUsize>,
}

impl Memory {
    fn client(&self) -> ClientBuilder {
        let memory = self.clone();
        by_hand("icap://memory/s").connector(move |_: ServiceUri| {
            let (near, far) = duplex(10_000);
            tokio::spawn(memory.clone().serve(far));
            async { Ok(near) }
        })
    }

    async fn serve(self, mut io: DuplexStream) {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(open, Ordering::Relaxed);
        let mut text = Vec::new();
        while io.read_buf(&mut text).await.unwrap() > 0 {
            if text.ends_with(b"Host: h\r\n\r\n") {
                text.clear();
                tokio::select! {
                    () = sleep(WORK) => {}
                    // Whoever asked has gone.
                    _ = io.read_u8() => break,
                }
                if io.write_all(NO_CONTENT.as_bytes()).await.is_err() {
                    break;
                }
            }
        }
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn patient() -> Timeouts {
    let mut timeouts = Timeouts::default();
    timeouts.wait = Duration::from_secs(60);
    timeouts
}

/// 64 callers that call again as soon as they have their answer, room for 8: nobody is left behind.
#[tokio::test(start_paused = true)]
async fn callers_that_call_again_all_wait_as_long() {
    let memory = Memory::default();
    let client = memory.client().max_connections(8).timeouts(patient()).build().unwrap();
    let mut callers = JoinSet::new();
    for _ in 0..64 {
        let client = client.clone();
        callers.spawn(async move {
            let mut latencies = Vec::new();
            for _ in 0..50 {
                let called = Instant::now();
                passes(client.reqmod(get()).await.unwrap());
                latencies.push(called.elapsed());
            }
            latencies
        });
    }
    let mut latencies = callers.join_all().await.concat();
    latencies.sort();
    let median = latencies[latencies.len() / 2];
    assert_eq!(median, 8 * WORK);
    assert!(latencies[latencies.len() * 99 / 100] <= 3 * median);
    assert!(latencies[latencies.len() - 1] <= 3 * median);
    assert_eq!(memory.most.load(Ordering::Relaxed), 8);
}

/// 64 callers that come one after the other, room for 8: eight at a time, in the order of their coming.
#[tokio::test(start_paused = true)]
async fn callers_are_served_in_the_order_of_their_coming() {
    let memory = Memory::default();
    let client = memory.client().max_connections(8).timeouts(patient()).build().unwrap();
    let done = Arc::new(Mutex::new(Vec::new()));
    let started = Instant::now();
    let mut callers = JoinSet::new();
    for number in 0..64 {
        let (client, done) = (client.clone(), Arc::clone(&done));
        callers.spawn(async move {
            passes(client.reqmod(get()).await.unwrap());
            done.lock().unwrap().push(number);
        });
        tokio::task::yield_now().await;
    }
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    let done = done.lock().unwrap();
    for (wave, numbers) in done.chunks(8).enumerate() {
        let mut numbers = numbers.to_vec();
        numbers.sort_unstable();
        assert_eq!(numbers, (wave * 8..wave * 8 + 8).collect::<Vec<_>>());
    }
    assert_eq!(done.len(), 64);
    assert_eq!(memory.most.load(Ordering::Relaxed), 8);
    assert_eq!(memory.opened.load(Ordering::Relaxed), 8);
    let took = started.elapsed();
    assert!(took >= 8 * WORK && took < 8 * WORK + Duration::from_millis(30), "{took:?}");
}

/// Callers that come back at once do not push in front of those who wait.
#[tokio::test(start_paused = true)]
async fn nobody_starves() {
    let memory = Memory::default();
    let client = memory.client().max_connections(8).timeouts(patient()).build().unwrap();
    let mut callers = JoinSet::new();
    for _ in 0..64 {
        let client = client.clone();
        callers.spawn(async move {
            let mut longest = Duration::ZERO;
            for _ in 0..10 {
                let started = Instant::now();
                passes(client.reqmod(get()).await.unwrap());
                longest = longest.max(started.elapsed());
            }
            longest
        });
    }
    while let Some(longest) = callers.join_next().await {
        // Eight turns, and what the timer is out.
        assert!(longest.unwrap() < 8 * WORK + Duration::from_millis(30));
    }
    assert!(memory.most.load(Ordering::Relaxed) <= 8);
}

/// The edge: just in time, and just too late.
#[tokio::test(start_paused = true)]
async fn waiting_takes_only_so_long() {
    for (wait, enough) in
        [(WORK - Duration::from_millis(5), false), (WORK + Duration::from_millis(5), true)]
    {
        let mut timeouts = Timeouts::default();
        timeouts.wait = wait;
        let memory = Memory::default();
        let client = memory.client().max_connections(1).timeouts(timeouts).build().unwrap();
        let (one, two) = tokio::join!(client.reqmod(get()), client.reqmod(get()));
        passes(one.unwrap());
        match two {
            Ok(outcome) => {
                assert!(enough);
                passes(outcome);
            }
            Err(failure) => {
                assert!(!enough);
                assert!(matches!(failure.error(), Error::Timeout(Stage::Wait)), "{failure}");
                assert_eq!(failure.to_string(), "timeout while waiting for a free connection");
                assert!(failure.error().is_retryable() && failure.original().is_some());
            }
        }
    }
}

/// Calls that are dropped at any time, while they wait, connect, send or read, leave their place to others.
#[tokio::test(start_paused = true)]
async fn dropped_calls_give_their_place_back() {
    let memory = Memory::default();
    let open = memory.clone();
    let connector = move |_: ServiceUri| {
        let (near, far) = duplex(10_000);
        let memory = open.clone();
        async move {
            sleep(Duration::from_millis(20)).await;
            tokio::spawn(memory.serve(far));
            Ok(near)
        }
    };
    let builder = by_hand("icap://memory/s").connector(connector);
    let client = builder.max_connections(3).timeouts(patient()).build().unwrap();
    let mut callers = JoinSet::new();
    for number in 0..300u64 {
        let client = client.clone();
        callers.spawn(async move {
            sleep(Duration::from_millis(number * 7 % 50)).await;
            let patience = Duration::from_millis(number * 13 % 260);
            if let Ok(outcome) = timeout(patience, client.reqmod(get())).await {
                passes(outcome.unwrap());
            }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    // All three places are there.
    let started = Instant::now();
    let calls = tokio::join!(client.reqmod(get()), client.reqmod(get()), client.reqmod(get()));
    for outcome in [calls.0, calls.1, calls.2] {
        passes(outcome.unwrap());
    }
    assert!(started.elapsed() < 2 * WORK);
    assert!(memory.most.load(Ordering::Relaxed) <= 3);
}

/// A body that has not been read holds its connection; dropping it makes room.
#[tokio::test(start_paused = true)]
async fn a_body_holds_its_connection() {
    let (client, server) = serve(|peer| async move {
        let mut first = peer.accept().await;
        first.head().await;
        first.write(&HELLO[..HELLO.len() - 2]).await;
        let mut second = peer.accept().await;
        second.head().await;
        second.write(HELLO).await;
    })
    .await;
    let client = client.max_connections(1).build().unwrap();
    let adapted = answered(client.reqmod(get()).await.unwrap());
    let failure = client.reqmod(get()).await.unwrap_err();
    assert!(matches!(failure.error(), Error::Timeout(Stage::Wait)), "{failure}");
    drop(adapted);
    assert_eq!(read(answered(client.reqmod(get()).await.unwrap())).await, "HELLO");
    server.await.unwrap();
}

/// ICAP-219: what the service says counts as soon as it is known, and is forgotten when it says it no more.
#[tokio::test(start_paused = true)]
async fn the_service_limits_the_connections() {
    let (client, server) = serve(|peer| async move {
        let mut first = peer.accept().await;
        first.head().await;
        first.write("ICAP/1.0 200 OK\r\nMethods: REQMOD\r\nMax-Connections: 1\r\n\r\n").await;
        for _ in 0..3 {
            first.head().await;
            sleep(WORK).await;
            first.write(NO_CONTENT).await;
        }
        first.head().await;
        first.write("ICAP/1.0 200 OK\r\nMethods: REQMOD\r\n\r\n").await;
        first.head().await;
        let mut second = peer.accept().await;
        second.head().await;
        first.write(NO_CONTENT).await;
        second.write(NO_CONTENT).await;
    })
    .await;
    let client = client.build().unwrap();
    client.options().await.unwrap();
    let calls = tokio::join!(client.reqmod(get()), client.reqmod(get()), client.reqmod(get()));
    for outcome in [calls.0, calls.1, calls.2] {
        passes(outcome.unwrap());
    }
    client.options().await.unwrap();
    let (one, two) = tokio::join!(client.reqmod(get()), client.reqmod(get()));
    passes(one.unwrap());
    passes(two.unwrap());
    server.await.unwrap();
}

/// A lower number closes what is idle beyond it.
#[tokio::test]
async fn idle_connections_beyond_the_limit_are_closed() {
    let (client, server) = serve(|peer| async move {
        let (mut first, mut second) = (peer.accept().await, peer.accept().await);
        first.head().await;
        second.head().await;
        first.write(NO_CONTENT).await;
        sleep(Duration::from_millis(50)).await;
        second.write(NO_CONTENT).await;
        second.head().await;
        second.write("ICAP/1.0 200 OK\r\nMethods: REQMOD\r\nMax-Connections: 1\r\n\r\n").await;
        first.closed().await;
        // The one that brought the news is the one that stays.
        second.head().await;
        second.write(NO_CONTENT).await;
    })
    .await;
    let client = client.build().unwrap();
    let (one, two) = tokio::join!(client.reqmod(get()), client.reqmod(get()));
    passes(one.unwrap());
    passes(two.unwrap());
    client.options().await.unwrap();
    passes(client.reqmod(get()).await.unwrap());
    server.await.unwrap();
}

/// What is idle closes at once, what is under way comes to its end, and nobody waits for what never comes.
#[tokio::test(start_paused = true)]
async fn a_closed_client_keeps_nothing() {
    let (client, server) = serve(|peer| async move {
        let (mut first, mut second) = (peer.accept().await, peer.accept().await);
        first.head().await;
        second.head().await;
        first.write(NO_CONTENT).await;
        first.closed().await;
        second.write(NO_CONTENT).await;
        second.closed().await;
    })
    .await;
    let client = client.max_connections(2).build().unwrap();
    let call = |client: Client| tokio::spawn(async move { client.reqmod(get()).await });
    let (one, two) = (call(client.clone()), call(client.clone()));
    let done = tokio::select! { done = one => done, done = two => done };
    passes(done.unwrap().unwrap());
    client.close();
    let failure = client.reqmod(get()).await.unwrap_err();
    assert!(matches!(failure.error(), Error::ClientClosed), "{failure}");
    assert!(!failure.error().is_retryable() && failure.original().is_some());
    server.await.unwrap();
}

/// Who waits learns that the client was closed.
#[tokio::test(start_paused = true)]
async fn closing_wakes_who_waits() {
    let client = Memory::default().client().max_connections(1).build().unwrap();
    let close = async {
        sleep(WORK / 2).await;
        client.close();
    };
    let (one, two, ()) = tokio::join!(client.reqmod(get()), client.reqmod(get()), close);
    passes(one.unwrap());
    assert!(matches!(two.unwrap_err().error(), Error::ClientClosed));
}

/// A connection that has lived its time is closed, however busy it is.
#[tokio::test(start_paused = true)]
async fn connections_have_a_lifetime() {
    let memory = Memory::default();
    let client = memory.client().max_lifetime(Duration::from_secs(30)).build().unwrap();
    for _ in 0..8 {
        passes(client.reqmod(get()).await.unwrap());
        sleep(Duration::from_secs(10)).await;
    }
    // Opened at 0, 40 (the exchanges take their time too) and so on: about three uses each.
    assert_eq!(memory.opened.load(Ordering::Relaxed), 3);
    assert_eq!(memory.most.load(Ordering::Relaxed), 1);
}
