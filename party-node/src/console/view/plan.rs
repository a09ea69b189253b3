//! A plan, also of a question that some site's published policy refuses. Source: `party-node/console/src/api/plan.ts`.

use std::collections::BTreeSet;

use query_planner::catalog::{Catalog, SiteName};
use query_planner::disclosure::{Disclosure as Disclosed, Kind, Recipient, Revealed, sentence};
use query_planner::explain::explain_with;
use query_planner::plan::Audience;
use query_planner::site_policy::{Class, Purpose};
use query_planner::{Compiled, Language, cost, dpia, grants};
use serde::Serialize;

use super::super::refused::Refused;
use super::catalog::{Thresholds, names};
use super::exact;
use crate::execute;
use crate::network::{AnalystEntry, Network};
use crate::state::hex;

/// What belongs to a plan besides itself.
pub struct About<'a> {
    /// What it was planned against.
    pub catalog: &'a Catalog,
    /// Who takes part.
    pub network: &'a Network,
    /// The study's name.
    pub study: &'a str,
    /// Who asks.
    pub analyst: &'a str,
    /// Of the sentences.
    pub language: Language,
}

/// A plan.
#[derive(Serialize)]
pub struct Plan {
    digest: String,
    disclosure: String,
    planner: String,
    now_ms: i64,
    query: String,
    study: String,
    analyst: String,
    audience: Audience,
    sites: Vec<String>,
    answer_at: Option<String>,
    classes: Vec<Class>,
    disclosures: Vec<Disclosure>,
    cost: Forecast,
    thresholds: Thresholds,
    asks: Vec<SiteAsk>,
    columns: Vec<Column>,
    notes: Vec<String>,
    explained: String,
}

/// Something that a plan reveals.
#[derive(Serialize)]
pub struct Disclosure {
    id: String,
    kind: Kind,
    to: Recipient,
    sites: Vec<String>,
    analyst: bool,
    opened: bool,
    what: String,
    why: String,
}

#[derive(Serialize)]
struct Forecast {
    rounds: u32,
    bytes_per_site: u64,
    bytes_total: u64,
    preparation: Option<Preparation>,
    work: Vec<String>,
}

#[derive(Serialize)]
struct Preparation {
    rounds: u32,
    bytes_per_site: u64,
}

#[derive(Serialize)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    data_type: String,
}

/// What a plan asks of one site.
#[derive(Serialize)]
struct SiteAsk {
    site: String,
    classes: BTreeSet<Class>,
    tables: Vec<TableAsk>,
    verdict: &'static str,
    refusal: Option<Refused>,
    toml: String,
}

#[derive(Serialize)]
struct TableAsk {
    table: String,
    columns: Vec<ColumnAsk>,
}

#[derive(Serialize)]
struct ColumnAsk {
    column: String,
    uses: BTreeSet<Purpose>,
}

impl Plan {
    /// Everything about a plan.
    pub fn of(compiled: &Compiled, about: &About<'_>) -> Self {
        let plan = &compiled.joint;
        let entry = about.network.analyst.iter().find(|entry| entry.name == about.analyst);
        let seen = entry.map_or_else(String::new, AnalystEntry::seen_through);
        Self {
            digest: hex::text(&plan.digest()),
            disclosure: hex::text(&plan.disclosure_digest()),
            planner: plan.planner.clone(),
            now_ms: plan.now_ms,
            query: plan.query.clone(),
            study: about.study.to_owned(),
            analyst: about.analyst.to_owned(),
            audience: plan.audience,
            sites: names(&plan.sites),
            answer_at: entry.and_then(|entry| entry.at.as_ref()).map(|site| site.0.clone()),
            classes: plan.classes.clone(),
            disclosures: disclosures(&plan.disclosures, &plan.sites, about.language),
            cost: Forecast::of(compiled, about.language),
            thresholds: Thresholds {
                min_patients: plan.min_patients,
                zero_allowed: plan.zero_allowed,
                flag_extreme_shares: plan.flag_extreme_shares,
            },
            asks: plan.sites.iter().map(|site| SiteAsk::of(compiled, site, about)).collect(),
            columns: columns(compiled),
            notes: plan.notes.iter().map(|note| note.words(about.language)).collect(),
            explained: explain_with(compiled, &execute::forecast(plan)) + &seen,
        }
    }
}

impl Forecast {
    fn of(compiled: &Compiled, language: Language) -> Self {
        let (plan, known) = (&compiled.joint, cost(&compiled.joint));
        let preparation =
            execute::prepared(plan).map(|cost| Preparation { rounds: cost.rounds, bytes_per_site: exact(cost.bytes) });
        Self {
            rounds: known.rounds,
            bytes_per_site: exact(known.bytes_per_site),
            bytes_total: exact(known.bytes_total),
            preparation,
            work: dpia::work_in_words(plan, language),
        }
    }
}

impl SiteAsk {
    fn of(compiled: &Compiled, site: &SiteName, about: &About<'_>) -> Self {
        let needed = grants::needed(&compiled.joint, site);
        let known = about.catalog.policy_of(site);
        let refused = known.and_then(|policy| grants::check(&compiled.joint, site, policy, Some(about.analyst)).err());
        let verdict = match (&refused, known) {
            (Some(_), _) => "refuses",
            (None, Some(policy)) if policy.tell_reasons => "allows",
            (None, _) => "untold",
        };
        let columns = |columns: &std::collections::BTreeMap<String, query_planner::site_policy::ColumnGrant>| {
            let each = columns.iter().map(|(column, grant)| (column.clone(), grant.uses.clone()));
            each.map(|(column, uses)| ColumnAsk { column, uses }).collect()
        };
        let tables = needed.columns.iter();
        let tables = tables.map(|(table, of)| TableAsk { table: table.clone(), columns: columns(of) }).collect();
        let refusal = refused.map(|refusal| Refused::from(crate::fault::NodeError::from(refusal)));
        let toml = format!("# {site}\n{}", needed.to_toml());
        Self { site: site.0.clone(), classes: needed.classes, tables, verdict, refusal, toml }
    }
}

/// The answer's own columns, without the marks of hidden cells that stand behind them.
fn columns(compiled: &Compiled) -> Vec<Column> {
    let fields = compiled.finish.schema().fields();
    let own = if compiled.joint.hides() { fields.len() / 2 } else { fields.len() };
    let column = |name: &String, data_type: String| Column { name: name.clone(), data_type };
    fields.iter().take(own).map(|field| column(field.name(), field.data_type().to_string())).collect()
}

/// In words, each with whoever learns it.
pub fn disclosures(all: &[Disclosed], sites: &[SiteName], language: Language) -> Vec<Disclosure> {
    let one = |disclosure: &Disclosed| {
        let Disclosed { id, kind, to, why, .. } = disclosure;
        let words = sentence(disclosure, language);
        Disclosure {
            id: id.as_str().to_owned(),
            kind: *kind,
            to: *to,
            sites: learners(disclosure, all, sites),
            // The patients of an intersection go to one site, and what is left of a sum of two is between the two.
            analyst: !matches!(to, Recipient::Receiver | Recipient::EachOfTwo),
            opened: why.is_opened(),
            what: words.what,
            why: words.why,
        }
    };
    all.iter().map(one).collect()
}

/// The sites that learn it.
fn learners(of: &Disclosed, all: &[Disclosed], sites: &[SiteName]) -> Vec<String> {
    match (of.to, &of.what) {
        (Recipient::Analyst, _) => Vec::new(),
        (Recipient::Receiver, Revealed::Common { receiver, .. }) => vec![receiver.0.clone()],
        (Recipient::EachOfTwo, _) => of_two(of, all).unwrap_or_else(|| names(sites)),
        (Recipient::Everyone | Recipient::Guesser | Recipient::Receiver, _) => names(sites),
    }
}

/// The two sites of the sum of which this is left: its figures name them.
fn of_two(of: &Disclosed, all: &[Disclosed]) -> Option<Vec<String>> {
    let sum = of.id.as_str().strip_prefix("remainder/")?;
    let prefix = format!("answer/{sum}/");
    let places =
        all.iter().filter(|other| other.id.as_str().starts_with(&prefix)).filter_map(|other| match &other.what {
            Revealed::Figure { place, .. } | Revealed::Point { place, .. } | Revealed::Levels { place, .. } => {
                Some(place)
            }
            _ => None,
        });
    places.map(|place| names(&place.sites.names)).find(|names| names.len() == 2)
}
