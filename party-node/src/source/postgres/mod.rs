//! A site's tables in a PostgreSQL database: looked at when the node starts, and again in one transaction for each question.
//!
//! Filters, joins and sums over exact numbers run in the database as far as it means the same by them as the node does
//! (`emit/`); everything else streams through the node. The answer never depends on who did the work.

mod catalog;
mod check;
mod connect;
mod connection;
mod emit;
mod fault;
mod grouped;
pub mod settings;
mod sql;
mod stream;
mod survey;
mod table;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::datasource::provider_as_source;
use datafusion::error::Result as PlanResult;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::logical_plan::{LogicalPlan, LogicalPlanBuilder, TableScan};
use datafusion::logical_expr::{Expr, TableSource, col};
use futures::StreamExt;
use query_planner::bind::SiteTable;
use query_planner::catalog::{Catalog, SiteName};
use query_planner::merge::{SiteSchema, SiteTableSchema, row_bound};
use query_planner::plan::{LocalStage, SecureSum};
use sha2::{Digest, Sha256};
use tokio_postgres::Row;

use super::left::Left;
use super::opt_out::{LeftOut, OptOut};
use crate::exec::{self, Budget, external};
use crate::fault::{NodeError, printable};
use catalog::Found;
use connect::wait;
use connection::Connection;
pub(crate) use grouped::split;
use settings::{LocalWork, Settings};
use sql::{Statement, quoted};
use stream::{Access, Part, Reading};
pub(super) use survey::survey;
use table::{DatabaseTable, Held};

/// A database as it says itself what it holds.
#[derive(Debug)]
pub(super) struct Tables {
    settings: Arc<Settings>,
    found: BTreeMap<String, Found>,
}

/// The tables that the catalogue gives this site, in its database.
#[derive(Clone)]
pub(crate) struct Database {
    settings: Arc<Settings>,
    held: BTreeMap<String, Arc<Held>>,
    opted_out: Option<Arc<OptOut>>,
    /// The transaction of a question.
    moment: Option<Arc<Moment>>,
}

/// One moment of a database.
struct Moment {
    access: Access,
    tables: BTreeMap<String, Arc<DatabaseTable>>,
}

/// Columns of tables, by table.
type Read = BTreeMap<String, BTreeSet<usize>>;

impl Tables {
    /// Looks at a database.
    ///
    /// # Errors
    /// `DATABASE_…` when it cannot be read, `NO_TABLES`, and what is wrong with names.
    pub fn open(settings: Settings) -> Result<Self, NodeError> {
        let settings = Arc::new(settings);
        let of = settings.clone();
        let found = wait(async move { catalog::tables(&*connect::begin(&of, &Left::never()).await?, &of).await })?;
        Ok(Self { settings, found })
    }

    /// Names, types, row counts and the number of patients rounded up.
    ///
    /// # Errors
    /// Those of a failed statement.
    pub fn schema(&self, patient_key: &str) -> Result<SiteSchema, NodeError> {
        let table = |found: &Found| SiteTableSchema {
            name: found.name.to_lowercase(),
            columns: found.columns.iter().map(|(name, kind)| (name.clone(), kind.inferred())).collect(),
            rows: row_bound(found.rows),
        };
        let patients = row_bound(self.patients(patient_key)?);
        Ok(SiteSchema { tables: self.found.values().map(table).collect(), patients })
    }

    fn patients(&self, patient_key: &str) -> Result<u64, NodeError> {
        let key = |found: &Found| {
            let (name, _) = found.columns.iter().find(|(name, _)| name.eq_ignore_ascii_case(patient_key))?;
            Some((found.name.clone(), name.clone()))
        };
        let (keys, settings): (Vec<_>, _) = (self.found.values().filter_map(key).collect(), self.settings.clone());
        wait(async move {
            catalog::patients(&*connect::begin(&settings, &Left::never()).await?, &settings.schema, &keys).await
        })
    }

    /// Checks every table that the catalogue gives this site.
    ///
    /// # Errors
    /// `TABLE_MISSING`, `COLUMN_MISSING`, what is wrong with values (see [`check::check`], and as for a file where the database has a
    /// column in another type), `TOO_MANY_PATIENTS`, `LINKAGE_FILES`.
    pub fn bind(self, catalog: &Catalog, site: &SiteName) -> Result<Database, NodeError> {
        if catalog.linkage.is_some() {
            let message = format!(
                "site {}: identifiers for linkage are read from files, not from a database",
                printable(&site.0)
            );
            return Err(NodeError::new("LINKAGE_FILES", message).hint("export the tables to files"));
        }
        let held = Held::all(&self.found, &self.settings.schema, catalog, site)?;
        if self.patients(&catalog.patient_key)? > catalog.max_patients {
            let message = format!(
                "site {}: more patients in its tables than the {} that the network declares for a site",
                printable(&site.0),
                catalog.max_patients
            );
            return Err(
                NodeError::new("TOO_MANY_PATIENTS", message).hint("declare a larger max_patients in network.toml")
            );
        }
        let database = Database { settings: self.settings, held, opted_out: None, moment: None };
        let all = |(name, held): (&String, &Arc<Held>)| (name.clone(), (0..held.columns.len()).collect());
        let (read, whole) = (database.held.iter().map(all).collect::<Read>(), database.clone());
        wait(async move {
            let (moment, _) = whole.look(&read, false, &Left::never()).await?;
            whole.read_foreign(&moment).await
        })?;
        Ok(database)
    }
}

impl Database {
    /// Leaves out the rows of patients on a list, from now on, and says how many these are now.
    ///
    /// # Errors
    /// Those of a failed statement.
    pub fn without(mut self, list: OptOut) -> Result<(Self, LeftOut), NodeError> {
        let list = Arc::new(list);
        let (database, of) = (self.clone(), list.clone());
        let left_out = wait(async move {
            let connection = connect::begin(&database.settings, &Left::never()).await?;
            let (mut seen, mut rows) = (HashSet::new(), 0);
            for held in database.held.values() {
                for (_, spelled, of_patient) in listed(&connection, held, &of).await? {
                    seen.insert(spelled);
                    rows += of_patient;
                }
            }
            Ok(LeftOut { patients: seen.len(), rows, unknown: of.patients() - seen.len() })
        })?;
        self.opted_out = Some(list);
        Ok((self, left_out))
    }

    /// Begins the transaction of a question, and looks at what its stages read: the rows are as the catalogue declares. With
    /// `digest` also the digest of these rows, which is the same whenever they are the same. Its statements are given up when whoever
    /// asked has left.
    ///
    /// # Errors
    /// As [`check::check`].
    pub fn begin(
        &self,
        stages: &[LocalStage],
        site: &SiteName,
        digest: bool,
        left: Left,
    ) -> Result<(Self, Option<[u8; 32]>), NodeError> {
        let (read, whole) = (self.read_by(stages, site)?, self.clone());
        let (moment, digest) = wait(async move { whole.look(&read, digest, &left).await })?;
        Ok((Self { moment: Some(Arc::new(moment)), ..self.clone() }, digest))
    }

    async fn look(&self, read: &Read, digest: bool, left: &Left) -> Result<(Moment, Option<[u8; 32]>), NodeError> {
        let connection = connect::begin(&self.settings, left).await?;
        let (mut tables, mut widest) = (BTreeMap::new(), 0);
        let mut hash = Sha256::new().chain_update(b"consilium database snapshot v1\0");
        for (name, held) in &self.held {
            let Some(columns) = read.get(name) else { continue };
            let left_out = self.left_out(&connection, held).await?;
            let table = DatabaseTable { held: held.clone(), left_out };
            let columns: Vec<usize> = columns.iter().copied().collect();
            let found = check::check(&connection, &table, &columns, digest).await?;
            hash.update(format!("{name}\0{columns:?}\0{}\0{}\0", found.rows, found.digest));
            tables.insert(name.clone(), Arc::new(table));
            widest = found.widest.max(widest);
        }
        Ok((Moment { access: Access { connection, widest }, tables }, digest.then(|| hash.finalize().into())))
    }

    async fn left_out(&self, connection: &Connection, held: &Held) -> Result<Option<Arc<Vec<String>>>, NodeError> {
        let Some(list) = self.opted_out.as_ref() else { return Ok(None) };
        let listed = listed(connection, held, list).await?;
        Ok(Some(Arc::new(listed.into_iter().map(|(key, _, _)| key).collect())))
    }

    /// Reads what only the node can check, once.
    async fn read_foreign(&self, moment: &Moment) -> Result<(), NodeError> {
        for table in moment.tables.values() {
            let held = &table.held;
            let foreign: Vec<usize> = (0..held.columns.len()).filter(|at| !held.columns[*at].is_same).collect();
            if foreign.is_empty() {
                continue;
            }
            let columns = foreign.iter().map(|at| format!("({})::text", held.columns[*at].sql)).collect::<Vec<_>>();
            let place = format!("{}.{}", quoted(&held.schema_name), quoted(&held.name));
            let text = format!("SELECT {} FROM {place} AS t", columns.join(", "));
            let schema = Arc::new(held.schema.project(&foreign).map_err(|_| invalid("columns that are not there"))?);
            let reading = Reading::new(Statement::plain(text), schema, Some(held));
            let mut rows = reading.ok_or_else(|| invalid("a column of no type"))?.stream(moment.access.clone());
            while let Some(batch) = rows.next().await {
                batch.map_err(|e| exec::in_our_words(&e, "its database", "DATABASE_FAILED"))?;
            }
        }
        Ok(())
    }

    /// The columns of this site's tables that stages read.
    fn read_by(&self, stages: &[LocalStage], site: &SiteName) -> Result<Read, NodeError> {
        let mut read = Read::new();
        let own = |plans: &BTreeMap<SiteName, LogicalPlan>| {
            plans.iter().find(|(name, _)| name.same(site)).map(|(_, plan)| plan.clone())
        };
        for stage in stages {
            let relations = stage.relations.iter().chain(stage.cohort.iter().flat_map(|cohort| &cohort.relations));
            for plan in relations.chain([&stage.fragments]).filter_map(own) {
                plan.apply_with_subqueries(|node| {
                    if let LogicalPlan::TableScan(scan) = node {
                        let held = self.held_by(scan)?;
                        let all = || (0..held.columns.len()).collect();
                        let columns = scan.projection.clone().unwrap_or_else(all);
                        let columns = columns.into_iter().chain(held.key.filter(|_| self.opted_out.is_some()));
                        read.entry(held.declared.name.to_lowercase()).or_default().extend(columns);
                    }
                    Ok(TreeNodeRecursion::Continue)
                })
                .map_err(|e| exec::in_our_words(&e, "its database", "DATABASE_FAILED"))?;
            }
        }
        Ok(read)
    }

    fn held_by(&self, scan: &TableScan) -> PlanResult<&Arc<Held>> {
        let table = scan.source.downcast_ref::<SiteTable>();
        let held = table.and_then(|table| self.held.get(&table.table.to_lowercase()));
        held.ok_or_else(|| external(invalid("a scan of a table that this site does not hold")))
    }

    fn moment(&self) -> PlanResult<&Moment> {
        let none = || external(NodeError::new("INTERNAL", "local work in a database without a transaction"));
        self.moment.as_deref().ok_or_else(none)
    }

    /// The rows of a fragment.
    pub async fn rows(&self, fragment: &LogicalPlan, budget: Budget) -> PlanResult<SendableRecordBatchStream> {
        exec::run_with(fragment.clone(), budget, |scan| self.source(scan), |plan| self.push(plan, &mut Vec::new()))
            .await
    }

    /// What the database is asked for a sum: the SQL without any value.
    pub fn asked(&self, fragment: &LogicalPlan, sum: &SecureSum) -> PlanResult<Vec<String>> {
        let plan = exec::optimized(fragment.clone(), |scan| self.source(scan))?;
        let grouped = if self.settings.local_work == LocalWork::Node { None } else { grouped::reading(&plan, sum) };
        let mut asked = Vec::new();
        match grouped {
            Some(reading) => asked.push(reading.text().to_owned()),
            None => drop(self.push(plan, &mut asked)?),
        }
        Ok(asked)
    }

    /// The groups of a fragment with their totals; none where the database cannot make them exactly.
    pub fn groups(&self, fragment: &LogicalPlan, sum: &SecureSum) -> PlanResult<Option<SendableRecordBatchStream>> {
        if self.settings.local_work == LocalWork::Node {
            return Ok(None);
        }
        let plan = exec::optimized(fragment.clone(), |scan| self.source(scan))?;
        let access = self.moment()?.access.clone();
        Ok(grouped::reading(&plan, sum).map(|reading| reading.stream(access)))
    }

    fn source(&self, scan: &TableScan) -> PlanResult<Arc<dyn TableSource>> {
        let name = self.held_by(scan)?.declared.name.to_lowercase();
        let table = self.moment()?.tables.get(&name).cloned();
        Ok(table.ok_or_else(|| external(NodeError::new("INTERNAL", "a table that was not looked at")))?)
    }

    /// Puts a statement in the place of every part of an optimized plan that the database can do, the largest first; `asked` are the
    /// statements.
    fn push(&self, plan: LogicalPlan, asked: &mut Vec<String>) -> PlanResult<LogicalPlan> {
        let whole = self.settings.local_work == LocalWork::Database;
        let access = &self.moment()?.access;
        let replace = |node: LogicalPlan| {
            if !whole && !matches!(node, LogicalPlan::TableScan(_)) {
                return Ok(Transformed::no(node));
            }
            match part(&node, access)? {
                Some((part, text)) => {
                    asked.push(text);
                    Ok(Transformed::new(part, true, TreeNodeRecursion::Jump))
                }
                None => Ok(Transformed::no(node)),
            }
        };
        plan.transform_down_with_subqueries(replace).map(|changed| changed.data)
    }
}

/// What stands for a node of a plan that is done by the database: a table of its rows, under the names that the node had. And the SQL.
fn part(node: &LogicalPlan, access: &Access) -> PlanResult<Option<(LogicalPlan, String)>> {
    let Some((statement, relation)) = emit::statement(node) else { return Ok(None) };
    let schema = node.schema();
    let reading = Reading::new(statement, Arc::new(schema.as_arrow().clone()), relation.alone.as_deref());
    let Some(reading) = reading.map(|reading| reading.renamed()) else { return Ok(None) };
    let part = Part { reading: reading.clone(), access: access.clone() };
    let table = StreamingTable::try_new(reading.schema(), vec![Arc::new(part)])?;
    let scan = LogicalPlanBuilder::scan("pushed", provider_as_source(Arc::new(table)), None)?;
    if schema.fields().is_empty() {
        return Ok(Some((scan.build()?, reading.text().to_owned())));
    }
    let named = schema
        .iter()
        .enumerate()
        .map(|(i, (qualifier, field))| col(format!("pushed.c{i}")).alias_qualified(qualifier.cloned(), field.name()));
    let plan = scan.project(named.collect::<Vec<Expr>>())?.build()?;
    Ok(Some((plan, reading.text().to_owned())))
}

/// The keys of a table that are on a list: as the database writes them, in the list's spelling, and how many rows each has.
async fn listed(
    connection: &Connection,
    held: &Held,
    list: &OptOut,
) -> Result<Vec<(String, Box<str>, usize)>, NodeError> {
    let Some(key) = held.key.map(|key| &held.columns[key].sql) else { return Ok(Vec::new()) };
    let place = format!("{}.{}", quoted(&held.schema_name), quoted(&held.name));
    let text = format!(
        "SELECT k, count(*) FROM (SELECT ({key})::text AS k FROM {place} AS t) AS a WHERE k IS NOT NULL GROUP BY k"
    );
    let mut found = Vec::new();
    let take = |row: Row| {
        let (key, count): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        if let Some(spelled) = list.entry(&key) {
            found.push((key, spelled, count as usize));
        }
        Ok(())
    };
    connection.each(&text, take).await?;
    Ok(found)
}

fn invalid(what: &str) -> NodeError {
    NodeError::new("PLAN_INVALID", format!("the plan has {what}"))
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Database({} tables)", self.held.len())
    }
}
