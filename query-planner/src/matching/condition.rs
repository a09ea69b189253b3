//! Conditions of WHERE, HAVING and ON over a view.

use datafusion_expr::Expr;

use crate::error::PlanError;
use crate::matching::nodes::Nodes;
use crate::matching::view::View;
use crate::matching::{pairs, windows};

/// Keeps the rows that meet a condition: rows of one part at the site, patients by a node, pairs of rows by their ends.
///
/// # Errors
/// `NOT_YET` or `UNMATCHABLE` with the reason.
pub(crate) fn restrict(view: &mut View, condition: &Expr, nodes: &mut Nodes<'_>) -> Result<(), PlanError> {
    if windows::restrict(view, condition, nodes)? {
        return Ok(());
    }
    if let Some((part, inner)) = view.local(condition) {
        return view.filter_part(part, inner);
    }
    match view.truth(condition, nodes) {
        Ok(truth) => {
            view.present = nodes.and(view.present, truth.yes);
            Ok(())
        }
        Err(why) if reads_rows(view, condition) => pairs::restrict(view, condition, nodes).map_err(|e| match e.code {
            "NOT_YET" => e,
            _ => why,
        }),
        Err(why) => Err(why),
    }
}

/// Does it look at rows that a patient can have several of?
fn reads_rows(view: &View, condition: &Expr) -> bool {
    condition
        .column_refs()
        .into_iter()
        .any(|column| matches!(view.named(column), Ok(super::view::Col::Row(part, _)) if !view.parts[*part].is_unique))
}
