//! How much one client, one connection and one service may have, and by which path a service is found.

use std::sync::Arc;

use http_body_util::BodyExt;
use icap_server::{Reply, Request, Route, RouteError, Server, Service, ServiceConfig};
use tokio::sync::Notify;

use crate::support::*;

/// Gives back what it read.
fn reading() -> impl Service {
    service(|request: Request| async {
        let (_, body) = request.into_body().await?;
        body.collect().await?;
        Ok(Reply::unmodified())
    })
}

/// Says who it is, and with what query it was asked.
fn named(name: &'static str) -> impl Service {
    service(move |request: Request| async move {
        let query = request.head().uri().query().unwrap_or_default().to_owned();
        Ok(Reply::unmodified().header("X-Name", name)?.header("X-Query", query)?)
    })
}

fn get(uri: &str) -> String {
    reqmod_get("Allow: 204\r\n").replace("icap://s/x", uri)
}

#[tokio::test]
async fn a_service_has_aliases() {
    let route = Route::new("/one", named("one")).alias("/ein").alias("/un");
    let server = Server::new().route(route).unwrap().service("/two", named("two")).unwrap();
    let mut client = connect_to(server);
    for (uri, name, query) in [
        ("icap://s/one", "one", ""),
        ("icap://s/ein?a=/two&b", "one", "a=/two&b"),
        ("icap://s/un?", "one", ""),
        ("icap://s/two?x", "two", "x"),
    ] {
        client.say(get(uri)).await;
        let answer = client.answer().await;
        assert_eq!((answer.field("X-Name"), answer.field("X-Query")), (Some(name), Some(query)));
    }
    client.say(get("icap://s/deux")).await;
    assert_eq!(client.answer().await.status(), 404);
}

#[tokio::test]
async fn one_service_may_have_all_other_paths() {
    let rest = Route::new("/rest", named("rest")).fallback();
    let server = Server::new().service("/one", named("one")).unwrap().route(rest).unwrap();
    let mut client = connect_to(server);
    for (uri, name) in [
        ("icap://s/one", "one"),
        ("icap://s/rest", "rest"),
        ("icap://s/1", "rest"),
        ("icap://s", "rest"),
    ] {
        client.say(get(uri)).await;
        assert_eq!(client.answer().await.field("X-Name"), Some(name), "{uri}");
    }
}

#[test]
fn routes_that_cannot_be_added() {
    let add = |route: Route| {
        let first = Route::new("/one", named("one")).alias("/ein").fallback();
        Server::new().route(first).unwrap().route(route).map(drop)
    };
    let route = |path| Route::new(path, named("two"));
    assert_eq!(add(route("/ein")), Err(RouteError::Duplicate("/ein".into())));
    assert_eq!(add(route("/two").alias("/one")), Err(RouteError::Duplicate("/one".into())));
    assert_eq!(add(route("/two").alias("/two")), Err(RouteError::Duplicate("/two".into())));
    assert_eq!(add(route("/two").alias("two")), Err(RouteError::Path("two".into())));
    assert_eq!(add(route("/two").fallback()), Err(RouteError::Fallback("/two".into())));
    assert_eq!(add(route("/two").alias("/zwei")), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn all_paths_of_a_service_count_together() {
    let gate = Arc::new(Notify::new());
    let wait = Arc::clone(&gate);
    let waiting = service(move |_| {
        let gate = Arc::clone(&wait);
        async move {
            gate.notified().await;
            Ok(Reply::unmodified())
        }
    });
    let config = ServiceConfig::default().concurrency(2);
    let route = Route::new("/x", waiting.with_config(config)).alias("/y");
    let server = Arc::new(Server::new().route(route).unwrap());
    let connect = || connect_through(&server, 64 * 1024);
    let (mut one, mut two, mut three) = (connect(), connect(), connect());
    for _ in 0..2 {
        one.say(get("icap://s/x")).await;
        two.say(get("icap://s/y")).await;
        while server.handle().in_flight() < 2 {
            tokio::task::yield_now().await;
        }
        for path in ["/x", "/y"] {
            three.say(get(&format!("icap://s{path}"))).await;
            let answer = three.answer().await;
            // The whole request was read: there is nothing to close for.
            assert_eq!((answer.status(), answer.head.close()), (503, false));
        }
        three.say("OPTIONS icap://s/x ICAP/1.0\r\nHost: s\r\n\r\n").await;
        assert_eq!(three.answer().await.status(), 200);
        gate.notify_one();
        gate.notify_one();
        assert_eq!(one.answer().await.status(), 204);
        assert_eq!(two.answer().await.status(), 204);
    }
}

#[tokio::test]
async fn a_body_has_a_limit() {
    let config = ServiceConfig::default().max_body(10);
    let server = || Server::new().service("/x", reading().with_config(config.clone())).unwrap();
    for (length, status) in [(10, 204), (11, 413)] {
        let body = vec![b'x'; length];
        let mut client = connect_to(server());
        client.say(respmod("Allow: 204\r\n")).await;
        client.say([chunk(&body[..5]), chunk(&body[5..]), LAST.into()].concat()).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.head.close()), (status, status == 413), "{length}");
        // The preview is part of it.
        let mut client = connect_to(server());
        client.say(respmod("Preview: 4\r\n") + "4\r\nxxxx\r\n0\r\n\r\n").await;
        assert_eq!(client.answer().await.status(), 100);
        client.say([chunk(&body[4..]), LAST.into()].concat()).await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), if status == 204 { 200 } else { 413 }, "{length}");
    }
}

/// What has come counts when it is asked for: how the client cut it must not matter.
#[tokio::test]
async fn a_body_over_the_limit_that_nobody_reads_is_no_error() {
    let config = ServiceConfig::default().max_body(1000);
    let first_piece = service(|request| async {
        let (_, mut body) = request.into_body().await?;
        body.frame().await.expect("a piece")?;
        Ok(Reply::error(icap_proto::StatusCode::FORBIDDEN))
    });
    let nothing = service(|_| async { Ok(Reply::error(icap_proto::StatusCode::FORBIDDEN)) });
    let first_piece = Server::new().service("/x", first_piece.with_config(config.clone())).unwrap();
    let mut client = connect_to(first_piece);
    client
        .say(
            [respmod("Allow: 204\r\n").into_bytes(), chunk([b'x'; 600]).repeat(3), LAST.into()]
                .concat(),
        )
        .await;
    assert_eq!(client.answer().await.status(), 403);

    let nothing = Server::new().service("/x", nothing.with_config(config)).unwrap();
    let mut client = connect_to(nothing);
    let head = respmod("Preview: 4096\r\nAllow: 204\r\n").into_bytes();
    client.say([head, chunk([b'x'; 2000]), LAST.into()].concat()).await;
    assert_eq!(client.answer().await.status(), 403);
}

/// An answer that has begun cannot become 413.
#[tokio::test]
async fn an_echo_over_the_limit_is_cut_off() {
    let config = ServiceConfig::default().max_body(10);
    let pass = service(|_| async { Ok(Reply::unmodified()) });
    let back = service(|request| async {
        let (head, body) = request.into_body().await?;
        Ok(Reply::modified(head.http_response().ok_or("no head")?.clone(), body))
    });
    for server in [
        Server::new().service("/x", pass.with_config(config.clone())).unwrap(),
        Server::new().service("/x", back.with_config(config)).unwrap(),
    ] {
        let mut client = connect_to(server);
        client.say(respmod("") + "a\r\n0123456789\r\n").await;
        assert_eq!(client.head().await.status().as_u16(), 200);
        client.say("1\r\nx\r\n0\r\n\r\n").await;
        assert_eq!(client.body().await.unwrap_err(), "0123456789");
    }
}

#[tokio::test]
async fn a_connection_may_send_so_many_requests() {
    let server = Server::new().service("/x", named("x")).unwrap().max_requests_per_connection(3);
    let mut client = connect_to(server);
    client.say(get("icap://s/x").repeat(4)).await;
    for number in 1..=3 {
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.head.close()), (204, number == 3));
    }
    assert!(client.is_closed().await);
}

/// What nobody counts is not promised; what a service says stands.
#[tokio::test]
async fn options_say_how_many_connections_there_may_be() {
    let own = icap_server::service_fn(options().max_connections(7), |_| async {
        Ok(Reply::unmodified())
    });
    let server = |server: Server, own| {
        server.service("/x", named("x")).unwrap().service("/own", own).unwrap()
    };
    let bound = Server::bind("127.0.0.1:0").await.unwrap();
    let server = server(bound.max_connections(50).max_connections_per_address(20), own);
    let addr = server.local_addr().unwrap();
    let running = tokio::spawn(server.serve());
    let mut client = Client::new(tokio::net::TcpStream::connect(addr).await.unwrap());
    for (path, connections) in [("/x", "20"), ("/own", "7")] {
        client.say(format!("OPTIONS icap://s{path} ICAP/1.0\r\nHost: s\r\n\r\n")).await;
        assert_eq!(client.answer().await.field("Max-Connections"), Some(connections));
    }
    running.abort();
    let mut client = connect_to(Server::new().service("/x", named("x")).unwrap());
    client.say("OPTIONS icap://s/x ICAP/1.0\r\nHost: s\r\n\r\n").await;
    assert_eq!(client.answer().await.field("Max-Connections"), None);
}
