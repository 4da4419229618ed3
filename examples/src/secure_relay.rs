//! The program `secure-relay`, which takes ICAP over TLS and hands it to servers on the own network, and its core for
//! programs that have a relay inside.
//!
//! A connection comes in by the `door` and goes on in a `dialogue`, each message to the server that is best for it, or
//! in a `tunnel`, unread. A `relay` is that for one connection of the configuration, the `service` all of them.
//!
//! ```no_run
//! use icap_examples::secure_relay::{Config, Service};
//!
//! # async fn example() -> anyhow::Result<()> {
//! let config = Config::from_toml(
//!     "[[connection]]\n\
//!      identity = 'relay.pem'\n\
//!      client-ca = 'cloud.pem'\n\
//!      upstream = ['icap://10.0.0.5:1344']",
//! )?;
//! let mut service = Service::new();
//! service.apply(config).await?;
//! # Ok(())
//! # }
//! ```

mod admin;
mod allow;
mod args;
mod back;
mod buffer;
mod check;
mod config;
mod counters;
mod dialogue;
mod door;
mod facts;
mod forward;
mod front;
mod identity;
mod import;
mod log;
mod new_identity;
mod places;
mod program;
mod proxy;
mod relay;
mod routes;
mod service;
mod side;
mod systemd;
mod transaction;
mod tunnel;
mod upstream;

pub use self::config::Config;
pub use self::new_identity::new_identity;
pub use self::program::main;
pub use self::service::Service;
