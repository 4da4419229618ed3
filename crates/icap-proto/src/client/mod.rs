//! The client's side of the dialogue.
//!
//! A request goes out and its answer comes in, at the same time: a server may answer finally before it has read
//! the whole request (erratum e7), so reading starts before writing ends.
//!
//! ```text
//!  request   start ─► preview ─► awaiting continue ─► streaming ─► ICAP trailer ─► done
//!                        │                 │  final answer   ▲         ▲             ▲
//!                        │                 └─────────────────┼─────────┼─────────────┘
//!                        └─ `0; ieof` ───────────────────────┼─────────┘
//!              without a preview ────────────────────────────┘
//!
//!  answer    head ─► [100: head again] ─► body ─► ICAP trailer ─► done
//! ```
//!
//! A whole exchange, a preview of four bytes that the server wants to see the rest of:
//!
//! ```
//! use bytes::{Buf, Bytes};
//! use icap_proto::client::{Connection, Event, SendState};
//! use icap_proto::{Headers, HttpHead, Leniency, Limits, RequestHead, StatusCode};
//!
//! let mut connection = Connection::new(Limits::default(), Leniency::default());
//! let page = HttpHead::response(200, "OK", [("Content-Length", "5")])?;
//! let head = RequestHead::respmod("icap://s/v".parse()?)
//!     .http_response(page)
//!     .body(true)
//!     .preview(4)
//!     .build()?;
//!
//! let mut body = Bytes::from_static(b"hello");
//! connection.start(&head)?;
//! connection.send_data(&mut body)?; // takes four bytes; the fifth shows that the preview is not all
//! assert_eq!(body, "o");
//! assert_eq!(connection.send_state(), SendState::AwaitingContinue);
//! let output = connection.output();
//! let sent = output.copy_to_bytes(output.remaining());
//! assert!(sent.ends_with(b"Preview: 4\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n4\r\nhell\r\n0\r\n\r\n"));
//!
//! connection.feed(b"ICAP/1.0 100 Continue\r\n\r\n");
//! assert!(matches!(connection.poll_event()?, Some(Event::Continue)));
//! connection.send_data(&mut body)?;
//! connection.finish(&Headers::new())?;
//! let output = connection.output();
//! assert_eq!(output.copy_to_bytes(output.remaining()), "1\r\no\r\n0\r\n\r\n");
//!
//! connection.feed(b"ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
//! connection.feed(b"2\r\nhi\r\n0\r\n\r\n");
//! let Some(Event::Response(answer)) = connection.poll_event()? else { panic!() };
//! assert_eq!(answer.status(), StatusCode::OK);
//! let Some(Event::Data(data)) = connection.poll_event()? else { panic!() };
//! assert_eq!(data, "hi");
//! assert!(matches!(connection.poll_event()?, Some(Event::End { .. })));
//! assert_eq!(connection.reusable(), Ok(()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod connection;
mod state;

use alloc::boxed::Box;

use bytes::Bytes;

pub use self::connection::Connection;
use crate::headers::Headers;
use crate::response::ResponseHead;

/// What a server said.
///
/// The order is: at most one [`Continue`](Event::Continue), then [`Response`](Event::Response), then
/// [`Data`](Event::Data) as often as there is body, then one [`End`](Event::End).
#[derive(Debug)]
#[non_exhaustive]
// A tag of a whole word: behind one of a byte the compiler moves the rest from odd addresses, which is slow.
#[repr(usize)]
pub enum Event {
    /// 100 Continue: the rest of the body is wanted.
    Continue,
    /// The head of the final answer.
    Response(Box<ResponseHead>),
    /// Body data, never empty.
    Data(Bytes),
    /// The answer is whole.
    #[non_exhaustive]
    End {
        /// HTTP trailers of the adapted message (erratum e2).
        trailers: Headers,
        /// The ICAP trailer, empty when none was promised.
        icap_trailer: Headers,
        /// A 206 goes on with the original body from this byte
        /// (draft-icap-ext-partial-content section 5.2). Whether the original is that long is for the caller
        /// to check.
        use_original_body: Option<u64>,
    },
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendState {
    /// No request was started.
    Idle,
    /// The preview is being sent.
    #[non_exhaustive]
    Preview {
        /// Bytes that fit into it.
        remaining: u64,
    },
    /// The preview has ended; the server decides.
    AwaitingContinue,
    /// The body, or its rest behind the preview, is being sent.
    Streaming,
    /// The request is over.
    Done,
    /// The request was given up.
    Abandoned,
}
