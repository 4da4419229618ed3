//! Mode `icap` on the clients' connections: the server that reads what they say.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;

use super::config::Connection;
use super::door::Entered;
use super::forward::Forward;
use super::relay::States;
use super::routes::Routes;

/// One service at all paths, which sends on what it gets.
pub(crate) struct Dialogue {
    server: Arc<icap::Server>,
    pub(crate) routes: Arc<Routes>,
    /// Where transactions look for the routes; another configuration may have put others there.
    current: Arc<ArcSwap<Routes>>,
}

impl Dialogue {
    pub(crate) fn new(settings: &Connection, states: &mut States) -> anyhow::Result<Self> {
        let routes = Arc::new(Routes::new(settings)?);
        let current = states.routes.entry(settings.name.clone());
        let current = current.or_insert_with(|| Arc::new(ArcSwap::new(Arc::clone(&routes))));
        let mut timeouts = icap::server::Timeouts::default();
        timeouts.idle = settings.idle_timeout();
        timeouts.body = settings.idle_timeout();
        timeouts.write = settings.idle_timeout();
        let forward = Forward::new(Arc::clone(current))?;
        let server = icap::Server::new()
            .timeouts(timeouts)
            .route(icap::server::Route::new("/", forward).fallback())?;
        Ok(Self { server: Arc::new(server), routes, current: Arc::clone(current) })
    }

    pub(crate) fn server(&self) -> Arc<icap::Server> {
        Arc::clone(&self.server)
    }

    /// Sends transactions from now on to these routes, on connections that are open, too.
    pub(crate) fn put_in_force(&self, dialogues: &mut Dialogues) {
        dialogues.add(&self.server);
        self.current.store(Arc::clone(&self.routes));
    }
}

/// The servers of all dialogues that were put in force. They stop when this is dropped.
#[derive(Default)]
pub(crate) struct Dialogues(Vec<Weak<icap::Server>>);

impl Dialogues {
    fn add(&mut self, server: &Arc<icap::Server>) {
        // Those of older configurations go when the last of their connections has.
        self.0.retain(|server| server.strong_count() > 0);
        self.0.push(Arc::downgrade(server));
    }
}

impl Drop for Dialogues {
    fn drop(&mut self) {
        for server in self.0.iter().filter_map(Weak::upgrade) {
            server.handle().stop();
        }
    }
}

/// Answers the requests of a client until it or the relay has enough.
pub(crate) async fn speak(server: &icap::Server, client: Entered, source: SocketAddr) {
    match client {
        Entered::Plain(stream) => server.serve_connection(stream, Some(source)).await,
        Entered::Tls(stream) => server.serve_connection(stream, Some(source)).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_in_the_list_as_long_as_somebody_holds_it() {
        let mut dialogues = Dialogues::default();
        let [one, two, three] = [(); 3].map(|()| Arc::new(icap::Server::new()));
        dialogues.add(&one);
        dialogues.add(&two);
        drop(one);
        dialogues.add(&three);
        let listed: Vec<_> = dialogues.0.iter().map(Weak::as_ptr).collect();
        assert_eq!(listed, [Arc::as_ptr(&two), Arc::as_ptr(&three)]);
    }
}
