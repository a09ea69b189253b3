//! From a release point to a secure sum: keys and their groups, slots and their rings, what each site runs, and the
//! revealed rows that take the aggregate's place.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::{Column, TableReference};
use datafusion_expr::Expr;
use datafusion_expr::logical_plan::{Aggregate, LogicalPlan, LogicalPlanBuilder};

use crate::bind::RevealedTable;
use crate::catalog::Catalog;
use crate::clamp;
use crate::cost::most_groups;
use crate::cube::JUDGED_TOGETHER;
use crate::error::{PlanError, refuse};
use crate::facts::Scope;
use crate::fragments::{fragment, fragments_of, stage, tables_read};
use crate::groups::GroupKey;
use crate::intersection::Intersection;
use crate::matched::Matching;
use crate::matching::{self, Common, Laid, LaidOut, Matched};
use crate::measured::{self, Measured, Powers};
use crate::notes::Note;
use crate::people::Whom;
use crate::plan::{
    Audience, Between, Cohort, Compiled, Exclusive, Groups, JointPlan, LocalStage, Output, PLAN_VERSION, SecureSum,
    Summand, Top,
};
use crate::policy::check_local;
use crate::relate::{self, Footprint};
use crate::slots::{Size, Slots};
use crate::small::{conditional_columns, rolled_up_columns};
use crate::split::{Sites, sites_of};
use crate::supports::Support;
use crate::uses::{self, Released, Uses};
use crate::wording::indented;
use crate::{Options, approx_distinct, disclose, every_row, groups, hidden, noise, notes, sensitivity, top};

/// Collects the secure sums of one query.
#[derive(Debug)]
pub(crate) struct Lowering<'a> {
    pub catalog: &'a Catalog,
    pub audience: Audience,
    noise: Option<noise::Asked>,
    pub sums: Vec<SecureSum>,
    pub intersection: Option<Intersection>,
    pub stages: Vec<LocalStage>,
    pub schemas: Vec<SchemaRef>,
    pub notes: Vec<Note>,
    /// What contributors run, before their own tables are put in, one for each of `sums`.
    works: Vec<LogicalPlan>,
    /// What each sum was made of.
    asked: Vec<Aggregate>,
    prints: Vec<Footprint>,
    uses: Vec<Uses>,
    /// What the figures of each of `sums` measure, where it is judged.
    powers: Vec<Powers>,
}

impl<'a> Lowering<'a> {
    /// Of a question.
    ///
    /// # Errors
    /// `BAD_EPSILON`.
    pub fn new(catalog: &'a Catalog, options: &Options) -> Result<Self, PlanError> {
        let (audience, noise) = (options.audience, options.noise.map(noise::Asked::checked).transpose()?);
        let (sums, stages, schemas) = (Vec::new(), Vec::new(), Vec::new());
        let (notes, works, prints, uses, powers) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let intersection = None;
        Ok(Lowering {
            catalog,
            audience,
            noise,
            sums,
            intersection,
            stages,
            schemas,
            notes,
            works,
            asked: Vec::new(),
            prints,
            uses,
            powers,
        })
    }

    /// Lowers one aggregate over distributed rows; returns the plan that stands for its revealed rows, with exactly
    /// the aggregate's schema. Equal aggregates share one sum.
    pub fn secure_sum(&mut self, aggregate: &Aggregate, inside: bool) -> Result<LogicalPlan, PlanError> {
        let written_out = if self.judges() { Some(measured::written_out(aggregate, self.catalog)?) } else { None };
        let aggregate = written_out.as_ref().unwrap_or(aggregate);
        let sites = sites_of(&aggregate.input);
        let relation = check_local(&aggregate.input, self.catalog)?;
        let scope = Scope::over(aggregate.input.schema(), &relation);
        let keys = groups::keys(aggregate, &scope, self.catalog, inside && sites.len() > 1)?;
        let groups = groups::groups(&keys, self.catalog)?;
        let domains: Vec<_> = keys.iter().map(|k| k.key.clone()).collect();
        let most = most_groups(&domains, &groups);
        let size = Size { rows: relation.rows, groups: most, contributors: sites.len() };
        let (mut slots, outputs) = self.figures(aggregate, &scope, (&keys, size))?;
        let mut cells = if self.hides() { slots.cells(&outputs)? } else { Vec::new() };
        slots.understood(&cells, JUDGED_TOGETHER)?;
        let (supports, disjoint) = (slots.supports(&cells)?, slots.disjoint(&cells, &outputs));
        cells.extend(supports.iter().map(|support| support.cell));
        cells.sort_unstable();
        cells.dedup();
        slots.no_hidden_counts()?;
        few_enough(cells.len(), most)?;
        approx_distinct::few_enough(slots.sketches.len(), &groups, most)?;
        let generic = fragment(aggregate, &slots)?;
        // With what the aggregate itself says, its conditions and arguments.
        check_local(&generic, self.catalog)?;
        let cohort = self.cohort(aggregate, &cells, &mut slots)?;
        let Beside { matching, patients, between, relations } =
            self.patients_beside(aggregate, (&cells, &outputs), (&supports, &disjoint), &mut slots)?;
        let cohort = cohort.filter(|_| matching.is_none());
        let mut sum = SecureSum {
            contributors: sites.iter().map(|i| self.catalog.sites[*i].clone()).collect(),
            local_work: indented(&generic),
            row_bound: relation.rows,
            columns: slots.texts.clone(),
            keys: keys.into_iter().map(|k| k.key).collect(),
            groups,
            slots: slots.slots.clone(),
            disjoint,
            cells,
            orders: slots.orders.clone(),
            sketches: slots.sketches.clone(),
            top: None,
            outputs,
            patients,
            between,
            supports,
            matching,
            sensitive: Vec::new(),
            noised: Vec::new(),
        };
        let (keys, groups) = (&sum.keys[..], &sum.groups);
        let uses = Uses::of(&Released { aggregate, keys, groups, relations: &relations }, self.catalog)?;
        sum.sensitive = self.catalog.policy.released_tables.sensitive_keys(&uses, &sum.groups)?;
        if self.noise.is_some() {
            sum.noised = sensitivity::of_rows(&sum, &generic, &slots, self.catalog)?;
            every_row::has_values(&generic)?;
            every_row::fit(sum.matching.as_ref())?;
            relations.iter().try_for_each(|laid| every_row::has_values(&laid.plan))?;
        }
        if slots.approximate && !self.notes.contains(&Note::ExactPercentiles) {
            self.notes.push(Note::ExactPercentiles);
        }
        let index = match self.known(&sum, aggregate) {
            Some(index) => index,
            None => {
                self.uses.push(uses);
                self.asked.push(aggregate.clone());
                self.prints.push(Footprint::new(aggregate, &slots, self.catalog));
                self.powers.push(slots.measured.map(|measured| measured.powers).unwrap_or_default());
                let index = self.add(sum, generic, &sites, revealed_schema(aggregate, self.hides()))?;
                self.stages[index].relations = fragments_of(&relations, self.catalog)?;
                self.stages[index].cohort = cohort;
                index
            }
        };
        revealed_rows(index, self.schemas[index].clone(), aggregate)
    }

    /// The slots of an aggregate's figures, with what is known of the columns below it.
    fn figures<'s>(
        &self,
        aggregate: &'s Aggregate,
        scope: &'s Scope<'s>,
        (keys, size): (&[GroupKey], Size),
    ) -> Result<(Slots<'s>, Vec<Output>), PlanError>
    where
        'a: 's,
    {
        let mut slots = Slots::new(keys, scope, size, self.catalog);
        // Patients alone are matched without their sites' rows being added up.
        if size.contributors > 1 && !aggregate.aggr_expr.iter().all(matching::counts_distinct) {
            slots.patient_key = matching::key_column(&aggregate.input, self.catalog);
        }
        slots.measured = self.judges().then(|| Measured::of(aggregate, self.catalog));
        if self.catalog.policy.hides() {
            slots.made = conditional_columns(&aggregate.input);
            slots.rolled_up = rolled_up_columns(&aggregate.input);
        }
        let outputs = slots.outputs(aggregate)?;
        if self.hides() {
            slots.optional = slots.columns_of_choice(&aggregate.input);
        }
        Ok((slots, outputs))
    }

    /// The patients that figures count, or that stand behind cells that may be too small.
    fn patients_beside(
        &self,
        aggregate: &Aggregate,
        (cells, outputs): (&[usize], &[Output]),
        apart: (&[Support], &[Exclusive]),
        slots: &mut Slots<'_>,
    ) -> Result<Beside, PlanError> {
        let (asked, known) = (slots.slots.len(), slots.people.len());
        // With noise no site's own part is taken off, and everyone's figures are judged by their noised rows.
        let judged = self.audience == Audience::Analyst || self.noise.is_none();
        let patients = if judged { slots.patients_behind(cells) } else { Vec::new() };
        // What is between two noised figures has noise enough.
        let between = if self.noise.is_none() { slots.patients_between(cells, outputs, apart) } else { Vec::new() };
        let keys: Vec<Expr> = slots.columns[..aggregate.group_expr.len()].iter().map(|(_, key)| key.clone()).collect();
        let mut found = None;
        if !slots.people.is_empty() {
            found = matching::beside(&aggregate.input, &keys, &slots.people, self.catalog)?;
        }
        let Some(LaidOut { matching, slots: nodes, relations }) = found else {
            // The rows are not those of patients: cells are judged as they are, each with each other one.
            slots.understood(cells, 2)?;
            slots.slots.truncate(asked);
            slots.people.truncate(known);
            return Ok(Beside::default());
        };
        if self.hides() && self.audience == Audience::Everyone && (known > 0 || self.noise.is_some()) {
            return Err(not_for_everyone());
        }
        for slot in &mut slots.slots {
            if let Summand::Patients(at) = &mut slot.what {
                *at = nodes[*at];
            }
        }
        Ok(Beside { matching: Some(matching), patients, between, relations })
    }

    /// Whose rows the figures are made of, where small cells are hidden.
    fn cohort(
        &self,
        aggregate: &Aggregate,
        cells: &[usize],
        slots: &mut Slots<'_>,
    ) -> Result<Option<Cohort>, PlanError> {
        if !self.hides() || self.noise.is_some() {
            return Ok(None);
        }
        let (asked, known) = (slots.slots.len(), slots.people.len());
        slots.patients_behind(cells);
        let mut conditions = vec![None];
        conditions.extend(slots.people.iter().filter_map(Whom::condition).cloned().map(Some));
        slots.slots.truncate(asked);
        slots.people.truncate(known);
        let keys: Vec<Expr> = slots.columns[..aggregate.group_expr.len()].iter().map(|(_, key)| key.clone()).collect();
        let Some(found) = matching::cohort(&aggregate.input, &keys, &conditions, self.catalog)? else {
            return Ok(None);
        };
        let relations = fragments_of(&found.relations, self.catalog)?;
        Ok(Some(Cohort { matching: found.matching, relations }))
    }

    /// Lowers one aggregate over rows that are matched between sites.
    ///
    /// # Errors
    /// As [`matching::matched`].
    pub fn matched_sum(&mut self, aggregate: &Aggregate, inside: bool) -> Result<LogicalPlan, PlanError> {
        let written_out = if self.judges() { Some(measured::written_out(aggregate, self.catalog)?) } else { None };
        let aggregate = written_out.as_ref().unwrap_or(aggregate);
        let Matched { mut sum, relations, powers } =
            matching::matched(aggregate, self.catalog, (inside, self.judges()))?;
        relations.iter().try_for_each(|relation| check_local(&relation.plan, self.catalog).map(drop))?;
        if self.noise.is_some() {
            sum.noised = sensitivity::of_matched(&sum, &relations, self.catalog)?;
            every_row::fit(sum.matching.as_ref())?;
            relations.iter().try_for_each(|laid| every_row::has_values(&laid.plan))?;
        }
        if self.hides() && self.audience == Audience::Everyone {
            return Err(not_for_everyone());
        }
        few_enough(sum.cells.len(), most_groups(&sum.keys, &sum.groups))?;
        let (keys, groups) = (&sum.keys[..], &sum.groups);
        let uses = Uses::of(&Released { aggregate, keys, groups, relations: &relations }, self.catalog)?;
        sum.sensitive = self.catalog.policy.released_tables.sensitive_keys(&uses, &sum.groups)?;
        let index = match self.known(&sum, aggregate) {
            Some(index) => index,
            None => {
                let sites = sites_of(&aggregate.input);
                self.uses.push(uses);
                self.asked.push(aggregate.clone());
                self.prints.push(Footprint::of_matched(aggregate, sites, sum.slots.len(), self.catalog));
                let relations = fragments_of(&relations, self.catalog)?;
                self.stages.push(LocalStage { fragments: BTreeMap::new(), relations, cohort: None });
                self.schemas.push(revealed_schema(aggregate, self.hides()));
                self.powers.push(powers);
                self.works.push(aggregate.input.as_ref().clone());
                self.sums.push(sum);
                self.sums.len() - 1
            }
        };
        revealed_rows(index, self.schemas[index].clone(), aggregate)
    }

    /// How much has been collected.
    pub fn mark(&self) -> (usize, usize) {
        (self.sums.len(), self.notes.len())
    }

    /// Drops what was collected since.
    pub fn back_to(&mut self, (sums, notes): (usize, usize)) {
        self.sums.truncate(sums);
        self.stages.truncate(sums);
        self.schemas.truncate(sums);
        self.works.truncate(sums);
        self.asked.truncate(sums);
        self.prints.truncate(sums);
        self.uses.truncate(sums);
        self.powers.truncate(sums);
        self.notes.truncate(notes);
    }

    /// The sum that was made of an aggregate already. Its texts alone do not tell: the words of two expressions may be the same.
    fn known(&self, sum: &SecureSum, aggregate: &Aggregate) -> Option<usize> {
        (0..self.sums.len()).find(|at| self.sums[*at] == *sum && self.asked[*at] == *aggregate)
    }

    /// Lowers patients that two sites have in common; returns what the analyst is told instead of them. None where nothing of
    /// the kind is asked.
    ///
    /// # Errors
    /// As [`matching::common`].
    pub fn intersection(&mut self, plan: &LogicalPlan) -> Result<Option<LogicalPlan>, PlanError> {
        let Some(Common { intersection, relations, sender }) = matching::common(plan, self.catalog)? else {
            return Ok(None);
        };
        if self.noise.is_some() {
            return Err(noise::not_available("patients themselves cannot be told with noise"));
        }
        self.uses.push(Uses::of_intersection(&relations, &sender, self.catalog)?);
        let fragments = fragments_of(&relations, self.catalog)?;
        self.stages.push(LocalStage { fragments: BTreeMap::new(), relations: fragments, cohort: None });
        self.works.extend(relations.into_iter().map(|laid| laid.plan));
        self.notes.extend(intersection.notes(self.catalog));
        let told = intersection.told();
        self.intersection = Some(intersection);
        told.map(Some)
    }

    fn hides(&self) -> bool {
        self.catalog.policy.hides() && self.intersection.is_none()
    }

    /// Is it judged how much of a sum is whose? With noise nobody's part shows.
    fn judges(&self) -> bool {
        self.hides() && self.noise.is_none()
    }

    /// The whole result, once the plan over revealed rows is known.
    ///
    /// # Errors
    /// `RELATED_TABLES` when cells must be hidden and two sums share rows in a way that is not understood; `SUM_NOT_JUDGED` when one column
    /// is measured in many ways; `KEYS_NOT_AGREEABLE` when a list of keys would tell of groups of nearly the same patients.
    pub fn compiled(mut self, query: String, finish: LogicalPlan, now_ms: i64) -> Result<Compiled, PlanError> {
        measured::few_powers(self.powers.iter())?;
        let margins = if self.hides() { relate::margins(&self.sums, &self.prints)? } else { Vec::new() };
        let shape = match self.noise {
            Some(asked) => Some((asked, noise::share_out(&mut self.sums, asked, self.audience, self.catalog)?)),
            // Which totals are the largest is told by the noised ones, when all are known; and the first groups alone may have fewer
            // values of a sensitive key than the table that was judged.
            None => {
                let top = top::top(&finish, &self.sums).filter(|_| self.sums[0].sensitive.is_empty());
                top.into_iter().for_each(|top| self.leave_out(top));
                None
            }
        };
        let (side_by_side, lists_apart) = match self.noise {
            None if self.hides() => {
                relate::agreeable(&self.sums, &self.prints)?;
                (relate::side_by_side(&self.prints), relate::lists_apart(&self.sums, &self.prints))
            }
            _ => (Vec::new(), Vec::new()),
        };
        let hides = self.hides();
        let text = indented(&finish);
        self.notes.extend(notes::finish(&finish, &self.sums));
        let policy = &self.catalog.policy;
        let mut joint = JointPlan {
            version: PLAN_VERSION,
            planner: format!("query-planner {}, datafusion {}", env!("CARGO_PKG_VERSION"), DATAFUSION_VERSION),
            query,
            now_ms,
            catalog: hex(&self.catalog.digest()),
            sites: self.catalog.sites.clone(),
            audience: self.audience,
            link: policy.link,
            min_patients: policy.min_patients,
            zero_allowed: policy.zero_allowed,
            released_tables: policy.released_tables.clone(),
            flag_extreme_shares: hides && policy.flag_extreme_shares && self.noise.is_none(),
            classes: Vec::new(),
            uses: Uses::listed(&self.uses, self.catalog),
            tables: tables_read(&self.works, self.catalog),
            noise: None,
            sums: self.sums,
            intersection: self.intersection,
            margins,
            side_by_side,
            lists_apart,
            finish: text,
            disclosures: Vec::new(),
            notes: self.notes,
        };
        joint.noise = shape.map(|shape| noise::Noise::of(shape, &joint.tables, self.audience, self.catalog));
        joint.classes = uses::classes(&joint);
        joint.notes.extend(clamp::notes(&joint.uses, self.catalog));
        joint.disclosures = disclose::disclosures(&joint, &self.works, self.catalog);
        disclose::notes(&mut joint, &self.works, self.catalog);
        let finish = if hides { hidden::carry(finish)? } else { finish };
        Ok(Compiled { joint, local: self.stages, finish, revealed: self.schemas })
    }

    /// Only the top groups of the one sum are revealed. Keys that come without their counts come from an exchange that
    /// says nothing else about them.
    fn leave_out(&mut self, top: Top) {
        let sum = &mut self.sums[0];
        sum.top = Some(top);
        if let Groups::Agreed { threshold, .. } = &mut sum.groups
            && sum.contributors.len() > 1
        {
            *threshold = (*threshold).max(1);
        }
    }

    fn add(
        &mut self,
        sum: SecureSum,
        generic: LogicalPlan,
        sites: &Sites,
        schema: SchemaRef,
    ) -> Result<usize, PlanError> {
        self.stages.push(stage(&generic, sites, self.catalog)?);
        self.schemas.push(schema);
        self.works.push(generic);
        self.sums.push(sum);
        Ok(self.sums.len() - 1)
    }
}

/// Matched patients beside the rows of a sum.
#[derive(Debug, Default)]
struct Beside {
    matching: Option<Matching>,
    /// For each cell, its patients' slot.
    patients: Vec<usize>,
    /// Between cells.
    between: Vec<Between>,
    relations: Vec<Laid>,
}

/// A figure less a site's own part must not be small either, and no site knows its part of a figure that takes all sites to know who counts.
fn not_for_everyone() -> PlanError {
    let text = "small cells of matched patients cannot be hidden from sites that know their own patients among them";
    PlanError::new("SEAL_TO_ANALYST", text).hint("let the analyst alone receive the answer")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Columns `key_1`…, `value_1`… with the types of the aggregate's output. Where small cells are hidden, any value can
/// be NULL, and `hidden_1`… say which ones are.
fn revealed_schema(aggregate: &Aggregate, hides: bool) -> SchemaRef {
    let keys = aggregate.group_expr.len();
    let fields = aggregate.schema.fields().iter().enumerate().map(|(i, field)| match i.checked_sub(keys) {
        None => Field::new(format!("{}{}", hidden::KEY, i + 1), field.data_type().clone(), field.is_nullable()),
        Some(value) => {
            Field::new(format!("value_{}", value + 1), field.data_type().clone(), hides || field.is_nullable())
        }
    });
    let values = aggregate.schema.fields().len() - keys;
    let marks = (1..=values).filter(|_| hides).map(|i| Field::new(hidden::mark(i), DataType::Boolean, false));
    Arc::new(Schema::new(fields.chain(marks).collect::<Vec<_>>()))
}

fn revealed_rows(index: usize, schema: SchemaRef, aggregate: &Aggregate) -> Result<LogicalPlan, PlanError> {
    let name = TableReference::bare(format!("revealed_{index}"));
    let source = Arc::new(RevealedTable { index, schema: schema.clone() });
    let columns = schema.fields().iter().zip(aggregate.schema.iter()).map(|(from, (qualifier, to))| {
        let column = Column::new(Some(name.clone()), from.name());
        Expr::Column(column).alias_qualified(qualifier.cloned(), to.name())
    });
    let columns: Vec<Expr> = columns.collect();
    LogicalPlanBuilder::scan(name, source, None)
        .and_then(|scan| scan.project(columns))
        .and_then(LogicalPlanBuilder::build)
        .map_err(|e| refuse(&e))
}

/// As pinned in the workspace: the wording of local work depends on it.
const DATAFUSION_VERSION: &str = "55.2";

/// Cells of one group are compared in pairs.
///
/// # Errors
/// `TOO_MANY_GROUPS` beyond [`MAX_PAIRS`].
fn few_enough(cells: usize, groups: u64) -> Result<(), PlanError> {
    let pairs = (cells as u64).saturating_mul(cells as u64).saturating_mul(groups);
    if cells < 2 || pairs <= MAX_PAIRS {
        return Ok(());
    }
    let text = format!("{cells} counts in each of {groups} groups are too many to hide small cells among them");
    Err(PlanError::new("TOO_MANY_GROUPS", text).hint("ask for fewer figures at a time, or for fewer groups"))
}

/// Comparisons of this many pairs of counts take seconds.
const MAX_PAIRS: u64 = 1 << 20;
