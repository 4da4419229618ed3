//! Whom a scanner asks: one service, or several that do the same.

use std::pin::pin;

use bytes::Bytes;
use http_body::Body;
use icap_client::{
    BoxError, Client, Error, Failure, Outcome, Reqmod, Respmod, SentTo, ServiceGroup,
};
use icap_proto::{ServiceOptions, ServiceUri};

/// One service or several, for [`Scanner`](super::Scanner): made of a [`Client`] or a [`ServiceGroup`].
#[derive(Debug, Clone)]
pub struct Services(Kind);

#[derive(Debug, Clone)]
enum Kind {
    One(Client),
    Group(ServiceGroup),
}

impl From<Client> for Services {
    fn from(client: Client) -> Self {
        Self(Kind::One(client))
    }
}

impl From<ServiceGroup> for Services {
    fn from(group: ServiceGroup) -> Self {
        Self(Kind::Group(group))
    }
}

impl Services {
    pub(super) async fn options(&self) -> Result<ServiceOptions, Error> {
        match &self.0 {
            Kind::One(client) => client.options().await,
            Kind::Group(group) => group.options().await,
        }
    }

    /// For the message that is to be sent: where that goes has to be noted only if there are several services.
    pub(super) fn note(&self) -> Option<SentTo> {
        match &self.0 {
            Kind::One(_) => None,
            Kind::Group(_) => Some(SentTo::new()),
        }
    }

    /// Where the message with this note went.
    pub(super) fn asked(&self, note: Option<&SentTo>) -> Option<ServiceUri> {
        match &self.0 {
            Kind::One(client) => Some(client.uri().clone()),
            Kind::Group(_) => note?.uri(),
        }
    }

    pub(super) async fn reqmod<B>(&self, message: Reqmod<B>) -> Result<Outcome<B>, Failure<B>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        // A call is large: pinned where it is made, it is not moved on its way to be awaited.
        match &self.0 {
            Kind::One(client) => pin!(client.reqmod(message)).await,
            Kind::Group(group) => pin!(group.reqmod(message)).await,
        }
    }

    pub(super) async fn respmod<B>(&self, message: Respmod<B>) -> Result<Outcome<B>, Failure<B>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        match &self.0 {
            Kind::One(client) => pin!(client.respmod(message)).await,
            Kind::Group(group) => pin!(group.respmod(message)).await,
        }
    }
}
