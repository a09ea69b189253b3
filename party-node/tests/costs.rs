//! What the planner predicts is what the protocols say and what sessions count.

use std::path::Path;
use std::process::Command;

use mpc_core::wire::MAX_FRAME_BYTES;
use protocols::Audience;
use protocols::cost as protocol;
use protocols::key_union::Limits;
use query_planner::cost::{cost, sketch_elements};
use query_planner::{Compiled, Options};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/data/omop");

fn compiled(sql: &str, audience: query_planner::Audience) -> Compiled {
    let sandbox = party_node::sandbox::Sandbox::open(Path::new(DATA), &[]).unwrap();
    query_planner::plan(sql, &sandbox.catalog().unwrap(), &Options { now_ms: 0, audience, noise: None }).unwrap()
}

#[test]
fn the_planner_sizes_the_sketch_as_the_protocol_does() {
    for (max_keys, max_key_bytes) in [(1, 1), (10, 9), (100, 64), (4096, 9), (4096, 75), (65_536, 200)] {
        let limits = Limits { max_keys, contributors: 3, max_key_bytes };
        assert_eq!(sketch_elements(3, max_keys as u32, max_key_bytes as u32), limits.sketch_elements() as u64);
    }
}

#[test]
fn the_planner_counts_the_bytes_of_an_opening_as_the_protocol_does() {
    let one = compiled("SELECT COUNT(*) FROM person", query_planner::Audience::Analyst);
    let reveal = protocol::reveal(3, true, Audience::Analyst, 1, 8);
    assert_eq!((cost(&one.joint).rounds, cost(&one.joint).bytes_per_site), (reveal.rounds, reveal.bytes));

    // A wider column, opened to everyone.
    let wide = "SELECT width_bucket(year_of_birth, 0, 2500, 3000) AS b, COUNT(*) AS n FROM person GROUP BY 1";
    let wide = compiled(wide, query_planner::Audience::Everyone);
    let elements = wide.joint.sums[0].keys[0].domain.as_ref().unwrap().len() as u64;
    let reveal = protocol::reveal(3, true, Audience::Everyone, elements, 8);
    assert_eq!(cost(&wide.joint).bytes_per_site, reveal.bytes);
    assert_eq!(protocol::message(2 * MAX_FRAME_BYTES as u64 + 1), 2 * MAX_FRAME_BYTES as u64 + 1 + 3 * 32);
}

#[test]
fn explained_rounds_and_bytes_are_those_of_the_run() {
    for sql in [
        "SELECT COUNT(*) FROM condition_occurrence",
        "SELECT COUNT(*), AVG(year_of_birth), VAR_POP(year_of_birth) FROM person",
        "SELECT CASE WHEN year_of_birth < 1950 THEN 'old' ELSE 'young' END AS age, COUNT(*) FROM person GROUP BY 1",
    ] {
        let predicted = cost(&compiled(sql, query_planner::Audience::Analyst).joint);
        let run = Command::new(env!("CARGO_BIN_EXE_consilium"))
            .args(["sandbox", "--data", DATA, "--format", "json", "-e", sql])
            .output()
            .unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
        assert_eq!(answer["cost"]["rounds"], predicted.rounds, "{sql}");
        assert_eq!(answer["cost"]["bytes"], predicted.bytes_total, "{sql}");
    }
}
