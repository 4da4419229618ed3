//! Groups of services under failures of any kind and order.

use std::collections::HashMap;
use std::time::Duration;

use icap_client::{Balance, Outcome, ServiceGroup, ServiceGroupBuilder, Timeouts};
use proptest::prelude::*;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::node::{Mode, Node, get};
use crate::peer::{passes, read};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![
        4 => Just(Mode::Echo),
        1 => Just(Mode::Pass),
        1 => (1u64..300).prop_map(|ms| Mode::Work(Duration::from_millis(ms))),
        1 => prop::sample::select(vec![403u16, 404, 500, 503]).prop_map(Mode::Status),
        1 => (0usize..4).prop_map(Mode::Room),
        1 => Just(Mode::Dead),
        1 => Just(Mode::Lose),
        1 => Just(Mode::Hang),
        1 => Just(Mode::Babble),
    ]
}

/// What happens while calls are under way.
#[derive(Debug, Clone)]
enum Act {
    Change(usize, Mode),
    /// Calls, and how many milliseconds their callers have.
    Calls(usize, u64),
    Wait(u64),
    Replace(Vec<usize>),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0..NAMES.len(), mode()).prop_map(|(node, mode)| Act::Change(node, mode)),
        4 => (1usize..12, 1u64..9_000).prop_map(|(calls, patience)| Act::Calls(calls, patience)),
        3 => (1u64..20_000).prop_map(Act::Wait),
        1 => prop::sample::subsequence((0..NAMES.len()).collect::<Vec<_>>(), 1..=NAMES.len())
            .prop_map(Act::Replace),
    ]
}

/// No member gets a call twice, no answer goes to another call, every call comes to an end, and nothing stays behind.
async fn run(balance: Balance, acts: Vec<Act>) {
    let nodes = NAMES.map(|name| Node::new(name, Mode::Echo));
    let mut timeouts = Timeouts::default();
    timeouts.head = Duration::from_secs(2);
    timeouts.wait = Duration::from_secs(1);
    let clients = nodes.each_ref().map(|node| {
        // Each call on its own connection: one that is sent again because a kept connection had died is another
        // matter.
        node.builder().timeouts(timeouts).max_connections(4).max_idle(0).build().unwrap()
    });
    let builder = ServiceGroup::builder()
        .balance(balance)
        .suspension(Duration::from_secs(1), Duration::from_secs(9));
    let group = clients.iter().cloned().fold(builder, ServiceGroupBuilder::member).build().unwrap();
    let mut calls = JoinSet::new();
    let mut number = 0;
    for act in acts {
        match act {
            Act::Change(node, mode) => nodes[node].set(mode),
            Act::Wait(ms) => sleep(Duration::from_millis(ms)).await,
            Act::Replace(members) => {
                group.replace(members.into_iter().map(|member| clients[member].clone())).unwrap();
            }
            Act::Calls(count, patience) => {
                for _ in 0..count {
                    number += 1;
                    let (group, path) = (group.clone(), format!("/{number}"));
                    calls.spawn(async move {
                        let call = group.reqmod(get(&path));
                        let Ok(done) = timeout(Duration::from_millis(patience), call).await else {
                            return;
                        };
                        match done {
                            Ok(Outcome::Answered(page)) => assert_eq!(read(page).await, path),
                            Ok(outcome) => {
                                assert!(matches!(outcome, Outcome::Unmodified(_)), "{outcome:?}");
                            }
                            Err(failure) => assert!(failure.original().is_some(), "{failure}"),
                        }
                    });
                }
                // They are under way.
                sleep(Duration::from_millis(1)).await;
            }
        }
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
    assert!(group.members().iter().all(|member| member.in_flight == 0));
    for node in &nodes {
        let mut times = HashMap::new();
        for path in node.seen() {
            *times.entry(path).or_insert(0) += 1;
        }
        assert!(times.values().all(|&times| times == 1), "{times:?}");
        node.set(Mode::Pass);
    }
    // Whatever was, the group works again as soon as its members do.
    passes(group.reqmod(get("/last")).await.unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_call_is_sent_twice_or_answered_by_another(
        balance in prop::sample::select(vec![
            Balance::Failover, Balance::RoundRobin, Balance::LeastConnections,
        ]),
        acts in prop::collection::vec(act(), 1..40),
    ) {
        let builder = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        builder.unwrap().block_on(run(balance, acts));
    }
}
