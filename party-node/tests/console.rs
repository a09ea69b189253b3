//! The console's back end: every path of its contract, and who is turned away. Three sites in this process, consoles at two.

mod common;
#[path = "console/page.rs"]
mod page;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::Scratch;
use common::contract::Contract;
use common::sites::{DEADLINE, SITES, Sites};
use mpc_core::identity::Identity;
use page::{Got, Page, Stream};
use party_node::config::{Config, JobSettings};
use party_node::console::Console;
use party_node::console::tokens::{Role, Tokens};
use party_node::jobs::Jobs;
use party_node::site::Site;
use serde_json::{Value, json};

const POLICY: &str = "classes = ['count', 'sum', 'table']\n[columns.t]\nperson_id = ['link']\nx = ['sum', 'filter', 'group']\n\
                      [releases]\nmost = 100\ndays = 30\n";
const BY_RULE: &str = "[[approve]]\nclasses = ['count', 'sum', 'table']\n";
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);
const SQL: &str = "SELECT COUNT(*) AS n, SUM(x) AS s FROM t WHERE x < 30";

/// Site `a` decides by hand and has the accounts `lin` and `ana`.
struct World {
    consoles: Vec<SocketAddr>,
    tokens: Vec<Tokens>,
    folder: Scratch,
}

impl World {
    async fn new(label: &str) -> Self {
        Self::with_policy(label, POLICY).await
    }

    /// Where the first site has this policy.
    async fn with_policy(label: &str, first: &str) -> Self {
        let (folder, others) = (Scratch::new(label), format!("{POLICY}{BY_RULE}"));
        folder.write("a-out.csv", "person_id\n1000\n9\n");
        let sites = Sites::start(
            &folder,
            "min_sites = 3\n[tables.t]\nrows_per_patient = 1\n",
            [first, &others, &others],
            &["lin", "ana"],
        );
        let home = &sites.served[0];
        let jobs = Jobs::open(home.home(), sites.accounts.clone(), JobSettings::default(), DEADLINE).unwrap();
        home.serve_jobs(jobs.clone());
        let mut world = Self { consoles: Vec::new(), tokens: Vec::new(), folder };
        for ((name, served), jobs) in SITES.iter().zip(&sites.served).zip([Some(jobs), None, None]) {
            world.console(name, served.clone(), jobs).await;
        }
        world
    }

    async fn console(&mut self, site: &str, served: Arc<Site>, jobs: Option<Arc<Jobs>>) {
        let text = format!("name = '{site}'\nkey = 'k'\nnetwork = 'n'\nstate = '{site}-state'\n");
        let config = Config::load(&self.folder.write(&format!("{site}.node.toml"), text)).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let (console, listener) = Console::listen(&config, address, served, jobs).await.unwrap();
        self.consoles.push(listener.local_addr().unwrap());
        self.tokens.push(Tokens::of(&config));
        tokio::spawn(console.serve(listener));
    }

    fn token(&self, site: usize, name: &str, roles: &[Role]) -> String {
        self.tokens[site].make(name, roles.to_vec()).unwrap().to_string()
    }

    /// Somebody who is logged in.
    async fn enter(&self, site: usize, name: &str, roles: &[Role]) -> Page {
        let mut page = Page::at(self.consoles[site]);
        let entered = page.post("/api/login", json!({ "token": self.token(site, name, roles) })).await;
        assert_eq!(entered.status, 204, "{}", entered.text());
        let cookie = entered.headers["set-cookie"].clone();
        assert!(cookie.contains("; HttpOnly; SameSite=Strict; Path=/"), "{cookie}");
        page.set("cookie", cookie.split(';').next().unwrap());
        let csrf = page.get("/api/me").await.json()["csrf"].as_str().unwrap().to_owned();
        page.set("x-consilium-csrf", &csrf);
        page
    }

    async fn steward(&self, site: usize) -> Page {
        self.enter(site, "ada", &[Role::Steward]).await
    }

    async fn analyst(&self, name: &str) -> Page {
        self.enter(0, name, &[Role::Analyst]).await
    }
}

fn id(of: &Value, field: &str) -> String {
    of[field].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_path_answers_with_the_fields_of_its_type_from_a_question_to_its_release() {
    let (world, contract) = (World::new("contract").await, Contract::read());
    let (lin, ada) = (world.analyst("lin").await, world.steward(0).await);
    contract.holds(&lin.get("/api/me").await.json(), "Me");
    contract.holds(&lin.get("/api/catalog").await.json(), "Catalog");
    let plan = lin.plan(SQL).await.json();
    contract.holds(&plan, "Plan");
    assert_eq!((&plan["answer_at"], plan["asks"].as_array().unwrap().len()), (&json!("a"), 3));
    let job = lin.submit(SQL).await;
    contract.holds(&job, "Job");
    let path = format!("/api/jobs/{}", id(&job, "id"));
    let waiting = lin.until(&path, |job| job["sites"][0]["state"] == "waiting").await;
    contract.holds(&waiting, "Job");
    assert_eq!(lin.get(&format!("{path}/answer?from=0")).await.refused(), (409, "NO_ANSWER".into()));

    let inbox = ada.get("/api/inbox").await.json();
    contract.holds(&inbox, "Part<Waiting>");
    // A case: the plan's first digits, and then the study's and the analyst's.
    let digest = id(&inbox["items"][0], "plan");
    assert_eq!(digest[..16], id(&plan, "digest")[..16]);
    let review = ada.get(&format!("/api/inbox/{digest}")).await.json();
    contract.holds(&review, "Review");
    assert_eq!((&review["sql"], &review["plan"]["digest"]), (&json!(SQL), &plan["digest"]));
    let dry = ada.post(&format!("/api/inbox/{digest}/dry-run"), json!({})).await.json();
    contract.holds(&dry, "DryRun");
    assert_eq!(dry["sums"][0]["rows"], 10, "a third of the thirty");
    // Rejected, withdrawn, asked again, approved.
    let rejected = ada.post(&format!("/api/inbox/{digest}/reject"), json!({ "reason": "why?", "note": "ada" })).await;
    assert_eq!(rejected.status, 204, "{}", rejected.text());
    let failed = lin.until(&path, |job| job["state"] == "failed").await;
    contract.holds(&failed, "Job");
    assert!(id(&failed["refusal"], "message").contains("why?"));
    let decided = ada.get("/api/decided").await.json();
    contract.holds(&decided, "Part<Decided>");
    assert_eq!((&decided["items"][0]["query"], &decided["items"][0]["analyst"]), (&json!(SQL), &json!("lin")));
    let withdrawn = ada.post(&format!("/api/decided/{digest}/withdraw"), json!({ "note": "ada" })).await.json();
    contract.holds(&withdrawn, "{ begun: boolean }");
    assert_eq!(ada.get("/api/decided").await.json()["items"], json!([]));
    let job = lin.submit(SQL).await;
    let path = format!("/api/jobs/{}", id(&job, "id"));
    ada.until("/api/inbox", |inbox| inbox["items"][0]["plan"] == json!(digest)).await;
    let approved = ada.post(&format!("/api/inbox/{digest}/approve"), json!({ "days": 3, "note": "bea" })).await.json();
    contract.holds(&approved, "{ until_ms: Millis }");
    assert_eq!(ada.get("/api/decided").await.json()["items"][0]["by"], "bea (ada)", "the account stands in the log");
    let done = lin.until(&path, |job| job["state"] == "done").await;
    contract.holds(&done, "Job");
    let answer = lin.get(&format!("{path}/answer?from=0")).await.json();
    contract.holds(&answer, "Answer");
    assert_eq!(answer["rows"], json!([["30", "435"]]));
    contract.holds(&lin.get("/api/jobs?from=0").await.json(), "Part<Job>");

    // The site writes its end down after the analyst has the answer.
    let releases = ada.until("/api/releases?study=s&from=0", |part| part["items"][0]["state"] == "released").await;
    contract.holds(&releases, "Part<Release>");
    let trail = ada.get(&format!("/api/releases/{}", id(&releases["items"][0], "id"))).await.json();
    contract.holds(&trail, "Trail");
    assert!(trail["sent"].as_array().unwrap().len() > 1 && trail["heads"].as_array().unwrap().len() == 2, "{trail:#}");
    contract.holds(&ada.get("/api/policy").await.json(), "PolicyView");
    let gauges = ada.get("/api/gauges").await.json();
    contract.holds(&gauges, "Gauges");
    assert_eq!((&gauges["releases"]["used"], &gauges["releases"]["most"]), (&json!(1), &json!(400)));
    contract.holds(&ada.get("/api/peers").await.json(), "Peer[]");
    // A site that is busy for too long to be well is asked again.
    let began = Instant::now();
    let peers = loop {
        let peers = ada.post("/api/peers/check", json!({})).await.json();
        if peers.as_array().unwrap().iter().all(|peer| peer["state"] == "well") {
            break peers;
        }
        assert!(began.elapsed() < PATIENCE, "{peers:#}");
    };
    contract.holds(&peers, "Peer[]");
    let log = ada.get("/api/log?from=0").await.json();
    contract.holds(&log, "Part<LogLine>");
    let verified = ada.post("/api/log/verify", json!({})).await.json();
    contract.holds(&verified, "Verified");
    assert_eq!(log["items"][0]["seq"], verified["lines"], "the newest first");
    let export = ada.get("/api/log/export").await;
    assert!(export.headers["content-disposition"].starts_with("attachment"), "{:?}", export.headers);
    assert_eq!(export.text().lines().count() as u64, verified["lines"].as_u64().unwrap() + 1, "closed by a seal");
}

#[tokio::test]
async fn only_its_own_pages_with_a_session_and_its_csrf_token_get_in() {
    let world = World::new("door").await;
    let (ada, other) = (world.steward(0).await, Page::at(world.consoles[0]));
    let refused = async |page: &Page, path: &str| page.get(path).await.refused();
    for path in ["/api/me", "/api/inbox", "/api/events", "/api/nothing"] {
        assert_eq!(refused(&other, path).await, (401, "NOT_LOGGED_IN".into()), "{path}");
    }
    // A token of another site costs a second, as any wrong one does.
    let began = Instant::now();
    let token = world.token(1, "bo", &[Role::Steward]);
    let wrong = other.post("/api/login", json!({ "token": token })).await;
    assert_eq!(wrong.refused(), (401, "WRONG_TOKEN".into()));
    assert!(began.elapsed() >= Duration::from_secs(1));
    // Few wrong ones wait at a time, and a right one never does.
    let tries = (0..48).map(|_| other.post("/api/login", json!({ "token": "no" })));
    let (codes, right) = tokio::join!(futures::future::join_all(tries), world.steward(0));
    let codes: Vec<_> = codes.iter().map(Got::refused).collect();
    assert!(
        codes.contains(&(429, "TOO_MANY_TRIES".into())) && codes.contains(&(401, "WRONG_TOKEN".into())),
        "{codes:?}"
    );
    assert_eq!(right.get("/api/me").await.status, 200);

    let changing = "/api/log/verify";
    for page in [ada.without("x-consilium-csrf"), ada.with("x-consilium-csrf", "0"), ada.with("x-consilium-csrf", "")] {
        assert_eq!(page.post(changing, json!({})).await.refused(), (403, "WRONG_CSRF".into()));
    }
    let csrf = right.headers["x-consilium-csrf"].clone();
    let of_another = ada.with("x-consilium-csrf", &csrf).post(changing, json!({})).await;
    assert_eq!(of_another.refused(), (403, "WRONG_CSRF".into()), "another session's token is not this one's");
    assert_eq!(ada.post(changing, json!({})).await.status, 200);

    let port = world.consoles[0].port();
    for host in ["evil.example".to_owned(), format!("evil.example:{port}"), "127.0.0.1:1".into(), "127.0.0.1".into()] {
        assert_eq!(refused(&ada.with("host", &host), "/api/me").await, (403, "WRONG_ORIGIN".into()), "{host}");
        assert_eq!(ada.with("host", &host).get("/").await.status, 403, "{host}");
    }
    assert_eq!(ada.without("host").get("/api/me").await.status, 403);
    let own = format!("http://127.0.0.1:{port}");
    for origin in ["http://evil.example", "null", "https://127.0.0.1", &own.replace("127.0.0.1", "localhost")] {
        assert_eq!(refused(&ada.with("origin", origin), "/api/me").await, (403, "WRONG_ORIGIN".into()), "{origin}");
    }
    assert_eq!(refused(&ada.with("sec-fetch-site", "cross-site"), "/api/me").await.0, 403);
    assert_eq!(ada.with("origin", &own).with("sec-fetch-site", "same-origin").get("/api/me").await.status, 200);

    let form = ada.with("content-type", "text/plain").post("/api/inbox/00/reject", json!({})).await;
    assert_eq!(form.refused(), (415, "NOT_JSON".into()));
    let long = ada.ask("POST", "/api/inbox/00/reject", vec![b' '; (256 << 10) + 1]).await;
    assert_eq!(long.refused(), (413, "BODY_TOO_LONG".into()));
    for body in [json!({}), json!({ "reason": 1, "note": "" }), json!({ "reason": "", "note": "", "more": 1 })] {
        assert_eq!(ada.post("/api/inbox/00/reject", body).await.refused(), (400, "BAD_REQUEST".into()));
    }
    // Out, and revoked.
    assert_eq!(right.post("/api/logout", json!({})).await.status, 204);
    assert_eq!(refused(&right, "/api/me").await.1, "NOT_LOGGED_IN");
    assert!(world.tokens[0].revoke("ada").unwrap() >= 2);
    assert_eq!(refused(&ada, "/api/me").await.1, "NOT_LOGGED_IN", "a revoked token ends its sessions");
}

#[tokio::test]
async fn stewards_do_not_ask_analysts_do_not_decide_and_jobs_are_their_analysts_alone() {
    let world = World::new("roles").await;
    let (ada, lin, ana) = (world.steward(0).await, world.analyst("lin").await, world.analyst("ana").await);
    let zeros = "0".repeat(64);
    let asks = ["catalog", "jobs", "jobs/1/answer", "jobs/1"].map(|path| format!("/api/{path}"));
    let decides = ["inbox", "decided", "releases", "policy", "gauges", "peers", "log", "log/export"];
    let decides = decides.into_iter().map(|path| format!("/api/{path}")).chain([format!("/api/inbox/{zeros}")]);
    let not_yours = (403, "NOT_YOURS".to_owned());
    for path in &asks {
        assert_eq!(ada.get(path).await.refused(), not_yours, "{path}");
    }
    for path in decides {
        assert_eq!(lin.get(&path).await.refused(), not_yours, "{path}");
    }
    for path in ["plan", "jobs", "jobs/1/cancel"] {
        assert_eq!(ada.post(&format!("/api/{path}"), json!({})).await.refused(), not_yours, "{path}");
    }
    for path in
        ["inbox/1/dry-run", "inbox/1/approve", "inbox/1/reject", "decided/1/withdraw", "peers/check", "log/verify"]
    {
        assert_eq!(lin.post(&format!("/api/{path}"), json!({})).await.refused(), not_yours, "{path}");
    }
    let job = id(&lin.submit(SQL).await, "id");
    let none = (404, "NO_SUCH_JOB".to_owned());
    for path in [format!("/api/jobs/{job}"), format!("/api/jobs/{job}/answer?from=0")] {
        assert_eq!(ana.get(&path).await.refused(), none);
        assert_ne!(lin.get(&path).await.refused_code(), "NO_SUCH_JOB");
    }
    assert_eq!(ana.post(&format!("/api/jobs/{job}/cancel"), json!({})).await.refused(), none);
    assert_eq!(ana.get("/api/jobs").await.json()["items"], json!([]));
    assert_eq!(lin.post(&format!("/api/jobs/{job}/cancel"), json!({})).await.json()["state"], "cancelled");
    // Another site's steward does not see this site's inbox.
    assert_eq!(world.steward(1).await.get("/api/inbox").await.json()["items"], json!([]));
}

#[tokio::test]
async fn a_plan_is_refused_at_its_place_and_one_that_a_policy_refuses_is_shown_with_who_refuses() {
    let (world, contract) = (World::new("plans").await, Contract::read());
    let lin = world.analyst("lin").await;
    let at = async |sql: &str| {
        let got = lin.plan(sql).await;
        let (status, code) = got.refused();
        let refusal: Value = serde_json::from_slice(&got.body).unwrap();
        (status, code, refusal["place"]["line"].as_u64(), refusal["place"]["column"].as_u64())
    };
    assert_eq!(at("SELECT COUNT(*)\nFROM tt").await, (422, "UNKNOWN_TABLE".into(), Some(2), Some(6)));
    assert_eq!(at("SELECT SUM(xx) FROM t").await, (422, "UNKNOWN_COLUMN".into(), Some(1), Some(12)));
    let (status, code, line, _) = at("SELECT COUNT(*\nFROM t").await;
    assert_eq!((status, code.as_str(), line), (422, "SQL_SYNTAX", Some(2)));
    assert_eq!(at("DELETE FROM t").await.1, "NOT_A_QUERY");
    let other = json!({ "sql": SQL, "study": "other", "audience": "analyst", "now_ms": null });
    assert_eq!(lin.post("/api/plan", other).await.refused(), (404, "NO_SUCH_STUDY".into()));
    // No site grants a median of x.
    let median = "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) AS m FROM t";
    let plan = lin.plan(median).await.json();
    contract.holds(&plan, "Plan");
    for ask in plan["asks"].as_array().unwrap() {
        assert_eq!((&ask["verdict"], ask["refusal"]["code"].as_str().is_some()), (&json!("refuses"), true), "{ask:#}");
    }
    let submission =
        json!({ "sql": median, "study": "s", "audience": "analyst", "now_ms": null, "plan": plan["digest"] });
    assert_eq!(lin.post("/api/jobs", submission).await.status, 422);
    let other = json!({ "sql": SQL, "study": "s", "audience": "analyst", "now_ms": null, "plan": "0".repeat(64) });
    assert_eq!(lin.post("/api/jobs", other).await.refused(), (409, "PLAN_DIFFERS".into()));
    // Sentences are the reader's.
    let [english, chinese] = [lin.plan(SQL).await.json(), lin.with("accept-language", "zh").plan(SQL).await.json()];
    assert_eq!(english["digest"], chinese["digest"]);
    let what = |plan: &Value| id(&plan["disclosures"][0], "what");
    assert!(what(&english).contains("the number of rows") && what(&chinese).contains("行数"), "{}", what(&chinese));
}

#[tokio::test]
async fn where_stewards_have_keys_of_their_own_the_console_approves_nothing() {
    let pins: Vec<String> = (0..2).map(|_| Identity::generate().unwrap().pin().to_string()).collect();
    let stewards = format!("[stewards]\nbea = '{}'\ncai = '{}'\n", pins[0], pins[1]);
    let world = World::with_policy("keys", &format!("two_persons = true\n{POLICY}{stewards}")).await;
    let (lin, ada) = (world.analyst("lin").await, world.steward(0).await);
    lin.submit(SQL).await;
    let inbox = ada.until("/api/inbox", |inbox| inbox["items"] != json!([])).await;
    let plan = id(&inbox["items"][0], "plan");
    let review = ada.get(&format!("/api/inbox/{plan}")).await.json();
    Contract::read().holds(&review, "Review");
    assert_eq!((&review["own_keys"], &review["needs"]), (&json!(true), &json!(2)));
    let refused = ada.post(&format!("/api/inbox/{plan}/approve"), json!({ "days": 3, "note": "bea" })).await;
    assert_eq!(refused.refused(), (403, "STEWARD_KEY_NEEDED".into()));
    assert_eq!(ada.get("/api/inbox").await.json()["items"][0]["consents"], json!([]));
}

#[tokio::test]
async fn bad_decisions_are_refused_by_name() {
    let world = World::new("decisions").await;
    let (lin, ada) = (world.analyst("lin").await, world.steward(0).await);
    lin.submit(SQL).await;
    let inbox = ada.until("/api/inbox", |inbox| inbox["items"] != json!([])).await;
    let plan = id(&inbox["items"][0], "plan");
    let approve = async |plan: &str, days: i64, note: &str| {
        ada.post(&format!("/api/inbox/{plan}/approve"), json!({ "days": days, "note": note })).await.refused()
    };
    for days in [0, -1, 367, 1 << 40] {
        assert_eq!(approve(&plan, days, "ada").await, (422, "BAD_DAYS".into()), "{days}");
    }
    assert_eq!(approve(&plan, 1, " ").await, (422, "BAD_NAME".into()));
    assert_eq!(approve(&plan, 1, &"n".repeat(65)).await, (422, "BAD_NAME".into()));
    assert_eq!(approve(&plan[..8], 1, "ada").await, (404, "NO_SUCH_PLAN".into()), "first digits are not enough here");
    assert_eq!(approve(&"0".repeat(64), 1, "ada").await, (404, "NO_SUCH_PLAN".into()));
    for reason in ["", "two\nlines", &"r".repeat(501)] {
        let got = ada.post(&format!("/api/inbox/{plan}/reject"), json!({ "reason": reason, "note": "ada" })).await;
        assert_eq!(got.refused(), (422, "BAD_REASON".into()));
    }
    let got = ada.post(&format!("/api/decided/{plan}/withdraw"), json!({ "note": "ada" })).await;
    assert_eq!(got.refused(), (404, "NO_SUCH_PLAN".into()));
    assert_eq!(ada.get("/api/releases/00").await.refused(), (404, "NO_SUCH_RELEASE".into()));
    assert_eq!(ada.get("/api/releases?study=other").await.refused(), (404, "NO_SUCH_STUDY".into()));
    assert_eq!(ada.get("/api/inbox").await.json()["items"].as_array().unwrap().len(), 1, "it still waits");
}

#[tokio::test]
async fn events_tell_each_account_its_own_and_end_with_the_session() {
    let (world, contract) = (World::new("events").await, Contract::read());
    let (ada, lin, ana) = (world.steward(0).await, world.analyst("lin").await, world.analyst("ana").await);
    let streams = [&ada, &lin, &ana].map(Stream::open);
    let job = lin.submit(SQL).await;
    let [mut of_ada, mut of_lin, of_ana] = streams;
    let waiting = of_lin.until("job", |job| job["sites"][0]["state"] == "waiting").await;
    contract.holds(&waiting, "Job");
    assert_eq!(waiting["id"], job["id"]);
    let inbox = of_ada.until("inbox", |inbox| inbox["waiting"] == 1).await;
    contract.holds(&inbox, "{ waiting: number }");
    // Who logs out hears no more: the next thing that is to be told ends the stream.
    lin.post("/api/logout", json!({})).await;
    let plan = id(&ada.get("/api/inbox").await.json()["items"][0], "plan");
    ada.post(&format!("/api/inbox/{plan}/reject"), json!({ "reason": "no", "note": "ada" })).await;
    of_ada.until("inbox", |inbox| inbox["waiting"] == 0).await;
    let heard = of_lin.ended().await;
    assert!(!heard.contains("\"failed\""), "{heard}");
    let others = of_ana.so_far();
    assert!(!others.contains("event: job") && !others.contains("event: inbox"), "{others}");
}

#[tokio::test]
async fn the_pages_come_with_headers_that_let_nothing_in_from_elsewhere_and_are_not_sent_twice() {
    let world = World::new("pages").await;
    let page = Page::at(world.consoles[0]);
    for (path, kind) in [
        ("/", "text/html"),
        ("/console.js", "text/javascript"),
        ("/style.css", "text/css"),
        ("/icon.svg", "image/svg+xml"),
    ] {
        let got = page.get(path).await;
        assert_eq!(got.status, 200, "{path}");
        assert!(got.headers["content-type"].starts_with(kind), "{path}");
        assert!(got.headers["content-security-policy"].starts_with("default-src 'self';"));
        assert_eq!([&got.headers["x-content-type-options"], &got.headers["cache-control"]], ["nosniff", "no-cache"]);
        let again = page.with("if-none-match", &got.headers["etag"]).get(path).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
    }
    let index = page.get("/").await.text();
    assert!(!index.contains("style=") && !index.contains("<script>") && !index.contains("://"), "{index}");
    for path in ["/../Cargo.toml", "/console.js/", "/api", "/dist/console.js", "/%63onsole.js"] {
        assert_eq!(page.get(path).await.refused(), (404, "NO_SUCH_PATH".into()), "{path}");
    }
    let me = world.steward(0).await.get("/api/me").await;
    assert_eq!(me.headers["cache-control"], "no-store");
}

#[test]
fn a_console_elsewhere_than_on_this_machine_is_refused() {
    let folder = Scratch::new("loopback");
    for (listen, refused) in [
        ("0.0.0.0:7801", true),
        ("10.1.2.3:7801", true),
        ("[::]:7801", true),
        ("[::1]:7801", false),
        ("127.0.0.1:7801", false),
    ] {
        let text = format!("name = 'a'\nkey = 'k'\nnetwork = 'n'\n[console]\nlisten = '{listen}'\n");
        let loaded = Config::load(&folder.write("node.toml", text));
        assert_eq!(
            loaded.err().map(|error| error.code.into_owned()),
            refused.then(|| "BAD_CONFIG".to_owned()),
            "{listen}"
        );
    }
}

#[tokio::test]
async fn a_question_with_noise_is_asked_from_a_page_and_what_it_spends_and_who_opted_out_is_shown_to_stewards() {
    let privacy = "[privacy]\nepsilon = '4'\nmost_per_release = '1'\ndelta_digits = 5\n[opt_out]\nfile = 'a-out.csv'\n";
    let world = World::with_policy("noise", &format!("tell_reasons = true\n{POLICY}{BY_RULE}{privacy}")).await;
    let (lin, ada, contract) = (world.analyst("lin").await, world.steward(0).await, Contract::read());
    let sql = "SELECT COUNT(*) AS n FROM t";
    let exact = lin.plan(sql).await.json();
    assert_eq!(
        (&exact["asks"][0]["verdict"], &exact["asks"][0]["refusal"]["code"]),
        (&json!("refuses"), &json!("NOISE_NEEDED"))
    );
    let with =
        |noise: Value| json!({ "sql": sql, "study": "s", "audience": "analyst", "now_ms": null, "noise": noise });
    let noise = json!({ "epsilon": "0.5", "mechanism": "gaussian", "delta_digits": 7 });
    let plan = lin.post("/api/plan", with(noise.clone())).await.json();
    contract.holds(&plan, "Plan");
    assert_eq!(plan["asks"][0]["verdict"], "allows", "{plan:#}");
    let mut submission = with(noise.clone());
    submission["plan"] = plan["digest"].clone();
    let job = lin.post("/api/jobs", submission).await.json();
    contract.holds(&job, "Job");
    assert_eq!(job["noise"], noise);
    let path = format!("/api/jobs/{}", id(&job, "id"));
    let done = lin.until(&path, |job| job["ended_ms"].is_number()).await;
    assert_eq!((&done["state"], &done["noise"]), (&json!("done"), &noise), "{done:#}");
    let gauges = ada.get("/api/gauges").await.json();
    contract.holds(&gauges, "Gauges");
    let spent = json!([{
        "study": "s",
        "epsilon": { "spent": 500_000, "limit": 4_000_000 },
        "delta": { "spent": "10^-7", "limit": "10^-5", "part": 10 },
    }]);
    assert_eq!(gauges["privacy"], spent);
    // One of the two on the list is nobody here.
    assert_eq!(gauges["opted_out"], json!({ "patients": 1, "rows": 1, "unknown": 1 }));
    for (wrong, code) in [
        (json!({ "epsilon": "much", "mechanism": "laplace", "delta_digits": null }), "BAD_EPSILON"),
        (json!({ "epsilon": "1", "mechanism": "laplace", "delta_digits": 6 }), "BAD_DELTA"),
    ] {
        assert_eq!(lin.post("/api/plan", with(wrong)).await.refused().1, code);
    }
}
