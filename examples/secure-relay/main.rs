//! Takes ICAP over TLS and hands it to servers on the own network.
//!
//! ```text
//! secure-relay new-identity relay.pem
//! secure-relay --identity relay.pem --client-ca cloud.pem --upstream icap://10.0.0.5:1344
//! ```
//!
//! `docs/secure-relay.md` has the whole story. The code is in the library of this package, `src/secure_relay`, for the
//! demonstration has a relay inside. Exit code: 0 when it was stopped as asked or nothing is wrong, 1 when something
//! failed or `check` found something wrong, 2 when flags or configuration are wrong.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    icap_examples::secure_relay::main().await
}
