//! Whom a scanner asks: one service, or several that do the same.

use bytes::Bytes;
use http_body::Body;
use icap_client::{BoxError, Client, Error, Failure, Outcome, Reqmod, Respmod, ServiceGroup};
use icap_proto::ServiceOptions;

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

    pub(super) async fn reqmod<B>(&self, message: Reqmod<B>) -> Result<Outcome<B>, Failure<B>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        match &self.0 {
            Kind::One(client) => client.reqmod(message).await,
            Kind::Group(group) => group.reqmod(message).await,
        }
    }

    pub(super) async fn respmod<B>(&self, message: Respmod<B>) -> Result<Outcome<B>, Failure<B>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        match &self.0 {
            Kind::One(client) => client.respmod(message).await,
            Kind::Group(group) => group.respmod(message).await,
        }
    }
}
