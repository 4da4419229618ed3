//! Peers that are killed, reset the connection or close their side, at every place of a request.
//!
//! A process that is killed closes its sockets: the system says FIN, and RST where something was not read. That is
//! what dropping a socket does, so no process is needed for it.

use crate::peer::{LAST, Peer, answers, chunk, head, request};
use crate::server::Server;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Killed,
    Reset,
    HalfClosed,
}

const ENDINGS: [Ending; 3] = [Ending::Killed, Ending::Reset, Ending::HalfClosed];

impl Ending {
    /// Ends it; what came back, where somebody is left to read it.
    fn end(self, mut peer: Peer) -> Option<Vec<u8>> {
        match self {
            Self::Killed => drop(peer),
            Self::Reset => peer.reset(),
            Self::HalfClosed => {
                peer.half_close();
                return Some(peer.read_to_end());
            }
        }
        None
    }
}

/// A request up to where it is cut.
struct Cut {
    place: &'static str,
    first: Vec<u8>,
    /// What is sent after 100 Continue.
    then: Option<Vec<u8>>,
    is_whole: bool,
}

fn cuts() -> Vec<Cut> {
    let plain = head("");
    let preview = [&head("Preview: 4\r\n")[..], &chunk(b"abcd"), LAST].concat();
    let at =
        |place, first: &[&[u8]]| Cut { place, first: first.concat(), then: None, is_whole: false };
    let after = |place, then: &[&[u8]]| Cut {
        place,
        first: preview.clone(),
        then: Some(then.concat()),
        is_whole: false,
    };
    let whole = |cut: Cut| Cut { is_whole: true, ..cut };
    vec![
        at("before the request", &[]),
        at("in the start line", &[&plain[..10]]),
        at("in the ICAP head", &[&plain[..40]]),
        at("in the HTTP head", &[&plain[..plain.len() - 9]]),
        at("behind the heads", &[&plain]),
        at("in a chunk line", &[&plain, b"10"]),
        at("in a chunk", &[&plain, b"10\r\nabc"]),
        at("behind a chunk", &[&plain, b"3\r\nabc"]),
        at("between chunks", &[&plain, &chunk(b"abc")]),
        at("in the last chunk", &[&plain, &chunk(b"abc"), b"0\r\n"]),
        at("in a trailer", &[&plain, &chunk(b"abc"), b"0\r\nX: y"]),
        at("in the preview", &[&preview[..preview.len() - LAST.len() - 4]]),
        at("behind the preview", &[&preview]),
        after("after 100 Continue", &[]),
        after("in a chunk line after 100 Continue", &[b"1"]),
        after("in a chunk after 100 Continue", &[b"10\r\nabc"]),
        after("in the last chunk after 100 Continue", &[&chunk(b"abc"), b"0\r\n"]),
        whole(at("behind the request", &[&plain, &chunk(b"abc"), LAST])),
        whole(after("behind the request with a preview", &[&chunk(b"efg"), LAST])),
    ]
}

#[test]
#[ignore = "run by ci/faults.sh"]
fn at_every_place() {
    let mut server = Server::start(5, &[]);
    let mut peers = Vec::new();
    for cut in cuts() {
        for ending in ENDINGS {
            for _ in 0..5 {
                let mut peer = server.connect();
                peer.say(&cut.first).unwrap();
                if let Some(then) = &cut.then {
                    assert!(peer.read_head().starts_with(b"ICAP/1.0 100 "), "{}", cut.place);
                    peer.say(then).unwrap();
                }
                let (case, addr) = (format!("{ending:?} {}", cut.place), peer.addr());
                if let Some(back) = ending.end(peer) {
                    let whole = answers(&back).iter().filter(|answer| answer.is_whole()).count();
                    assert_eq!(whole, usize::from(cut.is_whole), "{case}");
                }
                peers.push((case, addr, cut.is_whole, ending));
            }
        }
    }
    let transactions = server.settle();
    for (case, addr, is_whole, ending) in peers {
        let whole = transactions.whole(addr);
        // The server may not have come to the request before it heard of the reset.
        assert!(whole <= usize::from(is_whole), "{case} was reported as whole");
        assert!(whole == 1 || !is_whole || ending != Ending::HalfClosed, "{case} was not reported");
    }
}

/// Three requests at once, cut behind any byte: what was asked whole is answered, and nothing else.
#[test]
#[ignore = "run by ci/faults.sh"]
fn behind_any_byte() {
    let preview = [&head("Preview: 9\r\n")[..], &chunk(b"abcd"), b"0; ieof\r\n\r\n"].concat();
    let requests = [request("", &[b'a'; 3000]), preview, request("Allow: 204\r\n", b"xyz")];
    let wire = requests.concat();
    let mut server = Server::start(5, &[]);
    let mut peers = Vec::new();
    for number in 0..3000 {
        // Every place of the wire sooner or later: the step and the length have no common factor.
        let cut = number * 7919 % (wire.len() + 1);
        let mut asked = requests.len();
        while requests[..asked].concat().len() > cut {
            asked -= 1;
        }
        let ending = ENDINGS[number % ENDINGS.len()];
        let mut peer = server.connect();
        let addr = peer.addr();
        peer.say(&wire[..cut]).unwrap();
        if let Some(back) = ending.end(peer) {
            let whole = answers(&back).iter().filter(|answer| answer.is_whole()).count();
            assert_eq!(whole, asked, "cut behind {cut} of {} bytes", wire.len());
        }
        peers.push((ending, addr, asked, cut));
    }
    let transactions = server.settle();
    for (ending, addr, asked, cut) in peers {
        let whole = transactions.whole(addr);
        let is_right = whole == asked || (whole < asked && ending != Ending::HalfClosed);
        assert!(is_right, "{ending:?} behind {cut} bytes: {whole} of {asked} reported as whole");
    }
}
