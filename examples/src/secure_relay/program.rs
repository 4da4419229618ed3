//! `secure-relay` as a process: sub-commands, signals, log.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use super::args::{Arguments, Command, Flags};
use super::config::Config;
use super::service::Service;
use super::{admin, check, import, log, new_identity, systemd};

/// Between two looks at the certificates.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Does what the arguments of the process say, and gives its exit code: 0 when it was stopped as asked or nothing is
/// wrong, 1 when something failed or `check` found something wrong, 2 when flags or configuration are wrong.
pub async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.command {
        None => return run(&arguments.flags).await,
        Some(Command::Check(flags)) => return check::run(flags).await,
        Some(Command::ImportStunnel { file }) => import::run(file),
        Some(Command::NewIdentity(wanted)) => new_identity::run(wanted),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, 1),
    }
}

fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("secure-relay: {error:#}");
    ExitCode::from(code)
}

/// Serves until it is told to stop.
async fn run(flags: &Flags) -> ExitCode {
    let config = match flags.resolve() {
        Ok(config) => config,
        Err(error) => return fail(&error, 2),
    };
    let _log = log::start(config.log);
    match serve(flags, config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(flags: &Flags, mut config: Config) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let mut service = Service::new();
    // Before the first counter is used, or it counts nothing.
    if let Some(address) = config.admin {
        admin::start(address, service.current()).await?;
    }
    service.apply(config.clone()).await?;
    systemd::ready();
    let mut days = tokio::time::interval(DAY);
    // The start has looked already.
    days.reset();
    loop {
        tokio::select! {
            told = signals.wait() => match told {
                Told::Stop => break,
                Told::Reload => reload(&mut service, flags, &mut config).await,
            },
            _ = days.tick() => service.warn_of_expiry(config.expiry_warning),
        }
    }
    tracing::info!("stopping");
    systemd::stopping();
    tokio::select! {
        () = service.stop(config.stop_timeout()) => tracing::info!("stopped"),
        () = signals.told_to_stop() => tracing::warn!("told to stop twice: stopped at once"),
    }
    Ok(())
}

/// Reads everything anew; what is wrong leaves all as it was.
async fn reload(service: &mut Service, flags: &Flags, config: &mut Config) {
    systemd::reloading();
    let fresh = flags.resolve();
    let applied = match fresh {
        Ok(fresh) => service.apply(fresh.clone()).await.map(|()| fresh),
        Err(error) => Err(error),
    };
    let result = match applied {
        Ok(fresh) => {
            if (fresh.admin, fresh.log) != (config.admin, config.log) {
                tracing::warn!("`admin` and `log` change with a restart only");
            }
            *config = fresh;
            tracing::info!("reloaded");
            "ok"
        }
        Err(error) => {
            tracing::error!("not reloaded, all stays as it was: {error:#}");
            "error"
        }
    };
    metrics::counter!("secure_relay_reloads_total", "result" => result).increment(1);
    systemd::ready();
}

impl Signals {
    async fn told_to_stop(&mut self) {
        while !matches!(self.wait().await, Told::Stop) {}
    }
}

/// SIGTERM and Ctrl-C stop, SIGHUP reloads.
#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn wait(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hang_up.recv() => Told::Reload,
        }
    }
}

/// Ctrl-C stops; a reload is a restart.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn wait(&mut self) -> Told {
        let _ = tokio::signal::ctrl_c().await;
        Told::Stop
    }
}

enum Told {
    Stop,
    Reload,
}
