//! A plan against a site's policy: may it run there, and what would the site have to allow for it to?

use crate::catalog::{Catalog, Policy, SiteName};
use crate::cost::max_groups;
use crate::error::PlanError;
use crate::noise::Delta;
use crate::plan::JointPlan;
use crate::released_tables::ReleasedTables;
use crate::site_policy::SitePolicy;
use crate::uses::Use;

/// Checks a plan against what one site allows. `analyst`: who asks, where that is known.
///
/// # Errors
/// `COLUMN_NOT_ALLOWED` naming column, purpose and rule; `CLASS_NOT_ALLOWED`, `ANALYST_NOT_ALLOWED`, `TOO_FEW_SITES`,
/// `TOO_MANY_GROUPS`, `CELLS_TOO_SMALL`, `TABLE_NOT_ANONYMOUS`, `EXTREME_SHARES`, `MATCHING_TOO_LARGE`, `NOISE_NEEDED`,
/// `EPSILON_TOO_LARGE`, `MECHANISM_NOT_ALLOWED`, `DELTA_TOO_LARGE`, `TOO_FEW_HONEST_SITES`. Of a site that does not tell reasons
/// `POLICY_REFUSES` alone.
pub fn check(plan: &JointPlan, site: &SiteName, policy: &SitePolicy, analyst: Option<&str>) -> Result<(), PlanError> {
    let first = analyst_allowed(site, policy, analyst)
        .and_then(|()| numbers(plan, site, policy))
        .and_then(|()| noise(plan, site, policy))
        .and_then(|()| classes(plan, site, policy))
        .and_then(|()| columns(plan, site, policy));
    first.map_err(|reason| if policy.tell_reasons { reason } else { refuses(site) })
}

/// Checks a plan against every policy that sites publish.
pub(crate) fn check_published(plan: &JointPlan, catalog: &Catalog) -> Result<(), PlanError> {
    let mut published = plan.sites.iter().filter_map(|site| Some((site, catalog.policy_of(site)?)));
    published.try_for_each(|(site, policy)| check(plan, site, policy, None))
}

/// Is the policy that a site has the one that the catalogue was made with?
///
/// # Errors
/// `POLICY_CHANGED`: what was planned follows from another policy.
pub fn check_current(catalog: &Catalog, site: &SiteName, policy: &SitePolicy) -> Result<(), PlanError> {
    let asked = policy.published();
    // Of numbers the network may ask for more than the site does.
    let known = catalog.policy_of(site).cloned().unwrap_or_else(SitePolicy::open);
    if asked.with_numbers_of(&known) == known {
        return Ok(());
    }
    let text = format!("the policy that the network knows of {site} is not the one that {site} has now");
    Err(PlanError::new("POLICY_CHANGED", text).hint("publish the policy again, and ask again"))
}

/// The smallest policy under which a plan runs at a site: its classes and uses, nobody in particular, and no number.
pub fn needed(plan: &JointPlan, site: &SiteName) -> SitePolicy {
    let bystands = plan.intersection.as_ref().is_some_and(|of| !of.is_between(site));
    let classes = plan.classes.iter().copied().filter(|_| !bystands).collect();
    let mut policy = SitePolicy { classes, ..SitePolicy::default() };
    for table in tables_at(plan, site) {
        policy.columns.entry(table.to_owned()).or_default();
    }
    for used in uses_at(plan, site) {
        let columns = policy.columns.entry(used.table.clone()).or_default();
        columns.entry(used.column.clone()).or_default().uses.insert(used.purpose);
    }
    policy
}

fn tables_at<'p>(plan: &'p JointPlan, site: &SiteName) -> impl Iterator<Item = &'p str> {
    let read = plan.tables.iter().filter(move |read| read.sites.iter().any(|of| of.same(site)));
    read.map(|read| read.table.as_str())
}

/// A catalogue whose sites have published nothing: to plan a question that no site allows yet. What it asks of numbers and
/// bounds stays.
pub fn without_policies(catalog: &Catalog) -> Catalog {
    Catalog { policies: Default::default(), ..catalog.clone() }
}

/// The same where no cell of fewer patients than this is shown, as it is where all sites ask for that.
pub fn showing_none_below(catalog: Catalog, least: u32) -> Catalog {
    let min_patients = catalog.policy.min_patients.max(least);
    Catalog { policy: Policy { min_patients, ..catalog.policy }, ..catalog }
}

/// [`needed`] for every site, with the smallest cell that is shown, as policy files under a line with the site's name.
pub fn needed_everywhere(plan: &JointPlan, least: u32) -> String {
    let policy = |site| SitePolicy { min_patients: Some(least), ..needed(plan, site) };
    plan.sites.iter().map(|site| format!("# {site}\n{}\n", policy(site).to_toml())).collect()
}

fn uses_at<'p>(plan: &'p JointPlan, site: &SiteName) -> impl Iterator<Item = &'p Use> {
    plan.uses.iter().filter(move |used| used.sites.iter().any(|of| of.same(site)))
}

fn analyst_allowed(site: &SiteName, policy: &SitePolicy, analyst: Option<&str>) -> Result<(), PlanError> {
    match analyst.filter(|name| !policy.allows_analyst(name)) {
        Some(name) => {
            let text = format!("{site} does not allow the analyst {name} to ask (rule: analysts)");
            Err(PlanError::new("ANALYST_NOT_ALLOWED", text))
        }
        None => Ok(()),
    }
}

/// The plan must be as strict as the site, also where the network knows another policy of it.
fn numbers(plan: &JointPlan, site: &SiteName, policy: &SitePolicy) -> Result<(), PlanError> {
    let few = fewest_beside(plan, site);
    if let Some(least) = policy.min_sites.filter(|least| few < *least as usize) {
        let text =
            format!("{site} asks for {least} sites, and here rows of {few} are taken together (rule: min_sites)");
        return Err(PlanError::new("TOO_FEW_SITES", text));
    }
    if let Some(least) = policy.min_patients.filter(|least| plan.min_patients < *least) {
        let text = format!("{site} shows no cell of fewer than {least} patients (rule: min_patients)");
        return Err(PlanError::new("CELLS_TOO_SMALL", text).hint("the plan shows smaller ones: plan again"));
    }
    if plan.intersection.is_none() && !plan.released_tables.covers(&policy.released_tables) {
        let ReleasedTables { k_anonymous, l_diverse, .. } = policy.released_tables;
        let text = format!(
            "{site} shows no table that is not {k_anonymous}-anonymous and {l_diverse}-diverse in its sensitive columns (rule: \
             released_tables)"
        );
        return Err(PlanError::new("TABLE_NOT_ANONYMOUS", text).hint("the plan asks for less: plan again"));
    }
    if policy.zero_allowed == Some(false) && plan.hides() && plan.zero_allowed {
        let text = format!("{site} shows no cell of zero patients (rule: zero_allowed)");
        return Err(PlanError::new("CELLS_TOO_SMALL", text));
    }
    if policy.flag_extreme_shares == Some(true) && plan.hides() && !plan.flag_extreme_shares && plan.noise.is_none() {
        let text = format!("{site} wants extreme shares to be flagged (rule: flag_extreme_shares)");
        return Err(PlanError::new("EXTREME_SHARES", text));
    }
    let groups = plan.sums.iter().map(max_groups).max().unwrap_or(0);
    if let Some(most) = policy.max_groups.filter(|most| groups > u64::from(*most)) {
        let text = format!("the question has up to {groups} groups, {site} allows {most} (rule: max_groups)");
        return Err(PlanError::new("TOO_MANY_GROUPS", text).hint("group by fewer or coarser keys"));
    }
    let matched = plan.sums.iter().filter_map(|sum| sum.matching.as_ref());
    let largest = matched.filter(|m| m.sites.iter().any(|of| of.same(site))).map(|m| m.max_patients).max().unwrap_or(0);
    if let Some(most) = policy.matching.max_patients.filter(|most| largest > *most) {
        let text = format!(
            "up to {largest} patients of {site} would be matched, it allows {most} (rule: matching.max_patients)"
        );
        return Err(PlanError::new("MATCHING_TOO_LARGE", text).hint("declare a lower max_patients in network.toml"));
    }
    Ok(())
}

/// Among how many sites' rows this site's are least hidden: of the figures that it has a part in, the contributors of the one
/// that has the fewest; all sites where it has a part in none. An intersection is between two, and has a class of its own.
fn fewest_beside(plan: &JointPlan, site: &SiteName) -> usize {
    let own =
        plan.sums.iter().filter(|sum| plan.intersection.is_none() && sum.contributors.iter().any(|of| of.same(site)));
    own.map(|sum| sum.contributors.len()).min().unwrap_or(plan.sites.len()).min(plan.sites.len())
}

/// A site that keeps a budget answers with noise only, and counts on no more honest sites than it says.
fn noise(plan: &JointPlan, site: &SiteName, policy: &SitePolicy) -> Result<(), PlanError> {
    let Some(privacy) = &policy.privacy else { return Ok(()) };
    let Some(noise) = &plan.noise else {
        let text = format!("{site} answers with noise only (rule: privacy)");
        return Err(PlanError::new("NOISE_NEEDED", text).hint("say how much: --epsilon 0.5"));
    };
    if let Some([_, most]) = privacy.limits().filter(|[_, most]| noise.epsilon > *most) {
        let (asked, rule) = (noise.epsilon, "rule: privacy.most_per_release");
        let text = format!("the question takes an ε of {asked}, {site} allows {most} for one answer ({rule})");
        return Err(PlanError::new("EPSILON_TOO_LARGE", text));
    }
    let kind = noise.shape.kind();
    if !privacy.allows(kind) {
        let text = format!("{site} does not answer with {kind} noise (rule: privacy.mechanisms)");
        return Err(PlanError::new("MECHANISM_NOT_ALLOWED", text).hint("ask with the other: --mechanism"));
    }
    let most = privacy.release_digits().map(Delta::of_digits);
    if let Some(most) = most.filter(|most| noise.delta() > *most) {
        let (asked, rule) = (noise.delta(), "rule: privacy.delta_digits_per_release");
        let text = format!("the question takes a δ of {asked}, {site} allows {most} for one answer ({rule})");
        return Err(PlanError::new("DELTA_TOO_LARGE", text).hint("ask for more --delta-digits, or leave them out"));
    }
    let honest = privacy.honest_sites.unwrap_or(1);
    if noise.honest_sites > honest {
        let text = format!(
            "the noise counts on {} honest sites, {site} on {honest} (rule: privacy.honest_sites)",
            noise.honest_sites
        );
        return Err(PlanError::new("TOO_FEW_HONEST_SITES", text).hint("publish the policy again, and plan again"));
    }
    Ok(())
}

fn classes(plan: &JointPlan, site: &SiteName, policy: &SitePolicy) -> Result<(), PlanError> {
    // Who has no part in an intersection grants none.
    if plan.intersection.as_ref().is_some_and(|of| !of.is_between(site)) {
        return Ok(());
    }
    match plan.classes.iter().find(|class| !policy.allows_class(**class)) {
        Some(class) => {
            let text = format!("{site} does not allow questions of the class '{class}' (rule: classes)");
            Err(PlanError::new("CLASS_NOT_ALLOWED", text).hint(GRANTS))
        }
        None => Ok(()),
    }
}

fn columns(plan: &JointPlan, site: &SiteName, policy: &SitePolicy) -> Result<(), PlanError> {
    if let Some(table) = tables_at(plan, site).find(|table| !policy.allows_table(table)) {
        let text = format!("{site} does not allow the table {table} to be read (rule: columns.{table})");
        return Err(PlanError::new("TABLE_NOT_ALLOWED", text).hint(GRANTS));
    }
    match uses_at(plan, site).find(|used| !policy.allows(&used.table, &used.column, used.purpose)) {
        Some(Use { table, column, purpose, .. }) => {
            let text =
                format!("{site} does not allow {table}.{column} {} (rule: columns.{table}.{column})", purpose.words());
            Err(PlanError::new("COLUMN_NOT_ALLOWED", text).hint(GRANTS))
        }
        None => Ok(()),
    }
}

fn refuses(site: &SiteName) -> PlanError {
    PlanError::new("POLICY_REFUSES", format!("the policy of {site} does not allow this question"))
}

const GRANTS: &str = "explain --grants prints what each site would have to allow";
