//! A site's tables in PostgreSQL: the same answers as from files, whoever does the local work.

#[path = "postgres/both.rs"]
mod both;
mod common;
#[path = "postgres/hospitals.rs"]
mod hospitals;
// It reads what /proc says of a process.
#[cfg(target_os = "linux")]
#[path = "postgres/memory.rs"]
mod memory;

use std::fs;
use std::path::Path;

use both::{Both, ROWS, SITE, TYPES, both};
use common::Scratch;
use common::postgres::{PASSWORD, READER, Server, private};
use hospitals::answers;
use party_node::local::{NetworkFacts, partials_blocking};
use party_node::source::postgres::settings::Settings as Database;
use party_node::source::{BoundData, SiteData};
use query_planner::catalog::SiteName;
use query_planner::{Audience, Options, Settings, merge};

#[test]
fn a_condition_means_the_same_to_the_database_as_to_the_node() {
    let Some(server) = Server::start() else { return };
    let both = both(&server, "conditions");
    let (mut asked, mut pushed, mut wrong) = (0, 0, Vec::new());
    for condition in [
        "n > 3",
        "n <> 7",
        "NOT (n > 3)",
        "n IS NULL",
        "n IN (7, 0, -7)",
        "n NOT IN (7, 0)",
        "n BETWEEN -7 AND 7",
        "n IS DISTINCT FROM m",
        "cost > 1.00",
        "cost = 1",
        "cost < 0",
        "day >= DATE '2020-02-29'",
        "day < DATE '1970-01-01'",
        "day BETWEEN DATE '1999-01-01' AND DATE '2020-12-31'",
        "EXTRACT(YEAR FROM day) = 2020",
        "EXTRACT(MONTH FROM day) IN (2, 12)",
        "at > TIMESTAMP '2020-02-29 10:00:00'",
        "at <= TIMESTAMP '1999-12-31 23:59:59.5'",
        "sex = 'F'",
        "sex < 'a'",
        "sex >= 'm'",
        "sex > 'z'",
        "sex <> 'M'",
        "note LIKE 'a%c'",
        "note LIKE '_b_'",
        "note NOT LIKE 'A%'",
        "note LIKE 'a\\%c'",
        "note LIKE '%two%lines%'",
        "note LIKE 'two_lines'",
        "note = 'it''s \"so\"; DROP TABLE t; --'",
        "note ILIKE 'abc'",
        "ok",
        "NOT ok",
        "ok IS NOT TRUE",
        "ok OR n > 0",
        "ok AND n > 0",
        "x > 0",
        "x = 0",
        "x IS NULL",
        "CASE WHEN n > 0 THEN ok WHEN sex = 'M' THEN TRUE ELSE NULL END",
        "COALESCE(sex, 'none') = 'none'",
        "n / 2 = 3",
        "n % 4 = -3",
        "m <> 0 AND 12 / m > 3",
        "n + 1 > 0",
        "NULLIF(m, 0) IS NULL",
        "n = 7 OR NULL",
    ] {
        let rows = both.agree(&format!("SELECT COUNT(*), SUM(m), COUNT(sex), SUM(x) FROM t WHERE {condition}"));
        let counted = both.agree(&format!("SELECT COUNT(*), SUM(m) FROM t WHERE {condition}"));
        let (Some(rows), Some(counted)) = (rows, counted) else { continue };
        asked += 1;
        let by_groups = counted.iter().any(|sql| sql.contains("sum("));
        pushed += usize::from(by_groups);
        println!("{} {condition}", if by_groups { "database" } else { "node    " });
        wrong.extend(rows.into_iter().chain(counted).filter(|sql| sql.contains("DROP") || sql.contains("'F'")));
    }
    assert!(wrong.is_empty(), "a literal stands in {wrong:?}");
    println!("{pushed} of {asked} conditions were the database's");
    assert!(asked >= 40, "only {asked} of the conditions were asked");
    assert!(pushed >= 25, "only {pushed} of the conditions were left to the database");
}

#[test]
fn columns_keys_and_sums_mean_the_same_to_the_database_as_to_the_node() {
    let Some(server) = Server::start() else { return };
    let both = both(&server, "columns");
    let mut asked = 0;
    for sql in [
        "SELECT sex, COUNT(*), SUM(m), SUM(cost) FROM t GROUP BY sex",
        "SELECT sex, ok, COUNT(*), COUNT(n), AVG(m), VAR_SAMP(m) FROM t GROUP BY sex, ok",
        "SELECT note, COUNT(*) FROM t GROUP BY note",
        "SELECT day, COUNT(*) FROM t GROUP BY day",
        "SELECT at, COUNT(*) FROM t GROUP BY at",
        "SELECT cost, COUNT(*) FROM t GROUP BY cost",
        "SELECT EXTRACT(YEAR FROM day) AS y, COUNT(*), SUM(cost) FROM t GROUP BY 1",
        "SELECT m / 2 AS half, COUNT(*) FROM t GROUP BY 1",
        "SELECT m % 2 AS odd, COUNT(*) FROM t GROUP BY 1",
        "SELECT m / -2 AS half, COUNT(*) FROM t GROUP BY 1",
        "SELECT CASE WHEN n > 0 THEN 'more' WHEN n < 0 THEN 'less' ELSE sex END AS k, COUNT(*) FROM t GROUP BY 1",
        "SELECT CASE sex WHEN 'F' THEN 1 WHEN 'M' THEN 2 ELSE 3 END AS k, COUNT(*) FROM t GROUP BY 1",
        "SELECT COUNT(*) FILTER (WHERE ok), SUM(m) FILTER (WHERE sex = 'F') FROM t",
        "SELECT SUM(m * m), SUM(2019 - m) FROM t",
        "SELECT SUM(n) FROM t",
        "SELECT SUM(n + n) FROM t",
        "SELECT SUM(n + 1) FROM t WHERE n > 0",
        "SELECT SUM(12 / m) FROM t",
        "SELECT SUM(CASE WHEN m <> 0 THEN 12 / m ELSE 0 END) FROM t",
        "SELECT SUM(x), AVG(x), VAR_POP(x) FROM t WHERE x < 100",
        "SELECT MEDIAN(m), MIN(n), MAX(m) FROM t",
        "SELECT COUNT(DISTINCT person_id) FROM t WHERE m > 1",
        "SELECT COUNT(*), CORR(m, n) FROM t WHERE n BETWEEN -10 AND 10",
        "SELECT COUNT(*), SUM(m) FROM t WHERE n > 1000 AND n < 2000",
        "SELECT sex, COUNT(*) FROM t WHERE FALSE GROUP BY sex",
        "SELECT COUNT(*) FROM t",
        "SELECT COUNT(*) FROM A.t a JOIN A.u b ON a.person_id = b.person_id",
        "SELECT b.label, COUNT(*), SUM(a.m) FROM A.t a JOIN A.u b ON a.person_id = b.person_id AND a.n > b.code GROUP BY b.label",
        "SELECT COUNT(*), COUNT(b.code) FROM A.t a LEFT JOIN A.u b ON a.person_id = b.person_id",
        "SELECT COUNT(*) FROM A.t a JOIN A.u b ON a.sex = b.label",
        "SELECT COUNT(*) FROM A.t WHERE person_id IN (SELECT person_id FROM A.u WHERE code > 2)",
        "SELECT COUNT(*) FROM A.t a WHERE NOT EXISTS (SELECT 1 FROM A.u b WHERE b.person_id = a.person_id)",
        "SELECT COUNT(*) FROM A.t WHERE n NOT IN (SELECT code FROM A.u)",
        "SELECT COUNT(*) FROM (SELECT person_id, m FROM A.t UNION ALL SELECT person_id, code FROM A.u) s WHERE m > 2",
        "SELECT COUNT(*) FROM (SELECT DISTINCT person_id, sex FROM A.t) s",
        "SELECT COUNT(*) FROM A.t WHERE m > (SELECT AVG(code) FROM A.u)",
    ] {
        if let Some(done) = both.agree(sql) {
            asked += 1;
            println!("{}\n    {}", sql, done.join("\n    "));
        }
    }
    assert!(asked >= 25, "only {asked} of the questions were asked");
}

#[test]
fn patients_behind_hidden_cells_are_the_same_to_the_database_as_to_the_node() {
    let Some(server) = Server::start() else { return };
    let other = "person_id,code,label\n1,7,F\n2,,M\n4,3,\n4,3,F\n9,1,z\n,7,F\n";
    let settings = format!("min_patients = 2\n{TYPES}");
    let both = Both::new(&server, "hidden", &[("t", ROWS), ("u", other)], &settings);
    for sql in [
        "SELECT COUNT(*) AS n FROM t WHERE m > 1",
        "SELECT sex, COUNT(*) AS n, SUM(m) AS s FROM t WHERE note LIKE 'a%' GROUP BY sex",
        "SELECT COUNT(DISTINCT person_id) AS n FROM t WHERE day > DATE '2000-01-01'",
        "SELECT COUNT(*) AS n FROM (SELECT DISTINCT person_id FROM t WHERE m > 1) a JOIN (SELECT DISTINCT person_id FROM u) b \
         ON a.person_id = b.person_id",
    ] {
        println!("{}\n    {}", sql, both.agree(sql).expect("the planner answers this").join("\n    "));
    }
}

#[test]
fn names_of_any_characters_are_quoted_and_mean_what_they_say() {
    let Some(server) = Server::start() else { return };
    server.create("names");
    let (table, column) = (r#""t""; DROP TABLE keep; --""#, r#""a""b;c""#);
    let make = format!(
        "CREATE TABLE keep (person_id bigint, n bigint); INSERT INTO keep VALUES (1, 5);
         CREATE TABLE {table} (person_id bigint, {column} bigint, \"select\" text);
         INSERT INTO {table} VALUES (1, 2, 'x''; --'), (2, 40, NULL)"
    );
    server.run("names", &make);
    let folder = Scratch::new("names");
    ["A", "B", "C"].into_iter().for_each(|site| server.settings(&folder, site, "names", ""));
    let questions = [
        format!("SELECT COUNT(*), SUM({column}) FROM {table} WHERE \"select\" = 'x''; --' OR {column} > 3"),
        "SELECT SUM(n) FROM keep".to_owned(),
    ];
    let answers = answers(&folder, &questions);
    assert_eq!(answers[0][1], serde_json::json!([[6, 126]]));
    assert_eq!(answers[1][1], serde_json::json!([[15]]));
}

/// A word of a row, which no message may repeat.
const CANARY: &str = "Zanzibaralda";

/// Makes database `name`, and opens it as site A of a network whose other site has these files.
fn opened(server: &Server, name: &str, make: &str, settings: &str) -> Result<BoundData, party_node::fault::NodeError> {
    let folder = Scratch::new("bad");
    folder.write("B/t.csv", "person_id,n,sex\n1,5,F\n");
    server.create(name);
    server.run(name, make);
    server.settings(&folder, "A", name, "");
    let settings = Settings::from_toml(settings).unwrap();
    let other = SiteData::open(&folder.at("B")).unwrap().schema(&settings.patient_key);
    let catalog = merge::merge(&["A", "B"].map(|site| (SiteName(site.into()), other.clone())), &settings).unwrap();
    SiteData::open(&folder.at("A"))?.bind(&catalog, &SiteName("A".into()))
}

#[test]
fn rows_that_are_not_as_declared_are_refused_by_a_code_and_without_a_value() {
    let Some(server) = Server::start() else { return };
    let table = |columns: &str, rows: &str| format!("CREATE TABLE t ({columns}); INSERT INTO t VALUES {rows}");
    let cases = [
        ("missing table", "CREATE TABLE other (person_id bigint)".into(), "", "TABLE_MISSING"),
        ("missing column", table("person_id bigint, n bigint", "(1, 5)"), "", "COLUMN_MISSING"),
        ("no table", String::new(), "", "NO_TABLES"),
        (
            "two tables",
            "CREATE TABLE t (person_id bigint); CREATE TABLE \"T\" (person_id bigint)".into(),
            "",
            "DUPLICATE_TABLE",
        ),
        (
            "a word for nothing",
            table("person_id bigint, n text, sex text", &format!("(1, 'NA', '{CANARY}')")),
            "",
            "MISSING_VALUE_WORD",
        ),
        (
            "not a number",
            table("person_id bigint, n text, sex text", &format!("(1, '{CANARY}', 'F')")),
            "",
            "NOT_AN_INTEGER",
        ),
        (
            "too large",
            table("person_id bigint, n numeric, sex text", "(1, 9223372036854775808, 'F')"),
            "",
            "INTEGER_OVERFLOW",
        ),
        (
            "out of range",
            table("person_id bigint, n int, sex text", "(1, 773177, 'F'), (2, NULL, 'M')"),
            "[tables.t.columns.n]\nrange = [0, 10]\n",
            "VALUE_OUT_OF_RANGE",
        ),
        (
            "outside a domain",
            table("person_id bigint, n int, sex text", &format!("(1, 7, '{CANARY}'), (2, NULL, NULL)")),
            "[tables.t.columns.sex]\ndomain = [\"F\", \"M\"]\n",
            "VALUE_OUTSIDE_DOMAIN",
        ),
        (
            "a text outside a range",
            table("person_id bigint, n varchar(9), sex text", "(1, '773177', 'F')"),
            "[tables.t.columns.n]\nrange = [0, 10]\n",
            "VALUE_OUT_OF_RANGE",
        ),
        (
            "not finite",
            table("person_id bigint, n float8, sex text", "(1, 'NaN', 'F')"),
            "[tables.t.columns.n]\ntype = \"real\"\n",
            "NOT_FINITE",
        ),
        (
            "no day",
            table("person_id bigint, n date, sex text", "(1, 'infinity', 'F')"),
            "[tables.t.columns.n]\ntype = \"date\"\n",
            "INVALID_DATE",
        ),
        (
            "many rows",
            table("person_id bigint, n int, sex text", "(1, 1, 'F'), (2, 2, 'M')"),
            "[tables.t]\nmax_rows = 1\n",
            "TOO_MANY_ROWS",
        ),
        (
            "many patients",
            table("person_id bigint, n int, sex text", "(1, 1, 'F'), (2, 2, 'M')"),
            "max_patients = 1\n",
            "TOO_MANY_PATIENTS",
        ),
    ];
    for (i, (name, make, settings, code)) in cases.iter().enumerate() {
        let refused = opened(&server, &format!("bad{i}"), make, settings).map(drop).expect_err(name);
        println!("{name}: {refused}");
        assert_eq!(refused.code, *code, "{name}: {refused}");
        for value in [CANARY, "773177", "9223372036854775808"] {
            assert!(!refused.to_string().contains(value), "{name}: {refused}");
        }
    }
    let good = table("person_id int, n text, sex varchar(3)", "(1, '5', 'F'), (2, '', NULL)");
    opened(&server, "good", &good, "").expect("whole numbers that stand in a text are read, and nothing is NULL");
}

#[test]
fn a_connection_that_cannot_be_had_is_refused_by_a_code_and_without_the_password() {
    let Some(server) = Server::start() else { return };
    server.create("closed");
    server.run("closed", "CREATE TABLE t (person_id bigint); REVOKE ALL ON t FROM reader");
    let folder = Scratch::new("refused");
    let good = format!(
        "host = \"{}\"\ndbname = \"closed\"\nuser = \"{READER}\"\npassword_file = \"password\"\ntls = \"off\"\n",
        server.host().display()
    );
    let open = |text: &str, password: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt;
        let file = folder.write("A/password", password);
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        folder.write("A/postgres.toml", text);
        let refused = SiteData::open(&folder.at("A")).expect_err(text);
        println!("{refused}");
        assert!(!refused.to_string().contains(password), "{refused}");
        refused.code.to_string()
    };
    assert_eq!(open(&good, PASSWORD, 0o600), "NO_TABLES", "a table that the role may not read is none");
    assert_eq!(open(&good, "wrong word", 0o600), "DATABASE_REFUSED");
    assert_eq!(open(&good, PASSWORD, 0o644), "KEY_FILE_OPEN");
    assert_eq!(open(&good.replace("closed", "nowhere"), PASSWORD, 0o600), "DATABASE_REFUSED");
    assert_eq!(open(&good.replace("dbname", "port = 9\ndbname"), PASSWORD, 0o600), "DATABASE_UNREACHABLE");
    assert_eq!(open(&good.replace("dbname", "dbnam"), PASSWORD, 0o600), "BAD_CONFIG");
    let (ca, tls) = (folder.write("A/ca.pem", "no certificate"), "tls = \"required\"\nca_file = \"ca.pem\"");
    assert_eq!(open(&good.replace("tls = \"off\"", tls), PASSWORD, 0o600), "BAD_CONFIG");
    drop(ca);
    folder.write("A/t.csv", "person_id\n1\n");
    assert_eq!(open(&good, PASSWORD, 0o600), "TWO_SOURCES");
    private(&folder.at("A/password"));
}

#[test]
fn a_database_is_known_by_a_certificate_that_the_hospital_vouches_for() {
    let keys = Scratch::new("keys");
    let Some((certificate, key)) = common::postgres::certificate(&keys, "server") else { return };
    let Some((other, _)) = common::postgres::certificate(&keys, "other") else { return };
    let Some(server) = Server::start_with_tls(&certificate, &key) else { return };
    server.create("tls");
    server.run("tls", "CREATE TABLE t (person_id bigint)");
    let folder = Scratch::new("tls");
    let open = |host: &str, tls: &str| {
        let text = format!("host = \"{host}\"\nport = {}\ndbname = \"tls\"\nuser = \"{READER}\"\n{tls}", server.port);
        private(&folder.write("A/password", PASSWORD));
        folder.write("A/postgres.toml", text + "\npassword_file = \"password\"\n");
        SiteData::open(&folder.at("A")).map(drop).map_err(|refused| refused.code.to_string())
    };
    let trusted = |file: &Path| format!("ca_file = \"{}\"", file.display());
    assert_eq!(open("localhost", &trusted(&certificate)), Ok(()));
    assert_eq!(open("localhost", &trusted(&other)), Err("DATABASE_TLS".into()), "another certificate");
    assert_eq!(open("127.0.0.1", &trusted(&certificate)), Err("DATABASE_TLS".into()), "another name");
    assert_eq!(
        open("localhost", "tls = \"off\""),
        Err("BAD_CONFIG".into()),
        "whoever listens there would get the password"
    );
}

#[test]
fn the_service_lets_a_node_reach_a_database_by_its_socket() {
    let unit =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/consilium.service")).unwrap();
    let families = unit.lines().find_map(|line| line.strip_prefix("RestrictAddressFamilies=")).unwrap();
    assert!(
        ["AF_INET", "AF_INET6", "AF_UNIX"].iter().all(|family| families.split(' ').any(|f| f == *family)),
        "{families}"
    );
}

#[test]
fn a_table_of_which_a_policy_hides_rows_is_refused_and_not_read_in_part() {
    let Some(server) = Server::start() else { return };
    let hide =
        format!("ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t FOR SELECT TO {READER} USING (m > 1)");
    let both = both(&server, "policy");
    assert!(both.agree("SELECT COUNT(*) FROM t").is_some());
    server.run("policy", &hide);
    let options = Options { now_ms: 0, audience: Audience::Analyst, noise: None };
    let compiled = query_planner::plan("SELECT COUNT(*) FROM t", &both.catalog, &options).unwrap();
    for data in &both.database {
        let refused = data.at_one_moment(&compiled.local, &SiteName(SITE.into()), false).map(drop);
        assert_eq!(refused.expect_err("rows are hidden").code, "DATABASE_DENIED");
    }
    let make = format!(
        "CREATE TABLE t (person_id bigint, n int, m int, sex text); INSERT INTO t VALUES (1, 1, 2, 'F'), (2, 2, 0, 'M'); {hide}"
    );
    assert_eq!(opened(&server, "policy2", &make, "").map(drop).expect_err("rows are hidden").code, "DATABASE_DENIED");
}

fn snapshot(both: &Both, sql: &str) -> [u8; 32] {
    let options = Options { now_ms: 0, audience: Audience::Analyst, noise: None };
    let compiled = query_planner::plan(sql, &both.catalog, &options).unwrap();
    both.database[0].at_one_moment(&compiled.local, &SiteName(SITE.into()), true).unwrap().snapshot.unwrap()
}

#[test]
fn the_digest_of_the_data_is_the_same_until_a_row_that_is_read_changes() {
    let Some(server) = Server::start() else { return };
    let both = both(&server, "digest");
    let sql = "SELECT COUNT(*), SUM(m) FROM t";
    let first = snapshot(&both, sql);
    server.run("digest", "UPDATE t SET m = m + 1 WHERE person_id = 5");
    assert_ne!(snapshot(&both, sql), first, "a value changed");
    server.run("digest", "UPDATE t SET m = m - 1 WHERE person_id = 5");
    assert_eq!(snapshot(&both, sql), first, "the rows are as they were, in another order");
    server.run("digest", "UPDATE t SET note = 'other'");
    assert_eq!(snapshot(&both, sql), first, "no column that is read changed");
    server.run("digest", "DELETE FROM t WHERE person_id = 8");
    assert_ne!(snapshot(&both, sql), first, "a row is gone");
}

#[test]
fn a_question_sees_one_moment_and_the_next_one_sees_the_next() {
    let Some(server) = Server::start() else { return };
    let both = both(&server, "moment");
    let options = Options { now_ms: 0, audience: Audience::Analyst, noise: None };
    let compiled = query_planner::plan("SELECT COUNT(*) FROM t", &both.catalog, &options).unwrap();
    let (site, network) = (SiteName(SITE.into()), NetworkFacts::of(&compiled.joint));
    let count = |data: &BoundData| {
        partials_blocking(&compiled.local[0], &compiled.joint.sums[0], &site, data, network).unwrap().slots[0][0]
    };
    for data in &both.database {
        let before = data.at_one_moment(&compiled.local, &site, false).unwrap();
        let rows = count(&before.data);
        server.run("moment", "INSERT INTO t SELECT * FROM t WHERE person_id = 1 LIMIT 1");
        assert_eq!(count(&before.data), rows);
        assert_eq!(count(&data.at_one_moment(&compiled.local, &site, false).unwrap().data), rows + 1);
    }
}

#[test]
fn patients_who_opted_out_are_left_out_by_the_database_and_by_the_node() {
    let Some(server) = Server::start() else { return };
    let mut both = both(&server, "optout");
    let list = Scratch::new("list");
    let list = list.write("list.csv", "person_id\n007\n 4\n99\n");
    let out = |data: BoundData| {
        let entries = party_node::source::OptOut::read(&list, "person_id").unwrap();
        let (data, left_out) = data.without(entries, &both.catalog).unwrap();
        assert_eq!((left_out.patients, left_out.rows, left_out.unknown), (2, 5, 1));
        data
    };
    let (file, database) = (out(both.file.clone()), both.database.clone().map(out));
    (both.file, both.database) = (file, database);
    for sql in [
        "SELECT COUNT(*), SUM(m) FROM t",
        "SELECT COUNT(*) FROM A.t a JOIN A.u b ON a.person_id = b.person_id",
        "SELECT MEDIAN(m) FROM t",
        "SELECT sex, COUNT(*) FROM t GROUP BY sex",
    ] {
        both.agree(sql).expect("the planner answers this");
    }
}

#[test]
fn settings_of_a_database_are_read_from_a_nodes_configuration() {
    let folder = Scratch::new("config");
    let text = "name = \"A\"\nkey = \"k\"\nnetwork = \"n\"\nlisten = \"127.0.0.1:7000\"\n\
                [postgres]\nhost = \"/run/postgresql\"\ndbname = \"omop\"\nuser = \"reader\"\ntls = \"off\"\npassword_file = \"pw\"\n";
    let file = folder.write("node.toml", text);
    let config = party_node::config::Config::load(&file).unwrap();
    let database: Database = config.postgres.unwrap();
    assert_eq!((database.port, &*database.schema), (5432, "public"));
    assert_eq!(database.password_file, Some(folder.at("pw")));
    folder.write("node.toml", text.replace("dbname", "dbnmae"));
    let refused = party_node::config::Config::load(&file).unwrap_err();
    assert_eq!(refused.code, "BAD_CONFIG");
    assert!(refused.message.contains("did you mean 'dbname'?"), "{refused}");
    folder.write("node.toml", text.replace("listen", "data = \"d\"\nlisten"));
    assert_eq!(party_node::config::Config::load(&file).unwrap_err().code, "BAD_CONFIG");
}
