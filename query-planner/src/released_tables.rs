//! Released tables that are k-anonymous and l-diverse: what policy asks for, and which groups of an answer are judged together.
//!
//! The keys of a GROUP BY that are not sensitive are what an outsider may know of a patient. All groups that agree in them are a
//! *class*. A class is k-anonymous when at least k patients are in it (Sweeney, IJUFKS 2002), and l-diverse when each sensitive key has at
//! least l values in it (Machanavajjhala et al., TKDD 2007, distinct l-diversity; of several sensitive keys each by itself). NULL
//! is no value. All cells of a class that is not are hidden, and others with them as for any hidden cell.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::catalog::Catalog;
use crate::error::PlanError;
use crate::plan::{Groups, JointPlan, SecureSum};
use crate::settings::MAX_MIN_PATIENTS;
use crate::site_policy::Purpose;
use crate::uses::Uses;
use crate::value::Value;

/// What a table with group keys must be to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReleasedTables {
    /// Fewest patients of a class; 1 asks for nothing.
    pub k_anonymous: u32,
    /// Fewest values of a sensitive key in a class; 1 asks for nothing.
    pub l_diverse: u32,
    /// Sensitive columns, `table.column` in lower case.
    pub sensitive: BTreeSet<String>,
}

impl Default for ReleasedTables {
    fn default() -> Self {
        Self { k_anonymous: 1, l_diverse: 1, sensitive: BTreeSet::new() }
    }
}

impl ReleasedTables {
    /// Is anything asked for?
    pub fn asks(&self) -> bool {
        self.k_anonymous > 1 || self.l_diverse > 1
    }

    /// For serialization: nothing is said.
    pub(crate) fn is_silent(&self) -> bool {
        *self == Self::default()
    }

    /// The larger numbers of both, and what is sensitive to either.
    pub(crate) fn strictest(&self, other: &Self) -> Self {
        Self {
            k_anonymous: self.k_anonymous.max(other.k_anonymous),
            l_diverse: self.l_diverse.max(other.l_diverse),
            sensitive: self.sensitive.union(&other.sensitive).cloned().collect(),
        }
    }

    /// Does it ask for all that `other` asks for?
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.strictest(other) == *self
    }

    pub(crate) fn in_lower_case(&self) -> Self {
        Self { sensitive: self.sensitive.iter().map(|name| name.to_lowercase()).collect(), ..self.clone() }
    }

    /// The key that breaks a rule, and the rule.
    pub(crate) fn broken_rule(&self) -> Option<(&'static str, String)> {
        let numbers = [
            ("released_tables.k_anonymous", self.k_anonymous, MAX_MIN_PATIENTS),
            ("released_tables.l_diverse", self.l_diverse, MAX_DIVERSE),
        ];
        if let Some((key, _, most)) = numbers.into_iter().find(|(_, value, most)| !(1..=*most).contains(value)) {
            return Some((key, format!("{key} is 1 to {most}")));
        }
        let key = "released_tables.sensitive";
        let is_column = |name: &String| name.split('.').count() == 2 && name.split('.').all(|part| !part.is_empty());
        if let Some(name) = self.sensitive.iter().find(|name| !is_column(name)) {
            return Some((key, format!("{key}: '{name}' is not of the form \"table.column\"")));
        }
        let blind = self.l_diverse > 1 && self.sensitive.is_empty();
        blind.then(|| (key, format!("l_diverse = {} says nothing without {key}", self.l_diverse)))
    }

    /// The first sensitive column that is in no table.
    pub(crate) fn unknown_column(&self, catalog: &Catalog) -> Option<&String> {
        self.sensitive.iter().find(|name| {
            let (table, column) = name.split_once('.').unwrap_or((name, ""));
            let known = catalog.table(table);
            !known.is_some_and(|table| table.columns.iter().any(|known| known.name.eq_ignore_ascii_case(column)))
        })
    }

    /// The positions of the keys that tell something about a sensitive column; none where nothing is asked for.
    ///
    /// # Errors
    /// `DIVERSITY_UNDECIDED` where a table could say of a class what value all of it has without a cell of a single value: a
    /// sensitive column that is used otherwise than as a key, or keys that are listed before classes are judged.
    pub(crate) fn sensitive_keys(&self, uses: &Uses, groups: &Groups) -> Result<Vec<usize>, PlanError> {
        if !self.asks() || *groups == Groups::Whole {
            return Ok(Vec::new());
        }
        let tells = |columns: &BTreeSet<(String, String)>| columns.iter().any(|column| self.names(column));
        let keys: Vec<usize> = (0..uses.keys.len()).filter(|key| tells(&uses.keys[*key])).collect();
        if let Some(key) = keys.iter().find(|key| uses.keys[**key].len() > 1) {
            let text = format!(
                "group key {} is made of a sensitive column and of others: what it tells of the others would be in no class",
                key + 1
            );
            return Err(undecided(text, "make each group key of one column"));
        }
        if self.l_diverse > 1 {
            if let Some((table, column)) = uses.columns_beyond(Purpose::Group).find(|column| self.names(column)) {
                let text = format!(
                    "{table}.{column} is sensitive, and whether a table is {}-diverse can be told only where it is a group key and \
                     nothing else",
                    self.l_diverse
                );
                return Err(undecided(text, "GROUP BY the column itself, without conditions on it"));
            }
            if matches!(groups, Groups::Agreed { .. }) && !keys.is_empty() {
                let text = "sensitive keys would be listed with the others before it is known how diverse they are";
                return Err(undecided(text.into(), "declare the domains of all group keys in network.toml"));
            }
        }
        Ok(keys)
    }

    fn names(&self, (table, column): &(String, String)) -> bool {
        self.sensitive.contains(&format!("{table}.{column}"))
    }
}

/// Groups of a sum that agree in all keys that are not sensitive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Position in `joint.sums`.
    pub sum: usize,
    /// Positions among the sum's groups.
    pub groups: Vec<usize>,
    /// For each sensitive key and each of its values: in which of these groups, by their positions among the sum's.
    pub values: Vec<Vec<Vec<usize>>>,
    /// Is what is counted in one of the groups only, so that the class has the sum of all? If not, the largest group alone says
    /// how many patients there are at least.
    pub apart: bool,
}

/// The classes of a plan whose groups are known: `groups[sum]` holds key tuples. None where nothing is asked for.
pub fn classes(plan: &JointPlan, groups: &[Vec<Vec<Value>>]) -> Vec<Class> {
    if !plan.hides() || !plan.released_tables.asks() {
        return Vec::new();
    }
    let sums = plan.sums.iter().zip(groups).enumerate().filter(|(_, (sum, _))| !sum.keys.is_empty());
    sums.flat_map(|(index, (sum, groups))| classes_of(index, sum, groups)).collect()
}

fn classes_of(index: usize, sum: &SecureSum, groups: &[Vec<Value>]) -> Vec<Class> {
    let known = |key: &usize| !sum.sensitive.contains(key);
    let mut by_known: BTreeMap<Vec<&Value>, Vec<usize>> = BTreeMap::new();
    for (group, tuple) in groups.iter().enumerate() {
        let outside = (0..tuple.len()).filter(known).map(|key| &tuple[key]).collect();
        by_known.entry(outside).or_default().push(group);
    }
    let apart = sum.has_groups_apart();
    let class = |members: Vec<usize>| Class {
        sum: index,
        values: sum.sensitive.iter().map(|key| values(*key, &members, groups)).collect(),
        apart: apart || members.len() == 1,
        groups: members,
    };
    by_known.into_values().map(class).collect()
}

/// For each value of a key but NULL, the groups that have it.
fn values(key: usize, members: &[usize], groups: &[Vec<Value>]) -> Vec<Vec<usize>> {
    let mut by_value: BTreeMap<&Value, Vec<usize>> = BTreeMap::new();
    for group in members.iter().filter(|group| groups[**group][key] != Value::Null) {
        by_value.entry(&groups[*group][key]).or_default().push(*group);
    }
    by_value.into_values().collect()
}

impl SecureSum {
    /// Is nobody (or where rows are judged, no row) in two groups that differ in sensitive keys alone? Rows are in one group, and of a
    /// key that is computed for each patient the patient has one value.
    pub(crate) fn has_groups_apart(&self) -> bool {
        match &self.matching {
            None => true,
            Some(matching) => !matching.row_keys.iter().any(|key| self.sensitive.contains(key)),
        }
    }

    /// The slot that says how many are in a group: its patients, or where they are not known its rows.
    pub fn members(&self) -> usize {
        let at = self.cells.iter().position(|slot| *slot == 0);
        at.and_then(|at| self.patients.get(at)).copied().unwrap_or(0)
    }
}

fn undecided(text: String, hint: &str) -> PlanError {
    PlanError::new("DIVERSITY_UNDECIDED", text).hint(hint)
}

/// The keys of the section.
pub(crate) const KEYS: &[&str] = &["k_anonymous", "l_diverse", "sensitive"];

/// More values than any rule in use asks for.
const MAX_DIVERSE: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(k: u32, l: u32, sensitive: &[&str]) -> ReleasedTables {
        let sensitive = sensitive.iter().map(|name| (*name).to_owned()).collect();
        ReleasedTables { k_anonymous: k, l_diverse: l, sensitive }
    }

    #[test]
    fn of_several_policies_the_strictest_numbers_count_and_all_that_is_sensitive() {
        let (a, b) = (asked(10, 1, &["t.x"]), asked(5, 3, &["t.y"]));
        let both = a.strictest(&b);
        assert_eq!(both, asked(10, 3, &["t.x", "t.y"]));
        assert!(both.covers(&a) && both.covers(&b) && !a.covers(&b) && !b.covers(&a));
    }

    #[test]
    fn what_means_nothing_is_refused_with_its_key() {
        for (of, key) in [
            (asked(0, 1, &[]), "released_tables.k_anonymous"),
            (asked(1, 2_000, &["t.x"]), "released_tables.l_diverse"),
            (asked(1, 2, &[]), "released_tables.sensitive"),
            (asked(1, 1, &["x"]), "released_tables.sensitive"),
            (asked(1, 1, &["t..x"]), "released_tables.sensitive"),
        ] {
            assert_eq!(of.broken_rule().map(|(key, _)| key), Some(key), "{of:?}");
        }
        assert_eq!(asked(10, 2, &["t.x"]).broken_rule(), None);
    }
}
