//! The node's tables, asked as programs ask.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use query_planner::catalog::{ColumnType, InferredType, SiteName, SiteSchema, SiteTableSchema, merge};
use query_planner::{Catalog, Settings};

use super::*;

fn world() -> World {
    let typed = |name: &str, data_type| (name.to_owned(), InferredType::Typed(data_type));
    let columns = vec![typed("person_id", ColumnType::Int), typed("Sex", ColumnType::Text)];
    let table = SiteTableSchema { name: "person".into(), columns, rows: 8 };
    let schema = SiteSchema { tables: vec![table], patients: 8 };
    let sites = ["a", "b", "c"].map(|name| (SiteName(name.into()), schema.clone()));
    let catalog: Catalog = merge(&sites, &Settings::default()).unwrap();
    let settings = BTreeMap::from([("search_path".to_owned(), "public".to_owned())]);
    World { catalog: Arc::new(catalog), account: "ines".into(), database: "study".into(), settings, jobs: Vec::new() }
}

fn ask(sql: &str) -> Result<Vec<Vec<String>>, String> {
    answered(sql, world())
}

fn answered(sql: &str, world: World) -> Result<Vec<Vec<String>>, String> {
    let statement = query_planner::statement(sql).map_err(|e| e.code.to_owned())?;
    let datafusion::sql::sqlparser::ast::Statement::Query(query) = statement else { panic!("no query: {sql}") };
    let shown = |cell: &Cell| match cell {
        Cell::Null | Cell::Hidden(_) => "-".to_owned(),
        Cell::Bool(value) => value.to_string(),
        Cell::Number(text) | Cell::Text(text) => text.clone(),
    };
    let (_, rows) = run(*query, &[], world).map_err(|e| e.code.into_owned())?;
    Ok(rows.iter().map(|row| row.iter().map(shown).collect()).collect())
}

fn rows(sql: &str) -> Vec<Vec<String>> {
    ask(sql).unwrap_or_else(|code| panic!("{code}: {sql}"))
}

#[test]
fn tables_columns_and_types_are_found_as_programs_look_for_them() {
    let visible = "SELECT c.relname, n.nspname FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                   WHERE c.relkind IN ('r','v','') AND n.nspname !~ '^pg_toast' AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 1,2";
    assert_eq!(rows(visible), [["person", "public"]]);
    let columns = "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
                   (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef)
                   FROM pg_catalog.pg_attribute a WHERE a.attrelid = 'person'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
    assert_eq!(rows(columns), [["person_id", "bigint", "-"], ["sex", "text", "-"]]);
    assert_eq!(
        rows("SELECT table_schema FROM information_schema.tables WHERE table_name = 'person' ORDER BY 1"),
        [["a"], ["b"], ["c"], ["public"]]
    );
    let counted = "SELECT n.nspname, COUNT(*) FROM pg_class c, pg_namespace n WHERE c.relnamespace = n.oid GROUP BY n.nspname HAVING COUNT(*) > 0 ORDER BY 1 DESC LIMIT 2";
    assert_eq!(rows(counted), [["public", "1"], ["c", "1"]]);
    assert_eq!(rows("SELECT oid::regclass FROM pg_class WHERE oid = 'person'::regclass"), [["person"]]);
}

#[test]
fn what_programs_ask_before_anything_else_has_an_answer() {
    assert_eq!(
        rows("SELECT 1, 'x' AS y, 2 + 3 * 4, current_schema(), current_database(), current_user"),
        [["1", "x", "14", "public", "study", "ines"]]
    );
    assert!(rows("SELECT version()")[0][0].starts_with("PostgreSQL 15.0 (Consilium"));
    assert_eq!(
        rows("SELECT current_setting('search_path'), pg_is_in_recovery(), NULL IS NULL"),
        [["public", "false", "true"]]
    );
    assert_eq!(
        rows("SELECT ARRAY(SELECT nspname FROM pg_namespace WHERE nspname LIKE 'p%' ORDER BY 1)"),
        [["{pg_catalog,public}"]]
    );
    assert_eq!(
        rows("SELECT typname FROM pg_type WHERE oid = ANY(ARRAY[20, 25]) ORDER BY typname"),
        [["int8"], ["text"]]
    );
    assert_eq!(rows("WITH x AS (SELECT 1 AS a UNION ALL SELECT 2) SELECT SUM(a), MAX(a) FROM x"), [["3", "2"]]);
    assert_eq!(rows("SELECT CASE WHEN EXISTS (SELECT 1 FROM pg_index) THEN 'some' ELSE 'none' END"), [["none"]]);
    assert_eq!(
        rows("SELECT n FROM generate_series(1, 3) AS n WHERE n BETWEEN 2 AND 9 ORDER BY n DESC"),
        [["3"], ["2"]]
    );
    assert_eq!(rows("SELECT c.nothing_known FROM pg_class c WHERE relname = 'person' LIMIT 1"), [["-"]]);
}

/// A question whose rows are joined with none of a table of many columns.
fn wide_joined(way: &str) -> String {
    let columns = vec!["1"; 20_000].join(", ");
    format!("SELECT 1 FROM generate_series(1, 9999) a {way} JOIN (SELECT {columns} WHERE false) b ON true")
}

fn ranked(keys: &str) -> String {
    format!("SELECT row_number() OVER (PARTITION BY {keys}) FROM generate_series(1, 9999) a")
}

#[test]
fn the_ends_of_numbers_end_nothing() {
    let least = "(-9223372036854775807 - 1)";
    assert_eq!(rows(&format!("SELECT substring('ab', {least}), (ARRAY[1])[{least}]")), [["ab", "-"]]);
}

#[test]
fn every_table_of_the_node_has_a_number_of_its_own() {
    let tables = ["pg_class", "pg_type", "information_schema.columns", "information_schema.views", "consilium.jobs"];
    let numbers: BTreeSet<String> =
        tables.iter().map(|table| rows(&format!("SELECT '{table}'::regclass::oid"))[0][0].clone()).collect();
    assert_eq!(numbers.len(), tables.len());
    assert_eq!(rows("SELECT to_regclass('consilium.nothing'), to_regclass('pg_catalog.nothing')"), [["-", "-"]]);
    assert_eq!(
        rows("SELECT to_regclass('public.pg_class'), to_regclass('pg_catalog.pg_class')::regclass"),
        [["-", "pg_class"]]
    );
}

#[test]
fn what_is_not_known_is_refused_and_only_where_it_would_be_called() {
    for (sql, code) in [
        ("SELECT * FROM pg_nothing", "UNKNOWN_TABLE"),
        ("SELECT nothing FROM pg_class", "UNKNOWN_COLUMN"),
        ("SELECT nothing()", "UNKNOWN_FUNCTION"),
        ("SELECT set_config('consilium.epsilon', '0.5', false)", "UNSUPPORTED"),
        ("SELECT 'nothing'::regclass", "UNKNOWN_TABLE"),
        ("SELECT (SELECT oid FROM pg_type)", "INVALID_QUERY"),
        ("SELECT 1/0", "DIVISION_BY_ZERO"),
        ("SELECT '(' ~ '('", "INVALID_QUERY"),
        ("SELECT 'pg_catalog.nothing'::regclass", "UNKNOWN_TABLE"),
        // Rows that have nothing to be joined with, and what they are sorted by.
        (&wide_joined("LEFT"), "TOO_MUCH_WORK"),
        (&wide_joined("FULL"), "TOO_MUCH_WORK"),
        (
            &format!("SELECT a FROM generate_series(1, 9999) a ORDER BY {}", vec!["1"; 20_000].join(", ")),
            "TOO_MUCH_WORK",
        ),
        (&format!("SELECT 1 FROM generate_series(1, 9999) a ORDER BY {}", vec!["a"; 2000].join(", ")), "TOO_MUCH_WORK"),
        (&format!("SELECT 1 FROM generate_series(1, 9999) a GROUP BY {}", vec!["a"; 2000].join(", ")), "TOO_MUCH_WORK"),
        (&ranked(&vec!["a"; 2000].join(", ")), "TOO_MUCH_WORK"),
        // Texts that grow, and comparisons of each with each.
        (
            "SELECT replace(repeated, 'a', repeated) FROM (SELECT string_agg('aaaaaaaaaa', '') AS repeated FROM generate_series(1, 9000)) x",
            "TOO_MUCH_WORK",
        ),
        (
            "WITH a AS (SELECT string_agg('aaaaaaaaaa', '') AS t FROM generate_series(1, 9000)), b AS (SELECT t || t || t || t || t || t || t AS t FROM a), c AS (SELECT t || t || t || t || t || t || t AS t FROM b), d AS (SELECT t || t || t || t || t || t || t AS t FROM c) SELECT t || t || t || t || t FROM d",
            "TOO_MUCH_WORK",
        ),
        (
            "SELECT 1,1,1,1,1,1,1,1,1,1,1,1,1,1,1 FROM generate_series(1, 9000) a, generate_series(1, 90) b",
            "TOO_MUCH_WORK",
        ),
        ("SELECT DISTINCT a FROM generate_series(1, 9000) a, generate_series(1, 2) b", "TOO_MUCH_WORK"),
        ("SELECT a * 10 + b FROM generate_series(1, 9000) a, generate_series(1, 2) b GROUP BY 1", "TOO_MUCH_WORK"),
        ("SELECT COUNT(DISTINCT a * 10 + b) FROM generate_series(1, 9000) a, generate_series(1, 2) b", "TOO_MUCH_WORK"),
        ("SELECT 'a' ~ ('a' || a) FROM generate_series(1, 9000) a", "TOO_MUCH_WORK"),
        (
            "SELECT COUNT(*) FROM pg_type a, pg_type b, pg_type c, pg_type d, pg_type e, pg_type f, pg_type g, pg_type h",
            "TOO_MUCH_WORK",
        ),
    ] {
        assert_eq!(ask(sql).err().as_deref(), Some(code), "{sql}");
    }
    assert_eq!(rows("SELECT nothing(indrelid) FROM pg_index"), Vec::<Vec<String>>::new());
    // Several rows of three values: NULL is neither in nor out.
    assert_eq!(
        rows("SELECT 1 IN (2, NULL), 1 IN (1, NULL), NULL = 1, NOT (1 = 2), NULL OR true"),
        [["-", "true", "-", "true", "true"]]
    );
}

#[test]
fn rows_have_places_in_an_order_and_arrays_give_rows() {
    assert_eq!(
        rows(
            "SELECT nr, names[nr] FROM (SELECT *, generate_subscripts(names, 1) AS nr FROM (SELECT current_schemas(true) AS names) t) tt ORDER BY nr"
        ),
        [["1", "pg_catalog"], ["2", "public"]]
    );
    assert_eq!(
        rows(
            "SELECT a, rank() OVER (ORDER BY a DESC), row_number() OVER (ORDER BY a) FROM (VALUES (5), (7), (5)) v(a) ORDER BY a, 3"
        ),
        [["5", "2", "1"], ["5", "2", "2"], ["7", "1", "3"]]
    );
    assert_eq!(
        rows(
            "SELECT a, b, row_number() OVER (PARTITION BY a ORDER BY b) FROM (VALUES (1, 9), (2, 4), (1, 3)) v(a, b) ORDER BY a, b"
        ),
        [["1", "3", "1"], ["1", "9", "2"], ["2", "4", "1"]]
    );
    assert_eq!(ask("SELECT lag(a) OVER (ORDER BY a) FROM (VALUES (1)) v(a)"), Err("UNSUPPORTED".to_owned()));
    // What R's RPostgres finds the columns of a table with has this form.
    let fields = "SELECT column_name FROM (SELECT *, rank() OVER (ORDER BY nr) AS best FROM \
                  (SELECT nr, names[nr] AS table_schema FROM (SELECT *, generate_subscripts(names, 1) AS nr FROM \
                  (SELECT current_schemas(true) AS names) t) tt) ttt \
                  INNER JOIN INFORMATION_SCHEMA.columns USING (table_schema) WHERE table_name = 'person') x \
                  WHERE best = 1 ORDER BY ordinal_position";
    assert!(rows(fields).len() > 1);
}

/// Forty tables at each of three sites, as of a common data model.
fn many_tables() -> World {
    let typed = |name: String| (name, InferredType::Typed(ColumnType::Int));
    let table = |at: usize| SiteTableSchema {
        name: format!("table_{at}"),
        columns: (0..20).map(|column| typed(format!("column_{column}"))).collect(),
        rows: 8,
    };
    let schema = SiteSchema { tables: (0..40).map(table).collect(), patients: 8 };
    let sites = ["a", "b", "c"].map(|name| (SiteName(name.into()), schema.clone()));
    World { catalog: Arc::new(merge(&sites, &Settings::default()).unwrap()), ..world() }
}

#[test]
fn tables_that_are_joined_by_where_alone_do_not_all_stand_beside_each_other() {
    // As RPostgreSQL lists the columns of a table.
    let sql = "select a.attname from pg_attribute a, pg_class c, pg_tables t, pg_namespace nsp where a.attrelid = c.oid and c.relname = \
               tablename and c.relnamespace = nsp.oid and a.attnum > 0 and nspname = current_schema() and schemaname = nspname and \
               tablename = 'table_7'";
    let fields = answered(sql, many_tables()).unwrap();
    assert_eq!(fields, (0..20).map(|column| [format!("column_{column}")]).collect::<Vec<_>>());
    // A condition on what may be missing is looked at when it is.
    let missing = "SELECT n.nspname FROM pg_namespace n LEFT JOIN pg_class c ON c.relnamespace = n.oid WHERE c.oid IS NULL AND n.nspname = 'pg_toast'";
    assert_eq!(rows(missing), rows("SELECT nspname FROM pg_namespace WHERE nspname = 'pg_toast'"));
    let right = "SELECT n.nspname FROM pg_class c RIGHT JOIN pg_namespace n ON c.relnamespace = n.oid WHERE c.relname IS NULL AND n.nspname = 'a'";
    assert_eq!(rows(right), Vec::<Vec<String>>::new());
}
