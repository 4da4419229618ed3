#![doc = include_str!("../../../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "client")]
pub use icap_client as client;
pub use icap_proto as proto;
#[cfg(feature = "server")]
pub use icap_server as server;
#[cfg(feature = "verdict")]
pub use icap_verdict as verdict;

#[cfg(feature = "scanner")]
pub mod scanner;

#[cfg(feature = "client")]
pub use icap_client::{Client, Outcome, Reqmod, Respmod, ServiceGroup};
pub use icap_proto::{HttpHead, IsTag, ServiceOptions, ServiceUri};
#[cfg(feature = "server")]
pub use icap_server::{Reply, Request, Server, Service, ServiceConfig};
#[cfg(feature = "scanner")]
pub use scanner::Scanner;

#[cfg(all(doctest, feature = "server"))]
#[doc = include_str!("../../../docs/writing-a-service.md")]
struct WritingAService;
