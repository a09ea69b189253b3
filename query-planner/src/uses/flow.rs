//! Where a column's values come from.

use std::collections::BTreeSet;

use datafusion_common::DFSchema;

use crate::split::Sites;

/// A column of the catalogue at some sites.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source {
    pub table: String,
    pub column: String,
    pub sites: Sites,
}

/// What the values of a column tell something about.
#[derive(Debug, Clone, Default)]
pub(super) struct Flow {
    /// They are computed from these.
    pub made_of: BTreeSet<Source>,
    /// These decided which of several they are: conditions of CASE, the order of numbered rows.
    pub chosen_by: BTreeSet<Source>,
    /// Are they values of the patient key?
    pub is_key: bool,
}

/// A node's inputs.
pub(super) type Scope<'a> = [(&'a DFSchema, &'a [Flow])];

impl Flow {
    pub fn of(source: Source, is_key: bool) -> Flow {
        Flow { made_of: BTreeSet::from([source]), chosen_by: BTreeSet::new(), is_key }
    }

    /// The columns that they tell something about, table and column.
    pub fn columns(&self) -> BTreeSet<(String, String)> {
        let all = self.made_of.iter().chain(&self.chosen_by);
        all.map(|source| (source.table.clone(), source.column.clone())).collect()
    }

    /// Computed from both.
    pub fn and(mut self, other: Flow) -> Flow {
        self.made_of.extend(other.made_of);
        self.chosen_by.extend(other.chosen_by);
        Flow { is_key: false, ..self }
    }

    /// One or the other.
    pub fn or(self, other: Flow) -> Flow {
        let is_key = self.is_key && other.is_key;
        Flow { is_key, ..self.and(other) }
    }

    /// The same values, chosen by what `by` tells something about.
    pub fn chosen(mut self, by: &Flow) -> Flow {
        self.chosen_by.extend(by.made_of.iter().chain(&by.chosen_by).cloned());
        self
    }
}
