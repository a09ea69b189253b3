//! The node's tables: PostgreSQL's catalogue as far as programs read it, and the account's jobs.
//!
//! # Source
//! PostgreSQL 15's documentation, "System Catalogs" and "The Information Schema". Columns that nothing here has a value for are NULL.

use query_planner::catalog::ColumnType;

use super::World;
use super::lists::{EMPTY, EMPTY_INFORMATION, PG_CLASS, TYPES, about, own_name, own_oid, pg_type, type_of};
use super::value::{Kind, Value};
use crate::clock::utc;
use crate::state::hex;
use crate::wire::ask::waits;

/// A table of the node.
pub struct Table {
    /// Names and kinds.
    pub columns: Vec<(&'static str, Kind)>,
    /// The rows.
    pub rows: Vec<Vec<Value>>,
    /// May columns be asked for that are not in the list? They are NULL.
    pub open: bool,
}

/// The schemas that the node has by itself.
pub const SCHEMAS: [&str; 3] = ["pg_catalog", "information_schema", "consilium"];
/// The schema of the joint tables.
pub const PUBLIC: &str = "public";

/// Numbers of objects: schemas, then tables.
const FIRST_SCHEMA: i64 = 2200;
const FIRST_TABLE: i64 = 16_384;
/// The number of whoever asks.
pub const OWNER: i64 = 10;
const DATABASE: i64 = 5;

/// A table that is seen under `pg_class`.
struct Seen<'a> {
    oid: i64,
    schema: String,
    schema_oid: i64,
    table: &'a query_planner::catalog::Table,
}

impl World {
    fn schemas(&self) -> Vec<(i64, String)> {
        let sites = self.catalog.sites.iter().map(|site| site.0.clone());
        let fixed = [(11, "pg_catalog"), (13_000, "information_schema"), (13_001, "consilium"), (FIRST_SCHEMA, PUBLIC)];
        let fixed = fixed.map(|(oid, name)| (oid, name.to_owned()));
        fixed.into_iter().chain((FIRST_SCHEMA + 1..).zip(sites)).collect()
    }

    /// The joint tables, then those of each site.
    fn seen(&self) -> Vec<Seen<'_>> {
        let mut all = Vec::new();
        for (schema_oid, schema) in self.schemas().into_iter().skip(3) {
            let held = |table: &&query_planner::catalog::Table| {
                schema == PUBLIC || table.sites.iter().any(|site| site.0 == schema)
            };
            all.extend(self.catalog.tables.iter().filter(held).map(|table| (schema.clone(), schema_oid, table)));
        }
        let numbered = |(oid, (schema, schema_oid, table))| Seen { oid, schema, schema_oid, table };
        (FIRST_TABLE..).zip(all).map(numbered).collect()
    }

    /// The number of a table by its name, perhaps with its schema.
    pub fn table_oid(&self, name: &str) -> Option<i64> {
        let name = name.replace('"', "");
        let (named, name) = name.split_once('.').map_or((None, name.as_str()), |(schema, name)| (Some(schema), name));
        let schema = named.unwrap_or(PUBLIC);
        // Without a schema the catalogue's own tables are found, too.
        let own = || own_oid(named.unwrap_or("pg_catalog"), name);
        let seen = self.seen();
        let found =
            seen.iter().find(|s| s.schema.eq_ignore_ascii_case(schema) && s.table.name.eq_ignore_ascii_case(name));
        found.map(|seen| seen.oid).or_else(own)
    }

    /// Its name by its number, with the schema unless it is found without.
    pub fn table_name(&self, oid: i64) -> Option<String> {
        let seen = self.seen();
        let Some(found) = seen.iter().find(|seen| seen.oid == oid) else { return own_name(oid) };
        Some(if found.schema == PUBLIC {
            found.table.name.clone()
        } else {
            format!("{}.{}", found.schema, found.table.name)
        })
    }

    /// Is the table found without its schema?
    pub fn is_visible(&self, oid: i64) -> bool {
        self.seen().iter().all(|seen| seen.oid != oid || seen.schema == PUBLIC)
    }

    /// What is to be known of a table or one of its columns, from 1.
    pub fn comment(&self, oid: i64, column: i64) -> Option<String> {
        let seen = self.seen();
        let found = seen.iter().find(|seen| seen.oid == oid)?;
        let sites: Vec<&str> = found.table.sites.iter().map(|site| site.0.as_str()).collect();
        match usize::try_from(column).ok()?.checked_sub(1) {
            None if found.schema == PUBLIC => Some(format!("the rows of {}, together", sites.join(", "))),
            None => Some(format!("the rows of {}", found.schema)),
            Some(at) => about(found.table.columns.get(at)?, self.catalog.is_patient_key(&found.table.columns[at].name)),
        }
    }

    /// The table of this name.
    pub fn table(&self, schema: Option<&str>, name: &str) -> Option<Table> {
        match (schema, name) {
            (Some("consilium"), "jobs") => Some(self.jobs()),
            (Some("information_schema"), _) => self.information(name),
            (None | Some("pg_catalog"), _) => self.pg(name),
            _ => None,
        }
    }

    fn pg(&self, name: &str) -> Option<Table> {
        use Kind::{Bool, Int, Text};
        let text = |text: &str| Value::text(text);
        let table =
            |columns: &[(&'static str, Kind)], rows| Some(Table { columns: columns.to_vec(), rows, open: true });
        match name {
            "pg_namespace" => table(
                &[("oid", Int), ("nspname", Text), ("nspowner", Int), ("nspacl", Text)],
                self.schemas()
                    .into_iter()
                    .map(|(oid, name)| vec![Value::Int(oid), Value::Text(name), Value::Int(OWNER), Value::Null])
                    .collect(),
            ),
            "pg_class" => Some(self.pg_class()),
            "pg_attribute" => Some(self.pg_attribute()),
            "pg_type" => Some(pg_type()),
            "pg_tables" => table(
                &[
                    ("schemaname", Text),
                    ("tablename", Text),
                    ("tableowner", Text),
                    ("tablespace", Text),
                    ("hasindexes", Bool),
                    ("hasrules", Bool),
                    ("hastriggers", Bool),
                    ("rowsecurity", Bool),
                ],
                self.seen()
                    .iter()
                    .map(|seen| {
                        let no = Value::Bool(false);
                        vec![
                            text(&seen.schema),
                            text(&seen.table.name),
                            text(&self.account),
                            Value::Null,
                            no.clone(),
                            no.clone(),
                            no.clone(),
                            no,
                        ]
                    })
                    .collect(),
            ),
            "pg_database" => table(
                &[
                    ("oid", Int),
                    ("datname", Text),
                    ("datdba", Int),
                    ("encoding", Int),
                    ("datcollate", Text),
                    ("datctype", Text),
                    ("datistemplate", Bool),
                    ("datallowconn", Bool),
                    ("dattablespace", Int),
                    ("datacl", Text),
                    ("datlocprovider", Text),
                ],
                vec![vec![
                    Value::Int(DATABASE),
                    text(&self.database),
                    Value::Int(OWNER),
                    Value::Int(6),
                    text("C"),
                    text("C"),
                    Value::Bool(false),
                    Value::Bool(true),
                    Value::Int(1663),
                    Value::Null,
                    text("c"),
                ]],
            ),
            "pg_roles" | "pg_authid" => table(
                &[
                    ("oid", Int),
                    ("rolname", Text),
                    ("rolsuper", Bool),
                    ("rolinherit", Bool),
                    ("rolcreaterole", Bool),
                    ("rolcreatedb", Bool),
                    ("rolcanlogin", Bool),
                    ("rolconnlimit", Int),
                    ("rolreplication", Bool),
                    ("rolbypassrls", Bool),
                ],
                vec![
                    [Value::Int(OWNER), text(&self.account)]
                        .into_iter()
                        .chain([false, true, false, false, true].map(Value::Bool))
                        .chain([Value::Int(-1), Value::Bool(false), Value::Bool(false)])
                        .collect(),
                ],
            ),
            "pg_user" => table(
                &[("usename", Text), ("usesysid", Int), ("usecreatedb", Bool), ("usesuper", Bool)],
                vec![vec![text(&self.account), Value::Int(OWNER), Value::Bool(false), Value::Bool(false)]],
            ),
            "pg_settings" => table(
                &[("name", Text), ("setting", Text), ("unit", Text), ("category", Text), ("short_desc", Text)],
                self.settings
                    .iter()
                    .map(|(name, value)| vec![text(name), text(value), Value::Null, text("Consilium"), text("")])
                    .collect(),
            ),
            "pg_am" => table(
                &[("oid", Int), ("amname", Text), ("amhandler", Text), ("amtype", Text)],
                vec![vec![Value::Int(2), text("heap"), text("heap_tableam_handler"), text("t")]],
            ),
            "pg_tablespace" => table(
                &[("oid", Int), ("spcname", Text), ("spcowner", Int)],
                vec![vec![Value::Int(1663), text("pg_default"), Value::Int(OWNER)]],
            ),
            "pg_description" => Some(self.pg_description()),
            other => {
                let (_, columns) = EMPTY.iter().find(|(known, _)| *known == other)?;
                table(columns, Vec::new())
            }
        }
    }

    fn pg_class(&self) -> Table {
        use Kind::{Bool, Int, Text};
        let columns = vec![
            ("oid", Int),
            ("relname", Text),
            ("relnamespace", Int),
            ("reltype", Int),
            ("reloftype", Int),
            ("relowner", Int),
            ("relam", Int),
            ("relfilenode", Int),
            ("reltablespace", Int),
            ("relpages", Int),
            ("reltuples", Int),
            ("reltoastrelid", Int),
            ("relhasindex", Bool),
            ("relisshared", Bool),
            ("relpersistence", Text),
            ("relkind", Text),
            ("relnatts", Int),
            ("relchecks", Int),
            ("relhasrules", Bool),
            ("relhastriggers", Bool),
            ("relhassubclass", Bool),
            ("relrowsecurity", Bool),
            ("relforcerowsecurity", Bool),
            ("relispopulated", Bool),
            ("relreplident", Text),
            ("relispartition", Bool),
            ("relacl", Text),
            ("reloptions", Text),
            ("relpartbound", Text),
            ("relhasoids", Bool),
        ];
        let (int, no) = (Value::Int, Value::Bool(false));
        let row = |seen: &Seen<'_>| {
            let count = seen.table.columns.len() as i64;
            let head = vec![
                int(seen.oid),
                Value::text(&seen.table.name),
                int(seen.schema_oid),
                int(0),
                int(0),
                int(OWNER),
                int(2),
            ];
            let sizes = [0, 0, 0, -1, 0].map(int);
            let tail = vec![
                no.clone(),
                no.clone(),
                Value::text("p"),
                Value::text("r"),
                int(count),
                int(0),
                no.clone(),
                no.clone(),
                no.clone(),
                no.clone(),
                no.clone(),
                Value::Bool(true),
                Value::text("d"),
                no.clone(),
                Value::Null,
                Value::Null,
                Value::Null,
                no.clone(),
            ];
            head.into_iter().chain(sizes).chain(tail).collect()
        };
        Table { columns, rows: self.seen().iter().map(row).collect(), open: true }
    }

    fn pg_attribute(&self) -> Table {
        use Kind::{Bool, Int, Text};
        let columns = vec![
            ("attrelid", Int),
            ("attname", Text),
            ("atttypid", Int),
            ("attstattarget", Int),
            ("attlen", Int),
            ("attnum", Int),
            ("attndims", Int),
            ("atttypmod", Int),
            ("attnotnull", Bool),
            ("atthasdef", Bool),
            ("atthasmissing", Bool),
            ("attidentity", Text),
            ("attgenerated", Text),
            ("attisdropped", Bool),
            ("attislocal", Bool),
            ("attinhcount", Int),
            ("attcollation", Int),
            ("attstorage", Text),
            ("attcompression", Text),
            ("attacl", Text),
            ("attoptions", Text),
            ("attfdwoptions", Text),
        ];
        let (int, no, empty) = (Value::Int, Value::Bool(false), Value::text(""));
        let mut rows = Vec::new();
        for seen in self.seen() {
            for (at, column) in (1..).zip(&seen.table.columns) {
                let (oid, modifier) = type_of(column.data_type);
                let length = TYPES.iter().find(|known| known.0 == oid).map_or(-1, |known| known.2);
                rows.push(vec![
                    int(seen.oid),
                    Value::text(column.name.to_lowercase()),
                    int(oid),
                    int(-1),
                    int(length),
                    int(at),
                    int(0),
                    int(modifier),
                    no.clone(),
                    no.clone(),
                    no.clone(),
                    empty.clone(),
                    empty.clone(),
                    no.clone(),
                    Value::Bool(true),
                    int(0),
                    int(0),
                    Value::text("p"),
                    empty.clone(),
                    Value::Null,
                    Value::Null,
                    Value::Null,
                ]);
            }
        }
        Table { columns, rows, open: true }
    }

    fn pg_description(&self) -> Table {
        use Kind::{Int, Text};
        let columns = vec![("objoid", Int), ("classoid", Int), ("objsubid", Int), ("description", Text)];
        let mut rows = Vec::new();
        for seen in self.seen() {
            for at in 0..=seen.table.columns.len() as i64 {
                let words = self.comment(seen.oid, at);
                rows.extend(
                    words.map(|words| {
                        vec![Value::Int(seen.oid), Value::Int(PG_CLASS), Value::Int(at), Value::Text(words)]
                    }),
                );
            }
        }
        Table { columns, rows, open: true }
    }

    fn information(&self, name: &str) -> Option<Table> {
        use Kind::{Int, Text};
        let text = |text: &str| Value::text(text);
        let table =
            |columns: &[(&'static str, Kind)], rows| Some(Table { columns: columns.to_vec(), rows, open: true });
        match name {
            "schemata" => table(
                &[("catalog_name", Text), ("schema_name", Text), ("schema_owner", Text)],
                self.schemas()
                    .into_iter()
                    .map(|(_, name)| vec![text(&self.database), Value::Text(name), text(&self.account)])
                    .collect(),
            ),
            "tables" => table(
                &[
                    ("table_catalog", Text),
                    ("table_schema", Text),
                    ("table_name", Text),
                    ("table_type", Text),
                    ("is_insertable_into", Text),
                ],
                self.seen()
                    .iter()
                    .map(|seen| {
                        [self.database.as_str(), &seen.schema, &seen.table.name, "BASE TABLE", "NO"].map(text).to_vec()
                    })
                    .collect(),
            ),
            "columns" => {
                let columns = [
                    ("table_catalog", Text),
                    ("table_schema", Text),
                    ("table_name", Text),
                    ("column_name", Text),
                    ("ordinal_position", Int),
                    ("column_default", Text),
                    ("is_nullable", Text),
                    ("data_type", Text),
                    ("character_maximum_length", Int),
                    ("numeric_precision", Int),
                    ("numeric_scale", Int),
                    ("udt_name", Text),
                    ("is_identity", Text),
                    ("is_generated", Text),
                    ("is_updatable", Text),
                ];
                let mut rows = Vec::new();
                for seen in self.seen() {
                    for (at, column) in (1..).zip(&seen.table.columns) {
                        let (oid, _) = type_of(column.data_type);
                        let known = TYPES.iter().find(|known| known.0 == oid);
                        let (precision, scale) = match column.data_type {
                            ColumnType::Decimal { precision, scale } => {
                                (Value::Int(precision.into()), Value::Int(scale.into()))
                            }
                            ColumnType::Int => (Value::Int(64), Value::Int(0)),
                            _ => (Value::Null, Value::Null),
                        };
                        rows.push(vec![
                            text(&self.database),
                            text(&seen.schema),
                            text(&seen.table.name),
                            text(&column.name.to_lowercase()),
                            Value::Int(at),
                            Value::Null,
                            text("YES"),
                            text(known.map_or("text", |known| known.4)),
                            Value::Null,
                            precision,
                            scale,
                            text(known.map_or("text", |known| known.1)),
                            text("NO"),
                            text("NEVER"),
                            text("NO"),
                        ]);
                    }
                }
                table(&columns, rows)
            }
            other if EMPTY_INFORMATION.contains(&other) => {
                table(&[("constraint_name", Text), ("table_schema", Text), ("table_name", Text)], Vec::new())
            }
            _ => None,
        }
    }

    /// The account's jobs, the newest first.
    fn jobs(&self) -> Table {
        use Kind::{Int, Text};
        let columns = vec![
            ("id", Text),
            ("state", Text),
            ("submitted", Text),
            ("ended", Text),
            ("study", Text),
            ("question", Text),
            ("waits_for", Text),
            ("code", Text),
            ("message", Text),
            ("rows", Int),
        ];
        let text = |text: Option<String>| text.map_or(Value::Null, Value::Text);
        let rows = self.jobs.iter().map(|job| {
            let waits = Some(waits(job)).filter(|words| !words.is_empty() && !job.state.is_over());
            let why = job.refusal.clone();
            vec![
                Value::text(hex::text(&job.id)),
                Value::text(job.state.name()),
                Value::Text(utc(job.submitted_ms)),
                text(job.ended_ms.map(utc)),
                Value::text(&job.study),
                Value::text(&job.sql),
                text(waits),
                text(why.as_ref().map(|why| why.code.clone())),
                text(why.map(|why| why.message)),
                job.rows.map_or(Value::Null, |rows| Value::Int(rows as i64)),
            ]
        });
        Table { columns, rows: rows.collect(), open: false }
    }
}
