//! `consilium node`: a site with its accounts' jobs and its figures, until it is told to stop.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use query_planner::catalog::SiteName;
use query_planner::grants;

use crate::config::Config;
use crate::connect;
use crate::console::Console;
use crate::drill::Drill;
use crate::fault::NodeError;
use crate::govern::gate;
use crate::http;
use crate::jobs::Jobs;
use crate::log;
use crate::metrics;
use crate::site::{Site, Startup, place_of};
use crate::wire;

/// Serves until SIGTERM or ctrl-c; then takes nothing new, lets what runs end for `shutdown_seconds`, and ends the rest with
/// `NODE_STOPPED`. A second signal ends the process at once.
///
/// # Errors
/// Whatever is wrong with the site's files, its port or its state.
pub async fn run(config: &Config, drill: Option<Drill>) -> Result<(), NodeError> {
    log::choose(config.log);
    let mut signals = Signals::listen()?;
    let (site, endpoint) = start(config, drill)?;
    let name = SiteName(config.name.clone());
    let jobs = match config.accounts(&site.home().network)? {
        accounts if accounts.is_empty() => None,
        accounts => Some(Jobs::open(site.home(), accounts, config.jobs, config.deadline())?),
    };
    if let Some(jobs) = &jobs {
        site.serve_jobs(jobs.clone());
        tokio::spawn(jobs.clone().keep_house());
    }
    let door = match (&config.wire, &jobs) {
        (Some(settings), Some(jobs)) => Some(wire::start(settings, name.clone(), jobs.clone()).await?),
        (Some(_), None) => return Err(wire::nobody_asks()),
        (None, _) => None,
    };
    if let Some(address) = config.metrics {
        let (listener, shown) = (http::listen("metrics", address).await?, site.clone());
        tokio::spawn(metrics::serve(listener, move || shown.figures()));
    }
    if let Some(settings) = config.console {
        let (console, listener) = Console::listen(config, settings.listen, site.clone(), jobs.clone()).await?;
        log::say(&name, "console", &format!("console at http://{}/", settings.listen));
        tokio::spawn(console.serve(listener));
    }
    let serving = tokio::spawn(site.clone().serve());
    tokio::spawn(site.clone().stand());
    let listen = config.listen.map_or_else(String::new, |address| address.to_string());
    log::say(&name, "serving", &format!("serving at {listen}"));
    signals.next().await;
    let patience = Duration::from_secs(config.shutdown_seconds);
    log::say(&name, "stopping", &format!("stopping: what runs has {} s to end", patience.as_secs()));
    let closing = async {
        if let Some(door) = &door {
            door.stop();
        }
        if let Some(jobs) = &jobs {
            tokio::join!(jobs.close(patience), site.shut(patience));
        } else {
            site.shut(patience).await;
        }
        if let Some(door) = &door {
            door.close().await;
        }
        endpoint.close(0u32.into(), b"the node stops");
        endpoint.wait_idle().await;
    };
    if !unless(closing, signals.next()).await {
        log::say(&name, "stopped", "told to stop again: leaving at once");
        std::process::exit(1);
    }
    serving.abort();
    log::say(&name, "stopped", "stopped");
    Ok(())
}

/// Does the work unless something else happens before. Was it done?
async fn unless(work: impl Future<Output = ()>, before: impl Future<Output = ()>) -> bool {
    tokio::select! {
        () = work => true,
        () = before => false,
    }
}

fn start(config: &Config, drill: Option<Drill>) -> Result<(Arc<Site>, quinn::Endpoint), NodeError> {
    let (identity, network) = (config.identity()?, config.network()?);
    let name = SiteName(config.name.clone());
    let no_data = || NodeError::new("BAD_CONFIG", "a node needs `data` or [postgres], and `listen`");
    if config.data.is_none() && config.postgres.is_none() {
        return Err(no_data());
    }
    let listen = config.listen.ok_or_else(no_data)?;
    // Who it is comes before what it has, and its port before its ledger: so a mistake is called by its own name.
    place_of(&network, &name, identity.pin())?;
    let policy = config.policy()?;
    let data = config.tables(policy.opt_out().as_deref())?.ok_or_else(no_data)?;
    data.raise_doubts(&network.settings)?;
    let linkage = config.linkage(&network)?;
    let catalog = network.catalog(linkage.as_ref())?;
    let data = data.bind_linked(&catalog, &name, linkage.as_ref())?.within(config.work_memory_mb);
    let data = gate::left_out(data, &policy, &catalog, &name)?;
    grants::check_current(&catalog, &name, &policy.policy)?;
    config.accounts(&network)?;
    let endpoint = connect::endpoint(listen)?;
    let (studies, state) = (config.studies()?, config.state(&identity)?);
    let deadline = config.deadline();
    connect::listen(&endpoint, &identity, &network, connect::idle(deadline))?;
    let startup = Startup {
        identity,
        network,
        catalog,
        name,
        data,
        endpoint: endpoint.clone(),
        deadline,
        drill,
        policy,
        studies,
        state,
    };
    Ok((Site::new(startup)?, endpoint))
}

/// What tells a process to stop.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn listen() -> Result<Self, NodeError> {
        use tokio::signal::unix::{SignalKind, signal};
        let failed = |e: std::io::Error| NodeError::new("CANNOT_START", format!("signals: {e}"));
        let terminate = signal(SignalKind::terminate()).map_err(failed)?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt()).map_err(failed)? })
    }

    #[cfg(not(unix))]
    fn listen() -> Result<Self, NodeError> {
        Ok(Self {})
    }

    /// Waits for the next.
    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => (),
            _ = self.interrupt.recv() => (),
        }
    }

    /// Waits for the next.
    #[cfg(not(unix))]
    async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
