//! The server's side of the dialogue.
//!
//! ```text
//!  request   head ─► preview ─► decide ─► body ─► ICAP trailer ─► done
//!                │      │ ieof    │ 100     ▲                       ▲
//!                │      └─────────┼─────────┼───────────────────────┤
//!                │                └─ final answer ──────────────────┤
//!                └─ without a preview ─────►┘   without a body ─────┘
//!
//!  answer    nothing ─► [100] ─► head ─► body ─► ICAP trailer ─► done      (then the next request)
//! ```
//!
//! A whole exchange, answered from the preview:
//!
//! ```
//! use bytes::Buf;
//! use icap_proto::server::{Connection, Event};
//! use icap_proto::{IsTag, Leniency, Limits, ResponseHead, StatusCode};
//!
//! let mut connection = Connection::new(Limits::default(), Leniency::default());
//! connection.feed(
//!     b"RESPMOD icap://s/v ICAP/1.0\r\nHost: s\r\nPreview: 4\r\n\
//!       Encapsulated: res-hdr=0, res-body=38\r\n\r\n\
//!       HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n4\r\nhell\r\n0\r\n\r\n",
//! );
//! let Some(Event::Request(head)) = connection.poll_event()? else { panic!() };
//! assert_eq!(head.uri().path(), "/v");
//! let Some(Event::Data(data)) = connection.poll_event()? else { panic!() };
//! assert_eq!(data, "hell");
//! assert!(matches!(connection.poll_event()?, Some(Event::PreviewEnd { complete: false, .. })));
//!
//! let answer = ResponseHead::builder(StatusCode::NO_CONTENT).istag(&IsTag::new("t1")?).build()?;
//! connection.respond(answer)?;
//! let output = connection.output();
//! assert_eq!(output.copy_to_bytes(output.remaining()), "ICAP/1.0 204 No Content\r\nISTag: \"t1\"\r\n\r\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod connection;
mod state;

use alloc::boxed::Box;

use bytes::Bytes;

pub use self::connection::Connection;
use crate::headers::Headers;
use crate::request::RequestHead;

/// What a client said.
///
/// The order is: [`Request`](Event::Request), [`Data`](Event::Data) as often as there is body with one
/// [`PreviewEnd`](Event::PreviewEnd) where a preview ends, then one [`End`](Event::End).
///
/// A request that is answered finally from its preview ends there: after a `PreviewEnd` that is not `complete` no
/// `End` comes unless 100 Continue was sent. Once an answer is complete nothing more of its request is told,
/// neither data nor end; the next event is the next [`Request`](Event::Request).
#[derive(Debug)]
#[non_exhaustive]
// A tag of a whole word: behind one of a byte the compiler moves the rest from odd addresses, which is slow.
#[repr(usize)]
pub enum Event {
    /// The head of a request.
    Request(Box<RequestHead>),
    /// Body data, never empty.
    Data(Bytes),
    /// The preview is over.
    #[non_exhaustive]
    PreviewEnd {
        /// It was the whole body (`ieof`): [`End`](Event::End) follows. Otherwise the rest comes only after
        /// [`send_continue`](Connection::send_continue).
        complete: bool,
    },
    /// The request is whole.
    #[non_exhaustive]
    End {
        /// HTTP trailers of the body (erratum e2).
        trailers: Headers,
        /// The ICAP trailer, empty when none was promised.
        icap_trailer: Headers,
    },
}
