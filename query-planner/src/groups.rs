//! Group keys: which values they can have, and how the sites come to know the groups of a query.

use datafusion_expr::logical_plan::Aggregate;
use datafusion_expr::{Expr, ExprSchemable};

use arrow::datatypes::DataType;

use crate::catalog::Catalog;
use crate::error::{PlanError, refuse};
use crate::facts::{Origin, Scope};
use crate::keys;
use crate::plan::{Groups, Key};
use crate::split::not_yet;
use crate::value::{Value, carrier};
use crate::words::words;

/// A group key, that is an expression of GROUP BY, with what the planner needs besides.
pub(crate) struct GroupKey {
    pub key: Key,
    pub expr: Expr,
    /// The type of its column in the local stage.
    pub carrier: DataType,
    pub origins: Vec<Origin>,
}

/// The keys of an aggregate. `feeds_more`: its rows go on into other work across sites, so they stand for patients.
///
/// # Errors
/// `PATIENT_KEY_GROUP` or, when the grouped rows were only a step, `NOT_YET`; `UNSUPPORTED` for grouping sets and
/// types.
pub(crate) fn keys(
    aggregate: &Aggregate,
    scope: &Scope<'_>,
    catalog: &Catalog,
    feeds_more: bool,
) -> Result<Vec<GroupKey>, PlanError> {
    aggregate.group_expr.iter().map(|expr| key(expr, scope, catalog, feeds_more)).collect()
}

/// One key.
pub(crate) fn key(expr: &Expr, scope: &Scope<'_>, catalog: &Catalog, feeds_more: bool) -> Result<GroupKey, PlanError> {
    if matches!(expr, Expr::GroupingSet(_)) {
        return Err(PlanError::new("UNSUPPORTED", "GROUPING SETS, ROLLUP and CUBE are not supported")
            .hint("ask one question for each grouping, or use UNION ALL"));
    }
    let fact = scope.fact(expr);
    if let Some(origin) = fact.origins.iter().find(|o| catalog.is_patient_key(&o.column)) {
        return Err(if feeds_more {
            not_yet("one row for each patient across sites")
        } else {
            PlanError::new("PATIENT_KEY_GROUP", format!("grouping by {origin} would reveal a row for each patient"))
        });
    }
    let data_type = expr.get_type(scope).map_err(|e| refuse(&e))?;
    let text = words(expr);
    let carrier = carrier(&data_type).ok_or_else(|| {
        PlanError::new("UNSUPPORTED", format!("{text} has type {data_type}, which cannot be a group key"))
    })?;
    let domain = fact.domain.map(|mut values| {
        // The order of groups is part of the plan: the same for every site and every spelling of the catalogue.
        values.sort();
        if fact.nullable {
            values.push(Value::Null);
        }
        values
    });
    Ok(GroupKey {
        key: Key { expression: text, domain },
        expr: expr.clone(),
        carrier,
        origins: fact.origins.into_iter().collect(),
    })
}

/// How the groups are known.
///
/// # Errors
/// `TOO_MANY_GROUPS`, `KEYS_NOT_AGREEABLE` naming the column and what to declare.
pub(crate) fn groups(keys: &[GroupKey], catalog: &Catalog) -> Result<Groups, PlanError> {
    if keys.is_empty() {
        return Ok(Groups::Whole);
    }
    let max_groups = catalog.policy.max_groups;
    let product = keys
        .iter()
        .map(|k| k.key.domain.as_ref().map(|d| d.len() as u64))
        .try_fold(1u64, |product, len| Some(product.saturating_mul(len?)));
    if product.is_some_and(|groups| groups <= max_groups.into()) {
        return Ok(Groups::Declared);
    }
    let barred = keys.iter().filter(|k| product.is_some() || k.key.domain.is_none()).find_map(|k| barred(k, catalog));
    match (barred, product) {
        (None, _) => {
            let policy = &catalog.policy;
            let least = policy.min_patients.max(policy.released_tables.k_anonymous);
            let threshold = if policy.hides() { least } else { 0 };
            Ok(Groups::Agreed { max_groups, max_key_bytes: key_bytes(keys), threshold })
        }
        (Some(_), Some(groups)) => {
            let text = format!("the declared domains make {groups} groups, the policy allows {max_groups}");
            Err(PlanError::new("TOO_MANY_GROUPS", text).hint("group by fewer or coarser keys"))
        }
        (Some((expression, why)), None) => {
            let text = format!("the values of {expression} may not be agreed as group keys: {why}");
            Err(PlanError::new("KEYS_NOT_AGREEABLE", text)
                .hint("declare its domain in network.toml, or group by a CASE with constant results"))
        }
    }
}

/// Why a key's values may not be agreed.
fn barred<'k>(key: &'k GroupKey, catalog: &Catalog) -> Option<(&'k str, String)> {
    let origin =
        key.origins.iter().find(|o| !o.agree_keys || o.quasi_identifier || catalog.is_patient_key(&o.column))?;
    let why = if origin.quasi_identifier {
        format!("{origin} is a quasi-identifier")
    } else {
        format!("{origin} has no declared domain and agree_keys is false")
    };
    Some((&key.key.expression, why))
}

/// Most bytes of an encoded tuple.
fn key_bytes(keys: &[GroupKey]) -> u32 {
    keys.iter().map(|k| k.key.domain.as_ref().map_or_else(|| type_bytes(&k.carrier), |d| domain_bytes(d))).sum()
}

fn domain_bytes(domain: &[Value]) -> u32 {
    let longest = domain.iter().map(|v| keys::encode(std::slice::from_ref(v)).len()).max().unwrap_or(1);
    u32::try_from(longest).unwrap_or(u32::MAX)
}

fn type_bytes(carrier: &DataType) -> u32 {
    match carrier {
        DataType::Boolean => 2,
        DataType::Date32 => 5,
        DataType::Decimal128(..) => 18,
        DataType::Utf8 => 5 + MAX_TEXT_BYTES,
        _ => 9,
    }
}

/// Longest text that can be agreed as a group key without a declared domain: codes and labels, not free text.
const MAX_TEXT_BYTES: u32 = 64;
