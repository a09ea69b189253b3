//! What does not depend on a network: names of tables, types, and what a declared type is.

use query_planner::catalog::{Column, ColumnType};

use super::tables::{OWNER, Table};
use super::value::{Kind, Value};

/// Tables without rows, with the columns that `*` shows.
pub const EMPTY: [(&str, &[(&str, Kind)]); 37] = {
    use Kind::{Bool, Int, Ints, Text};
    [
        (
            "pg_index",
            &[("indexrelid", Int), ("indrelid", Int), ("indisunique", Bool), ("indisprimary", Bool), ("indkey", Ints)],
        ),
        (
            "pg_constraint",
            &[
                ("oid", Int),
                ("conname", Text),
                ("connamespace", Int),
                ("contype", Text),
                ("conrelid", Int),
                ("confrelid", Int),
                ("conkey", Ints),
                ("confkey", Ints),
            ],
        ),
        ("pg_attrdef", &[("oid", Int), ("adrelid", Int), ("adnum", Int), ("adbin", Text)]),
        ("pg_inherits", &[("inhrelid", Int), ("inhparent", Int), ("inhseqno", Int)]),
        ("pg_trigger", &[("oid", Int), ("tgrelid", Int), ("tgname", Text)]),
        ("pg_policy", &[("oid", Int), ("polname", Text), ("polrelid", Int)]),
        ("pg_policies", &[("schemaname", Text), ("tablename", Text), ("policyname", Text)]),
        ("pg_statistic_ext", &[("oid", Int), ("stxrelid", Int), ("stxname", Text)]),
        ("pg_publication", &[("oid", Int), ("pubname", Text), ("puballtables", Bool)]),
        ("pg_publication_rel", &[("prpubid", Int), ("prrelid", Int)]),
        ("pg_publication_namespace", &[("pnpubid", Int), ("pnnspid", Int)]),
        ("pg_enum", &[("oid", Int), ("enumtypid", Int), ("enumsortorder", Int), ("enumlabel", Text)]),
        ("pg_range", &[("rngtypid", Int), ("rngsubtype", Int)]),
        ("pg_foreign_table", &[("ftrelid", Int), ("ftserver", Int)]),
        ("pg_foreign_server", &[("oid", Int), ("srvname", Text)]),
        ("pg_foreign_data_wrapper", &[("oid", Int), ("fdwname", Text)]),
        ("pg_extension", &[("oid", Int), ("extname", Text), ("extversion", Text), ("extnamespace", Int)]),
        ("pg_available_extensions", &[("name", Text), ("default_version", Text)]),
        ("pg_rewrite", &[("oid", Int), ("rulename", Text), ("ev_class", Int)]),
        ("pg_depend", &[("classid", Int), ("objid", Int), ("refobjid", Int), ("deptype", Text)]),
        ("pg_sequence", &[("seqrelid", Int), ("seqtypid", Int)]),
        ("pg_sequences", &[("schemaname", Text), ("sequencename", Text)]),
        ("pg_shdescription", &[("objoid", Int), ("classoid", Int), ("description", Text)]),
        ("pg_views", &[("schemaname", Text), ("viewname", Text), ("viewowner", Text), ("definition", Text)]),
        ("pg_matviews", &[("schemaname", Text), ("matviewname", Text)]),
        ("pg_indexes", &[("schemaname", Text), ("tablename", Text), ("indexname", Text), ("indexdef", Text)]),
        ("pg_partitioned_table", &[("partrelid", Int), ("partstrat", Text)]),
        ("pg_proc", &[("oid", Int), ("proname", Text), ("pronamespace", Int), ("prorettype", Int)]),
        ("pg_language", &[("oid", Int), ("lanname", Text)]),
        ("pg_auth_members", &[("roleid", Int), ("member", Int), ("grantor", Int), ("admin_option", Bool)]),
        ("pg_event_trigger", &[("oid", Int), ("evtname", Text)]),
        ("pg_stat_activity", &[("pid", Int), ("usename", Text), ("query", Text)]),
        ("pg_locks", &[("pid", Int), ("mode", Text)]),
        ("pg_collation", &[("oid", Int), ("collname", Text), ("collnamespace", Int)]),
        ("pg_opclass", &[("oid", Int), ("opcname", Text)]),
        ("pg_db_role_setting", &[("setdatabase", Int), ("setrole", Int)]),
        ("pg_statistic", &[("starelid", Int), ("staattnum", Int)]),
    ]
};

/// Tables of the information schema with rows.
const FILLED_INFORMATION: [&str; 3] = ["schemata", "tables", "columns"];

/// Those without.
pub const EMPTY_INFORMATION: [&str; 14] = [
    "table_constraints",
    "key_column_usage",
    "referential_constraints",
    "constraint_column_usage",
    "check_constraints",
    "views",
    "routines",
    "parameters",
    "triggers",
    "sequences",
    "domains",
    "element_types",
    "table_privileges",
    "column_privileges",
];

/// Types: number, name, length, class, as PostgreSQL numbers them.
pub const TYPES: [(i64, &str, i64, &str, &str); 18] = [
    (16, "bool", 1, "B", "boolean"),
    (17, "bytea", -1, "U", "bytea"),
    (18, "char", 1, "Z", "\"char\""),
    (19, "name", 64, "S", "name"),
    (20, "int8", 8, "N", "bigint"),
    (21, "int2", 2, "N", "smallint"),
    (23, "int4", 4, "N", "integer"),
    (25, "text", -1, "S", "text"),
    (26, "oid", 4, "N", "oid"),
    (700, "float4", 4, "N", "real"),
    (701, "float8", 8, "N", "double precision"),
    (1009, "_text", -1, "A", "text[]"),
    (1016, "_int8", -1, "A", "bigint[]"),
    (1043, "varchar", -1, "S", "character varying"),
    (1082, "date", 4, "D", "date"),
    (1114, "timestamp", 8, "D", "timestamp without time zone"),
    (1184, "timestamptz", 8, "D", "timestamp with time zone"),
    (1700, "numeric", -1, "N", "numeric"),
];

/// Does the node have a table of this name that is found without its schema?
pub fn knows(name: &str) -> bool {
    own_oid("pg_catalog", name).is_some()
}

/// Tables with rows.
const FILLED: [&str; 13] = [
    "pg_class",
    "pg_namespace",
    "pg_attribute",
    "pg_type",
    "pg_database",
    "pg_roles",
    "pg_user",
    "pg_tables",
    "pg_settings",
    "pg_am",
    "pg_description",
    "pg_tablespace",
    "pg_authid",
];

/// The first of the numbers of the node's own tables: what PostgreSQL has for `pg_class`.
const FIRST_OWN: i64 = 1259;
pub const PG_CLASS: i64 = FIRST_OWN;

/// The tables that the node has for itself, each by schema and name, with a number of its own.
fn own() -> impl Iterator<Item = ((&'static str, &'static str), i64)> {
    let found_alone = FILLED.iter().copied().chain(EMPTY.iter().map(|(known, _)| *known));
    let information = FILLED_INFORMATION.iter().chain(&EMPTY_INFORMATION).copied();
    let all = found_alone.map(|known| ("pg_catalog", known));
    all.chain(information.map(|known| ("information_schema", known))).chain([("consilium", "jobs")]).zip(FIRST_OWN..)
}

/// The number of one of them.
pub fn own_oid(schema: &str, name: &str) -> Option<i64> {
    own().find(|(own, _)| *own == (schema, name)).map(|(_, oid)| oid)
}

/// The name of one of them, with the schema unless it is found without.
pub fn own_name(oid: i64) -> Option<String> {
    let ((schema, name), _) = own().find(|(_, own)| *own == oid)?;
    Some(if schema == "pg_catalog" { name.to_owned() } else { format!("{schema}.{name}") })
}

/// The types.
pub fn pg_type() -> Table {
    use Kind::{Bool, Int, Text};
    let columns = vec![
        ("oid", Int),
        ("typname", Text),
        ("typnamespace", Int),
        ("typowner", Int),
        ("typlen", Int),
        ("typbyval", Bool),
        ("typtype", Text),
        ("typcategory", Text),
        ("typisdefined", Bool),
        ("typdelim", Text),
        ("typrelid", Int),
        ("typelem", Int),
        ("typarray", Int),
        ("typinput", Text),
        ("typnotnull", Bool),
        ("typbasetype", Int),
        ("typtypmod", Int),
        ("typndims", Int),
        ("typcollation", Int),
        ("typdefault", Text),
    ];
    let row = |(oid, name, length, class, _): &(i64, &str, i64, &str, &str)| {
        let element = match *oid {
            1009 => 25,
            1016 => 20,
            _ => 0,
        };
        let array = match *oid {
            25 => 1009,
            20 => 1016,
            _ => 0,
        };
        let input = if element > 0 { "array_in".to_owned() } else { format!("{name}in") };
        vec![
            Value::Int(*oid),
            Value::text(*name),
            Value::Int(11),
            Value::Int(OWNER),
            Value::Int(*length),
            Value::Bool(*length > 0 && *length <= 8),
            Value::text("b"),
            Value::text(*class),
            Value::Bool(true),
            Value::text(","),
            Value::Int(0),
            Value::Int(element),
            Value::Int(array),
            Value::Text(input),
            Value::Bool(false),
            Value::Int(0),
            Value::Int(-1),
            Value::Int(0),
            Value::Int(0),
            Value::Null,
        ]
    };
    Table { columns, rows: TYPES.iter().map(row).collect(), open: true }
}

/// The number and modifier of a column's type.
pub fn type_of(column: ColumnType) -> (i64, i64) {
    match column {
        ColumnType::Int => (20, -1),
        ColumnType::Real => (701, -1),
        ColumnType::Decimal { precision, scale } => (1700, (i64::from(precision) << 16 | i64::from(scale & 0x7f)) + 4),
        ColumnType::Date => (1082, -1),
        ColumnType::Timestamp => (1114, -1),
        ColumnType::Bool => (16, -1),
        ColumnType::Text => (25, -1),
    }
}

/// What a network declares of a column.
pub fn about(column: &Column, is_key: bool) -> Option<String> {
    let mut words = Vec::new();
    if is_key {
        words.push("identifies a patient".to_owned());
    }
    if !column.allowed {
        words.push("may not be used".to_owned());
    }
    if column.quasi_identifier {
        words.push("quasi-identifier".to_owned());
    }
    if let Some(domain) = &column.domain {
        words.push(format!("{} declared values", domain.len()));
    }
    if let Some((least, most)) = column.range {
        words.push(format!("declared from {least} to {most}"));
    }
    (!words.is_empty()).then(|| words.join("; "))
}
