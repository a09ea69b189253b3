//! The keys that figures of matched patients are grouped by.

use datafusion_expr::logical_plan::Aggregate;
use datafusion_expr::{Expr, ExprSchemable, cast};

use crate::catalog::Catalog;
use crate::cost::most_groups;
use crate::error::{PlanError, refuse};
use crate::facts::Scope;
use crate::groups::{self, GroupKey};
use crate::matching::layout::carried;
use crate::matching::nodes::{Bit, Nodes};
use crate::matching::not_yet;
use crate::matching::values::{Choice, Value, values_of};
use crate::matching::view::{Col, View, Weight, not_yet_because};
use crate::plan::{Groups, Key};
use crate::words::words;

/// The keys of the sum: columns of one part, or computed for each patient.
pub(crate) struct Keys {
    pub keys: Vec<GroupKey>,
    computed: Vec<Option<Choice>>,
    pub keyed: Option<(usize, Vec<Expr>)>,
}

impl Keys {
    pub fn of(aggregate: &Aggregate, view: &View, inside: bool, nodes: &mut Nodes<'_>) -> Result<Keys, PlanError> {
        let mut keys = Keys { keys: Vec::new(), computed: Vec::new(), keyed: None };
        for expr in &aggregate.group_expr {
            if matches!(expr, Expr::GroupingSet(_)) {
                return Err(PlanError::new("UNSUPPORTED", "GROUPING SETS, ROLLUP and CUBE are not supported")
                    .hint("ask one question for each grouping, or use UNION ALL"));
            }
            match view.column(expr, nodes) {
                Col::Key(_) if inside => return Err(not_yet("one row for each patient across sites")),
                Col::Key(_) => {
                    let text = format!("grouping by {} would reveal a row for each patient", words(expr));
                    return Err(PlanError::new("PATIENT_KEY_GROUP", text));
                }
                Col::Refused(why) => return Err(why),
                Col::Row(part, inner) => keys.row(expr, part, inner, view, nodes)?,
                Col::Patient(value) => keys.computed(expr, value, (aggregate, view.present), nodes)?,
                Col::Rank(_) | Col::Steps(..) => {
                    return Err(not_yet_because(format!("grouping by {}, which numbers rows", words(expr))));
                }
            }
        }
        Ok(keys)
    }

    fn row(&mut self, expr: &Expr, part: usize, inner: Expr, view: &View, nodes: &Nodes<'_>) -> Result<(), PlanError> {
        let of = &view.parts[part];
        if matches!(of.weight, Weight::Optional(_)) || of.ranked.is_some() {
            let text =
                format!("grouping by {} of rows that are numbered, or that an outer join may not have", words(expr));
            return Err(not_yet_because(text));
        }
        let (keyed, exprs) = self.keyed.get_or_insert_with(|| (part, Vec::new()));
        if *keyed != part {
            return Err(not_yet_because("grouping by columns of two tables that are matched".into())
                .hint("group by columns of one of them, or by a CASE on each patient"));
        }
        let relation = of.facts(nodes)?;
        let mut key = groups::key(&inner, &Scope::over(of.schema(), &relation), nodes.catalog, false)?;
        key.key.expression = words(expr);
        let carried = cast(inner.clone(), key.carrier.clone());
        let same = inner.get_type(of.schema()).is_ok_and(|t| t == key.carrier);
        exprs.push(if same { inner } else { carried });
        self.keys.push(key);
        self.computed.push(None);
        Ok(())
    }

    fn computed(
        &mut self,
        expr: &Expr,
        value: Value,
        (aggregate, present): (&Aggregate, Bit),
        nodes: &mut Nodes<'_>,
    ) -> Result<(), PlanError> {
        let data_type = expr.get_type(aggregate.input.schema()).map_err(|e| refuse(&e))?;
        let mut choice = match value {
            Value::Number(number) => values_of(&number, &data_type, expr, nodes)?,
            other => other.choice(nodes).unwrap_or(Choice(Vec::new())).merged(nodes),
        };
        // What no patient with rows has is no group: NULL, where every patient has a value.
        choice.0.retain(|(_, bit)| nodes.and(present, *bit) != Bit::No);
        let domain = choice.0.iter().map(|(value, _)| value.clone()).collect();
        self.keys.push(GroupKey {
            key: Key { expression: words(expr), domain: Some(domain) },
            expr: expr.clone(),
            carrier: carried(&data_type, expr)?,
            origins: Vec::new(),
        });
        self.computed.push(Some(choice));
        Ok(())
    }

    pub fn groups(&self, catalog: &Catalog) -> Result<Groups, PlanError> {
        let groups = groups::groups(&self.keys, catalog)?;
        let Groups::Agreed { max_groups, max_key_bytes, threshold } = groups else {
            let keys: Vec<Key> = self.keys.iter().map(|key| key.key.clone()).collect();
            let cells = most_groups(&keys, &groups).saturating_mul(catalog.max_patients);
            if cells > MAX_CELLS {
                let text = format!(
                    "{} groups of up to {} patients are too many",
                    cells / catalog.max_patients,
                    catalog.max_patients
                );
                return Err(PlanError::new("TOO_MANY_GROUPS", text).hint("group by fewer or coarser keys"));
            }
            return Ok(groups);
        };
        if self.computed.iter().any(Option::is_some) {
            let text = "agreed group keys beside a key that is computed for each patient";
            return Err(not_yet_because(text.into()).hint("declare the column's domain in network.toml"));
        }
        // The counts that come with keys are of rows, which is not what is asked.
        Ok(Groups::Agreed { max_groups, max_key_bytes, threshold: threshold.max(1) })
    }

    pub fn row_keys(&self) -> Vec<usize> {
        (0..self.computed.len()).filter(|at| self.computed[*at].is_none()).collect()
    }

    pub fn patient_keys(&self, nodes: &mut Nodes<'_>) -> Result<Vec<(usize, Vec<usize>)>, PlanError> {
        let computed = self.computed.iter().enumerate().filter_map(|(at, choice)| Some((at, choice.as_ref()?)));
        computed
            .map(|(at, choice)| {
                let bits = choice.0.iter().map(|(_, bit)| nodes.place(*bit)).collect::<Result<_, _>>()?;
                Ok((at, bits))
            })
            .collect()
    }
}

/// Groups times patients of one site: beyond it a run would take minutes.
const MAX_CELLS: u64 = 1 << 26;
