//! The database protocol of a node, met by a client library and by hand.

#![cfg(unix)]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::Scratch;
use common::wire::{ACCOUNTS, BY_RULE, Net, PASSWORD, Plan, SITES, data, table, until};
use futures::StreamExt;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, Client, Error, NoTls, SimpleQueryMessage};

/// Counts run by rule everywhere; sums wait for a person at one site.
const COUNTS: &str = "allow_all = true\ntell_reasons = true\n[[approve]]\nclasses = ['count', 'table']\n";

const SETTINGS: &str = "
[tables.drug.columns.price]
type = 'decimal(10,2)'
[tables.drug.columns.day]
type = 'date'
domain = ['2020-02-29', '2021-01-01']
[tables.drug.columns.at]
type = 'timestamp'
[tables.drug.columns.ok]
type = 'bool'
domain = [true, false]
[tables.drug.columns.note]
type = 'text'
domain = [\"it's\", 'plain']
";

/// dose, price, weight, day, at, ok, note of each row, by site.
const ROWS: [&[&str]; 3] = [
    &[
        "5,10.25,1.5,2020-02-29,2020-01-01T00:00:00,true,it's",
        "7,-0.50,2.25,2021-01-01,2020-01-02T03:04:05.5,false,plain",
    ],
    &["2,100.00,0.25,2020-02-29,2020-01-01T00:00:00,true,it's", "-3,3.10,-4,2021-01-01,2020-01-01T00:00:00,true,plain"],
    &["11,0.01,1e3,2021-01-01,2020-01-01T00:00:00,false,plain"],
];

fn net(label: &str, by_hand: &str, settings: &str, wire: &str) -> Net {
    let folder = Scratch::new(label);
    for (site, rows) in SITES.iter().zip(ROWS) {
        let rows: String = (1..).zip(rows).map(|(person, row)| format!("{person},{row}\n")).collect();
        table(&folder, site, "drug", &format!("person_id,dose,price,weight,day,at,ok,note\n{rows}"));
    }
    let settings = format!("{settings}\n{SETTINGS}");
    let plan = Plan {
        label,
        sites: SITES,
        data: data(&folder),
        settings: &settings,
        by_hand,
        tables: &["drug"],
        wire,
        listen: "127.0.0.1",
    };
    Net::new(&plan, folder).up()
}

/// Notices, as they come.
type Notices = std::sync::Arc<std::sync::Mutex<Vec<String>>>;

async fn connect(config: &tokio_postgres::Config) -> Result<(Client, Notices), Error> {
    let (client, mut connection) = config.connect(NoTls).await?;
    let notices = Notices::default();
    let heard = notices.clone();
    tokio::spawn(async move {
        let mut messages = futures::stream::poll_fn(move |cx| connection.poll_message(cx));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notice(notice) = message {
                heard.lock().unwrap().push(notice.message().to_owned());
            }
        }
    });
    Ok((client, notices))
}

async fn ines(net: &Net) -> (Client, Notices) {
    connect(&net.client(ACCOUNTS[0])).await.unwrap()
}

fn code(error: &Error) -> (String, String) {
    let error = error.as_db_error().unwrap_or_else(|| panic!("no word of the server: {error:?}"));
    (error.code().code().to_owned(), error.message().split(':').next().unwrap().to_owned())
}

fn texts(messages: &[SimpleQueryMessage]) -> Vec<Vec<Option<String>>> {
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect()),
        _ => None,
    };
    messages.iter().filter_map(row).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_have_their_types_in_text_and_in_binary() {
    let net = net("wire-types", BY_RULE, "", "");
    let (client, notices) = ines(&net).await;
    let sql = "SELECT day, ok, note, COUNT(*) AS n, SUM(price) AS cost, AVG(weight) AS mean FROM drug GROUP BY day, ok, note ORDER BY 1, 2, 3";
    let statement = client.prepare(sql).await.unwrap();
    let types: Vec<&str> = statement.columns().iter().map(|column| column.type_().name()).collect();
    assert_eq!(types, ["date", "bool", "text", "int8", "numeric", "float8"]);
    let rows = client.query(&statement, &[]).await.unwrap();
    assert_eq!(rows.len(), 3);
    let first = &rows[0];
    assert_eq!((first.get::<_, bool>(1), first.get::<_, &str>(2), first.get::<_, i64>(3)), (true, "it's", 2));
    assert_eq!(first.get::<_, f64>(5), 0.875);
    let simple = texts(&client.simple_query(sql).await.unwrap());
    let row = |cells: [&str; 6]| cells.map(|cell| Some(cell.to_owned())).to_vec();
    assert_eq!(simple[0], row(["2020-02-29", "t", "it's", "2", "110.25", "0.875"]));
    assert_eq!(simple[1], row(["2021-01-01", "f", "plain", "2", "-0.49", "501.125"]));
    assert_eq!(simple[2], row(["2021-01-01", "t", "plain", "1", "3.10", "-4"]));
    let heard = notices.lock().unwrap().join("\n");
    for words in ["analyst", "cost: ", " rounds, ", " parties"] {
        assert!(heard.contains(words), "{words} is not in {heard}");
    }
    let at = client.query_one("SELECT MAX(at) AS last FROM drug", &[]).await.unwrap();
    assert_eq!(at.columns()[0].type_(), &Type::TIMESTAMP);
    assert_eq!(
        texts(&client.simple_query("SELECT MAX(at) FROM drug").await.unwrap())[0][0].as_deref(),
        Some("2020-01-02 03:04:05.500")
    );
    // `public` is where programs look for tables; a site's own are in its schema.
    assert_eq!(
        client.query_one("SELECT COUNT(*) FROM public.drug AS d WHERE d.ok", &[]).await.unwrap().get::<_, i64>(0),
        3
    );
    assert_eq!(client.query_one("SELECT COUNT(*) FROM huaxi.drug", &[]).await.unwrap().get::<_, i64>(0), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_are_bound_as_values_whatever_they_hold() {
    let net = net("wire-params", BY_RULE, "", "");
    let (client, _) = ines(&net).await;
    let one = async |sql: &str, values: &[&(dyn tokio_postgres::types::ToSql + Sync)]| match client
        .query_one(sql, values)
        .await
    {
        Ok(row) => row.get::<_, i64>(0).to_string(),
        Err(error) => code(&error).1,
    };
    let by_note = "SELECT COUNT(*) FROM drug WHERE note = $1";
    assert_eq!(one(by_note, &[&"it's"]).await, "2");
    for hostile in ["' OR 1=1 --", "\\' OR 1=1 --", "it''s", "'; DROP TABLE drug; --", "\\", "\\''", "$1"] {
        assert_eq!(one(by_note, &[&hostile]).await, "0", "{hostile}");
    }
    assert_eq!(one("SELECT COUNT(*) FROM drug WHERE dose > $1 AND dose < $2", &[&2i64, &11i64]).await, "2");
    assert_eq!(one("SELECT COUNT(*) FROM drug WHERE dose = $1", &[&-3i64]).await, "1");
    assert_eq!(one("SELECT COUNT(*) FROM drug WHERE weight < $1", &[&0.5f64]).await, "2");
    assert_eq!(one("SELECT COUNT(*) FROM drug WHERE ok = $1", &[&true]).await, "3");
    assert_eq!(one("SELECT COUNT(*) FROM drug WHERE note = $1", &[&None::<&str>]).await, "0");
    let statement = client.prepare("SELECT COUNT(*) FROM drug WHERE day = $1 AND price < $2").await.unwrap();
    assert_eq!(statement.params(), [Type::DATE, Type::NUMERIC]);
    // Prepared once, asked with other values.
    let statement = client.prepare(by_note).await.unwrap();
    for (note, count) in [("plain", 3), ("it's", 2), ("none", 0)] {
        assert_eq!(client.query_one(&statement, &[&note]).await.unwrap().get::<_, i64>(0), count);
    }
    assert_eq!(one("SELECT COUNT(*) FROM drug WHERE note = $1 AND dose > $3", &[&"a", &"b", &1i64]).await, "0");
    // Identifiers are not parameters, and quoted ones are names.
    assert_eq!(one("SELECT COUNT(*) FROM \"drug; DROP TABLE x\"", &[]).await, "UNKNOWN_TABLE");
    assert_eq!(one("SELECT COUNT(*) FROM drug WHERE \"dose\"\" = 1 OR \"\"1\" = 1", &[]).await, "UNKNOWN_COLUMN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_has_our_code_and_the_class_that_programs_know() {
    let net = net("wire-errors", BY_RULE, "", "");
    let (client, _) = ines(&net).await;
    for (sql, class, name) in [
        ("SELECT COUNT(*) FROM nowhere", "42P01", "UNKNOWN_TABLE"),
        ("SELECT COUNT(*) FROM drug WHERE dos = 1", "42703", "UNKNOWN_COLUMN"),
        ("SELECT COUNT(*) FRM drug", "42601", "SQL_SYNTAX"),
        ("SELECT nosuch(dose) FROM drug", "42883", "UNKNOWN_FUNCTION"),
        ("SELECT * FROM drug", "42501", "ROWS_NOT_RELEASED"),
        ("DELETE FROM drug", "25006", "NOT_A_QUERY"),
        ("INSERT INTO drug VALUES (1)", "25006", "NOT_A_QUERY"),
        ("COPY drug TO STDOUT", "25006", "NOT_A_QUERY"),
        ("EXPLAIN ANALYZE SELECT COUNT(*) FROM drug", "0A000", "UNSUPPORTED"),
        ("EXPLAIN (ANALYZE) SELECT COUNT(*) FROM drug", "0A000", "UNSUPPORTED"),
        ("EXPLAIN (FORMAT JSON) SELECT COUNT(*) FROM drug", "0A000", "UNSUPPORTED"),
        ("SELECT COUNT(*) FROM drug, pg_class", "0A000", "UNSUPPORTED"),
        ("SET consilium.study = 'other'; SELECT COUNT(*) FROM drug", "42501", "NO_SUCH_STUDY"),
        ("SET consilium.sudo = on", "42704", "UNKNOWN_SETTING"),
        ("SET consilium.wait = 'soon'", "22023", "BAD_SETTING"),
        ("SELECT * FROM consilium.answer('0123')", "42704", "NO_SUCH_JOB"),
        ("SELECT relname FROM pg_class WHERE nosuch = 1", "42703", "UNKNOWN_COLUMN"),
        ("SELECT nosuch()", "42883", "UNKNOWN_FUNCTION"),
    ] {
        client.simple_query("RESET ALL").await.unwrap();
        let error = client.simple_query(sql).await.unwrap_err();
        assert_eq!(code(&error), (class.to_owned(), name.to_owned()), "{sql}");
    }
    let error = client.simple_query("SELECT COUNT(*)\nFRM drug").await.unwrap_err();
    let place = error.as_db_error().unwrap().position();
    assert_eq!(place, Some(&tokio_postgres::error::ErrorPosition::Original(21)), "{error:?}");
    // The connection goes on, and what came before in one text has happened.
    let several = client
        .simple_query("BEGIN; SELECT 1; COMMIT; SET consilium.suppressed = on; SHOW consilium.suppressed")
        .await
        .unwrap();
    assert_eq!(texts(&several), [[Some("1".to_owned())], [Some("on".to_owned())]]);
    let plan = texts(&client.simple_query("EXPLAIN SELECT COUNT(*) FROM drug").await.unwrap());
    assert!(
        plan.len() > 5
            && plan.iter().flatten().flatten().any(|line| line.contains("ines asks through the node of st_mary")),
        "{plan:?}"
    );
    let reveals = texts(&client.simple_query("EXPLAIN DISCLOSURE SELECT COUNT(*) FROM drug").await.unwrap());
    let listed = "EXPLAIN (VERBOSE, DISCLOSURE) SELECT COUNT(*) FROM drug";
    assert_eq!(texts(&client.simple_query(listed).await.unwrap()), reveals);
    let bracketed = texts(&client.simple_query("EXPLAIN (SELECT COUNT(*) FROM drug)").await.unwrap());
    // Behind the question as it was written.
    assert_eq!(bracketed[2..], plan[2..]);
    assert!(!reveals.is_empty() && reveals.len() < plan.len());
    // The same in Chinese.
    let is_chinese = |line: &String| line.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
    let has_chinese = |rows: &[Vec<Option<String>>]| rows.iter().flatten().flatten().any(is_chinese);
    assert!(!has_chinese(&reveals));
    client.simple_query("SET consilium.language = zh").await.unwrap();
    let chinese = texts(&client.simple_query("EXPLAIN DISCLOSURE SELECT COUNT(*) FROM drug").await.unwrap());
    assert!(chinese.len() == reveals.len() && has_chinese(&chinese), "{chinese:?}");
    let error = client.simple_query("SET consilium.language = fr").await.unwrap_err();
    assert_eq!(code(&error).1, "BAD_SETTING");
    assert_eq!(net.jobs().len(), 0, "nothing of this ran");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_waits_longer_than_the_connection_is_fetched_later() {
    let net = net("wire-waits", COUNTS, "", "");
    let (client, notices) = ines(&net).await;
    client.simple_query("SET consilium.wait = '2s'").await.unwrap();
    let began = Instant::now();
    let error = client.query("SELECT SUM(dose) AS total, AVG(price) AS cost FROM drug", &[]).await.unwrap_err();
    assert_eq!(code(&error), ("55000".to_owned(), "WAITING_FOR_APPROVAL".to_owned()));
    assert!(began.elapsed() >= Duration::from_secs(2) && began.elapsed() < Duration::from_secs(30));
    let hint = error.as_db_error().unwrap().hint().unwrap().to_owned();
    let id = hint.rsplit('\'').nth(1).unwrap().to_owned();
    assert!(
        notices.lock().unwrap().iter().any(|text| text.contains("charite: 1 of its stewards to say yes")),
        "{notices:?}"
    );
    let jobs = client
        .query("SELECT id, state, waits_for, question FROM consilium.jobs WHERE state = 'waiting'", &[])
        .await
        .unwrap();
    assert_eq!(jobs.len(), 1);
    assert!(jobs[0].get::<_, &str>(0).starts_with(&id) && jobs[0].get::<_, &str>(3).contains("SUM(dose)"));
    let words: String = jobs[0].get(2);
    net.approve(words.rsplit(' ').next().unwrap());
    until("it is done", || net.jobs()[0]["state"] == "done");
    let answer = client.query(&format!("SELECT * FROM consilium.answer('{id}')"), &[]).await.unwrap();
    assert_eq!((answer[0].columns()[0].name(), answer[0].get::<_, i64>(0)), ("total", 22));
    // Another account has no such job.
    let (joao, _) = connect(&net.client(ACCOUNTS[1])).await.unwrap();
    let error = joao.simple_query(&format!("SELECT * FROM consilium.answer('{id}')")).await.unwrap_err();
    assert_eq!(code(&error).1, "NO_SUCH_JOB");
    assert_eq!(joao.query("SELECT * FROM consilium.jobs", &[]).await.unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_request_takes_the_job_back_and_the_connection_goes_on() {
    let net = net("wire-cancel", COUNTS, "", "");
    let (client, _) = ines(&net).await;
    let token = client.cancel_token();
    let asked = tokio::spawn(async move {
        let ended = client.simple_query("SELECT SUM(dose) FROM drug").await.map(|_| ());
        (client, ended)
    });
    until("it waits", || net.jobs().first().is_some_and(|job| job["sites"][0]["state"] == "waiting"));
    token.cancel_query(NoTls).await.unwrap();
    let (client, ended) = asked.await.unwrap();
    assert_eq!(code(&ended.unwrap_err()), ("57014".to_owned(), "JOB_CANCELLED".to_owned()));
    assert_eq!(net.jobs()[0]["state"], "cancelled");
    assert_eq!(client.query_one("SELECT COUNT(*) FROM drug", &[]).await.unwrap().get::<_, i64>(0), 5);
    // A cancel that comes when nothing runs ends nothing that comes later.
    client.cancel_token().cancel_query(NoTls).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(client.query_one("SELECT COUNT(*) FROM drug WHERE dose > 4", &[]).await.unwrap().get::<_, i64>(0), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_takes_what_has_not_begun_with_it() {
    let net = net("wire-leaves", COUNTS, "", "connections = 2");
    for _ in 0..3 {
        // More than there is room for, one after the other. A client of this library that is dropped would wait for its answer.
        let (client, connection) = net.client(ACCOUNTS[0]).connect(NoTls).await.unwrap();
        let connected = tokio::spawn(connection);
        let asked = client.simple_query("SELECT SUM(dose) FROM drug");
        assert!(tokio::time::timeout(Duration::from_millis(1500), asked).await.is_err());
        connected.abort();
    }
    until("all are taken back", || {
        let jobs = net.jobs();
        jobs.len() == 3 && jobs.iter().all(|job| job["state"] == "cancelled")
    });
    let (first, _) = ines(&net).await;
    let (_second, _) = ines(&net).await;
    let error = connect(&net.client(ACCOUNTS[0])).await.err().unwrap();
    assert_eq!(code(&error), ("53300".to_owned(), "TOO_MANY_CONNECTIONS".to_owned()));
    drop(first);
    tokio::time::sleep(Duration::from_millis(500)).await;
    connect(&net.client(ACCOUNTS[0])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_passwords_cost_time_and_unknown_accounts_look_like_them() {
    let net = net("wire-login", BY_RULE, "", "");
    let tried = async |user: &str, password: &str| {
        let began = Instant::now();
        let error = connect(net.client(user).password(password)).await.err().unwrap();
        let words = error.as_db_error().unwrap().message().replace(user, "X");
        (code(&error).0, words, began.elapsed())
    };
    let (wrong, unknown) = (tried("ines", "another password").await, tried("eve", PASSWORD).await);
    // An account of the node that has no password is nobody either.
    net.account(&["remove", "joao"], "");
    let removed = tried("joao", PASSWORD).await;
    for (class, words, took) in [&wrong, &unknown, &removed] {
        assert_eq!((class.as_str(), words), ("28P01", &wrong.1));
        assert!(*took >= Duration::from_millis(900), "{took:?}");
    }
    // A new password counts from now on, without a restart.
    net.set_password("ines", "a longer new password");
    assert_eq!(tried("ines", PASSWORD).await.0, "28P01");
    connect(net.client("ines").password("a longer new password")).await.unwrap();
    let (_, said) = net.account(&["list"], "");
    assert_eq!(said, "ines\n");
    let file = std::fs::read_to_string(net.folder.at("st_mary/accounts.toml")).unwrap();
    assert!(file.contains("SCRAM-SHA-256$") && !file.contains("password") && !file.contains("joao"), "{file}");
    for (arguments, input, code) in [
        (&["set", "eve"][..], "long enough to be one", "NO_SUCH_ACCOUNT"),
        (&["set", "ines"], "short", "BAD_PASSWORD"),
        (&["remove", "eve"], "", "NO_SUCH_ACCOUNT"),
    ] {
        let (done, said) = net.account(arguments, input);
        assert!(!done && said.starts_with(code), "{said}");
    }
    let (_, made) = net.account(&["set", "joao", "--make"], "");
    connect(net.client("joao").password(made.trim())).await.unwrap();
    let log = net.log(0);
    assert!(log.contains("BAD_PASSWORD") && !log.contains("eve") && !log.contains("ines"), "{log}");
    // A file that others may read lets nobody in.
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(net.folder.at("st_mary/accounts.toml"), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(tried("joao", made.trim()).await.0, "28P01");
}

/// A connection by hand, with a first message of this user.
fn by_hand(net: &Net) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", net.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let body = b"\0\x03\0\0user\0ines\0\0";
    stream.write_all(&(body.len() as u32 + 4).to_be_bytes()).unwrap();
    stream.write_all(body).unwrap();
    stream
}

/// What comes until the connection is closed.
fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_are_too_long_or_none_close_the_connection_with_a_word() {
    let net = net("wire-long", BY_RULE, "", "");
    let (client, _) = ines(&net).await;
    // As long as may be: refused for its length as a question.
    let error = client.simple_query(&format!("SELECT '{}'", "x".repeat((1 << 20) - 100))).await.unwrap_err();
    assert_eq!(code(&error), ("54000".to_owned(), "QUERY_TOO_LONG".to_owned()));
    let error = client.simple_query(&format!("SELECT '{}'", "x".repeat(1 << 21))).await.unwrap_err();
    assert_eq!(code(&error), ("54000".to_owned(), "MESSAGE_TOO_LONG".to_owned()));
    assert!(client.simple_query("SELECT 1").await.is_err(), "the connection is closed");
    // Before the login less is allowed, and nothing but logging in.
    for (message, word) in [
        (&[b"p".as_slice(), &20_000u32.to_be_bytes()].concat()[..], "MESSAGE_TOO_LONG"),
        (&[b"Q".as_slice(), &3u32.to_be_bytes()].concat(), "MESSAGE_TOO_LONG"),
        (&[b"Q".as_slice(), &13u32.to_be_bytes(), b"SELECT 1\0"].concat(), "BAD_MESSAGE"),
        (&[b"\xff".as_slice(), &4u32.to_be_bytes()].concat(), "BAD_MESSAGE"),
        // A body that says it is longer than its message, which never ends.
        (&[b"p".as_slice(), &22u32.to_be_bytes(), b"SCRAM-SHA-256\0\x7f\xff\xff\xff"].concat(), "BAD_MESSAGE"),
    ] {
        let mut stream = by_hand(&net);
        stream.write_all(message).unwrap();
        let said = rest(stream);
        assert!(said.contains(word), "{word} is not in {said:?}");
    }
    // What is no PostgreSQL at all.
    let mut stream = TcpStream::connect(("127.0.0.1", net.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let said = rest(stream);
    assert!(said.is_empty() || said.contains("MESSAGE_TOO_LONG"), "{said:?}");
    // A cancel request with a wrong key does nothing, and says nothing.
    let mut stream = TcpStream::connect(("127.0.0.1", net.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = [16u32, 80_877_102, 1, 7].map(u32::to_be_bytes).concat();
    stream.write_all(&request).unwrap();
    assert_eq!(rest(stream), "");
    let (client, _) = ines(&net).await;
    assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i64>(0), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_says_nothing_keeps_few_places_and_not_for_long() {
    let net = net("wire-silent", BY_RULE, "", "");
    let silent: Vec<TcpStream> = (0..64).map(|_| TcpStream::connect(("127.0.0.1", net.port)).unwrap()).collect();
    // From one address no more than 32 log in at a time: the others find themselves outside at once.
    let closed = || {
        let is_closed = |mut stream: &TcpStream| matches!(stream.read(&mut [0]), Ok(0));
        silent.iter().filter(|stream| is_closed(stream)).count()
    };
    silent.iter().for_each(|stream| stream.set_nonblocking(true).unwrap());
    until("the others are turned away", || closed() >= 32);
    until("and these are after a while", || closed() == 64);
    ines(&net).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_discarded_goes_back_to_what_the_connection_began_with() {
    let net = net("wire-discard", BY_RULE, "", "");
    let mut config = net.client(ACCOUNTS[0]);
    let (client, _) = connect(config.options("-c consilium.epsilon=0.5")).await.unwrap();
    for back in ["DISCARD ALL", "RESET ALL", "RESET consilium.epsilon"] {
        client.simple_query("SET consilium.epsilon = '2'").await.unwrap();
        client.simple_query(back).await.unwrap();
        let shown = texts(&client.simple_query("SHOW consilium.epsilon").await.unwrap());
        assert_eq!(shown, [[Some("0.5".to_owned())]], "{back}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_keeps_a_bounded_memory_of_statements() {
    let net = net("wire-kept", BY_RULE, "", "");
    let (client, _) = ines(&net).await;
    let sql = format!("SELECT '{}'", "x".repeat(60_000));
    let mut kept = Vec::new();
    let error = loop {
        match client.prepare(&sql).await {
            Ok(statement) => kept.push(statement),
            Err(error) => break error,
        }
    };
    assert_eq!(code(&error), ("54000".to_owned(), "TOO_MANY_STATEMENTS".to_owned()));
    assert!((60..80).contains(&kept.len()), "{} of 60 KB are kept", kept.len());
    // What needs no name has room, and what is given up makes room.
    assert_eq!(texts(&client.simple_query("SELECT 1").await.unwrap()).len(), 1);
    client.simple_query("DEALLOCATE ALL").await.unwrap();
    client.prepare(&sql).await.unwrap();
    let gone = client.query(&kept[0], &[]).await.unwrap_err();
    assert_eq!(gone.as_db_error().unwrap().code().code(), "26000", "{gone:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_number_of_rows_is_asked_for_the_node_goes_on() {
    let net = net("wire-rows", BY_RULE, "", "");
    let (mut client, _) = ines(&net).await;
    let transaction = client.transaction().await.unwrap();
    let sql = "SELECT typname FROM pg_type ORDER BY typname LIMIT 5";
    for (most, came) in [(i32::MAX, 5), (-1, 5), (i32::MIN, 5), (0, 5), (2, 2)] {
        let portal = transaction.bind(sql, &[]).await.unwrap();
        assert_eq!(transaction.query_portal(&portal, most).await.unwrap().len(), came, "{most}");
    }
    // In parts, as cursors of programs read.
    let portal = transaction.bind(sql, &[]).await.unwrap();
    for came in [2, 2, 1, 0] {
        assert_eq!(transaction.query_portal(&portal, 2).await.unwrap().len(), came);
    }
    let types = "(SELECT oid FROM pg_type)";
    let large = format!("SELECT a.oid, b.oid, c.oid, '{}' AS x FROM {types} a, {types} b, {types} c", "x".repeat(800));
    let portal = transaction.bind(&large, &[]).await.unwrap();
    let error = transaction.query_portal(&portal, 2).await.unwrap_err();
    assert_eq!(code(&error).1, "TOO_MANY_STATEMENTS");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_prepared_is_asked_under_the_settings_of_the_moment() {
    let net = net("wire-settings", BY_RULE, "", "");
    let (client, _) = ines(&net).await;
    let statement = client.prepare("SELECT COUNT(*) AS n FROM drug").await.unwrap();
    assert_eq!(client.query_one(&statement, &[]).await.unwrap().get::<_, i64>(0), 5);
    client.simple_query("SET consilium.audience = everyone").await.unwrap();
    client.query_one(&statement, &[]).await.unwrap();
    let audience = net.jobs().iter().map(|job| job["audience"].to_string()).collect::<Vec<_>>();
    assert_eq!(audience.len(), 2);
    assert_ne!(audience[0], audience[1], "{audience:?}");
    for sql in ["SET LOCAL consilium.epsilon = '0.5'", "SELECT set_config('consilium.epsilon', '0.5', false)"] {
        assert_eq!(code(&client.simple_query(sql).await.unwrap_err()).1, "UNSUPPORTED", "{sql}");
    }
    let error = client
        .simple_query("WITH drug AS (SELECT dose FROM public.drug WHERE dose > 4) SELECT COUNT(*) FROM public.drug")
        .await
        .unwrap_err();
    assert_eq!(code(&error).1, "UNSUPPORTED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_hides_cells_from_nodes_answers_to_everyone() {
    let policy = "classes = ['count', 'table']\nmin_patients = 3\ntell_reasons = true\n\
                  [columns.drug]\nperson_id = ['link']\nnote = ['group']\n\
                  [[approve]]\nclasses = ['count', 'table', 'matching']\n";
    let policy = policy.replace("'table']\nmin", "'table', 'matching']\nmin");
    let net = net("wire-audience", &policy, "min_patients = 3", "");
    let (client, _) = ines(&net).await;
    let sql = "SELECT note, COUNT(*) AS n FROM drug GROUP BY note ORDER BY note";
    let error = client.simple_query(sql).await.unwrap_err();
    assert_eq!(code(&error).1, "NODE_SEES_ANSWER");
    let hint = error.as_db_error().unwrap().hint().unwrap().to_owned();
    assert!(hint.contains("SET consilium.audience = everyone"), "{hint}");
    client.simple_query("SET consilium.audience = everyone").await.unwrap();
    let plan = texts(&client.simple_query(&format!("EXPLAIN DISCLOSURE {sql}")).await.unwrap());
    assert!(plan.iter().flatten().flatten().any(|line| line.contains("every site")), "{plan:?}");
    assert!(!texts(&client.simple_query(sql).await.unwrap()).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hidden_cells_are_null_with_a_column_beside_them_on_request() {
    let net = net("wire-hidden", BY_RULE, "min_patients = 3", "");
    let (client, notices) = ines(&net).await;
    let sql = "SELECT note, COUNT(*) AS n FROM drug GROUP BY note ORDER BY note";
    let rows = client.query(sql, &[]).await.unwrap();
    // Every declared group is a row, that without a note too.
    let cells: Vec<(Option<String>, Option<i64>)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert!(cells.contains(&(Some("it's".to_owned()), None)), "{cells:?}");
    assert!(
        notices.lock().unwrap().iter().any(|text| text.contains("hidden and NULL here: fewer than 3")),
        "{notices:?}"
    );
    client.simple_query("SET consilium.suppressed = on").await.unwrap();
    let rows = client.query(sql, &[]).await.unwrap();
    let names: Vec<&str> = rows[0].columns().iter().map(|column| column.name()).collect();
    assert_eq!(names, ["note", "n", "note_suppressed", "n_suppressed"]);
    for row in &rows {
        let (n, why): (Option<i64>, Option<&str>) = (row.get(1), row.get(3));
        assert_eq!(why, n.is_none().then_some("fewer than 3"));
        assert_eq!(row.get::<_, Option<&str>>(2), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_says_so_and_what_waits_goes_on() {
    let net = net("wire-stops", COUNTS, "", "");
    let (idle, _) = ines(&net).await;
    let (busy, _) = ines(&net).await;
    let asked = tokio::spawn(async move { busy.simple_query("SELECT SUM(dose) FROM drug").await.map(|_| ()) });
    until("it waits", || net.jobs().first().is_some_and(|job| job["sites"][0]["state"] == "waiting"));
    net.signal(0, "TERM");
    let error = asked.await.unwrap().unwrap_err();
    assert_eq!(code(&error), ("57P01".to_owned(), "NODE_STOPPED".to_owned()));
    assert_eq!(error.code(), Some(&SqlState::ADMIN_SHUTDOWN));
    assert!(idle.simple_query("SELECT 1").await.is_err());
}
