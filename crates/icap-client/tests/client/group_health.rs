//! Groups of services: members that fail, and come back.

use std::time::Duration;

use icap_client::{Balance, MemberState, Outcome, ServiceGroup};
use icap_proto::{ServiceOptions, Transfer, TransferRules};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::group::group;
use crate::node::{Mode, Node, get};
use crate::peer::passes;

const SECOND: Duration = Duration::from_secs(1);

async fn call(group: &ServiceGroup) {
    passes(group.reqmod(get("/a")).await.unwrap());
}

fn state(group: &ServiceGroup, member: usize) -> MemberState {
    group.members()[member].state
}

/// The first is dead and suspended, the second does the work.
async fn one_down() -> (Node, Node, ServiceGroup) {
    let (one, two) = (Node::new("a", Mode::Lose), Node::new("b", Mode::Pass));
    let group = group(Balance::Failover, &[&one, &two]);
    for _ in 0..3 {
        assert_eq!(state(&group, 0), MemberState::Healthy);
        call(&group).await;
    }
    assert!(matches!(state(&group, 0), MemberState::Suspended { .. }));
    assert_eq!((one.seen().len(), two.seen().len()), (3, 3));
    (one, two, group)
}

/// Two failures in a row are none; three suspend. An answer between them starts the count anew.
#[tokio::test(start_paused = true)]
async fn three_failures_in_a_row_suspend() {
    let (one, two) = (Node::new("a", Mode::Pass), Node::new("b", Mode::Pass));
    let group = group(Balance::Failover, &[&one, &two]);
    for mode in [Mode::Lose, Mode::Lose, Mode::Pass, Mode::Lose, Mode::Lose] {
        one.set(mode);
        call(&group).await;
        assert_eq!(state(&group, 0), MemberState::Healthy);
    }
    assert_eq!(group.members()[0].failures, 2);
    call(&group).await;
    assert!(matches!(state(&group, 0), MemberState::Suspended { .. }));
    one.seen();
    call(&group).await;
    assert_eq!(one.seen().len(), 0);
}

/// 10 seconds, 20, 40; the first call behind each finds out.
#[tokio::test(start_paused = true)]
async fn a_suspended_member_is_left_alone_for_so_long() {
    let (one, _two, group) = one_down().await;
    for length in [10, 20, 40] {
        sleep(length * SECOND - Duration::from_millis(10)).await;
        call(&group).await;
        assert_eq!(one.seen().len(), 0, "{length}");
        sleep(Duration::from_millis(20)).await;
        call(&group).await;
        call(&group).await;
        assert_eq!(one.seen().len(), 1, "{length}");
    }
    one.set(Mode::Pass);
    sleep(80 * SECOND).await;
    call(&group).await;
    assert_eq!(state(&group, 0), MemberState::Healthy);
    call(&group).await;
    assert_eq!(one.seen().len(), 2);
}

/// Of many calls at the end of a suspension one goes there; the others when it has been answered.
#[tokio::test(start_paused = true)]
async fn one_call_tries() {
    let (one, two, group) = one_down().await;
    two.seen();
    one.set(Mode::Work(SECOND));
    sleep(11 * SECOND).await;
    let mut calls = JoinSet::new();
    for _ in 0..50 {
        let group = group.clone();
        calls.spawn(async move { call(&group).await });
    }
    sleep(SECOND / 2).await;
    assert_eq!((one.seen().len(), two.seen().len()), (1, 49));
    assert_eq!(state(&group, 0), MemberState::Probing);
    calls.join_all().await;
    assert_eq!(state(&group, 0), MemberState::Healthy);
    call(&group).await;
    assert_eq!(one.seen().len(), 1);
}

/// A trial that is dropped has shown nothing: the next call is one.
#[tokio::test(start_paused = true)]
async fn a_dropped_trial_leaves_its_turn() {
    let (one, _two, group) = one_down().await;
    one.set(Mode::Hang);
    sleep(11 * SECOND).await;
    for _ in 0..3 {
        timeout(SECOND, group.reqmod(get("/a"))).await.unwrap_err();
        assert_eq!(one.seen().len(), 1);
        assert!(matches!(state(&group, 0), MemberState::Suspended { .. }));
    }
    one.set(Mode::Pass);
    call(&group).await;
    assert_eq!(state(&group, 0), MemberState::Healthy);
}

/// With nobody left a call gets one attempt, with the member that is suspended since longest; an answer revives it.
#[tokio::test(start_paused = true)]
async fn the_last_resort() {
    let nodes = ["a", "b", "c"].map(|name| Node::new(name, Mode::Lose));
    let group = group(Balance::RoundRobin, &nodes.each_ref());
    for _ in 0..3 {
        group.reqmod(get("/a")).await.unwrap_err();
        sleep(SECOND).await;
    }
    assert_eq!(nodes.each_ref().map(|node| node.seen().len()), [3, 3, 3]);
    // All were suspended within one call, the first of it longest ago.
    for _ in 0..2 {
        let failure = group.reqmod(get("/a")).await.unwrap_err();
        assert!(failure.original().is_some());
    }
    assert_eq!(nodes.each_ref().map(|node| node.seen().len()).iter().sum::<usize>(), 2);
    // Its failures do not put off the end of the suspensions.
    sleep(8 * SECOND).await;
    nodes.iter().for_each(|node| node.set(Mode::Pass));
    nodes.iter().for_each(|node| drop(node.seen()));
    call(&group).await;
    let healthy =
        group.members().iter().filter(|member| member.state == MemberState::Healthy).count();
    assert_eq!(healthy, 1);
    call(&group).await;
    assert!(nodes.iter().any(|node| node.seen().len() == 2));
}

/// Who is suspended gets no call that failed elsewhere.
#[tokio::test(start_paused = true)]
async fn a_suspended_member_is_no_next_one() {
    let (one, two, group) = one_down().await;
    two.set(Mode::Lose);
    group.reqmod(get("/a")).await.unwrap_err();
    assert_eq!(one.seen().len(), 0);
}

/// The count of a member that others left goes on, and settings decide how far.
#[tokio::test(start_paused = true)]
async fn suspension_is_a_setting() {
    for (after, suspended) in [(1, true), (2, false), (0, false)] {
        let (one, two) = (Node::new("a", Mode::Dead), Node::new("b", Mode::Pass));
        let builder = ServiceGroup::builder().member(one.client()).member(two.client());
        let group = builder.suspend_after(after).suspension(SECOND, 2 * SECOND).build().unwrap();
        call(&group).await;
        assert_eq!(matches!(state(&group, 0), MemberState::Suspended { .. }), suspended);
        one.set(Mode::Pass);
        sleep(SECOND + Duration::from_millis(1)).await;
        call(&group).await;
        assert_eq!(state(&group, 0), MemberState::Healthy);
    }
}

/// ICAP 503: not so many again, and more after a while.
#[tokio::test(start_paused = true)]
async fn a_503_lowers_the_cap() {
    let (one, two) = (Node::new("a", Mode::Room(3)), Node::new("b", Mode::Pass));
    let group = group(Balance::Failover, &[&one, &two]);
    let wave = async || {
        let mut calls = JoinSet::new();
        for _ in 0..8 {
            let group = group.clone();
            calls.spawn(async move { call(&group).await });
            sleep(Duration::from_millis(1)).await;
        }
        calls.join_all().await;
        (one.seen().len(), two.seen().len())
    };
    // The fourth was refused, and no fifth was sent.
    assert_eq!(wave().await, (4, 5));
    assert_eq!(group.members()[0].cap, Some(3));
    assert_eq!(wave().await, (3, 5));
    assert_eq!(group.members()[0].cap, Some(3));
    sleep(60 * SECOND).await;
    one.set(Mode::Room(8));
    assert_eq!(wave().await, (8, 0));
    assert_eq!(group.members()[0].cap, None);
    assert_eq!(state(&group, 0), MemberState::Healthy);
}

/// One that refuses everything is suspended as any other.
#[tokio::test(start_paused = true)]
async fn a_503_to_everything_suspends() {
    let (one, two) = (Node::new("a", Mode::Room(0)), Node::new("b", Mode::Pass));
    let group = group(Balance::Failover, &[&one, &two]);
    for _ in 0..10 {
        call(&group).await;
    }
    assert_eq!((one.seen().len(), two.seen().len()), (3, 10));
    assert_eq!(group.members()[0].cap, Some(1));
}

/// Without any call: a death is noticed, and a revival, by OPTIONS alone.
#[tokio::test(start_paused = true)]
async fn the_watch_finds_out() {
    let (one, two) = (Node::new("a", Mode::Pass), Node::new("b", Mode::Pass));
    let group = group(Balance::Failover, &[&one, &two]);
    let watch = tokio::spawn(group.watch(5 * SECOND));
    sleep(SECOND).await;
    assert_eq!((one.seen(), two.seen()), (vec!["OPTIONS".into()], vec!["OPTIONS".into()]));
    one.set(Mode::Dead);
    // Asked at 5, 10 and 15 seconds.
    sleep(13 * SECOND).await;
    assert_eq!(state(&group, 0), MemberState::Healthy);
    sleep(2 * SECOND).await;
    assert!(matches!(state(&group, 0), MemberState::Suspended { .. }));
    // At 25, when its suspension is over.
    one.set(Mode::Pass);
    one.seen();
    sleep(9 * SECOND).await;
    assert_eq!(one.seen().len(), 0);
    sleep(2 * SECOND).await;
    assert_eq!(one.seen(), ["OPTIONS"]);
    assert_eq!(state(&group, 0), MemberState::Healthy);
    // It answers, but does not do its work: the next failure is enough.
    one.set(Mode::Lose);
    call(&group).await;
    assert!(matches!(state(&group, 0), MemberState::Suspended { .. }));
    drop(group);
    timeout(SECOND, watch).await.unwrap().unwrap();
}

/// One that does not answer costs the others nothing, and does not hold up the watch.
#[tokio::test(start_paused = true)]
async fn the_watch_does_not_wait_for_long() {
    let (one, two) = (Node::new("a", Mode::Hang), Node::new("b", Mode::Pass));
    let group = group(Balance::Failover, &[&one, &two]);
    let _watch = tokio::spawn(group.watch(5 * SECOND));
    sleep(16 * SECOND).await;
    assert!(matches!(state(&group, 0), MemberState::Suspended { .. }));
    assert!(two.seen().len() >= 3);
    assert_eq!(state(&group, 1), MemberState::Healthy);
}

/// A server that has no OPTIONS is as healthy as any.
#[tokio::test(start_paused = true)]
async fn the_watch_takes_no_options_for_an_answer() {
    for (status, healthy) in [(405, true), (501, true), (403, true), (404, false), (500, false)] {
        let one = Node::new("a", Mode::Status(status));
        let group = group(Balance::Failover, &[&one]);
        let _watch = tokio::spawn(group.watch(5 * SECOND));
        sleep(16 * SECOND).await;
        assert_eq!(state(&group, 0) == MemberState::Healthy, healthy, "{status}");
    }
}

/// New settings: what stays keeps what is known of it, what goes gets nothing more, what comes starts at once.
#[tokio::test(start_paused = true)]
async fn members_that_stay_keep_their_state() {
    let (one, two, group) = one_down().await;
    let three = Node::new("c", Mode::Pass);
    let clone = group.clone();
    group.replace([three.client(), one.client()]).unwrap();
    let members = clone.members();
    assert_eq!(members[0].uri.to_string(), three.uri());
    assert_eq!(members[0].state, MemberState::Healthy);
    assert!(matches!(members[1].state, MemberState::Suspended { .. }));
    assert_eq!(members[1].failures, 3);
    two.seen();
    three.set(Mode::Lose);
    clone.reqmod(get("/a")).await.unwrap_err();
    assert_eq!((one.seen().len(), two.seen().len(), three.seen().len()), (0, 0, 1));
    one.set(Mode::Pass);
    sleep(11 * SECOND).await;
    call(&clone).await;
    assert_eq!(one.seen().len(), 1);
    // One that had gone starts anew.
    clone.replace([two.client()]).unwrap();
    one.set(Mode::Lose);
    clone.replace([one.client()]).unwrap();
    assert_eq!(clone.members()[0].failures, 0);
}

/// A message that is not sent tells nothing of the member, also when it was its turn to find out.
#[tokio::test(start_paused = true)]
async fn an_ignored_message_revives_nobody() {
    let (one, two) = (Node::new("a", Mode::Lose), Node::new("b", Mode::Pass));
    let rules = TransferRules::new(Transfer::Preview).with(Transfer::Ignore, "txt").unwrap();
    let options = ServiceOptions::reqmod("Scanner").unwrap().transfer(rules);
    let member = |node: &Node| node.builder().options(options.clone()).build().unwrap();
    let members = ServiceGroup::builder().member(member(&one)).member(member(&two));
    let group = members.build().unwrap();
    for _ in 0..3 {
        call(&group).await;
    }
    one.seen();
    sleep(10 * SECOND).await;
    let ignored = group.reqmod(get("/a.txt")).await.unwrap();
    assert!(matches!(ignored, Outcome::Ignored(_)));
    assert_eq!(one.seen().len(), 0);
    assert!(matches!(state(&group, 0), MemberState::Suspended { .. }));
    one.set(Mode::Pass);
    call(&group).await;
    assert_eq!((one.seen().len(), state(&group, 0)), (1, MemberState::Healthy));
}
