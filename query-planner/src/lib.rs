//! From SQL text to a joint plan. Pure and synchronous: no I/O, no clock, no randomness; the same text, catalogue and
//! options give the same canonical bytes at every site.
//!
//! ```text
//! SQL ─parse→ Ast ─bind(catalog)→ LogicalPlan ─check(policy)→ CheckedPlan ─lower→ Compiled { JointPlan, local, finish
//! } ─cost→ Cost
//! ```

mod aggregates;
mod approx_distinct;
pub mod approximate;
pub mod bind;
mod bounds;
pub mod catalog;
mod catalog_file;
pub mod cells;
mod clamp;
pub mod cost;
mod cube;
pub mod decode;
mod disclose;
pub mod disclosure;
mod domain;
pub mod dpia;
pub mod error;
mod every_row;
pub mod explain;
mod facts;
mod fragments;
pub mod grants;
mod groups;
pub mod hidden;
mod in_lists;
pub mod intersection;
mod kept;
pub mod keys;
pub mod linkage;
mod logical;
mod lower;
pub mod matched;
pub mod matching;
mod measured;
pub mod merge;
mod names;
mod near_groups;
pub mod noise;
pub mod notes;
mod nullable_count;
pub mod order;
mod orders;
mod parse;
mod people;
mod percentile;
pub mod plan;
mod policy;
pub mod profile;
pub mod registry;
mod relate;
pub mod released_tables;
mod sensitivity;
pub mod settings;
pub mod shares;
pub mod site_policy;
mod slots;
mod small;
mod split;
mod supports;
mod toml_keys;
mod top;
pub mod udf;
mod uses;
pub mod value;
mod wording;
mod words;

use std::thread;

pub use catalog::Catalog;
pub use cost::cost;
pub use disclosure::{Disclosure, Language};
pub use error::PlanError;
pub use explain::explain;
pub use parse::{printed, statement};
pub use plan::{Audience, Compiled, JointPlan};
pub use profile::Profile;
pub use registry::functions;
pub use settings::Settings;
pub use site_policy::SitePolicy;
pub use uses::Use;

use lower::Lowering;

/// What a query is planned under, besides the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// What `now()` means: milliseconds since 1970-01-01.
    pub now_ms: i64,
    /// Who receives the answer.
    pub audience: Audience,
    /// What is added to every figure, if anything is.
    pub noise: Option<noise::Asked>,
}

/// Plans one query.
///
/// # Errors
/// Everything the planner refuses, with a stable code and a sentence: see [`PlanError`]; and what sites refuse by the policies that
/// they publish: see [`grants::check`].
pub fn plan(sql: &str, catalog: &Catalog, options: &Options) -> Result<Compiled, PlanError> {
    // DataFusion walks plans by recursion. A stack of known size bears the deepest text the limits let through,
    // whatever thread the caller is on; and should a library panic on a text, the text is refused and the node lives
    // on.
    let straight = || straight_line(sql, catalog, options);
    thread::scope(|scope| {
        let planner =
            thread::Builder::new().name("planner".into()).stack_size(STACK_BYTES).spawn_scoped(scope, straight);
        planner
            .map_err(|_| internal("no thread could be started"))?
            .join()
            .unwrap_or_else(|_| Err(internal("the planner met a case it does not know")))
    })
}

fn straight_line(sql: &str, catalog: &Catalog, options: &Options) -> Result<Compiled, PlanError> {
    let mut question = parse::parse(sql)?;
    names::name_columns(&mut question.statement);
    policy::check_network(catalog)?;
    let bound = bind::bind(question.statement, (catalog, options.noise.is_some()), &functions())?;
    let now_ms = if logical::asks_for_now(&bound) { options.now_ms } else { 0 };
    let logical = logical::optimize(bound, options.now_ms, catalog.policy.hides())?;
    let mut lowering = Lowering::new(catalog, options)?;
    notes::question(&logical, &mut lowering.notes);
    let checked = policy::check(logical, catalog)?;
    let finish = split::split(checked, &mut lowering)?;
    let compiled = lowering.compiled(question.text, finish, now_ms)?;
    grants::check_published(&compiled.joint, catalog)?;
    Ok(compiled)
}

fn internal(text: &str) -> PlanError {
    PlanError::new("INTERNAL", text).hint("please report the query")
}

/// Measured need of the deepest text the limits allow is below a quarter of this; untouched pages cost nothing.
const STACK_BYTES: usize = 256 << 20;
