//! Groups of services: who gets a call, and who gets it next.

use std::time::Duration;

use http_body_util::BodyExt;
use icap_client::{
    Balance, Client, Error, Invalid, MemberState, Outcome, ServiceGroup, Stage, Timeouts,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::body::{Frames, Live};
use crate::node::{Mode, Node, get};
use crate::peer::{
    CONTINUE, HELLO, NO_CONTENT, answered, modified, page, passes, post, read, serve, text,
};

/// A group of these nodes.
pub(crate) fn group(balance: Balance, nodes: &[&Node]) -> ServiceGroup {
    let clients = nodes.iter().map(|node| node.client());
    clients
        .fold(ServiceGroup::builder().balance(balance), |group, client| group.member(client))
        .build()
        .unwrap()
}

async fn call(group: &ServiceGroup) {
    passes(group.reqmod(get("/a")).await.unwrap());
}

fn in_flight(group: &ServiceGroup) -> Vec<usize> {
    group.members().iter().map(|member| member.in_flight).collect()
}

#[test]
fn a_group_has_members() {
    let none = ServiceGroup::builder().build().unwrap_err();
    assert!(matches!(none, Error::Invalid(Invalid::NoMembers)), "{none}");
    let node = Node::new("a", Mode::Pass);
    let group = group(Balance::Failover, &[&node]);
    assert!(matches!(group.replace([]), Err(Error::Invalid(Invalid::NoMembers))));
    assert_eq!(group.members()[0].uri.to_string(), "icap://a/s");
}

#[test]
fn calls_and_the_watch_may_be_spawned() {
    fn sent<T: Send>(value: T) -> T {
        value
    }
    let group = group(Balance::Failover, &[&Node::new("a", Mode::Pass)]);
    drop(sent(group.reqmod(post(text("hello")))));
    drop(sent(group.respmod(page(text("hello")))));
    drop(sent(group.options()));
    drop(sent(group.watch(Duration::from_secs(1))));
    drop(sent(group.clone()));
}

#[tokio::test(start_paused = true)]
async fn failover_stays_with_the_first() {
    let (one, two) = (Node::new("a", Mode::Pass), Node::new("b", Mode::Pass));
    let group = group(Balance::Failover, &[&one, &two]);
    for _ in 0..10 {
        call(&group).await;
    }
    assert_eq!((one.seen().len(), two.seen().len()), (10, 0));
}

#[tokio::test(start_paused = true)]
async fn round_robin_gives_each_its_turn() {
    let nodes = ["a", "b", "c"].map(|name| Node::new(name, Mode::Pass));
    let group = group(Balance::RoundRobin, &nodes.each_ref());
    for _ in 0..4 {
        for turn in 0..3 {
            call(&group).await;
            assert_eq!(
                nodes.each_ref().map(|node| node.seen().len()),
                [0, 1, 2].map(|at| usize::from(at == turn))
            );
        }
    }
    // What one that is down leaves is spread over all others, not given to the next alone.
    nodes[0].set(Mode::Dead);
    for _ in 0..6 {
        call(&group).await;
    }
    nodes.iter().for_each(|node| drop(node.seen()));
    for _ in 0..10 {
        call(&group).await;
    }
    assert_eq!(nodes.map(|node| node.seen().len()), [0, 5, 5]);
}

/// A call counts until its answer has been read or dropped.
#[tokio::test(start_paused = true)]
async fn least_connections_counts_open_bodies() {
    let (one, two) = (Node::new("a", Mode::Open), Node::new("b", Mode::Open));
    let group = group(Balance::LeastConnections, &[&one, &two]);
    let mut open = Vec::new();
    for _ in 0..6 {
        open.push(answered(group.reqmod(get("/a")).await.unwrap()));
    }
    assert_eq!(in_flight(&group), [3, 3]);
    // Those of the first end.
    open.retain({
        let mut at = 0;
        move |_| {
            at += 1;
            at % 2 == 0
        }
    });
    assert_eq!(in_flight(&group), [0, 3]);
    one.seen();
    two.seen();
    for _ in 0..3 {
        open.push(answered(group.reqmod(get("/a")).await.unwrap()));
    }
    assert_eq!((one.seen().len(), two.seen().len()), (3, 0));
    drop(open);
    assert_eq!(in_flight(&group), [0, 0]);
}

/// Calls that wait for a connection count too.
#[tokio::test(start_paused = true)]
async fn least_connections_counts_who_waits() {
    let work = Mode::Work(Duration::from_secs(1));
    let (one, two) = (Node::new("a", work), Node::new("b", work));
    let builder = ServiceGroup::builder().balance(Balance::LeastConnections);
    let group = builder
        .member(one.builder().max_connections(1).build().unwrap())
        .member(two.builder().max_connections(1).build().unwrap())
        .build()
        .unwrap();
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        let group = group.clone();
        calls.spawn(async move { call(&group).await });
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(in_flight(&group), [4, 4]);
    calls.join_all().await;
    assert_eq!((one.seen().len(), two.seen().len()), (4, 4));
    assert_eq!(in_flight(&group), [0, 0]);
}

/// The table in the documentation of the group.
#[tokio::test(start_paused = true)]
async fn what_fails_over_and_what_does_not() {
    let status = |codes: &[u16]| codes.iter().map(|&code| Mode::Status(code)).collect::<Vec<_>>();
    let over = status(&[404, 405, 408, 500, 501, 502, 503, 504, 505, 506, 539, 551, 599]);
    let others = [Mode::Dead, Mode::Lose, Mode::Hang, Mode::Babble];
    for mode in over.into_iter().chain(others) {
        let (one, two) = (Node::new("a", mode), Node::new("b", Mode::Pass));
        let group = group(Balance::Failover, &[&one, &two]);
        passes(group.respmod(page(text("hello"))).await.unwrap());
        assert_eq!(two.seen().len(), 1, "{mode:?}");
        assert_eq!(group.members()[0].failures, 1, "{mode:?}");
        assert_eq!(group.members()[1].failures, 0, "{mode:?}");
    }
    for mode in status(&[400, 401, 403, 407, 410, 413, 418, 499, 302]) {
        let (one, two) = (Node::new("a", mode), Node::new("b", Mode::Pass));
        let group = group(Balance::Failover, &[&one, &two]);
        one.set(Mode::Lose);
        call(&group).await;
        one.set(mode);
        two.seen();
        let failure = group.reqmod(get("/a")).await.unwrap_err();
        assert!(matches!(failure.error(), Error::Status(_)), "{failure}");
        assert!(failure.original().is_some());
        assert_eq!(two.seen().len(), 0, "{mode:?}");
        assert_eq!(group.members()[0].failures, 0, "{mode:?}");
    }
}

/// What the caller did wrong is no failure of the server, and nobody else is bothered with it.
#[tokio::test(start_paused = true)]
async fn the_callers_own_errors_count_for_nobody() {
    let (one, two) = (Node::new("a", Mode::Pass), Node::new("b", Mode::Pass));
    let group = group(Balance::Failover, &[&one, &two]);
    for _ in 0..5 {
        let (sender, body) = Live::new();
        sender.fail("disk on fire");
        let failure = group.reqmod(post(body)).await.unwrap_err();
        assert!(matches!(failure.error(), Error::Source(_)), "{failure}");
        let failure = group.reqmod(get("/a").header("a b", "")).await.unwrap_err();
        assert!(matches!(failure.error(), Error::Invalid(_)), "{failure}");
    }
    assert_eq!(group.members()[0].failures, 0);
    assert_eq!(two.seen().len(), 0);
}

/// All fail: each got it once, and the caller has the error of the last and the message.
#[tokio::test(start_paused = true)]
async fn each_member_is_asked_once() {
    let nodes = [
        Node::new("a", Mode::Status(500)),
        Node::new("b", Mode::Lose),
        Node::new("c", Mode::Status(502)),
    ];
    for balance in [Balance::Failover, Balance::RoundRobin, Balance::LeastConnections] {
        let group = group(balance, &nodes.each_ref());
        let failure = group.respmod(page(text("hello"))).await.unwrap_err();
        assert_eq!(failure.error().to_string(), "the server answered 502 No");
        assert_eq!(read(failure.into_parts().1.unwrap()).await, "hello");
        assert_eq!(nodes.each_ref().map(|node| node.seen().len()), [1, 1, 1]);
    }
}

/// In the preview the message is whole, whatever its size.
#[tokio::test]
async fn a_message_in_preview_goes_to_the_next() {
    let (dead, first) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.expect("4\r\nhell\r\n0\r\n\r\n").await;
    })
    .await;
    let (alive, second) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        let (icap, http) = peer.head().await;
        assert!(icap.contains("\r\nPreview: 4\r\n") && icap.contains("X-Client-IP: 1"), "{icap}");
        assert!(http.starts_with("GET /a HTTP/1.1\r\n"), "{http}");
        peer.expect("4\r\nhell\r\n0\r\n\r\n").await;
        peer.write(CONTINUE).await;
        peer.expect("1\r\no\r\n5\r\nworld\r\n0\r\n\r\n").await;
        peer.write(HELLO).await;
    })
    .await;
    let builder = ServiceGroup::builder().member(dead.preview(4).build().unwrap());
    let group = builder.member(alive.preview(4).build().unwrap()).build().unwrap();
    let message = page(Frames::new(&["hello", "world"])).header("X-Client-IP", "1");
    assert_eq!(read(modified(group.respmod(message).await.unwrap())).await, "HELLO");
    first.await.unwrap();
    second.await.unwrap();
}

/// Behind it as far as the replay limit of the member that failed reaches, and not a byte further.
#[tokio::test]
async fn beyond_the_preview_the_replay_limit_counts() {
    for (limit, over) in [(10, true), (9, false)] {
        let (dead, first) = serve(|peer| async move {
            let mut peer = peer.accept().await;
            peer.head().await;
            peer.expect("4\r\nhell\r\n0\r\n\r\n").await;
            peer.write(CONTINUE).await;
            peer.expect("1\r\no\r\n5\r\nworld\r\n0\r\nx-sum: 1\r\n\r\n").await;
            peer.write("ICAP/1.0 503 Busy\r\n\r\n").await;
        })
        .await;
        let (alive, second) = serve(|peer| async move {
            let mut peer = peer.accept().await;
            let (icap, _) = peer.head().await;
            // Its own limit, not that of the member before.
            assert!(icap.contains("Allow: 204"), "{icap}");
            peer.expect("5\r\nhello\r\n5\r\nworld\r\n0\r\nx-sum: 1\r\n\r\n").await;
            peer.write(NO_CONTENT).await;
        })
        .await;
        let dead = dead.preview(4).replay_limit(limit).http_trailers(true);
        let alive = alive.no_preview().replay_limit(100).http_trailers(true);
        let builder = ServiceGroup::builder().member(dead.build().unwrap());
        let group = builder.member(alive.build().unwrap()).build().unwrap();
        let body = Frames::new(&["hello", "world"]).sized().trailer("x-sum", "1");
        match group.respmod(page(body)).await {
            Ok(Outcome::Unmodified(original)) => {
                assert!(over);
                let whole = original.collect().await.unwrap();
                assert_eq!(whole.trailers().unwrap()["x-sum"], "1");
                assert_eq!(whole.to_bytes(), "helloworld");
                second.await.unwrap();
            }
            Ok(outcome) => panic!("{outcome:?}"),
            Err(failure) => {
                assert!(!over, "{failure}");
                assert_eq!(failure.error().to_string(), "the server answered 503 Busy");
                assert!(failure.original().is_none());
                second.abort();
            }
        }
        first.await.unwrap();
    }
}

/// What was let go of stays with its server.
#[tokio::test(start_paused = true)]
async fn there_is_no_failover_behind_the_head_of_an_answer() {
    let (one, two) = (Node::new("a", Mode::Cut), Node::new("b", Mode::Pass));
    let group = group(Balance::Failover, &[&one, &two]);
    let adapted = answered(group.reqmod(get("/a")).await.unwrap());
    let error = adapted.collect().await.unwrap_err();
    assert!(matches!(error, Error::Closed(_)), "{error}");
    assert_eq!(two.seen().len(), 0);
}

/// One of two dies while 200 calls are under way.
#[tokio::test(start_paused = true)]
async fn nothing_is_lost_when_a_member_dies() {
    for balance in [Balance::Failover, Balance::RoundRobin, Balance::LeastConnections] {
        let work = Mode::Work(Duration::from_millis(100));
        let (one, two) = (Node::new("a", work), Node::new("b", work));
        let builder = ServiceGroup::builder()
            .balance(balance)
            .member(one.builder().max_connections(20).build().unwrap());
        let group =
            builder.member(two.builder().max_connections(20).build().unwrap()).build().unwrap();
        let mut calls = JoinSet::new();
        for number in 0..200u64 {
            let group = group.clone();
            calls.spawn(async move {
                tokio::time::sleep(Duration::from_millis(number * 5)).await;
                passes(group.respmod(page(text("hello"))).await.unwrap());
            });
        }
        tokio::time::sleep(Duration::from_millis(450)).await;
        one.set(Mode::Dead);
        calls.join_all().await;
        assert!(matches!(group.members()[0].state, MemberState::Suspended { .. }), "{balance:?}");
        assert_eq!(in_flight(&group), [0, 0]);
    }
}

/// A member without room is passed over; without any room the call waits, and that is no failure of the member.
#[tokio::test(start_paused = true)]
async fn the_cap_of_a_member_is_kept() {
    let (one, two) = (Node::new("a", Mode::Open), Node::new("b", Mode::Open));
    let builder = ServiceGroup::builder();
    let group = builder
        .member(one.builder().max_connections(2).build().unwrap())
        .member(two.builder().max_connections(1).build().unwrap())
        .build()
        .unwrap();
    let mut open = Vec::new();
    for used in [[1, 0], [2, 0], [2, 1]] {
        open.push(answered(group.reqmod(get("/a")).await.unwrap()));
        assert_eq!(in_flight(&group), used);
    }
    let started = Instant::now();
    let failure = group.reqmod(get("/a")).await.unwrap_err();
    assert!(matches!(failure.error(), Error::Timeout(Stage::Wait)), "{failure}");
    // In the queue of each.
    assert_eq!(started.elapsed().as_secs(), 20);
    assert!(group.members().iter().all(|member| member.failures == 0));
    // Room that comes is taken.
    let waits = tokio::spawn({
        let group = group.clone();
        async move { answered(group.reqmod(get("/a")).await.unwrap()) }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(open.remove(0));
    drop(waits.await.unwrap());
    assert_eq!(in_flight(&group), [1, 1]);
}

/// The time for the whole call is that for all its attempts.
#[tokio::test(start_paused = true)]
async fn all_attempts_have_one_time() {
    let nodes = ["a", "b", "c"].map(|name| Node::new(name, Mode::Hang));
    let mut timeouts = Timeouts::default();
    timeouts.head = Duration::from_secs(10);
    let builder = ServiceGroup::builder().total(Duration::from_secs(15));
    let client = |node: &Node| node.builder().timeouts(timeouts).build().unwrap();
    let group =
        nodes.iter().fold(builder, |group, node| group.member(client(node))).build().unwrap();
    let started = Instant::now();
    let failure = group.reqmod(get("/a")).await.unwrap_err();
    assert!(matches!(failure.error(), Error::Timeout(Stage::Total)), "{failure}");
    assert!(failure.original().is_some());
    assert_eq!(started.elapsed().as_secs(), 15);
    assert_eq!(nodes.map(|node| node.seen().len()), [1, 1, 0]);
    // The time ran out, whoever had the call then.
    let failures = group.members().iter().map(|member| member.failures).collect::<Vec<_>>();
    assert_eq!(failures, [1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn dropped_calls_are_not_counted() {
    let nodes = ["a", "b"].map(|name| Node::new(name, Mode::Hang));
    let group = group(Balance::LeastConnections, &nodes.each_ref());
    let mut calls = JoinSet::new();
    for number in 0..50u64 {
        let group = group.clone();
        calls.spawn(async move {
            let patience = Duration::from_millis(number * 13 % 70);
            timeout(patience, group.reqmod(get("/a"))).await.unwrap_err();
        });
    }
    calls.join_all().await;
    assert_eq!(in_flight(&group), [0, 0]);
    assert!(group.members().iter().all(|member| member.failures == 0));
}

#[tokio::test(start_paused = true)]
async fn options_come_from_any_member() {
    let (one, two) = (Node::new("a", Mode::Dead), Node::new("b", Mode::Pass));
    let group = group(Balance::Failover, &[&one, &two]);
    group.options().await.unwrap();
    assert_eq!(two.seen(), ["OPTIONS"]);
    two.set(Mode::Status(500));
    assert!(matches!(group.options().await.unwrap_err(), Error::Status(_)));
    // A server without OPTIONS says so, and no other is asked.
    one.set(Mode::Status(501));
    two.seen();
    group.options().await.unwrap_err();
    assert_eq!((one.seen().len(), two.seen().len()), (1, 0));
}

/// A call that is under way when its members go.
#[tokio::test(start_paused = true)]
async fn calls_fail_over_to_new_members() {
    let old = Node::new("a", Mode::Work(Duration::from_secs(5)));
    let (new, other) = (Node::new("b", Mode::Pass), Node::new("c", Mode::Pass));
    let group = group(Balance::Failover, &[&old]);
    let calls = [false, true].map(|dies| {
        let group = group.clone();
        let message = get(if dies { "/dies" } else { "/lives" });
        tokio::spawn(async move { passes(group.reqmod(message).await.unwrap()) })
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    group.replace([new.client(), other.client()]).unwrap();
    assert_eq!(old.seen().len(), 2);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(new.seen().len(), 0);
    for call in calls {
        call.await.unwrap();
    }
    call(&group).await;
    assert_eq!((old.seen().len(), new.seen().len(), other.seen().len()), (0, 1, 0));
    let lost = Node::new("d", Mode::Hang);
    let mut timeouts = Timeouts::default();
    timeouts.head = Duration::from_secs(5);
    group.replace([lost.builder().timeouts(timeouts).build().unwrap()]).unwrap();
    let message = tokio::spawn({
        let group = group.clone();
        async move { passes(group.reqmod(get("/moves")).await.unwrap()) }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    group.replace([new.client()]).unwrap();
    message.await.unwrap();
    assert_eq!(new.seen(), ["/moves"]);
}

/// A client that was closed is a member that is gone.
#[tokio::test(start_paused = true)]
async fn a_closed_client_is_passed_over() {
    let (one, two) = (Node::new("a", Mode::Pass), Node::new("b", Mode::Pass));
    let client: Client = one.client();
    let group =
        ServiceGroup::builder().member(client.clone()).member(two.client()).build().unwrap();
    client.close();
    call(&group).await;
    assert_eq!((one.seen().len(), two.seen().len()), (0, 1));
}
