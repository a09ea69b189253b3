//! What the planner refuses, as a stable code and a sentence.

use std::fmt;

use datafusion_common::{DataFusionError, SchemaError};

/// A refusal or a fault in the question, with a stable code. Never holds a row value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct PlanError {
    /// Stable, upper-case, in this crate's README and in the main one's tables: `SQL_SYNTAX`, `UNKNOWN_COLUMN`, `NOT_YET`…
    pub code: &'static str,
    /// One sentence: what is wrong, and where.
    pub message: String,
    /// What to do instead, when we know it.
    pub hint: Option<String>,
}

impl PlanError {
    /// A refusal without a hint.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// The same refusal with advice.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "\n  help: {hint}"))
    }
}

/// The name in `names` that `wanted` was probably meant to be.
pub fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let wanted = wanted.to_lowercase();
    names
        .map(|name| (strsim::damerau_levenshtein(&wanted, &name.to_lowercase()), name))
        // Farther than a third of its letters (at least two), a name is a different name.
        .filter(|(distance, name)| *distance <= 2.max(name.chars().count() / 3))
        .min()
        .map(|(_, name)| name.to_owned())
}

/// What DataFusion refused, under our codes.
pub(crate) fn refuse(error: &DataFusionError) -> PlanError {
    match error {
        DataFusionError::External(inner) => match inner.downcast_ref::<PlanError>() {
            Some(ours) => ours.clone(),
            None => PlanError::new("UNSUPPORTED", sentence(&inner.to_string())),
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => refuse(inner),
        DataFusionError::Collection(errors) => match errors.first() {
            Some(first) => refuse(first),
            None => PlanError::new("UNSUPPORTED", "the query cannot be planned"),
        },
        DataFusionError::Shared(inner) => refuse(inner),
        DataFusionError::SchemaError(inner, _) => schema_error(inner),
        DataFusionError::NotImplemented(text) => PlanError::new("UNSUPPORTED", sentence(text)),
        DataFusionError::Plan(text) => plan_error(text),
        other => PlanError::new("UNSUPPORTED", sentence(&other.strip_backtrace())),
    }
}

fn schema_error(error: &SchemaError) -> PlanError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let refusal = PlanError::new("UNKNOWN_COLUMN", format!("there is no column '{}'", field.flat_name()));
            match nearest(&field.name, valid_fields.iter().map(|f| f.name.as_str())) {
                Some(near) => refusal.hint(format!("did you mean '{near}'?")),
                None => refusal,
            }
        }
        SchemaError::AmbiguousReference { field } => {
            let text = format!("'{}' is a column of more than one table here", field.name);
            PlanError::new("AMBIGUOUS_COLUMN", text).hint("write the table's name before it")
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            let text = format!("the name '{name}' is given to two columns or tables");
            PlanError::new("DUPLICATE_NAME", text).hint("give one of them another name with AS")
        }
    }
}

/// DataFusion's planning errors are texts; these openings are pinned by the tests of this crate.
fn plan_error(text: &str) -> PlanError {
    let lower = text.to_lowercase();
    let code = if lower.starts_with("invalid function") {
        "UNKNOWN_FUNCTION"
    } else if TYPE_WORDS.iter().any(|word| lower.contains(word)) {
        "TYPE_MISMATCH"
    } else {
        "INVALID_QUERY"
    };
    let refusal = PlanError::new(code, sentence(text));
    // DataFusion writes its suggestion on a second line.
    let near = text.split_once("Did you mean '").and_then(|(_, rest)| rest.split_once('\''));
    match near.filter(|(name, _)| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')) {
        Some((name, _)) if code == "UNKNOWN_FUNCTION" => refusal.hint(format!("did you mean '{name}'?")),
        _ => refusal,
    }
}

const TYPE_WORDS: [&str; 6] =
    ["coerc", "function signature", "cannot infer common", "no function matches", "failed to parse", "type"];

/// The first line of a foreign message, bounded, with control characters taken out.
fn sentence(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        let names = ["person_id", "gender_concept_id"];
        assert_eq!(nearest("persn_id", names.into_iter()).as_deref(), Some("person_id"));
        assert_eq!(nearest("weight", names.into_iter()), None);
    }
}
