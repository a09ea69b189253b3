//! Nodes that are told to stop, and studies that are closed, while a run or a job is at a given moment. Three sites in this process; the
//! third can be held at its next durable write, so that nothing here depends on a clock.

mod common;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use common::Scratch;
use mpc_core::handshake::ControlStream;
use mpc_core::identity::Identity;
use party_node::agree::{Greeting, PROTOCOL_VERSION, Reply};
use party_node::analyst::{Analyst, Listener, News, Question, Quiet, Who, options_now};
use party_node::child::loopback;
use party_node::config::{Account, JobSettings};
use party_node::connect;
use party_node::fault::NodeError;
use party_node::govern::gate::{Gate, Posted};
use party_node::govern::steward::Refusal;
use party_node::govern::study::Study;
use party_node::jobs::Jobs;
use party_node::jobs::control::{Part, Submission};
use party_node::jobs::job::{At, Job, State};
use party_node::network::{AnalystEntry, NETWORK_VERSION, Network, Reach, SiteEntry};
use party_node::site::{Home, Site, Startup};
use party_node::source::SiteData;
use party_node::state::moment::{Hook, Moment};
use party_node::state::{State as Kept, Table};
use query_planner::catalog::SiteName;
use query_planner::{Audience, Settings};

const SITES: [&str; 3] = ["a", "b", "c"];
const BY_RULE: &str = "allow_all = true\n[[approve]]\nclasses = ['count', 'sum', 'table', 'matching']\n";
/// Longer than anything here waits for: no run ends because somebody was slow.
const DEADLINE: Duration = Duration::from_secs(900);
const PATIENCE: Duration = Duration::from_secs(300);
const SQL: &str = "SELECT COUNT(*) AS n FROM t";

/// Holds a site where it is about to make a change.
#[derive(Default)]
struct Gateway {
    shut: AtomicBool,
    held: AtomicBool,
    open: Condvar,
    lock: Mutex<()>,
}

impl Gateway {
    fn hook(self: &Arc<Self>) -> Hook {
        let gateway = self.clone();
        Hook::new(move |moment| {
            if moment == Moment::BeforeCommit {
                gateway.pass();
            }
        })
    }

    /// Waits here as long as it is shut.
    fn pass(&self) {
        if self.shut.load(Ordering::SeqCst) {
            self.held.store(true, Ordering::SeqCst);
            let lock = self.lock.lock().unwrap();
            let shut = |_: &mut ()| self.shut.load(Ordering::SeqCst);
            drop(self.open.wait_timeout_while(lock, PATIENCE, shut).unwrap());
        }
    }

    fn shut(&self) {
        self.shut.store(true, Ordering::SeqCst);
    }

    fn open(&self) {
        let _lock = self.lock.lock().unwrap();
        self.shut.store(false, Ordering::SeqCst);
        self.open.notify_all();
    }
}

/// Three sites; the first has the account, the last the gateway.
struct World {
    sites: Vec<Arc<Site>>,
    network: Network,
    account: Account,
    gateway: Arc<Gateway>,
    folder: Scratch,
}

impl World {
    fn new(label: &str) -> Self {
        let (folder, gateway) = (Scratch::new(label), Arc::<Gateway>::default());
        let key = || Identity::generate().unwrap();
        let account = Account { name: "ada".into(), identity: Arc::new(key()) };
        let keys: Vec<Identity> = SITES.iter().map(|_| key()).collect();
        let (site, analyst) = (Vec::new(), Vec::new());
        let settings = Settings::from_toml("min_sites = 3").unwrap();
        let mut network = Network { version: NETWORK_VERSION, settings, site, analyst };
        let mut own = Vec::new();
        for (at, site) in SITES.iter().enumerate() {
            folder.write(&format!("{site}/t.csv"), format!("person_id,x\n{at},1\n"));
            let policy = Posted::read(folder.write(&format!("{site}.toml"), BY_RULE)).unwrap();
            network.settings.publish(site, &policy.policy);
            let (endpoint, address) = loopback().unwrap();
            let data = SiteData::open(&folder.at(site)).unwrap();
            let (pins, schema) = (vec![keys[at].pin()], data.schema("person_id"));
            network.site.push(SiteEntry { name: SiteName((*site).into()), address, pins, schema, reach: Reach::Both });
            own.push((data, policy, endpoint));
        }
        let pins = vec![account.identity.pin()];
        network.analyst = vec![AnalystEntry { name: "ada".into(), at: Some(SiteName("a".into())), pins }];
        let network = network.checked().unwrap();
        let mut sites = Vec::new();
        for ((site, identity), (data, policy, endpoint)) in SITES.iter().zip(keys).zip(own) {
            let (catalog, name) = (network.catalog(None).unwrap(), SiteName((*site).into()));
            let data = data.bind(&catalog, &name).unwrap();
            let hook = if *site == "c" { gateway.hook() } else { Hook::default() };
            let state = opened(&folder, &format!("{site}-state"), &identity, hook);
            connect::listen(&endpoint, &identity, &network, connect::idle(DEADLINE)).unwrap();
            let (network, deadline, drill, studies) = (network.clone(), DEADLINE, None, vec![study()]);
            let start =
                Startup { identity, network, catalog, name, data, endpoint, deadline, drill, policy, studies, state };
            let site = Site::new(start).unwrap();
            tokio::spawn(site.clone().serve());
            sites.push(site);
        }
        Self { sites, network, account, gateway, folder }
    }

    fn jobs(&self, home: Home) -> Arc<Jobs> {
        Jobs::open(home, vec![self.account.clone()], JobSettings::default(), DEADLINE).unwrap()
    }

    /// A question whose run hangs: the third site is in it and does not come to link with the others.
    async fn hangs(&self, jobs: &Arc<Jobs>) -> Job {
        self.gateway.shut();
        let job = jobs.submit("ada", submission()).await.unwrap();
        until(|| self.gateway.held.load(Ordering::SeqCst)).await;
        // The analyst has heard from the two others that they are in it.
        let entered = async {
            let in_it = |job: Job| job.sites[..2].iter().all(|site| site.state == At::Running);
            while !jobs.now("ada", job.id).await.unwrap().is_some_and(in_it) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, entered).await.expect("two sites enter");
        job
    }

    /// The account as an analyst who asks by itself.
    fn analyst(&self, listener: Arc<dyn Listener>) -> Analyst {
        let endpoint = connect::endpoint(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let (network, catalog) = (Arc::new(self.network.clone()), self.sites[0].home().catalog);
        let who = Who { identity: self.account.identity.clone(), network, catalog };
        Analyst::new(who, study(), endpoint, DEADLINE, listener)
    }
}

fn opened(folder: &Scratch, name: &str, identity: &Identity, hook: Hook) -> Kept {
    let folder = folder.at(name);
    Kept::open_with(&folder, &folder.with_extension("key"), identity, hook).unwrap()
}

fn study() -> Study {
    let text = format!(
        "name = 's'\npurpose = 'p'\nlegal_basis = 'l'\nanalysts = ['ada']\nsites = {SITES:?}\ntables = ['t']\nends = '9999-01-01'\n"
    );
    Study::from_toml(&text).unwrap()
}

fn submission() -> Submission {
    let (sql, audience) = (SQL.to_owned(), Audience::Analyst);
    Submission { sql, study: None, audience, noise: None, now_ms: None, plan: None }
}

async fn until(is: impl Fn() -> bool) {
    let look = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("it comes to that");
}

async fn over(jobs: &Arc<Jobs>, job: &Job) -> Job {
    let look = async {
        loop {
            match jobs.now("ada", job.id).await.unwrap() {
                Some(now) if now.state.is_over() => return now,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("it ends")
}

fn code(job: &Job) -> &str {
    job.refusal.as_ref().map_or("", |refusal| &refusal.code)
}

/// What is on disk of the jobs.
fn on_disk(world: &World) -> Vec<Job> {
    let all = world.sites[0].home().gate.state.beside().list::<Job>(Table::Jobs, &[]).unwrap();
    all.into_iter().map(|(_, job)| job).collect()
}

#[tokio::test]
async fn a_node_that_stops_while_it_links_with_the_others_tells_them_why() {
    let world = World::new("links");
    let jobs = world.jobs(world.sites[0].home());
    let job = world.hangs(&jobs).await;
    world.sites[1].shut(Duration::ZERO).await;
    assert!(world.sites[1].drain(PATIENCE).await, "nothing of it is left");
    world.gateway.open();
    let failed = over(&jobs, &job).await;
    let refusal = failed.refusal.as_ref().unwrap();
    assert_eq!(refusal.code, "SESSION_STOPPED", "{}", refusal.message);
    assert!(refusal.message.contains("NODE_STOPPED"), "{}", refusal.message);
}

/// An analyst who stays where all sites have entered, until the gateway opens.
struct Stays(Arc<Gateway>, AtomicUsize);

impl Listener for Stays {
    fn hear(&self, news: News<'_>) {
        if matches!(news, News::Entered { .. }) && self.1.fetch_add(1, Ordering::SeqCst) + 1 == SITES.len() {
            tokio::task::block_in_place(|| self.0.pass());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_while_seeds_are_agreed_leaves_at_once_and_tells_the_others_why() {
    let world = World::new("seeds");
    let gateway = Arc::<Gateway>::default();
    gateway.shut();
    let analyst = world.analyst(Arc::new(Stays(gateway.clone(), AtomicUsize::new(0))));
    let asking = tokio::spawn(async move {
        let question = Question { sql: SQL, options: options_now(Audience::Analyst, None) };
        analyst.ask(question).await.map(drop)
    });
    until(|| gateway.held.load(Ordering::SeqCst)).await;
    // It is linked with both others, and the analyst agrees no seed with it.
    let met = |site: &str| {
        let line = format!("consilium_peer_last_met_seconds{{site=\"{site}\"}}");
        world.sites[1].figures().contains(&line)
    };
    until(|| met("a") && met("c")).await;
    world.sites[1].shut(Duration::ZERO).await;
    assert!(world.sites[1].drain(PATIENCE).await, "it waits for the analyst");
    gateway.open();
    let stopped = asking.await.unwrap().unwrap_err();
    assert_eq!(stopped.code, "SESSION_STOPPED", "{stopped}");
    assert!(stopped.message.contains("NODE_STOPPED"), "{stopped}");
}

#[tokio::test]
async fn a_node_that_stops_waits_no_longer_for_an_analyst_who_has_not_begun() {
    let world = World::new("start");
    let analyst = world.analyst(Arc::new(Quiet));
    let endpoint = analyst.endpoint.clone();
    let question = Question { sql: SQL, options: options_now(Audience::Analyst, None) };
    let plan = analyst.plan(question).unwrap().joint.digest();
    // It hears that the site is ready, and says nothing more.
    let identity = &world.account.identity;
    let connection = connect::dial(&endpoint, identity, &world.network, 1, PATIENCE, PATIENCE).await.unwrap();
    let mut control = ControlStream::open(&connection, PATIENCE).await.unwrap();
    control.send(&Greeting::Question { version: PROTOCOL_VERSION, run: [7; 16] }).await.unwrap();
    control.send(&analyst.proposal(question, plan)).await.unwrap();
    let reply: Reply = control.recv_within(PATIENCE).await.unwrap();
    assert!(matches!(reply, Reply::Ready(_)), "{reply:?}");
    world.sites[1].shut(Duration::ZERO).await;
    assert!(world.sites[1].drain(PATIENCE).await, "it still waits");
    let reply: Reply = control.recv_within(PATIENCE).await.unwrap();
    assert!(matches!(&reply, Reply::Refuse { code, .. } if code == "SITE_STOPPING"), "{reply:?}");
}

#[tokio::test]
async fn a_home_that_stops_ends_its_runs_at_once_and_leaves_no_job_that_begins_afterwards() {
    let world = World::new("close");
    let jobs = world.jobs(world.sites[0].home());
    let mut changes = jobs.subscribe();
    let job = jobs.submit("ada", submission()).await.unwrap();
    // Told to stop when it is in line: it has its turn by then, or gets none.
    while jobs.now("ada", job.id).await.unwrap().is_none_or(|job| job.state == State::Waiting) {
        changes.recv().await.unwrap();
    }
    jobs.close(Duration::ZERO).await;
    let state = on_disk(&world)[0].state;
    assert!(matches!(state, State::Queued | State::Failed), "{state:?}");
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert_eq!(on_disk(&world)[0].state, state, "it changes after the end");
    }
}

#[tokio::test]
async fn a_study_that_is_closed_while_a_question_is_taken_leaves_no_job_of_it() {
    let world = World::new("taken");
    let jobs = world.jobs(world.sites[0].home());
    let submitting = tokio::spawn({
        let jobs = jobs.clone();
        async move { jobs.submit("ada", submission()).await }
    });
    // This thread is the only one that goes on with it, so that the job is kept and not at work while the study is closed.
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    let state = world.sites[0].home().gate.state.clone();
    while state.beside().keys(Table::Jobs, &[]).unwrap().is_empty() {
        std::thread::sleep(Duration::from_millis(1));
    }
    state.forget(&study().digest()).unwrap();
    jobs.study_closed(&study().digest()).await;
    assert_eq!(submitting.await.unwrap().unwrap_err().code, "STUDY_CLOSED");
    assert!(jobs.unfinished("ada").is_empty() && on_disk(&world).is_empty());
}

#[tokio::test]
async fn an_answer_that_could_not_be_kept_is_counted_once_and_as_what_it_is() {
    let world = World::new("counted");
    // Its jobs are kept apart from the site's own state, so that the study can be closed for them alone.
    let own = world.sites[0].home();
    let state = opened(&world.folder, "apart", &own.gate.identity, Hook::default());
    let Gate { name, identity, network, studies, .. } = &*own.gate;
    let (name, identity, studies) = (name.clone(), identity.clone(), studies.clone());
    let policy = Posted::read(world.folder.at("a.toml")).unwrap();
    let gate = Arc::new(Gate { name, identity, network: *network, studies, policy, state: Arc::new(state) });
    let jobs = world.jobs(Home { gate: gate.clone(), ..own });
    let job = world.hangs(&jobs).await;
    gate.state.forget(&study().digest()).unwrap();
    world.gateway.open();
    until(|| jobs.counts().1.values().sum::<u64>() > 0).await;
    until(|| jobs.unfinished("ada").is_empty()).await;
    let ended: Vec<_> = jobs.counts().1.into_iter().collect();
    assert_eq!(ended, [("STUDY_CLOSED".to_owned(), 1)], "{}", code(&job));
}

#[tokio::test]
async fn an_account_of_another_version_hears_so_and_is_not_left_without_a_word() {
    let world = World::new("version");
    let jobs = world.jobs(world.sites[0].home());
    world.sites[0].serve_jobs(jobs);
    let endpoint = connect::endpoint(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let identity = &world.account.identity;
    let connection = connect::dial(&endpoint, identity, &world.network, 0, PATIENCE, PATIENCE).await.unwrap();
    let mut control = ControlStream::open(&connection, PATIENCE).await.unwrap();
    control.send(&Greeting::Jobs { version: 1 }).await.unwrap();
    let reply = control.recv_within::<Result<Part, Refusal>>(PATIENCE).await.unwrap();
    assert_eq!(NodeError::from(reply.unwrap_err()).code, "VERSION_MISMATCH");
}
