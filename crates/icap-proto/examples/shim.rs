//! The conformance shim: lets an outside suite drive `icap-proto` with any messages.
//!
//! One JSON object a line comes in on stdin, one goes out on stdout for each, in the same order, until stdin ends.
//! Nothing is kept from one line to the next. Everything runs with `Leniency::strict` and the limits as shipped.
//!
//! ```text
//! {"id": 1, "kind": "chunked", "preview": true, "splits": [3], "input": "NQ0KaGVsbG8NCjA7IGllb2YNCg0K"}
//! {"consumed": 21, "id": 1, "ieof": true, "len": 5, "result": "ok", "sha256": "2cf2…", "trailers": []}
//! ```
//!
//! # Input
//!
//! `id`; `kind`; `splits`, the byte positions at which the input is cut before it is fed piece by piece; and
//!
//! | kind | further keys |
//! | --- | --- |
//! | `chunked` | `input` (base64): a chunked body and what follows it; `preview`: it is the preview of a request |
//! | `head` | `input`; `side`: `request` or `response`; for a response `method`, that of its request |
//! | `transaction` | `role`: `server` or `client`; `steps`: a list of `{"recv": base64}` and `{"act": word}`; for a client `context` |
//!
//! `context` is what we asked: `method`, `preview` (number or null), `ieof`, `allow` (list), `body`.
//!
//! # Output
//!
//! `id`; `result`: `ok`, `reject` or `incomplete`; and the values as far as the result has them. A server's `reject`
//! has the `status` that [`icap_proto::Error::status_hint`] gives.
//!
//! # Where the contract leaves a choice
//!
//! * A line that is no JSON, lacks a key or has one of the wrong type is answered `reject` with a key `error` that
//!   says why; its `id` is null where it cannot be read. An empty line is such a line. Positions in `splits` that are
//!   out of order, double, or outside the input are no cuts. `splits`, `preview`, `ieof` and `allow` may be null or
//!   left out, `allow` may be one text, `"204, 206"`, and further keys are passed over.
//! * Heads: a fault is told as soon as it stands in the bytes, though the head has not ended. Connections, and with
//!   them `transaction`, wait for the end of a head or for a limit first. A folded value is given unfolded. `allow`
//!   lists what the library takes note of, `204`, `206` and `trailers` in this order.
//! * Chunked: `ieof` is a fault where `preview` is false. `use-original-body` is an extension like any other there,
//!   since only a status can say whether it counts.
//! * A message is listed once its head is whole, with its embedded heads. What tells of a whole body, `body` and
//!   `trailers`, is left out while the body is not whole; so are `preview_len` and `ieof` before the preview has
//!   ended, and behind a `Preview` in a message without body, which has no preview to speak of. Without a preview
//!   `preview_len` is null and `ieof` is false. `trailers` are those of the body; where an ICAP trailer came, which is
//!   another thing, the key is left out.
//! * Server: a request that is whole is answered at once, so that the next can be read: 204 where it is permitted,
//!   else 200; 501 to a method that RFC 3507 does not know, which is no fault. `final` at the end of a preview ends
//!   the request. In the middle of a preview or body it is an early answer, which ends with the request. An act that
//!   nothing waits for does nothing. A preview that nobody has answered at the end of the steps is `incomplete`.
//! * Client: the request is sent as far as it goes before the first step; `continue` sends its rest. `final` means
//!   nothing. A body is only asked for with REQMOD and RESPMOD.
//! * Bytes behind the last message are a `reject` without `status`: on a client behind the final answer, on a server
//!   behind a request that asked to close.

#[path = "shim/run.rs"]
mod run;

use std::io::{self, BufRead, Write};

fn main() -> io::Result<()> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        let mut answer = run::written(&run::answer(&line));
        answer.push('\n');
        output.write_all(answer.as_bytes())?;
        // Whoever drives the shim may wait for this answer before the next line.
        output.flush()?;
        line.clear();
    }
    Ok(())
}
