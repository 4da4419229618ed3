//! OPTIONS that nobody asked for by hand: when they are asked, and for how long an answer holds
//! (RFC 3507 section 4.10).

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use icap_client::{Client, ClientBuilder, Error, Stage, Timeouts};
use icap_proto::{Method, ServiceOptions, ServiceUri};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::peer::{NO_CONTENT, get, page, passes, shows, text};

/// How long the server thinks about OPTIONS.
const WORK: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);

/// What a server does when it is asked.
#[derive(Clone)]
enum Manner {
    Answers(String),
    HangsUp,
    IsSilent,
    IsAway,
}

/// A server in memory that answers OPTIONS in its manner, and messages with `answer`.
#[derive(Clone)]
struct Service {
    state: Arc<Mutex<State>>,
}

struct State {
    options: Manner,
    answer: String,
    asked: usize,
    messages: Vec<String>,
    connects: usize,
}

impl Service {
    fn new(options: Manner) -> Self {
        let answer = NO_CONTENT.to_owned();
        let state = State { options, answer, asked: 0, messages: Vec::new(), connects: 0 };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn with(fields: &str) -> Self {
        Self::new(says(fields))
    }

    fn client(&self) -> ClientBuilder {
        let service = self.clone();
        // A 204 may come although nobody allowed it.
        let builder = Client::builder("icap://memory/s").replay_limit(10);
        builder.connector(move |_: ServiceUri| {
            let service = service.clone();
            async move {
                service.on(|state| state.connects += 1);
                if service.on(|state| matches!(state.options, Manner::IsAway)) {
                    sleep(SECOND).await;
                    return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "nobody there"));
                }
                let (near, far) = duplex(10_000);
                tokio::spawn(service.serve(far));
                Ok(near)
            }
        })
    }

    fn on<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap())
    }

    fn options(&self, options: Manner) {
        self.on(|state| state.options = options);
    }

    fn answer(&self, answer: &str) {
        self.on(|state| state.answer = answer.into());
    }

    fn asked(&self) -> usize {
        self.on(|state| state.asked)
    }

    fn messages(&self) -> usize {
        self.on(|state| state.messages.len())
    }

    async fn serve(self, mut io: DuplexStream) {
        let mut text = Vec::new();
        while matches!(io.read_buf(&mut text).await, Ok(1..)) {
            let request = String::from_utf8_lossy(&text).into_owned();
            let answer = if request.starts_with("OPTIONS ") && request.ends_with("\r\n\r\n") {
                let manner = self.on(|state| {
                    state.asked += 1;
                    state.options.clone()
                });
                sleep(WORK).await;
                match manner {
                    Manner::Answers(answer) => answer,
                    Manner::HangsUp | Manner::IsAway => return,
                    Manner::IsSilent => std::future::pending().await,
                }
            } else if request.ends_with("Host: h\r\n\r\n") || request.ends_with("\r\n0\r\n\r\n") {
                self.on(|state| {
                    state.messages.push(request);
                    state.answer.clone()
                })
            } else {
                continue;
            };
            text.clear();
            if io.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// An answer to OPTIONS with these fields.
fn says(fields: &str) -> Manner {
    Manner::Answers(format!(
        "ICAP/1.0 200 OK\r\nMethods: REQMOD, RESPMOD\r\nISTag: \"t1\"\r\n{fields}Encapsulated: null-body=0\r\n\r\n"
    ))
}

async fn pass(client: &Client) {
    passes(client.reqmod(get()).await.unwrap());
}

/// So many calls at the same time, and how long each took.
async fn together(client: &Client, calls: usize) -> Vec<Duration> {
    let mut callers = JoinSet::new();
    for _ in 0..calls {
        let client = client.clone();
        callers.spawn(async move {
            let started = Instant::now();
            pass(&client).await;
            started.elapsed()
        });
    }
    callers.join_all().await
}

/// ICAP-220: before the first message, however many come at once.
#[tokio::test(start_paused = true)]
async fn fifty_callers_ask_once() {
    let service = Service::with("Options-TTL: 100\r\n");
    let client = service.client().build().unwrap();
    assert!(client.known_options().is_none() && client.istag().is_none());
    together(&client, 50).await;
    assert_eq!((service.asked(), service.messages()), (1, 50));
    assert_eq!(client.known_options().unwrap().methods(), [Method::Reqmod, Method::Respmod]);
    assert_eq!(client.istag().unwrap().as_bytes(), b"t1");
}

/// The call that asks is dropped: the next that waits asks in its place, the others wait for that.
#[tokio::test(start_paused = true)]
async fn a_dropped_call_leaves_the_asking_to_the_next() {
    let service = Service::with("");
    let client = service.client().build().unwrap();
    let started = Instant::now();
    let dropped = async {
        timeout(WORK / 2, client.reqmod(get())).await.unwrap_err();
    };
    let others = async {
        sleep(WORK / 10).await;
        together(&client, 5).await;
    };
    tokio::join!(dropped, others);
    assert_eq!((service.asked(), service.messages()), (2, 5));
    assert!(started.elapsed() < 2 * WORK, "{:?}", started.elapsed());
}

/// ICAP-216, ICAP-217: an answer holds for its time, from its arrival, whatever `Date` it has.
#[tokio::test(start_paused = true)]
async fn an_answer_holds_for_its_time() {
    let service = Service::with("Date: Mon, 01 Jan 2001 00:00:00 GMT\r\nOptions-TTL: 100\r\n");
    let client = service.client().build().unwrap();
    pass(&client).await;
    sleep(90 * SECOND - WORK).await;
    pass(&client).await;
    assert_eq!(service.asked(), 1);
    // Behind its end all wait for the new one.
    sleep(10 * SECOND + WORK).await;
    let took = together(&client, 3).await;
    assert!(took.iter().all(|took| *took >= WORK), "{took:?}");
    assert_eq!(service.asked(), 2);
}

/// ICAP-218: in the last tenth of its time one call asks, and the others do not wait for it.
#[tokio::test(start_paused = true)]
async fn one_call_refreshes_ahead() {
    let service = Service::with("Options-TTL: 100\r\n");
    let client = service.client().build().unwrap();
    pass(&client).await;
    sleep(90 * SECOND).await;
    let mut took = together(&client, 3).await;
    took.sort_unstable();
    assert!(took[0] < WORK && took[1] < WORK && took[2] >= WORK, "{took:?}");
    assert_eq!(service.asked(), 2);
    // The new answer has a new time.
    sleep(89 * SECOND).await;
    pass(&client).await;
    assert_eq!(service.asked(), 2);
}

/// The bounds of the time: each at its edge. The first call behind nine tenths of it asks.
#[tokio::test(start_paused = true)]
async fn the_time_has_bounds() {
    for (field, seconds) in [
        ("Options-TTL: 0\r\n", 30),
        ("Options-TTL: 20\r\n", 30),
        ("Options-TTL: 31\r\n", 31),
        ("", 600),
        ("Options-TTL: later\r\n", 600),
        ("Options-TTL: 99999999999\r\n", 24 * 60 * 60),
    ] {
        let service = Service::with(field);
        let client = service.client().options_ttl(600 * SECOND).build().unwrap();
        pass(&client).await;
        let due = seconds * SECOND * 9 / 10;
        sleep(due - WORK).await;
        pass(&client).await;
        assert_eq!(service.asked(), 1, "{field}");
        sleep(WORK).await;
        pass(&client).await;
        assert_eq!(service.asked(), 2, "{field}");
    }
}

/// When the service gives no new answer the old one is used for an hour, and the service is asked less and less.
#[tokio::test(start_paused = true)]
async fn an_old_answer_is_used_for_a_while() {
    let service = Service::with("Options-TTL: 100\r\nMax-Connections: 7\r\n");
    let client = service.client().build().unwrap();
    pass(&client).await;
    let received = Instant::now();
    service.options(Manner::Answers("ICAP/1.0 500 Server Error\r\n\r\n".into()));
    sleep(100 * SECOND).await;
    pass(&client).await;
    assert_eq!(service.asked(), 2);
    for pause in [30, 60, 120] {
        let asked = service.asked();
        sleep(pause * SECOND - WORK).await;
        let took = together(&client, 1).await;
        assert!(took[0] < WORK);
        assert_eq!(service.asked(), asked);
        sleep(WORK).await;
        pass(&client).await;
        assert_eq!(service.asked(), asked + 1);
    }
    assert!(client.known_options().is_some());
    let end = received + 3700 * SECOND;
    sleep(end - Instant::now() - WORK).await;
    assert_eq!(client.known_options().unwrap().connections(), Some(7));
    sleep(WORK).await;
    assert!(client.known_options().is_none());
    pass(&client).await;
    // It comes back.
    service.options(says(""));
    sleep(3600 * SECOND).await;
    pass(&client).await;
    assert!(client.known_options().is_some());
}

/// ICAP-222: a service that does not answer OPTIONS, or not as it should, takes messages all the same. It is left
/// alone for a while.
#[tokio::test(start_paused = true)]
async fn a_service_without_options_works() {
    let answer = |answer: &str| Manner::Answers(answer.into());
    for manner in [
        answer("ICAP/1.0 404 ICAP Service Not Found\r\n\r\n"),
        answer("ICAP/1.0 405 Method Not Allowed\r\n\r\n"),
        answer("ICAP/1.0 501 Method Not Implemented\r\nConnection: close\r\n\r\n"),
        answer(NO_CONTENT),
        answer("HTTP/1.1 400 Bad Request\r\n\r\n"),
        answer("\0\0\0\0"),
        Manner::HangsUp,
        Manner::IsSilent,
    ] {
        // A kept connection that ends without a word is tried once more.
        let tries = if matches!(manner, Manner::HangsUp) { 2 } else { 1 };
        let service = Service::new(manner);
        let client = service.client().build().unwrap();
        let started = Instant::now();
        together(&client, 3).await;
        // Nobody waits for longer than for OPTIONS.
        assert!(started.elapsed() <= 10 * SECOND + WORK, "{:?}", started.elapsed());
        passes(
            client.respmod(page(text("hi"))).await.unwrap_or_else(|failure| panic!("{failure}")),
        );
        assert_eq!((service.asked(), service.messages()), (1, 4));
        // Who says nothing gets no preview.
        let sent = service.on(|state| state.messages.concat());
        assert!(!sent.contains("Preview: "), "{sent}");
        sleep(29 * SECOND).await;
        pass(&client).await;
        assert_eq!(service.asked(), 1);
        sleep(SECOND).await;
        pass(&client).await;
        assert_eq!(service.asked(), 1 + tries);
    }
}

/// Without a connection for OPTIONS there is none for the message: all who wait learn it, once, with their
/// messages in hand. The next call tries again.
#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_fails_the_calls_that_wait() {
    let service = Service::new(Manner::IsAway);
    let client = service.client().build().unwrap();
    let started = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..10 {
        let client = client.clone();
        callers.spawn(async move { client.reqmod(get()).await.unwrap_err() });
    }
    for failure in callers.join_all().await {
        shows(failure.error(), "cannot connect: nobody there");
        assert!(failure.is_retryable());
    }
    assert_eq!(service.on(|state| state.connects), 1);
    assert!(started.elapsed() < 2 * SECOND);
    service.options(says(""));
    pass(&client).await;
    assert_eq!(service.asked(), 1);
}

/// A service that is silent takes half of the time of a call, not all of it.
#[tokio::test(start_paused = true)]
async fn half_of_the_time_is_for_the_message() {
    let service = Service::new(Manner::IsSilent);
    let mut timeouts = Timeouts::default();
    timeouts.total = 4 * SECOND;
    let client = service.client().timeouts(timeouts).build().unwrap();
    let took = together(&client, 1).await;
    assert!(took[0] >= 2 * SECOND && took[0] < 2 * SECOND + WORK, "{took:?}");
    // While another asks, a call waits no longer than it may.
    let slow = Service::with("");
    timeouts.total = WORK;
    let client = slow.client().timeouts(timeouts).build().unwrap();
    let took = together(&client, 2).await;
    assert!(took.iter().all(|took| *took < WORK), "{took:?}");
}

/// LIMIT-37: the time for OPTIONS at its edge.
#[tokio::test(start_paused = true)]
async fn the_limit_is_for_all_of_options() {
    let service = Service::with("");
    let mut timeouts = Timeouts::default();
    for (limit, heard) in
        [(WORK - Duration::from_millis(5), false), (WORK + Duration::from_millis(5), true)]
    {
        timeouts.options = limit;
        let client = service.client().timeouts(timeouts).build().unwrap();
        pass(&client).await;
        assert_eq!(client.known_options().is_some(), heard);
    }
}

/// ICAP-234, ICAP-235: another tag in any answer calls the hook and makes OPTIONS stale, once these are half a
/// minute old.
#[tokio::test(start_paused = true)]
async fn a_new_tag_makes_options_stale() {
    let service = Service::with("");
    let tags = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&tags);
    let client = service
        .client()
        .on_istag_change(move |tag| seen.lock().unwrap().push(tag.to_string()))
        .build()
        .unwrap();
    pass(&client).await;
    pass(&client).await;
    assert!(tags.lock().unwrap().is_empty());
    // An error has one too.
    service.answer("ICAP/1.0 500 Server Error\r\nISTag: \"t2\"\r\n\r\n");
    client.reqmod(get()).await.unwrap_err();
    assert_eq!(*tags.lock().unwrap(), ["\"t2\""]);
    service.answer("ICAP/1.0 204 No Content\r\n\r\n");
    sleep(30 * SECOND - WORK).await;
    pass(&client).await;
    assert_eq!(service.asked(), 1);
    sleep(WORK).await;
    let took = together(&client, 2).await;
    assert!(took.iter().all(|took| *took >= WORK), "{took:?}");
    assert_eq!(service.asked(), 2);
    // That answer has the first tag, which is another change, and is as good as any other.
    assert_eq!(*tags.lock().unwrap(), ["\"t2\"", "\"t1\""]);
    assert_eq!(client.istag().unwrap().as_bytes(), b"t1");
    sleep(60 * SECOND).await;
    pass(&client).await;
    assert_eq!(service.asked(), 2);
}

/// A service that has another tag in each answer is not asked before each message.
#[tokio::test(start_paused = true)]
async fn a_tag_that_never_stays_costs_little() {
    let service = Service::with("");
    let client = service.client().build().unwrap();
    for number in 0..60 {
        service.answer(&format!("ICAP/1.0 204 No Content\r\nISTag: \"n{number}\"\r\n\r\n"));
        pass(&client).await;
        sleep(SECOND).await;
    }
    assert_eq!(service.asked(), 2);
}

/// A method that the service does not list is not tried; it is asked again later.
#[tokio::test(start_paused = true)]
async fn a_method_that_is_not_listed_is_not_sent() {
    let service =
        Service::new(Manner::Answers("ICAP/1.0 200 OK\r\nMethods: reqmod\r\n\r\n".into()));
    let client = service.client().build().unwrap();
    pass(&client).await;
    let failure = client.respmod(page(text("hi"))).await.unwrap_err();
    shows(failure.error(), "the service does not take RESPMOD");
    assert!(!failure.is_retryable() && failure.original().is_some());
    assert_eq!(service.messages(), 1);
    service.options(Manner::Answers(
        "ICAP/1.0 200 OK\r\nAllow: 204\r\nEncapsulated: null-body=0\r\n\r\n".into(),
    ));
    client.respmod(page(text("hi"))).await.unwrap_err();
    assert_eq!(service.asked(), 1);
    sleep(30 * SECOND).await;
    // One without any `Methods` takes all of them.
    passes(client.respmod(page(text("hi"))).await.unwrap());
    assert_eq!(service.asked(), 2);
}

/// A 405 to a message says that the last answer is no longer true.
#[tokio::test(start_paused = true)]
async fn a_405_makes_options_stale() {
    for status in [404, 405, 501] {
        let service = Service::with("");
        let client = service.client().build().unwrap();
        service.answer(&format!("ICAP/1.0 {status} No\r\n\r\n"));
        client.reqmod(get()).await.unwrap_err();
        sleep(30 * SECOND).await;
        client.reqmod(get()).await.unwrap_err();
        assert_eq!(service.asked(), 2);
    }
}

/// What the caller says of the service needs no asking; by hand it is asked all the same.
#[tokio::test(start_paused = true)]
async fn options_can_be_given() {
    let service = Service::with("Max-Connections: 3\r\nOptions-TTL: 1\r\n");
    let given = ServiceOptions::reqmod("given").unwrap().max_connections(1);
    let client = service.client().options(given.clone()).build().unwrap();
    sleep(100_000 * SECOND).await;
    pass(&client).await;
    assert_eq!(service.asked(), 0);
    assert_eq!(client.options().await.unwrap().connections(), Some(3));
    assert_eq!(*client.known_options().unwrap(), given);
    client.respmod(page(text("hi"))).await.unwrap_err();
    assert_eq!(service.asked(), 1);
}

/// Without negotiation there is what was asked by hand, for its time.
#[tokio::test(start_paused = true)]
async fn options_can_be_asked_by_hand_alone() {
    let service = Service::with("Options-TTL: 100\r\n");
    let client = service.client().negotiate(false).build().unwrap();
    pass(&client).await;
    assert_eq!(service.asked(), 0);
    service.options(Manner::Answers(
        "ICAP/1.0 200 OK\r\nMethods: RESPMOD\r\nOptions-TTL: 100\r\n\r\n".into(),
    ));
    client.options().await.unwrap();
    client.reqmod(get()).await.unwrap_err();
    sleep(100 * SECOND).await;
    pass(&client).await;
    assert_eq!(service.asked(), 1);
}

/// By hand the cache is filled for all.
#[tokio::test(start_paused = true)]
async fn options_by_hand_serve_the_calls() {
    let service = Service::with("");
    let client = service.client().build().unwrap();
    client.options().await.unwrap();
    together(&client.clone(), 3).await;
    assert_eq!(service.asked(), 1);
    client.close();
    assert!(matches!(client.options().await, Err(Error::ClientClosed)));
}

/// There is no room for OPTIONS: all who wait for them learn that at once, not one after the other.
#[tokio::test(start_paused = true)]
async fn waiting_for_room_is_shared() {
    let service = Service::with("Options-TTL: 30\r\n");
    let client = service.client().max_connections(1).build().unwrap();
    service.answer(
        "ICAP/1.0 200 OK\r\nEncapsulated: req-hdr=0, req-body=18\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    );
    let held = client.reqmod(get()).await.unwrap();
    sleep(30 * SECOND).await;
    let started = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..5 {
        let client = client.clone();
        callers.spawn(async move { client.reqmod(get()).await.unwrap_err() });
    }
    for failure in callers.join_all().await {
        assert!(matches!(failure.error(), Error::Timeout(Stage::Wait)), "{failure}");
    }
    assert!(started.elapsed() < 11 * SECOND, "{:?}", started.elapsed());
    drop(held);
}
