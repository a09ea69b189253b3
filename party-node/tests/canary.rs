//! An identifier that is planted in the data of a site must not be found anywhere else: in no file that a run writes, in
//! nothing it says, in no message, neither as it stands nor as the key that is made of it.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{Run, Scratch, consilium, run};
use mpc_core::transport::record::Log;
use mpc_core::world::World;
use mpc_core::{PartyId, Session};
use party_node::config;
use party_node::execute::{self, Ended, Met};
use party_node::govern::meeting::{Earlier, Extent};
use party_node::govern::sets::Sets;
use party_node::linkage::Agreed;
use party_node::local::{NetworkFacts, Partials, partials_blocking};
use party_node::network;
use party_node::source::SiteData;
use protocols::additive::Additive;
use query_planner::catalog::SiteName;
use query_planner::{Audience, Compiled, Options};

const SEED: u64 = 4711;
const NAME: &str = "Quaxlthorpe-Vryndelle";
const ID: &str = "737373198402296061";

const LINKAGE: &str = "study = \"canary\"\nduplicates = \"first\"\n[[passes]]\nname = \"id\"\n[[passes.parts]]\n\
    column = \"national_id\"\n[[passes]]\nname = \"name\"\n[[passes.parts]]\ncolumn = \"family_name\"\nsteps = [\"casefold\"]\n";

/// Both kinds of key: the identifier itself is the patient key, or the linkage makes keys of it. Where small cells are hidden, sites keep
/// the keys of whom an answer is about.
const NETWORKS: [(&str, &str); 4] = [
    (
        "patient key",
        "patient_key = \"national_id\"\nmin_sites = 2\nmax_patients = 64\n[tables.patient.columns.national_id]\ntype = \"text\"\n",
    ),
    (
        "linkage",
        "patient_key = \"mrn\"\nmin_sites = 2\nmax_patients = 64\n[linkage]\nfile = \"linkage.toml\"\ntable = \"patient\"\n",
    ),
    (
        "patient key in the ledger",
        "patient_key = \"national_id\"\nmin_sites = 2\nmin_patients = 2\nmax_patients = 64\n\
         [tables.patient.columns.national_id]\ntype = \"text\"\n",
    ),
    (
        "linkage in the ledger",
        "patient_key = \"mrn\"\nmin_sites = 2\nmin_patients = 2\nmax_patients = 64\n\
         [linkage]\nfile = \"linkage.toml\"\ntable = \"patient\"\n",
    ),
];

fn data(label: &str, settings: &str) -> Scratch {
    let folder = Scratch::new(label);
    let row = |site: &str, at: usize| format!("{site}{at},{},Name{at},{}\n", 1_000_000 + at, at % 7);
    for (site, more) in [("A", 0..30), ("B", 20..50)] {
        let rows = more.map(|at| row(site, at)).collect::<String>();
        let header = "mrn,national_id,family_name,score\n";
        folder.write(&format!("{site}/patient.csv"), format!("{header}{rows}{site}x,{ID},{NAME},5\n"));
    }
    folder.write("network.toml", settings);
    folder.write("linkage.toml", LINKAGE);
    folder
}

fn questions(key: &str) -> [String; 3] {
    [
        format!("SELECT COUNT(DISTINCT a.{key}) AS n FROM A.patient a JOIN B.patient b ON a.{key} = b.{key}"),
        format!("SELECT SUM(a.score) AS s FROM A.patient a JOIN B.patient b ON a.{key} = b.{key}"),
        format!("SELECT COUNT(DISTINCT {key}) AS n FROM patient"),
    ]
}

fn key_of(settings: &str) -> &str {
    if settings.contains("[linkage]") { "mrn" } else { "national_id" }
}

/// The planted words as they may appear in bytes.
fn canaries() -> Vec<Vec<u8>> {
    let number: i64 = ID.parse().unwrap();
    let texts = [NAME.to_owned(), NAME.to_lowercase(), ID.to_owned()].map(String::into_bytes);
    texts.into_iter().chain([number.to_le_bytes().to_vec(), number.to_be_bytes().to_vec()]).collect()
}

fn holds(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

/// Every file below these folders, again and again until told to stop: also files that are there for a moment only.
struct Watch {
    stop: Arc<AtomicBool>,
    watcher: thread::JoinHandle<Vec<PathBuf>>,
}

impl Watch {
    fn start(folders: Vec<PathBuf>, but: BTreeSet<PathBuf>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let watcher = thread::spawn(move || {
            let mut caught = Vec::new();
            loop {
                let last = stopped.load(Ordering::Relaxed);
                for file in folders.iter().flat_map(|folder| files(folder)).filter(|file| !but.contains(file)) {
                    let bytes = fs::read(&file).unwrap_or_default();
                    if canaries().iter().any(|word| holds(&bytes, word)) {
                        caught.push(file);
                    }
                }
                if last {
                    return caught;
                }
                thread::sleep(Duration::from_millis(5));
            }
        });
        Self { stop, watcher }
    }

    fn caught(self) -> Vec<PathBuf> {
        self.stop.store(true, Ordering::Relaxed);
        self.watcher.join().unwrap()
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries.flat_map(|entry| below(entry.path())).collect()
}

fn is_silent(run: &Run) {
    for word in canaries() {
        assert!(!holds(run.stdout.as_bytes(), &word), "standard output");
        assert!(!holds(run.stderr.as_bytes(), &word), "standard error: {}", run.stderr);
    }
}

/// A sandbox whose files, also temporary ones, are watched.
fn watched(folder: &Scratch, sql: &[String]) -> Run {
    let home = Scratch::new("canary-home");
    fs::create_dir_all(home.at("tmp")).unwrap();
    let watch = Watch::start(
        vec![home.path().to_owned(), folder.path().to_owned()],
        files(folder.path()).into_iter().collect(),
    );
    let data = folder.path().to_string_lossy().into_owned();
    let mut command = consilium(&["sandbox", "--data", &data, "--format", "json"]);
    command.current_dir(home.path()).env("TMPDIR", home.at("tmp")).env("RUST_LOG", "trace");
    sql.iter().for_each(|sql| _ = command.args(["-e", sql]));
    let ended = run(&mut command);
    assert_eq!(watch.caught(), [] as [PathBuf; 0]);
    ended
}

#[test]
fn a_run_writes_and_says_no_identifier() {
    for (kind, settings) in NETWORKS {
        let folder = data("canary", settings);
        let [common, sum, all] = questions(key_of(settings));
        // Of the same patients there is one answer in a study that hides small cells.
        let asked = if settings.contains("min_patients") { vec![common, all] } else { vec![common, sum, all] };
        let answered = watched(&folder, &asked);
        // The planted patient is at both sites, with ten others.
        let counts: Vec<String> = answered.answers().iter().map(|answer| answer["rows"][0][0].to_string()).collect();
        assert_eq!(counts[0], "11", "{kind}");
        assert_eq!(counts[asked.len() - 1], "51", "{kind}");
        is_silent(&answered);
        println!("{kind}: {counts:?}");
    }
}

#[test]
fn a_run_that_fails_says_no_identifier_either() {
    for (kind, settings) in NETWORKS {
        let folder = data("canary-fails", settings);
        // The planted row makes the local work fail, and then a file is broken in its line.
        let question = "SELECT SUM(1 / (score - 5)) AS s FROM patient".to_owned();
        let failed = watched(&folder, &[question]);
        assert_eq!(failed.status, Some(1), "{kind}");
        is_silent(&failed);
        folder.write("A/patient.csv", format!("mrn,national_id,family_name,score\nA1,{ID},{NAME},5,6\n"));
        let broken = watched(&folder, &questions(key_of(settings)));
        assert_eq!(broken.status, Some(1), "{kind}");
        is_silent(&broken);
        let bytes = fs::read(folder.at("A/patient.csv")).unwrap();
        assert!(holds(&bytes, NAME.as_bytes()), "the watch knows what to look for");
    }
}

/// The plan and each site's own part of it.
fn prepared(folder: &Scratch, sql: &str) -> (Compiled, Vec<Vec<Partials>>) {
    let settings = config::settings(&folder.at("network.toml")).unwrap();
    let linkage = Agreed::read(&settings, folder.path()).unwrap();
    let settings = config::with_linkage(settings, linkage.as_ref());
    let sites = ["A", "B"].map(|name| (SiteName(name.into()), SiteData::open(&folder.at(name)).unwrap()));
    let schemas = sites.each_ref().map(|(name, data)| (name.clone(), data.schema(&settings.patient_key)));
    let catalog = network::catalog(&schemas, &settings, linkage.as_ref()).unwrap();
    let options = Options { now_ms: 0, audience: Audience::Analyst, noise: None };
    let compiled = query_planner::plan(sql, &catalog, &options).unwrap();
    let own = sites.into_iter().map(|(name, data)| {
        let data = data.bind_linked(&catalog, &name, linkage.as_ref()).unwrap();
        let stages = compiled.local.iter().zip(&compiled.joint.sums);
        stages
            .map(|(stage, sum)| partials_blocking(stage, sum, &name, &data, NetworkFacts::of(&compiled.joint)).unwrap())
            .collect()
    });
    let own = own.collect();
    (compiled, own)
}

#[test]
fn no_message_holds_an_identifier_or_the_key_made_of_it() {
    for (kind, settings) in NETWORKS {
        println!("seed {SEED}, {kind}");
        let folder = data("canary-wire", settings);
        for sql in questions(key_of(settings)) {
            let (compiled, own) = prepared(&folder, &sql);
            let keys = own.iter().flatten().filter_map(|partials| partials.patients.as_ref());
            let keys: BTreeSet<u128> =
                keys.flat_map(|patients| patients.keys.iter().flatten().flatten().map(|key| key.0)).collect();
            assert!(keys.len() >= 51, "{} keys", keys.len());
            let compiled = Arc::new(compiled);
            for site in [0, 1] {
                let frames = sent_by(PartyId(site), &compiled, own.clone());
                for frame in &frames {
                    assert!(canaries().iter().all(|word| !holds(frame, word)), "{sql}");
                    let mut words = frame.windows(16).map(|window| <[u8; 16]>::try_from(window).unwrap());
                    let is_key =
                        |w: [u8; 16]| keys.contains(&u128::from_le_bytes(w)) || keys.contains(&u128::from_be_bytes(w));
                    assert!(!words.any(is_key), "{sql}: a key is on the wire");
                }
                let bytes = frames.iter().map(Vec::len).sum::<usize>();
                assert!(bytes > 10_000, "a matching sends more than {bytes} bytes");
                println!("{bytes} bytes searched for {} keys: {sql}", keys.len());
            }
        }
    }
}

/// The bodies of all messages that a party sends in a run of the plan. An earlier release was of nobody, so that the ledger's check is among
/// them.
fn sent_by(party: PartyId, compiled: &Arc<Compiled>, own: Vec<Vec<Partials>>) -> Vec<Vec<u8>> {
    let (log, compiled) = (Log::default(), compiled.clone());
    let program = move |session: Session, own: Option<Vec<Partials>>| {
        let compiled = compiled.clone();
        async move {
            let mut engine = Additive::new(session, execute::statement(&compiled.joint));
            let earlier = [Earlier { id: [1; 16], of: Extent::All, sets: 1, busy_ms: 0, everyone: false }];
            let noted =
                if own.is_some() { vec![Sets::said([0; 32], Vec::new(), vec![Vec::new()])] } else { Vec::new() };
            let met = Met { earlier: &earlier, noted: &noted, domain: [0; 32] };
            let ended =
                execute::run(&mut engine, &compiled, own.as_deref(), met, &|_, _| Box::pin(async { Ok(()) })).await;
            (engine.into_session(), ended)
        }
    };
    let inputs = own.into_iter().map(Some).chain([None]).collect();
    let outcomes = World::new(2).with_analyst().seed(SEED).record(party, log.clone()).run(program, inputs);
    assert!(outcomes.iter().all(|outcome| matches!(outcome.result, Ok(Ended::Released(_)))));
    let frames = log.lock().unwrap();
    frames.iter().map(|(_, _, frame)| frame.body.to_vec()).collect()
}

#[test]
fn the_search_finds_what_is_there() {
    let folder = Scratch::new("canary-planted");
    folder.write("deep/planted.bin", [&[0u8, 255, 7][..], ID.as_bytes(), &[9]].concat());
    let watch = Watch::start(vec![folder.path().to_owned()], BTreeSet::new());
    assert!(!watch.caught().is_empty());
}
