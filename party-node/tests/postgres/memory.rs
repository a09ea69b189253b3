//! What a node has in memory while its database has many rows, or long ones.

use std::sync::{Mutex, PoisonError};

use super::common::postgres::{Server, with_peaks};
use super::common::{Scratch, consilium};

#[test]
fn long_texts_reach_the_node_in_portions_that_memory_has_room_for() {
    let Some(server) = Server::start() else { return };
    let _alone = LOOKED_AT.lock().unwrap_or_else(PoisonError::into_inner);
    // 240 MB of notes, which the database keeps compressed; only the node knows this condition.
    let rows = 240;
    let make = format!(
        "CREATE TABLE t (person_id bigint, note text);
         INSERT INTO t SELECT i, CASE WHEN i % 4 = 0 THEN 'B' ELSE 'c' END || repeat('x', 1000000) FROM generate_series(1, {rows}) AS i"
    );
    let sql = "SELECT COUNT(*) AS n FROM t WHERE note ILIKE 'b%'";
    let (counts, [_, peak]) = peaks_of(&server, "notes", &make, "", sql);
    assert_eq!(counts, [3 * rows / 4]);
    assert!(peak < 350 * 1024, "a node held {peak} KiB");
}

/// One test at a time looks at the nodes of this process.
static LOOKED_AT: Mutex<()> = Mutex::new(());

/// Rows of the large table: what the variable says, or 10^7 where everything is checked, or 10^6.
fn large() -> u64 {
    let everything = std::env::var("CI").as_deref() == Ok("true");
    let usual = if everything { 10_000_000 } else { 1_000_000 };
    std::env::var("CONSILIUM_LARGE_ROWS").ok().map_or(usual, |text| text.parse().unwrap())
}

/// A grouped count over so many rows at three sites: the counts, and a node's largest VmHWM and RssAnon in KiB.
fn counted(server: &Server, name: &str, rows: u64) -> (Vec<u64>, [u64; 2]) {
    let make = format!(
        "CREATE TABLE t (person_id bigint, k int, cost numeric(8,2));
         INSERT INTO t SELECT i, i % 5, (i % 1000) / 100.0 FROM generate_series(1, {rows}) AS i"
    );
    println!("{rows} rows:");
    let sql = "SELECT COUNT(*) AS n, k, SUM(cost) AS s FROM t WHERE k < 3 GROUP BY k ORDER BY k";
    peaks_of(server, name, &make, "[tables.t.columns.k]\ndomain = [0, 1, 2, 3, 4]\n", sql)
}

/// Asks three sites over one database: the answer's first column, and a node's largest VmHWM and RssAnon in KiB.
fn peaks_of(server: &Server, name: &str, make: &str, settings: &str, sql: &str) -> (Vec<u64>, [u64; 2]) {
    server.create(name);
    server.run(name, make);
    let folder = Scratch::new("large");
    folder.write("network.toml", settings);
    ["A", "B", "C"].into_iter().for_each(|site| server.settings(&folder, site, name, ""));
    let data = folder.path().to_string_lossy().into_owned();
    let command = consilium(&["sandbox", "--data", &data, "--format", "json", "-e", sql]);
    let (run, peaks) = with_peaks(command, "child-node");
    println!("VmHWM {} KiB, RssAnon {} KiB, the run took {:?}", peaks[0], peaks[1], run.took);
    let answer = run.answers().remove(0);
    (answer["rows"].as_array().unwrap().iter().map(|row| row[0].as_u64().unwrap()).collect(), peaks)
}

#[test]
fn a_grouped_count_of_many_rows_reaches_the_node_as_groups() {
    let Some(server) = Server::start() else { return };
    let _alone = LOOKED_AT.lock().unwrap_or_else(PoisonError::into_inner);
    let rows = large();
    // A short run may end between two looks at it.
    let small = (0..3).map(|run| counted(&server, &format!("small{run}"), 10).1[0]).max().expect("three runs");
    let (counts, large) = counted(&server, "large", rows);
    // i mod 5 over 1..=rows, at three sites.
    let of = |k: u64| 3 * (rows / 5 + u64::from(k != 0 && k <= rows % 5));
    assert_eq!(counts, (0..3).map(of).collect::<Vec<_>>());
    assert!(small > 0, "no node was seen");
    // Of the program's own pages a debug build maps nearly 100 MB; what the rows cost is what it has beyond those.
    assert!(large[1] <= 100 * 1024, "a node took {} KiB", large[1]);
    assert!(large[0] <= small + 10 * 1024, "a node's memory grew with the table: {small} to {large:?} KiB");
}
