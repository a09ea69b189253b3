//! What a node has in memory while its database has many rows, or long ones: nodes that stay, so that their peaks are read
//! once they have answered and not looked for while they run.

use std::fs;

use super::common::Scratch;
use super::common::postgres::{Server, runtime};
use super::common::wire::{ACCOUNTS, BY_RULE, Net, Plan, SITES, data};

/// A node's memory in KiB.
#[derive(Debug, Clone, Copy)]
struct Memory {
    /// The most that it ever had, the pages of the program itself with it, of which an unoptimised one has nearly 100 MB.
    peak: u64,
    /// What it has now beside pages of files.
    own: u64,
}

impl Memory {
    fn of(process: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let line = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        let number = |key: &str| line(key).trim().trim_end_matches(" kB").parse().unwrap();
        Self { peak: number("VmHWM:"), own: number("RssAnon:") }
    }
}

/// Three nodes over one database, which `make` fills with these tables.
fn nodes(server: &Server, database: &str, make: &str, tables: &[&str], settings: &str) -> Net {
    server.create(database);
    server.run(database, make);
    let folder = Scratch::new("memory");
    SITES.iter().for_each(|site| server.settings(&folder, &format!("data/{site}"), database, ""));
    let data = data(&folder);
    let plan =
        Plan { label: "memory", sites: SITES, data, settings, by_hand: BY_RULE, tables, wire: "", listen: "127.0.0.1" };
    Net::new(&plan, folder).up()
}

/// The answer's first column, and the memory of the node that then had the most.
fn asked(net: &mut Net, sql: &str) -> (Vec<i64>, Memory) {
    let mut config = net.client(ACCOUNTS[0]);
    config.options("-c consilium.wait=300s");
    let rows = runtime().block_on(async {
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.query(sql, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"))
    });
    let most = (0..SITES.len()).map(|site| Memory::of(net.node(site).id())).max_by_key(|memory| memory.peak);
    println!("{sql}: {most:?} KiB");
    (rows.iter().map(|row| row.get(0)).collect(), most.expect("there are sites"))
}

#[test]
fn long_texts_reach_the_node_in_portions_that_memory_has_room_for() {
    let Some(server) = Server::start() else { return };
    // 240 MB of notes, which the database keeps compressed; only the node knows this condition.
    let rows = 240;
    let make = format!(
        "CREATE TABLE t (person_id bigint, note text);
         INSERT INTO t SELECT i, CASE WHEN i % 4 = 0 THEN 'B' ELSE 'c' END || repeat('x', 1000000) FROM generate_series(1, {rows}) AS i"
    );
    let mut net = nodes(&server, "notes", &make, &["t"], "");
    let (counts, memory) = asked(&mut net, "SELECT COUNT(*) AS n FROM t WHERE note ILIKE 'b%'");
    assert_eq!(counts, [3 * rows / 4]);
    assert!(memory.peak < 350 * 1024, "a node held {memory:?} KiB");
}

/// Rows of the large table: what the variable says, or 10^7 where everything is checked, or 10^6.
fn large() -> i64 {
    let everything = std::env::var("CI").as_deref() == Ok("true");
    let usual = if everything { 10_000_000 } else { 1_000_000 };
    std::env::var("CONSILIUM_LARGE_ROWS").ok().map_or(usual, |text| text.parse().unwrap())
}

#[test]
fn a_grouped_count_of_many_rows_reaches_the_node_as_groups() {
    let Some(server) = Server::start() else { return };
    let rows = large();
    let table = |name: &str, rows: i64| {
        format!(
            "CREATE TABLE {name} (person_id bigint, k int, cost numeric(8,2));
             INSERT INTO {name} SELECT i, i % 5, (i % 1000) / 100.0 FROM generate_series(1, {rows}) AS i;"
        )
    };
    let make = table("small", 10) + &table("large", rows);
    let domain = |name: &str| format!("[tables.{name}.columns.k]\ndomain = [0, 1, 2, 3, 4]\n");
    let mut net = nodes(&server, "groups", &make, &["small", "large"], &(domain("small") + &domain("large")));
    let question =
        |table: &str| format!("SELECT COUNT(*) AS n, k, SUM(cost) AS s FROM {table} WHERE k < 3 GROUP BY k ORDER BY k");
    // Often: what a process once takes and keeps, of which an unoptimised one has tens of megabytes, is there before the question that is
    // looked at.
    let small = (0..20).map(|_| asked(&mut net, &question("small")).1).last().expect("some questions");
    let (counts, large) = asked(&mut net, &question("large"));
    // i mod 5 over 1..=rows, at three sites.
    let of = |k: i64| 3 * (rows / 5 + i64::from(k != 0 && k <= rows % 5));
    assert_eq!(counts, (0..3).map(of).collect::<Vec<_>>());
    assert!(large.own <= 100 * 1024, "a node took {large:?} KiB");
    // Of the table, whose rows have 28 bytes in memory, an eighth is not there either; what an allocator keeps differs by some megabytes.
    let part = (rows as u64 * 28 / 8 / 1024).max(10 * 1024);
    assert!(large.peak <= small.peak + part, "a node's memory grew with the table: {small:?} to {large:?} KiB");
}
