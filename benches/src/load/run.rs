//! The threads and connections of a run.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cpu_time::ProcessTime;
use icap_proto::StatusCode;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::link::{Answer, Expected, Fault, Link};
use super::message::Message;
use super::pace::{Bound, Pace, Ticket};
use super::report::{Latency, Load, Report, Seen};
use super::tally::Tally;

/// After a connection could not be opened: a server that is gone is not asked a hundred thousand times.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// Bodies of different requests begin at places this far apart in the pattern: an answer to another request is a
/// difference.
const STRIDE: u64 = 7_919;

/// What is asked, and what the answer has to be.
#[derive(Debug)]
#[allow(clippy::exhaustive_structs, reason = "the program fills it")]
pub struct Target {
    /// Where the server is.
    pub address: SocketAddr,
    /// What it is sent.
    pub message: Message,
    /// The one status that is good; none for 200 and 204.
    pub status: Option<StatusCode>,
    /// A 200 has to bring the HTTP head back byte for byte, and not just its first line.
    pub same_head: bool,
    /// How long one request may take.
    pub timeout: Duration,
    /// Answers to requests of the beginning are checked but not measured.
    pub warm_up: Duration,
}

/// A run that has been started.
#[derive(Debug)]
#[must_use = "a run is over when it was waited for"]
pub struct Run {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<Instant>>,
    connections: usize,
    cpu: ProcessTime,
}

#[derive(Debug)]
struct Shared {
    target: Target,
    pace: Pace,
    /// One for each thread.
    tallies: Vec<Mutex<Tally>>,
}

impl Run {
    /// Starts so many threads with so many connections among them.
    ///
    /// # Errors
    ///
    /// The system has no runtime or thread to give.
    pub fn start(
        target: Target,
        bound: Bound,
        rate: Option<f64>,
        connections: usize,
        workers: usize,
    ) -> std::io::Result<Self> {
        let workers = workers.clamp(1, connections.max(1));
        let tallies = (0..workers).map(|_| Mutex::new(Tally::new())).collect();
        let shared = Arc::new(Shared { target, pace: Pace::new(bound, rate), tallies });
        let cpu = ProcessTime::now();
        let mut threads = Vec::new();
        for worker in 0..workers {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            // Those that are left over go to the first.
            let share = connections / workers + usize::from(worker < connections % workers);
            let shared = Arc::clone(&shared);
            let work = async move {
                let mut tasks = JoinSet::new();
                for _ in 0..share {
                    let shared = Arc::clone(&shared);
                    tasks.spawn(async move { shared.connection(worker).await });
                }
                tasks.join_all().await;
                Instant::now()
            };
            threads.push(thread::Builder::new().spawn(move || runtime.block_on(work))?);
        }
        Ok(Self { shared, workers: threads, connections, cpu })
    }

    /// Whether all connections have done their part.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.workers.iter().all(JoinHandle::is_finished)
    }

    /// How much of the run has passed, from 0 to 1.
    #[must_use]
    pub fn progress(&self) -> f64 {
        let pace = &self.shared.pace;
        let part = match pace.bound() {
            Bound::Time(limit) => pace.started().elapsed().as_secs_f64() / limit.as_secs_f64(),
            Bound::Count(count) => pace.given() as f64 / count as f64,
        };
        part.clamp(0.0, 1.0)
    }

    /// Waits for the end.
    ///
    /// # Panics
    ///
    /// When a thread has panicked.
    #[must_use]
    pub fn wait(self) -> Report {
        let workers = self.workers.len();
        let Shared { target, pace, tallies } = &*self.shared;
        let mut ended = pace.started();
        for worker in self.workers {
            ended = ended.max(worker.join().expect("a thread ends in order"));
        }
        let elapsed = ended.duration_since(pace.started());
        let mut all = Tally::new();
        for tally in tallies {
            all.merge(std::mem::replace(&mut *lock(tally), Tally::new()));
        }
        let seconds = elapsed.saturating_sub(target.warm_up).as_secs_f64();
        let requests = all.latency.len();
        let message = &target.message;
        Report {
            service: message.head.uri().to_string(),
            load: Load {
                method: message.head.method().as_str().to_owned(),
                body: message.body,
                preview: message.head.preview(),
                connections: self.connections,
                workers,
                rate: pace.rate(),
            },
            seen: Seen {
                seconds,
                requests,
                rate: requests as f64 / seconds,
                compared_bytes: all.compared,
                connections_opened: all.connections,
                statuses: all.statuses.iter().map(|(s, n)| (s.to_string(), *n)).collect(),
            },
            latency: Latency::of(&all.latency),
            own_cpu: self.cpu.elapsed().as_secs_f64() / elapsed.as_secs_f64() / workers as f64,
            errors: all.errors,
        }
    }
}

impl Shared {
    /// One connection after the other, request by request.
    async fn connection(&self, worker: usize) {
        let mut link = None;
        while let Some(ticket) = self.pace.next().await {
            match self.request(&mut link, ticket, worker).await {
                Ok(answer) => self.record(worker, ticket, answer),
                Err(fault) => {
                    link = None;
                    lock(&self.tallies[worker]).fault(&fault);
                    if matches!(fault, Fault::Connect(_)) {
                        sleep(RECONNECT_PAUSE).await;
                    }
                }
            }
        }
    }

    async fn request(
        &self,
        link: &mut Option<Link>,
        ticket: Ticket,
        worker: usize,
    ) -> Result<Answer, Fault> {
        let Target { address, message, timeout: limit, .. } = &self.target;
        let expected = Expected { status: self.target.status, same_head: self.target.same_head };
        let work = async {
            if let Some(open) = link
                && !open.is_usable()?
            {
                *link = None;
            }
            let open = match link {
                Some(open) => open,
                none => {
                    let open = Link::open(*address).await?;
                    lock(&self.tallies[worker]).connections += 1;
                    none.insert(open)
                }
            };
            open.exchange(message, expected, ticket.number.wrapping_mul(STRIDE)).await
        };
        timeout(*limit, work).await.unwrap_or(Err(Fault::Timeout(*limit)))
    }

    fn record(&self, worker: usize, ticket: Ticket, answer: Answer) {
        if ticket.due.duration_since(self.pace.started()) >= self.target.warm_up {
            let latency = Instant::now().duration_since(ticket.due);
            lock(&self.tallies[worker]).answer(answer, latency);
        }
    }
}

fn lock(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}
