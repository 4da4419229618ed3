//! Services of tower.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use icap_server::{Reply, Request, Server, from_tower};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::support::*;

/// Ready while there is a permit, as a concurrency limit of tower is.
struct Limited {
    permits: Arc<Semaphore>,
    waiting: Option<BoxFuture<'static, Option<OwnedSemaphorePermit>>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Limited {
    fn new(permits: &Arc<Semaphore>) -> Self {
        Self { permits: Arc::clone(permits), waiting: None, permit: None }
    }
}

/// What a clone had reserved is not the other's.
impl Clone for Limited {
    fn clone(&self) -> Self {
        Self::new(&self.permits)
    }
}

impl tower_service::Service<Request> for Limited {
    type Response = Reply;
    type Error = &'static str;
    type Future = BoxFuture<'static, Result<Reply, &'static str>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        let permits = Arc::clone(&self.permits);
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(async { permits.acquire_owned().await.ok() }));
        Pin::new(waiting).poll(cx).map(|permit| {
            self.waiting = None;
            self.permit = permit;
            if self.permit.is_some() { Ok(()) } else { Err("closed") }
        })
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let permit = self.permit.take().expect("called when ready");
        Box::pin(async move {
            let (_, preview) = request.preview().await.map_err(|_| "broken")?;
            permit.forget();
            if preview.bytes() == "fail" { Err("failed") } else { Ok(Reply::unmodified()) }
        })
    }
}

#[tokio::test]
async fn a_request_waits_until_the_service_is_ready() {
    let permits = Arc::new(Semaphore::new(1));
    let service = from_tower(options(), Limited::new(&permits));
    let mut client = connect_to(Server::new().service("/x", service).unwrap());
    let request = respmod("Preview: 4\r\n") + "4\r\npass\r\n" + LAST;
    client.say(&request).await;
    assert_eq!(client.answer().await.status(), 204);
    client.say(&request).await;
    assert!(client.is_silent().await);
    permits.add_permits(2);
    assert_eq!(client.answer().await.status(), 204);
    client.say(request.replace("pass", "fail")).await;
    assert_eq!(client.answer().await.status(), 500);
    permits.close();
    client.say(&request).await;
    assert_eq!(client.answer().await.status(), 500);
}
