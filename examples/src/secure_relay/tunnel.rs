//! Bytes through, both ways, unread. What is written is not taken from the one side before the other has room.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::side::Side;

/// How long an answered connection has to be quiet before a relay that stops closes it.
const QUIET: Duration = Duration::from_secs(1);

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Client,
    Upstream,
}

/// How a tunnel ended.
#[derive(Debug)]
pub(crate) enum End {
    /// Both ended as they should; this one was first.
    Closed(Who),
    /// Nothing moved for too long.
    Idle,
    /// The upstream server ended its side, and the client did not end its own in time.
    Lingered,
    /// Reading from or writing to this one failed.
    Failed(Who, io::Error),
    /// The relay stops.
    Stopped,
}

impl End {
    /// One word for a label.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Closed(_) => "closed",
            Self::Idle => "idle",
            Self::Lingered => "lingered",
            Self::Failed(Who::Client, _) => "client-failed",
            Self::Failed(Who::Upstream, _) => "upstream-failed",
            Self::Stopped => "stopped",
        }
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed(Who::Client) => write!(f, "closed by the client"),
            Self::Closed(Who::Upstream) => write!(f, "closed by the upstream server"),
            Self::Idle => write!(f, "idle timeout"),
            Self::Lingered => write!(f, "closed by the upstream server, not by the client"),
            Self::Failed(Who::Client, error) => write!(f, "client: {error}"),
            Self::Failed(Who::Upstream, error) => write!(f, "upstream server: {error}"),
            Self::Stopped => write!(f, "the relay stops"),
        }
    }
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Without a byte either way.
    pub(crate) idle: Duration,
    /// For the client to end, once the upstream server has.
    pub(crate) close: Duration,
}

/// Bytes that went through.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Moved {
    /// From the client.
    pub(crate) up: u64,
    /// To the client.
    pub(crate) down: u64,
}

/// Moves bytes until both sides have ended. The end of one side (FIN, close_notify) becomes the end of the other;
/// the answer to a request whose sender has said all still arrives.
///
/// A side that breaks off, which is also TLS without close_notify, never looks to the other like one that ended: an
/// upstream server gets a reset, a TLS client no close_notify.
///
/// `counters` are those of the bytes from the client and to it.
pub(crate) async fn run(
    mut client: Side,
    mut upstream: Side,
    patience: Patience,
    counters: [metrics::Counter; 2],
    stopping: watch::Receiver<bool>,
) -> (Moved, End) {
    let mut tunnel = Tunnel::new(patience, counters);
    let end = tunnel.run(&mut client, &mut upstream, stopping).await;
    match &end {
        End::Closed(_) | End::Lingered => {}
        End::Failed(Who::Upstream, _) => {
            let _ = tokio::time::timeout(patience.close, client.writer().flush()).await;
        }
        End::Failed(Who::Client, _) => upstream.cut(),
        End::Idle => {
            upstream.cut();
            if !tunnel.down.rests {
                client.cut();
            }
        }
        End::Stopped => {
            let ending = async {
                let _ = client.writer().shutdown().await;
                let _ = upstream.writer().shutdown().await;
            };
            let _ = tokio::time::timeout(patience.close, ending).await;
        }
    }
    (Moved { up: tunnel.up.moved, down: tunnel.down.moved }, end)
}

struct Tunnel {
    up: Way,
    down: Way,
    patience: Patience,
    first: Who,
    /// When a byte last moved, and from whom.
    last: (Instant, Who),
    stops: bool,
}

impl Tunnel {
    fn new(patience: Patience, [up, down]: [metrics::Counter; 2]) -> Self {
        let last = (Instant::now(), Who::Upstream);
        let up = Way { outlives_writes: true, ..Way::new(up) };
        let down = Way::new(down);
        Self { up, down, patience, first: Who::Client, last, stops: false }
    }

    async fn run(
        &mut self,
        client: &mut Side,
        upstream: &mut Side,
        mut stopping: watch::Receiver<bool>,
    ) -> End {
        let mut stop = pin!(async move { stopping.wait_for(|stops| *stops).await.is_ok() });
        let mut sleep = pin!(tokio::time::sleep_until(self.deadline().0));
        std::future::poll_fn(|cx| {
            if !self.stops && stop.as_mut().poll(cx).is_ready() {
                self.stops = true;
            }
            let now = Instant::now();
            match self.poll_ways(client, upstream, now, cx) {
                Poll::Ready(end) => Poll::Ready(end),
                Poll::Pending => self.poll_time(sleep.as_mut(), now, cx),
            }
        })
        .await
    }

    fn poll_ways(
        &mut self,
        client: &mut Side,
        upstream: &mut Side,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<End> {
        let before = (self.up.moved, self.down.moved, self.down.rests);
        if let Poll::Ready(Err((reading, error))) = self.up.poll(client, upstream, cx) {
            let who = if reading { Who::Client } else { Who::Upstream };
            return Poll::Ready(End::Failed(who, error));
        }
        if self.up.has_ended() && !self.down.has_ended() {
            self.first = Who::Client;
        }
        if let Poll::Ready(Err((reading, error))) = self.down.poll(upstream, client, cx) {
            let who = if reading { Who::Upstream } else { Who::Client };
            return Poll::Ready(End::Failed(who, error));
        }
        if self.down.has_ended() && !self.up.has_ended() {
            self.first = Who::Upstream;
        }
        if self.down.moved != before.1 {
            self.last = (now, Who::Upstream);
        } else if self.up.moved != before.0 {
            self.last = (now, Who::Client);
        } else if self.down.rests && !before.2 {
            // The upstream server could not go on before; its quiet begins now.
            self.last.0 = now;
        }
        if self.up.has_ended() && self.down.has_ended() {
            return Poll::Ready(End::Closed(self.first));
        }
        Poll::Pending
    }

    fn poll_time(
        &self,
        mut sleep: Pin<&mut Sleep>,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<End> {
        let (deadline, end) = self.deadline();
        if deadline <= now {
            return Poll::Ready(end);
        }
        // The timer is moved when it fires or has become too late, not for each byte.
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            // Not by `now`: it may have passed since.
            if deadline <= Instant::now() {
                return Poll::Ready(end);
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    /// When it is over if nothing moves, and why.
    fn deadline(&self) -> (Instant, End) {
        let (last, from) = self.last;
        let after = |time: Duration| last.checked_add(time).unwrap_or(last);
        // An end while bytes are held would be that of a whole answer to who gets a part of it.
        if self.stops && from == Who::Upstream && self.up.rests && self.down.rests {
            return (after(QUIET.min(self.patience.idle)), End::Stopped);
        }
        if self.down.has_ended() {
            return (after(self.patience.close), End::Lingered);
        }
        (after(self.patience.idle), End::Idle)
    }
}

/// One direction.
struct Way {
    state: State,
    unflushed: bool,
    /// Nothing is held for who is written to: all that was read has been sent.
    rests: bool,
    moved: u64,
    counter: metrics::Counter,
    /// A server may answer early and close: what it does not take any more is dropped, its answer still arrives.
    outlives_writes: bool,
    drops: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Open,
    Ending,
    Ended,
}

impl Way {
    fn new(counter: metrics::Counter) -> Self {
        Self {
            state: State::Open,
            unflushed: false,
            rests: true,
            moved: 0,
            counter,
            outlives_writes: false,
            drops: false,
        }
    }

    fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Ready when it has ended. An error has whether it came from reading.
    fn poll(
        &mut self,
        from: &mut Side,
        to: &mut Side,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), (bool, io::Error)>> {
        self.rests = false;
        loop {
            match self.state {
                // More would only lie here, too.
                State::Open if to.is_full() && !self.drops => {
                    ready!(self.poll_flush(to, cx))?;
                }
                State::Open => match from.poll_fill(cx) {
                    Poll::Ready(Ok([])) => self.state = State::Ending,
                    Poll::Ready(Ok(bytes)) if self.drops => {
                        let dropped = bytes.len();
                        from.consume(dropped);
                    }
                    Poll::Ready(Ok(bytes)) => {
                        let written = ready!(Pin::new(to.writer()).poll_write(cx, bytes));
                        let written = self.written(written)?;
                        from.consume(written);
                        let bytes = u64::try_from(written).unwrap_or(0);
                        self.moved = self.moved.saturating_add(bytes);
                        self.counter.increment(bytes);
                        self.unflushed = true;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err((true, error))),
                    Poll::Pending => {
                        if self.unflushed {
                            ready!(self.poll_flush(to, cx))?;
                        }
                        self.rests = true;
                        return Poll::Pending;
                    }
                },
                State::Ending => {
                    match ready!(Pin::new(to.writer()).poll_shutdown(cx)) {
                        // The other side is gone already: that is an end, too.
                        Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
                        done => {
                            self.written(done.map(|()| 1))?;
                        }
                    }
                    self.state = State::Ended;
                }
                State::Ended => {
                    self.rests = true;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    fn poll_flush(
        &mut self,
        to: &mut Side,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), (bool, io::Error)>> {
        let flushed = ready!(Pin::new(to.writer()).poll_flush(cx));
        self.unflushed = false;
        Poll::Ready(self.written(flushed.map(|()| 1)).map(drop))
    }

    fn written(&mut self, result: io::Result<usize>) -> Result<usize, (bool, io::Error)> {
        match result {
            Ok(0) => Err((false, io::ErrorKind::WriteZero.into())),
            Ok(written) => Ok(written),
            Err(_) if self.outlives_writes => {
                self.drops = true;
                Ok(0)
            }
            Err(error) => Err((false, error)),
        }
    }
}
