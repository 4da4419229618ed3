//! How bytes are cut makes no difference, and a prefix of a good message asks for more.

use icap_proto::{Error, Leniency, Limits, PeerMisbehaved, client, server};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::message::{answer, question};
use crate::mutants::{chunked_body, mutate, mutation};
use crate::support::server::Server;
use crate::support::{Core, Trace};

/// Cuts by places between 0 and 1.
fn cuts(places: &[Index], len: usize) -> Vec<usize> {
    let mut cuts: Vec<usize> =
        places.iter().map(|place| place.index(len.max(1))).filter(|cut| *cut > 0).collect();
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

fn run<C: Core>(mut core: C, parts: &[Vec<u8>], go: impl Fn(&mut C), places: &[Index]) -> Trace {
    let mut trace = Trace::default();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 && !part.is_empty() {
            go(&mut core);
        }
        trace.feed_cut(&mut core, part, &cuts(places, part.len()));
    }
    trace
}

/// Cut nowhere, at some places, at every byte of the first part: the same events. A prefix gives no error, and
/// waits for more.
fn same<C: Core>(
    parts: &[Vec<u8>],
    places: &[Index],
    fresh: impl Fn() -> C,
    go: impl Fn(&mut C) + Copy,
) -> Trace {
    let whole = run(fresh(), parts, go, &[]);
    alike(&run(fresh(), parts, go, places), &whole);
    let mut core = fresh();
    let mut trace = Trace::default();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 && !part.is_empty() {
            go(&mut core);
        }
        let every: Vec<usize> = (1..part.len()).collect();
        trace.feed_cut(&mut core, part, &every);
    }
    alike(&trace, &whole);
    whole
}

/// The same events. Bytes behind a preview that waits for its answer are a fault when they came with it; when they
/// come later they stay in the socket, where nobody sees them.
fn alike(cut: &Trace, whole: &Trace) {
    let spoke = Some(Error::Peer(PeerMisbehaved::SpokeOutOfTurn));
    if whole.error == spoke && cut.error.is_none() {
        assert_eq!(cut.lines, whole.lines);
    } else {
        assert_eq!(cut, whole);
    }
}

/// A prefix of the first part: what it says is the beginning of what the whole says, and never an end.
fn prefix<C: Core>(bytes: &[u8], cut: &Index, mut core: C, whole: &Trace) {
    let cut = cut.index(bytes.len());
    let mut trace = Trace::default();
    trace.feed(&mut core, &bytes[..cut]);
    assert_eq!(trace.error, None, "an early fault at {cut}");
    assert!(core.wants_input(), "more must come behind {cut}");
    assert!(whole.text().starts_with(trace.text().trim_end()), "other events up to {cut}");
    assert!(!trace.lines.iter().any(|line| line.starts_with("end")), "an early end at {cut}");
}

fn client(ask: &crate::message::Question) -> client::Connection {
    let mut client = client::Connection::new(Limits::default(), Leniency::strict());
    client.start(&ask.head()).unwrap();
    client
}

fn server(leniency: Leniency) -> server::Connection {
    server::Connection::new(Limits::default(), leniency)
}

fn go(server: &mut server::Connection) {
    server.send_continue(&icap_proto::IsTag::new("t").unwrap()).unwrap();
}

proptest! {
    #![proptest_config(crate::cases(500))]

    #[test]
    fn requests(question in question(), places in vec(any::<Index>(), 0..8), cut in any::<Index>()) {
        let parts = question.encode();
        let whole = same(&parts, &places, || server(Leniency::strict()), go);
        prop_assert_eq!(whole.error, None);
        prop_assert!(whole.lines.last().is_some_and(|line| line.starts_with("end")));
        if parts[1].is_empty() {
            prefix(&parts[0], &cut, server(Leniency::strict()), &whole);
        }
    }

    #[test]
    fn answers(answer in answer(), places in vec(any::<Index>(), 0..8), cut in any::<Index>()) {
        let bytes = answer.encode();
        let asked = answer.question();
        let whole = same(std::slice::from_ref(&bytes), &places, || client(&asked), |_| ());
        prop_assert_eq!(whole.error, None);
        prefix(&bytes, &cut, client(&asked), &whole);
    }

    /// Also faults are the same faults at the same place.
    #[test]
    fn damaged_requests(
        question in question(),
        mutations in vec(mutation(), 1..4),
        places in vec(any::<Index>(), 0..8),
        strict in any::<bool>(),
    ) {
        // One part only: where a damaged preview ends nobody knows.
        let leniency = if strict { Leniency::strict() } else { Leniency::default() };
        let bytes = mutate(&question.encode()[0], &mutations);
        same(&[bytes], &places, || Server::with(Limits::default(), leniency).connection, |_| ());
    }

    #[test]
    fn chunked_bodies(body in chunked_body(), places in vec(any::<Index>(), 0..8)) {
        let head = b"RESPMOD icap://s/v ICAP/1.0\r\nHost: s\r\nEncapsulated: res-body=0\r\n\r\n";
        let message = [&head[..], &body].concat();
        let whole = same(&[message], &places, || server(Leniency::strict()), |_| ());
        prop_assert_eq!(whole.error, None);
        prop_assert!(whole.lines.last().is_some_and(|line| line.starts_with("end")));
    }
}
